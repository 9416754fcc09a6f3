"""The benchmarks' metrics: numbers in, a `Figure` with its 95 % interval out. Pure functions.

    LA        = hits / misaligned captions                             (location accuracy, Petryk et al. 2024)
    AP        = average precision as sklearn computes it
    precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN), of summed token counts
    Pearson's r, Spearman's rho (scipy); NLI = mean entailment

In every function a row is a sample, and a row holding None does not count: it is left out, and its image's
other rows stay. NaN and infinity are errors. `bootstrap` must see the same rows; without it there is no
interval. A figure that is not defined (no rows, one class only, a constant) has the value None and says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clip4dm.errors import InputError
from clip4dm.evaluation.metrics.intervals import (
    Bootstrap,
    weighted_average_precision,
    weighted_pearson,
    weighted_spearman,
)

__all__ = [
    "Bootstrap",
    "Figure",
    "average_precision",
    "location_accuracy",
    "mean_figure",
    "pearson",
    "precision_recall_f1",
    "spearman",
]

Column = Sequence[float | None] | np.ndarray  # a number, True or False, or None, for every sample

_NO_ROWS = "no samples"


@dataclass(frozen=True)
class Figure:
    """A metric's value and its 95 % interval, over n samples.

    reason: why the value or the interval is None, or what is to be known of them; None if all is well.
    Errors: InputError for a number that is not finite, and for a value that is None without a reason.

    >>> Figure(None, None, None, 0, "no samples").value is None
    True
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None = None

    def __post_init__(self) -> None:
        for number in (self.value, self.low, self.high):
            if number is not None and not math.isfinite(number):
                raise InputError(f"a figure is {number!r}; what is not a number must be None, with a reason")
        if self.value is None and not self.reason:
            raise InputError("a figure without a value needs a reason")

    def as_dict(self) -> dict[str, Any]:
        """For JSON: value, low, high, n, reason; to 12 digits, later ones hang on the order of additions.

        >>> Figure(1 / 3, None, None, 3).as_dict()["value"]
        0.333333333333
        """

        def short(number: float | None) -> float | None:
            return None if number is None else float(f"{number:.12g}")

        return {
            "value": short(self.value),
            "low": short(self.low),
            "high": short(self.high),
            "n": self.n,
            "reason": self.reason,
        }


def location_accuracy(hits: Column, bootstrap: Bootstrap | None = None) -> Figure:
    """Share of hits, 0..1. hits: True, False, or None where a sample does not count (an original). Errors: InputError.

    >>> location_accuracy([True, False, None, True, True]).value
    0.75
    >>> location_accuracy([True, False, None], Bootstrap(["one.jpg", "two.jpg", "two.jpg"]))
    Figure(value=0.5, low=0.0, high=1.0, n=2, reason=None)
    """
    (hits,), bootstrap = _columns(bootstrap, hits=hits)
    _check_binary("hits", hits)
    return _ratio(hits, np.ones(len(hits)), bootstrap, "no misaligned captions")


def mean_figure(values: Column, bootstrap: Bootstrap | None = None) -> Figure:
    """Mean of the values, as for NLI; in their unit. Errors: InputError.

    >>> mean_figure([0.5, 1.0, None])
    Figure(value=0.75, low=None, high=None, n=2, reason=None)
    """
    (values,), bootstrap = _columns(bootstrap, values=values)
    return _ratio(values, np.ones(len(values)), bootstrap, _NO_ROWS)


def average_precision(labels: Column, scores: Column, bootstrap: Bootstrap | None = None) -> Figure:
    """sklearn's average precision, 0..1. labels: True (or 1) for the positive class; scores: high for it.

    Errors: InputError.

    >>> average_precision([True, False, True], [0.9, 0.8, 0.7]).value
    0.8333333333333333
    >>> average_precision([True, True], [0.9, 0.8]).reason
    'one class only: 2 positive of 2'
    """
    (labels, scores), bootstrap = _columns(bootstrap, labels=labels, scores=scores)
    _check_binary("labels", labels)
    labels, n = labels.astype(bool), len(labels)
    if not n:
        return _undefined(n, _NO_ROWS)
    if labels.all() or not labels.any():
        return _undefined(n, f"one class only: {int(labels.sum())} positive of {n}")
    from sklearn.metrics import average_precision_score

    value = average_precision_score(labels, scores)
    statistic = weighted_average_precision(labels, scores)
    return _figure(value, n, bootstrap, lambda b: b.values(statistic), "one class only")


def pearson(x: Column, y: Column, bootstrap: Bootstrap | None = None) -> Figure:
    """Pearson's correlation of two columns, -1..1. Errors: InputError.

    >>> round(pearson([1.0, 2.0, 3.0], [1.0, 2.0, 2.0]).value, 4)
    0.866
    """
    (x, y), bootstrap = _columns(bootstrap, x=x, y=y)
    x, y, n = _scaled(x), _scaled(y), len(x)
    reason = _no_correlation(x, y, _constant_but_for_rounding)
    if reason:
        return _undefined(n, reason)
    from scipy.stats import pearsonr

    value, statistic = pearsonr(x, y).statistic, weighted_pearson(x, y)
    return _figure(value, n, bootstrap, lambda b: b.values(statistic), "constant input")


