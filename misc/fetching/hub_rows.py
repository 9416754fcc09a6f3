"""Rows of a data set with pictures in it, from the Hugging Face hub or from local parquet files, one after another.

Rests on the `datasets` library (optional: pip install datasets). Nothing is kept but what is asked for: pictures are
taken as the bytes they are stored as, never decoded and encoded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fetching.checks import check_picture
from fetching.fetch_folder import Wanted, look_at
from fetching.folder import (
    FULL,
    SOURCE,
    FetchError,
    locked,
    read_json_object,
    reason_of,
    safe_path,
    whole_file,
    write_whole,
)
from fetching.manifest import Entry, Manifest

from clip4dm.errors import CLIP4DMError


class DatasetError(CLIP4DMError, ValueError):
    """A data set that cannot be read: which, why, and what to do."""


def local_files(dataset: str) -> list[str]:
    """The parquet files that a path, a folder or a pattern names; [] if it is a name on the hub."""
    place = Path(dataset).expanduser()
    if place.is_dir():
        files = sorted(str(path) for path in place.rglob("*.parquet"))
        if not files:
            raise DatasetError(f"there are no parquet files in {place}")
        return files
    if place.is_file():
        return [str(place)]
    if any(sign in dataset for sign in "*?["):
        files = sorted(str(path) for path in Path(place.anchor or ".").glob(str(place.relative_to(place.anchor))))
        if not files:
            raise DatasetError(f"no file fits the pattern {dataset}")
        return files
    if dataset.endswith(".parquet") or dataset.startswith((".", "/", "~")) or dataset.count("/") > 1:
        raise DatasetError(f"there is no file or folder {dataset}")
    return []


def pinned_revision(dataset: str, revision: str | None, save_dir: Path, gated_help: str = "") -> str | None:
    """The commit of a hub data set: as asked for, as an earlier call into this folder recorded, or the newest.

    None for local files. A branch or tag is resolved to its commit, so that what is recorded names the same bytes
    for ever. Errors: DatasetError.
    """
    if local_files(dataset):
        return None
    recorded = read_json_object(save_dir / SOURCE)
    if revision is None and recorded.get("dataset") == dataset and isinstance(recorded.get("revision"), str):
        return recorded["revision"]
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(dataset, revision=revision, timeout=30).sha
    except Exception as error:  # the hub's client raises its own, httpx's and OSError
        raise DatasetError(_explain(dataset, error, gated_help)) from error


def write_source(save_dir: Path, **said: Any) -> None:
    """Record where the pictures come from, and at which revision, in source.json."""
    write_json(save_dir / SOURCE, said)


def open_stream(
    dataset: str, split: str | None, revision: str | None, columns: tuple[str, ...] = (), gated_help: str = ""
):
    """An iterable of row dicts (datasets.IterableDataset). columns: the only ones wanted, if given.

    Pictures in columns of the type Image come as {"bytes", "path"}, undecoded. Errors: DatasetError.
    """
    try:
        import datasets
    except ImportError:
        raise DatasetError("reading the data set needs the datasets library: pip install datasets") from None
    files = local_files(dataset)
    try:
        if files:
            stream = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
        else:
            stream = datasets.load_dataset(dataset, split=split, revision=revision, streaming=True)
        features = stream.features or {}
        missing = [name for name in columns if features and name not in features]
        if missing:
            raise DatasetError(f"{dataset} has no column {', '.join(missing)}; it has: {', '.join(features)}")
        if columns:
            stream = stream.select_columns(list(columns))
        for name, feature in features.items():
            if isinstance(feature, datasets.Image) and (not columns or name in columns):
                stream = stream.cast_column(name, datasets.Image(decode=False))
        return stream
    except DatasetError:
        raise
    except Exception as error:  # datasets, the hub's client, fsspec and pyarrow raise many kinds
        raise DatasetError(_explain(dataset, error, gated_help)) from error


def rows_of(stream, dataset: str, gated_help: str = "") -> Iterator[dict[str, Any]]:
    """A stream's rows. Errors on the way (a connection lost, a damaged file) become DatasetError."""
    try:
        yield from stream
    except GeneratorExit:
        raise
    except Exception as error:
        raise DatasetError(f"{_explain(dataset, error, gated_help)} The same command goes on from here.") from error


def _explain(dataset: str, error: Exception, gated_help: str) -> str:
    text = " ".join(str(error).split())
    gated = gated_help and (
        "gated" in text.lower() or type(error).__name__ in ("GatedRepoError",) or "401" in text or "403" in text
    )
    reason = f"{type(error).__name__}: {text[:200]}"
    if gated:
        return f"the hub refused {dataset} ({reason}). {gated_help}"
    return (
        f"{dataset} cannot be read ({reason}). If it has moved or vanished, give --dataset the name of a copy, "
        "or the path of its parquet files."
    )


def picture_bytes(value: Any) -> bytes | None:
    """A picture's stored bytes, from a binary column or an undecoded Image column."""
    if isinstance(value, dict):
        value = value.get("bytes")
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else None


class PictureStore:
    """Writes pictures of untrusted names into a folder with a manifest, whole or not at all. failed: name -> reason.

    writing: or only looks whether they are there.
    """

    def __init__(self, save_dir: Path, source: str, writing: bool = True) -> None:
        self.save_dir, self.source, self.failed = save_dir, source, {}
        self.lock = contextlib.ExitStack()
        if writing:
            save_dir.mkdir(parents=True, exist_ok=True)
            self.lock.enter_context(locked(save_dir))
        self.manifest = Manifest(save_dir, writing)

    def has(self, name: str) -> bool:
        """Whether a picture is there and whole. A name that cannot be one counts as failed."""
        with self._failing(name):
            found = look_at(
                safe_path(self.save_dir, name),
                Wanted(name, self.source),
                self.manifest.entries.get(name),
                check_picture,
            )
            whole = isinstance(found, Entry)
            if whole and name not in self.manifest.entries:  # a call ended between the picture and its line
                self.manifest.add(found)
            return whole
        return False

    def put(self, name: str, data: bytes | None, check: Callable[[Path], None] = check_picture) -> bool:
        """Store a picture's bytes as they are. False, and the reason in `failed`, if they are no whole picture."""
        with self._failing(name):
            path = safe_path(self.save_dir, name)
            if not data:
                raise FetchError("the data set holds no bytes for it")
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path, check) as file:
                file.write(data)
            self.manifest.add(Entry(name, self.source, len(data), hashlib.sha256(data).hexdigest()))
            self.failed.pop(name, None)
            return True
        return False

    @contextlib.contextmanager
    def _failing(self, name: str) -> Iterator[None]:
        """What is wrong with one name is that name's failure; a full disk is not."""
        try:
            yield
        except FetchError as error:
            self.failed[name] = str(error)
        except OSError as error:
            if error.errno in FULL:
                raise OSError(
                    f"{reason_of(error)}, at {name!r:.120}. Once there is room, the same command goes on from here."
                ) from error
            self.failed[name] = reason_of(error)

    def close(self) -> None:
        with self.lock:
            try:
                self.manifest.close()
            except OSError as error:
                if error.errno not in FULL:  # its lines are there, only not in order
                    raise


def write_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name, then rename. What JSON has no word for: see `plain`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """A data set's value as JSON has it: NaN and infinities are null, bytes are left out, dates and the like text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items() if not isinstance(item, bytes)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value if not isinstance(item, bytes)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
