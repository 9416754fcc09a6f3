"""Runs `clip4dm score` in forked children and kills them with SIGKILL at random moments, until it may end undisturbed.

    python tests/scoring/killing.py '{"mode": "alone", "kills": 20, "seed": 1}' OPTION_OF_SCORE ...

mode: "alone": one child after another, each killed. "shares": four children at once, --shard 0/4 to 3/4. "ray": one child
with --engine ray on the Ray at RAY_ADDRESS; kills is a list: "driver", the child; "actor", one of its actors; "writing",
the same in the midst of a shard. The model is loaded once, and the children start from there. Where a run ends before it is
killed, every other file of scores is removed, so that there is work for the kills that are left.

Prints a line of JSON a kill: what was killed, how many shards were stored then, which were being written by it. The last
line says how the undisturbed children ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn

from PIL import Image

if TYPE_CHECKING:
    from clip4dm import CLIP4DM

SHARES = 4
STARTING, AT_WORK = 0.2, 0.4  # seconds from a child's start, and from its first shard, within which it is killed
RAY_SPAN = 2.0


class Run:
    """The command's options, and its folder of scores."""

    def __init__(self, options: list[str], detector: CLIP4DM) -> None:
        self.options, self.detector = options, detector
        self.output = Path(options[options.index("--output") + 1])

    def start(self, *more: str) -> int:
        """-> the child's process id."""
        child = os.fork()
        if child == 0:
            self._score(*more)
        return child

    def _score(self, *more: str) -> NoReturn:
        from clip4dm.commands import score

        with open(self.output.with_name(self.output.name + ".stderr"), "a") as stderr:
            os.dup2(stderr.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        score.make_detector = lambda args: self.detector
        status = 1
        try:
            score.main([*self.options, *more])
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        os._exit(status)

    def stored(self) -> set[str]:
        return {path.stem for path in self.output.glob("[!_.]*.parquet")}

    def writing(self, pid: int | None = None) -> list[tuple[str, int]]:
        """(shard, process id) of every temporary file, or of one process's."""
        parts = [path.name.split(".") for path in self.output.glob(".*.parquet.*.tmp")]
        return [(part[1], int(part[-2])) for part in parts if pid in (None, int(part[-2]))]

    def remove_half(self) -> None:
        for name in sorted(self.stored())[::2]:
            (self.output / f"{name}.parquet").unlink()

    def tell(self, victim: str, pid: int, writing: list[tuple[str, int]], stored: set[str]) -> None:
        print(
            json.dumps({"victim": victim, "pid": pid, "stored": len(stored), "writing": [name for name, _ in writing]}),
            flush=True,
        )


def wait_until(condition: Callable[[], Any], child: int) -> Any:
    """The condition's value as soon as it is true; None where the child ends before."""
    while not ended(child):
        if value := condition():
            return value
        time.sleep(0.002)
    return None


def ended(child: int) -> bool:
    """Looks, and leaves the child's status to be waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def kill(run: Run, victim: str, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)  # what it had in hand then is what it had when it died
    writing, stored = run.writing(pid), run.stored()
    os.kill(pid, signal.SIGKILL)
    run.tell(victim, pid, writing, stored)


def kill_children(run: Run, kills: int, random: Random, shares: list[list[str]]) -> list[int]:
    """-> exit statuses of the last, undisturbed children."""
    while kills:
        children, before = [run.start(*share) for share in shares], kills
        for child in random.sample(children, len(children)):
            if random.random() < 0.3:
                time.sleep(random.uniform(0, STARTING))
            else:
                wait_until(partial(run.writing, child), child)
                time.sleep(random.uniform(0, AT_WORK))
            if kills and not ended(child):
                kill(run, "child", child)
                kills -= 1
        for child in children:
            os.waitpid(child, 0)
        if kills == before:
            run.remove_half()
    return [os.waitstatus_to_exitcode(os.waitpid(run.start(*share), 0)[1]) for share in shares]


def kill_under_ray(run: Run, kills: list[str], random: Random) -> list[int]:
    """-> exit status of the last child, which was not killed."""
    child, first = run.start(), True
    while kills:
        if first:  # of this child: none is killed before it is at work
            wait_until(run.writing, child)
            first = False
        time.sleep(random.uniform(0, RAY_SPAN))
        victim, pid = kills[0], child
        if victim == "writing":
            found = wait_until(run.writing, child)
            pid = found[0][1] if found else 0
        elif victim == "actor":
            found = wait_until(actors, child)
            pid = random.choice(found) if found else 0
        if ended(child) or not pid:
            assert os.waitpid(child, 0)[1] == 0, "it ended with an error"
            run.remove_half()
            child, first = run.start(), True
            continue
        with contextlib.suppress(ProcessLookupError):
            kill(run, victim, pid)
            kills = kills[1:]
        if victim == "driver":
            os.waitpid(child, 0)
            child, first = run.start(), True
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


def actors() -> list[int]:
    """The process ids of actors of the Ray at RAY_ADDRESS on this machine, those that start among them."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"ray::MapWorker" in (path / "cmdline").read_bytes():
                parent = (path / "stat").read_text().rpartition(") ")[2].split()[1]
                if os.environ["RAY_ADDRESS"].encode() in Path(f"/proc/{parent}/cmdline").read_bytes():
                    found.append(int(path.name))
    return found


def main() -> None:
    import torch

    from clip4dm import CLIP4DM

    torch.set_num_threads(1)  # a forked child of a process whose OpenMP threads have run would hang
    detector = CLIP4DM.from_pretrained("demo", device="cpu", batch_size=8)
    detector.detect(Image.new("RGB", (64, 64)), "a red circle")  # whatever is imported on the way is imported here
    plan, run = json.loads(sys.argv[1]), Run(sys.argv[2:], detector)
    random = Random(plan["seed"])
    if plan["mode"] == "ray":
        statuses = kill_under_ray(run, plan["kills"], random)
    else:
        shares = [["--shard", f"{i}/{SHARES}"] for i in range(SHARES)] if plan["mode"] == "shares" else [[]]
        statuses = kill_children(run, plan["kills"], random, shares)
    print(json.dumps({"statuses": statuses}))


if __name__ == "__main__":
    main()
