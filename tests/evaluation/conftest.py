"""A small benchmark, and an uninterrupted run of it that others are held against."""

from __future__ import annotations

import pytest
from making import make_coco_captions, make_foil, make_pictures, make_tiny_clip
from small_run import IMAGES, files_of

from clip4dm.evaluation.run import Options, evaluate


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    names = make_pictures(folder / "images", IMAGES)
    foil = make_foil(folder / "foil.json", names)
    return {
        "data_path": str(foil),
        "img_dir": str(folder / "images"),
        "backbone": None,
        "pretrained": str(make_tiny_clip(folder / "tiny")),
        "get_refclipscore": True,
        "reference_path": str(make_coco_captions(folder / "captions.json", foil)),
        "device": "cpu",
        "method": "clip4dm",
        "start_layer_text": -3,  # the paper's, though a tower this small is explained whole where nothing is said
        "num_workers": 0,
        "images_per_block": 2,
    }


@pytest.fixture(scope="session")
def reference(data, tmp_path_factory):
    """An uninterrupted run: (samples.jsonl, result.json) as bytes, and its outcome."""
    outcome = evaluate(Options(**data, output=str(tmp_path_factory.mktemp("reference"))), say=lambda line: None)
    return files_of(outcome.folder), outcome
