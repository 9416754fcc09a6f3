"""main.py --suggest: what was exchanged, which words a file exchanges, what is asked, and the figures of it.

Held against hand-worked cases, and against open_clip's own encode_text of every candidate's caption.
"""

from __future__ import annotations

import json
from dataclasses import replace

import make_shapes_benchmark
import numpy as np
import pytest
import torch
from contract import COSINE

from clip4dm.benchmarks import read_benchmark
from clip4dm.benchmarks.base import Sample
from clip4dm.commands import evaluate as command
from clip4dm.errors import InputError
from clip4dm.evaluation.corrections import run as corrections
from clip4dm.evaluation.corrections.exchanged import Exchange, Exchanged, exchange_of, same_meaning
from clip4dm.evaluation.corrections.figures import figures, tables
from clip4dm.evaluation.corrections.rows import Row
from clip4dm.files.images import load_image
from clip4dm.suggestion.vocabulary import packaged_vocabulary


def foil(caption: str, original: str | None, word: str = "") -> Sample:
    return Sample("1", "a.jpg", "a", caption, True, (), word, original=original)


@pytest.mark.parametrize(
    ("caption", "original", "expected"),
    [
        ("a cup of coke.", "a cup of coffee.", ("coke", "coffee", 9, 13)),
        ("a dog by a dog", "a dog by a cat", ("dog", "cat", 11, 14)),
        ("Cat on a mat", "Dog on a mat", ("cat", "dog", 0, 3)),
        ("a pear here", "an apple here", ("pear", "apple", 2, 6)),
        ("the pizza is big", "the hot dog is big", ("pizza", "hot dog", 4, 9)),
        ('he holds a "kite" up', 'he holds a "ball" up', ("kite", "ball", 12, 16)),
        ("  a   dog runs", "a cat runs", ("dog", "cat", 6, 9)),
        ("a hot dog here", "a pizza here", None),  # two words of the foil
        ("a red dog", "a blue cat", None),
        ("a dog", "a dog", None),
        ("a dog", "", None),
        ("a dog", None, None),
    ],
)
def test_exchange_of(caption, original, expected):
    found = exchange_of(foil(caption, original))
    assert (None if found is None else tuple(found)) == expected
    if found:
        assert caption[found.start : found.end].casefold() == found.foil


def test_words_that_are_exchanged_by_way_of_others_are_of_one_kind():
    pairs = [("dog", "cat"), ("horse", "cow"), ("cat", "cow"), ("tea", "coke"), ("tea", "coke"), ("coke", "milk")]
    found = Exchanged.of([Exchange(one, other, 0, 1) for one, other in pairs])
    kinds = sorted(sorted(found.kinds.of_groups([name])) for name in found.kinds.groups)
    assert kinds == [["cat", "cow", "dog", "horse"], ["coke", "milk", "tea"]]
    assert dict(found.originals) == {"cat": 1, "cow": 2, "coke": 2, "milk": 1}
    assert found.frequent(["coke", "milk"], but="milk") == "coke"
    for words in (["cat", "cow"], ["cow", "cat"]):  # one each, without the one that asks, whichever the model has first
        assert found.frequent(words, but="cow") == "cat"


def test_same_meaning_is_in_one_number():
    words = packaged_vocabulary()
    assert same_meaning("disc", "circle", words) and same_meaning("Circles", "discs", words)
    assert not same_meaning("disc", "circles", words) and not same_meaning("star", "circle", words)


def row(number: int, **changed) -> Row:
    usual = {
        "attribution": -2e-4,
        "given": True,
        "called": True,
        "list": "kind",
        "candidates": 4,
        "top": (("cat", 0.1),),
        "rank": 1,
    }
    usual |= {"restored": True, "same_meaning": True, "random": 0.25, "frequent": False}
    return Row(str(number), f"{number}.jpg", True, "dog", 2, 5, **{**usual, **changed})


