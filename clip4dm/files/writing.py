"""A file is written whole or not at all, whatever ends the program or the disk's room."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Write bytes under a temporary name beside `path`, synced, then renamed to it. Errors: OSError.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "file"
    >>> replace_file(path, b"whole"); path.read_bytes()
    b'whole'
    """
    with replacing(path, path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def replacing(path: Path, temporary: Path) -> Iterator[Path]:
    """The block writes `temporary`, in the same folder; it is then synced and renamed to `path`, or removed on errors.

    Errors: OSError.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "file", folder / ".file.tmp") as temporary:
    ...     _ = temporary.write_bytes(b"whole")
    >>> [path.name for path in folder.iterdir()]
    ['file']
    """
    try:
        yield temporary
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
