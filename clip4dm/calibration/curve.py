"""How likely a word is wrong, by its attribution: a falling curve, fitted to labelled words, kept as its corners.

Isotonic regression (Zadrozny and Elkan 2002) where there are words enough, logistic (Platt 1999) where there are few:
the former fits any falling curve, and small samples too well (Niculescu-Mizil and Caruana 2005). A curve holds for
words as common as they were wrong among those it was fitted to: on captions that are wrong less often it says too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from clip4dm.calibration.risks import Floats, LabelledWords

Kind = Literal["isotonic", "logistic"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ISOTONIC_FROM = 1000  # words; of each kind a tenth of that
LOGISTIC_CORNERS = 65
BINS = 15  # of the reliability figure


@dataclass(frozen=True)
class Curve:
    """Straight lines between corners. attributions: rising; probabilities: of being wrong, 0..1, falling.

    Beyond the first and last corner the curve is level.

    >>> curve = Curve((-2.0, 0.0), (0.9, 0.1))
    >>> curve.probability(-1.0), curve.probability(7.0), curve.probability(None)
    (0.5, 0.1, None)
    """

    attributions: tuple[float, ...]
    probabilities: tuple[float, ...]
    kind: Kind = "isotonic"

    def probability(self, attribution: float | None) -> float | None:
        """That a word of this attribution is wrong; None of a word that was not scored."""
        return None if attribution is None else float(self.at(np.array([attribution]))[0])

    def at(self, attributions: NDArray[Any]) -> Floats:
        """(words,) -> their probabilities, (words,)."""
        return np.asarray(np.interp(attributions, self.attributions, self.probabilities), dtype=np.float64)


def fit(words: LabelledWords, kind: Kind | None = None) -> Curve:
    """The curve of labelled words. kind: None for isotonic where there are words enough.

    Isotonic ends of 0 and 1 are drawn in to what a word more of each kind would make of them: no curve is sure.
    Errors: CalibrationError where all words are of one kind.

    >>> words = LabelledWords.of_rows([(str(i), i / 10, i < 4) for i in range(10)])
    >>> curve = fit(words)
    >>> curve.kind, curve.probability(0.0) > 0.8, curve.probability(0.9) < 0.1
    ('logistic', True, True)
    """
    words.check_both_kinds()
    if kind is None:
        fewer = min(int(words.wrong.sum()), int((~words.wrong).sum()))
        kind = "isotonic" if len(words.wrong) >= ISOTONIC_FROM <= 10 * fewer else "logistic"
    return _isotonic(words) if kind == "isotonic" else _logistic(words)


def _isotonic(words: LabelledWords) -> Curve:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(increasing=False, out_of_bounds="clip").fit(words.attribution, words.wrong)
    levels, place = np.unique(fitted.predict(words.attribution), return_inverse=True)
    count = np.bincount(place)
    lowest, highest = ((levels[end] * count[end] + 1) / (count[end] + 2) for end in (0, -1))  # Laplace's rule
    drawn_in = np.clip(levels, lowest if levels[0] <= 0 else 0.0, highest if levels[-1] >= 1 else 1.0)
    corners: list[tuple[float, float]] = []
    for level in range(len(levels) - 1, -1, -1):  # the highest first: it has the lowest attributions
        mine = words.attribution[place == level]
        ends = sorted({float(mine.min()), float(mine.max())})
        corners += [(end, float(drawn_in[level])) for end in ends]
    return Curve(tuple(x for x, _ in corners), tuple(y for _, y in corners), "isotonic")


def _logistic(words: LabelledWords) -> Curve:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(words.attribution[:, None])
    model = LogisticRegression().fit(scaler.transform(words.attribution[:, None]), words.wrong)
    corners = np.linspace(words.attribution.min(), words.attribution.max(), LOGISTIC_CORNERS)
    if corners[0] == corners[-1]:
        corners = corners[:1]
    found = model.predict_proba(scaler.transform(corners[:, None]))[:, 1]
    if model.coef_[0, 0] > 0:  # low attributions are no sign of a wrong word here: the share says all there is
        found = np.full(len(corners), words.wrong.mean())
    return Curve(tuple(corners.tolist()), tuple(found.tolist()), "logistic")


@dataclass(frozen=True)
class Reliability:
    """Said and seen, a bin each: mean probability, share of wrong words, number of words.

    >>> reliability(np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, False, True, False]), bins=2)
    Reliability(said=(0.1, 0.9), seen=(0.0, 0.5), words=(2, 2))
    """

    said: tuple[float, ...]
    seen: tuple[float, ...]
    words: tuple[int, ...]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of |said - seen| over words (Naeini et al. 2015)."""
        gaps = np.abs(np.array(self.said) - np.array(self.seen))
        return float(np.average(gaps, weights=self.words))


def reliability(probabilities: NDArray[Any], wrong: Sequence[bool] | NDArray[Any], bins: int = BINS) -> Reliability:
    """Of words' probabilities and labels, in bins of equal width, empty ones left out.

    reliability(curve.at(words.attribution), words.wrong).error
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.searchsorted(edges[1:-1], probabilities)  # as sklearn.calibration.calibration_curve bins them
    count = np.bincount(place, minlength=bins)
    kept = count > 0
    said = np.bincount(place, probabilities, bins)[kept] / count[kept]
    seen = np.bincount(place, np.asarray(wrong, dtype=float), bins)[kept] / count[kept]
    return Reliability(tuple(said.tolist()), tuple(seen.tolist()), tuple(count[kept].tolist()))
