"""A report's folder, written whole or not at all, and never in the place of anything but an earlier report."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from clip4dm.files.reading import FileError, read_json
from clip4dm.report.runs.sources.base import ReportError

MANIFEST = "report.json"
MADE_BY = "clip4dm report"


class ReportFolder:
    """Files go to a folder beside the one asked for, which takes its place when the block ends well.

    overwrite: whether an earlier report may be there then. Errors: ReportError.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "report"
    >>> with ReportFolder(place) as report:
    ...     report.write("index.html", "<!DOCTYPE html>")
    >>> sorted(path.name for path in place.iterdir()), [path.name for path in place.parent.iterdir()]
    (['index.html', 'report.json'], ['report'])
    """

    def __init__(self, folder: Path, overwrite: bool = False) -> None:
        self.folder, self.overwrite = Path(os.path.abspath(folder)), overwrite
        self.temporary = self.folder.with_name(f".{self.folder.name[:200]}.{os.getpid()}.tmp")
        self.names: list[str] = []

    def __enter__(self) -> ReportFolder:
        with _writing(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.temporary, ignore_errors=True)  # of an earlier process of this number
            self.temporary.mkdir()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                manifest = {"made_by": MADE_BY, "files": [*self.names, MANIFEST]}
                self.write(MANIFEST, json.dumps(manifest, indent=1) + "\n")
                with _writing(self.folder):
                    self._take_place()
        finally:
            shutil.rmtree(self.temporary, ignore_errors=True)

    def write(self, name: str, text: str) -> None:
        """A file of the report. Errors: ReportError."""
        self.names.append(name)
        with _writing(self.folder), open(self.temporary / name, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def _take_place(self) -> None:
        old = self.temporary.with_suffix(".old")
        shutil.rmtree(old, ignore_errors=True)
        if self.folder.exists():
            check_place(self.folder, self.overwrite)  # whatever came there meanwhile
            self.folder.rename(old)
        try:
            self.temporary.rename(self.folder)
        except OSError:
            with contextlib.suppress(OSError):
                old.rename(self.folder)
            raise
        shutil.rmtree(old, ignore_errors=True)


def check_place(folder: Path, overwrite: bool) -> None:
    """Whether a report may be written there: nothing is there, an empty folder, or a report that may be overwritten.

    Errors: ReportError.

    >>> check_place(Path("/"), overwrite=True)
    Traceback (most recent call last):
    clip4dm.report.runs.sources.base.ReportError: / is there and holds other things than a report: give another --output
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ReportError(f"{folder} is there and no folder: give another --output")
    if not folder.exists():
        return
    try:
        found = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise ReportError(f"{folder} cannot be read: {error.strerror}: give another --output") from None
    if not found:
        return
    if not found <= _files_of_report(folder):
        raise ReportError(f"{folder} is there and holds other things than a report: give another --output")
    if not overwrite:
        raise ReportError(f"{folder} holds a report already: give --overwrite, or another --output")


def _files_of_report(folder: Path) -> set[str]:
    try:
        manifest = read_json(folder / MANIFEST)
    except FileError:
        return set()
    if not isinstance(manifest, dict) or manifest.get("made_by") != MADE_BY:
        return set()
    files = manifest.get("files")
    return {name for name in files if isinstance(name, str)} if isinstance(files, list) else set()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReportError(f"{folder} cannot be written: {error.strerror or error}") from error
