"""kill -9 at random moments, and four processes at once: in the end every pair once, as if nothing had happened."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drawn_pairs import write_tars
from places import ROOT
from same_rows import assert_same_rows

from clip4dm.scoring.sink import Sink
from clip4dm.scoring.temporary import is_left_behind, owner, temporary_name

KILLS = 20
SHARDS = 40


@pytest.fixture(scope="module")
def tars(pictures, pairs, tmp_path_factory) -> str:
    return write_tars(tmp_path_factory.mktemp("tars"), pictures, pairs[:8] * SHARDS, per_tar=8)


@pytest.fixture(scope="module")
def undisturbed(tars, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "scores"
    assert killed(tars, output, {"mode": "alone", "kills": 0, "seed": 0})[-1] == {"statuses": [0]}
    return output


def killed(tars: str, output: Path, plan: dict) -> list[dict]:
    """What tests/scoring/killing.py printed."""
    script = ROOT / "tests" / "scoring" / "killing.py"
    command = [
        sys.executable,
        script,
        json.dumps(plan),
        tars,
        "--output",
        output,
        "--backbone",
        "demo",
        "--epsilon",
        "-5e-5",
    ]
    done = subprocess.run([*command, "--num_workers", "1", "--batch_size", "8"], capture_output=True, text=True)
    said = output.with_name("scores.stderr")
    assert done.returncode == 0, done.stderr + (said.read_text() if said.exists() else "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("mode", ["alone", "shares"])
def test_twenty_kills_leave_no_trace(mode, tars, undisturbed, tmp_path):
    *kills, last = killed(tars, tmp_path / "scores", {"mode": mode, "kills": KILLS, "seed": 16})
    assert len(kills) == KILLS and set(last["statuses"]) == {0}
    assert any(kill["writing"] for kill in kills), "none was killed in the midst of a shard"
    assert_same_rows(tmp_path / "scores", undisturbed)


def test_a_dead_process_that_nobody_waits_for_is_dead(tmp_path):
    """So are the processes of a container whose first process does not wait for others."""
    dead = subprocess.Popen(["true"])
    while b") Z " not in Path(f"/proc/{dead.pid}/stat").read_bytes():
        time.sleep(0.001)
    host = owner()
    left = [f".00000.parquet.{host}.{pid}.tmp" for pid in (dead.pid, 1)]
    for name in left:
        (tmp_path / name).touch()
    Sink(tmp_path, {}, {}).remove_left_behind()
    assert [path.name for path in tmp_path.iterdir()] == left[1:]
    dead.wait()


def test_a_temporary_name_says_the_pid_namespace(monkeypatch):
    """Two containers of one stated name see none of each other's processes."""
    monkeypatch.setattr("socket.gethostname", lambda: "worker")
    found = {}
    for number in (4026531836, 4026532201):
        monkeypatch.setattr("os.readlink", lambda path, number=number: f"pid:[{number}]")
        found[owner()] = temporary_name(Path("00000.parquet"))
    assert list(found) == ["worker-4026531836", "worker-4026532201"]
    assert [is_left_behind(path) for path in found.values()] == [False, True]  # this one has only begun
