"""Pictures that are damaged or not there: what is said, what is scored, what a later run computes."""

from __future__ import annotations

import json

import pytest
from small_run import IMAGES

from clip4dm.evaluation.run import Options, evaluate
from clip4dm.evaluation.store.runfiles import RunError


def test_damaged_pictures_are_recorded_and_only_their_blocks_computed_again(reference, data, tmp_path):
    import shutil

    images = tmp_path / "images"
    shutil.copytree(data["img_dir"], images)
    broken = sorted(images.iterdir())[4]
    whole = broken.read_bytes()
    broken.write_bytes(whole[:300])
    options = Options(**{**data, "img_dir": str(images)}, output=str(tmp_path / "out"))
    outcome = evaluate(options, say=lambda line: None)
    assert sorted(outcome.skipped) == ["1005-5005-foil", "1005-5005-orig"]
    assert all(broken.name in reason and str(images) not in reason for reason in outcome.skipped.values())
    assert outcome.result["n"] == 2 * IMAGES - 2 and outcome.result["skipped"]["damaged"] == 2
    stored = (outcome.folder / "samples.jsonl").stat().st_mtime_ns
    evaluate(options, say=lambda line: None)  # still damaged: nothing to do
    assert (outcome.folder / "samples.jsonl").stat().st_mtime_ns == stored
    broken.write_bytes(whole)
    again = evaluate(options, say=lambda line: None)
    assert again.skipped == {} and again.folder == outcome.folder
    timing = json.loads((again.folder / "timing.json").read_text())
    assert timing["samples_computed"] == 4  # one block of two images
    assert (again.folder / "samples.jsonl").read_bytes() == reference[0][0]


def test_missing_pictures_are_listed_before_anything_is_computed(data, tmp_path):
    import shutil

    images = tmp_path / "images"
    shutil.copytree(data["img_dir"], images)
    for path in sorted(images.iterdir())[:12]:
        path.unlink()
    options = {**data, "img_dir": str(images), "output": str(tmp_path / "out")}
    with pytest.raises(RunError, match=r"12 of 23 images are not in .*000000000010.jpg, \.\.\.\. Fetch them"):
        evaluate(Options(**options), say=lambda line: None)
    assert not (tmp_path / "out").exists()
    outcome = evaluate(Options(**options, skip_missing=True), say=lambda line: None)
    assert outcome.result["n"] == 22 and outcome.result["skipped"]["missing"] == 24
    with pytest.raises(RunError, match="None is left to score"):
        evaluate(Options(**{**options, "img_dir": str(tmp_path)}, skip_missing=True), say=lambda line: None)
