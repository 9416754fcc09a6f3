"""Probabilities of words: against sklearn's own, and calibrated where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from calibrating.violations import Population
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression

from clip4dm.calibration.curve import BINS, Curve, fit, reliability
from clip4dm.calibration.names import CalibrationError
from clip4dm.calibration.risks import LabelledWords


@pytest.fixture(scope="module")
def words() -> LabelledWords:
    return Population(spread=0.8).draw(400, seed=0)


def test_isotonic_is_sklearns_but_for_ends_that_are_sure(words):
    curve = fit(words, "isotonic")
    sklearns = IsotonicRegression(increasing=False, out_of_bounds="clip").fit(words.attribution, words.wrong)
    levels = sklearns.predict(words.attribution)
    assert (levels == 0).any() and (levels == 1).any()
    low, high = 1 / ((levels == 0).sum() + 2), 1 - 1 / ((levels == 1).sum() + 2)
    assert curve.at(words.attribution) == pytest.approx(np.clip(levels, low, high))
    assert curve.at(np.array([-1e9, 1e9])) == pytest.approx([high, low])


@pytest.mark.parametrize("kind", ["isotonic", "logistic"])
def test_probabilities_are_calibrated_on_other_images(words, kind):
    curve = fit(words, kind)
    other = Population(spread=0.8).draw(2000, seed=1)
    error = reliability(curve.at(other.attribution), other.wrong).error
    assert error < 0.02
    unfit = 1 / (1 + np.exp(other.attribution))  # falls alike, and is fitted to nothing
    assert reliability(unfit, other.wrong).error > 5 * error


def test_few_words_get_the_logistic_curve(words):
    assert fit(words).kind == "isotonic"
    assert fit(words.of_images(range(20))).kind == "logistic"


def test_low_attributions_that_are_no_sign_of_wrong_words_say_the_share():
    random = np.random.default_rng(0)
    attribution = np.concatenate([random.normal(1, 1, 30), random.normal(-1, 1, 60)])
    upside_down = LabelledWords(attribution, np.arange(90) < 30, np.arange(90), 90)
    assert fit(upside_down, "logistic").probabilities == pytest.approx([1 / 3] * 65)


def test_one_attribution_for_all_words():
    alike = LabelledWords(np.zeros(40), np.arange(40) < 10, np.arange(40), 40)
    for kind in ("isotonic", "logistic"):
        assert fit(alike, kind).probability(0.0) == pytest.approx(0.25, abs=0.02)


def test_labels_of_one_class():
    with pytest.raises(CalibrationError, match="no word is true"):
        fit(LabelledWords(np.zeros(3), np.ones(3, dtype=bool), np.arange(3), 3))


def test_reliability_is_sklearns(words):
    said = fit(words).at(words.attribution)
    found = reliability(said, words.wrong)
    seen, mean = calibration_curve(words.wrong, said, n_bins=BINS)
    assert found.seen == pytest.approx(seen) and found.said == pytest.approx(mean)
    assert found.error == pytest.approx(np.average(np.abs(seen - mean), weights=found.words))
    assert sum(found.words) == len(words.wrong)


def test_ece_worked_by_hand():
    """Two of four at 0.2 are wrong, one of one at 0.9: (4 * 0.3 + 1 * 0.1) / 5."""
    found = reliability(np.array([0.2, 0.2, 0.2, 0.2, 0.9]), [True, True, False, False, True])
    assert found.error == pytest.approx((4 * 0.3 + 0.1) / 5)


def test_a_word_that_was_not_scored_has_no_probability():
    assert Curve((0.0,), (0.5,)).probability(None) is None
