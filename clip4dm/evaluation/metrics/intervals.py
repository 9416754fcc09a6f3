"""95 % percentile bootstrap intervals, seeded and paired by image (Efron and Tibshirani 1993, chapter 13).

A resample draws as many images as there are, with replacement; all samples of an image move together. It is
held as multiplicities, how often each image was drawn, so that every statistic is a weighted one and its data
are sorted once. Resample r depends on (seed, r) alone, and all figures of a run share the resamples: they can
be compared.

The interval sees nothing the sample does not hold: a rate of exactly 0 or 1 gets an interval of no width.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property

import numpy as np

from clip4dm.errors import InputError

LEVEL = 0.95
REPLICATES = 1000
_CHUNK = 2**18  # weights held at a time: they stay in the processor's cache
_KEEP = 2**26  # bytes of multiplicities that are kept; more are drawn anew for every figure

# weights (resamples, samples) -> values (resamples,), NaN where undefined
Statistic = Callable[[np.ndarray], np.ndarray]


class Bootstrap:
    """The resamples of a data set, as seen by some of its samples.

    clusters: for every sample, the image it belongs to (any hashable). seed: an integer >= 0.
    replicates: number of resamples. Errors: InputError.

    >>> hits = np.array([1.0, 0.0, 1.0, 1.0])  # four samples of three images
    >>> bootstrap = Bootstrap(["a.jpg", "a.jpg", "b.jpg", "c.jpg"], replicates=500)
    >>> found, all_of_them = bootstrap.sums(hits, np.ones(4)).T  # (replicates,) each
    >>> low, high, remark = bootstrap.interval(found / all_of_them, undefined="no samples")
    >>> low < 0.75 < high, remark
    (True, None)
    """

    def __init__(self, clusters: Sequence[Hashable], seed: int = 0, replicates: int = REPLICATES):
        numbers: dict[Hashable, int] = {}
        codes = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
        self._codes = np.array(codes, dtype=np.intp)  # (samples,): the image's number
        self._draws = _Draws(len(numbers), seed, replicates)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._codes)

    @property
    def replicates(self) -> int:
        """Number of resamples."""
        return self._draws.replicates

    def take(self, rows: Sequence[int] | np.ndarray) -> Bootstrap:
        """The same resamples, seen by some of the samples. rows: indices, or a mask as long as the samples.

        A group is thus resampled with its data set: how many of its samples a resample holds varies.

        >>> len(Bootstrap(["a.jpg", "a.jpg", "b.jpg"]).take([0, 2]))
        2
        """
        view = object.__new__(Bootstrap)
        view._codes = self._codes[np.asarray(rows) if len(rows) else np.empty(0, dtype=np.intp)]
        view._draws = self._draws
        return view

    def values(self, statistic: Statistic) -> np.ndarray:
        """A weighted statistic in every resample: (replicates,), NaN where it is undefined.

        >>> Bootstrap(["a.jpg", "b.jpg"], replicates=9).values(lambda weights: weights.sum(1)).tolist() == [2.0] * 9
        True
        """
        values = np.empty(self.replicates)
        step = max(1, _CHUNK // max(1, len(self)))
        for start in range(0, self.replicates, step):
            stop = min(start + step, self.replicates)
            values[start:stop] = statistic(self._draws.multiplicities(start, stop)[:, self._codes])
        return values

    def sums(self, *columns: np.ndarray) -> np.ndarray:
        """Weighted sums of columns of shape (samples,) in every resample: (replicates, columns).

        >>> Bootstrap(["a.jpg", "b.jpg"], replicates=9).sums(np.ones(2), np.zeros(2)).shape
        (9, 2)
        """
        images = self._draws.images
        per_image = np.stack([np.bincount(self._codes, column, images) for column in columns], axis=1)
        sums = np.empty((self.replicates, len(columns)))
        step = max(1, _CHUNK // max(1, images))
        for start in range(0, self.replicates, step):
            stop = min(start + step, self.replicates)
            drawn = self._draws.multiplicities(start, stop).astype(float)
            # einsum and not @: a matrix product may add in another order under another number of threads.
            sums[start:stop] = np.einsum("ri,ic->rc", drawn, per_image)
        return sums

    def interval(self, values: np.ndarray, undefined: str) -> tuple[float | None, float | None, str | None]:
        """(low, high, remark) from a figure's value in every resample.

        undefined: why a value may be NaN; such resamples are left out, and the remark says how many.

        >>> Bootstrap(["a.jpg", "a.jpg"]).interval(np.ones(1000), undefined="no samples")
        (None, None, 'no interval from a single image')
        """
        if np.unique(self._codes).size < 2:
            return None, None, "no interval from a single image"
        defined = values[np.isfinite(values)]
        left_out = len(values) - len(defined)
        if not len(defined):
            return None, None, f"no interval: {undefined} in every resample"
        low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        remark = f"{left_out} of {len(values)} resamples left out of the interval: {undefined}"
        return float(low), float(high), remark if left_out else None


class _Draws:
    """How often each image is drawn in each resample."""

    def __init__(self, images: int, seed: int, replicates: int):
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InputError(f"seed is {seed!r}; it must be an integer, 0 or more")
        if isinstance(replicates, bool) or not isinstance(replicates, int) or replicates < 1:
            raise InputError(f"replicates is {replicates!r}; it must be an integer, 1 or more")
        self.images, self.seed, self.replicates = images, seed, replicates

    def multiplicities(self, start: int, stop: int) -> np.ndarray:
        """Resamples start..stop-1: uint8 (stop - start, images).

        A byte is enough: an image's multiplicity is about Poisson(1), and 256 has a chance of 1 in 10^507.
        """
        if self.images * self.replicates <= _KEEP:
            return self._all[start:stop]
        return self._drawn(start, stop)

    @cached_property
    def _all(self) -> np.ndarray:
        return self._drawn(0, self.replicates)

    def _drawn(self, start: int, stop: int) -> np.ndarray:
        counts = np.zeros((stop - start, self.images), dtype=np.uint8)
        if self.images:
            for row, replicate in enumerate(range(start, stop)):
                picked = np.random.default_rng([self.seed, replicate]).integers(0, self.images, self.images)
                counts[row] = np.bincount(picked, minlength=self.images)
        return counts


def weighted_average_precision(labels: np.ndarray, scores: np.ndarray) -> Statistic:
    """Average precision with sample weights, equal scores forming one threshold as in sklearn.

    labels: (samples,) bool. scores: (samples,), high for the positive class. NaN where a class has no weight.

    >>> statistic = weighted_average_precision(np.array([True, False, True]), np.array([0.9, 0.8, 0.7]))
    >>> statistic(np.array([[1, 1, 1], [0, 1, 2], [1, 0, 1]])).tolist()  # the last resample has no negative
    [0.8333333333333333, 0.6666666666666666, nan]
    """
    order = np.argsort(-scores, kind="stable")
    falling = -scores[order]
    positive = np.flatnonzero(labels[order])  # (positives,): their places in the ranking
    tie_end = np.searchsorted(falling, falling[positive], side="right") - 1  # the last of equal score
    tie_end_positive = np.searchsorted(positive, tie_end, side="right") - 1  # the last positive among them

    def statistic(weights: np.ndarray) -> np.ndarray:
        ranked = weights[:, order]
        gained = ranked[:, positive]  # (resamples, positives)
        seen = np.cumsum(ranked, axis=1, dtype=np.int32)
        found = np.cumsum(gained, axis=1, dtype=np.int32)
        all_seen, all_found = _last(seen), _last(found)
        # Where a positive has weight, at least that weight was seen; elsewhere the quotient does not count.
        precision = found[:, tie_end_positive] / np.maximum(seen[:, tie_end], 1)
        area = (gained * precision).sum(axis=1)
        defined = (all_found > 0) & (all_found < all_seen)
        return np.where(defined, area / np.maximum(all_found, 1), np.nan)

    return statistic


def weighted_pearson(x: np.ndarray, y: np.ndarray) -> Statistic:
    """Pearson's r with sample weights; x, y: (samples,). NaN where x or y, as weighted, does not vary.

    >>> statistic = weighted_pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 0.0]))
    >>> statistic(np.array([[1, 1, 0], [2, 0, 0]])).round(6).tolist()  # of the first two samples, and of the first
    [1.0, nan]
    """
    return lambda weights: _correlation(weights, x, y)


def weighted_spearman(x: np.ndarray, y: np.ndarray) -> Statistic:
    """Spearman's rho with whole weights: ranked anew in every resample, ties sharing their mean rank.

    >>> weighted_spearman(np.array([1.0, 2.0, 9.0]), np.array([5.0, 6.0, 7.0]))(np.array([[1, 2, 1]])).tolist()
    [1.0]
    """
    ranks_x, ranks_y = _weighted_ranks(x), _weighted_ranks(y)
    return lambda weights: _correlation(weights, ranks_x(weights), ranks_y(weights))


def _weighted_ranks(values: np.ndarray) -> Statistic:
    """weights (resamples, samples) -> mean ranks, of the same shape, from 1; a weight of w counts w times."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(np.bincount(group)) - 1  # (groups,): the last place, in order, of each distinct value

    def ranks(weights: np.ndarray) -> np.ndarray:
        up_to = np.cumsum(weights[:, order], axis=1, dtype=np.int32)[:, ends]  # (resamples, groups)
        before = np.concatenate([np.zeros((len(weights), 1), dtype=np.int32), up_to[:, :-1]], axis=1)
        return ((before + up_to + 1) / 2)[:, group]

    return ranks


