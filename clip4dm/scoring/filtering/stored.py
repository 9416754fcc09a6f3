"""A folder of scores as the filter reads it: its files in order, whether they are whole and of one kind, their rows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.errors import short_reason
from clip4dm.files.reading import FileError, read_json
from clip4dm.scoring.formats import OUTPUT_FORMATS
from clip4dm.scoring.pairs import ScoringError
from clip4dm.scoring.schema import further_columns, schema
from clip4dm.scoring.sink import SCORE_FILE, read_metadata

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.dataset
    from numpy.typing import NDArray


@dataclass(frozen=True)
class StoredShard:
    """A shard's file. rows: how many. first: the first one's place. metadata: what the file says of itself (`sink`).

    read_scores(Path("scores")).shards[0].metadata["shard"]["name"]
    """

    path: Path
    rows: int
    first: int
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Scores:
    """A folder's shards, sorted by name, as `score` numbers them. about: its _score.json. remarks: what is amiss.

    Scores of JSON lines are turned into parquet files first, in a temporary folder: `shards` then names those.

        scores = read_scores(Path("scores"))
        for table in scores.rows(places, ["key", "f_clip_score"]):
            print(table.to_pandas())
    """

    folder: Path
    about: dict[str, Any]
    shards: tuple[StoredShard, ...]
    remarks: tuple[str, ...]
    temporary: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    @cached_property  # a look into every file
    def schema(self) -> pa.Schema:
        """Of all files together: a carried column may be empty in one of them."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schemas = [pq.read_schema(shard.path).remove_metadata() for shard in self.shards]
        return pa.unify_schemas(list(dict.fromkeys(schemas)), promote_options="permissive")

    def dataset(self) -> pyarrow.dataset.Dataset:
        """All rows, in order, for a query that reads what it needs: half floats as floats, as DuckDB takes them."""
        import pyarrow as pa
        import pyarrow.dataset

        columns = [one.with_type(pa.float32()) if one.type == pa.float16() else one for one in self.schema]
        return pyarrow.dataset.dataset([str(shard.path) for shard in self.shards], pa.schema(columns), format="parquet")

    def rows(self, places: NDArray[np.int64], columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows at these places, ascending, a table a shard; columns None for all. Errors: ScoringError."""
        for _, table in self.by_shard(places, columns):
            yield table

    def by_shard(
        self, places: NDArray[np.int64], columns: Sequence[str] | None = None
    ) -> Iterator[tuple[StoredShard, pa.Table]]:
        """As `rows`, with the shard; those that have none are left out."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        whole = self.schema
        wanted = whole if columns is None else pa.schema([whole.field(name) for name in columns])
        for shard in self.shards:
            start, end = np.searchsorted(places, [shard.first, shard.first + shard.rows])
            if start < end:
                try:
                    table = pq.ParquetFile(shard.path).read(wanted.names)
                except (OSError, pa.ArrowException) as error:
                    raise ScoringError(f"{shard.path} cannot be read: {short_reason(error)}") from None
                yield shard, _as(table.take(places[start:end] - shard.first), wanted)

    def batches(self, columns: Sequence[str], size: int) -> Iterator[list[dict[str, Any]]]:
        """All rows in order, at most `size` at a time, of these columns, as dicts. Errors: ScoringError."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        wanted = pa.schema([self.schema.field(name) for name in columns])
        for shard in self.shards:
            try:
                with pq.ParquetFile(shard.path) as file:
                    there = [name for name in columns if name in file.schema_arrow.names]
                    for batch in file.iter_batches(size, columns=there):
                        yield _as(pa.Table.from_batches([batch]), wanted).to_pylist()
            except (OSError, pa.ArrowException) as error:
                raise ScoringError(f"{shard.path} cannot be read: {short_reason(error)}") from None


def read_scores(folder: Path, partial: bool = False) -> Scores:
    """The scores of a folder. partial: take what is there, where scoring has not finished or settings are mixed.

    Errors: ScoringError where there are none, or they are not whole and of one kind.

        read_scores(Path("scores")).shards
    """
    about = _about(folder, partial)
    files = sorted(file for kind in OUTPUT_FORMATS for file in folder.glob(f"*.{kind}"))
    if not files:
        raise ScoringError(f"{folder} has no scores in it, neither .parquet nor .jsonl; `clip4dm score` makes them")
    said = [read_metadata(file) for file in files]
    remarks = list(_amiss(folder, about, files, said))
    if remarks and not partial:
        raise ScoringError(f"{'; '.join(remarks)}. --partial takes what is there all the same")
    whole = [(file, metadata) for file, metadata in zip(files, said, strict=True) if metadata]
    if not whole:
        raise ScoringError(f"{'; '.join(remarks)}: there is nothing to take; `clip4dm score` makes the scores anew")
    temporary = None
    if any(file.suffix == ".jsonl" for file, _ in whole):
        temporary = tempfile.TemporaryDirectory(prefix="clip4dm-filter-")
        whole = [(_as_parquet(file, Path(temporary.name), metadata), metadata) for file, metadata in whole]
    shards, first = [], 0
    for file, metadata in whole:
        rows = _rows(file)
        shards.append(StoredShard(file, rows, first, metadata))
        first += rows
    return Scores(folder, about, tuple(shards), tuple(remarks), temporary)


def _about(folder: Path, partial: bool) -> dict[str, Any]:
    if not folder.is_dir():
        raise ScoringError(f"{folder} is no folder; give the one that `clip4dm score` wrote to as its --output")
    try:
        about = read_json(folder / SCORE_FILE)
    except FileError as error:
        if not partial:
            raise ScoringError(f"{error}: is {folder} the --output of `clip4dm score`?") from None
        about = {}
    return about if isinstance(about, dict) else {}


def _amiss(folder: Path, about: dict[str, Any], files: list[Path], said: list[dict[str, Any]]) -> Iterator[str]:
    """What stands against taking these files for one finished run."""
    damaged = [file.name for file, metadata in zip(files, said, strict=True) if not metadata]
    if damaged:
        yield f"{folder}: {len(damaged)} files are damaged or not of `clip4dm score` ({', '.join(damaged[:3])})"
    kinds = {metadata.get("made_by") for metadata in said if metadata} | ({about["fingerprint"]} if about else set())
    if len(kinds) > 1:
        yield f"{folder} holds scores of {len(kinds)} kinds of settings; `clip4dm score --overwrite` makes them one"
    stems = [file.stem for file in files]
    if doubled := sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []:
        yield f"{folder} holds some shards twice, as .parquet and as .jsonl ({', '.join(doubled[:3])})"
    expected = about.get("shards")
    if isinstance(expected, int) and len(files) - len(damaged) < expected:
        missing = expected - len(files) + len(damaged)
        yield f"{folder}: scoring has not finished, {missing} of {expected} shards are missing: run it again"


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _as(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """The table with exactly these columns: a file's own type may be narrower, or a column missing."""
    import pyarrow as pa

    columns = [
        table[one.name].cast(one.type) if one.name in table.column_names else pa.nulls(len(table), one.type)
        for one in wanted
    ]
    return pa.table(columns, schema=wanted)


def _as_parquet(path: Path, folder: Path, metadata: Mapping[str, Any]) -> Path:
    """A shard's JSON lines as parquet; texts stay texts, whatever they look like."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    settings = metadata.get("settings")
    known = schema(further=further_columns(settings) if isinstance(settings, dict) else ())
    carried = list(dict.fromkeys(name for row in rows for name in row if name not in known.names))
    columns = {name: pa.array([row.get(name) for row in rows], known.field(name).type) for name in known.names}
    columns |= {name: pa.array([row.get(name) for row in rows]) for name in carried}
    target = folder / f"{path.stem}.parquet"
    pq.write_table(pa.table(columns), target)
    return target
