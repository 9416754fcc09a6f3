"""The folder of scores: what is done is not done again, whatever ended the run; nothing mixes, nothing is left over."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess

import contract
import pyarrow.parquet as pq
import pytest
from drawn_pairs import files, numbers, read_rows, write_folder, write_table, write_tars

from clip4dm.scoring.inputs.recognise import open_input
from clip4dm.scoring.sink import SCORE_FILE, open_sink
from clip4dm.scoring.temporary import owner
from clip4dm.scoring.work import score_shard

SHARDS = 5


def test_the_same_command_again_does_what_is_missing_and_nothing_else(run, tmp_path):
    folder = tmp_path / "scores"
    assert run()[:2] == (0, f"20 pairs in 5 shards in {folder}\n")
    before = files(folder)
    assert sorted(before) == [*(f"{i:05d}.parquet" for i in range(SHARDS)), SCORE_FILE]
    assert run()[0] == 0 and files(folder) == before
    (folder / "00001.parquet").unlink()
    (folder / "00003.parquet").write_bytes(before["00003.parquet"][1][:-100])  # what a full disk might have left
    assert run()[0] == 0
    after = files(folder)
    assert {name for name in after if after[name] != before[name]} == {"00001.parquet", "00003.parquet"}
    assert after.keys() == before.keys()


def test_what_the_metadata_say(run, demo, table, tmp_path):
    run()
    path = tmp_path / "scores" / "00002.parquet"
    said = json.loads(pq.read_metadata(path).metadata[b"clip4dm"])
    assert said["settings"] == {
        "method": "clip4dm", "margin": None, "steps": None, "image_masks": 0,
        "template": "A photo depicts ", "start_layer_text": 0,
        "sorted_by": "threshold", "epsilon": -5e-5, "score": "f_clip_score", "score_weight": None,
    }  # fmt: skip
    assert said["model"] == {"backbone": "demo", "precision": "fp32", "quick_gelu": False}
    assert said["weights_sha256"] == demo.model.weights_sha256()
    assert {"clip4dm", "torch", "open_clip_torch", "pillow", "numpy", "pyarrow"} <= said["versions"].keys()
    assert said["shard"]["start"] == 8 and said["shard"]["count"] == 4 and said["given"] == [str(table)]
    assert said["counts"]["pairs"] == 4 and said["counts"]["errors"] == 0
    stored = json.loads((tmp_path / "scores" / SCORE_FILE).read_text())
    assert stored["settings"] == said["settings"] and stored["fingerprint"] == said["made_by"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--epsilon", "-1e-3"], "epsilon -5e-05, now -0.001"),
        (["--method", "gradient_value"], "method 'clip4dm', now 'gradient_value'"),
        (["--image_masks", "2"], "image_masks 0, now 2"),
        (["--long", "split"], "long 'cut', now 'split'"),
        (["--template", ""], "template 'A photo depicts ', now ''"),
        (["--score", "additive", "--score_weight", "3"], "score 'f_clip_score', now 'additive'"),
        (["--shard_size", "5"], "shard_size 4, now 5"),
        (["--output_format", "jsonl"], "output_format 'parquet', now 'jsonl'"),
    ],
)
def test_other_settings_never_mix(run, tmp_path, options, said):
    run()
    folder = tmp_path / "scores"
    before = files(folder)
    for more in ([], ["--dry_run"]):
        status, _, error = run(*options, *more, own=True)
        assert status == 2 and said in error and len(error.splitlines()) == 1 and "--overwrite" in error
        assert files(folder) == before
    assert run(*options, "--overwrite", own=True)[0] == 0
    after = files(folder)
    assert not any(after.get(name) == content for name, content in before.items())
    assert run(*options, "--overwrite", own=True)[0] == 0 and files(folder) == after  # done, and not overwritten again


def test_without_the_file_that_says_the_settings_the_shards_say_them(run, tmp_path):
    run()
    folder = tmp_path / "scores"
    stored = (folder / SCORE_FILE).read_bytes()
    (folder / SCORE_FILE).unlink()
    before = files(folder)
    for more in ([], ["--dry_run"], ["--output_format", "jsonl"]):
        status, _, error = run("--epsilon", "-1e-3", *more, own=True)
        assert status == 2 and "epsilon -5e-05, now -0.001" in error and "--overwrite" in error
        assert files(folder) == before
    assert run()[0] == 0 and (folder / SCORE_FILE).read_bytes() == stored  # of these settings: written anew, no more
    assert {name: content for name, content in files(folder).items() if name != SCORE_FILE} == before
    (folder / SCORE_FILE).unlink()
    assert run("--epsilon", "-1e-3", "--overwrite", "--shard", "0/5", own=True)[0] == 0
    assert sorted(files(folder)) == ["00000.parquet", SCORE_FILE]
    assert files(folder)["00000.parquet"] != before["00000.parquet"]


def test_another_table_under_the_same_name_is_another_input(run, table):
    run()
    table.write_text(table.read_text().replace(" a ", " the ", 1))
    status, _, error = run()
    assert status == 2 and "tables" in error and "--overwrite" in error


def test_a_tar_fetched_again_is_scored_again(run, pictures, pairs, tmp_path):
    source = write_tars(tmp_path / "tars", pictures, pairs, per_tar=10)
    path = tmp_path / "tars" / "00001.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[:9000])
    assert run(source=source)[0] == 1
    assert run(source=source)[0] == 1  # stored with its errors, which count
    before = files(tmp_path / "scores")
    path.write_bytes(whole)
    assert run(source=source)[:2] == (0, f"20 pairs in 2 shards in {tmp_path / 'scores'}\n")
    after = files(tmp_path / "scores")
    assert {name for name in after if after[name] != before[name]} == {"00001.parquet"}


def test_another_tar_of_the_same_name_and_size_is_scored(run, pictures, pairs, tmp_path):
    source = write_tars(tmp_path / "tars", pictures, pairs, per_tar=10)
    run(source=source)
    path = tmp_path / "tars" / "00001.tar"
    before = files(tmp_path / "scores"), path.stat().st_size
    caption = pairs[10][1].encode()
    path.write_bytes(path.read_bytes().replace(caption, caption[::-1], 1))
    assert path.stat().st_size == before[1]
    assert run(source=source)[0] == 0
    after = files(tmp_path / "scores")
    assert {name for name in after if after[name] != before[0][name]} == {"00001.parquet"}
    assert caption[::-1].decode() in [row["caption"] for row in read_rows(tmp_path / "scores")]


def test_a_tar_that_is_newer_than_its_scores_is_noted(run, pictures, pairs, tmp_path):
    """A copy, or a change that neither its size nor its ends tell; removing its scores has it scored again."""
    source = write_tars(tmp_path / "tars", pictures, pairs * 8, per_tar=80)
    run(source=source)
    path, scores = (tmp_path / "tars" / "00001.tar"), tmp_path / "scores" / "00001.parquet"
    data = path.read_bytes()
    caption = next(pair[1].encode() for pair in pairs if 1 << 16 < data.find(pair[1].encode()) < len(data) - (1 << 16))
    assert "note: " not in run(source=source)[2]
    path.write_bytes(data.replace(caption, caption[::-1]))
    os.utime(path, ns=(0, scores.stat().st_mtime_ns + 10**9))
    for more in ([], ["--dry_run"]):
        status, _, error = run(*more, source=source)
        assert status == 0 and f"note: 1 tars were copied or changed after they were scored, {path} first" in error
    scores.unlink()
    run(source=source)
    assert caption[::-1].decode() in [row["caption"] for row in read_rows(tmp_path / "scores")]


def test_stored_tars_that_are_not_in_the_input_are_another_data_set(run, pictures, pairs, tmp_path):
    source = write_tars(tmp_path / "tars", pictures, pairs, per_tar=7)
    folder, part = tmp_path / "scores", f"{tmp_path}/tars/0000[01].tar"
    assert run(source=part)[0] == 0
    for number in range(2):  # a tar was added: it is done, by the process whose it is
        assert run("--shard", f"{number}/2", source=source)[:1] == (0,)
    before = files(folder)
    assert sorted(before) == ["00000.parquet", "00001.parquet", "00002.parquet", SCORE_FILE]
    for more in ([], ["--dry_run"], ["--shard", "0/2"]):
        status, _, error = run(*more, source=part)
        assert status == 2 and "not in this input (1, the first 00002.parquet)" in error and "--overwrite" in error
        assert files(folder) == before
    assert run("--overwrite", "--shard", "0/2", source=part)[0] == 0
    after = files(folder)
    assert before.keys() - after.keys() == {"00002.parquet"}
    assert all(after[name] == before[name] for name in after if name != SCORE_FILE)


def test_what_was_edited_in_a_folder_is_scored_again(run, pictures, pairs, tmp_path):
    """Its own shard and no other; a folder of other pairs is another input."""
    source, folder = write_folder(tmp_path / "photos", pictures, pairs), tmp_path / "scores"
    run(source=source)
    before = files(folder)
    assert run(source=source)[0] == 0 and files(folder) == before
    (source / "000005.txt").write_text("a hat", encoding="utf-8")
    picture = next(path for path in source.glob("000019.*") if path.suffix != ".txt")
    os.utime(picture, ns=(0, picture.stat().st_mtime_ns + 1))  # another picture of the same size
    assert run(source=source)[0] == 0
    after = files(folder)
    assert {name for name in after if after[name] != before[name]} == {"00001.parquet", "00004.parquet"}
    assert read_rows(folder)[5]["caption"] == "a hat"
    (source / "000000.txt").rename(source / "0.txt")  # a caption without a picture, a picture without a caption
    status, _, error = run(source=source)
    assert status == 2 and "(the folder has 20 pairs, of other names)" in error and "--overwrite" in error
    (source / "000000.txt").write_text("a hat")
    shutil.copy(picture, source / "more.png")
    assert "(the folder has 21 pairs, had 20)" in run(source=source)[2] and files(folder) == after


def test_errors_are_tried_again_on_request(run, pictures, pairs, tmp_path):
    missing = tmp_path / "late.png"
    rows = [(str(missing), pairs[0][1]), *((str(pictures / image), caption) for image, caption in pairs)]
    source = write_table(tmp_path / "late.csv", rows)
    status, out, error = run(source=source)
    assert status == 1 and "21 pairs in 6 shards, 1 of them not scored" in out
    assert f"(the first: 00000000: no such image file: {missing})" in error
    shutil.copy(pictures / pairs[0][0], missing)
    assert run(source=source)[0] == 1
    assert run("--retry_errors", source=source)[0] == 0


def test_shares_of_a_run_make_up_the_whole(run, tmp_path):
    run(output=tmp_path / "whole")
    for number in (2, 0, 1):
        assert run("--shard", f"{number}/3")[0] == 0
    assert read_rows(tmp_path / "scores") == read_rows(tmp_path / "whole")
    status, _, error = run("--shard", "3/3")
    assert status == 2 and "'3/3' is not I/N with I from 0 to N - 1, such as 0/4" in error


def test_temporary_files_of_the_dead_are_removed_and_no_others(run, tmp_path):
    folder = tmp_path / "scores"
    run()
    done = subprocess.Popen(["true"])
    done.wait()
    host = owner()
    names = {pid: f".00001.parquet.{host}.{pid}.tmp" for pid in (done.pid, os.getppid())}
    (folder / f".{SCORE_FILE}.{host}.{done.pid}.tmp").write_bytes(b"half")
    (folder / f".00001.meta.json.{host}.{done.pid}.tmp").write_bytes(b"half")
    namespace = f"{host}1"  # a container's of the same name, with processes of its own
    others = [f".00001.parquet.{one}.{done.pid}.tmp" for one in ("elsewhere", namespace)] + ["notes.tmp"]
    for name in [*names.values(), *others]:
        (folder / name).write_bytes(b"half")
    run()
    left = {path.name for path in folder.iterdir() if "tmp" in path.name}
    assert left == {names[os.getppid()], *others}


def test_json_lines(run, tmp_path):
    """The same rows as text; a file without the one beside it, or of another size, is not done."""
    run(output=tmp_path / "parquet")
    folder = tmp_path / "scores"
    assert run("--output_format", "jsonl")[0] == 0
    rows = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    assert rows == read_rows(tmp_path / "parquet")
    before = files(folder)
    assert run("--output_format", "jsonl")[0] == 0 and files(folder) == before
    (folder / "00000.meta.json").unlink()
    with open(folder / "00001.jsonl", "a") as file:
        file.write("{}\n")
    run("--output_format", "jsonl")
    assert {name for name, content in files(folder).items() if content != before[name]} == {
        "00000.jsonl", "00000.meta.json", "00001.jsonl", "00001.meta.json",
    }  # fmt: skip


def test_where_nothing_can_be_written(run, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, error = run(output="s3://bucket/scores")
    assert status == 2 and "s3://bucket/scores is not on a file system of this machine" in error
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    for output, reason in (
        ("file", "is a file, and scores are written to a folder"),
        ("pipe", "is a pipe, and scores are written to a folder"),
        ("link", "is a link to nothing, and scores are written to a folder"),
        ("file/scores", "cannot be written: "),
        ("/proc/scores", "cannot be written: "),
    ):
        status, _, error = run(output=tmp_path / output)
        assert status == 2 and f"{tmp_path / output} {reason}" in error and len(error.splitlines()) == 1, error
    assert (tmp_path / "file").read_text() == ""


def test_what_is_no_score_is_never_touched(run, pictures, pairs, tmp_path):
    """The folder of the input itself: img2dataset keeps a parquet file of the same name beside each tar."""
    shards = write_tars(tmp_path / "tars", pictures, pairs, per_tar=10)
    shutil.copy(write_table(tmp_path / "a.parquet", pairs), tmp_path / "tars" / "00000.parquet")
    before = files(tmp_path / "tars")
    for options in ([], ["--overwrite"], ["--dry_run"]):
        status, _, error = run(*options, source=shards, output=tmp_path / "tars")
        assert status == 2 and "00000.parquet is no file of scores: give an --output folder of its own" in error
    assert files(tmp_path / "tars") == before
    run()
    shutil.copy(tmp_path / "a.parquet", tmp_path / "scores" / "mine.parquet")
    assert run("--epsilon", "-1e-3", "--overwrite", own=True)[0] == 0
    assert (tmp_path / "scores" / "mine.parquet").read_bytes() == (tmp_path / "a.parquet").read_bytes()


def test_a_shard_and_a_sink_can_be_sent_to_another_process(demo, table, tmp_path):
    """Pickled, as an engine sends them; scored there, the rows are the same."""
    found = open_input([str(table)], shard_size=10)
    sink = open_sink(tmp_path / "scores", found, demo)
    sink.prepare()
    shard, sent = pickle.loads(pickle.dumps((found.shards()[1], sink)))
    heard = []
    summary = score_shard(shard, demo, sent, progress=heard.append)
    assert (summary.shard, summary.pairs, summary.errors) == ("00001", 10, 0) and sum(heard) == 10
    assert sink.done(found.shards()[1]) == summary and sink.done(found.shards()[0]) is None
    (tmp_path / "again").mkdir()
    again = open_sink(tmp_path / "again", found, demo)
    again.prepare()
    score_shard(found.shards()[1], demo, again, workers=1)
    for one, other in zip(read_rows(tmp_path / "again"), read_rows(tmp_path / "scores"), strict=True):
        assert abs(one["cosine"] - other["cosine"]) <= contract.COSINE
        assert numbers(one)["caption"] == numbers(other)["caption"]
