"""CSV, TSV and JSON lines: where each shard's rows begin in the file, and the rows from there on.

Read once from end to end when the input is opened, to count the rows, hash the file and note a place every so many
rows; a shard then begins reading at its own.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from clip4dm.files.reading import parse_json
from clip4dm.scoring.inputs.opening import open_binary
from clip4dm.scoring.pairs import ScoringError

LARGEST_FIELD = 1 << 27  # characters of a CSV field: one that is larger has a quotation mark that nothing closes
_BOM = b"\xef\xbb\xbf"
Record = tuple[dict[str, Any] | None, str | None]  # a row, or why there is none


@dataclass(frozen=True)
class LineFormat:
    """How a file of lines is read. delimiter: of CSV; None for JSON lines. header: CSV's columns.

    LineFormat(delimiter=";", header=("image", "caption"))
    """

    delimiter: str | None = None
    header: tuple[str, ...] = ()


class Lines:
    """A file's lines as text, counting the bytes that have been read. Bytes that are no UTF-8 become half characters.

    ended: whether a line was asked for after the last one.

    with open("captions.csv", "rb") as file:
        header = next(Lines(file))
    """

    def __init__(self, file: IO[bytes], at: int = 0) -> None:
        self.file, self.at = file, at
        self.ended = False
        self.digest = hashlib.sha256()
        if at:
            file.seek(at)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.file.readline()
        if not line:
            self.ended = True
            raise StopIteration
        self.digest.update(line)
        if self.at == 0:
            if line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise ScoringError("it is UTF-16 text; save it as UTF-8")
            line = line[3:] if (marked := line.startswith(_BOM)) else line
            self.at += 3 * marked
        self.at += len(line)
        return line.decode("utf-8", "surrogateescape")


def sniff(path: str, tabs: bool = False) -> LineFormat:
    """A CSV file's delimiter and header. tabs: its name says so. Errors: ScoringError.

    sniff("captions.csv").header  # ("image", "caption")
    """
    found: dict[str, list[str]] = {}
    for delimiter in "\t" if tabs else ",;\t|":
        with open_binary(path) as file:
            found[delimiter] = _guarded(path, partial(next, csv.reader(Lines(file), delimiter=delimiter), []))
    delimiter, header = max(found.items(), key=lambda one: len(one[1]))
    if not header:
        raise ScoringError(f"{path} is empty")
    return LineFormat(delimiter, tuple(name.strip() for name in header))


def records(path: str, form: LineFormat, at: int = 0) -> Iterator[Record]:
    """The rows from a place on that `index` noted (0: from the first). Errors: ScoringError.

    for values, error in records("captions.csv", sniff("captions.csv")):
        print(values or error)
    """
    with open_binary(path) as file:
        lines = Lines(file, at)
        reader = _reader(lines, form)
        if form.delimiter is not None and at == 0:
            next(reader)
        while (one := _guarded(path, partial(next, reader, None))) is not None:
            yield one


def index(path: str, form: LineFormat, every: int, note: Callable[[Record], None]) -> tuple[list[int], int, str]:
    """(where every so-many-th row begins, number of rows, sha256 of the file). note: told of every row.

    places, count, sha256 = index("captions.csv", form, every=1000, note=lambda record: None)
    """
    with open_binary(path) as file:
        lines = Lines(file)
        reader = _reader(lines, form)
        if form.delimiter is not None:
            _guarded(path, partial(next, reader, None))
        places, count, at = [], 0, lines.at
        while (one := _guarded(path, partial(next, reader, None))) is not None:
            if count % every == 0:
                places.append(at)
            note(one)
            count, at = count + 1, lines.at
        return places, count, lines.digest.hexdigest()


def _reader(lines: Lines, form: LineFormat) -> Iterator[Record]:
    return _csv_records(lines, form) if form.delimiter is not None else _json_records(lines)


def _csv_records(lines: Lines, form: LineFormat) -> Iterator[Record]:
    if csv.field_size_limit() < LARGEST_FIELD:
        csv.field_size_limit(LARGEST_FIELD)
    assert form.delimiter is not None
    reader = csv.reader(lines, delimiter=form.delimiter)
    for fields in reader:
        if lines.ended:  # asked for a line more than there are: only a row within quotation marks goes on in the next
            opens = reader.line_num - fields[-1].removesuffix("\n").count("\n")
            raise ScoringError(
                f"the quotation mark that opens in line {opens} is closed nowhere: every row after it would "
                'be part of that field; close it, or write a mark that is meant as text as ""'
            )
        if not fields:  # a blank line
            continue
        values = dict(zip(form.header, fields, strict=False))
        if len(fields) == len(form.header):
            yield values, None
        else:
            yield values, f"the row has {len(fields)} fields, and the header {len(form.header)}"


def _json_records(lines: Lines) -> Iterator[Record]:
    for line in lines:
        if not line.strip():
            continue
        try:
            values = parse_json(line)
        except ValueError as error:
            yield None, f"the line is no JSON: {error}"
            continue
        yield (values, None) if isinstance(values, dict) else (None, f"the line is no JSON object: {line:.60}")


def _guarded(path: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except csv.Error as error:
        if "new-line character" in str(error):
            raise ScoringError(
                f"{path} has a carriage return (CR) without a line feed behind it: lines end in LF or CRLF, and one "
                "within a field stands in quotation marks; save it so"
            ) from None
        raise ScoringError(
            f"{path} is no CSV as it is read here ({error}): is there a quotation mark that nothing closes?"
        ) from None
    except ScoringError as error:
        raise ScoringError(f"{path}: {error}") from None
    except OSError as error:
        raise ScoringError(f"{path} cannot be read: {error.strerror or error}") from None


def note_kinds(values: dict[str, Any], kinds: dict[str, set[type]]) -> None:
    """Add a JSON object's kinds of values by name; a whole number that 64 bits do not hold counts as text.

    >>> kinds = {}
    >>> note_kinds({"id": 7}, kinds); note_kinds({"id": 2**64}, kinds); sorted(kind.__name__ for kind in kinds["id"])
    ['int', 'str']
    """
    for name, value in values.items():
        large = isinstance(value, int) and not -(2**63) <= value < 2**63
        kinds.setdefault(name, set()).add(str if large else type(value))


def json_types(kinds: dict[str, set[type]]) -> Sequence[tuple[str, str]]:
    """Of JSON's values by column, an Arrow type each: what is mixed or nested becomes text.

    >>> json_types({"id": {int}, "weight": {int, float}, "tags": {list}, "none": {type(None)}})
    [('id', 'int64'), ('weight', 'float64'), ('tags', 'string'), ('none', 'string')]
    """
    found = []
    for name, kind in kinds.items():
        kind = kind - {type(None)}
        arrow = {frozenset({bool}): "bool", frozenset({int}): "int64"}.get(frozenset(kind))
        found.append((name, arrow or ("float64" if kind and kind <= {int, float} else "string")))
    return found


def as_text(value: Any) -> str | None:
    """A value of a column of mixed or nested values.

    >>> as_text([1, "a"]), as_text("a"), as_text(None)
    ('[1, "a"]', 'a', None)
    """
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
