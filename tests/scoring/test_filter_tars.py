"""Tar shards with only the pairs kept, read back by webdataset; folders of scores that are not whole."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from drawn_pairs import read_rows, write_tars
from made_scores import fails, row, run, store
from places import ROOT

from clip4dm.scoring.filtering.tars import copy_samples


@pytest.fixture(scope="module")
def tars(pictures, pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("input") / "tars"
    write_tars(folder, pictures, pairs, per_tar=7)
    return folder


@pytest.fixture
def scores(tars, tmp_path, command):
    """Of three tars, by the demo model."""
    folder = tmp_path / "scores"
    assert command(tars / "*.tar", "--output", folder) == 0
    return folder


def samples(folder: Path) -> dict[tuple[str, str], dict[str, bytes]]:
    """By webdataset: (tar, key) -> ending -> bytes."""
    wds = pytest.importorskip("webdataset")
    found = {}
    for path in sorted(folder.glob("*.tar")):
        for sample in wds.WebDataset(str(path), shardshuffle=False, empty_check=False):
            content = {name: value for name, value in sample.items() if not name.startswith("__")}
            found[path.name, sample["__key__"]] = content
    return found


def test_tars_hold_what_is_kept_and_as_it_was(scores, tars, tmp_path, capsys):
    run(
        scores,
        "--keep_fraction",
        "0.4",
        "--output",
        tmp_path / "kept",
        "--output",
        tmp_path / "kept.txt",
        capsys=capsys,
    )
    before, after = samples(tars), samples(tmp_path / "kept")
    keys = (tmp_path / "kept.txt").read_text().splitlines()
    rows = sorted(read_rows(scores), key=lambda one: (-one["f_clip_score"], -one["cosine"]))[:8]
    assert len(before) == 20 and sorted(keys) == sorted(one["key"] for one in rows)
    assert {key for _, key in after} == set(keys) and len(after) == 8
    assert all(before[place] == content for place, content in after.items())
    assert list(after) == [place for place in before if place in after]
    original = {member.name: member.get_info() for path in tars.glob("*.tar") for member in tarfile.open(path)}
    for path in (tmp_path / "kept").glob("*.tar"):
        assert all(original[member.name] == member.get_info() for member in tarfile.open(path))


def test_uids_of_the_tars_json_files(pictures, pairs, tmp_path, command, capsys):
    """DataComp's shards have the uid there, and a name that is none."""
    write_tars(tmp_path / "tars", pictures, pairs, per_tar=20, as_json=True)
    assert command(tmp_path / "tars" / "*.tar", "--output", tmp_path / "scores") == 0
    run(tmp_path / "scores", "--key", "uid", "--output", tmp_path / "kept.txt", capsys=capsys)
    assert (tmp_path / "kept.txt").read_text().splitlines() == [str(number) for number in range(20)]
    error = fails(tmp_path / "scores", "--key", "id", "--output", tmp_path / "kept.txt", capsys=capsys)
    assert "some of the rows kept have no id" in error


def test_a_tar_that_is_there_is_left_and_one_that_is_not_is_written(scores, tmp_path, capsys):
    kept = tmp_path / "kept"
    run(scores, "--no_misaligned", "--output", kept, capsys=capsys)
    whole = {path.name: path.read_bytes() for path in kept.glob("*.tar")}
    first, *others = sorted(whole)
    (kept / first).unlink()
    times = {name: (kept / name).stat().st_mtime_ns for name in others}
    run(scores, "--no_misaligned", "--output", kept, capsys=capsys)
    assert {path.name: path.read_bytes() for path in kept.glob("*.tar")} == whole
    assert {name: (kept / name).stat().st_mtime_ns for name in others} == times
    assert "were chosen otherwise" in fails(scores, "--keep_fraction", "0.1", "--output", kept, capsys=capsys)
    (kept / "_filter.json").unlink()
    assert "holds other tars already" in fails(scores, "--no_misaligned", "--output", kept, capsys=capsys)


