"""A run that a full disk or a signal ended: a line says so, and the same command does the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from drawn_pairs import files, read_rows
from places import ROOT
from signal_at import AT

from clip4dm.scoring.sink import SCORE_FILE

SHARDS = 5


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
from clip4dm.commands.score import main
main(sys.argv[1:])
"""


def options(table, folder):
    return [str(table), "--output", str(folder), "--shard_size", "4", "--backbone", "demo", "--epsilon", "-5e-5"]


def test_a_full_disk_loses_nothing_that_was_stored(run, table, tmp_path):
    """RLIMIT_FSIZE stands for the disk: no file beyond so many bytes. The last of the table's shards are too large."""
    lines = table.read_text().splitlines()
    image, caption, _ = lines[1].split(",")
    table.write_text("\n".join([*lines[:9], *[f"{image},{caption + ' red' * 5000},0"] * 4]) + "\n")
    folder = tmp_path / "scores"
    done = subprocess.run(
        [sys.executable, "-c", FULL.format(size=20_000), *options(table, folder)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2, done.stderr
    assert f"{folder / '00002.parquet'} cannot be written: File too large. The shards before it are kept" in last
    before = files(folder)
    assert sorted(before) == ["00000.parquet", "00001.parquet", SCORE_FILE]
    assert run()[0] == 0
    after = files(folder)
    assert {name for name in after if after[name] != before.get(name)} == {"00002.parquet"}


@pytest.mark.parametrize(
    ("event", "text", "number"),
    [
        ("os.rename", "00002.parquet", signal.SIGINT),
        ("open", "00003.parquet", signal.SIGTERM),
        ("os.link", "_score.json", signal.SIGTERM),
        ("import", "pyarrow.parquet", signal.SIGINT),
    ],
)
def test_a_signal_ends_it_with_a_line_and_the_same_command_goes_on(run, table, tmp_path, event, text, number):
    folder = tmp_path / "scores"
    (tmp_path / "sitecustomize.py").write_text(AT)
    environment = {
        **os.environ,
        "SIGNAL_AT": f"{event}|{text}|{int(number)}",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
    }
    command = [sys.executable, "-m", "clip4dm", "score", *options(table, folder), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 128 + number, done.stderr
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    said = [line for line in done.stderr.splitlines() if line and "pair" not in line]
    assert said == [f"clip4dm: {word}"]
    before = files(folder) if folder.exists() else {}
    assert run()[0] == 0
    after = files(folder)
    assert sorted(after) == [*(f"{i:05d}.parquet" for i in range(SHARDS)), SCORE_FILE]
    assert all(after[name] == content for name, content in before.items() if name.endswith(".parquet"))
    assert len([row for row in read_rows(folder) if row["error"] is None]) == 20
