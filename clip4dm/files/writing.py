"""A file is written whole or not at all, whatever ends the program or the disk's room."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def replace_file(path: Path, data: bytes, temporary: Path | None = None) -> None:
    """Write bytes under a temporary name beside `path`, synced, then renamed to it. Errors: OSError.

    temporary: that name, in the same folder; None for one of this process's.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "file"
    >>> replace_file(path, b"whole"); path.read_bytes()
    b'whole'
    """
    temporary = temporary or path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        put_in_place(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


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
