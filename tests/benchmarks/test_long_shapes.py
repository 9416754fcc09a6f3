"""Long captions of drawn scenes: true sentences, as long as said, one word exchanged anywhere."""

from __future__ import annotations

import json
from random import Random

import make_shapes_benchmark
import pytest

from clip4dm.benchmarks.shapes.captions import every_word, may_hold
from clip4dm.benchmarks.shapes.long import _sentences, make_long_pair
from clip4dm.benchmarks.shapes.scenes import sample_scene

SEEDS = range(8_000_000, 8_000_060)


def words_of(text: str) -> list[str]:
    return text.replace(".", " .").split()


def test_captions_are_long_and_differ_in_one_word(tokenizer):
    places = []
    for pair in filter(None, map(make_long_pair, SEEDS)):
        before, after = words_of(pair.caption), words_of(pair.foil)
        (place,) = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        assert (before[place], after[place]) == (pair.original_word, pair.foil_word)
        places.append(place / len(before))
        tokens = sum(len(tokenizer.bpe(word).split()) for word in before)
        assert 150 <= len(before) <= 300 and len(before) <= tokens <= 350
        assert set(before) <= {*every_word(), "."}
    assert len(places) > 50
    assert all(any(low <= place < low + 0.25 for place in places) for low in (0, 0.25, 0.5, 0.75))  # at any place


def test_every_sentence_is_true_and_most_are_new():
    for seed in SEEDS[:20]:
        scene = sample_scene(seed)
        sentences = _sentences(scene, Random(f"long {seed}"))
        assert all(may_hold(sentence.statement, scene) for sentence in sentences)
        assert len({sentence.text for sentence in sentences}) >= len(sentences) // 2


def test_the_script_writes_them(tmp_path, capsys):
    make_shapes_benchmark.main([str(tmp_path / "a"), "--long", "--pairs", "3", "--size", "16", "--kind", "colour"])
    make_shapes_benchmark.main([str(tmp_path / "b"), "--long", "--pairs", "3", "--size", "16", "--kind", "colour"])
    first, second = (tmp_path / name / "shapes_foil.json" for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    rows = json.loads(first.read_text())["annotations"]
    assert {row["kind"] for row in rows} == {"colour"} and all(150 <= len(words_of(row["caption"])) for row in rows)
    with pytest.raises(SystemExit):
        make_shapes_benchmark.main([str(tmp_path / "c"), "--long", "--hard"])
    assert "not allowed with argument" in capsys.readouterr().err
