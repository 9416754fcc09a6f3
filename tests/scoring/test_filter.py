"""`clip4dm filter` against pandas on the same rows, and by hand: ties, errors, NaN, nothing kept, wrong input."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_scores import random_rows, row, run, store

from clip4dm.scoring.filtering.selection import Rules, select
from clip4dm.scoring.filtering.stored import read_scores

SPLITS = (40, 1, 0, 159, 100)


@pytest.fixture(scope="module")
def rows():
    return random_rows(sum(SPLITS))


@pytest.fixture(scope="module", params=["parquet", "jsonl"])
def folder(rows, request, tmp_path_factory):
    ends = np.cumsum(SPLITS)
    shards = [rows[end - size : end] for end, size in zip(ends, SPLITS, strict=True)]
    return store(tmp_path_factory.mktemp("scores") / request.param, shards, output_format=request.param)


def by_pandas(rows, *, condition=None, best_of=None, keep_fraction=None, by="f_clip_score"):
    """Keys, in input order."""
    frame = pd.DataFrame(rows)
    left = frame[frame["error"].isna() & np.isfinite(frame[by].astype(float))]
    if condition is not None:
        left = left[condition(left)]
    left = left.sort_values([by, "cosine"], ascending=False, kind="stable")
    if best_of:
        left = left.drop_duplicates(best_of)
    if keep_fraction is not None:
        left = left.head(int(keep_fraction * len(left) + 0.5))
    return left.sort_index()["key"].tolist()


def no_word(frame):
    return frame["misaligned"].map(len) == 0


CASES = {
    "": {},
    "--no_misaligned": {"condition": no_word},
    "--f_clip_score_above -0.25": {"condition": lambda f: f["f_clip_score"] > -0.25},
    "--f_clip_score_above=-5e-1": {"condition": lambda f: f["f_clip_score"] > -0.5},
    "--best_of image": {"best_of": "image"},
    "--best_of caption": {"best_of": "caption"},
    "--best_of caption --by clip_score": {"best_of": "caption", "by": "clip_score"},
    "--keep_fraction 0.7": {"keep_fraction": 0.7},
    "--keep_fraction 0.3 --by weight": {"keep_fraction": 0.3, "by": "weight"},
    "--keep_fraction 1": {"keep_fraction": 1.0},
    "--keep_fraction 0": {"keep_fraction": 0.0},
    "--best_of image --keep_fraction 0.5 --no_misaligned": {
        "condition": no_word,
        "best_of": "image",
        "keep_fraction": 0.5,
    },
}


@pytest.mark.parametrize("options", CASES)
def test_the_rows_are_those_of_pandas(options, folder, rows, tmp_path, capsys):
    out, _ = run(folder, *options.split(), "--output", tmp_path / "kept.txt", capsys=capsys)
    wanted = by_pandas(rows, **CASES[options])
    assert (tmp_path / "kept.txt").read_text().splitlines() == wanted
    assert out.startswith(f"kept {len(wanted)} of 300 pairs, ")


@pytest.mark.parametrize(
    ("expression", "condition"),
    [
        ("cosine > 0.2 and f_clip_score > -0.5", lambda r: r["cosine"] > 0.2 and r["f_clip_score"] > -0.5),
        ("len(misaligned) < 2 -- a remark", lambda r: len(r["misaligned"]) < 2),
        ("weight is null or weight = 1", lambda r: r["weight"] is None or r["weight"] == 1),
        ("weight = 1", lambda r: r["weight"] == 1),  # of null neither true nor false, and so not kept
        ("caption like '%1' or \"image\" = '3.jpg'", lambda r: r["caption"][-1] == "1" or r["image"] == "3.jpg"),
        ("misaligned[1].text = 'dog'", lambda r: len(r["misaligned"]) > 0),
        ("cosine >= (select max(cosine) from scores)", lambda r: r["cosine"] == 0.4),
    ],
)
def test_expressions(expression, condition, rows, tmp_path, capsys):
    scores = store(tmp_path / "scores", [rows])
    run(scores, "--expr", expression, "--output", tmp_path / "kept.txt", capsys=capsys)
    scored = [one for one in rows if one["error"] is None and np.isfinite(one["f_clip_score"])]
    wanted = [one["key"] for one in scored if condition(one)]
    assert 0 < len(wanted) < len(scored)
    assert (tmp_path / "kept.txt").read_text().splitlines() == wanted


def test_ties_by_hand(tmp_path):
    """Of equal scores the higher cosine, of these the first; nothing is kept of what has no finite score."""
    rows = [
        row("no score", None, image="x", caption="p"),
        row("nan", float("nan"), image="x", caption="p"),
        row("low", -0.1, cosine=0.9, image="x", caption="p"),
        row("first", 0.0, cosine=0.3, image="x", caption="p"),
        row("second", 0.0, cosine=0.3, image="x", caption="q"),
        row("closer", 0.0, cosine=0.4, image="y", caption="q"),
        row("infinite", float("-inf"), image="z", caption="r"),
    ]
    scores = read_scores(store(tmp_path / "scores", [rows[:4], rows[4:]]))
    data = scores.dataset()

    def kept(**rules):
        selection = select(data, Rules(**rules))
        return [key for table in scores.rows(selection.places, ["key"]) for key in table["key"].to_pylist()]

    assert kept() == ["low", "first", "second", "closer"]
    assert kept(best_of="image") == ["first", "closer"]
    assert kept(best_of="caption") == ["first", "closer"]
    assert kept(keep_fraction=0.25) == ["closer"]
    assert kept(keep_fraction=0.5) == ["first", "closer"]
    assert kept(keep_fraction=0.375) == ["first", "closer"]  # 1.5 of 4: halves are rounded up
    assert kept(above=-0.1) == ["first", "second", "closer"]
    assert kept(best_of="image", expr="cosine < 0.4") == ["first"]  # the best of those that fit
    selection = select(data, Rules(keep_fraction=0.5))
    assert (selection.rows, selection.scored, selection.cut) == (7, 4, 0.0)


def test_rows_keep_their_columns_and_types(folder, rows, tmp_path, capsys):
    run(folder, "--keep_fraction", "0.5", "--output", tmp_path / "kept.parquet", capsys=capsys)
    table = pq.read_table(tmp_path / "kept.parquet")
    source = pq.read_table(next(folder.glob("*.parquet"))) if list(folder.glob("*.parquet")) else None
    if source is not None:
        assert table.schema.remove_metadata() == source.schema.remove_metadata()
    chosen = {one["key"]: one for one in rows}
    nan = re.compile(r"\bNaN\b")
    for got in table.to_pylist():
        want = chosen[got["key"]]
        lost = folder.name == "jsonl" and want["weight"] != want["weight"]  # JSON has no NaN
        assert nan.sub("null", json.dumps(got)) if lost else json.dumps(got) == json.dumps(want)
    about = json.loads(table.schema.metadata[b"clip4dm"])
    assert about["filter"]["keep_fraction"] == 0.5 and about["settings"] == {"kind": "usual"}


def test_datacomps_list(folder, rows, tmp_path, capsys):
    """As DataComp's baselines make it of the same uids: pairs of integers, sorted; each once."""
    run(folder, "--no_misaligned", "--key", "uid", "--output", tmp_path / "kept.npy", capsys=capsys)
    uids = [one["uid"] for one in rows if one["key"] in set(by_pandas(rows, condition=no_word))]
    wanted = np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in uids], np.dtype("u8,u8"))
    wanted.sort()
    found = np.load(tmp_path / "kept.npy", mmap_mode="r")
    assert found.dtype == np.dtype("u8,u8") and len(found) > 10 and np.array_equal(found, wanted)
    one = np.array([divmod(int(uids[3], 16), 2**64)], "u8,u8")[0]  # as its resharder asks
    assert np.searchsorted(found, one, "right") - np.searchsorted(found, one, "left") == 1


