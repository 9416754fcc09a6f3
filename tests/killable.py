"""Runs main.py again and again in forked children, and interrupts each.

    python tests/killable.py INTERRUPTIONS MAIN_PY_OPTION ...

INTERRUPTIONS: JSON, [[signal, when, seconds], ...], when: "started" or "stored". A child gets the signal that many seconds
after it first started a process (git, then workers) or stored something, wherever that finds it: starting workers,
computing, writing. The last child is left alone. torch is imported once and the children start from there, so that
twenty of them take seconds.

Prints, for every child, a line of JSON. status: how it ended, as subprocess says it. processes: how many it was, with its
workers, when the signal came. lock_free: whether the run's lock could be taken as soon as it was gone. left: those of its
processes that still ran ten seconds later. stored: bytes of samples it left behind. stderr: what it said.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from places import ROOT

sys.path.insert(0, str(ROOT))


def run_main(options: list[str], stderr: Path) -> NoReturn:
    """main.py as a command, in a process group of its own, as a shell starts it."""
    os.setpgid(0, 0)
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["main.py", *options]
    status = 0
    try:
        runpy.run_path(str(ROOT / "main.py"), run_name="__main__")
    except SystemExit as stop:
        status = stop.code or 0
    except BaseException:  # as Python ends a program of its own
        sys.excepthook(*sys.exc_info())
        status = 1
    os._exit(status)


def members(group: int) -> list[int]:
    """The running processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, _, its_group = path.read_text().rpartition(") ")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def stored_by(output: Path) -> int:
    return sum(path.stat().st_size for path in output.rglob("samples*.jsonl"))


def lock_is_free(output: Path) -> bool:
    for path in output.rglob("lock"):
        with open(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


def interrupt(child: int, number: int, when: str, seconds: float, output: Path) -> tuple[int, int]:
    """-> wait status, processes at the moment of the signal (0 if it had ended before)."""
    before, due = stored_by(output), None
    while due is None or time.monotonic() < due:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status, 0
        if due is None and (len(members(child)) > 1 if when == "started" else stored_by(output) > before):
            due = time.monotonic() + seconds
        time.sleep(0.0005)
    processes = len(members(child))
    (os.killpg if number == signal.SIGINT else os.kill)(child, number)  # a terminal's Ctrl-C goes to the whole group
    return os.waitpid(child, 0)[1], processes


def main() -> None:
    import open_clip  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import torch

    import clip4dm.detector
    import clip4dm.evaluation.compute  # noqa: F401

    # A forked child of a process whose OpenMP threads have run would hang: there must be none.
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even where the tests themselves run in the background
    options = sys.argv[2:]
    output = Path(options[options.index("--output") + 1])
    stderr = output.with_name(output.name + ".stderr")
    for interruption in [*json.loads(sys.argv[1]), None]:
        child = os.fork()
        if child == 0:
            run_main(options, stderr)
        status, processes = interrupt(child, *interruption, output) if interruption else (os.waitpid(child, 0)[1], 0)
        lock_free = lock_is_free(output)
        deadline = time.monotonic() + 10
        while (left := members(child)) and time.monotonic() < deadline:
            time.sleep(0.01)
        if left:
            os.killpg(child, signal.SIGKILL)
        print(
            json.dumps(
                {
                    "interruption": interruption,
                    "status": os.waitstatus_to_exitcode(status),
                    "processes": processes,
                    "lock_free": lock_free,
                    "left": left,
                    "stored": stored_by(output),
                    "stderr": stderr.read_text(),
                }
            ),
            flush=True,
        )
        if left or not lock_free:
            break  # the test has failed: say so soon


if __name__ == "__main__":
    main()
