"""A folder of pictures, each with its caption in a .txt file of the same name beside it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clip4dm.files.provenance import fingerprint
from clip4dm.files.streams import batches
from clip4dm.scoring.inputs.base import Input
from clip4dm.scoring.inputs.opening import is_remote, join, listing, open_binary, stamp
from clip4dm.scoring.pairs import Pair, ScoringError

if TYPE_CHECKING:
    import pyarrow as pa

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
LARGEST_CAPTION = 1 << 20  # bytes of a .txt; CLIP reads some 300
File = tuple[str, str, str | None]  # key, picture's name, caption's name


@dataclass(frozen=True)
class FolderShard:
    """Some of a folder's pictures and captions. files: (key, picture's name, caption's name or None).

    FolderShard("photos", "00000", (("a", "a.jpg", "a.txt"),)).count  # 1
    """

    folder: str
    name: str
    files: tuple[File, ...]

    @property
    def count(self) -> int:
        """Pairs, those that lack a caption among them."""
        return len(self.files)

    @property
    def carried(self) -> pa.Schema:
        """None."""
        import pyarrow as pa

        return pa.schema([])

    @property
    def identity(self) -> Mapping[str, Any]:
        """The files' names, sizes and times."""
        return {"digest": _digest(self.files), "stamps": self.stamps}

    @cached_property  # of the shards that are asked for: with --shard I/N most are another process's
    def stamps(self) -> str | None:
        """A hash of the files' sizes and times of change; None of a remote folder, where each is a request more."""
        if is_remote(self.folder):
            return None
        names = [name for _, *pair in self.files for name in pair if name is not None]
        return fingerprint({"files": [stamp(join(self.folder, name)) for name in names]})

    def pairs(self) -> Iterator[Pair]:
        """Errors: none; what cannot be read is the pair's."""
        for key, picture, text in self.files:
            caption, error = None, None
            if text is None:
                error = f"there is no caption: no {key}.txt beside {picture}"
            else:
                try:
                    with open_binary(join(self.folder, text)) as file:
                        caption = caption_text(file.read(LARGEST_CAPTION + 1))
                except (ScoringError, OSError) as wrong:
                    error = str(wrong)
            yield Pair(key, join(self.folder, picture), picture, caption, {}, error)


def open_folder(paths: Sequence[str], given: Sequence[str], *, shard_size: int = 1000, **_: Any) -> Input:
    """A folder, those below it too, in the order of names. A .txt without a picture of its name is no caption.

    Errors: ScoringError where there are no pictures.

    open_folder(["photos"], ["photos"]).shards()[0].count
    """
    if len(paths) > 1:
        raise ScoringError(f"one folder at a time, got {len(paths)}: {', '.join(paths[:3])}")
    (folder,) = paths
    found: dict[str, dict[str, str]] = {}
    names = listing(folder)
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending.lower() in PICTURES or ending.lower() == ".txt":
            found.setdefault(stem, {})[ending] = name
    files = [one for stem in sorted(found) for one in _of_stem(stem, found[stem])]
    if not files:
        other = next((ending for ending in (".tar", ".parquet") if any(name.endswith(ending) for name in names)), None)
        hint = f"; of its {other[1:]} files, give '{folder.rstrip('/')}/*{other}'" if other else ""
        raise ScoringError(f"{folder} has no pictures in it ({', '.join(PICTURES)}){hint}")
    shards = [FolderShard(folder, f"{i:05d}", tuple(some)) for i, some in enumerate(batches(files, shard_size))]
    identity = {"pairs": len(files), "digest": _digest(files), "shard_size": shard_size}
    alone = sorted(
        name for names in found.values() if all(one.lower() == ".txt" for one in names) for name in names.values()
    )
    notes = [f"{len(alone)} .txt files without a picture of their name are left out, {alone[0]} first"] if alone else []
    return Input("folder", tuple(given), identity, shards, tuple(notes))


def caption_text(data: bytes) -> str:
    """The caption that a .txt file holds: as it is, but for a byte order mark and the line ends after it.

    Errors: ScoringError.

    >>> caption_text(b" a red car\\r\\n")
    ' a red car'
    """
    if len(data) > LARGEST_CAPTION:
        raise ScoringError(f"the caption's file has more than {LARGEST_CAPTION} bytes")
    try:
        return data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ScoringError(f"the caption is no UTF-8 text: byte {error.start} is {data[error.start]:#04x}") from None


def _of_stem(stem: str, by_ending: Mapping[str, str]) -> Iterator[File]:
    text = next((name for ending, name in by_ending.items() if ending.lower() == ".txt"), None)
    pictures = sorted(name for ending, name in by_ending.items() if ending.lower() != ".txt")
    for picture in pictures:  # a.jpg and a.png share a.txt
        yield (stem if len(pictures) == 1 else picture), picture, text


def _digest(files: Sequence[File]) -> str:
    return hashlib.sha256("\n".join(f"{a}\0{b}" for _, a, b in files).encode("utf-8", "surrogateescape")).hexdigest()
