"""Paths of an input: this machine's, or any that fsspec has a protocol for ("s3://bucket/00000.tar")."""

from __future__ import annotations

import glob
import hashlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import IO, Any, cast

from clip4dm.errors import short_reason
from clip4dm.files.reading import FileError, check_regular
from clip4dm.scoring.pairs import ScoringError

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def is_remote(path: str) -> bool:
    """Whether a path names its protocol.

    >>> is_remote("s3://bucket/a.tar"), is_remote("shards/a.tar")
    (True, False)
    """
    return re.match(r"[A-Za-z][\w+.-]*://", path) is not None


def expand(given: Sequence[str]) -> list[str]:
    """The paths that words of a command line stand for: number ranges in braces, then wildcards, sorted.

    Errors: ScoringError for wildcards that nothing matches.

    >>> expand(["shards/{08..11}.tar"])
    ['shards/08.tar', 'shards/09.tar', 'shards/10.tar', 'shards/11.tar']
    """
    return [path for word in given for ranged in _ranges(word) for path in _matching(ranged)]


def _ranges(word: str) -> Iterator[str]:
    pieces = _RANGE.split(word)  # text, first, last, text, first, last, ..., text
    texts, bounds = pieces[::3], list(zip(pieces[1::3], pieces[2::3], strict=True))
    numbers = [[f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)] for first, last in bounds]
    for chosen in product(*numbers):
        yield "".join(part for pair in zip(texts, (*chosen, ""), strict=True) for part in pair)


def _matching(path: str) -> list[str]:
    if not any(c in path for c in "*?[") or (not is_remote(path) and os.path.exists(path)):
        return [path]
    if is_remote(path):
        fs, inner = _filesystem(path)
        found = [cast(str, fs.unstrip_protocol(one)) for one in _asked(path, fs.glob, inner)]
    else:
        found = glob.glob(path, recursive=True)
    if not found:
        raise ScoringError(f"nothing matches {path}")
    return sorted(found)


def kind(path: str) -> str | None:
    """ "folder", "file", or None where there is nothing. Errors: ScoringError.

    >>> kind("/"), kind("/no/such/thing")
    ('folder', None)
    """
    if is_remote(path):
        fs, inner = _filesystem(path)
        if _asked(path, fs.isdir, inner):
            return "folder"
        return "file" if _asked(path, fs.exists, inner) else None
    return "folder" if os.path.isdir(path) else "file" if os.path.exists(path) else None


def size(path: str) -> int:
    """A file's bytes. Errors: ScoringError where there is none.

    size("shards/00000.tar")
    """
    if is_remote(path):
        fs, inner = _filesystem(path)
        return int(_asked(path, fs.size, inner))
    return int(_asked(path, os.path.getsize, path))


def stamp(path: str) -> tuple[int, int] | None:
    """A file's bytes and when it was last changed, in ns; None where there is none. Not for remote ones.

    >>> stamp("/no/such/file") is None
    True
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def ends_sha256(path: str, length: int = 1 << 16) -> str:
    """SHA-256 of a file's first and last so many bytes: a tar's names and times, without reading it all.

    Errors: ScoringError.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for name, middle in (("a", b"x"), ("b", b"y")):
    ...     with open(f"{folder}/{name}", "wb") as file:
    ...         _ = file.write(b"first" + middle + b"last")
    >>> ends_sha256(f"{folder}/a", 4) == ends_sha256(f"{folder}/b", 4), ends_sha256(f"{folder}/a")[:8]
    (True, '3ec74c22')
    """
    with open_binary(path) as file:
        digest = hashlib.sha256(_asked(path, file.read, length))
        _asked(path, file.seek, max(0, _asked(path, file.seek, 0, io.SEEK_END) - length))
        digest.update(_asked(path, file.read, length))
    return digest.hexdigest()


def open_binary(path: str) -> IO[bytes]:
    """A file to read bytes from. Errors: ScoringError, also for a pipe or a device, which nobody may ever write to.

    with open_binary("captions.csv") as file:
        file.readline()
    """
    if is_remote(path):
        fs, inner = _filesystem(path)
        return io.BufferedReader(_Remote(path, _asked(path, fs.open, inner, "rb")), 1 << 16)
    try:
        check_regular(Path(path))
    except FileError as error:
        raise ScoringError(str(error)) from None
    return cast(IO[bytes], _asked(path, open, path, "rb"))


def read_bytes(path: str) -> bytes:
    """A whole file. Errors: ScoringError, also beyond the size of the largest picture that is read.

    read_bytes("s3://bucket/a.jpg")
    """
    from clip4dm.files.images import MAX_BYTES

    with open_binary(path) as file:
        data = cast(bytes, _asked(path, file.read, MAX_BYTES + 1))
    if len(data) > MAX_BYTES:
        raise ScoringError(f"{path} has more than {MAX_BYTES} bytes, as many as are read of a picture")
    return data


def join(folder: str, name: str) -> str:
    """A path below a folder; a name that is absolute or has a protocol stays as it is.

    >>> join("data", "a.jpg"), join("data", "/a.jpg"), join("s3://bucket/data/", "a.jpg")
    ('data/a.jpg', '/a.jpg', 's3://bucket/data/a.jpg')
    """
    if is_remote(name):
        return name
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else os.path.join(folder, name)


def listing(folder: str) -> list[str]:
    """The files in a folder and those below it, by their paths from it; hidden ones left out. Errors: ScoringError.

    listing("photos")  # ["a.jpg", "a.txt", "more/b.jpg"]
    """
    if is_remote(folder):
        fs, inner = _filesystem(folder)
        start = len(inner.rstrip("/")) + 1
        names = [name[start:] for name in _asked(folder, fs.find, inner)]
    else:
        names = [
            os.path.relpath(os.path.join(place, name), folder)
            for place, _, files in os.walk(folder, onerror=_refused)
            for name in files
        ]
    return sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))


def _refused(error: OSError) -> None:
    raise ScoringError(f"{error.filename} cannot be read: {error.strerror}")


class _Remote(io.RawIOBase):
    """A file of fsspec's; what its protocol raises while it is read is a ScoringError, of whatever kind it was."""

    def __init__(self, path: str, file: Any) -> None:
        self.path, self.file = path, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(_asked(self.path, self.file.seek, offset, whence))

    def tell(self) -> int:
        return int(self.file.tell())

    def readinto(self, buffer: Any) -> int:
        data = _asked(self.path, self.file.read, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()


def _filesystem(path: str) -> tuple[Any, str]:
    import fsspec

    return cast(tuple[Any, str], _asked(path, fsspec.core.url_to_fs, path))


def _asked(path: str, ask: Any, *arguments: Any) -> Any:
    """What a file system answers; whatever it raises is one ScoringError."""
    try:
        return ask(*arguments)
    except FileNotFoundError:
        raise ScoringError(f"no such file: {path}") from None
    except OSError as error:
        raise ScoringError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # a protocol's own: no such protocol, no credentials, no network
        raise ScoringError(f"{path} cannot be read ({short_reason(error)})") from None
