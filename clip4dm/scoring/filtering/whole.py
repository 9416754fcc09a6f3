"""A file that is written whole or not at all, by whatever writes to a path; errors name the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from clip4dm.files.writing import put_in_place
from clip4dm.scoring.pairs import ScoringError
from clip4dm.scoring.temporary import remove_left_behind_of, temporary_name


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to, renamed to it when the block ends well, else removed.

    What killed processes left of the same file is removed first.
    Errors: ScoringError for what the system says against writing.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole_file(folder / "kept.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [path.name for path in folder.iterdir()]
    ['kept.txt']
    """
    remove_left_behind_of(path)
    temporary = temporary_name(path)
    try:
        with writable(path):
            yield temporary
            put_in_place(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def writable(path: Path) -> Iterator[None]:
    """What the system says against writing in the block, as a ScoringError that names the path.

    >>> with writable(Path("kept.txt")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    clip4dm.scoring.pairs.ScoringError: kept.txt cannot be written: No space left on device
    """
    try:
        yield
    except OSError as error:
        raise ScoringError(f"{path} cannot be written: {error.strerror or error}") from error
