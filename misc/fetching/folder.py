"""A folder that no untrusted name and no link leads out of, and files in it that are written whole or not at all.

The folder itself may be a symbolic link: the user named it. Within it nothing is written through a link, and nothing
into a file that has a second name elsewhere (a hard link): what is written is a new file that takes its place by its
name, and a name whose folders lead out is refused before anything is made.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

from filelock import lock_descriptor

from clip4dm.errors import CLIP4DMError, InputError

PART, NOTE = ".part", ".part.json"  # what has come of a file so far, and from which version of what
MANIFEST, MISSING, SOURCE = "manifest.jsonl", "missing.tsv", "source.json"
PROMPTS, STATE, ARCHIVE = "prompts.jsonl", "stream_state.json", ".zip"
OURS = {MANIFEST, MISSING, SOURCE, PROMPTS, STATE, ARCHIVE, "metadata.json"}  # no picture may take their place
LONGEST_PART = 200  # bytes: a file system takes 255, and .part.json is to be put behind
LONGEST_PATH = 4096  # bytes, of Linux
DEEPEST = 32  # folders
LONGEST_LINE = 1 << 24  # bytes, of a file of JSON lines, or of a small JSON file
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # what fails one file for these fails the next as well
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\:*?"<>|]')


class FetchError(CLIP4DMError):
    """A file that could not be had: the reason, in a line. passing: asking again may help. wait: seconds, if asked."""

    def __init__(self, reason: str, passing: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.passing, self.wait, self.unreachable = passing, wait, False


def safe_path(folder: Path, name: str) -> Path:
    """Where a file of an untrusted name goes: inside the folder, whatever the name says. Errors: FetchError."""
    problem = _problem(folder, name)
    if problem:
        raise FetchError(f"{name!r:.120} is no name of a file inside the folder: {problem}")
    path = folder / name
    try:
        inside = path.parent.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # links that go in a circle are a RuntimeError
        raise FetchError(f"{name!r:.120} cannot be reached: {error}") from None
    if not inside:  # a symbolic link on the way
        raise FetchError(f"{name!r:.120} leads out of {folder}")
    return path


def _problem(folder: Path, name: str) -> str | None:
    if not isinstance(name, str) or not name:
        return "it is empty" if name == "" else "it is no text"
    odd = _FORBIDDEN.search(name)
    if odd:
        return f"the character {odd.group()!a} is not allowed"
    pure = PurePosixPath(name)
    if pure.is_absolute() or name != str(pure) or any(part in ("..", ".") for part in pure.parts):
        return "it is not a plain relative path"
    if pure.parts[0].lower() in OURS or name.lower().endswith((PART, NOTE)):
        return "the scripts keep that name for themselves"
    longest = max(len(part.encode()) for part in pure.parts)
    if longest > LONGEST_PART:
        return f"a part of it has {longest} bytes, more than {LONGEST_PART}"
    if len(pure.parts) > DEEPEST:
        return f"it is {len(pure.parts)} folders deep, more than {DEEPEST}"
    whole = len(os.fsencode(folder.absolute() / name)) + len(NOTE)
    return f"with its folder it has {whole} bytes, more than {LONGEST_PATH}" if whole >= LONGEST_PATH else None


def printable(text: str) -> str:
    """Text from anywhere, for a terminal or a line of a list: control characters and lone surrogates are escaped."""
    odd = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in odd else c for c in text)


def is_plain(path: Path) -> bool:
    """Whether a file is there that is no link and has no second name: one that may be written on."""
    try:
        about = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(about.st_mode) and about.st_nlink == 1


def create(path: Path) -> IO[bytes]:
    """A new file. What stands there goes first: a link itself, never what it leads to."""
    path.unlink(missing_ok=True)
    return open(path, "xb")


def append(path: Path) -> IO[bytes]:
    """A file that `is_plain`, to be written on. Errors: OSError if it has become a link since."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NOFOLLOW", 0)))


@contextlib.contextmanager
def whole_file(path: Path, check: Callable[[Path], None] = lambda path: None) -> Iterator[IO[bytes]]:
    """A file to write, under a temporary name beside its own, which it gets once `check` is content with it.

    Not clip4dm.files.writing.replace_file, which takes its bytes at once and a temporary name of its own: here a
    picture is looked at before it gets its name; what stands at the temporary name, be it a link, is put away and
    not written through; and that name is one that no untrusted name can have (see `safe_path`), and the same in every
    call, so that what a killed call has left does not stay.
    """
    partial = path.with_name(path.name + PART)
    try:
        with create(partial) as file:
            yield file
        check(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text as a `whole_file`. A link at the path is replaced, not followed.

    A lone surrogate becomes a backslash escape, which in JSON is the very same character again.
    """
    try:
        with whole_file(path) as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say whose
        raise


class JsonLines:
    """A file of JSON lines that grows: each line is with the operating system before the next is begun."""

    def __init__(self, path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        """rows: what it holds so far. It is written anew with them, so that no link and no half line is written on."""
        write_whole(path, "".join(map(json_line, rows)))
        self.file = append(path)

    def add(self, row: Mapping[str, Any]) -> None:
        self.file.write(json_line(row).encode("utf-8", "backslashreplace"))
        self.file.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the line that the disk had no room for
            self.file.close()


def json_line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines. Whatever else is in it is passed over; a missing file is empty."""
    if not path.is_file():
        return
    with open(path, "rb") as file:
        while line := file.readline(LONGEST_LINE):
            try:
                row = json.loads(line.decode("utf-8", "replace"))
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield row


def read_json_object(path: Path) -> dict[str, Any]:
    """A small JSON file's object; {} if it is not there, not readable, or something else."""
    try:
        if not path.is_file():
            return {}
        with open(path, "rb") as file:
            content = json.loads(file.read(LONGEST_LINE))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One download at a time writes into a folder. Errors: InputError if another does.

    The system lets go of the lock when the process ends, however it ends.
    """
    if os.name == "nt":  # where a folder cannot be opened
        yield
        return
    # The folder itself is locked: a lock file would stay in it, and would have to be no link either.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            if not lock_descriptor(descriptor, blocking=False):
                raise InputError(f"another download is writing into {folder}; wait for it or end it")
        yield
    finally:
        os.close(descriptor)


def tells_case_apart(folder: Path) -> bool:
    """Whether "A.jpg" and "a.jpg" are two files there. The manifest, which is there, is looked for in capitals."""
    try:
        return not (folder / MANIFEST.upper()).samefile(folder / MANIFEST)
    except OSError:
        return True


def reason_of(error: Exception) -> str:
    """An error as a person understands it: the system's words and the file, or the error's own words and its kind."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{error} ({type(error).__name__})" if str(error) else type(error).__name__
