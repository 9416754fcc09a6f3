"""A pair of a picture and a caption, as an input hands it on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from clip4dm.errors import CLIP4DMError

if TYPE_CHECKING:
    from clip4dm.files.images import ImageLike


class ScoringError(CLIP4DMError, ValueError):
    """An input or an output folder that scoring cannot go on with: which, why, and what to do."""


@dataclass(frozen=True)
class Pair:
    """A picture and a caption that are to be scored, or why they cannot be.

    key: names the pair; of a shard's pairs no two have the same, unless `error` says so. image: a path, any picture
    that `load_image` takes, the bytes of a picture's file, or None where there is none. image_id: which picture it is:
    its path or its name in a tar as given, "sha256:HEX" of bytes. caption: whatever stood in its place. carried: other
    columns' values. error: why the pair cannot be scored, None if nothing is known against it yet.

    >>> Pair("7", "photo.jpg", "photo.jpg", "a red car").error is None
    True
    """

    key: str
    image: ImageLike | bytes | None
    image_id: str
    caption: object
    carried: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


def without_doubles(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """The pairs, those whose key came before with an error: nothing could tell the two apart.

    >>> pairs = [Pair("7", "a.jpg", "a.jpg", "a"), Pair("7", "b.jpg", "b.jpg", "b")]
    >>> [(pair.error or "").partition(";")[0] for pair in without_doubles(pairs)]
    ['', "the key '7' came before in this shard"]
    """
    seen: set[str] = set()
    for pair in pairs:
        if pair.key in seen:
            pair = replace(
                pair,
                error=pair.error
                or f"the key {pair.key!r:.80} came before in this shard; only the first pair of a key is scored "
                "(rows of a table are told apart by --pair_key row_number)",
            )
        seen.add(pair.key)
        yield pair


def caption_error(caption: object) -> str | None:
    """Why a caption cannot be scored, whatever it is; None where it is text.

    >>> caption_error("a red car"), caption_error(7)
    (None, 'the caption is a number, 7; a caption is text')
    """
    if caption is None:
        return "there is no caption"
    if not isinstance(caption, str):
        kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
        what = kinds.get(type(caption), f"of the kind {type(caption).__name__}")
        several = "; give each of several captions a row of its own" if isinstance(caption, list) else ""
        return f"the caption is {what}, {caption!r:.80}; a caption is text{several}"
    if not caption.strip():
        return "the caption is empty"
    try:
        caption.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"the caption is no UTF-8 text: character {error.start} is half of one, or a byte of another encoding"
    return None