def test_figures_by_hand():
    rows = [
        row(1),
        row(2, restored=False, rank=2),  # a synonym came first
        row(3, called=False),
        row(4, restored=False, same_meaning=False, rank=6, frequent=True),
        row(5, restored=False, same_meaning=False, rank=None, called=False),
        row(1, given=False, rank=None, restored=False, same_meaning=False),  # a word that was called beside it
        row(1, list="packaged", rank=3, restored=False, same_meaning=False),
    ]
    found = figures(rows, {"1": "object", "2": "object"}, ["1", "2", "3", "4", "5", "6"])
    values = {name: figure.value for name, figure in found["kind"]["all"].items()}
    assert values == {
        "top 1": 3 / 5,
        "top 1, the very word": 2 / 5,
        "top 5, the very word": 3 / 5,
        "end to end": 2 / 5,
        "a random candidate": 0.25,
        "the most frequent": 1 / 5,
    }
    assert found["kind"]["object"]["top 1, the very word"].value == 0.5
    assert found["packaged"]["all"]["top 5, the very word"].value == 1.0 and found["packaged"]["all"]["top 1"].n == 1
    assert "candidates: packaged" in tables(found)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    make_shapes_benchmark.main([str(folder), "--pairs", "12", "--first_seed", "1500000"])
    return folder


def arguments(drawn, output, *more: str) -> list[str]:
    return [
        *("--data_path", str(drawn / "shapes_foil.json"), "--img_dir", str(drawn / "images"), "--backbone", "demo"),
        *("--output", str(output), "--num_workers", "0", "--suggest", *more),
    ]


def run_of(output):
    (path,) = output.glob("foil/*/*/result.json")
    return path.parent


def rows_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / corrections.SUGGESTIONS).read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(drawn, tmp_path_factory):
    output = tmp_path_factory.mktemp("finished")
    command.main(arguments(drawn, output))
    return run_of(output)


def test_a_run_asks_every_foil_of_every_list(finished, drawn):
    foils = {sample.id: sample for sample in read_benchmark(drawn / "shapes_foil.json")[1].samples if sample.misaligned}
    rows = [row for row in rows_of(finished) if row["given"]]
    assert {row["list"] for row in rows} == {"kind", "originals", "packaged"}
    assert {row["id"] for row in rows} == set(foils)
    for row in rows:
        assert [row["start"], row["end"]] == list(foils[row["id"]].spans[0])
        gains = [gain for _, gain in row["top"]]
        assert gains == sorted(gains, reverse=True) and len(gains) <= 5
    stored = json.loads((finished / corrections.CORRECTIONS).read_text())
    assert stored["foils"] == stored["asked"] == 12
    of_kind = {row["id"]: row for row in rows if row["list"] == "kind"}
    expected = sum(row["same_meaning"] for row in of_kind.values()) / len(of_kind)
    assert stored["figures"]["kind"]["all"]["top 1"]["value"] == pytest.approx(expected)


def test_the_best_are_what_open_clip_says(finished, drawn, request):
    """Each candidate's caption, made by hand, through encode_text."""
    from clip4dm.models.load import load_model

    model = load_model("demo", device="cpu")
    samples = {sample.id: sample for sample in read_benchmark(drawn / "shapes_foil.json")[1].samples}
    for row in rows_of(finished):
        if row["list"] != "kind" or not row["given"]:
            continue
        sample = samples[row["id"]]
        changed = [sample.caption[: row["start"]] + word + sample.caption[row["end"] :] for word, _ in row["top"]]
        texts = model.tokenizer(["A photo depicts " + caption for caption in [sample.caption, *changed]])
        with torch.no_grad():
            text = model.model.encode_text(texts, normalize=True)
            image = model.model.encode_image(
                model.preprocess(load_image(drawn / "images" / sample.image))[None], normalize=True
            )
        cosines = (text @ image[0]).numpy()
        assert np.allclose([gain for _, gain in row["top"]], cosines[1:] - cosines[0], atol=2 * COSINE)