def _correlation(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """weights: (resamples, samples); x, y: (samples,) or (resamples, samples) -> (resamples,)."""
    total = np.maximum(weights.sum(axis=1, keepdims=True, dtype=np.int64), 1)
    mean_x = (weights * x).sum(axis=1, keepdims=True) / total
    mean_y = (weights * y).sum(axis=1, keepdims=True) / total
    dx, dy = x - mean_x, y - mean_y
    weighted_dx = weights * dx
    xx = (weighted_dx * dx).sum(axis=1)
    yy = (weights * dy * dy).sum(axis=1)
    xy = (weighted_dx * dy).sum(axis=1)
    # A constant leaves nothing but rounding errors around its mean.
    varies = (np.sqrt(xx) > 1e-13 * np.abs(mean_x[:, 0])) & (np.sqrt(yy) > 1e-13 * np.abs(mean_y[:, 0]))
    norm = np.where(varies, np.sqrt(xx) * np.sqrt(yy), 1.0)
    return np.where(varies & (norm > 0), np.clip(xy / np.where(norm > 0, norm, 1.0), -1.0, 1.0), np.nan)


def _last(cumulated: np.ndarray) -> np.ndarray:
    return cumulated[:, -1] if cumulated.shape[1] else np.zeros(len(cumulated), dtype=cumulated.dtype)
