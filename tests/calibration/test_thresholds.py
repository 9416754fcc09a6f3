"""The guarantee, by simulation: the share of broken promises, for each risk, with images as the unit."""

from __future__ import annotations

import numpy as np
import pytest
from calibrating.violations import Population, best_f1, broken, calibrated, splits_of, within_alpha

from clip4dm.calibration.bounds import hoeffding_bentkus
from clip4dm.calibration.names import CONTROLS, CalibrationError
from clip4dm.calibration.risks import LabelledWords, losses, risk
from clip4dm.calibration.thresholds import choose, risk_at_every_threshold, rounded

SPLITS, DELTA = 200, 0.1


def by_hand() -> LabelledWords:
    """Image a: wrong -3, true -2, true 1. b: wrong -1, wrong 2. c: true 3."""
    rows = [
        ("a", -3.0, True),
        ("a", -2.0, False),
        ("a", 1.0, False),
        ("b", -1.0, True),
        ("b", 2.0, True),
        ("c", 3.0, False),
    ]
    return LabelledWords.of_rows(rows)


@pytest.mark.parametrize(
    ("epsilon", "fdr", "fpr", "recall"),
    [
        (-3.0, [], [0, 0], [1, 1]),  # below: strictly, so that nothing is called
        (-2.5, [0], [0, 0], [0, 1]),
        (0.0, [1 / 2, 0], [1 / 2, 0], [0, 1 / 2]),
        (9.0, [2 / 3, 0, 1], [1, 1], [0, 0]),
    ],
)
def test_losses_worked_by_hand(epsilon, fdr, fpr, recall):
    found = [losses(by_hand(), control, epsilon).tolist() for control in CONTROLS]
    assert found == [pytest.approx(fdr), pytest.approx(fpr), pytest.approx(recall)]


@pytest.mark.parametrize("control", ["fpr", "recall"])
def test_all_thresholds_at_once_are_each_in_turn(control):
    words = Population().draw(30, seed=5)
    thresholds, risks, n = risk_at_every_threshold(words, control)
    for epsilon, value in list(zip(thresholds, risks, strict=True))[::37]:
        mean, counted = risk(words, control, float(epsilon))
        assert (value, n) == (pytest.approx(mean), counted)


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("alpha", [0.1, 0.2])
def test_the_guarantee_holds_where_the_distribution_is_known(control, alpha):
    """Fresh images each time, and the risk of the whole population."""
    found = broken(Population().draws(SPLITS, 300, control), calibrated, control, alpha, DELTA)
    assert found.none < SPLITS // 10, "nothing is shown by thresholds that are not found"
    assert found.share <= found.allowed(DELTA), found
    assert found.risk > alpha / 4, "a threshold that calls nothing keeps every promise"
    naive = broken(Population().draws(SPLITS, 300, control), within_alpha, control, alpha, DELTA)
    assert naive.share > naive.allowed(DELTA), "what is within alpha on the same images is not so elsewhere"


@pytest.mark.parametrize("alpha", [0.1, 0.2])
def test_the_best_f1_breaks_it(alpha):
    hard = Population(spread=0.7)
    found = broken(hard.draws(SPLITS, 300, "fdr"), best_f1, "fdr", alpha, DELTA)
    assert found.share > 0.8, found
    kept = broken(hard.draws(SPLITS, 300, "fdr"), calibrated, "fdr", alpha, DELTA)
    assert kept.share <= kept.allowed(DELTA)


def test_words_of_an_image_do_not_count_as_independent():
    """The same bound over words, of which an image's are alike, breaks the promise; over images it does not."""
    alike = Population(spread=0.1, shared=1.5)

    def over_words(words, control, alpha, delta, seed):
        ordered = np.sort(words.attribution[~words.wrong])
        n = len(ordered)
        passing = [k for k in range(0, n // 2, 5) if hoeffding_bentkus(k / n, n, alpha) <= delta]
        return float(ordered[max(passing)])

    counted_words = broken(alike.draws(SPLITS, 100, "fpr"), over_words, "fpr", 0.2, DELTA)
    counted_images = broken(alike.draws(SPLITS, 100, "fpr"), calibrated, "fpr", 0.2, DELTA)
    assert counted_words.share > counted_words.allowed(DELTA)
    assert counted_images.share <= counted_images.allowed(DELTA)


@pytest.mark.parametrize("control", ["fpr", "recall"])
def test_conformal_risk_control_holds_on_average(control):
    """The mean risk over calibrations is within alpha, near to it; single calibrations exceed it."""

    def in_expectation(words, control, alpha, delta, seed):
        return choose(words, control, alpha, delta, in_expectation=True).epsilon

    found = broken(Population().draws(SPLITS, 60, control), in_expectation, control, 0.2, DELTA)
    assert 0.15 < found.risk <= 0.2 + 0.005 and found.share > found.allowed(DELTA)


def test_fdr_has_no_expectation():
    with pytest.raises(CalibrationError, match="not monotone.*--guarantee confidence"):
        choose(Population().draw(50, seed=0), "fdr", 0.2, 0.1, in_expectation=True)


def test_a_threshold_keeps_its_promise_after_rounding():
    for value in (-0.00123456, 0.5, 1.0, -7e-300, 123456.0, 0.0):
        low, high = rounded(value, up=False), rounded(value, up=True)
        assert low <= value <= high and high - low <= 2e-3 * abs(value)


@pytest.mark.parametrize("control", CONTROLS)
def test_too_few_images_say_how_many_would_do(control):
    words = Population().draw(9, seed=1)
    with pytest.raises(CalibrationError, match=r"too few for alpha 0.2 and delta 0.1: it takes at least 11"):
        choose(words, control, 0.2, 0.1)


def test_where_no_threshold_gives_it_the_best_is_said():
    """Attributions that say nothing: as many true words as wrong ones below every threshold."""
    random = np.random.default_rng(0)
    nothing = LabelledWords(random.normal(size=4000), random.random(4000) < 0.3, np.arange(4000) // 8, 500)
    with pytest.raises(
        CalibrationError, match=r"no threshold .* fdr at most 0.1 .* had is 0\.\d+, at epsilon -.*would not do either"
    ):
        choose(nothing, "fdr", 0.1, 0.1)
    few = Population(spread=0.3).draw(60, seed=2)
    with pytest.raises(CalibrationError, match=r"What can be had is 0\.\d+, .*; about \d+ images like these would do"):
        choose(few, "fdr", 0.06, 0.1)


@pytest.mark.parametrize("wrong", [True, False])
@pytest.mark.parametrize("control", CONTROLS)
def test_labels_of_one_class(control, wrong):
    words = LabelledWords.of_rows([(str(i), -float(i), wrong) for i in range(100)])
    with pytest.raises(CalibrationError, match=f"no word is {'true' if wrong else 'labelled wrong'}"):
        choose(words, control, 0.2, 0.1)


@pytest.mark.parametrize("control", CONTROLS)
def test_an_images_order_and_name_do_not_matter_for_a_bound(control):
    words = Population().draw(200, seed=3)
    again = words.of_images(np.arange(200))
    assert choose(words, control, 0.2, 0.1, seed=4) == choose(again, control, 0.2, 0.1, seed=4)


def test_splits_share_no_image():
    words = LabelledWords(np.arange(20.0), np.arange(20) % 2 == 0, np.arange(20) // 2, 10)
    ((deciding, _),) = splits_of(words, 1, "fpr", share=0.3)
    assert deciding.images == 3 and len(deciding.attribution) == 6
