"""Webdataset's tar shards: files of one name up to its first dot, one after the other, are a sample.

Read from end to end, never unpacked. What is damaged costs the samples it is in, and is named by a row of its own.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clip4dm.errors import short_reason
from clip4dm.files.images import MAX_BYTES
from clip4dm.files.reading import parse_json
from clip4dm.scoring.inputs.base import Input
from clip4dm.scoring.inputs.columns import CAPTION_NAMES
from clip4dm.scoring.inputs.folder import PICTURES, caption_text
from clip4dm.scoring.inputs.opening import ends_sha256, is_remote, open_binary, size, stamp
from clip4dm.scoring.pairs import Pair, ScoringError, without_doubles

if TYPE_CHECKING:
    import pyarrow as pa

NAME = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)")
_ENDINGS = tuple(ending[1:] for ending in PICTURES)


@dataclass(frozen=True)
class TarShard:
    """A tar file. label: how its pictures' names begin in the scores. caption_key, pair_key: in its json files; None
    for a caption in txt or under a usual name, and for samples that go by their own name.

    list(TarShard("shards/00000.tar", "00000", "00000.tar", bytes=10_240).pairs())
    """

    path: str
    name: str
    label: str
    bytes: int
    caption_key: str | None = None
    pair_key: str | None = None
    count: None = None

    @property
    def carried(self) -> pa.Schema:
        """The text of the sample's json file, whole: what its keys are differs from sample to sample."""
        import pyarrow as pa

        return pa.schema([("json", pa.string())])

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file's name, size and ends."""
        return {"file": self.label, "bytes": self.bytes, "ends": self.ends}

    @cached_property  # of the shards that are asked for: with --shard I/N most are another process's
    def ends(self) -> str | None:
        """A hash of the file's first and last bytes; None of a remote one, where each is a request more."""
        return None if is_remote(self.path) else ends_sha256(self.path)

    def is_newer(self, scores: Path) -> bool:
        """Whether the file was written after its scores: copied, or changed where its size and ends do not tell."""
        mine, theirs = (None if is_remote(str(one)) else stamp(str(one)) for one in (self.path, scores))
        return mine is not None and theirs is not None and mine[1] > theirs[1]

    def pairs(self) -> Iterator[Pair]:
        """Errors: ScoringError where the file cannot be opened."""
        return without_doubles(self._pairs())

    def _pairs(self) -> Iterator[Pair]:
        with open_binary(self.path) as file:
            for sample in _samples(file, self.path):
                yield from self._of_sample(sample)

    def _of_sample(self, sample: _Sample) -> Iterator[Pair]:
        text, error, named = None, sample.error, sample.key
        caption: object = None
        try:
            if "json" in sample.files:
                text = sample.files["json"].decode("utf-8", "replace")
            if self.pair_key is not None and error is None:
                named = str(_of_json(text or "{}", (self.pair_key,)))
            if self.caption_key is None and "txt" in sample.files:
                caption = caption_text(sample.files["txt"])
            elif text is not None:
                caption = _of_json(text, CAPTION_NAMES if self.caption_key is None else (self.caption_key,))
            elif error is None:
                error = f"there is no caption: no {sample.key}.txt or {sample.key}.json"
        except ScoringError as wrong:
            error = error or str(wrong)
        pictures = [ending for ending in sample.files if is_picture(ending)]
        for ending in pictures:  # a.0.jpg and a.1.jpg share a.txt
            key = named if len(pictures) == 1 else f"{named}.{ending}"
            name = f"{self.label}/{sample.key}.{ending}"
            yield Pair(key, sample.files[ending], name, caption, {"json": text}, error)
        if not pictures:
            missing = error or f"there is no picture: {', '.join(_ENDINGS)}"
            yield Pair(named, None, f"{self.label}/{sample.key}", caption, {"json": text}, missing)


