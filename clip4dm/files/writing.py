"""A file is written whole or not at all, whatever ends the program or the disk's room."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Write bytes under a temporary name beside `path`, synced, then renamed to it. Errors: OSError.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "file"
    >>> replace_file(path, b"whole"); path.read_bytes()
    b'whole'
    """
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
