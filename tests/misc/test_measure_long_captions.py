"""measure_long_captions.py on two runs of drawn pairs, counted again from samples.jsonl."""

from __future__ import annotations

import json
from pathlib import Path

import measure_long_captions
import pytest
from sklearn.metrics import average_precision_score

from clip4dm.benchmarks.shapes.benchmark import make_long_benchmark
from clip4dm.commands import evaluate as main_py
from clip4dm.evaluation.store.finished import open_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("long")
    data = make_long_benchmark(folder / "shapes", 24, size=64)
    asked = ["--data_path", str(data), "--img_dir", str(folder / "shapes" / "images"), "--backbone", "demo"]
    found = {}
    for long in ("cut", "split"):
        main_py.main([*asked, "--num_workers", "0", "--long", long, "--output", str(folder / long)])
        found[long] = next((folder / long).glob("*/*/*/samples.jsonl")).parent
    return found


def foils(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    return [row for row in rows if row["label"]["misaligned"]]


def test_no_word_is_unscored_and_the_runs_are_two(runs):
    for long, folder in runs.items():
        unscored = [unit for row in foils(folder) for unit in row["units"] if not unit[3]]
        assert bool(unscored) == (long == "cut") and open_run(folder).config["args"]["long"] == long
    assert runs["split"].name.startswith("split_most_negative_")
    fingerprints = {open_run(folder).config["fingerprint"] for folder in runs.values()}
    assert len(fingerprints) == 2


def test_the_tables_are_counted_from_the_samples(runs, capsys):
    capsys.readouterr()
    measure_long_captions.main([str(runs["cut"]), str(runs["split"]), "--width", "100"])
    printed = capsys.readouterr().out
    table = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in printed.splitlines() if line.startswith("|")}
    cut, split = foils(runs["cut"]), foils(runs["split"])
    beyond = [
        next(not scored for start, _, _, scored in row["units"] if start == row["label"]["spans"][0][0]) for row in cut
    ]
    assert 0 < sum(beyond) < len(cut) == 24
    for name, kept in (("anywhere", [True] * 24), ("beyond it", beyond)):
        mine = [(a, b) for a, b, wanted in zip(cut, split, kept, strict=True) if wanted]
        assert int(table[name][0]) == len(mine)
        for column, way, key in ((1, 0, "is_correct_span"), (2, 1, "is_correct_span"), (5, 1, "is_correct")):
            share = sum(pair[way][key] for pair in mine) / len(mine)
            assert table[name][column].split()[0] == f"{share:.3f}"
    assert table["beyond it"][1].split()[0] == "0.000"
    assert float(table["anywhere"][2].split()[0]) > float(table["anywhere"][1].split()[0])
    assert sum(int(table[name][0]) for name in table if " to " in name) == 24
    rows = [json.loads(line) for line in (runs["split"] / "samples.jsonl").read_text().splitlines()]
    lowest = [min(value for word, value in row["word_attributions"] if word != ".") for row in rows]
    expected = average_precision_score([not row["label"]["misaligned"] for row in rows], lowest)
    assert table["lowest word"][1].split()[0] == f"{expected:.3f}" and "F-CLIPScore" in table


def test_runs_that_are_not_one_of_each_are_one_line(runs, capsys):
    for asked in ([runs["split"], runs["cut"]], [runs["cut"], runs["cut"]]):
        with pytest.raises(SystemExit):
            measure_long_captions.main([str(folder) for folder in asked])
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "a run with --long cut and one with --long split are needed" in error


def test_rescoring_keeps_to_the_runs_way(runs, capsys):
    main_py.main(["--rescore", str(runs["split"]), "--long", "split", "--sorted_by", "threshold", "--epsilon", "-0.01"])
    with pytest.raises(SystemExit):
        main_py.main(["--rescore", str(runs["split"]), "--long", "cut"])
    error = capsys.readouterr().err
    assert "with long split, and those with cut need the model" in error and error.count("\n") == 1
