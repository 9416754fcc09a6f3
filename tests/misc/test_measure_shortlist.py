"""misc/measure_shortlist.py on drawn foils and the demo model: what it writes, and that it goes on."""

from __future__ import annotations

import json

import make_shapes_benchmark
import measure_shortlist
import pytest
import torch
from contract import COSINE

from clip4dm import CLIP4DM
from clip4dm.suggestion.shortlist import place_of


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    make_shapes_benchmark.main([str(folder), "--pairs", "4", "--first_seed", "1600000"])
    return ["--data_path", str(folder / "shapes_foil.json"), "--img_dir", str(folder / "images"), "--backbone", "demo"]


def test_it_goes_on_where_it_was(arguments, tmp_path, capsys):
    output = tmp_path / "cases.jsonl"
    measure_shortlist.main([str(output), *arguments, "--cases", "2"])
    first = output.read_text()
    measure_shortlist.main([str(output), *arguments, "--cases", "3"])
    assert output.read_text().startswith(first)
    cases = [json.loads(line) for line in output.read_text().splitlines()]
    assert len({case["id"] for case in cases}) == 3
    assert all(case["held"] and case["read"] == case["of"] < 100 for case in cases)  # a list that is read whole
    assert ["seconds_exact" in case for case in cases] == [True, False, False]
    assert "in 3 of 3 cases, 1.000;" in capsys.readouterr().out


def test_its_cosines_are_open_clips():
    detector = CLIP4DM.from_pretrained("demo", device="cpu")
    feature = torch.nn.functional.normalize(torch.randn(128, generator=torch.Generator().manual_seed(0)), dim=0)
    place = place_of(detector.encode_captions(["a red star on sand"])[0], 2, 5)
    words = ["blue", "green", "star"]
    tokens = torch.tensor([detector.model.tokenizer.encoder[f"{word}</w>"] for word in words])
    texts = detector.model.tokenizer([f"A photo depicts a {word} star on sand" for word in words])
    expected = detector.model.model.encode_text(texts, normalize=True) @ feature
    assert torch.allclose(
        measure_shortlist.cosines(detector.model.tower, feature, place, tokens), expected, atol=COSINE
    )


def test_the_summary_by_hand():
    cases = [
        {"held": True, "read": 100, "of": 500, "seconds": 0.5, "seconds_exact": 10.0},
        {"held": True, "read": 99, "of": 500, "seconds": 0.25},
        {"held": False, "read": 100, "of": 500, "seconds": 0.25, "seconds_exact": 10.0},
    ]
    assert measure_shortlist.summary(cases) == (
        "the shortlist of 100 holds the best of 500 words in 2 of 3 cases, 0.667; a shortlist takes 0.25 s, all words "
        "10.0 s: 1/30 (median of 2, from 1/20 to 1/40)"
    )
