"""--suggest and its kin on infer.py: what is printed where, and words files that are none."""

from __future__ import annotations

import ast
import json
import re

import pytest
from html_reading import HOSTILE

from clip4dm import CLIP4DM
from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.examples import SEEDS, example
from clip4dm.commands import infer
from clip4dm.commands.suggesting import words_of
from clip4dm.commands.terminal import STILL_MISALIGNED, suggestion_lines
from clip4dm.detection import Word
from clip4dm.suggestion.result import Replacement, Suggestion
from clip4dm.suggestion.vocabulary import packaged_vocabulary

DEMO = ["--backbone", "demo", "--device", "cpu"]
HEART = example(SEEDS[0])
TRUE, FOIL = HEART.texts[0], next(foil for foil in HEART.foils if foil.original_word == "heart")
FALSE = TRUE.replace("heart", FOIL.foil_word)


@pytest.fixture(scope="module")
def heart(tmp_path_factory):
    path = tmp_path_factory.mktemp("heart") / "heart.png"
    draw(HEART.scene, 256).save(path)
    return ["--image", str(path)]


def printed(capsys, *options):
    infer.main([*DEMO, *options])
    return capsys.readouterr()


def test_standard_output_is_what_it_was_and_suggestions_come_beside_it(capsys, heart):
    asked = [*heart, "--text", TRUE, FALSE]
    plain, more = printed(capsys, *asked), printed(capsys, *asked, "--suggest", "2")
    dicts, own = ([ast.literal_eval(line) for line in one.out.splitlines()] for one in (plain, more))
    assert len(own) == 2 and [one.keys() for one in own] == [one.keys() for one in dicts]
    assert [one["negative_word"] for one in own] == [one["negative_word"] for one in dicts]
    assert [one["clip_score"] for one in own] == pytest.approx([one["clip_score"] for one in dicts], abs=1e-6)
    lines = [line for line in more.err.splitlines() if line not in plain.err.splitlines()]
    first = lines[0].removeprefix(f"infer.py: {FALSE!r:.60}: ")
    assert re.fullmatch(
        rf"{FOIL.foil_word} -> heart \+0\.\d{{3}}, \S.* \+0\.\d{{3}}\*?(; left out \+0\.\d{{3}})?", first
    )
    assert first.count("+") <= 3  # two words, and none at all
    assert all(TRUE not in line for line in lines)  # nothing is wrong there, nothing is said


