"""A run's folder: samples that survive Ctrl-C, kill -9 and power cuts, and never mix with another run's.

Work comes in blocks (some images and all their captions). A block's lines are written and synced at once; whatever
an interruption leaves half-written is cut off when the folder is opened again. Several processes write
parts of their own, which are merged in block order, so that samples.jsonl has the same bytes however it came about.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clip4dm.records import from_line

SAMPLES, CONFIG, RESULT, TIMING = "samples.jsonl", "config.json", "result.json", "timing.json"
CAPTION_METRICS = "caption_metrics.json"


class RunError(RuntimeError):
    """A run that cannot go on in its folder: why, and what to do."""


class RunStore:
    """The folder of one run.

    blocks: for every block the ids of its samples, in the order of their lines. rank: of this process.
    Opening reads what is there; nothing is written before `begin`.
    """

    def __init__(self, folder: Path, blocks: Sequence[Sequence[str]], rank: int = 0):
        self.folder = folder
        self.blocks = blocks
        self.rank = rank
        self.samples = folder / SAMPLES
        self._block_of = {sample: number for number, block in enumerate(blocks) for sample in block}
        self._parts: dict[int, tuple[Path, int, int]] = {}  # block -> file, offset, length
        self._prefix = 0  # complete blocks in samples.jsonl
        self._prefix_bytes = 0

    def begin(self, config: Mapping[str, Any], *, resume: bool = True, overwrite: bool = False,
              readable: Callable[[str], bool] = lambda image: False) -> None:
        """Claim the folder for a run of this config. Errors: RunError if another run's samples are in it.

        readable: whether an image that was skipped can be read by now; its block is then computed again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if overwrite:
            for path in self._own_files():
                path.unlink()
        path = self.folder / CONFIG
        if path.exists():
            found = read_json(path).get("fingerprint")
            if found != config["fingerprint"]:
                raise RunError(f"{self.folder} holds a run with other settings, weights, data or versions (fingerprint "
                               f"{found}, not {config['fingerprint']}). Give --overwrite or another --output.")
            if not resume and (self.samples.exists() or self._part_files()):
                raise RunError(f"{self.folder} already holds samples of this run: leave --no-resume away to go on with "
                               "them, or give --overwrite to start anew.")
        elif self.samples.exists() or self._part_files():
            raise RunError(f"{self.folder} holds samples, but no {CONFIG} that says what made them. Give --overwrite "
                           "or another --output.")
        write_json(path, config)
        for number, kept in enumerate([self.samples, *self._part_files()]):
            self._drop_recovered(kept, self.folder / f"samples.part-kept-{number}.jsonl", readable)
        self.collect()

    def collect(self) -> None:
        """Find the complete blocks in samples.jsonl and in all parts; cut off what an interruption left behind."""
        self._prefix, self._prefix_bytes = 0, 0
        for block, _, length in self._complete(self.samples):
            if block != self._prefix:
                break
            self._prefix += 1
            self._prefix_bytes += length
        if self.samples.exists() and self.samples.stat().st_size != self._prefix_bytes and self.rank == 0:
            os.truncate(self.samples, self._prefix_bytes)
        self._parts = {}
        for path in self._part_files():
            whole = 0
            for block, offset, length in self._complete(path):
                self._parts[block] = (path, offset, length)
                whole = offset + length
            if path.stat().st_size != whole and self.rank == 0:
                os.truncate(path, whole)

    def missing(self) -> list[int]:
        """The blocks that no file holds yet, in order."""
        return [b for b in range(self._prefix, len(self.blocks)) if b not in self._parts]

    def samples_done(self) -> int:
        """The number of samples in complete blocks."""
        missing = set(self.missing())
        return sum(len(ids) for number, ids in enumerate(self.blocks) if number not in missing)

    def append(self, block: int, lines: Sequence[bytes], *, to_part: bool) -> None:
        """Store a block. In one process (to_part False) blocks come in order and go to samples.jsonl directly."""
        data = b"".join(lines)
        if to_part:
            path = self.folder / f"samples.part-{self.rank}.jsonl"
            offset = _append(path, data)
            self._parts[block] = (path, offset, len(data))
            return
        self.take_parts(block)
        if block != self._prefix:
            raise RunError(f"block {block} came before block {self._prefix}; blocks are stored in order")
        _append(self.samples, data)
        self._prefix += 1

    def take_parts(self, until: int | None = None) -> None:
        """Move the blocks that parts hold next (before `until`) to samples.jsonl."""
        while self._prefix in self._parts and self._prefix != until:
            path, offset, length = self._parts[self._prefix]
            with open(path, "rb") as file:
                file.seek(offset)
                _append(self.samples, file.read(length))
            self._prefix += 1

    def finish(self) -> None:
        """Merge all parts into samples.jsonl and remove them. Errors: RunError if a block is missing."""
        self.take_parts()
        if self._prefix != len(self.blocks):
            raise RunError(f"{self.folder}: block {self._prefix} of {len(self.blocks)} is missing; run again to resume")
        for path in self._part_files():
            path.unlink()
        self._parts = {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against a second run at the same time; the lock ends with the process, however it ends."""
        try:
            import fcntl
        except ImportError:  # Windows: no lock, as there the files' own share modes apply
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(f"another run is writing to {self.folder}; wait for it or end it") from None
            yield

    def _drop_recovered(self, path: Path, target: Path, readable: Callable[[str], bool]) -> None:
        """Keep a file's blocks but those in which a skipped image has become readable; they are merged again later."""
        kept, dropped = [], False
        for _, offset, length in self._complete(path):
            with open(path, "rb") as file:
                file.seek(offset)
                data = file.read(length)
            skipped = [from_line(line) for line in data.splitlines(keepends=True) if b'"skipped":' in line]
            if any(readable(record["image"]) for record in skipped if "skipped" in record):
                dropped = True
            else:
                kept.append((offset, length))
        if not dropped:
            return
        temporary = target.with_suffix(".tmp")
        with open(path, "rb") as source, open(temporary, "wb") as file:
            for offset, length in kept:
                source.seek(offset)
                file.write(source.read(length))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        if path != target:
            path.unlink()

    def _complete(self, path: Path) -> Iterator[tuple[int, int, int]]:
        """(block, offset, length) of the complete blocks in a file, which holds each block's lines together."""
        if not path.exists():
            return
        offset = start = 0
        current: list[str] = []
        with open(path, "rb") as file:
            for line in file:
                sample = _sample_id(line)
                if sample is None or sample not in self._block_of:
                    return  # half a line, or another run's: nothing behind it counts
                offset += len(line)
                current.append(sample)
                block = self._block_of[sample]
                if list(self.blocks[block][:len(current)]) != current:
                    return
                if len(current) == len(self.blocks[block]):
                    yield block, start, offset - start
                    start, current = offset, []

    def _part_files(self) -> list[Path]:
        return sorted(self.folder.glob("samples.part-*.jsonl"))

    def _own_files(self) -> list[Path]:
        named = [self.folder / name for name in (SAMPLES, CONFIG, RESULT, TIMING, CAPTION_METRICS)]
        return [path for path in named if path.exists()] + self._part_files()


def read_json(path: Path) -> Any:
    """A JSON file of a run. Errors: RunError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); give --overwrite to start the run anew") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically: under a temporary name, synced, renamed."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        file.write(text.encode("utf-8", "surrogatepass"))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _append(path: Path, data: bytes) -> int:
    """Append and sync; returns the offset at which the data begin."""
    with open(path, "ab") as file:
        offset = file.tell()
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return offset


def _sample_id(line: bytes) -> str | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return from_line(line)["id"]
    except (ValueError, KeyError, TypeError):
        return None
