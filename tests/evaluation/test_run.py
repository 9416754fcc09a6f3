"""main.py's run on a tiny model: interrupted, resumed, sharded: the same bytes each time; what its result says."""

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
from making import make_foil, make_pictures
from places import ROOT
from small_run import IMAGES, files_of

from clip4dm.evaluation.run import Options, evaluate


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
