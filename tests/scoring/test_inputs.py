"""What is read, held against other readers: pandas for tables, webdataset for tars; and any file system of fsspec's."""

from __future__ import annotations

import csv
import io
import json
import pickle
import tempfile
from pathlib import Path

import fsspec
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from drawn_pairs import read_rows, write_folder, write_table, write_tars
from hypothesis import given, settings
from hypothesis import strategies as st

from clip4dm.scoring.inputs.recognise import open_input
from clip4dm.scoring.pairs import ScoringError, without_doubles
from clip4dm.scoring.work import score

FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=12)


def all_pairs(found):
    return [pair for shard in found.shards() for pair in shard.pairs()]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=12),
    delimiter=st.sampled_from(",;\t|"),
    bom=st.booleans(),
    shard_size=st.integers(1, 5),
)
def test_a_csv_is_read_as_pandas_reads_it(rows, delimiter, bom, shard_size):
    """Any text in the fields, delimiters, quotes and newlines too, and shards that begin anywhere."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([("image", "caption"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captions.csv"
        path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.getvalue().encode())
        found = open_input([str(path)], shard_size=shard_size)
        pairs = all_pairs(found)
        expected = pandas.read_csv(path, sep=delimiter, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    assert [pair.caption for pair in pairs] == list(expected["caption"]) == [caption for _, caption in rows]
    assert [pair.image_id for pair in pairs if pair.image_id] == [image for image, _ in rows if image.strip()]
    assert sum(shard.count for shard in found.shards()) == len(rows)
    assert [pair.key for pair in pairs] == [f"{number:08d}" for number in range(len(rows))]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
@pytest.mark.parametrize("shard_size", [1, 6, 7, 8, 100])
def test_a_table_in_shards_of_any_size(ending, shard_size, pairs, tmp_path):
    found = open_input([str(write_table(tmp_path / f"captions.{ending}", pairs))], shard_size=shard_size)
    read = all_pairs(found)
    assert [(pair.image_id, pair.caption) for pair in read] == pairs
    assert [pair.carried["number"] for pair in read] == [str(i) if ending == "csv" else i for i in range(len(pairs))]
    assert len(found.shards()) == -(-len(pairs) // shard_size)
    assert [shard.name for shard in found.shards()] == [f"{i:05d}" for i in range(len(found.shards()))]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
def test_a_shard_is_sent_without_the_others(ending, pairs, tmp_path):
    """As an engine pickles it: what it takes does not grow with the number of shards."""
    sent = []
    for times in (1, 50):
        found = open_input([str(write_table(tmp_path / f"captions.{ending}", pairs * times))], shard_size=1)
        shard = pickle.loads(pickle.dumps(found.shards()[7]))
        assert [(pair.image_id, pair.caption) for pair in shard.pairs()] == [pairs[7]]
        sent.append(len(pickle.dumps(shard)))
    assert len(found.shards()) == 50 * len(pairs) and sent[1] <= sent[0] + 8  # of the number of rows


def test_several_tables_are_one_input(pairs, tmp_path):
    for number in range(3):
        write_table(tmp_path / f"part{number}.parquet", pairs[number * 5 :][:5])
    found = open_input([str(tmp_path / "part*.parquet")], shard_size=4)
    assert [pair.caption for pair in all_pairs(found)] == [caption for _, caption in pairs[:15]]
    assert [pair.key for pair in all_pairs(found)] == [f"{i:08d}" for i in range(15)]
    pq.write_table(pa.table({"image": ["a"], "text": ["b"]}), tmp_path / "part3.parquet")
    with pytest.raises(ScoringError, match="part3.parquet has other columns than .*: caption, number, text"):
        open_input([str(tmp_path / "part*.parquet")])
    with pytest.raises(ScoringError, match="inputs of several kinds"):
        open_input([str(tmp_path / "part0.parquet"), str(write_table(tmp_path / "a.csv", pairs))])


def test_types_of_carried_columns(tmp_path):
    """Of JSON's by all of its rows; of parquet as they are."""
    rows = [{"image": "a", "text": "b", "n": 1, "w": 1, "x": "1", "deep": {"a": 1}, "flag": True, "big": 2**70}]
    rows += [{"image": "a", "text": "b", "n": None, "w": 0.5, "x": 1, "late": "z"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (shard,) = open_input([str(tmp_path / "a.jsonl")]).shards()
    types = {field.name: str(field.type) for field in shard.carried}
    assert types == {
        "n": "int64",
        "w": "double",
        "x": "string",
        "deep": "string",
        "flag": "bool",
        "big": "string",
        "late": "string",
    }
    first, second = (pair.carried for pair in shard.pairs())
    assert first == {"n": 1, "w": 1, "x": "1", "deep": '{"a": 1}', "flag": True, "big": str(2**70), "late": None}
    assert second == {"n": None, "w": 0.5, "x": "1", "deep": None, "flag": None, "big": None, "late": "z"}
    times = pa.array(np.array(["2026-01-01T00:00:00.000000001"], dtype="datetime64[ns]"))
    table = pa.table(
        {"image": ["a"], "caption": ["b"], "when": times, "tags": [["x", "y"]], "half": pa.array([1], pa.int8())}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    (shard,) = open_input([str(tmp_path / "a.parquet")]).shards()
    (pair,) = shard.pairs()
    assert shard.carried == table.schema.remove_metadata().remove(0).remove(0)
    assert pa.Table.from_pylist([dict(pair.carried)], schema=shard.carried).equals(
        table.select(["when", "tags", "half"])
    )


def test_types_of_columns_in_several_tables(tmp_path):
    """One type for all: of JSON a number or text; of parquet it is for the user to say."""
    for name, row in (("a", {"n": 1, "x": 1, "y": "1"}), ("b", {"n": 0.5, "x": [1], "y": "2"})):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"image": name, "text": "b", **row}) + "\n")
        table = pa.table({"image": [name], "text": ["b"], "n": [row["n"]]})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    found = open_input([f"{tmp_path}/*.jsonl"])
    types = [[str(field.type) for field in shard.carried] for shard in found.shards()]
    assert types == [["double", "string", "string"]] * 2
    assert [dict(pair.carried) for pair in all_pairs(found)] == [
        {"n": 1, "x": "1", "y": "1"}, {"n": 0.5, "x": "[1]", "y": "2"},
    ]  # fmt: skip
    with pytest.raises(ScoringError, match="the column 'n' has several types: .*; make them one"):
        open_input([f"{tmp_path}/*.parquet"])


