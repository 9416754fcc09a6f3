"""Locating labels as character spans of a caption, and rules that compare spans. Pure functions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from clip4dm.benchmarks.base import BenchmarkError, Span
from clip4dm.files import reading as files
from clip4dm.files.reading import FileError


def overlaps(a: Span, b: Span) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def overlaps_any(span: Span, spans: Iterable[Span]) -> bool:
    return any(overlaps(span, other) for other in spans)


def changed_spans(original: str, changed: str) -> tuple[Span, ...]:
    """The spans of `changed` that replace something in `original`, compared by white-space-separated tokens.

    A replaced token's outer punctuation is left out where both sides share it: "shirt." -> "skirt." gives "skirt".
    """
    old, new = list(re.finditer(r"\S+", original)), list(re.finditer(r"\S+", changed))
    matcher = difflib.SequenceMatcher(
        None, [m.group().lower() for m in old], [m.group().lower() for m in new], autojunk=False
    )
    spans = []
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal" or j1 == j2:
            continue
        start, end = new[j1].start(), new[j2 - 1].end()
        if kind == "replace":
            before = original[old[i1].start() : old[i2 - 1].end()]
            start, end = _without_shared_punctuation(before, changed, start, end)
        spans.append((start, end))
    return tuple(spans)


def _without_shared_punctuation(before: str, text: str, start: int, end: int) -> Span:
    while end - start > 1 and before and before[-1] == text[end - 1] and not text[end - 1].isalnum():
        before, end = before[:-1], end - 1
    while end - start > 1 and before and before[0] == text[start] and not text[start].isalnum():
        before, start = before[1:], start + 1
    return start, end


def whole_word_spans(text: str, phrase: str) -> tuple[Span, ...]:
    """Where a phrase stands in a text, any case and any white space between its words, at word boundaries."""
    parts = phrase.split()
    if not parts:
        return ()
    pattern = r"(?<!\w)" + r"\s+".join(re.escape(part) for part in parts) + r"(?!\w)"
    return tuple(match.span() for match in re.finditer(pattern, text, re.IGNORECASE))


def substring_spans(text: str, phrase: str) -> tuple[Span, ...]:
    """Where a phrase stands in a text, any case and white space, boundaries or not."""
    parts = phrase.split()
    if not parts:
        return ()
    return tuple(match.span() for match in re.finditer(r"\s+".join(map(re.escape, parts)), text, re.IGNORECASE))


def read_json(path: Path) -> Any:
    """A JSON file. Errors: BenchmarkError."""
    try:
        return files.read_json(Path(path))
    except FileError as error:
        raise BenchmarkError(str(error)) from None


def field(row: Mapping[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> Any:
    """row[name], checked. where: the file and record, for the error. Errors: BenchmarkError."""
    if not isinstance(row, Mapping):
        raise BenchmarkError(f"{where} is a {type(row).__name__}, not an object with named fields")
    if name not in row:
        raise BenchmarkError(f"{where} has no field {name!r}; it has: {', '.join(map(str, row)) or 'none'}")
    if not isinstance(row[name], kind) or isinstance(row[name], bool):  # true is an int of Python's, but no number
        raise BenchmarkError(f"{where}: field {name!r} is {row[name]!r:.60}, not {_kind_name(kind)}")
    return row[name]


def number(row: Mapping[str, Any], name: str, where: str) -> float:
    """row[name] as a finite number. Errors: BenchmarkError."""
    value = field(row, name, (int, float), where)
    if not files.is_number(value):
        raise BenchmarkError(f"{where}: field {name!r} is {value!r:.60}, not a finite number")
    return float(value)


def texts(row: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    """row[name] as strings. Errors: BenchmarkError."""
    values = field(row, name, list, where)
    for value in values:
        if not isinstance(value, str):
            raise BenchmarkError(f"{where}: field {name!r} is a list of strings, and {value!r:.60} is none")
    return tuple(values)


def flags(values: Sequence[Any], what: str, where: str) -> tuple[bool, ...]:
    """true, false, 1 or 0, and nothing else, not "0", which is true to Python. Errors: BenchmarkError."""
    for value in values:
        if not (isinstance(value, (bool, int)) and value in (0, 1)):
            raise BenchmarkError(f"{where}: {what} is {value!r:.60}, not true, false, 1 or 0")
    return tuple(value == 1 for value in values)


def _kind_name(kind: type | tuple[type, ...]) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(
        dict.fromkeys(
            {"str": "a string", "list": "a list", "dict": "an object"}.get(k.__name__, "a number") for k in kinds
        )
    )


def inside(image: str, where: str) -> str:
    """An image path that stays in the image folder, by its words. Errors: BenchmarkError for one that climbs out.

    Symbolic links in the folder are followed wherever they lead: the user placed them, not the annotation file, and
    pictures are only read. (What the download scripts write never follows one: misc/fetching/folder.py.)
    """
    posix, windows = PurePosixPath(image), PureWindowsPath(image)
    if (
        not image.strip()
        or posix.is_absolute()
        or windows.drive
        or windows.root
        or "\\" in image
        or "\0" in image
        or ".." in posix.parts
    ):
        raise BenchmarkError(f"{where}: image path {image!r} does not stay inside the image folder")
    return image


def unique_id(name: str, seen: dict[str, str], where: str) -> str:
    """The id, noted in `seen` with where it stands. Errors: BenchmarkError where it stands there already."""
    if name in seen:
        raise BenchmarkError(f"{where}: sample id {name!r:.60} occurs twice, first in {seen[name]}")
    seen[name] = where
    return name
