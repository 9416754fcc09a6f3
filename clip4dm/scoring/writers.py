"""A shard's file, written row group by row group: parquet, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from clip4dm.scoring.schema import METADATA_KEY, jsonable, schema
from clip4dm.scoring.temporary import writable

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


class Writer(Protocol):
    """A shard's file on its way, opened under a temporary name.

    writer.write([row, row])
    """

    summary: Summary | None  # to be set before it is finished

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows, in order. Errors: ScoringError where the disk refuses."""

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Write what comes after the rows, and close. Errors: OSError."""

    def close(self) -> None:
        """Let go of the file, whatever has become of it. Errors: OSError."""


class ParquetWriter:
    """Rows as parquet, zstd-compressed, a row group a call.

    ParquetWriter(Path(".00000.tmp"), shard).write(rows)
    """

    def __init__(self, path: Path, temporary: Path, shard: Shard, further: Sequence[str] = ()) -> None:
        import pyarrow.parquet as pq

        self.summary: Summary | None = None
        self.path, self.schema = path, schema(shard.carried, further)
        self.file = pq.ParquetWriter(temporary, self.schema, compression="zstd")

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow as pa

        with writing(self.path):
            self.file.write_table(pa.Table.from_pylist(list(rows), schema=self.schema))

    def finish(self, metadata: Mapping[str, Any]) -> None:
        self.file.add_key_value_metadata({METADATA_KEY: json.dumps(metadata).encode()})
        self.file.close()

    def close(self) -> None:
        self.file.close()


class JsonlWriter:
    """Rows as JSON, one a line.

    JsonlWriter(Path(".00000.tmp"), shard).write(rows)
    """

    def __init__(self, path: Path, temporary: Path, shard: Shard, further: Sequence[str] = ()) -> None:
        self.summary: Summary | None = None
        self.path = path
        self.empty: dict[str, Any] = dict.fromkeys(schema(shard.carried, further).names)
        self.file = open(temporary, "w", encoding="utf-8")

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with writing(self.path):
            for one in rows:
                self.file.write(json.dumps(jsonable({**self.empty, **one}), ensure_ascii=False, allow_nan=False) + "\n")
            self.file.flush()

    def finish(self, metadata: Mapping[str, Any]) -> None:
        self.file.close()

    def close(self) -> None:
        self.file.close()


def writing(path: Path) -> AbstractContextManager[None]:
    """`writable`, whose error also says how to go on.

    >>> with writing(Path("00000.parquet")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    clip4dm.scoring.pairs.ScoringError: 00000.parquet cannot be written: No space left on device. The shards before ...
    """
    return writable(path, "The shards before it are kept: when that is mended, the same command goes on from there")