def test_an_interrupted_asking_goes_on(finished, drawn, tmp_path, monkeypatch):
    """The second block fails; the same command asks it and those after it alone, and the files are the same."""
    monkeypatch.setattr(corrections, "IMAGES_PER_BLOCK", 4)
    asked: list[int] = []
    whole = corrections._rows_of_block

    def failing(asking, block, *more):
        asked.append(block.number)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return whole(asking, block, *more)

    monkeypatch.setattr(corrections, "_rows_of_block", failing)
    with pytest.raises(KeyboardInterrupt):
        command.main(arguments(drawn, tmp_path))
    part = run_of(tmp_path) / corrections.PART
    part.write_bytes(part.read_bytes() + b'{"id": "half a li')
    command.main(arguments(drawn, tmp_path))
    assert asked == [0, 1, 1, 2] and not part.exists()
    ours, theirs = rows_of(run_of(tmp_path)), rows_of(finished)
    assert [{**row, "top": None} for row in ours] == [{**row, "top": None} for row in theirs]


def test_what_is_finished_is_not_asked_again(finished, drawn, monkeypatch):
    before = {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    whole, asked = corrections._rows_of_block, []
    monkeypatch.setattr(corrections, "_rows_of_block", lambda *all_of_it: asked.append(1) or whole(*all_of_it))
    command.main(arguments(drawn, finished.parents[2]))
    assert not asked and (finished / corrections.CORRECTIONS).read_bytes() == before[corrections.CORRECTIONS]
    lines = before["suggestions.jsonl"].splitlines(keepends=True)
    (finished / "suggestions.jsonl").write_bytes(b"".join(lines[:-1]))  # not as it was written
    command.main(arguments(drawn, finished.parents[2]))
    assert asked and (finished / "suggestions.jsonl").read_bytes() == before["suggestions.jsonl"]


def test_of_another_vocabulary_nothing_is_kept(drawn, tmp_path, monkeypatch):
    words = tmp_path / "words.txt"
    words.write_text("star\nmoon\nheart\n")
    command.main(arguments(drawn, tmp_path / "out", "--vocabulary", str(words)))
    folder = run_of(tmp_path / "out")
    assert {row["list"] for row in rows_of(folder)} == {"kind", "originals", "words.txt"}
    (folder / corrections.PART).write_bytes(b'{"fingerprint": "of another"}\n{"done": 0}\n')
    command.main(arguments(drawn, tmp_path / "out"))
    assert {row["list"] for row in rows_of(folder)} == {"kind", "originals", "packaged"}


def test_a_vocabulary_without_suggest_is_refused(drawn, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        command.main([one for one in arguments(drawn, tmp_path, "--vocabulary", "clip") if one != "--suggest"])
    assert error.value.code == 2
    assert "--vocabulary means nothing without --suggest" in capsys.readouterr().err


def test_what_has_no_originals_is_refused(tmp_path, capsys):
    with pytest.raises(InputError, match="beside their originals"):
        corrections.exchanges_of([replace(foil("a dog", None), misaligned=False)])


def test_options_that_cannot_be(drawn, finished, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        command.main(["--rescore", str(finished), "--suggest"])
    assert error.value.code == 2 and "--rescore has none" in capsys.readouterr().err
    (tmp_path / "kind").write_text("star\n")
    with pytest.raises(SystemExit) as error:
        command.main(arguments(drawn, tmp_path, "--vocabulary", str(tmp_path / "kind")))
    assert error.value.code == 2 and "give the file another" in capsys.readouterr().err


def test_a_wrong_vocabulary_is_refused_before_the_model(drawn, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("clip4dm.models.load.load_model", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(SystemExit) as error:
        command.main(arguments(drawn, tmp_path, "--vocabulary", str(tmp_path / "none.txt")))
    assert error.value.code == 2
    assert "none.txt" in capsys.readouterr().err
