"""A file is written whole or not at all, whatever ends the program or the disk's room.

A link is followed: what it leads to is replaced, and the link stays. What is there and is no file (a device, a pipe, a
folder) is refused: renaming would put a file in its place.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from clip4dm.files.reading import FileError, kind_of


def replace_file(path: Path, data: bytes, temporary: Path | None = None) -> None:
    """Write bytes under a temporary name beside `path`, synced, then renamed to it. Errors: OSError, FileError.

    temporary: that name, in the same folder; None for one of this process's, beside what `path` leads to.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "file"
    >>> replace_file(path, b"whole"); path.read_bytes()
    b'whole'
    """
    if temporary is None:
        path = place_of(path)
        temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        put_in_place(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def place_of(path: Path) -> Path:
    """Where a file that is asked for by this name is to be put: the path, or where it leads, if it is a link.

    Errors: FileError for what is there and is no regular file.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "file"
    >>> place_of(path) == path
    True
    """
    kind = kind_of(path)
    if kind not in (None, "a file", "a link to nothing"):
        raise FileError(f"{path} is {kind}, and a file cannot be put in its place; give another name")
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def put_in_place(temporary: Path, path: Path) -> None:
    """Sync a file that was written under a temporary name in the same folder, and rename it. Errors: OSError.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / ".file.tmp").write_bytes(b"whole"); put_in_place(folder / ".file.tmp", folder / "file")
    >>> [path.name for path in folder.iterdir()]
    ['file']
    """
    with open(temporary, "r+b") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