def spearman(x: Column, y: Column, bootstrap: Bootstrap | None = None) -> Figure:
    """Spearman's rank correlation of two columns, -1..1, equal values sharing their mean rank. Errors: InputError.

    >>> spearman([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]).reason
    'constant input: the second column'
    """
    (x, y), bootstrap = _columns(bootstrap, x=x, y=y)
    reason = _no_correlation(x, y, lambda column: bool((column == column[0]).all()))
    if reason:
        return _undefined(len(x), reason)
    from scipy.stats import spearmanr

    value, statistic = spearmanr(x, y).statistic, weighted_spearman(x, y)
    return _figure(value, len(x), bootstrap, lambda b: b.values(statistic), "constant input")


def precision_recall_f1(tp: Column, fp: Column, fn: Column, bootstrap: Bootstrap | None = None) -> dict[str, Figure]:
    """precision, recall and f1, 0..1, micro-averaged. tp, fp, fn: token counts of each sample; n counts samples.

    Errors: InputError.

    >>> {name: figure.value for name, figure in precision_recall_f1([1, 2], [0, 1], [1, 1]).items()}
    {'precision': 0.75, 'recall': 0.6, 'f1': 0.6666666666666666}
    """
    (tp, fp, fn), bootstrap = _columns(bootstrap, tp=tp, fp=fp, fn=fn)
    for name, counts in (("tp", tp), ("fp", fp), ("fn", fn)):
        wrong = np.flatnonzero((counts < 0) | (counts != np.floor(counts)))
        if wrong.size:
            raise InputError(f"{name} holds {counts[wrong[0]]:g}; a count is a whole number, 0 or more")
    return {
        "precision": _ratio(tp, tp + fp, bootstrap, "nothing predicted"),
        "recall": _ratio(tp, tp + fn, bootstrap, "nothing labelled misaligned"),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn, bootstrap, "nothing predicted, nothing labelled misaligned"),
    }


def _columns(bootstrap: Bootstrap | None, **columns: Column) -> tuple[list[np.ndarray], Bootstrap | None]:
    """The rows where no column is None, as floats of shape (rows,), and the bootstrap that sees them."""
    lengths = {name: len(column) for name, column in columns.items()}
    if bootstrap is not None:
        lengths["bootstrap"] = len(bootstrap)
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"columns of different lengths: {found}; each needs a row for every sample")
    present = np.ones(min(lengths.values()), dtype=bool)
    for column in columns.values():
        if not (isinstance(column, np.ndarray) and column.dtype != object):
            present &= np.fromiter((value is not None for value in column), dtype=bool, count=len(column))
    rows = np.flatnonzero(present)
    kept = [_numbers(name, column, rows) for name, column in columns.items()]
    return kept, None if bootstrap is None else bootstrap.take(rows)


def _numbers(name: str, column: Column, rows: np.ndarray) -> np.ndarray:
    if isinstance(column, np.ndarray) and column.dtype != object:
        chosen = column[rows]
    else:
        chosen = np.array([column[row] for row in rows.tolist()]) if rows.size else np.empty(0)
    if chosen.ndim != 1 or chosen.dtype.kind not in "biuf":
        raise InputError(
            f"{name} has shape {chosen.shape} and type {chosen.dtype}; expected one number, or None, a row"
        )
    numbers: np.ndarray = chosen.astype(float)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        raise InputError(
            f"{name} holds {numbers[wrong[0]]} in row {rows[wrong[0]]}; numbers must be finite, "
            "and None marks a row that does not count"
        )
    return numbers


def _check_binary(name: str, values: np.ndarray) -> None:
    wrong = np.flatnonzero((values != 0) & (values != 1))
    if wrong.size:
        raise InputError(
            f"{name} holds {values[wrong[0]]:g}; allowed: True, False (or 1, 0), and None where a row does not count"
        )


def _no_correlation(x: np.ndarray, y: np.ndarray, constant: Callable[[np.ndarray], bool]) -> str | None:
    if len(x) < 2:
        return "a correlation needs at least two samples" if len(x) else _NO_ROWS
    names = [name for name, column in (("first", x), ("second", y)) if constant(column)]
    return f"constant input: the {' and the '.join(names)} column" if names else None


def _constant_but_for_rounding(column: np.ndarray) -> bool:
    return bool(np.linalg.norm(column - column.mean()) <= 1e-13 * abs(column.mean()))


def _scaled(values: np.ndarray) -> np.ndarray:
    """Divided by a power of two, to at most 1 in size: no square overflows or vanishes, no digit changes."""
    largest = np.abs(values).max(initial=0.0)
    scaled: np.ndarray = np.ldexp(values, -int(np.frexp(largest)[1]))
    return scaled


def _ratio(numerator: np.ndarray, denominator: np.ndarray, bootstrap: Bootstrap | None, undefined: str) -> Figure:
    """Sum of one column over the sum of another, undefined where the latter is 0."""
    n, total = len(numerator), denominator.sum()
    if total == 0:
        return _undefined(n, undefined)

    def replicates(bootstrap: Bootstrap) -> np.ndarray:
        above, below = bootstrap.sums(numerator, denominator).T
        ratios: np.ndarray = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
        return ratios

    return _figure(numerator.sum() / total, n, bootstrap, replicates, undefined)


def _figure(
    value: float, n: int, bootstrap: Bootstrap | None, replicates: Callable[[Bootstrap], np.ndarray], undefined: str
) -> Figure:
    if bootstrap is None:
        return Figure(float(value), None, None, n)
    low, high, remark = bootstrap.interval(replicates(bootstrap), undefined)
    return Figure(float(value), low, high, n, remark)


def _undefined(n: int, reason: str) -> Figure:
    return Figure(None, None, None, n, reason)