def test_pictures_as_the_library_datasets_keeps_them(demo, pictures, pairs, tmp_path):
    datasets = pytest.importorskip("datasets")
    images = [str(pictures / image) for image, _ in pairs[:4]]
    made = datasets.Dataset.from_dict({"image": images, "text": [caption for _, caption in pairs[:4]]})
    made.cast_column("image", datasets.Image()).to_parquet(tmp_path / "made.parquet")
    rows = list(score(all_pairs(open_input([str(tmp_path / "made.parquet")])), demo))
    assert [row["error"] for row in rows] == [None] * 4
    assert [row["f_clip_score"] for row in rows] == [
        row["f_clip_score"]
        for row in score([(image, pair[1]) for image, pair in zip(images, pairs, strict=False)], demo)
    ]


def test_a_tar_is_read_as_webdataset_reads_it(pictures, pairs, tmp_path):
    shards = write_tars(tmp_path, pictures, pairs, per_tar=7)
    paths = sorted(map(str, tmp_path.glob("*.tar")))
    theirs = list(webdataset.WebDataset(paths, shardshuffle=False).decode())
    ours = all_pairs(open_input([shards]))
    assert [pair.key for pair in ours] == [sample["__key__"] for sample in theirs]
    assert [pair.caption for pair in ours] == [sample["txt"] for sample in theirs]
    raw = list(webdataset.WebDataset(paths, shardshuffle=False))
    assert [pair.image for pair in ours] == [
        next(sample[kind] for kind in ("jpg", "png", "webp") if kind in sample) for sample in raw
    ]


