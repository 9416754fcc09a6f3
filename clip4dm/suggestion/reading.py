"""The cosine of an image with many captions that differ in a word: exact, no attribution.

What captions of a batch share up to the word is read once, where the text tower is causal; parts of long captions that
are the same in all of them, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from torch import Tensor

from clip4dm.attribution.coalitions import encode_all
from clip4dm.captions.windows import parts, weights
from clip4dm.captions.words import EncodedCaption
from clip4dm.detection import NotFinite
from clip4dm.suggestion.edits import Edit
from clip4dm.towers.text import TextTower


def cosines(tower: TextTower, feature: Tensor, captions: Sequence[EncodedCaption]) -> list[float]:
    """The cosine of an image with each caption, as `CLIP4DM.detect` has it. feature: (features,), unit length.

    In fp32 where the tower runs in less. Errors: NotFinite.

    cosines(detector.model.tower, features[0], detector.encode_captions(["a red car", "a blue car"]))
    """
    read = [parts(caption) for caption in captions]
    if not read:
        return []
    features = encode_all(tower, [part for own in read for part in own])
    of_parts = iter((features @ feature.to(features)).tolist())
    found = [
        sum(weight * cosine for weight, cosine in zip(weights(caption), islice(of_parts, len(own)), strict=True))
        for caption, own in zip(captions, read, strict=True)
    ]
    for caption, cosine in zip(captions, found, strict=True):
        if not math.isfinite(cosine):
            raise NotFinite(
                f"the cosine of {caption.caption!r:.80} is no finite number: the weights hold NaN or infinity"
            )
    return found


def bare(caption: EncodedCaption) -> EncodedCaption:
    """All that `cosines` reads of a caption, without its words: hundreds of long captions are then kept at once.

    bare(detector.encode_captions(["a red car"])[0])
    """
    windows = tuple(replace(window, encoded=replace(window.encoded, units=())) for window in caption.windows)
    return replace(caption, units=(), windows=windows)


def comparable(given: EncodedCaption, edited: EncodedCaption, edit: Edit) -> bool:
    """Whether the model reads as much of a new caption as of the given one: all of the new word, and no word less.

    given: the caption as it was. A long word may push the caption's end out of the context, and the cosine would then
    be of another text; or, of a caption that is read in windows where it does not fit, the mean over such.

        comparable(given, detector.encode_captions([edit.caption])[0], edit)
    """
    mine = [unit for unit in edited.units if unit.start < edit.end and edit.start < unit.end and unit.candidate]
    lost = sum(unit.beyond_context for unit in edited.units) - sum(unit.beyond_context for unit in given.units)
    whole = bool(mine or edit.start == edit.end) and all(unit.scored for unit in mine)
    return whole and lost <= 0 and bool(given.windows) == bool(edited.windows)
