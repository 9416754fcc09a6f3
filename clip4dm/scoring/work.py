"""A shard scored: pictures decoded ahead in threads, a batch at a time through the towers, rows into the sink.

Memory is bounded by a few batches of pictures and a row group, whatever a shard's size. A picture that neighbouring
pairs share is decoded and encoded once, and so is a caption.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from clip4dm.captions.words import EncodedCaption
from clip4dm.detection import Detection, NotFinite
from clip4dm.errors import CLIP4DMError
from clip4dm.files.images import ImageLike, decode_image, load_image
from clip4dm.files.streams import ahead, batches
from clip4dm.scoring.inputs.opening import is_remote, read_bytes
from clip4dm.scoring.pairs import Pair, caption_error
from clip4dm.scoring.schema import PROBABILITIES, SUGGESTIONS, row
from clip4dm.scoring.suggestions import SuggestionSettings, suggested
from clip4dm.scoring.writers import Summary
from clip4dm.suggestion.suggest import Asked

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM
    from clip4dm.scoring.inputs.base import Shard
    from clip4dm.scoring.sink import Sink

ROW_GROUP = 1024  # rows
CHUNK = 4  # batches of pairs that go through the text tower together, the longest captions first
Item = TypeVar("Item")
Result = TypeVar("Result")


def score(
    pairs: Iterable[Pair | tuple[Any, Any]],
    detector: CLIP4DM,
    workers: int | None = None,
    suggest: SuggestionSettings | int | None = None,
) -> Iterator[dict[str, Any]]:
    """Pairs -> a row each, in order, a few batches at a time: memory does not depend on how many there are.

    pairs: of (picture, caption), the picture as `load_image` takes it or a file's bytes; or Pair. workers: threads that
    decode, None for one a core. suggest: with other words for each misaligned one, so many, in "suggestions". A row
    holds what docs/scoring.md lists; a pair that cannot be scored has its reason in "error", None otherwise.

    Errors: InputError, for suggestions that cannot be.

    >>> from clip4dm import CLIP4DM
    >>> from clip4dm.benchmarks.shapes.drawing import draw
    >>> from clip4dm.benchmarks.shapes.scenes import sample_scene
    >>> picture, detector = draw(sample_scene(2_000_300)), CLIP4DM.from_pretrained("demo", device="cpu")
    >>> pairs = [(picture, "the diamond is black"), (picture, "the heart is black"), ("none.png", "the heart is black")]
    >>> for scored in score(pairs, detector):
    ...     print(scored["key"], [word["text"] for word in scored["misaligned"] or []], scored["error"])
    00000000 [] None
    00000001 ['heart'] None
    00000002 [] no such image file: none.png
    """
    size = CHUNK * detector.batch_size
    asked = None if suggest is None else SuggestionSettings.of(suggest).asked(detector)
    items = _with_pictures(map(_as_pair, count(), pairs), size)
    loaded = ahead(partial(_load, detector), items, workers, held=max(detector.batch_size, 8))
    encode = lru_cache(maxsize=size)(lambda caption: detector.encode_captions([caption])[0])
    for chunk in batches(_with_features(detector, loaded, size), size):
        yield from _rows(detector, chunk, encode, asked)


def score_shard(
    shard: Shard,
    detector: CLIP4DM,
    sink: Sink,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda pairs: None,
) -> Summary:
    """Score a shard and store it: what every engine calls. progress: told how many pairs more are scored.

    Errors: ScoringError where the shard cannot be read or the folder not written to.

        score_shard(shard, detector, sink).errors
    """
    start, pairs, errors, first = time.monotonic(), 0, 0, None
    with sink.writer(shard) as writer:
        for rows in batches(_told(score(shard.pairs(), detector, workers, sink.suggest), progress), ROW_GROUP):
            wrong = [one for one in rows if one["error"] is not None]
            if wrong and first is None:
                first = f"{wrong[0]['key']}: {wrong[0]['error']}"
            pairs, errors = pairs + len(rows), errors + len(wrong)
            writer.write(rows)
        writer.summary = Summary(shard.name, pairs, errors, round(time.monotonic() - start, 3), first)
    return writer.summary


def _told(rows: Iterable[Item], progress: Callable[[int], None]) -> Iterator[Item]:
    for one in rows:
        progress(1)
        yield one


def _as_pair(number: int, given: Pair | tuple[Any, Any]) -> Pair:
    if isinstance(given, Pair):
        return given
    image, caption = given
    named = isinstance(image, str) or hasattr(image, "__fspath__")
    return Pair(f"{number:08d}", image, str(image) if named else f"picture {number}", caption)


def _with_pictures(pairs: Iterable[Pair], size: int) -> Iterator[tuple[Pair, bool]]:
    """(pair, whether its picture has to be loaded): not where one of the `size` last pictures is the same."""
    seen: OrderedDict[str, None] = OrderedDict()
    for pair in pairs:
        pair = pair if pair.error else replace(pair, error=caption_error(pair.caption))
        new = pair.image_id not in seen and pair.error is None
        if pair.error is None:
            seen[pair.image_id] = None
            seen.move_to_end(pair.image_id)
            if len(seen) > size:
                seen.popitem(last=False)
        yield pair, new


def _load(detector: CLIP4DM, item: tuple[Pair, bool]) -> tuple[Pair, Tensor | str | None]:
    """(pair, without its picture; the picture's pixels, why there are none, or None where it came before)."""
    pair, new = item
    bare = replace(pair, image=None)
    if not new:
        return bare, None
    try:
        image = pair.image
        if isinstance(image, str) and is_remote(image):
            image = read_bytes(image)
        picture = decode_image(image, pair.image_id) if isinstance(image, bytes) else load_image(cast(ImageLike, image))
        return bare, detector.model.preprocess(picture)
    except CLIP4DMError as error:
        return bare, str(error)


def _with_features(
    detector: CLIP4DM, loaded: Iterable[tuple[Pair, Tensor | str | None]], size: int
) -> Iterator[tuple[Pair, Tensor | None]]:
    """(pair, its picture's feature; None where it has an error). Remembers the same pictures as `_with_pictures`."""
    recent: OrderedDict[str, Tensor | str] = OrderedDict()
    for group in _groups(loaded, detector.batch_size, size):
        recent.update((pair.image_id, why) for pair, why in group if isinstance(why, str))
        new = {pair.image_id: pixels for pair, pixels in group if isinstance(pixels, Tensor)}
        recent.update(zip(new, _where_finite(detector.encode_images, list(new.values())), strict=True))
        for pair, _ in group:
            if pair.error is not None:
                yield pair, None
                continue
            recent.move_to_end(pair.image_id)
            found = recent[pair.image_id]
            yield (replace(pair, error=found), None) if isinstance(found, str) else (pair, found)
        while len(recent) > size:
            recent.popitem(last=False)


def _groups(
    loaded: Iterable[tuple[Pair, Tensor | str | None]], pictures: int, pairs: int
) -> Iterator[list[tuple[Pair, Tensor | str | None]]]:
    """Lists of as many pairs as bring so many new pictures, and of so many pairs at most."""
    group: list[tuple[Pair, Tensor | str | None]] = []
    new = 0
    for item in loaded:
        group.append(item)
        new += isinstance(item[1], Tensor)
        if new == pictures or len(group) == pairs:
            yield group
            group, new = [], 0
    if group:
        yield group


def _rows(
    detector: CLIP4DM,
    chunk: Sequence[tuple[Pair, Tensor | None]],
    encode: Callable[[str], EncodedCaption],
    asked: Asked | None,
) -> Iterator[dict[str, Any]]:
    """The rows of a few batches of pairs, in order."""
    results: list[Detection | str] = []
    ready: dict[int, tuple[Tensor, EncodedCaption]] = {}
    for number, (pair, feature) in enumerate(chunk):
        results.append(pair.error or "")
        if feature is not None:
            try:
                encoded = encode(cast(str, pair.caption))
            except CLIP4DMError as error:
                results[number] = str(error)
            else:
                if encoded.has_scored_word:
                    ready[number] = feature, encoded
                else:  # its F-CLIPScore would be 0, the best there is
                    results[number] = "the caption has no word to score"

    def detect(some: list[tuple[Tensor, EncodedCaption]]) -> list[Detection]:
        return detector.detect_encoded(torch.stack([feature for feature, _ in some]), [one for _, one in some])

    for number, found in zip(ready, _where_finite(detect, list(ready.values())), strict=True):
        results[number] = found
    for (pair, feature), result in zip(chunk, results, strict=True):
        detection, reason = (None, result) if isinstance(result, str) else (result, None)
        yield row(pair, detection, reason, _further(detector, feature, detection, asked))


def _further(
    detector: CLIP4DM, feature: Tensor | None, detection: Detection | None, asked: Asked | None
) -> dict[str, Any]:
    """The columns that are there on request, null where there are no scores."""
    further: dict[str, Any] = {}
    if detector.curve is not None:
        further[PROBABILITIES] = None if detection is None else [word.probability for word in detection.words]
    if asked is not None:
        further[SUGGESTIONS] = None
        if detection is not None and feature is not None:
            further[SUGGESTIONS] = suggested(detector, feature, detection, asked)
    return further


def _where_finite(run: Callable[[list[Item]], Iterable[Result]], items: list[Item]) -> list[Result | str]:
    """run(items), where what gives numbers that are not finite costs itself alone: its error's text in its place."""
    if not items:
        return []
    try:
        return list(run(items))
    except NotFinite as error:
        if len(items) == 1:
            return [str(error)]
    middle = len(items) // 2
    return _where_finite(run, items[:middle]) + _where_finite(run, items[middle:])
