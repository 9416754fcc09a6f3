"""What a report's plots are drawn from, by the project's metrics and scikit-learn: a cut of scores, epsilons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clip4dm.errors import InputError

if TYPE_CHECKING:
    from clip4dm.evaluation.metrics.calibration import Words


@dataclass(frozen=True)
class Cut:
    """Captions whose score is at least `score` are taken for true. true_kept, foiled_left: shares, 0..1.

    >>> Cut(-0.1, true_kept=0.9, foiled_left=0.7).balanced_accuracy
    0.8
    """

    score: float
    true_kept: float
    foiled_left: float

    @property
    def balanced_accuracy(self) -> float:
        """The mean of both shares."""
        return (self.true_kept + self.foiled_left) / 2


@dataclass(frozen=True)
class EpsilonCurve:
    """precision, recall and f1 of words, None where not defined, at each epsilon; the run's own is among them.

    >>> EpsilonCurve((-1e-4,), {"f1": (0.8,)}).figures["f1"]
    (0.8,)
    """

    epsilons: tuple[float, ...]
    figures: dict[str, tuple[float | None, ...]]


def best_cut(true: Sequence[float] | NDArray[np.float64], foiled: Sequence[float] | NDArray[np.float64]) -> Cut | None:
    """The cut of the best balanced accuracy on these very captions; None without both kinds.

    >>> best_cut([-0.1, -0.2], [-0.3, -0.15])
    Cut(score=-0.1, true_kept=0.5, foiled_left=1.0)
    """
    if not len(true) or not len(foiled):
        return None
    from sklearn.metrics import roc_curve

    labels = np.concatenate([np.ones(len(true)), np.zeros(len(foiled))])
    wrongly, rightly, cuts = roc_curve(labels, np.concatenate([true, foiled]))
    best = int(np.argmax(rightly - wrongly))
    if not np.isfinite(cuts[best]):  # above all scores: none is kept, no cut parts them
        return None
    return Cut(float(cuts[best]), float(rightly[best]), float(1 - wrongly[best]))


def epsilon_curve(words: Words, epsilon: float, count: int = 25) -> EpsilonCurve | None:
    """Over quantiles of the negative attributions and the run's own epsilon; None where no word is negative.

    epsilon_curve(source.words(), -5e-5).epsilons
    """
    from clip4dm.evaluation.metrics.calibration import epsilon_grid, words_found_at

    try:
        grid = epsilon_grid(words.attribution, count)
    except InputError:
        return None
    epsilons = tuple(sorted({*grid, epsilon}))
    rows = [words_found_at(words, one) for one in epsilons]
    return EpsilonCurve(
        epsilons, {name: tuple(row[name].value for row in rows) for name in ("precision", "recall", "f1")}
    )