def test_on_a_terminal_suggestions_stand_below_their_caption(capsys, heart, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = printed(capsys, *heart, "--text", FALSE, TRUE, "--suggest")
    lines = shown.out.splitlines()
    at = next(i for i, line in enumerate(lines) if "-> heart" in line)
    assert lines[at - 1].startswith("{'negative_word'") and lines[at].startswith("\x1b[48;5;")
    assert f"m{FOIL.foil_word}\x1b[0m -> heart +0." in lines[at] and "->" not in shown.err
    monkeypatch.setenv("NO_COLOR", "1")
    assert f"\n{FOIL.foil_word} -> heart +0." in printed(capsys, *heart, "--text", FALSE, "--suggest").out


def test_json_has_what_detector_suggest_gives(capsys, heart):
    asked = [*heart, "--json", "--text", TRUE, FALSE]
    plain = [json.loads(line) for line in printed(capsys, *asked).out.splitlines()]
    rows = [json.loads(line) for line in printed(capsys, *asked, "--suggest", "3").out.splitlines()]
    assert all("suggestions" not in row for row in plain)
    suggested = [row.pop("suggestions") for row in rows]
    assert suggested[0] == [] and [row.keys() for row in rows] == [row.keys() for row in plain]
    assert [row["cosine"] for row in rows] == pytest.approx([row["cosine"] for row in plain], abs=1e-6)
    (one,) = suggested[1]
    assert FALSE[one["start"] : one["end"]] == one["word"] == FOIL.foil_word and len(one["replacements"]) == 3
    best = one["replacements"][0]
    assert best["caption"] == TRUE and best["cosine"] == pytest.approx(plain[0]["cosine"], abs=1e-6)
    assert best["gain"] == pytest.approx(plain[0]["cosine"] - plain[1]["cosine"], abs=2e-6)
    detector = CLIP4DM.from_pretrained("demo", device="cpu", epsilon=plain[0]["epsilon"])
    (own,) = detector.suggest(heart[1], FALSE, top=3)
    assert [new.word for new in own.replacements] == [new["word"] for new in one["replacements"]]


def test_options_choose_the_words(capsys, heart, tmp_path):
    words = tmp_path / "mine.txt"
    words.write_text(f"moon\nheart = {FOIL.foil_word}\n", encoding="utf-8")
    asked = [*heart, "--json", "--text", FALSE, "--suggest", "--vocabulary"]

    def found(*options):
        (one,) = json.loads(printed(capsys, *asked, *options).out)["suggestions"]
        return one, [new["word"] for new in one["replacements"]]

    assert "heart" not in found(str(words))[1]  # it means the same, says the file
    one, listed = found(str(words), "--near")
    assert listed[0] == "heart" and one["tried"] == 2
    much = [str(words), "--near", "--min_gain", "0.9"]
    none, listed = found(*much)
    assert listed == [] and none["leave_out"] is None
    asked.remove("--json")
    assert f"{FOIL.foil_word}: no better word found among 2" in printed(capsys, *asked, *much).err
    asked.append("clip")
    (line,) = [line for line in printed(capsys, *asked).err.splitlines() if f"{FOIL.foil_word} -> " in line]
    given = line.partition(" -> ")[2].partition("; ")[0].split(", ")
    assert next(one for one in given if not one.endswith("*")).startswith("heart +0."), "* leaves a word misaligned"
    assert {one.split()[0] for one in given} - set(packaged_vocabulary().words)


def test_the_page_shows_them_below_each_caption(capsys, heart, tmp_path):
    from html_reading import document_of, elements, seen

    page = tmp_path / "x.html"
    printed(capsys, *heart, "--text", TRUE, FALSE, HOSTILE, "--suggest", "2", "--html", str(page))
    tree = document_of(page.read_text(encoding="utf-8"))
    cards = elements(tree, "card")
    lists = [elements(card, "suggestions") for card in cards]
    assert lists[0] == [] and seen(lists[1][0]).startswith(f"{FOIL.foil_word} → heart\xa0+0.")
    assert not list(tree.iter("script")) and len(list(tree.iter("img"))) == 1
    rows = [seen(row.find("th")) for row in elements(cards[1], "new")[0].iter("tr")]
    assert rows[:3] == ["new caption", f"for {FOIL.foil_word}", TRUE]
    assert "how much they raise the cosine" in page.read_text(encoding="utf-8")
    printed(capsys, *heart, "--text", TRUE, FALSE, "--html", str(page))
    assert 'class="suggestions"' not in page.read_text(encoding="utf-8")


BAD_WORDS = {
    "folder": (None, "is a folder; only regular files are read"),
    "empty.txt": ("", "has no word in it"),
    "remarks.txt": ("# nothing\n\n, ,\n", "has no word in it"),
    "control.txt": ("tea\ncof\x1b[2Jfee\n", "line 2: a control character, U+001B"),
    "latin.txt": (b"caf\xe9\n", "UTF-8"),
    "long.txt": ("a" * 101, "a word of 101 characters"),
}


@pytest.mark.parametrize("name", [*BAD_WORDS, "none.txt", "/dev/null"])
def test_a_file_of_no_words_is_one_line_before_the_model_is_loaded(capsys, monkeypatch, tmp_path, name):
    content, said = BAD_WORDS.get(name, (None, ""))
    path = tmp_path / name if name != "/dev/null" else name
    if name == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setattr(CLIP4DM, "from_pretrained", None)
    with pytest.raises(SystemExit) as stop:
        infer.main([*DEMO, "--text", "a dog", "--suggest", "--vocabulary", str(path)])
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert stop.value.code == 2 and captured.out == "" and line.startswith("infer.py: error: ") and said in line
    assert str(path) in line and "\x1b" not in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--vocabulary", "x.txt"], "--vocabulary means nothing without --suggest"),
        (["--near"], "--near means nothing without --suggest"),
        (["--min_gain", "0"], "--min_gain means nothing without --suggest"),
        (["--suggest", "0"], "'0' is not a whole number from 1"),
        (["--suggest", "--min_gain", "nan"], "'nan' is not a finite number from 0 to 1"),
        (["--suggest", "--min_gain", "-1"], "'-1' is not a finite number from 0 to 1"),
    ],
)
def test_options_that_cannot_be(capsys, options, said):
    with pytest.raises(SystemExit) as stop:
        infer.main([*DEMO, "--text", "a dog", *options])
    assert stop.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]


