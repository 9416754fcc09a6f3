"""A file that is written whole or not at all, by whatever writes to a path; errors name the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from clip4dm.files.writing import place_of, put_in_place
from clip4dm.scoring.temporary import remove_left_behind_of, temporary_name, writable


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to, renamed to it when the block ends well, else removed.

    What killed processes left of the same file is removed first. A link is followed.
    Errors: ScoringError for what the system says against writing; FileError for what is there and is no file.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole_file(folder / "kept.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [path.name for path in folder.iterdir()]
    ['kept.txt']
    """
    path = place_of(path)
    remove_left_behind_of(path)
    temporary = temporary_name(path)
    try:
        with writable(path):
            yield temporary
            put_in_place(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
