"""misc/vary_inputs.py on a small benchmark: its figures against runs of the same methods, its views against PIL."""

import numpy as np
import pytest
import torch
import vary_inputs
from making import make_foil, make_pictures
from PIL import Image

from clip4dm import CLIP4DM
from clip4dm.benchmarks import get_benchmark
from clip4dm.evaluation.metrics.calibration import for_calibration, read_words
from clip4dm.evaluation.run import Options, evaluate
from clip4dm.evaluation.store.finished import open_run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vary")
    make_foil(folder / "foil.json", make_pictures(folder / "images", 24))
    return folder


def table(capsys, place, tiny_folder, *options):
    data = ["--data_path", str(place / "foil.json"), "--img_dir", str(place / "images")]
    vary_inputs.main([options[0], *data, "--pretrained", str(tiny_folder), "--device", "cpu", *options[1:]])
    lines = capsys.readouterr().out.splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if set(line) - set("|- ")]


def test_words_are_scored_as_runs_of_the_same_method_are(capsys, place, tiny_folder):
    head, *rows = table(capsys, place, tiny_folder, "words", "--words", "the", "it")
    assert [row[0] for row in rows] == ["nothing (occlusion)", "the", "it"]
    for row, method in zip(rows, ("occlusion", "replacement"), strict=False):  # "the" is the run's own
        options = Options(
            str(place / "foil.json"), str(place / "images"), output=str(place / "out"), backbone=None, pretrained=str(tiny_folder),
            device="cpu", method=method, sorted_by="most_negative", num_workers=0,
        )  # fmt: skip
        run = open_run(evaluate(options).folder)
        words = read_words(run.samples, get_benchmark("foil"), run.settings, (-5e-5,))
        hits = {half: [] for half in (True, False)}
        for image, misaligned, hit in zip(words.image, words.misaligned, words.located(), strict=True):
            if misaligned:
                hits[for_calibration(image)].append(hit)
        assert row[1:] == [f"{np.mean(hits[half]):.3f}" for half in (True, False)]
        assert head[1:] == [f"calibration half ({len(hits[True])})", f"other half ({len(hits[False])})"]


def test_views_of_the_picture_alone_change_nothing(capsys, place, tiny_folder, monkeypatch):
    monkeypatch.setattr(vary_inputs, "VIEWS", {"the picture": ("whole",), "the same again": ("whole", "whole")})
    head, first, second = table(capsys, place, tiny_folder, "views", "--methods", "occlusion", "clip4dm")
    assert head == ["mean feature of", "occlusion", "clip4dm"]
    assert second[1:] == [f"{value}, 0.000 [0.000, 0.000]" for value in first[1:]]


def test_every_view_has_a_row(capsys, place, tiny_folder):
    _, *rows = table(capsys, place, tiny_folder, "views", "--methods", "occlusion", "--limit", "6")
    assert [row[0] for row in rows] == list(vary_inputs.VIEWS)


def test_features_of_views_are_those_of_the_pictures(tiny_folder, place):
    detector = CLIP4DM.from_pretrained(None, str(tiny_folder), "cpu")
    path = next((place / "images").iterdir())
    parts = vary_inputs.features_of_views(detector, [path, path])
    assert {kind: part.shape[:2] for kind, part in parts.items()} == {
        "whole": (2, 1), "mirror": (2, 1), "crops": (2, 5), "masked": (2, vary_inputs.MASKED_COPIES),
    }  # fmt: skip
    mirrored = Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert torch.allclose(parts["mirror"][1], detector.encode_images([mirrored]), atol=1e-5)


def test_crops_are_of_the_corners_and_the_middle():
    picture = Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10))
    (_, _), (_, _), (_, crops) = vary_inputs.shown(picture)
    assert [crop.getpixel((0, 0)) for crop in crops] == [0, 2, 20, 22, 11]


def test_a_benchmark_without_foils_is_said(capsys, place, tiny_folder):
    with pytest.raises(SystemExit):
        table(capsys, place, tiny_folder, "words", "--limit", "0")
    make_foil(place / "true.json", [])
    with pytest.raises(SystemExit):
        vary_inputs.main(["words", "--data_path", str(place / "true.json"), "--img_dir", str(place / "images")])
