"""The fields of an annotation file's rows, checked: whatever is wrong names the file, the row and what was expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar, overload

from clip4dm.benchmarks.base import BenchmarkError
from clip4dm.files.reading import FileError, is_number, read_json

T = TypeVar("T")
U = TypeVar("U")


def read_annotations(path: Path) -> Any:
    """A JSON file's content. Errors: BenchmarkError.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "foil.json"
    >>> size = path.write_text('{"annotations": []}'); read_annotations(path)
    {'annotations': []}
    """
    try:
        return read_json(Path(path))
    except FileError as error:
        raise BenchmarkError(str(error)) from None


def has_columns(content: Any, *names: str) -> bool:
    """Whether a file's content is a list of rows of which the first has these fields.

    >>> has_columns([{"caption": "a cup", "id": 1}], "caption"), has_columns({"caption": []}, "caption")
    (True, False)
    """
    return (
        isinstance(content, list) and bool(content) and isinstance(content[0], dict) and set(names) <= set(content[0])
    )


@overload
def field(row: Mapping[str, Any], name: str, kind: type[T], where: str) -> T: ...
@overload
def field(row: Mapping[str, Any], name: str, kind: tuple[type[T], type[U]], where: str) -> T | U: ...
def field(row: Mapping[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> Any:
    """row[name], checked: true and false are no numbers here, though Python counts them among them.

    kind: one type, or two that are both allowed. where: the file and record, for the error. Errors: BenchmarkError.

    >>> field({"id": 3, "caption": "a cup"}, "caption", str, "data.json, row 0")
    'a cup'
    """
    if not isinstance(row, Mapping):
        raise BenchmarkError(f"{where} is a {type(row).__name__}, not an object with named fields")
    if name not in row:
        raise BenchmarkError(f"{where} has no field {name!r}; it has: {', '.join(map(str, row)) or 'none'}")
    if not isinstance(row[name], kind) or isinstance(row[name], bool):  # true is an int of Python's, but no number
        raise BenchmarkError(f"{where}: field {name!r} is {row[name]!r:.60}, not {_kind_name(kind)}")
    return row[name]


def number(row: Mapping[str, Any], name: str, where: str) -> float:
    """row[name] as a finite number. Errors: BenchmarkError.

    >>> number({"score": 1}, "score", "data.json, row 0")
    1.0
    """
    value = field(row, name, (int, float), where)
    if not is_number(value):
        raise BenchmarkError(f"{where}: field {name!r} is {value!r:.60}, not a finite number")
    return float(value)


def texts(row: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    """row[name], a list of strings. Errors: BenchmarkError.

    >>> texts({"references": ["a cup"]}, "references", "data.json, row 0")
    ('a cup',)
    """
    values = field(row, name, list, where)
    for value in values:
        if not isinstance(value, str):
            raise BenchmarkError(f"{where}: field {name!r} is a list of strings, and {value!r:.60} is none")
    return tuple(values)


def numbers(row: Mapping[str, Any], name: str, where: str) -> tuple[float, ...]:
    """row[name], a list of finite numbers. Errors: BenchmarkError.

    >>> numbers({"ratings": [1, 1, 2]}, "ratings", "data.json, row 0")
    (1.0, 1.0, 2.0)
    """
    values = field(row, name, list, where)
    for value in values:
        if not is_number(value):
            raise BenchmarkError(f"{where}: field {name!r} is a list of finite numbers, and {value!r:.60} is none")
    return tuple(map(float, values))


def flags(values: Sequence[Any], what: str, where: str) -> tuple[bool, ...]:
    """true, false, 1 or 0, and nothing else, not "0", which is true to Python. Errors: BenchmarkError.

    >>> flags([1, False], "a word's label", "data.json, row 0")
    (True, False)
    """
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

    >>> inside("val/cup.jpg", "data.json, row 0")
    'val/cup.jpg'
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
    """The id, noted in `seen` with where it stands. Errors: BenchmarkError where it stands there already.

    >>> seen: dict[str, str] = {}
    >>> unique_id("7", seen, "row 0"), seen
    ('7', {'7': 'row 0'})
    """
    if name in seen:
        raise BenchmarkError(f"{where}: sample id {name!r:.60} occurs twice, first in {seen[name]}")
    seen[name] = where
    return name
