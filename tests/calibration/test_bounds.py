"""The p-value of Hoeffding and Bentkus: worked by hand, against scipy, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from contract import SAME_NUMBERS
from scipy.optimize import brentq
from scipy.stats import beta, binom, entropy

from clip4dm.calibration.bounds import fewest_images, hoeffding_bentkus, images_needed, upper_bound


def test_worked_by_hand():
    """r = 0.1, alpha = 0.2: h = 0.1 ln 0.5 + 0.9 ln 1.125 = 0.0366904, so that Hoeffding's is exp(-3.66904) = 0.0255."""
    hoeffding = math.exp(-100 * (0.1 * math.log(0.5) + 0.9 * math.log(0.9 / 0.8)))
    assert hoeffding == pytest.approx(0.02550, abs=1e-5)
    # P(Binomial(100, 0.2) <= 10) = 0.005696 (tables), times e: 0.015484, the smaller one here.
    assert hoeffding_bentkus(0.1, 100, 0.2) == pytest.approx(0.015484, abs=2e-6)
    # With no loss at all in ten images both are powers of 0.8, and Hoeffding's lacks the factor e.
    assert hoeffding_bentkus(0.0, 10, 0.2) == pytest.approx(0.8**10)


@pytest.mark.parametrize(
    ("risk", "n", "alpha"), [(0.03, 50, 0.1), (0.19, 700, 0.2), (0.45, 33, 0.5), (0.01, 400, 0.05)]
)
def test_against_scipy(risk, n, alpha):
    divergence = entropy([risk, 1 - risk], [alpha, 1 - alpha])
    bentkus = math.e * binom(n, alpha).cdf(math.ceil(n * risk))
    expected = min(1.0, math.exp(-n * divergence), bentkus)
    assert hoeffding_bentkus(risk, n, alpha) == pytest.approx(expected, rel=SAME_NUMBERS)


def test_a_whole_number_of_losses_is_no_more_than_that():
    """100 * 0.07 is 7.000000000000001 in floats: Bentkus' count is 7, not 8."""
    assert 100 * 0.07 > 7
    hoeffding = math.exp(-100 * entropy([0.07, 0.93], [0.2, 0.8]))
    assert hoeffding_bentkus(0.07, 100, 0.2) == pytest.approx(min(hoeffding, math.e * binom(100, 0.2).cdf(7)))


def test_no_evidence_is_a_p_value_of_one():
    assert hoeffding_bentkus(0.0, 0, 0.2) == hoeffding_bentkus(0.2, 1000, 0.2) == hoeffding_bentkus(0.9, 10, 0.2) == 1.0


@pytest.mark.parametrize("losses", ["coins", "uniform", "halves"])
def test_the_p_value_is_valid(losses):
    """Under H, a risk of exactly alpha, a p-value is at most delta in a share delta of data sets at most."""
    random, alpha, n, sets = np.random.default_rng(0), 0.2, 60, 4000
    drawn = {
        "coins": lambda: random.random((sets, n)) < alpha,
        "uniform": lambda: 2 * alpha * random.random((sets, n)),
        "halves": lambda: 0.5 * (random.random((sets, n)) < 2 * alpha),
    }[losses]()
    p = np.array([hoeffding_bentkus(float(mean), n, alpha) for mean in drawn.mean(1)])
    for delta in (0.05, 0.1, 0.3):
        assert (p <= delta).mean() <= delta + 2 * math.sqrt(delta * (1 - delta) / sets)
    if losses == "coins":  # a p-value that is always 1 would pass too
        assert (p <= 0.3).mean() > 0.05


def test_the_bound_is_where_the_p_value_is_delta():
    for risk, n in ((0.0, 30), (0.1, 200)):
        bound = upper_bound(risk, n, 0.1)
        assert bound == pytest.approx(
            brentq(lambda a, r=risk, n=n: hoeffding_bentkus(r, n, a) - 0.1, risk + 1e-9, 0.999), abs=1e-6
        )
        exact = beta.ppf(0.9, n * risk + 1, n - n * risk)  # Clopper and Pearson's, of coins: the best there is
        assert exact - 1e-9 <= bound < exact + 0.05


def test_how_many_images():
    assert 0.8**11 <= 0.1 < 0.8**10 and fewest_images(0.2, 0.1) == 11
    needed = images_needed(0.15, 0.2, 0.1)
    assert hoeffding_bentkus(0.15, needed, 0.2) <= 0.1 < hoeffding_bentkus(0.15, needed // 2, 0.2)
    assert images_needed(0.2, 0.2, 0.1) is None
