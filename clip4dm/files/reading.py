"""Reading what lies on a disk, whatever it is: regular files alone, and JSON that is JSON, else one clear line.

A pipe can be read only once and a device without end, while data files are recognised, read and hashed: both are
refused before anything is read of them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from clip4dm.errors import CLIP4DMError, InputError

LARGEST_TEXT = 1 << 30  # bytes of a JSON or CSV file; the largest annotation file of the benchmarks has a tenth of it


class FileError(CLIP4DMError, ValueError):
    """A file that cannot be read: which, what it is, what is wanted, in one line."""


def kind_of(path: Path) -> str | None:
    """What stands at a path, in words: "a file", "a folder", "a pipe", ...; None where there is nothing.

    Links are followed. Errors: FileError where the system does not let it be looked at.

    >>> kind_of(Path("/")), kind_of(Path("/no/such/thing"))
    ('a folder', None)
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "a link to nothing" if os.path.islink(path) else None
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be looked at: {_reason(error)}") from None
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "no file")


def check_regular(path: Path, largest: int | None = None) -> None:
    """Errors: FileError for what is no regular file, or has more bytes than `largest`. Nothing of it is read.

    >>> check_regular(Path(__file__))
    """
    kind = kind_of(path)
    if kind is None:
        raise FileError(f"no such file: {path}")
    if kind == "a pipe":
        raise FileError(
            f"{path} is a pipe, as <(...) makes one, and can be read only once; only regular files are "
            "read: write it to a file first"
        )
    if kind != "a file":
        raise FileError(f"{path} is {kind}; only regular files are read")
    size = os.stat(path).st_size
    if largest is not None and size > largest:
        raise FileError(f"{path} has {size} bytes, more than any such file should ({largest}); is it the right one?")


def read_text(path: Path) -> str:
    """A UTF-8 file's text, without its byte order mark. Errors: FileError, also beyond LARGEST_TEXT bytes.

    >>> read_text(Path(__file__)).startswith("Reading what lies on a disk", 3)
    True
    """
    check_regular(path, LARGEST_TEXT)
    try:
        with open(path, "rb") as file:
            head = file.read(4)
            if head[:1] == b"\0":  # before a sparse file of zeros fills the memory
                raise FileError(f"{path} is no text: it begins with a zero byte")
            if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise FileError(f"{path} is UTF-16 text; save it as UTF-8")
            return (head + file.read()).decode("utf-8-sig")
    except OSError as error:
        raise FileError(f"{path} cannot be read: {_reason(error)}") from error
    except UnicodeDecodeError as error:
        wrong, line = error.object[error.start], error.object.count(b"\n", 0, error.start) + 1
        raise FileError(f"{path} is no UTF-8 text: byte {error.start} is {wrong:#04x}, in line {line}") from None


def read_json(path: Path) -> Any:
    """A JSON file's content. Errors: FileError for one that is empty, no UTF-8, or no JSON as `parse_json` takes it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "data.json"; _ = path.write_text('{"id": 1}'); read_json(path)
    {'id': 1}
    """
    text = read_text(path)
    if not text.strip():
        raise FileError(f"{path} is empty")
    try:
        return parse_json(text)
    except ValueError as error:
        raise FileError(f"{path} is no JSON: {error} (is the file whole?)") from None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits. Errors: OSError.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "empty"; path.touch(); file_sha256(path)[:8]
    'e3b0c442'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_json(text: str) -> Any:
    """JSON as its standard has it: no NaN, no Infinity, no number beyond a float.

    Errors: ValueError, by Python's own or as InputError.

    >>> parse_json("[1, 2.5]")
    [1, 2.5]
    """
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise InputError("it is nested too deeply") from None


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a number that a float can hold, true and false not among them.

    >>> is_number(3), is_number(True), is_number("3")
    (True, False, False)
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e308 < value < 1e308


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InputError(f"{text[:40]} is no finite number")
    return value


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
