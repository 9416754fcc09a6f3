"""main.py's run on a tiny model: interrupted in every way, resumed, re-scored: the same bytes each time; sharded."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from contract import assert_records
from making import make_coco_captions, make_foil, make_pictures, make_tiny_clip
from places import ROOT

from clip4dm.evaluation.run import Options, evaluate, rescore
from clip4dm.evaluation.store.runfiles import RunError

IMAGES = 23


@pytest.fixture(scope="module")
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
        "num_workers": 0,
        "images_per_block": 2,
    }


@pytest.fixture(scope="module")
def reference(data, tmp_path_factory):
    """An uninterrupted run: (samples.jsonl, result.json) as bytes, and its outcome."""
    outcome = evaluate(Options(**data, output=str(tmp_path_factory.mktemp("reference"))), say=lambda line: None)
    return files_of(outcome.folder), outcome


def files_of(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "samples.jsonl").read_bytes(), (folder / "result.json").read_bytes()


def only_run(output: Path) -> Path:
    (folder,) = {path.parent for path in output.rglob("config.json")}
    return folder


def command(data: dict, output: Path, *more: str) -> list[str]:
    given = {**data, "output": str(output)}
    given.pop("backbone")
    options = [text for name, value in given.items() if value is not None for text in (f"--{name}", str(value))]
    return [str(ROOT / "main.py"), *options, *more]


def test_the_result_says_all_that_made_it(reference, data):
    (samples, result_bytes), outcome = reference
    result = json.loads(result_bytes)
    lines = [json.loads(line) for line in samples.splitlines()]
    assert len(lines) == result["n"] == 2 * IMAGES
    assert result["skipped"]["count"] == 0
    assert result["benchmark"] == "foil"
    assert result["settings"] == {"sorted_by": "most_negative", "epsilon": -5e-5, "start_layer_text": -3, "layers": 4}
    assert {"torch", "open_clip_torch", "pillow", "clip4dm"} <= set(result["versions"])
    assert len(result["weights_sha256"]) == len(result["data_sha256"]) == 64
    assert set(result["AP"]) == {"F-CLIPScore", "F-CLIPScore_published", "misaligned_sum", "CLIPScore", "refCLIPScore"}
    for name in ("value", "low", "high", "n", "reason"):
        assert name in result["LA"] and name in result["LA_span"] and name in result["AP"]["refCLIPScore"]
    published = {
        "id",
        "caption",
        "pair_score",
        "GT_foil_word",
        "predicted_foil_word",
        "sum_negative_attribution",
        "gt_score",
        "is_correct",
        "image_id",
        "word_attributions",
        "ref_clipscore",
        "nli_score",
        "groupby",
    }
    assert all(published <= set(line) for line in lines)
    assert outcome.folder.parent.parent.name == "foil"
    assert (outcome.folder / "timing.json").is_file()


def test_the_figures_are_sklearns_of_the_stored_lines(reference):
    from sklearn.metrics import average_precision_score

    (samples, result_bytes), _ = reference
    lines, result = [json.loads(line) for line in samples.splitlines()], json.loads(result_bytes)
    original = [line["GT_foil_word"] == "ORIG" for line in lines]
    for name, key in (("CLIPScore", "pair_score"), ("refCLIPScore", "ref_clipscore"), ("F-CLIPScore", "f_clip_score")):
        expected = average_precision_score(original, [line[key] for line in lines])
        assert result["AP"][name]["value"] == pytest.approx(expected, abs=1e-12)
    foils = [line for line in lines if line["GT_foil_word"] != "ORIG"]
    hits = [line["predicted_foil_word"].lower() == line["GT_foil_word"].lower() for line in foils]
    assert result["LA"]["value"] == pytest.approx(sum(hits) / len(hits), abs=1e-12)
    assert [line["is_correct"] for line in foils] == hits
    assert all(line["is_correct"] is None for line in lines if line["GT_foil_word"] == "ORIG")


def test_interrupted_at_twenty_random_moments(data, tmp_path):
    """kill -9, SIGTERM and Ctrl-C: its workers end with it, every run goes on where the last one fell, the same bytes."""
    names = make_pictures(tmp_path / "images", 300)
    many = {
        **data,
        "data_path": str(make_foil(tmp_path / "foil.json", names)),
        "img_dir": str(tmp_path / "images"),
        "num_workers": 2,
        "images_per_block": 1,
        "get_refclipscore": False,
        "reference_path": None,
    }

    def run(planned: list, output: Path) -> list[dict]:
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "killable.py"), json.dumps(planned), *command(many, output)[1:]],
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    chance = random.Random(7)
    signals = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT] * 7
    # Three while the workers start, the others a moment after new lines: none can miss the run.
    moments = [("started", 0.1)] * 3 + [("stored", 0.02)] * 17
    chance.shuffle(moments)
    planned = [
        (number, when, chance.uniform(0, longest)) for number, (when, longest) in zip(signals, moments, strict=False)
    ]
    run([], tmp_path / "whole")
    ends = run(planned, tmp_path / "killed")
    for end in ends:
        assert end["lock_free"] and not end["left"] and "Traceback" not in end["stderr"], end
    *killed, last = ends
    assert len(killed) == 20 and last["status"] == 0, last
    met = [end for end in killed if end["status"] != 0]  # the others were done before their signal came
    assert len(met) == 20, killed
    endings = {
        signal.SIGKILL: (-9, None),
        signal.SIGTERM: (143, "main.py: terminated"),
        signal.SIGINT: (130, "main.py: interrupted"),
    }
    for end in met:
        status, said = endings[end["interruption"][0]]
        assert end["status"] == status and (said is None or end["stderr"].splitlines()[-1] == said), end
    # The signals did meet a run at work, with its workers, each time at another place.
    assert sum(end["processes"] == 3 for end in met) >= 15, killed
    assert len({end["stored"] for end in met if 0 < end["stored"] < last["stored"]}) >= 15, killed
    assert files_of(only_run(tmp_path / "killed")) == files_of(only_run(tmp_path / "whole"))
    sums = [(only_run(tmp_path / name) / "samples.sums").read_bytes() for name in ("killed", "whole")]
    assert sums[0] == sums[1]


def test_two_processes_under_torchrun_give_the_same_run(reference, data, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node",
            "2",
            *command(data, tmp_path),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = (
        map(json.loads, samples.splitlines()) for samples in (files_of(only_run(tmp_path))[0], reference[0][0])
    )
    for a, b in zip(ours, theirs, strict=True):
        assert_records(a, b)
    printed = done.stdout[done.stdout.index("metric") :]
    assert printed[: len(reference[1].table)] == reference[1].table
    assert json.loads((only_run(tmp_path) / "timing.json").read_text())["processes"] == 2


def test_running_again_computes_nothing(reference, data, tmp_path):
    options = Options(**data, output=str(tmp_path))
    folder = evaluate(options, say=lambda line: None).folder
    written = (folder / "samples.jsonl").stat().st_mtime_ns
    evaluate(options, say=lambda line: None)
    assert (folder / "samples.jsonl").stat().st_mtime_ns == written
    assert files_of(folder) == reference[0]


def test_workers_and_resuming_do_not_change_a_byte(reference, data, tmp_path):
    folder = evaluate(Options(**{**data, "num_workers": 2}, output=str(tmp_path)), say=lambda line: None).folder
    assert files_of(folder) == reference[0]


@pytest.mark.parametrize(
    "change",
    [
        {"epsilon": -1e-3},
        {"sorted_by": "threshold"},
        {"template": "a photo of "},
        {"precision": "bf16"},
        {"limit": 5},
        {"get_refclipscore": False},
        {"start_layer_text": -1},
    ],
)
def test_other_settings_go_to_another_folder(reference, data, tmp_path, change):
    folder = evaluate(Options(**{**data, **change}, output=str(tmp_path)), say=lambda line: None).folder
    assert folder.name != reference[1].folder.name


@pytest.mark.parametrize(
    "settings",
    [
        {"epsilon": -1e-4, "sorted_by": "threshold"},
        {"start_layer_text": -1},
        {"start_layer_text": 0},
        {"sorted_by": "threshold", "epsilon": 0.0, "start_layer_text": -2},
    ],
)
def test_rescoring_equals_a_run_with_those_settings(reference, data, tmp_path, settings):
    again = rescore(reference[1].folder, **settings, say=lambda line: None).result
    fresh = evaluate(Options(**{**data, **settings}, output=str(tmp_path)), say=lambda line: None).result
    for name in ("n", "LA", "LA_span", "AP", "groups", "settings"):
        assert again[name] == fresh[name], name


def test_rescoring_wants_a_finished_run_and_possible_settings(reference, tmp_path):
    with pytest.raises(RunError, match="no finished run"):
        rescore(tmp_path)
    with pytest.raises(ValueError, match="out of range"):
        rescore(reference[1].folder, start_layer_text=-9)
    with pytest.raises(ValueError, match="sorted_by"):
        rescore(reference[1].folder, sorted_by="loudest")


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": 0}, "--limit is 0; it must be a whole number from 1"),
        ({"benchmark": "hat"}, "looks like foil's"),
        ({"reference_path": None}, "--get_refclipscore needs references"),
        ({"start_layer_text": 9}, "out of range"),
        ({"template": "very " * 99}, "template fills"),
    ],
)
def test_options_that_cannot_be(data, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        evaluate(Options(**{**data, **change}, output=str(tmp_path)), say=lambda line: None)


def test_the_papers_number_stands_beside_ours_where_model_and_settings_are_the_papers(reference):
    from clip4dm.evaluation import report

    result = {**reference[1].result, "backbone": "ViT-B-32", "pretrained": "openai"}
    lines = report.table(result).splitlines()
    location = next(line for line in lines if line.startswith("LA "))
    assert location.split()[-1] == "0.73" and f"{result['LA']['value']:.3f}" in location
    assert next(line for line in lines if line.startswith("AP/F-CLIPScore_published")).split()[-1] == "0.71"
    assert next(line for line in lines if line.startswith("AP/refCLIPScore")).split()[-1] == "0.75"
    assert next(line for line in lines if line.startswith("LA_span")).split()[-1] == "—"
    for change in (
        {"settings": {**result["settings"], "start_layer_text": -1}},
        {"args": {**result["args"], "template": "a photo of "}},
        {"backbone": "ViT-L-14"},
    ):
        assert (
            next(line for line in report.table({**result, **change}).splitlines() if line.startswith("LA ")).split()[-1]
            == "—"
        )
