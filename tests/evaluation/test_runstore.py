"""A run's folder after every way of being interrupted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings

import pytest
from places import ROOT
from stored_blocks import BLOCKS, CONFIG, SUMS_WHOLE, WHOLE, finished, lines_of, sums_of

from clip4dm.evaluation.store import claim, runstore
from clip4dm.evaluation.store.runfiles import SAMPLES, SUMS, RunError, write_json
from clip4dm.evaluation.store.runstore import RunStore


def go_on(store: RunStore) -> list[int]:
    """Resume to the end; the blocks that had to be computed."""
    store.begin(CONFIG)
    missing = store.missing()
    for block in missing:
        store.append(block, lines_of(block), to_part=False)
    store.finish()
    assert sorted(path.name for path in store.folder.iterdir()) == ["config.json", SAMPLES, SUMS]
    assert (store.folder / SAMPLES).read_bytes() == WHOLE and (store.folder / SUMS).read_bytes() == SUMS_WHOLE
    return missing


@pytest.fixture
def quick(monkeypatch):
    """For tests of some hundred runs: what is synced is written all the same."""
    monkeypatch.setattr("os.fsync", lambda file: None)


def test_killed_after_any_byte_written_no_stored_block_is_lost(tmp_path, recwarn, quick):
    """A block's bytes come first, its checksum next: the files after every prefix of all that is written."""
    written = [
        (name, bytes([byte]))
        for block in range(len(BLOCKS))
        for name, data in ((SAMPLES, b"".join(lines_of(block))), (SUMS, sums_of(block)))
        for byte in data
    ]
    files = {SAMPLES: b"", SUMS: b""}
    for cut, (name, byte) in enumerate([*written, (SAMPLES, b"")]):

        def damage(folder):
            for file, data in files.items():
                (folder / file).write_bytes(data)

        stored = files[SUMS].count(b"\n")
        assert go_on(finished(tmp_path / str(cut), damage=damage)) == list(range(stored, len(BLOCKS)))
        files[name] += byte
    assert not recwarn  # an interruption is nothing to speak of


