"""A command in a process of its own: how long it takes, and its peak of memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clip4dm.errors import InputError

# Through a shell that stays small: Linux counts the peak of the process that starts another as the other's.
_MEASURE = """
import json, os, sys
status, used = os.wait4(os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:]), 0)[1:]
unit = 1 if sys.platform == "darwin" else 1024
print()
print(json.dumps([status, used.ru_maxrss * unit, used.ru_utime + used.ru_stime]))
"""


@dataclass(frozen=True)
class Cost:
    """seconds: from start to end. peak: resident bytes. processor: seconds of all its threads."""

    seconds: float
    peak: int
    processor: float


def run_fresh(arguments: Sequence[str], log: Path) -> Cost:
    """Run Python with these arguments. log: where its standard error goes. Errors: InputError where it fails."""
    begun = time.perf_counter()
    with open(log, "w") as file:
        run = subprocess.run(
            [sys.executable, "-c", _MEASURE, sys.executable, *arguments], stdout=subprocess.PIPE, stderr=file
        )
    seconds = time.perf_counter() - begun
    status, peak, processor = json.loads(run.stdout.splitlines()[-1])
    if status:
        raise InputError(f"{' '.join(arguments[:4])} failed: {(log.read_text().splitlines() or ['no word'])[-1]}")
    return Cost(seconds, peak, processor)
