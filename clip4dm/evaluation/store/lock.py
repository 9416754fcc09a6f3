"""A run's folder is held against a second run at the same time; the lock ends with the process, however it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from clip4dm.evaluation.store.runfiles import LOCK, RunError, writing
from clip4dm.files.reading import kind_of


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's file "lock" for as long as the block runs.

    The system lets go of it when this process ends, be it by kill -9: processes that decode pictures are forked while
    it is held, and filelock (from 3.30 on) closes their copies. Errors: RunError, at once where another run holds it.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with locked(folder), locked(folder):  # doctest: +ELLIPSIS
    ...     pass
    Traceback (most recent call last):
    clip4dm.evaluation.store.runfiles.RunError: another run is writing to ...; wait for it or end it
    """
    path = folder / LOCK
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    kind = kind_of(path)
    if kind not in (None, "a file", "a folder"):  # that a folder is none, the system says itself
        raise RunError(f"{path} is {kind}, and cannot be a lock: remove it")
    # Without fallback_to_soft: such a lock is a mere file, which stays when its process is killed.
    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    with writing(path):
        try:
            lock.acquire()
        except Timeout:
            raise RunError(f"another run is writing to {folder}; wait for it or end it") from None
        except OSError as error:
            if error.filename is None:  # the file could be opened, but not locked
                raise RunError(
                    f"{folder} cannot be locked against a second run ({error.strerror}): give an --output on another "
                    "file system"
                ) from None
            raise
    try:
        yield
    finally:
        lock.release()
