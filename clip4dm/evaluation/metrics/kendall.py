"""Kendall's tau: how far a score orders captions as people do.

    tau-b = (agreeing - disagreeing) / sqrt(pairs untied in x * pairs untied in y)
    tau-c = (agreeing - disagreeing) / (n^2 / 2 * (m - 1) / m)     m: the lesser number of distinct values

A pair of rows agrees where both columns put the same one first; a tie in either column counts for neither side. tau-c
(Stuart 1953) can reach 1 though one scale has few steps, as ratings have. Values are scipy's, intervals by bootstrap
over images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clip4dm.benchmarks.base import Kendall
from clip4dm.errors import InputError
from clip4dm.evaluation.metrics.intervals import Bootstrap, Statistic
from clip4dm.evaluation.metrics.metrics import Figure

Scores = Sequence[float | None]  # one a sample, None where there is none
Ratings = Sequence[Sequence[float]]  # of each sample, one a person


def agreement(
    scores: Mapping[str, Scores], ratings: Ratings, variant: Kendall, bootstrap: Bootstrap | None = None
) -> dict[str, Figure]:
    """`kendall` of each score, by its name. Errors: InputError.

    >>> agreement({"CLIPScore": [0.1, 0.2], "refCLIPScore": [None, None]}, [[1, 2], [3]], "c")["refCLIPScore"].reason
    'no references, or not asked for (--get_refclipscore)'
    """
    figures = {}
    for name, values in scores.items():
        if values and all(value is None for value in values):
            reason = "no references, or not asked for (--get_refclipscore)"
            figures[name] = Figure(None, None, None, 0, reason)
        else:
            figures[name] = kendall(values, ratings, variant, bootstrap)
    return figures


def kendall(scores: Scores, ratings: Ratings, variant: Kendall, bootstrap: Bootstrap | None = None) -> Figure:
    """Kendall's tau, -1..1, over rows (score, rating): a sample has as many as ratings, none where its score is None.

    bootstrap: sees the samples. n counts rows. Errors: InputError.

    >>> kendall([0.1, 0.9, None], [[1, 1, 2], [4, 4, 3], [2]], "c").value, kendall([0.5, 0.5], [[1], [2]], "c").reason
    (1.0, 'constant input: the scores')
    """
    if len(scores) != len(ratings) or (bootstrap is not None and len(bootstrap) != len(scores)):
        seen = "" if bootstrap is None else f", a bootstrap of {len(bootstrap)}"
        raise InputError(f"{len(scores)} scores, {len(ratings)} lists of ratings{seen}; expected one a sample of each")
    rows = [(sample, rating) for sample, given in enumerate(ratings) if scores[sample] is not None for rating in given]
    places = [sample for sample, _ in rows]
    x, y = np.array([scores[sample] for sample in places], dtype=float), np.array([rating for _, rating in rows])
    constant = [name for name, column in (("scores", x), ("ratings", y)) if len(np.unique(column)) < 2]
    if constant:
        reason = f"constant input: the {' and the '.join(constant)}" if len(rows) > 1 else "fewer than two ratings"
        return Figure(None, None, None, len(rows), reason)
    from scipy.stats import kendalltau

    value = float(kendalltau(x, y, variant=variant).statistic)
    if bootstrap is None:
        return Figure(value, None, None, len(rows))
    resampled = bootstrap.take(places)
    low, high, remark = resampled.interval(resampled.values(weighted_kendall(x, y, variant)), "constant input")
    return Figure(value, low, high, len(rows), remark)


def weighted_kendall(x: np.ndarray, y: np.ndarray, variant: Kendall) -> Statistic:
    """Kendall's tau with whole weights: a weight of w counts w times, its copies tied with each other. x, y: (rows,).

    NaN where x or y, as weighted, does not vary. Pairs are counted class by class of y, each class against those that
    are not done: a few cumulative sums where y has few distinct values, as ratings have, but n^2 numbers where it has
    as many as rows.

    >>> statistic = weighted_kendall(np.array([0.1, 0.2, 0.3]), np.array([1.0, 3.0, 2.0]), "b")
    >>> statistic(np.array([[1, 1, 1], [1, 1, 0], [0, 2, 0]])).round(6).tolist()  # two pairs of three agree, one, none
    [0.333333, 1.0, nan]
    """
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    _, class_of, sizes = np.unique(y, return_inverse=True, return_counts=True)
    by_y, starts_y = np.argsort(class_of, kind="stable"), np.cumsum(sizes) - sizes
    starts_x = np.flatnonzero(np.diff(x, prepend=-np.inf))
    steps, to_do = [], np.ones(len(y), dtype=bool)
    for number in np.argsort(-sizes, kind="stable"):  # the largest class first: what is left soon is little
        to_do &= class_of != number
        members, others = np.flatnonzero(class_of == number), np.flatnonzero(to_do)
        lower = np.searchsorted(x[members], x[others], side="left")
        not_higher = np.searchsorted(x[members], x[others], side="right")
        steps.append((members, others, lower, not_higher, np.sign(class_of[others] - number)))

    def statistic(weights: np.ndarray) -> np.ndarray:
        weights = weights[:, order].astype(np.int64)
        surplus = np.zeros(len(weights), dtype=np.int64)  # agreeing pairs less disagreeing ones
        for members, others, lower, not_higher, sign in steps:
            up_to = np.cumsum(np.pad(weights[:, members], ((0, 0), (1, 0))), axis=1)
            net = up_to[:, lower] - (up_to[:, -1:] - up_to[:, not_higher])
            surplus += (weights[:, others] * sign * net).sum(axis=1)
        of_x = np.add.reduceat(weights, starts_x, axis=1)  # (resamples, distinct values): how much of each
        of_y = np.add.reduceat(weights[:, by_y], starts_y, axis=1)
        return _tau(surplus, of_x, of_y, variant)

    return statistic


def _tau(surplus: np.ndarray, of_x: np.ndarray, of_y: np.ndarray, variant: Kendall) -> np.ndarray:
    """surplus: (resamples,); of_x, of_y: (resamples, distinct values) -> (resamples,)."""
    square = of_x.sum(axis=1) ** 2
    untied_x, untied_y = square - (of_x**2).sum(axis=1), square - (of_y**2).sum(axis=1)  # twice as many as pairs
    if variant == "b":
        twice = np.sqrt(untied_x.astype(float) * untied_y)
    else:
        distinct = np.minimum((of_x > 0).sum(axis=1), (of_y > 0).sum(axis=1))
        twice = square * (distinct - 1) / np.maximum(distinct, 1)
    varies = (untied_x > 0) & (untied_y > 0)
    return np.where(varies, 2 * surplus / np.where(varies, twice, 1.0), np.nan)
