"""Tables: CSV, TSV, JSON lines, JSON, parquet; a shard is so many rows of one file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from clip4dm.files.provenance import fingerprint
from clip4dm.files.reading import parse_json
from clip4dm.scoring.inputs import lines, parquet
from clip4dm.scoring.inputs.base import Input
from clip4dm.scoring.inputs.columns import Columns, as_pair, find_columns
from clip4dm.scoring.inputs.lines import LineFormat, Record
from clip4dm.scoring.inputs.opening import open_binary
from clip4dm.scoring.pairs import Pair, ScoringError, without_doubles
from clip4dm.scoring.schema import clean

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class TableFile:
    """A table as it was found. places: where its shards begin, bytes of a file of lines. digest: of its content.

    table_file("captions.csv", "csv", every=1000).rows
    """

    path: str
    format: str
    names: tuple[str, ...]
    schema: pa.Schema
    rows: int
    digest: str
    lines: LineFormat
    places: tuple[int, ...]


@dataclass(frozen=True)
class TableShard:
    """Rows [start, start + count) of a table. first: the number of its first row in the whole input.

    TableShard(table, "00000", columns, start=0, count=1000, first=0, img_dir="photos")
    """

    table: TableFile
    name: str
    columns: Columns
    start: int
    count: int
    first: int
    place: int
    img_dir: str

    @property
    def carried(self) -> pa.Schema:
        """The columns that are neither pictures nor captions nor keys."""
        import pyarrow as pa

        return pa.schema([self.table.schema.field(name) for name in self.columns.others])

    @property
    def identity(self) -> Mapping[str, Any]:
        """The table's content and the rows."""
        return {"digest": self.table.digest, "start": self.start, "count": self.count, "first": self.first}

    def pairs(self) -> Iterator[Pair]:
        """Errors: ScoringError where the table cannot be read any more."""
        return without_doubles(self._pairs())

    def _pairs(self) -> Iterator[Pair]:
        texts = {field.name for field in self.carried if str(field.type) == "string"}
        for number, (values, error) in enumerate(self._records(), self.first):
            if values is None:
                yield Pair(f"{number:08d}", None, "", None, {}, error)
                continue
            pair = as_pair(values, self.columns, number, self.img_dir)
            carried = {k: lines.as_text(v) if k in texts else v for k, v in pair.carried.items()}
            yield Pair(pair.key, pair.image, pair.image_id, pair.caption, carried, error or pair.error)

    def _records(self) -> Iterator[Record]:
        table = self.table
        if table.format == "parquet":
            return parquet.records(table.path, self.start, self.count)
        if table.format == "json":
            return islice(
                ((row, None) for row in _json_rows(table.path, table.digest)), self.start, self.start + self.count
            )
        return islice(lines.records(table.path, table.lines, self.place), self.count)


def open_tables(
    paths: Sequence[str],
    form: str,
    given: Sequence[str],
    *,
    image_key: str | None = None,
    caption_key: str | None = None,
    pair_key: str | None = None,
    img_dir: str | None = None,
    shard_size: int = 1000,
) -> Input:
    """Tables of one format and with the same columns, cut into shards. img_dir: where relative paths begin (None: the
    table's own folder). Errors: ScoringError.

        open_tables(["captions.csv"], "csv", ["captions.csv"]).shards()
    """
    shards: list[TableShard] = []
    first = 0
    files = _alike([table_file(path, form, shard_size) for path in paths])
    for table in files:
        columns = find_columns(table.names, table.path, image_key, caption_key, pair_key)
        folder = os.path.dirname(table.path) if img_dir is None else img_dir
        alone = replace(table, places=())  # an engine sends each shard: with all places it would be their square
        for number, start in enumerate(range(0, table.rows, shard_size)):
            place = table.places[number] if table.places else 0
            count = min(shard_size, table.rows - start)
            name = f"{len(shards):05d}"
            shards.append(TableShard(alone, name, columns, start, count, first + start, place, folder))
        first += table.rows
    if not shards:
        raise ScoringError(f"{', '.join(paths[:3])}: there are no rows")
    identity = {
        "tables": fingerprint({"digests": [table.digest for table in files]}),
        "image": columns.image,
        "caption": columns.caption,
        "key": columns.key,
        "img_dir": img_dir,
        "shard_size": shard_size,
    }
    return Input(form, tuple(given), identity, shards)