def test_a_picture_kept_twice_stands_once_in_datacomps_list(tmp_path, capsys):
    uid = "00ff" * 8
    scores = store(tmp_path / "scores", [[row("a", -0.1, uid=uid), row("b", -0.2, uid=uid.upper())]])
    run(scores, "--key", "uid", "--output", tmp_path / "kept.npy", capsys=capsys)
    assert np.load(tmp_path / "kept.npy").tolist() == [(0x00FF00FF00FF00FF, 0x00FF00FF00FF00FF)]


def test_nothing_kept_is_an_empty_file_and_a_note(tmp_path, capsys):
    scores = store(tmp_path / "scores", [[row("a" * 32, -0.1), row("b" * 32, None)]])
    outputs = [tmp_path / f"kept{suffix}" for suffix in (".txt", ".npy", ".parquet")]
    words = [word for output in outputs for word in ("--output", output)]
    out, err = run(scores, "--expr", "cosine > 1", *words, "--histogram", tmp_path / "h.png", capsys=capsys)
    assert out.startswith("kept 0 of 2 pairs, 0.0 %, 1 could not be scored: ")
    assert err == "clip4dm filter: note: no pair is kept; what was written is empty\n"
    assert outputs[0].read_bytes() == b"" and np.load(outputs[1]).dtype == np.dtype("u8,u8")
    assert len(np.load(outputs[1])) == 0 and pq.read_table(outputs[2]).num_rows == 0
    assert "f_clip_score" in pq.read_table(outputs[2]).column_names and (tmp_path / "h.png").stat().st_size > 1000


def test_carried_columns_of_types_that_duckdb_does_not_know(tmp_path, capsys):
    """Half floats can be chosen by; whatever else it is, it costs nothing and comes out as it was."""
    scores = store(tmp_path / "scores", [[row("a", -0.3), row("b", -0.2), row("c", -0.1)]])
    (path,) = scores.glob("*.parquet")
    table, halves = pq.read_table(path), np.array([0.5, 0.25, 2.0], np.float16)
    lists = pa.array([[half] for half in halves], pa.list_(pa.float16()))
    table = table.append_column("half", pa.array(halves)).append_column("halves", lists)
    pq.write_table(table.replace_schema_metadata(pq.read_metadata(path).metadata), path)
    words = ["--best_of", "image", "--keep_fraction", "0.67", "--by", "half", "--output", tmp_path / "kept.parquet"]
    run(scores, *words, "--expr", "half < 3", capsys=capsys)
    kept = pq.read_table(tmp_path / "kept.parquet")
    assert kept["key"].to_pylist() == ["a", "c"] and kept["halves"].to_pylist() == [[0.5], [2.0]]
    assert kept["half"].type == pa.float16() and kept["half"].to_pylist() == [0.5, 2.0]
