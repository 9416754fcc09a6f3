"""The demo model's figures in the docs, printed digit by printed digit: 2,000 drawn pairs through main.py's run.

In README.md the headlines and the first example's output, in docs/demo.md every kind of word, in the model card the
headlines again.
"""

from __future__ import annotations

import ast
import csv
import re

import ablate
import make_shapes_benchmark
import pytest
from contract import COSINE, assert_attributions
from places import ROOT

from clip4dm.commands import infer
from clip4dm.evaluation.run import Options, evaluate

README = (ROOT / "README.md").read_text(encoding="utf-8")
DEMO = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
CARD = (ROOT / "clip4dm" / "models" / "demo" / "README.md").read_text(encoding="utf-8")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    make_shapes_benchmark.main([str(folder)])
    return folder


def result_of(shapes, method):
    return evaluate(
        Options(
            str(shapes / "shapes_foil.json"),
            str(shapes / "images"),
            output=str(shapes / "out"),
            backbone="demo",
            method=method,
            device="cpu",
            num_workers=0,
        ),
        say=lambda _: None,
    ).result


@pytest.fixture(scope="module")
def result(shapes):
    return result_of(shapes, "clip4dm")


def printed(figure, interval=True) -> str:
    text = f"{figure['value']:.3f}"
    return f"{text} [{figure['low']:.3f}, {figure['high']:.3f}]" if interval else text


def test_location_accuracy_of_every_kind(result):
    table = DEMO[DEMO.index("| exchanged | pairs |") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert [row[0] for row in rows][0] == "all kinds" and {row[0] for row in rows[1:]} == set(result["groups"]["kind"])
    for name, pairs, location, chance, longest in rows:
        figures = result if name == "all kinds" else result["groups"]["kind"][name]
        assert int(pairs.replace(",", "")) == figures["LA"]["n"]
        assert location == printed(figures["LA"]), name
        assert chance == printed(figures["LA_floor"]["chance"], interval=False), name
        assert longest == printed(figures["LA_floor"]["longest word"], interval=False), name


def test_the_demo_model_knows_its_world(result):
    """What it has to hold to be worth showing, whatever the docs say."""
    assert result["LA"]["value"] >= 0.93
    assert min(figures["LA"]["value"] for figures in result["groups"]["kind"].values()) >= 0.85
    assert result["AP"]["F-CLIPScore"]["value"] > result["AP"]["CLIPScore"]["value"]


def test_average_precision(result):
    text = " ".join(DEMO[DEMO.index("Average precision, originals against foils") :].split())
    for name, score in (
        ("CLIPScore", "CLIPScore"),
        ("sum of misaligned attributions alone", "misaligned_sum"),
        ("F-CLIPScore", "F-CLIPScore"),
    ):
        found = re.search(rf"[:,] {name} (\d\.\d+ \[\d\.\d+, \d\.\d+\])", text)
        assert found[1] == printed(result["AP"][score]), name


VARIANTS = {  # a row of the table: sign, aggregation, layers, as misc/ablate.py names them
    "**both signs, mean of 2 layers**": ("both", "mean", "2"),
    "both signs, last layer alone": ("both", "mean", "1"),
    "both signs, product over layers": ("both", "rollout", "2"),
    "only negative, before averaging heads": ("negative_per_head", "mean", "2"),
    "only negative, before averaging layers": ("negative_per_layer", "mean", "2"),
    "only positive (GAE's ReLU)": ("positive", "mean", "2"),
    "only positive, product over layers (GAE)": ("positive", "rollout", "2"),
}


def test_the_ablations(shapes, capsys):
    """Every figure of the table; where it gives no interval, the value alone."""
    table = DEMO[DEMO.index("| variant | LA |") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert [row[0] for row in rows] == list(VARIANTS)
    data = ["--data_path", str(shapes / "shapes_foil.json"), "--img_dir", str(shapes / "images")]
    ablate.main([*data, "--backbone", "demo", "--device", "cpu", "--csv", str(shapes / "ablations.csv")])
    with open(shapes / "ablations.csv", newline="", encoding="utf-8") as file:
        found = {
            (row["sign"], row["aggregation"], row["layers"], row["figure"]): {
                name: float(row[name]) for name in ("value", "low", "high")
            }
            for row in csv.DictReader(file)
            if row["figure"] in ("LA", "AP/F-CLIPScore", "AP/misaligned_sum")
        }
    for name, *cells in rows:
        for figure, cell in zip(("LA", "AP/F-CLIPScore", "AP/misaligned_sum"), cells, strict=True):
            assert cell == printed(found[*VARIANTS[name], figure], interval="[" in cell), (name, figure)


def test_the_headlines_of_readme_and_model_card(shapes, result):
    """As in docs/demo.md, from the same run; beside it gradient_value."""
    summed = result_of(shapes, "gradient_value")
    location, floors, precision = result["LA"], result["LA_floor"], result["AP"]
    chance, longest = (printed(floors[name], interval=False) for name in ("chance", "longest word"))
    f_clip_score, clip_score = printed(precision["F-CLIPScore"]), printed(precision["CLIPScore"])
    other, others = printed(summed["LA"]), printed(summed["AP"]["F-CLIPScore"])
    assert f"| {printed(location)} | {other} | a random word {chance}, the longest word {longest} |" in README
    assert f"| AP of F-CLIPScore | {f_clip_score} | {others} | CLIPScore {clip_score} |" in README
    kinds = result["groups"]["kind"]
    size, texture = (printed(kinds[kind]["LA"], interval=False) for kind in ("size", "texture"))
    assert f"sizes and textures (LA {size} and {texture};" in " ".join(README.split())
    card = " ".join(CARD.split())
    assert f"location accuracy {printed(location)} (a random word {chance}, the longest word {longest})" in card
    assert f"average precision of F-CLIPScore {f_clip_score}, of CLIPScore {clip_score}." in card


def test_the_first_example_prints_what_the_readme_shows(tmp_path, monkeypatch, capsys):
    shown, *lines = README.partition("infer.py --demo\n```\n\n```\n")[2].partition("\n```")[0].splitlines()
    monkeypatch.chdir(tmp_path)
    infer.main(["--demo", "--device", "cpu"])
    said = capsys.readouterr()
    assert said.err == shown + "\n"
    for line, wanted in zip(said.out.splitlines(), lines, strict=True):
        got, expected = ast.literal_eval(line), ast.literal_eval(wanted)
        assert list(got) == list(expected) and got["negative_word"] == expected["negative_word"]
        assert [word for word, _ in got["word_attributions"]] == [word for word, _ in expected["word_attributions"]]
        assert_attributions(*([value for _, value in one["word_attributions"]] for one in (got, expected)))
        assert got["clip_score"] == pytest.approx(expected["clip_score"], abs=2.5 * COSINE)