def _alike(files: Sequence[TableFile]) -> list[TableFile]:
    """The tables, each column of the same type in all: of JSON's, what is mixed becomes text."""
    import pyarrow as pa

    first = files[0]
    for table in files:
        if different := set(table.names) ^ set(first.names):
            raise ScoringError(
                f"{table.path} has other columns than {first.path}; score them into a folder each: "
                f"{', '.join(sorted(different))}"
            )
    types = {name: {table.schema.field(name).type for table in files} for name in first.names}
    mixed = {name for name, kinds in types.items() if len(kinds) > 1}
    if mixed and first.format == "parquet":
        name = min(mixed)
        raise ScoringError(f"the column {name!r} has several types: {', '.join(map(str, types[name]))}; make them one")
    numbers = {pa.int64(), pa.float64()}
    alike = pa.schema(
        [
            (name, next(iter(kinds)) if len(kinds) == 1 else pa.float64() if kinds <= numbers else pa.string())
            for name, kinds in types.items()
        ]
    )
    return [replace(table, schema=alike) for table in files]


def table_file(path: str, form: str, every: int) -> TableFile:
    """Look a table through: its columns, rows, digest. every: rows a shard. Errors: ScoringError.

    table_file("captions.csv", "csv", every=1000).names  # ("image", "caption")
    """
    if form == "parquet":
        return _parquet_file(path)
    if form == "json":
        return _json_file(path)
    return _lines_file(path, form, every)


def _lines_file(path: str, form: str, every: int) -> TableFile:
    kinds: dict[str, set[type]] = {}

    def note(record: Record) -> None:
        lines.note_kinds(record[0] or {}, kinds)

    found = LineFormat() if form == "jsonl" else lines.sniff(path, tabs=form == "tsv")
    places, rows, digest = lines.index(path, found, every, note)
    names = tuple(kinds) if form == "jsonl" else found.header
    types = lines.json_types(kinds) if form == "jsonl" else [(name, "string") for name in dict.fromkeys(names)]
    return TableFile(path, form, names, _schema(path, types), rows, digest, found, tuple(places))


def _json_file(path: str) -> TableFile:
    with open_binary(path) as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    rows = _json_rows(path, digest)
    kinds: dict[str, set[type]] = {}
    for row in rows:
        lines.note_kinds(row, kinds)
    schema = _schema(path, lines.json_types(kinds))
    return TableFile(path, "json", tuple(kinds), schema, len(rows), digest, LineFormat(), ())


@lru_cache(maxsize=1)  # the next shard asks for the same file
def _json_rows(path: str, digest: str) -> list[dict[str, Any]]:
    with open_binary(path) as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != digest:
        raise ScoringError(f"{path} was changed while its pairs are scored; run again")
    try:
        rows = parse_json(data.decode("utf-8-sig"))
    except ValueError as error:
        raise ScoringError(f"{path} is no JSON: {error} (is the file whole?)") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ScoringError(f"{path} is JSON, but no list of objects, one for each pair")
    return rows


def _schema(path: str, types: Sequence[tuple[str, str]]) -> pa.Schema:
    import pyarrow as pa

    for name, _ in types:
        if name != clean(name):
            raise ScoringError(f"{path} has a column whose name is no UTF-8 text: {name!r:.80}; save it as UTF-8")
    named = {"string": pa.string(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}
    return pa.schema([(name, named[kind]) for name, kind in types])


def _parquet_file(path: str) -> TableFile:
    schema, rows, digest = parquet.look_through(path)
    return TableFile(path, "parquet", tuple(schema.names), schema, rows, digest, LineFormat(), ())
