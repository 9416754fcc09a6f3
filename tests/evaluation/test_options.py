"""Numbers on the command line: every script refuses the same, in one line; Python too."""

from __future__ import annotations

import numpy as np
import pytest

from clip4dm.evaluation.options import AT_LEAST_ONE, EPSILON, PROCESSES, SEED
from clip4dm.evaluation.processes import Workers
from clip4dm.evaluation.run import Options
from clip4dm.evaluation.store.runfiles import RunError


def parsers():
    import ablate
    import benchmark_speed
    import epsilon_study
    import make_shapes_benchmark
    import reproduce_tables
    import train_demo_model
    import train_photo_text

    from clip4dm.commands import evaluate as main
    from clip4dm.commands import infer

    data = ["--data_path", "x.json", "--img_dir", "x"]
    return {
        "main": (main.parse_args, []),
        "infer": (infer.parse_args, []),
        "ablate": (ablate.main, data),
        "epsilon_study": (epsilon_study.main, ["x"]),
        "reproduce_tables": (reproduce_tables.parse_args, []),
        "make_shapes": (make_shapes_benchmark.main, ["x"]),
        "train": (train_demo_model.parse_args, ["x"]),
        "train_photo": (train_photo_text.parse_args, ["x", "--features", "x", "--captions", "x", "--image_tower", "x"]),
        "speed": (benchmark_speed.parse_args, []),
    }


@pytest.mark.parametrize(
    ("script", "option", "values"),
    [
        ("main", "--epsilon", ("nan", "inf", "-inf", "1e999", "x", "")),
        ("infer", "--epsilon", ("nan", "-inf")),
        ("infer", "--score_weight", ("nan", "-1", "x")),
        ("main", "--score_weight", ("inf", "-0.1", "")),
        ("ablate", "--epsilon", ("nan", "inf")),
        ("ablate", "--limit", ("0", "-1", "1.5")),
        ("main", "--limit", ("0", "-1", "²", "9" * 30)),
        ("reproduce_tables", "--limit", ("0", "-1")),
        ("main", "--images_per_block", ("0", "-1")),
        ("main", "--num_workers", ("-1", "100000")),
        ("main", "--batch_size", ("0", "-4", "1.5", "²")),
        ("main", "--seed", ("-1", "x")),
        ("infer", "--demo", ("-5", "x")),
        ("epsilon_study", "--count", ("0", "-1")),
        ("reproduce_tables", "--pairs", ("0", "-3")),
        ("make_shapes", "--pairs", ("0", "-1")),
        ("make_shapes", "--size", ("0", "-1", "1000000")),
        ("make_shapes", "--first_seed", ("-1",)),
        ("train", "--scenes", ("0",)),
        ("train", "--lr", ("nan", "-1")),
        ("train", "--threads", ("0",)),
        ("train_photo", "--stop", ("0", "x")),
        ("train_photo", "--dropout", ("1", "-0.1", "nan")),
        ("speed", "--rounds", ("0",)),
        ("speed", "--captions_each", ("0",)),
        ("speed", "--threads", ("0", "-1")),
    ],
)
def test_values_that_cannot_be_are_usage_errors(capsys, script, option, values):
    parse, needed = parsers()[script]
    for value in values:
        with pytest.raises(SystemExit) as stop:
            parse([*needed, f"{option}={value}"])
        captured = capsys.readouterr()
        last = captured.err.splitlines()[-1]
        assert stop.value.code == 2 and captured.out == ""
        assert f"error: argument {option}: " in last and " is not a " in last and "Traceback" not in captured.err


def test_a_negative_number_may_stand_behind_its_option():
    """As the README has it; Python 3.11's argparse alone would take -1e-5 for an option."""
    from clip4dm.commands import evaluate as main
    from clip4dm.commands import infer

    for text in ("-1e-5", "-5E-05", "-.5", "-1"):
        assert main.parse_args(["--epsilon", text, "--limit", "3"]).epsilon == float(text)
        assert infer.parse_args(["--text", "a", "--epsilon", text]).epsilon == float(text)
    assert infer.parse_args(["--text", "a", "-1"]).text == ["a", "-1"]


@pytest.mark.parametrize(
    "change",
    [
        {"epsilon": float("nan")},
        {"epsilon": True},
        {"epsilon": "1"},
        {"limit": 0},
        {"limit": -1},
        {"limit": True},
        {"limit": 2.0},
        {"images_per_block": 0},
        {"images_per_block": None},
        {"num_workers": -1},
        {"batch_size": 1.5},
        {"batch_size": 0},
        {"seed": -1},
        {"seed": None},
        {"resume": "false"},
        {"overwrite": 1},
        {"get_refclipscore": "no"},
    ],
)
def test_pythons_options_are_checked_too(change):
    (name,) = change
    with pytest.raises(ValueError, match=f"^--{name} is .*; it must be "):
        Options("x.json", "x", **change)


def test_values_that_can_be():
    given = Options("x", "x", epsilon=-0.0, limit=np.int64(3), num_workers=0, batch_size=None, seed=2**63 - 1)
    assert given.limit == 3
    assert [AT_LEAST_ONE("1"), PROCESSES("0"), SEED("0"), EPSILON("-1e-5")] == [1, 0, 0, -1e-5]


@pytest.mark.parametrize(
    "said",
    [
        {"RANK": "abc"},
        {"RANK": "5", "WORLD_SIZE": "2"},
        {"RANK": "-1"},
        {"WORLD_SIZE": "0"},
        {"WORLD_SIZE": "x"},
        {"LOCAL_RANK": "3"},
        {"LOCAL_RANK": "-2"},
        {"RANK": ""},
        {"RANK": "1.0"},
        {"RANK": "²"},
        {"WORLD_SIZE": "9" * 5000},
    ],
)
def test_nonsense_from_torchrun_is_one_line(monkeypatch, said):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="expected whole numbers, RANK .* less than WORLD_SIZE. .* unset all three"):
        Workers.from_environment()


def test_a_process_that_cannot_join_says_so(monkeypatch):
    import torch

    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="process 0 of 2 cannot join the others .*MASTER_ADDR"):
        Workers(0, 2, 0).start(torch.device("cpu"))


def test_what_torchrun_says(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert Workers.from_environment() == Workers(0, 1, 0)
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert Workers.from_environment() == Workers(3, 4, 1)
