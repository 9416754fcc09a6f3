"""Tar shards with only the pairs that are kept: their members' bytes and headers as they were, in the same order.

A sample of webdataset is what has one name up to its first dot. It is copied whole if one of its pictures is kept, but
for its other pictures. Nothing is unpacked.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from clip4dm.files.writing import replace_file
from clip4dm.scoring.filtering.stored import Scores, StoredShard
from clip4dm.scoring.filtering.whole import whole_file
from clip4dm.scoring.inputs.opening import expand, open_binary
from clip4dm.scoring.inputs.tars import NAME, TarShard, is_picture, open_tars
from clip4dm.scoring.pairs import ScoringError
from clip4dm.scoring.schema import clean
from clip4dm.scoring.temporary import writable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILTER_FILE = "_filter.json"  # in the folder: what the tars were chosen by
READ = ("txt", "json")  # endings that a sample has once, as its pictures': the next one begins the next sample


def write_tars(
    folder: Path,
    scores: Scores,
    places: NDArray[np.int64],
    about: Mapping[str, Any],
    given: Sequence[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Write a tar of its own name for every shard that has rows at these places; one that is there is left as it is.

    about: how the rows were chosen; a folder whose tars were chosen otherwise is an error. given: the tars, as for
    `clip4dm score`; None: by the words given then. say: told of pairs that are not to be found in their tar.
    Errors: ScoringError where the scores are not of tars, these are not there or others now, or nothing can be written.

        write_tars(Path("kept"), scores, selection.places, {"keep_fraction": 0.7}, given=["shards/{00000..00099}.tar"])
    """
    tars = _tars(scores, given)
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        chosen = {"scores": scores.about.get("fingerprint"), "filter": about, "places": _digest(places)}
        _hold(folder, json.dumps(chosen, indent=1).encode() + b"\n")
    for shard, table in scores.by_shard(places, ["image"]):
        tar, target = _tar_of(shard, tars), folder / f"{shard.metadata['shard']['name']}.tar"
        if target.exists():
            continue
        kept = {image.removeprefix(f"{tar.label}/") for image in table["image"].to_pylist()}
        with open_binary(tar.path) as source, whole_file(target) as temporary, open(temporary, "wb") as file:
            missing = copy_samples(source, file, kept)
        if missing:
            say(f"{tar.path}: {len(missing)} of {len(kept)} pictures are not to be found in it, first {min(missing)}")


def copy_samples(source: IO[bytes], target: IO[bytes], kept: set[str]) -> set[str]:
    """Copy from tar to tar the samples of which a picture's name is in `kept`. -> names that were not found.

    >>> import io
    >>> source, target = io.BytesIO(), io.BytesIO()
    >>> with tarfile.open(fileobj=source, mode="w") as tar:
    ...     for name in ("a.jpg", "a.txt", "b.jpg", "b.txt"):
    ...         tar.addfile(tarfile.TarInfo(name))
    >>> copy_samples(io.BytesIO(source.getvalue()), target, {"b.jpg"})
    set()
    >>> tarfile.open(fileobj=io.BytesIO(target.getvalue())).getnames()
    ['b.jpg', 'b.txt']
    """
    missing, wanted = set(kept), {match[1] for match in map(NAME.fullmatch, kept) if match}
    key, endings, taking = None, set[str](), False
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as out:
        for member, content in _members(source, lambda name: clean(name) in wanted):
            match = NAME.fullmatch(member.name)
            assert match
            ending = match[2].lower()
            if key != match[1] or ending in endings:
                key, endings, taking = match[1], set(), clean(match[1]) in wanted
                wanted.discard(clean(key))  # of several samples of one name the first was scored
            if is_picture(ending) or ending in READ:
                endings.add(ending)
            name = clean(f"{key}.{ending}")
            if taking and (name in kept or not is_picture(ending)):
                out.addfile(member, io.BytesIO(content))
                missing.discard(name)
    return missing


def _members(source: IO[bytes], wanted: Callable[[str], bool]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """The regular files that belong to samples, with their content where their sample's name is wanted.

    What is damaged is passed over, as it was when the tar was scored.
    """
    last = None
    with contextlib.suppress(tarfile.TarError, EOFError, OSError, zlib.error):
        with tarfile.open(fileobj=source, mode="r|*", ignore_zeros=True) as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # else it keeps every header
                match = NAME.fullmatch(member.name)
                if match and member.isreg():
                    content = b""
                    if match[1] == last or wanted(match[1]):
                        last = match[1]
                        file = tar.extractfile(member)
                        content = file.read() if file else b""
                    yield member, content


def _tars(scores: Scores, given: Sequence[str] | None) -> dict[str, TarShard]:
    """The input's tars by their shards' names."""
    made_from = scores.about.get("input", {}).get("format")
    if made_from != "tar":
        raise ScoringError(
            f"{scores.folder} holds scores of {made_from or 'an unknown input'}, not of tars, so that no tars can be "
            "written; write .txt or .parquet"
        )
    words = list(given) if given else scores.about.get("given", [])
    try:
        found = open_tars(expand(words), words)
    except ScoringError as error:
        raise ScoringError(f"the tars that were scored: {error}; say by --input where they are now") from None
    return {shard.name: shard for shard in found.shards() if isinstance(shard, TarShard)}


def _tar_of(shard: StoredShard, tars: Mapping[str, TarShard]) -> TarShard:
    name, size = shard.metadata["shard"]["name"], shard.metadata["shard"]["bytes"]
    if name not in tars:
        raise ScoringError(f"none of the tars is shard {name}; say by --input where all that were scored are now")
    if tars[name].bytes != size:
        raise ScoringError(f"{tars[name].path} has {tars[name].bytes} bytes, and had {size} when it was scored")
    return tars[name]


def _hold(folder: Path, chosen: bytes) -> None:
    """Hold the folder to what its tars are chosen by."""
    path = folder / FILTER_FILE
    if not path.exists():
        if any(folder.glob("*.tar")):
            raise ScoringError(f"{folder} holds other tars already; give another --output")
        replace_file(path, chosen)
    elif path.read_bytes() != chosen:
        raise ScoringError(f"{folder} holds tars that were chosen otherwise; give another --output, or remove it")


def _digest(places: NDArray[np.int64]) -> str:
    return hashlib.sha256(places.astype("<i8").tobytes()).hexdigest()
