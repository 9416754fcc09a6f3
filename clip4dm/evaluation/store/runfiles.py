"""The files of a run's folder: their names, and how they are written so that a full disk or a power cut shows.

    config.json           what made the run, with its fingerprint       samples.jsonl    a line a sample
    result.json           the figures, and the samples' checksum        samples.sums     a checksum a block of lines
    timing.json           seconds, samples a second                     samples.part-*   what a merge has still to move
    caption_metrics.json  baselines, where they were asked for          lock             held while a run writes
    suggestions.jsonl     other words, where they were asked for

JSON is written under a temporary name, synced and renamed. Where nothing else could tell that its figures were
changed afterwards, it is sealed: kept together with its own fingerprint.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clip4dm.errors import CLIP4DMError, InputError
from clip4dm.files.provenance import fingerprint
from clip4dm.files.reading import FileError, read_json
from clip4dm.files.writing import replace_file

SAMPLES, SUMS, CONFIG, RESULT, TIMING = "samples.jsonl", "samples.sums", "config.json", "result.json", "timing.json"
CAPTION_METRICS, SUGGESTIONS = "caption_metrics.json", "suggestions.jsonl"
LOCK = "lock"


class RunError(CLIP4DMError, RuntimeError):
    """A run that cannot go on in its folder: why, and what to do."""


class DamagedRun(RunError):
    """A run whose files are not as they were written: which file, where in it, and what to do."""


def part_files(folder: Path) -> list[Path]:
    """The parts of samples.jsonl that several processes wrote, or that were put aside, in the order of their names.

    >>> part_files(Path("no/such/folder"))
    []
    """
    return sorted(folder.glob("samples.part-*.jsonl"))


def sums_files(folder: Path) -> list[Path]:
    """The checksums of samples.jsonl and of its parts (see `checksums`), in the order of their names.

    >>> sums_files(Path("no/such/folder"))
    []
    """
    return sorted(folder.glob("samples*.sums"))


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON object of a run. remedy: what to do about a damaged one. Errors: DamagedRun.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / CONFIG
    >>> write_json(path, {"seed": 0}); read_object(path, remedy="run again")
    {'seed': 0}
    """
    try:
        content = read_json(path)
    except FileError as error:
        raise DamagedRun(f"{error}; {remedy}") from None
    if not isinstance(content, dict):
        raise DamagedRun(f"{path} is JSON, but no object; {remedy}")
    return content


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all. Errors: RunError; InputError for NaN.

    write_json(folder / RESULT, {"n": 2})
    """
    try:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError as error:
        raise InputError(f"{path} is not written: a value of it is no finite number ({error})") from None
    write_whole(path, text.encode("utf-8", "surrogatepass"))


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object together with its fingerprint. Errors: RunError; InputError for NaN.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / CAPTION_METRICS
    >>> write_sealed(path, {"sample": {"CIDEr": 0.5}}); read_sealed(path)
    {'sample': {'CIDEr': 0.5}}
    """
    write_json(path, {"fingerprint": fingerprint(content), "content": content})


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote. Errors: DamagedRun, for any other content too.

    read_sealed(folder / CAPTION_METRICS)
    """
    remedy = "remove that file, and the next call computes it anew"
    sealed = read_object(path, remedy)
    content = sealed.get("content")
    if not isinstance(content, dict) or sealed.get("fingerprint") != fingerprint(content):
        raise DamagedRun(f"{path} is not as it was written (its fingerprint is another one); {remedy}")
    return content


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Errors: RunError.

    write_whole(folder / SUMS, b"")
    """
    with writing(path):
        replace_file(path, data)


def append(path: Path, data: bytes, at: int) -> None:
    """Append and sync. at: the size in bytes that the file must have. Errors: RunError.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / SAMPLES
    >>> append(path, b"one", at=0); append(path, b"two", at=3); path.read_bytes()
    b'onetwo'
    """
    with writing(path), open(path, "ab") as file:
        if file.tell() != at:
            raise RunError(
                f"{path} has {file.tell()} bytes where this run left {at}: something else changed it. Run "
                "the same command again: what is whole is kept"
            )
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever the system says against writing becomes a RunError that names the file.

    >>> with writing(Path("result.json")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    clip4dm.evaluation.store.runfiles.RunError: result.json cannot be written: No space left on device. ...
    """
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror or error}. What was stored before it is kept: when "
            "that is mended, the same command goes on from there"
        ) from error
