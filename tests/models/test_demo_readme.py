"""The README's table of the demo model, printed digit by printed digit: 2,000 drawn pairs through main.py's run."""

from __future__ import annotations

import re

import make_shapes_benchmark
import pytest
from places import ROOT

from clip4dm.evaluation.run import Options, evaluate

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    make_shapes_benchmark.main([str(folder)])
    return evaluate(
        Options(
            str(folder / "shapes_foil.json"),
            str(folder / "images"),
            output=str(folder / "out"),
            backbone="demo",
            device="cpu",
            num_workers=0,
        ),
        say=lambda _: None,
    ).result


def printed(figure, interval=True) -> str:
    text = f"{figure['value']:.3f}"
    return f"{text} [{figure['low']:.3f}, {figure['high']:.3f}]" if interval else text


def test_location_accuracy_of_every_kind(result):
    table = README[README.index("| exchanged | pairs |") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert [row[0] for row in rows][0] == "all kinds" and {row[0] for row in rows[1:]} == set(result["groups"]["kind"])
    for name, pairs, location, chance, longest in rows:
        figures = result if name == "all kinds" else result["groups"]["kind"][name]
        assert int(pairs.replace(",", "")) == figures["LA"]["n"]
        assert location == printed(figures["LA"]), name
        assert chance == printed(figures["LA_floor"]["chance"], interval=False), name
        assert longest == printed(figures["LA_floor"]["longest word"], interval=False), name


def test_average_precision(result):
    text = " ".join(README[README.index("Average precision, originals against foils") :].split())
    for name, score in (
        ("CLIPScore", "CLIPScore"),
        ("sum of misaligned attributions alone", "misaligned_sum"),
        ("F-CLIPScore", "F-CLIPScore"),
    ):
        found = re.search(rf"[:,] {name} (\d\.\d+ \[\d\.\d+, \d\.\d+\])", text)
        assert found[1] == printed(result["AP"][score]), name
