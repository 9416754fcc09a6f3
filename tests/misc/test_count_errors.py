"""count_errors.py on a run of drawn pairs, counted again from samples.jsonl and foil.json by their published keys."""

from __future__ import annotations

import json
from pathlib import Path

import count_errors
import pytest

from clip4dm.benchmarks.shapes.benchmark import make_benchmark
from clip4dm.commands import evaluate as main_py


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, Path]:
    """The annotations of 60 drawn pairs, and the folder of a run that looks at the last layer alone, which often errs."""
    folder = tmp_path_factory.mktemp("errors")
    data = make_benchmark(folder / "shapes", 60)
    asked = ["--data_path", str(data), "--img_dir", str(folder / "shapes" / "images"), "--backbone", "demo"]
    main_py.main([*asked, "--start_layer_text", "-1", "--num_workers", "0", "--output", str(folder / "out")])
    return data, next(folder.glob("out/*/*/*/samples.jsonl")).parent


def test_counts_are_those_of_the_published_keys(done, capsys):
    data, folder = done
    pair_of = {row["caption"]: row["foil_id"] for row in json.loads(data.read_text())["annotations"]}
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    lowest = {row["id"]: min(row["word_attributions"], key=lambda word: word[1])[0] for row in rows}
    originals = {pair_of[row["caption"]]: row for row in rows if row["GT_foil_word"] == "ORIG"}
    foils = [row for row in rows if row["GT_foil_word"] != "ORIG"]
    misses = [row for row in foils if not row["is_correct_span"]]
    assert 5 < len(misses) < len(foils)
    same = [row for row in misses if lowest[row["id"]] == lowest[originals[pair_of[row["caption"]]]["id"]]]
    kept = [row for row in misses if row["cosine"] >= originals[pair_of[row["caption"]]]["cosine"]]
    assert same
    capsys.readouterr()
    count_errors.main([str(folder), "--worst", "3"])
    printed = capsys.readouterr().out
    table = {line.split("|")[1].strip(): line.split("|")[2:5] for line in printed.splitlines() if line.startswith("|")}
    assert [int(number) for number in table["missed"]] == [len(misses), len(same), len(kept)]
    assert [int(number) for number in table["located"][:2]] == [len(foils) - len(misses), 0]
    worst = min(misses, key=lambda row: min(value for _, value in row["word_attributions"]))
    assert worst["caption"] in printed.partition("Worst misses")[2].partition("Lowest words of true")[0]


def test_a_run_of_something_else_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        count_errors.main([str(tmp_path)])
    assert capsys.readouterr().err.count("\n") == 1