@pytest.mark.parametrize("interrupted", ["SUMS", "rename", "copy"])
def test_killed_while_a_damaged_file_is_put_in_order(tmp_path, monkeypatch, interrupted):
    """Block 0 is damaged, the others move to a part: killed in between, they are still there."""
    store = finished(tmp_path / "run", damage=lambda folder: (folder / SAMPLES).write_bytes(b"#" + WHOLE[1:]))

    def killed(*_):
        raise KeyboardInterrupt

    places = {"SUMS": (RunStore, "_write_sums"), "rename": (os, "replace"), "copy": (runstore.os, "fsync")}
    monkeypatch.setattr(*places[interrupted], killed)
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="block 0"):
        if interrupted != "SUMS":
            monkeypatch.setattr(claim, "write_json", lambda *_: None)
        store.begin(CONFIG)
    monkeypatch.undo()
    (part,) = (tmp_path / "run").glob("samples.part-kept-*")
    if interrupted == "copy":
        os.truncate(part, part.stat().st_size // 2)
    for name in (path.name for path in (tmp_path / "run").glob("*.tmp")):
        (tmp_path / "run" / name).unlink()
    with pytest.warns(
        UserWarning, match=r"samples.jsonl is damaged: block 0 \(lines 1 to 2 of the whole\) are not what"
    ):
        assert go_on(RunStore(tmp_path / "run", BLOCKS)) == [0]


def test_a_byte_changed_anywhere_costs_its_block_and_is_said(tmp_path, quick):
    ends = [sum(len(line) for c in range(block + 1) for line in lines_of(c)) for block in range(len(BLOCKS))]
    for position in range(len(WHOLE)):
        changed = WHOLE[:position] + bytes([WHOLE[position] ^ 1]) + WHOLE[position + 1 :]
        store = finished(tmp_path / str(position), damage=lambda folder, c=changed: (folder / SAMPLES).write_bytes(c))
        block = next(b for b, end in enumerate(ends) if position < end)
        with pytest.warns(UserWarning, match=rf"samples.jsonl is damaged: block {block} \(lines"):
            # Without the line end between them, the next block begins nowhere.
            fused = position == ends[block] - 1 and block + 1 < len(BLOCKS)
            assert go_on(store) == [block, block + 1][: 1 + fused]


@pytest.mark.parametrize(
    ("change", "computed"),
    [
        (lambda lines: lines[:3] + lines[4:], [2]),
        (lambda lines: lines[:1] + lines, [0]),
        (lambda lines: lines[:3] + lines[2:], [2]),  # the line of block 1 twice is read as part of nothing
        (lambda lines: [lines[1], lines[0], *lines[2:]], [0]),
        (lambda lines: lines[2:] + lines[:2], []),
        (lambda lines: [], [0, 1, 2, 3]),
        (lambda lines: [b"\0" * 5000, *lines[1:]], [0]),
        (lambda lines: lines[:-1], [3]),
    ],
)
def test_lines_lost_doubled_or_moved_cost_their_blocks_alone(tmp_path, change, computed):
    lines = WHOLE.splitlines(keepends=True)
    if change(lines) == lines[:3] + lines[2:]:
        computed = []  # a whole block that stands there twice is there
    store = finished(tmp_path / "run", damage=lambda folder: (folder / SAMPLES).write_bytes(b"".join(change(lines))))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert go_on(store) == computed
    assert [str(w.message).count("is damaged") for w in said] == ([1] if computed else [])


@pytest.mark.parametrize(
    ("damage", "computed", "message"),
    [
        (
            lambda sums: b"",
            [0, 1, 2, 3],
            "block 0 .lines 1 to 2 of the whole., block 1 .lines 3 to 3.* and 1 more are not",
        ),
        (lambda sums: sums.replace(sums_of(1), b"1 1 garbage\n"), [1], "samples.sums, line 2 is damaged"),
        (lambda sums: b"\0" * 3000 + b"\n" + sums, [], "samples.sums, line 1 is damaged"),
        (lambda sums: sums.replace(b"1 1 ", b"1 2 "), [1], r"block 1 \(lines 3 to 3"),
    ],
)
def test_damaged_checksums_cost_their_blocks(tmp_path, damage, computed, message):
    store = finished(tmp_path / "run", damage=lambda folder: (folder / SUMS).write_bytes(damage(SUMS_WHOLE)))
    with pytest.warns(UserWarning, match=message):
        assert go_on(store) == computed


def test_files_that_vanish_or_grow_while_the_run_goes_on(tmp_path):
    store = RunStore(tmp_path / "run", BLOCKS)
    store.begin(CONFIG)
    store.append(0, lines_of(0), to_part=False)
    (tmp_path / "run" / SAMPLES).unlink()
    with pytest.raises(RunError, match="samples.jsonl has 0 bytes where this run left .*the same command again"):
        store.append(1, lines_of(1), to_part=False)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(RunError, match="samples.jsonl cannot be written: No such file"):
        store.append(1, lines_of(1), to_part=False)
    assert go_on(RunStore(tmp_path / "run", BLOCKS)) == [0, 1, 2, 3]


def test_a_full_disk_loses_nothing_that_was_stored(tmp_path):
    """RLIMIT_FSIZE stands for the disk: no file beyond that many bytes, in a child."""
    code = """
import resource, sys
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from stored_blocks import *
from clip4dm.evaluation.store.runfiles import RunError
store = RunStore(Path({folder!r}), BLOCKS)
store.begin(CONFIG)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
try:
    for block in store.missing():
        store.append(block, lines_of(block), to_part=False)
    store.finish()
    write_json(Path({folder!r}) / "result.json", dict(text="x" * 1000))
except RunError as error:
    print(error)
"""
    for size in range(1, len(WHOLE) + 40, 31):
        folder = tmp_path / str(size)
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                code.format(root=str(ROOT), tests=str(ROOT / "tests"), size=size, folder=str(folder)),
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "cannot be written: File too large. What was stored before it is kept" in done.stdout
        assert done.stdout.count("\n") == 1 and not list(folder.glob(".*"))
        stored = (folder / SUMS).read_bytes().count(b"\n")
        assert go_on(RunStore(folder, BLOCKS)) == list(range(stored, len(BLOCKS)))


@pytest.mark.parametrize("kept", [(), (0,), (1, 3), (0, 1, 2, 3), (3,)])
def test_parts_of_several_processes_and_a_later_single_one(tmp_path, kept):
    for rank in (0, 1):
        store = RunStore(tmp_path, BLOCKS, rank)
        if rank == 0:
            store.begin(CONFIG)
        for block in kept:
            if block % 2 == rank:
                store.append(block, lines_of(block), to_part=True)
    part = tmp_path / "samples.part-1.jsonl"  # and half a line behind it
    part.write_bytes((part.read_bytes() if part.exists() else b"") + b'{"id": "d", "te')
    store = RunStore(tmp_path, BLOCKS)
    store.begin(CONFIG)
    assert store.missing() == [b for b in range(len(BLOCKS)) if b not in kept]
    assert store.samples_done() == sum(len(BLOCKS[b]) for b in kept)
    for block in store.missing():
        store.append(block, lines_of(block), to_part=False)
    store.finish()
    assert (tmp_path / SAMPLES).read_bytes() == WHOLE
    assert not list(tmp_path.glob("samples.part-*"))


def test_a_merge_that_was_interrupted_goes_on(tmp_path):
    store = RunStore(tmp_path, BLOCKS)
    store.begin(CONFIG)
    for block in range(len(BLOCKS)):
        store.append(block, lines_of(block), to_part=True)
    (tmp_path / SAMPLES).write_bytes(WHOLE[: len(WHOLE) // 2])  # half merged when the power went
    store = RunStore(tmp_path, BLOCKS)
    store.begin(CONFIG)
    assert store.missing() == []
    store.finish()
    assert (tmp_path / SAMPLES).read_bytes() == WHOLE


def test_blocks_out_of_order_and_unfinished_runs_are_errors(tmp_path):
    store = RunStore(tmp_path, BLOCKS)
    store.begin(CONFIG)
    with pytest.raises(RunError, match="in order"):
        store.append(1, lines_of(1), to_part=False)
    with pytest.raises(RunError, match="block 0 of 4 is missing"):
        store.finish()


def test_json_is_written_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "result.json", {"value": 1})
    with pytest.raises(ValueError):
        write_json(tmp_path / "result.json", {"value": float("nan")})
    assert json.loads((tmp_path / "result.json").read_text()) == {"value": 1}
