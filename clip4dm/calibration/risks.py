"""Words that people labelled, and what a threshold costs an image: a loss in 0..1 each. The unit is the image.

A word is called misaligned below epsilon (`scores.below`). Of an image, all captions together, let there be c words
called, f of them true; t true words and w wrong ones in all. An image's captions share its content and often their
words, so that they do not count as independent: images do.

    control   loss of an image          over images with      the risk, its expected value
    fdr       f / c                     a word called         the share of what is called that is true
    fpr       f / t                     a true word           the share of true words that are called
    recall    1 - (c - f) / w           a wrong word          the share of wrong words that are missed

fdr is the false discovery proportion of an image in which something is called: Storey's positive false discovery
rate (2003). It is never below Benjamini and Hochberg's (1995), which takes 0 for an image in which nothing is called,
so that a threshold that calls next to nothing passes, however wrong it is where it calls. fpr rises with epsilon and
recall's loss falls; fdr may do either. Only words that were scored count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clip4dm.calibration.names import CalibrationError, Control
from clip4dm.scores import below

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelledWords:
    """Words as columns. attribution, wrong: whether the word is false of its picture. image: its image's number.

    images: how many there are, numbered from 0; some may have no word.

    >>> words = LabelledWords(np.array([-2.0, 1.0, -1.0]), np.array([True, False, False]), np.array([0, 0, 1]), 2)
    >>> words.of_images([1]).attribution.tolist(), words.of_images([1]).images
    ([-1.0], 1)
    """

    attribution: Floats
    wrong: NDArray[np.bool_]
    image: NDArray[np.intp]
    images: int

    @classmethod
    def of_rows(cls, rows: Sequence[tuple[str, float, bool]]) -> LabelledWords:
        """Of (image's name, attribution, wrong) a word; images are numbered by their names' order.

        >>> LabelledWords.of_rows([("b.jpg", -2.0, True), ("a.jpg", 1.0, False)]).image.tolist()
        [1, 0]
        """
        names, numbers = np.unique(np.array([name for name, _, _ in rows], dtype=object), return_inverse=True)
        return cls(
            np.array([value for _, value, _ in rows], dtype=np.float64),
            np.array([wrong for _, _, wrong in rows], dtype=bool),
            numbers.astype(np.intp),
            len(names),
        )

    def of_images(self, chosen: Sequence[int] | NDArray[Any]) -> LabelledWords:
        """The words of these images, which are numbered anew in this order. No image twice."""
        number = np.full(self.images, -1, dtype=np.intp)
        number[np.asarray(chosen, dtype=np.intp)] = np.arange(len(chosen))
        kept = number[self.image] >= 0
        return LabelledWords(self.attribution[kept], self.wrong[kept], number[self.image[kept]], len(chosen))

    def check_both_kinds(self) -> None:
        """Errors: CalibrationError where all words are of one kind, so that nothing can be told apart.

        >>> LabelledWords.of_rows([("a.jpg", 1.0, False)]).check_both_kinds()
        Traceback (most recent call last):
        clip4dm.calibration.names.CalibrationError: no word is labelled wrong (words: 1, images: 1); ...
        """
        wrong = int(self.wrong.sum())
        if not 0 < wrong < len(self.wrong):
            kind = "true" if wrong else "labelled wrong"
            raise CalibrationError(
                f"no word is {kind} (words: {len(self.wrong)}, images: {self.images}); it takes some of each kind"
            )

    def count(self, chosen: NDArray[np.bool_]) -> Floats:
        """(images,): how many of each image's words are chosen, a flag a word."""
        return np.bincount(self.image[chosen], minlength=self.images).astype(np.float64)


def losses(words: LabelledWords, control: Control, epsilon: float) -> Floats:
    """The losses at a threshold of the images that count, 0..1 each.

    >>> words = LabelledWords.of_rows([("a", -2.0, True), ("a", -1.0, False), ("a", 1.0, False), ("b", 2.0, True)])
    >>> [losses(words, control, 0.0).tolist() for control in ("fdr", "fpr", "recall")]
    [[0.5], [0.5], [0.0, 1.0]]
    """
    called = np.asarray(below(words.attribution, epsilon))
    if control == "fdr":
        return _shares(words.count(called & ~words.wrong), words.count(called))
    if control == "fpr":
        return _shares(words.count(called & ~words.wrong), words.count(~words.wrong))
    return _shares(words.count(~called & words.wrong), words.count(words.wrong))


def risk(words: LabelledWords, control: Control, epsilon: float) -> tuple[float, int]:
    """(the mean loss, the number of images it is of); (0.0, 0) where no image counts.

    >>> risk(LabelledWords.of_rows([("a", -2.0, True), ("a", -1.0, False)]), "fdr", -1.5)
    (0.0, 1)
    """
    found = losses(words, control, epsilon)
    return (float(found.mean()) if len(found) else 0.0), len(found)


def _shares(part: Floats, whole: Floats) -> Floats:
    counted = whole > 0
    return np.asarray(part[counted] / whole[counted])