def test_the_words_of_a_command_line(tmp_path):
    for name in ("08", "09", "10"):
        (tmp_path / f"{name}.tar").write_bytes(b"x")
    names = [shard.name for shard in open_input([f"{tmp_path}/{{08..10}}.tar"]).shards()]
    assert names == ["08", "09", "10"] == [shard.name for shard in open_input([f"{tmp_path}/*.tar"]).shards()]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "08.tar").write_bytes(b"x")
    twins = open_input([f"{tmp_path}/08.tar", f"{tmp_path}/other/08.tar", f"{tmp_path}/09.tar"]).shards()
    assert len({shard.name for shard in twins}) == 3 and twins[2].name == "09"
    for given_words, reason in (
        ([f"{tmp_path}/{{08..11}}.tar"], "no such file: .*11.tar"),
        ([f"{tmp_path}/x*.tar"], "nothing matches .*x"),
        ([f"{tmp_path}/08.tar", f"{tmp_path}/08.tar"], "08.tar is given twice"),
        ([f"{tmp_path}"], r"has no pictures in it .*; of its tar files, give '.*/\*.tar'"),
        ([f"{tmp_path}", f"{tmp_path}"], "one folder at a time"),
    ):
        with pytest.raises(ScoringError, match=reason):
            open_input(given_words)


def test_the_pairs_of_a_tar_may_go_by_a_key_of_their_json(pictures, pairs, tmp_path):
    shards = write_tars(tmp_path, pictures, pairs, per_tar=7, as_json=True)
    read = all_pairs(open_input([shards], pair_key="uid"))
    assert [pair.key for pair in read] == [str(number) for number in range(len(pairs))]
    assert [pair.caption for pair in read] == [caption for _, caption in pairs]
    assert "has no hash; it has 'caption', 'uid'" in all_pairs(open_input([shards], pair_key="hash"))[0].error


def test_options_that_mean_nothing_to_an_input(pictures, pairs, tmp_path):
    shards = write_tars(tmp_path, pictures, pairs, per_tar=7)
    with pytest.raises(ScoringError, match="--img_dir means nothing to an input of the kind tar; leave it away"):
        open_input([shards], img_dir="x")
    with pytest.raises(ScoringError, match="--caption_key means nothing to an input of the kind folder"):
        open_input([str(pictures)], caption_key="x")


@pytest.mark.parametrize("form", ["csv", "parquet", "folder", "tar"])
def test_any_file_system(form, command, pictures, pairs, tmp_path):
    """fsspec's own, in memory, stands for a bucket: the same rows as from a disk."""
    if form == "tar":
        write_tars(tmp_path / "in", pictures, pairs, per_tar=10)
    elif form == "folder":
        write_folder(tmp_path / "in", pictures, pairs)
    else:
        write_table(tmp_path / "in" / f"captions.{form}", pairs)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "in"), f"/{form}", recursive=True)
    memory.put(str(pictures), "/pictures", recursive=True)
    name = {"tar": "/*.tar", "folder": ""}.get(form, f"/captions.{form}")
    for source, img_dir, output in (
        (f"{tmp_path}/in{name}", pictures, "here"),
        (f"memory://{form}{name}", "memory://pictures", "there"),
    ):
        below = ["--img_dir", img_dir] if form in ("csv", "parquet") else []
        assert command(source, "--output", tmp_path / output, *below) == 0
    assert read_rows(tmp_path / "here") == read_rows(tmp_path / "there")
    with pytest.raises(ScoringError, match="no such file or folder: memory://none|no such file: memory://none"):
        open_input(["memory://none/captions.csv"])
    with pytest.raises(ScoringError, match="nothere://x/a.csv cannot be read .*[Pp]rotocol"):
        open_input(["nothere://x/a.csv"])


def test_rows_that_share_an_identifier_go_by_their_number(demo, pictures, tmp_path):
    name = sorted(pictures.iterdir())[0].name
    table = tmp_path / "captions.csv"
    table.write_text("uid,image,caption\n" + "".join(f"7,{name},a red circle {i}\n" for i in range(3)))

    def keys_and_errors(**options):
        (shard,) = open_input([str(table)], img_dir=str(pictures), **options).shards()
        return [(pair.key, (pair.error or "").partition(" came")[0]) for pair in without_doubles(shard.pairs())]

    assert keys_and_errors() == [("7", ""), ("7", "the key '7'"), ("7", "the key '7'")]
    assert keys_and_errors(pair_key="row_number") == [(f"{i:08d}", "") for i in range(3)]
