"""What is kept as a file: keys as text, DataComp's pairs of integers, or the rows themselves as parquet."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.errors import InputError
from clip4dm.files.reading import parse_json
from clip4dm.scoring.filtering.stored import Scores
from clip4dm.scoring.filtering.whole import whole_file
from clip4dm.scoring.formats import LIST_SUFFIXES
from clip4dm.scoring.schema import METADATA_KEY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JSON = "json"  # the column of a sample's json file, where tar shards were scored
_HEX = re.compile(r"[0-9a-fA-F]{32}")


def write_list(path: Path, scores: Scores, places: NDArray[np.int64], key: str, about: Mapping[str, Any]) -> None:
    """Write the rows at these places, in the form that the path's suffix says, one of LISTS; whole or not at all.

    key: the column written to .txt and .npy; where there is no such one, what the json files of tar
    shards have under that name. about: how they were chosen, for the metadata of .parquet.
    Errors: InputError for keys that the form cannot hold, ScoringError where it cannot be written.

        write_list(Path("kept.txt"), scores, places, "key", {"keep_fraction": 0.7})
    """
    columns = scores.schema.names
    if key not in columns and JSON not in columns:
        raise InputError(f"the scores have no column {key!r}; there are: {', '.join(columns)}")
    with whole_file(path) as temporary:
        LISTS[path.suffix.lower()](temporary, scores, places, key, about)


def _write_text(path: Path, scores: Scores, places: NDArray[np.int64], key: str, about: Mapping[str, Any]) -> None:
    """A key a line, in input order."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for keys in _keys(scores, places, key):
            for one in keys:
                if len(one.splitlines()) > 1 or one != one.strip("\r\n"):
                    raise InputError(f"the {key} {one!r:.80} has a line break in it; write .parquet instead")
            file.writelines(f"{one}\n" for one in keys)


def _write_parquet(path: Path, scores: Scores, places: NDArray[np.int64], key: str, about: Mapping[str, Any]) -> None:
    """The rows with all columns, in input order; the metadata say what made the scores, and what chose the rows."""
    import pyarrow.parquet as pq

    metadata = {METADATA_KEY: json.dumps({**scores.about, "filter": about}).encode()}
    schema = scores.schema.with_metadata(metadata)
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for table in scores.rows(places):
            file.write_table(table.replace_schema_metadata(metadata))


def _write_uint64_pairs(
    path: Path, scores: Scores, places: NDArray[np.int64], key: str, about: Mapping[str, Any]
) -> None:
    """DataComp's list of samples: the two halves of 32 hexadecimal digits as unsigned integers, sorted, each once.

    Once, since its resharder takes a sample as often as it stands there, and several captions may share a picture.
    """
    import numpy as np

    halves = [np.empty((0, 2), dtype=np.uint64)]
    for keys in _keys(scores, places, key):
        for one in keys:
            if not _HEX.fullmatch(one):
                raise InputError(
                    f"the {key} {one!r:.80} is not 32 hexadecimal digits, as DataComp's uids are; say by --key which "
                    "column holds the uids, or write .txt or .parquet"
                )
        halves.append(np.frombuffer(bytes.fromhex("".join(keys)), dtype=">u8").reshape(-1, 2).astype(np.uint64))
    pairs = np.concatenate(halves)
    found = np.empty(len(pairs), dtype="u8,u8")
    found["f0"], found["f1"] = pairs.T
    found = found[np.lexsort((found["f1"], found["f0"]))]
    new = np.ones(len(found), dtype=bool)
    new[1:] = found[1:] != found[:-1]
    with open(path, "wb") as file:
        np.save(file, found[new], allow_pickle=False)


_WRITERS: tuple[Callable[..., None], ...] = (_write_text, _write_parquet, _write_uint64_pairs)
LISTS = dict(zip(LIST_SUFFIXES, _WRITERS, strict=True))


def _keys(scores: Scores, places: NDArray[np.int64], key: str) -> Iterator[list[str]]:
    column = key if key in scores.schema.names else JSON
    for table in scores.rows(places, [column]):
        keys = table[column].to_pylist()
        if column != key:
            keys = [_of_json(one, key) for one in keys]
        if None in keys:
            raise InputError(f"some of the rows kept have no {key}; say by --key which column to write")
        yield [one if isinstance(one, str) else str(one) for one in keys]


def _of_json(text: str | None, key: str) -> Any:
    try:
        values = parse_json(text or "")
    except ValueError:  # the caption came from a .txt
        return None
    return values.get(key) if isinstance(values, dict) else None
