"""Parquet's rows from any place on, a page of each column in memory: pictures' bytes make row groups large.

Within a row group only the rows before one lead to it. So the file stays open where a shard's rows ended, and the next
shard goes on from there: shards in order read each row once, where each by itself would read half a group in vain.
"""

from __future__ import annotations

import hashlib
import io
import os
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from clip4dm.errors import short_reason
from clip4dm.scoring.inputs.lines import Record
from clip4dm.scoring.inputs.opening import is_remote, open_binary, stamp
from clip4dm.scoring.pairs import ScoringError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 64  # rows
BUFFER = 1 << 20  # bytes read at once of a column
_left_open: dict[tuple[Any, ...], _Rows] = {}  # one at most, at the row after the last one that was asked for


def look_through(path: str) -> tuple[pa.Schema, int, str]:
    """(columns, number of rows, sha256 of the footer, which holds every column's statistics). Errors: ScoringError.

    schema, rows, digest = look_through("pairs.parquet")
    """
    with open_binary(path) as file:
        found = _opened(path, file)
        file.seek(-8, io.SEEK_END)
        footer = int.from_bytes(file.read(4), "little")
        file.seek(-8 - footer, io.SEEK_END)
        digest = hashlib.sha256(file.read(footer)).hexdigest()
    return found.schema_arrow.remove_metadata(), found.metadata.num_rows, digest


def records(path: str, start: int, count: int) -> Iterator[Record]:
    """Rows [start, start + count). What cannot be read of a row group costs its own rows. Errors: ScoringError.

    for values, error in records("pairs.parquet", start=0, count=1000):
        print(values or error)
    """
    # Another process's after a fork would share the place in the file; one that was changed is another file.
    key = (path, os.getpid(), None if is_remote(path) else stamp(path))
    rows = _left_open.pop(key, None) or _Rows(path)
    yield from rows.records(start, start + count)
    for other in _left_open.values():
        other.file.close()
    _left_open.clear()
    if start + count < rows.starts[-1]:
        _left_open[key] = rows
    else:
        rows.file.close()


class _Rows:
    """A file's rows, forward from the beginning of a row group. first, end: of the batch that was read last."""

    def __init__(self, path: str) -> None:
        self.path, self.file = path, open_binary(path)
        self.found = _opened(path, self.file)
        groups = [self.found.metadata.row_group(i).num_rows for i in range(self.found.num_row_groups)]
        self.starts = [0, *accumulate(groups)]
        self.batches: Iterator[tuple[pa.RecordBatch | str, int]] = iter(())
        self.batch: pa.RecordBatch | str = ""  # or why there is none
        self.first = self.end = -1

    def records(self, start: int, stop: int) -> Iterator[Record]:
        while start < stop:
            self._find(start)
            upto = min(stop, self.end)
            yield from _records(self.batch, start - self.first, upto - start)
            start = upto

    def _find(self, row: int) -> None:
        """Read on until `row` is in the batch; from its group's beginning where the last batch is not on the way."""
        if row >= self.starts[-1]:
            raise ScoringError(f"{self.path} was changed while its pairs are scored; run again")
        group = bisect_right(self.starts, row) - 1
        if not self.starts[group] <= self.first <= row:
            self.batches, self.end = self._of_group(group), self.starts[group]
        while self.end <= row:
            self.first = self.end
            self.batch, count = next(self.batches)
            self.end += count

    def _of_group(self, group: int) -> Iterator[tuple[pa.RecordBatch | str, int]]:
        read, rows = 0, self.starts[group + 1] - self.starts[group]
        reason = f"row group {group} of the table is damaged"
        try:
            for batch in self.found.iter_batches(BATCH, [group]):
                yield batch, len(batch)
                read += len(batch)
        except (OSError, ValueError) as error:  # pyarrow's are of these kinds
            reason += f" ({short_reason(error)})"
        yield reason, rows - read


def _records(batch: pa.RecordBatch | str, start: int, count: int) -> list[Record]:
    if isinstance(batch, str):
        return [(None, batch)] * count
    try:
        return [(row, None) for row in batch.slice(start, count).to_pylist()]
    except ValueError as error:  # text that is no UTF-8, a time that Python does not hold
        return [(None, f"the row cannot be read, or one beside it ({short_reason(error)})")] * count


def _opened(path: str, file: Any) -> Any:
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False)
    except (OSError, ValueError) as error:
        raise ScoringError(f"{path} is no parquet file, or damaged ({short_reason(error)})") from None
