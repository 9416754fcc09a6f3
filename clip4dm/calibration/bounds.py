"""What a mean over images says of the risk behind it: valid p-values for losses in 0..1, no other assumption.

    H: the risk, the expected loss of an image, exceeds alpha.    r: the mean loss of n images, drawn independently.

    Hoeffding  p = exp(-n h(min(r, alpha), alpha)),    h(a, b) = a log(a / b) + (1 - a) log((1 - a) / (1 - b))
    Bentkus    p = e P(Binomial(n, alpha) <= ceil(n r))
    both       the smaller of the two, which is a p-value again: each bounds the same tail

Sources: Bates, Angelopoulos, Lei, Malik, Jordan, "Distribution-Free, Risk-Controlling Prediction Sets" (2021), theorem
4 and proposition 2; Angelopoulos, Bates, Candes, Jordan, Lei, "Learn then Test" (2021), proposition 2; Bentkus (2004).
"""

from __future__ import annotations

import math

NEEDED_AT_MOST = 10_000_000  # images: beyond, nobody has so many


def hoeffding_bentkus(risk: float, n: int, alpha: float) -> float:
    """The p-value of "the risk exceeds alpha", 0..1. risk: the mean loss of n images, 0..1. alpha: 0..1, exclusive.

    Without an image there is no evidence: 1.

    >>> round(hoeffding_bentkus(0.0, 10, 0.2), 6), round(0.8**10, 6)  # all ten were right: (1 - alpha)^n
    (0.107374, 0.107374)
    >>> hoeffding_bentkus(0.3, 100, 0.2), hoeffding_bentkus(0.1, 0, 0.2)
    (1.0, 1.0)
    """
    if n < 1 or risk >= alpha:
        return 1.0
    from scipy.stats import binom

    hoeffding = math.exp(-n * _divergence(risk, alpha))
    # n r may be a whole number that lies a rounding error above itself: ceil would then take the next one.
    bentkus = math.e * float(binom.cdf(math.ceil(n * risk - 1e-9), n, alpha))
    return min(1.0, hoeffding, bentkus)


def _divergence(a: float, b: float) -> float:
    """h of the module's equation: Kullback and Leibler's, of two coins."""
    first = a * math.log(a / b) if a > 0 else 0.0
    return first + ((1 - a) * math.log((1 - a) / (1 - b)) if a < 1 else 0.0)


def upper_bound(risk: float, n: int, delta: float) -> float:
    """The lowest alpha that n images of this mean loss establish with confidence 1 - delta; 1 where there is none.

    >>> round(upper_bound(0.0, 10, 0.1), 4), upper_bound(0.5, 0, 0.1)  # 1 - 0.1^(1/10)
    (0.2057, 1.0)
    """
    low, high = risk, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if middle < 1.0 and hoeffding_bentkus(risk, n, middle) <= delta:
            high = middle
        else:
            low = middle
    return high


def fewest_images(alpha: float, delta: float) -> int:
    """How many images establish alpha with confidence 1 - delta where none of them has any loss: fewer never do.

    >>> fewest_images(0.2, 0.1), fewest_images(0.05, 0.1)
    (11, 45)
    """
    return images_needed(0.0, alpha, delta) or 1


def images_needed(risk: float, alpha: float, delta: float) -> int | None:
    """How many images of this mean loss establish alpha with confidence 1 - delta; None where no number does.

    >>> images_needed(0.1, 0.2, 0.1), images_needed(0.2, 0.2, 0.1)
    (59, None)
    """
    if risk >= alpha:
        return None
    high = 1
    while hoeffding_bentkus(risk, high, alpha) > delta:
        high *= 2
        if high > NEEDED_AT_MOST:
            return None
    low = high // 2  # not enough, but for 1 / 2 = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if hoeffding_bentkus(risk, middle, alpha) <= delta else (middle, high)
    return high
