"""The epsilon that keeps a risk below alpha, so chosen that this holds beyond the images it was chosen on.

fpr and recall: their losses are monotone in epsilon, so that every threshold may be looked at (Bates et al. 2021): the
highest for fpr, which calls most; the lowest for recall, which calls least. With confidence 1 - delta the risk is at
most alpha. Or, `in_expectation`, conformal risk control (Angelopoulos, Bates, Fisch, Lei, Schuster 2022): the risk
is at most alpha on average over calibrations, n / (n + 1) r + 1 / (n + 1) <= alpha. That is a weaker promise: about
half of all calibrations may lie above alpha.

fdr: its loss is not monotone, and a look at many thresholds would find one that is good by chance. "Learn then Test"
(Angelopoulos et al. 2021): a part of the images, TUNING, gives thresholds in an order, from the surest upward; the rest
test them in this order by `bounds.hoeffding_bentkus`, each at delta, until one fails. All before it hold together
(fixed-sequence testing), and the last of them calls most. No correction is needed for how many there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clip4dm.calibration.bounds import fewest_images, hoeffding_bentkus, images_needed, upper_bound
from clip4dm.calibration.names import CalibrationError, Control
from clip4dm.calibration.risks import Floats, LabelledWords, risk
from clip4dm.scores import below

TUNING = 0.25  # of the images, where the order of thresholds has to be learned
STEPS = 100  # thresholds in that order, at most
CALLED = (0.001, 0.5)  # of all words: the shares between which thresholds are tried
DIGITS = 4  # of a threshold; rounded to the side that keeps the guarantee


@dataclass(frozen=True)
class Threshold:
    """What was found. risk: the mean loss of the `images` images that count, at epsilon.

    >>> Threshold(-0.006, risk=0.08, images=100).epsilon
    -0.006
    """

    epsilon: float
    risk: float
    images: int


def choose(
    words: LabelledWords,
    control: Control,
    alpha: float,
    delta: float,
    *,
    in_expectation: bool = False,
    seed: int = 0,
    called: tuple[float, float] = CALLED,
) -> Threshold:
    """The threshold under which the risk is at most alpha with confidence 1 - delta. seed: of the tuning part, for fdr.

    in_expectation: on average instead, whatever delta. called: for fdr, the lowest and the highest share of words below
    the thresholds that are tried. Errors: CalibrationError where no threshold gives it, with what can be had.

    >>> rows = [(f"{i}", sign * (1.0 + i % 7), sign < 0) for i in range(200) for sign in (-1, 1)]
    >>> [choose(LabelledWords.of_rows(rows), control, 0.2, 0.1).epsilon for control in ("fdr", "fpr", "recall")]
    [1.0, 2.0, -1.0]
    """
    words.check_both_kinds()
    if control != "fdr":
        return _monotone(words, control, alpha, delta, in_expectation)
    if in_expectation:
        raise CalibrationError(
            "the false discovery rate is not monotone in the threshold, and conformal risk control needs that: "
            "take --guarantee confidence, or --control fpr or recall"
        )
    return _in_sequence(words, alpha, delta, seed, called)


def _monotone(words: LabelledWords, control: Control, alpha: float, delta: float, in_expectation: bool) -> Threshold:
    values, risks, n = risk_at_every_threshold(words, control)
    if in_expectation:
        passing = (n * risks + 1) / (n + 1) <= alpha
        few = math.ceil(1 / alpha - 1)
    else:
        few = fewest_images(alpha, delta)
        passing = risks <= _largest_passing(risks, n, alpha, delta)
    _check_number(n, few, control, alpha, delta)
    rising = control == "fpr"
    found = np.flatnonzero(passing)
    # recall: calling every word misses none, so that enough images always give a threshold.
    if rising and (not len(found) or found[-1] == 0):  # the first one calls nothing
        first = Threshold(float(values[1]), float(risks[1]), n)
        raise CalibrationError(_nothing_found(words, control, alpha, delta, first))
    exact = float(values[found[-1] if rising else found[0]])
    epsilon = rounded(exact, up=not rising)
    if rising and not below(words.attribution, epsilon).any():
        epsilon = exact  # of few digits it would call nothing
    return Threshold(epsilon, *risk(words, control, epsilon))


def risk_at_every_threshold(words: LabelledWords, control: Control) -> tuple[Floats, Floats, int]:
    """(thresholds, ascending; the risk at each; the images that count), of fpr or recall.

    The thresholds are all attributions, below which lie the words before them, and one above all.

    >>> words = LabelledWords.of_rows([("a", -2.0, True), ("a", -1.0, False), ("a", 1.0, False)])
    >>> [column.tolist() for column in risk_at_every_threshold(words, "fpr")[:2]]
    [[-2.0, -1.0, 1.0, 2.0], [0.0, 0.0, 0.5, 1.0]]
    """
    counted = ~words.wrong if control == "fpr" else words.wrong
    number = words.count(counted)
    n = int((number > 0).sum())
    values, place = np.unique(words.attribution, return_inverse=True)
    weight = np.where(counted, 1.0 / np.maximum(number[words.image], 1.0), 0.0)
    called = np.concatenate([[0.0], np.cumsum(np.bincount(place, weight, len(values)))]) / max(n, 1)
    risks = called if control == "fpr" else 1.0 - called
    return np.append(values, above_all(values)), np.clip(risks, 0.0, 1.0), n


def above_all(values: Floats) -> float:
    """A threshold below which all of some values lie, ascending: 0 for negative ones.

    >>> above_all(np.array([-2.0, -1.0])), above_all(np.array([1.0]))
    (0.0, 2.0)
    """
    return float(values[-1] + max(abs(values[-1]), 1e-12))


def _largest_passing(risks: Floats, n: int, alpha: float, delta: float) -> float:
    """The largest of these risks whose p-value is at most delta; -1 where none is."""
    ordered = np.unique(risks)
    low, high = -1, len(ordered)  # passes, by agreement; does not
    while high - low > 1:
        middle = (low + high) // 2
        passes = hoeffding_bentkus(float(ordered[middle]), n, alpha) <= delta
        low, high = (middle, high) if passes else (low, middle)
    return float(ordered[low]) if low >= 0 else -1.0


def _in_sequence(words: LabelledWords, alpha: float, delta: float, seed: int, called: tuple[float, float]) -> Threshold:
    order = np.random.default_rng([seed, words.images]).permutation(words.images)
    cut = math.ceil(TUNING * words.images)
    tuning, testing = words.of_images(order[:cut]), words.of_images(order[cut:])
    _check_number(testing.images, fewest_images(alpha, delta), "fdr", alpha, delta)
    thresholds = sequence(tuning, alpha, called)
    last: Threshold | None = None
    for epsilon in thresholds:
        tried = Threshold(epsilon, *risk(testing, "fdr", epsilon))
        if hoeffding_bentkus(tried.risk, tried.images, alpha) > delta:
            if last is None:
                raise CalibrationError(_nothing_found(words, "fdr", alpha, delta, tried))
            break
        last = tried
    assert last is not None  # the grid is not empty
    return last


def sequence(tuning: LabelledWords, alpha: float, called: tuple[float, float] = CALLED) -> list[float]:
    """Thresholds in the order of testing: from the one with the lowest p-value on the tuning images upward.

    >>> rows = [(f"{i}", sign * (1.0 + i % 7), sign < 0) for i in range(200) for sign in (-1, 1)]
    >>> sequence(LabelledWords.of_rows(rows), 0.2)
    [1.0]
    """
    grid = thresholds_tried(tuning, called)
    found = [risk(tuning, "fdr", epsilon) for epsilon in grid]
    p_values = [hoeffding_bentkus(mean, n, alpha) for mean, n in found]
    return grid[int(np.argmin(p_values)) :]


def thresholds_tried(words: LabelledWords, called: tuple[float, float] = CALLED) -> list[float]:
    """Thresholds below which lie growing shares of the words, between those of `called`; 1.0 is all of them.

    >>> thresholds_tried(LabelledWords.of_rows([("a", -2.0, True), ("a", -1.0, False)]), (0.5, 1.0))
    [-1.0, 0.0]
    """
    ordered = np.sort(words.attribution)
    places = np.unique((np.geomspace(*called, STEPS) * len(ordered)).astype(int))
    ordered = np.append(ordered, above_all(ordered))
    return sorted({rounded(float(ordered[place]), up=False) for place in places})


def rounded(value: float, up: bool) -> float:
    """A threshold of few digits, not below (up) or not above a value.

    >>> rounded(-0.00123456, up=True), rounded(-0.00123456, up=False), rounded(0.5, up=True)
    (-0.001234, -0.001235, 0.5)
    """
    near = float(f"{value:.{DIGITS - 1}e}")
    if (near >= value) if up else (near <= value):
        return near
    step = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    return float(f"{near + (step if up else -step):.{DIGITS - 1}e}")


def _check_number(n: int, needed: int, control: Control, alpha: float, delta: float) -> None:
    if n < needed:
        counted = {"fdr": "images to test on", "fpr": "images with true words", "recall": "images with wrong words"}
        more = (
            f" ({math.ceil(needed / (1 - TUNING))} in all, a part of which is for tuning)" if control == "fdr" else ""
        )
        raise CalibrationError(
            f"{n} {counted[control]} are too few for alpha {alpha:g} and delta {delta:g}: it takes at least "
            f"{needed}{more}, and those only if nothing is wrong in any of them; label more, or raise alpha or delta"
        )


def _nothing_found(words: LabelledWords, control: Control, alpha: float, delta: float, tried: Threshold) -> str:
    """What could be had, and how many images would do. tried: the first threshold that was tested, and failed."""
    share = 1 - TUNING if control == "fdr" else 1.0  # of the images, those that test
    fewest = math.inf
    for epsilon in thresholds_tried(words):
        mean, n = risk(words, control, epsilon)
        needed = images_needed(mean, alpha, delta) if n else None
        if needed is not None:
            fewest = min(fewest, needed * words.images / n / share)
    enough = (
        f"about {math.ceil(fewest):,} images like these would do"
        if fewest < math.inf
        else "more images like these would not do either"
    )
    had = upper_bound(tried.risk, tried.images, delta)
    return (
        f"no threshold that calls a word has {control} at most {alpha:g} with confidence {1 - delta:g} on these "
        f"{words.images:,} images. What can be had is {had:.3g}, at epsilon {tried.epsilon:.4g}; {enough}"
    )