def open_tars(
    paths: Sequence[str], given: Sequence[str], *, caption_key: str | None = None, pair_key: str | None = None, **_: Any
) -> Input:
    """Tar files, a shard each. Errors: ScoringError for one that is not there.

    open_tars(["shards/00000.tar"], ["shards/*.tar"]).shards()[0].name  # "00000"
    """
    stems = Counter(_stem(path) for path in paths)
    if doubled := [path for path, times in Counter(paths).items() if times > 1]:
        raise ScoringError(f"{doubled[0]} is given twice")
    shards = []
    for path in paths:
        alone = stems[_stem(path)] == 1
        label = os.path.basename(path) if alone else path
        name = _stem(path) if alone else re.sub(r"[^\w-]+", "-", path)[-150:]
        shards.append(TarShard(path, name, label, size(path), caption_key, pair_key))
    return Input("tar", tuple(given), {"caption": caption_key, "key": pair_key}, shards)


@dataclass
class _Sample:
    """Files by their endings, or an error without any."""

    key: str
    files: dict[str, bytes] = field(default_factory=dict)
    error: str | None = None


class _Member(tarfile.TarInfo):
    """A header. What tarfile passes over in silence is noted with the archive: a damaged one, an end without a mark."""

    @classmethod
    def fromtarfile(cls, tar: Any) -> Any:
        try:
            member = super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            kind = type(error).__name__  # the kinds themselves are not public
            if kind == "EOFHeaderError":
                tar.ended = True
            elif not getattr(tar, "ended", False) and not hasattr(tar, "damage"):
                tar.damage = (
                    "it ends without the mark that ends a tar, cut short perhaps"
                    if kind == "EmptyHeaderError"
                    else f"the header at byte {tar.offset} is damaged ({error})"
                )
            if kind == "SubsequentHeaderError":  # which would end it all; this one is passed over
                raise tarfile.InvalidHeaderError(str(error)) from None  # type: ignore[attr-defined]
            raise
        tar.ended = False
        return member


def _samples(file: Any, path: str) -> Iterator[_Sample]:
    """The samples in order; one whose files cannot be read, and a last one for damage between them, have an error."""
    sample: _Sample | None = None
    reading, damage = False, None
    try:
        # ignore_zeros: goes on behind a damaged header at the next one that is whole.
        with tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member, ignore_zeros=True) as tar:
            for member in tar:
                cast(Any, tar).members = []  # else it keeps every header
                match = NAME.fullmatch(member.name)
                if not match or not _is_wanted(match[2].lower()):
                    continue
                key, ending = match[1], match[2].lower()
                if sample is not None and (sample.key != key or ending in sample.files):
                    yield sample
                    sample = None
                sample, reading = sample or _Sample(key), True
                _read(tar, member, sample, ending)
                reading = False
            damage = getattr(tar, "damage", None)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        if getattr(error, "errno", None):  # of the system, not of what the file holds: another time it may be read
            raise ScoringError(f"{path} cannot be read: {error}") from error
        damage = short_reason(error)
    if sample is not None:
        if reading:
            sample.error = f"the tar is cut short or damaged here ({damage}); what comes after is not read"
        yield sample
    if damage and not reading:
        yield _Sample("(damaged)", {}, f"the tar is damaged: {damage}; pairs that cannot be read have no row")


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo, sample: _Sample, ending: str) -> None:
    if member.name.startswith("/") or ".." in member.name.split("/"):
        sample.error = f"the name {member.name!r:.200} leads out of the tar"
    elif not member.isreg():
        sample.error = f"{member.name!r:.200} is no regular file"
    elif member.size > MAX_BYTES:
        sample.error = f"{member.name!r:.200} has {member.size} bytes; up to {MAX_BYTES} are read"
    else:
        content = tar.extractfile(member)
        assert content is not None
        sample.files[ending] = content.read()


def _is_wanted(ending: str) -> bool:
    return is_picture(ending) or ending in ("txt", "json")


def is_picture(ending: str) -> bool:
    """Whether a member is one, by what follows the first dot of its name.

    >>> is_picture("0.jpg"), is_picture("json")
    (True, False)
    """
    return ending.rpartition(".")[2] in _ENDINGS


def _of_json(text: str, names: Sequence[str]) -> object:
    try:
        values = parse_json(text)
    except ValueError as error:
        raise ScoringError(f"its json file is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise ScoringError("its json file holds no object")
    for name in names:
        if name in values:
            found: object = values[name]
            return found
    raise ScoringError(f"its json file has no {' or '.join(names)}; it has {', '.join(map(repr, values)):.200}")


def _stem(path: str) -> str:
    return re.sub(r"\.(tar|tgz|tar\.gz)$", "", os.path.basename(path))
