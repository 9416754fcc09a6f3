"""Suggestions behind the page: for the words that fit least, a bounded number of them in a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clip4dm.detection import Detection
from clip4dm.suggestion.result import Suggestion

if TYPE_CHECKING:
    from torch import Tensor

    from clip4dm.detector import CLIP4DM
    from clip4dm.suggestion.suggest import Asked

MOST_WORDS = 12  # of all captions together; visitors wait for each other
PATIENCE = 20.0  # seconds after which no further word is begun


@dataclass(frozen=True)
class Suggested:
    """of: each caption's suggestions, in the caption's order. left: misaligned words without, over all captions.

    >>> Suggested(((), ()), left=1).note()
    'No suggestion for 1 more: the 12 words that fit least have one, as far as 20 seconds go.'
    """

    of: tuple[tuple[Suggestion, ...], ...]
    left: int = 0

    def note(self) -> str:
        """What was left out, if anything was."""
        if not self.left:
            return ""
        return (
            f"No suggestion for {self.left} more: the {MOST_WORDS} words that fit least have one, as far as "
            f"{PATIENCE:g} seconds go."
        )


def suggested(
    detector: CLIP4DM,
    features: Tensor,
    detections: Sequence[Detection],
    asked: Asked,
    clock: Callable[[], float] = time.monotonic,
) -> Suggested:
    """Suggestions for the words of captions that are misaligned, the lowest first, as far as the bounds let.

    detector: of the detections' settings. features: (1, ...), of their image.

    suggested(detector, detector.encode_images("cup.jpg"), detections, Asked(packaged_vocabulary()))
    """
    from clip4dm.suggestion.suggest import suggest

    wrong = [(number, word) for number, one in enumerate(detections) for word in one.misaligned]
    lowest_first = sorted(wrong, key=lambda one: one[1].attribution or 0.0)
    found: list[list[Suggestion]] = [[] for _ in detections]
    end, done = clock() + PATIENCE, 0
    for number, word in lowest_first[:MOST_WORDS]:
        if clock() > end:
            break
        found[number] += suggest(detector, features, detections[number], [word], asked)
        done += 1
    of = tuple(tuple(sorted(own, key=lambda one: one.word.start)) for own in found)
    return Suggested(of, len(wrong) - done)