def test_many_words_are_chosen_from_and_more_than_a_million_refused(capsys, heart, tmp_path):
    path = tmp_path / "million.txt"
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"word{number}\n" for number in range(20_000))
        file.write("heart\n")
    asked = [*heart, "--json", "--text", FALSE, "--suggest", "1", "--vocabulary", str(path)]
    (one,) = json.loads(printed(capsys, *asked).out)["suggestions"]
    assert one["tried"] == 20_001 and [new["word"] for new in one["replacements"]] == ["heart"]
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(f"word{number}\n" for number in range(20_000, 1_000_001))
    with pytest.raises(SystemExit):
        printed(capsys, *asked)
    assert "more than 1,000,000 words; is it the right file?" in capsys.readouterr().err


@pytest.mark.parametrize("caption", ["\x1b[2J\x07\x00 a\u202e dog", "\x00", "a dog " * 200, "!" * 300, "犬 🐕 ки́т"])
def test_hostile_captions_are_answered(capsys, heart, caption):
    shown = printed(capsys, *heart, "--text", caption, "--suggest", "1")
    assert not re.search("[\x00-\x08\x0b-\x1f]", shown.err + shown.out)
    rows = [json.loads(printed(capsys, *heart, "--json", "--text", caption, "--suggest", "1").out)]
    for row in rows:
        for one in row["suggestions"]:
            assert caption[one["start"] : one["end"]] == one["word"]
            for new in one["replacements"]:
                assert new["caption"][new["start"] : new["end"]] == new["word"]


def test_a_words_own_controls_do_not_reach_the_terminal(tokenizer):
    from made_detections import detection_of

    detection = detection_of(tokenizer, "a co\x1bke", [1e-4, -2e-4])
    (word,) = detection.misaligned
    fits = Replacement("tea", "a tea", 2, 5, cosine=0.3, gain=0.05, misaligned=())
    still = Replacement("te\x07a", "a te\x07a", 2, 6, cosine=0.29, gain=0.04, misaligned=(Word("a", 0, 1, -1.0, True),))
    lines = suggestion_lines(detection, [Suggestion(word, 0.25, (fits, still), still, tried=2)])
    assert lines == ["co\ufffdke -> tea +0.050, te\ufffda +0.040*; left out +0.040", STILL_MISALIGNED]
    coloured = suggestion_lines(detection, [Suggestion(word, 0.25, (fits,), still, tried=2)], colour=True)
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured[0]) == "co\ufffdke -> tea +0.050; left out +0.040"
    assert len(coloured) == 1 and coloured[0].startswith("\x1b[48;5;")
    nothing = Suggestion(word, 0.25, (), None, tried=0, reason="there is no candidate for it")
    assert suggestion_lines(detection, [nothing]) == ["co\ufffdke: there is no candidate for it"]


def test_without_the_option_no_words_are_read():
    args = infer.parse_args(["--text", "a"])
    assert words_of(args) is None and words_of(infer.parse_args(["--suggest"])) is packaged_vocabulary()
