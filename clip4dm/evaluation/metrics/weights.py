"""Which weight? That of an additive score (`scores.additive_score`, `scores.additive_sum_score`), from a run's samples.
Likewise which epsilon orders captions best by F-CLIPScore: it need not be the one that finds words best.

It is fitted on the calibration split of the images, by average precision (the captions that are true are the positive
class), and shown on the others, beside CLIPScore's. It fits one model, method and choice of layers; that of the sum
also one epsilon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clip4dm.evaluation.metrics import metrics
from clip4dm.evaluation.metrics.calibration import Words, for_calibration
from clip4dm.evaluation.metrics.differences import average_precision_difference
from clip4dm.evaluation.metrics.metrics import Bootstrap, Figure
from clip4dm.scores import EPSILON, ScoreName, f_clip_score, lowest, misaligned_sum, pair_score

WEIGHTS = tuple(float(weight) for weight in np.geomspace(0.05, 20, 25))  # in spreads of s a spread of what is weighed


@dataclass(frozen=True)
class Fitted:
    """A weight, and what it gives on the images that had no part in it.

    precision: the score's average precision; gain: less CLIPScore's, paired by image.

    >>> Fitted(12.5, Figure(0.68, 0.66, 0.71, 900), Figure(0.04, 0.03, 0.05, 900)).weight
    12.5
    """

    weight: float
    precision: Figure
    gain: Figure


def fit_weight(words: Words, score: ScoreName = "additive", epsilon: float = EPSILON) -> float | None:
    """The weight of the best average precision on these words; None where there is nothing to fit by.

    That is without both classes of captions, or where what is weighed is the same in all. epsilon: of the sum.

    >>> a, b, c = [0.30, -1e-3], [0.31, -3e-3], [0.29, -1e-3]  # the second is wrong: from a weight of 10 on it is last
    >>> words = Words(
    ...     np.array([a[1], b[1], c[1]]), np.array([False, True, False]), np.arange(3), ["a.jpg", "b.jpg", "c.jpg"],
    ...     cosine=np.array([a[0], b[0], c[0]]), misaligned=np.array([False, True, False]), hits={},
    ... )
    >>> weight = fit_weight(words)
    >>> [round(pair_score(s, found, score="additive", weight=weight), 4) for s, found in words.by_sample()]
    [0.2889, 0.2767, 0.2789]
    """
    pairs = words.by_sample()
    weighed = np.array([_weighed(found, score, epsilon) for _, found in pairs])
    if len(weighed) < 2 or not weighed.std() or words.misaligned.all() or not words.misaligned.any():
        return None
    labels: list[bool] = (~words.misaligned).tolist()

    def precision(weight: float) -> float:
        values = [pair_score(cosine, found, epsilon, score, weight) for cosine, found in pairs]
        return metrics.average_precision(labels, values).value or 0.0

    return max((float(words.cosine.std() / weighed.std()) * weight for weight in WEIGHTS), key=precision)


def fit_epsilon(words: Words, epsilons: Sequence[float]) -> float | None:
    """The epsilon at which F-CLIPScore has the best average precision on these words; of equal ones the lowest.

    None where both classes of captions are not there, or no epsilon was given.

    >>> words = Words(
    ...     np.array([-1e-3, -2e-3]), np.array([False, True]), np.arange(2), ["a.jpg", "b.jpg"],
    ...     cosine=np.array([0.3, 0.3]), misaligned=np.array([False, True]), hits={},
    ... )
    >>> fit_epsilon(words, [-3e-3, -1.5e-3])  # at the first both score 0
    -0.0015
    """
    if words.misaligned.all() or not words.misaligned.any():
        return None
    labels, pairs = (~words.misaligned).tolist(), words.by_sample()

    def precision(epsilon: float) -> float:
        values = [f_clip_score(cosine, found, epsilon) for cosine, found in pairs]
        return metrics.average_precision(labels, values).value or 0.0

    return max(sorted(epsilons), key=precision, default=None)


def fit_and_show(words: Words, score: ScoreName, epsilon: float = EPSILON, *, seed: int = 0) -> Fitted | None:
    """`fit_weight` on the calibration split, to four digits, and its figures on the rest; None where there is none.

    fitted = fit_and_show(read_words(run.samples, benchmark, run.settings, []), "additive")
    fitted.weight, fitted.gain.low
    """
    calibrating = [for_calibration(image) for image in words.image]
    found = fit_weight(words.of_images(calibrating), score, epsilon)
    if found is None:
        return None
    weight, shown = float(f"{found:.4g}"), words.of_images([not kept for kept in calibrating])  # as it is printed
    values = [pair_score(cosine, found, epsilon, score, weight) for cosine, found in shown.by_sample()]
    labels, bootstrap = (~shown.misaligned).tolist(), Bootstrap(shown.image, seed=seed)
    return Fitted(
        weight,
        metrics.average_precision(labels, values, bootstrap),
        average_precision_difference(labels, values, shown.cosine.tolist(), bootstrap),
    )


def _weighed(attributions: list[float], score: ScoreName, epsilon: float) -> float:
    if score == "additive":
        first = lowest(attributions)
        return 0.0 if first is None else attributions[first]
    return misaligned_sum(attributions, epsilon)
