"""Whether load_image holds against files: each read in a process of its own, which is watched."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from fuzzing.pictures import make_file, valid_files
from tqdm import tqdm

MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")
MEMORY = 4 * 2**30  # address space of the process that reads
SLOW, HUNG = 5.0, 120.0  # seconds for one picture: reported; ended, and a failure
STARTS_A_PROCESS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn")


@dataclass(frozen=True)
class Outcome:
    """One file's: "read", "refused" or the name of another exception; and all that should not have been."""

    seed: int
    result: str
    seconds: float
    memory: int = 0  # bytes, the process's highest so far
    problems: tuple[str, ...] = ()


@dataclass
class Figures:
    """Of all files together."""

    results: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    slow: list[Outcome] = field(default_factory=list)
    slowest: float = 0.0
    memory: int = 0

    def add(self, outcome: Outcome) -> None:
        self.results[outcome.result] += 1
        self.slowest, self.memory = max(self.slowest, outcome.seconds), max(self.memory, outcome.memory)
        if outcome.problems:
            self.failures.append(outcome)
        if outcome.seconds > SLOW:
            self.slow.append(outcome)


def answer(path: Path) -> tuple[str, list[str]]:
    """-> "read", "refused" or the name of another exception; what is wrong with load_image's answer."""
    from clip4dm.files.images import ImageError, load_image  # now: the fuzzer's own test puts another in its place

    try:
        image = load_image(path)
        if image.mode not in MODES or 0 in image.size:
            return "read", [f"mode {image.mode}, size {image.size}"]
        image.convert("RGB")  # as the preprocessing does
        return "read", []
    except ImageError as error:
        named = str(path) in str(error) and str(error).isprintable()
        return "refused", [] if named else [f"does not name its file in one line: {str(error)!r}"]
    except Exception as error:  # what this script is here to find
        return type(error).__name__, [f"{type(error).__name__}: {error}"]


class Watch:
    """What this process starts, prints, warns of and leaves open; changes its standard error for good."""

    def __init__(self, printed: Path) -> None:
        self.started: list[str] = []
        self.printed = open(printed, "w+b")
        sys.stderr.flush()
        os.dup2(self.printed.fileno(), 2)
        sys.addaudithook(lambda event, _: self.started.append(event) if event in STARTS_A_PROCESS else None)

    @contextlib.contextmanager
    def picture(self, problems: list[str]) -> Iterator[None]:
        opened = len(os.listdir("/dev/fd"))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield
        sys.stderr.flush()
        if size := os.fstat(2).st_size:
            problems.append(f"printed {os.pread(2, 200, 0)!r} ({size} bytes)")
            os.ftruncate(2, 0)
            os.lseek(2, 0, os.SEEK_SET)
        problems += [f"warned: {warning.message}" for warning in warned]
        problems += [f"started a process ({event})" for event in self.started]
        self.started.clear()
        if (left := len(os.listdir("/dev/fd")) - opened) > 0:
            problems.append(f"left {left} files open")


def read_files(seeds: range, folder: Path, printed: Path, connection: Connection) -> None:
    """Make, read and judge files, in a process of its own: decoders may end it. Sends an Outcome for each."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    unit = 1 if sys.platform == "darwin" else 1024
    valid_files()  # now: what writing them prints is not watched
    watch = Watch(printed)
    for seed in seeds:
        name, data = make_file(seed)
        path = folder / name
        path.write_bytes(data)
        problems: list[str] = []
        begun = time.monotonic()
        with watch.picture(problems):
            result, wrong = answer(path)
        seconds = time.monotonic() - begun
        if not problems + wrong:
            path.unlink()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        connection.send(Outcome(seed, result, seconds, memory, tuple(wrong + problems)))


def fuzz(count: int, seed: int, folder: Path, progress: bool = False) -> Figures:
    """Files seed..seed + count - 1, those that failed left in folder."""
    figures, end = Figures(), seed + count
    with tempfile.NamedTemporaryFile() as printed, tqdm(total=count, unit="file", disable=not progress or None) as bar:
        while seed < end:
            for outcome in _of_one_process(range(seed, end), folder, Path(printed.name)):
                figures.add(outcome)
                seed += 1
                bar.update()
    return figures


def _of_one_process(seeds: range, folder: Path, printed: Path) -> Iterator[Outcome]:
    """Outcomes up to the last, or to the file that hung or ended the process, the last with that as its problem."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    reader = spawn.Process(target=read_files, args=(seeds, folder, printed, theirs))
    reader.start()
    theirs.close()
    try:
        for seed in seeds:
            if not ours.poll(HUNG):
                yield Outcome(seed, "hung", HUNG, problems=(f"hung for {HUNG:g} s",))
                return
            try:
                yield ours.recv()
            except EOFError:
                reader.join()
                said = " ".join(printed.read_text(errors="replace").split())[-200:]
                yield Outcome(seed, "crashed", 0.0, problems=(f"ended the process ({reader.exitcode}): {said}",))
                return
    finally:
        reader.kill()
        reader.join()
