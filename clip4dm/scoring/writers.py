"""A shard's file, written row group by row group: parquet, or JSON lines."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.scoring.pairs import ScoringError
from clip4dm.scoring.schema import METADATA_KEY, jsonable, schema

if TYPE_CHECKING:
    from clip4dm.scoring.inputs.base import Shard


@dataclass(frozen=True)
class Summary:
    """What became of a shard: all that an engine hands on. first_error: of the pairs that could not be scored.

    >>> Summary("00000", pairs=10, errors=0, seconds=0.5).pairs
    10
    """

    shard: str
    pairs: int
    errors: int
    seconds: float
    first_error: str | None = None


class Writer:
    """A shard's file on its way. summary: to be set before it is finished.

    writer.write([row, row])
    """

    summary: Summary | None = None

    def __init__(self, path: Path, shard: Shard) -> None:
        raise NotImplementedError

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows, in order; of parquet a row group."""
        raise NotImplementedError

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Write what comes after the rows."""

    def close(self) -> None:
        """Let go of the file."""
        raise NotImplementedError


class ParquetWriter(Writer):
    """Rows as parquet, zstd-compressed.

    ParquetWriter(Path(".00000.tmp"), shard).write(rows)
    """

    def __init__(self, path: Path, shard: Shard) -> None:
        import pyarrow.parquet as pq

        self.schema = schema(shard.carried)
        self.file = pq.ParquetWriter(path, self.schema, compression="zstd")

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow as pa

        self.file.write_table(pa.Table.from_pylist(list(rows), schema=self.schema))

    def finish(self, metadata: Mapping[str, Any]) -> None:
        self.file.add_key_value_metadata({METADATA_KEY: json.dumps(metadata).encode()})

    def close(self) -> None:
        self.file.close()


class JsonlWriter(Writer):
    """Rows as JSON, one a line.

    JsonlWriter(Path(".00000.tmp"), shard).write(rows)
    """

    def __init__(self, path: Path, shard: Shard) -> None:
        self.file = open(path, "w", encoding="utf-8")

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.file.writelines(json.dumps(jsonable(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)

    def close(self) -> None:
        self.file.close()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever the system says against writing becomes a ScoringError that names the file.

    >>> with writing(Path("00000.parquet")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    clip4dm.scoring.pairs.ScoringError: 00000.parquet cannot be written: No space left on device. ...
    """
    try:
        yield
    except OSError as error:
        raise ScoringError(
            f"{path} cannot be written: {error.strerror or error}. The shards before it are kept: when that is mended, "
            "the same command goes on from there"
        ) from error
