"""Rows of a data set with pictures in it, from the Hugging Face hub or from local parquet files, one after another.

Rests on the `datasets` library (optional: pip install datasets). Nothing is kept but what is asked for: pictures are
taken as the bytes they are stored as, never decoded and encoded again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from misc.fetch import PART, FetchError, check_picture
from misc.fetch_folder import Entry, Manifest, Wanted, look_at, safe_path

SOURCE = "source.json"  # in the save folder: which data set the pictures came from, and at which revision


class DatasetError(ValueError):
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
    recorded = read_source(save_dir)
    if revision is None and recorded.get("dataset") == dataset and recorded.get("revision"):
        return recorded["revision"]
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(dataset, revision=revision, timeout=30).sha
    except Exception as error:  # the hub's client raises its own, httpx's and OSError
        raise DatasetError(_explain(dataset, error, gated_help)) from error


def read_source(save_dir: Path) -> dict[str, Any]:
    """What source.json says; {} if it is not there or not readable."""
    return read_json_file(save_dir / SOURCE)


def write_source(save_dir: Path, **said: Any) -> None:
    """Record where the pictures come from."""
    write_json(save_dir / SOURCE, said)


def open_stream(dataset: str, split: str | None, revision: str | None, columns: tuple[str, ...] = (),
                gated_help: str = ""):
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
    gated = gated_help and ("gated" in text.lower() or type(error).__name__ in ("GatedRepoError",)
                            or "401" in text or "403" in text)
    reason = f"{type(error).__name__}: {text[:200]}"
    if gated:
        return f"the hub refused {dataset} ({reason}). {gated_help}"
    return (f"{dataset} cannot be read ({reason}). If it has moved or vanished, give --dataset the name of a copy, "
            "or the path of its parquet files.")


def picture_bytes(value: Any) -> bytes | None:
    """A picture's stored bytes, from a binary column or an undecoded Image column."""
    if isinstance(value, dict):
        value = value.get("bytes")
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else None


class PictureStore:
    """Writes pictures of untrusted names into a folder with a manifest, whole or not at all."""

    def __init__(self, save_dir: Path, source: str) -> None:
        save_dir.mkdir(parents=True, exist_ok=True)
        self.save_dir, self.source, self.failed = save_dir, source, {}
        self.manifest = Manifest(save_dir)

    def has(self, name: str) -> bool:
        """Whether a picture is there and whole. A name that leads elsewhere counts as failed."""
        try:
            path = safe_path(self.save_dir, name)
        except FetchError as error:
            self.failed[name] = str(error)
            return False
        found = look_at(path, Wanted(name, self.source), self.manifest.entries.get(name), check_picture)
        return isinstance(found, Entry)

    def put(self, name: str, data: bytes | None, check: Callable[[Path], None] = check_picture) -> bool:
        """Store a picture's bytes as they are. False, and the reason in `failed`, if they are no whole picture."""
        try:
            path = safe_path(self.save_dir, name)
            if not data:
                raise FetchError("the data set holds no bytes for it")
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(path.name + PART)
            try:
                partial.write_bytes(data)
                check(partial)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        except FetchError as error:
            self.failed[name] = str(error)
            return False
        self.manifest.add(Entry(name, self.source, len(data), hashlib.sha256(data).hexdigest()))
        self.failed.pop(name, None)
        return True

    def close(self) -> None:
        self.manifest.close()


def read_json_file(path: Path) -> dict[str, Any]:
    """A JSON object; {} if it is not there or not readable."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; a line cut off by a kill is passed over, a missing file is empty."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            rows.append(dict(json.loads(line)))
        except (ValueError, TypeError):
            continue
    return rows


def write_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PART)
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
