"""The lock on a run's folder: held against a second run, and never longer than its process lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from killable import members

from clip4dm.evaluation.store.lock import locked
from clip4dm.evaluation.store.runfiles import RunError


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_lock_that_is_no_file(tmp_path, make):
    make(tmp_path / "lock")
    with pytest.raises(RunError, match="lock (cannot be written: Is a directory|is a pipe)"):
        with locked(tmp_path):
            pass


def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    with locked(tmp_path):
        with pytest.raises(RunError, match="another run is writing"):
            with locked(tmp_path):
                pass
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_ends_with_its_process_whatever_its_children_do(tmp_path, how):
    """A forked child and a program live on when their parent, which held the lock, is killed: it is free all the same."""
    code = f"""
import os, subprocess, sys, time
from pathlib import Path
from clip4dm.evaluation.store.lock import locked
with locked(Path({str(tmp_path)!r})):
    subprocess.Popen(["sleep", "600"])
    os.write(1, b"held\\n" if os.fork() else b"forked\\n")  # whole, beside the other's
    time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], process_group=0
    ) as parent:
        try:
            assert {parent.stdout.readline(), parent.stdout.readline()} == {b"held\n", b"forked\n"}
            with pytest.raises(RunError, match="another run is writing"):
                with locked(tmp_path):
                    pass
            os.kill(parent.pid, how)
            os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
            assert len(members(parent.pid)) == 2
            with locked(tmp_path):
                pass
        finally:
            os.killpg(parent.pid, signal.SIGKILL)