def test_a_folder_whose_name_looks_like_a_suffix(scores, tars, tmp_path, capsys):
    for name in ("kept-0.7/", "kept.v2/", "kept.txt/"):
        run(scores, "--output", f"{tmp_path / name}/", capsys=capsys)
        assert samples(tmp_path / name) == samples(tars)


def test_what_a_killed_filter_left_is_removed(scores, tmp_path, capsys):
    """By the same command, which writes the tars that are missing."""
    kept = tmp_path / "kept"
    code = (
        "import os, signal\nfrom clip4dm.scoring.filtering import tars\n"
        "tars.copy_samples = lambda source, target, kept: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"from clip4dm.commands.filter import main\nmain([{str(scores)!r}, '--output', {str(kept)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL and len(list(kept.glob(".*.tmp"))) == 1
    run(scores, "--output", kept, capsys=capsys)
    assert sorted(path.name for path in kept.iterdir()) == ["00000.tar", "00001.tar", "00002.tar", "_filter.json"]


def test_tars_that_moved_or_changed(scores, tars, tmp_path, capsys):
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in tars.glob("*.tar"):
        (moved / path.name).write_bytes(path.read_bytes())
    about = json.loads((scores / "_score.json").read_text())
    (scores / "_score.json").write_text(json.dumps(about | {"given": [str(tmp_path / "gone-*.tar")]}))
    error = fails(scores, "--output", tmp_path / "kept", capsys=capsys)
    assert re.search(r"nothing matches .*gone-\*\.tar; say by --input where they are now", error)
    run(scores, "--output", tmp_path / "kept", "--input", *sorted(moved.glob("*.tar")), capsys=capsys)
    assert samples(tmp_path / "kept") == samples(tars)
    with open(moved / "00001.tar", "ab") as file:
        file.write(bytes(512))
    error = fails(scores, "--output", tmp_path / "again", "--input", moved / "*.tar", capsys=capsys)
    assert re.search(r"00001.tar has \d+ bytes, and had \d+ when it was scored", error)
    error = fails(scores, "--output", tmp_path / "fewer", "--input", moved / "00000.tar", capsys=capsys)
    assert "none of the tars is shard 00001" in error


def test_a_folder_that_cannot_be_written(scores, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    error = fails(scores, "--output", tmp_path / "file" / "kept", capsys=capsys)
    assert re.search("file/kept cannot be written: Not a directory", error)


def tar_of(*members: tuple[str, bytes]) -> bytes:
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for name, content in members:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return file.getvalue()


def copied(source: bytes, kept: set[str]) -> tuple[list[tuple[str, bytes]], set[str]]:
    target = io.BytesIO()
    missing = copy_samples(io.BytesIO(source), target, kept)
    with tarfile.open(fileobj=io.BytesIO(target.getvalue())) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar], missing


def test_samples_by_hand():
    """Of several pictures in a sample those kept; of several samples of one name the first; names as they are."""
    members = [
        ("a.0.jpg", b"1"), ("a.1.jpg", b"2"), ("a.txt", b"3"), ("a.cls", b"4"),
        ("dir/b.JPG", b"5"), ("dir/b.json", b"6"),
        ("c.jpg", b"7"), ("c.txt", b"8"), ("c.jpg", b"9"), ("c.txt", b"0"),
        ("d.jpg", b"x"), ("c.jpg", b"y"), ("long/" * 60 + "é.jpg", b"z"), ("README", b"-"),
    ]  # fmt: skip
    source = tar_of(*members)
    assert copied(source, {"a.1.jpg"}) == (members[1:4], set())
    assert copied(source, {"a.0.jpg", "a.1.jpg", "dir/b.jpg"}) == (members[:6], set())
    assert copied(source, {"c.jpg", "long/" * 60 + "é.jpg"}) == ([*members[6:8], members[12]], set())
    assert copied(source, {"e.jpg"}) == ([], {"e.jpg"})
    assert copied(source, set()) == ([], set())


def test_a_damaged_tar_gives_what_can_be_read():
    members = [(f"{name}{ending}", name.encode() * 600) for name in "abcdef" for ending in (".jpg", ".txt")]
    source = tar_of(*members)
    names = {f"{name}.jpg" for name in "abcdef"}
    assert source[4 * 1536 : 4 * 1536 + 5] == b"c.jpg"  # a header of 512 bytes, and 600 of content in 1024
    header = bytearray(source)
    header[4 * 1536 : 4 * 1536 + 200] = b"\xff" * 200
    found, missing = copied(bytes(header), names)
    assert missing == {"c.jpg"} and [one for one in found if one[0][0] in "abdef"] == [
        m for m in members if m[0][0] != "c"
    ]
    found, missing = copied(source[: 7 * 1536 + 700], names)  # within d.txt
    assert missing == {"e.jpg", "f.jpg"} and found == members[:7]


@pytest.mark.parametrize("output_format", ["parquet", "jsonl"])
def test_scores_that_are_not_whole(output_format, tmp_path, capsys):
    one = store(tmp_path / "one", [[row("a", -0.1)], [row("b", -0.2)]], output_format=output_format, expected=4)
    output = tmp_path / "kept.txt"
    error = fails(one, "--output", output, capsys=capsys)
    assert "scoring has not finished, 2 of 4 shards are missing: run it again. --partial takes" in error
    said = run(one, "--partial", "--output", output, capsys=capsys)
    assert output.read_text() == "a\nb\n" and "note: " in said.err and "2 of 4 shards are missing" in said.err
    damaged = one / f"00001.{output_format}"
    damaged.write_bytes(damaged.read_bytes()[:-3])
    assert f"1 files are damaged or not of `clip4dm score` ({damaged.name})" in fails(
        one, "--output", output, capsys=capsys
    )
    run(one, "--partial", "--output", output, capsys=capsys)
    assert output.read_text() == "a\n"


def test_scores_of_two_kinds(tmp_path, capsys):
    one = store(tmp_path / "one", [[row("a", -0.1)]])
    two = store(tmp_path / "two", [[row("b", -0.2)]], kind="other", names={0: "00001"})
    (one / "00001.parquet").write_bytes((two / "00001.parquet").read_bytes())
    assert "holds scores of 2 kinds of settings" in fails(one, "--output", tmp_path / "k.txt", capsys=capsys)
    run(one, "--partial", "--output", tmp_path / "k.txt", capsys=capsys)
    assert (tmp_path / "k.txt").read_text() == "a\nb\n"


def test_no_scores(tmp_path, capsys):
    assert "is no folder" in fails(tmp_path / "none", "--output", tmp_path / "k.txt", capsys=capsys)
    (tmp_path / "other").mkdir()
    assert "_score.json" in fails(tmp_path / "other", "--output", tmp_path / "k.txt", capsys=capsys)
    store(tmp_path / "empty", [])
    assert "has no scores in it" in fails(tmp_path / "empty", "--output", tmp_path / "k.txt", capsys=capsys)


def test_more_tars_than_before_are_not_finished(scores, tars, pictures, pairs, tmp_path, command, capsys):
    """_score.json says how many shards the last input had."""
    more = tmp_path / "more"
    write_tars(more, pictures, pairs, per_tar=5)
    for path in tars.glob("*.tar"):
        (more / path.name).write_bytes(path.read_bytes())
    assert len(list(more.glob("*.tar"))) == 4
    assert command(more / "*.tar", "--output", scores, "--shard", "0/4") == 0
    assert "1 of 4 shards are missing" in fails(scores, "--output", tmp_path / "k.txt", capsys=capsys)
    assert command(more / "*.tar", "--output", scores) == 0
    run(scores, "--output", tmp_path / "k.txt", capsys=capsys)
    assert len((tmp_path / "k.txt").read_text().splitlines()) == 25
