"""benchmark_filter.py's made-up scores are such as `clip4dm score` stores, and the filter takes them."""

from __future__ import annotations

import re

import benchmark_filter
import pyarrow.parquet as pq

from clip4dm.scoring.filtering.selection import Rules, select
from clip4dm.scoring.filtering.stored import read_scores
from clip4dm.scoring.schema import schema


def test_the_scores_are_a_finished_folder(tmp_path):
    folder = benchmark_filter.make_scores(tmp_path / "scores", 1000, 300)
    scores = read_scores(folder)
    assert [shard.rows for shard in scores.shards] == [300, 300, 300, 100] and not scores.remarks
    assert all(pq.read_schema(shard.path).remove_metadata() == schema() for shard in scores.shards)
    row = pq.read_table(scores.shards[1].path).to_pylist()[7]
    assert row["key"] == "00000307" and row["caption"] == "a small red car in the wet street 76"
    assert [row["caption"][word["start"] : word["end"]] for word in row["words"]] == [w["text"] for w in row["words"]]
    assert bool(row["misaligned"]) == (row["f_clip_score"] < 0)
    assert len(select(scores.dataset(), Rules(best_of="caption")).places) == 250


def test_it_measures(capsys):
    benchmark_filter.main(["--rows", "500", "900", "--per_shard", "400"])
    rows = re.findall(r"^\| (\d+) +\| [\d.]+ +\| [\d.]+ +\| \d+ MiB +\|$", capsys.readouterr().out, re.MULTILINE)
    assert rows == ["500", "900"]
