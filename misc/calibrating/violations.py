"""How often a threshold's promise is broken: calibrated again and again, where the risk elsewhere is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clip4dm.calibration.names import CalibrationError, Control
from clip4dm.calibration.risks import LabelledWords, risk
from clip4dm.calibration.thresholds import choose

Choice = Callable[[LabelledWords, Control, float, float, int], float]  # words, control, alpha, delta, seed -> epsilon


@dataclass(frozen=True)
class Broken:
    """share: of all calibrations, those that gave a threshold whose risk elsewhere exceeds alpha. none: that gave none.

    risk: the mean of the risks elsewhere.

    >>> Broken(share=0.05, none=0, splits=200, risk=0.15).allowed(0.1)
    0.142...
    """

    share: float
    none: int
    splits: int
    risk: float

    def allowed(self, delta: float) -> float:
        """delta and two standard errors of a share of so many splits."""
        return delta + 2 * (delta * (1 - delta) / self.splits) ** 0.5


def calibrated(words: LabelledWords, control: Control, alpha: float, delta: float, seed: int) -> float:
    """The threshold with the guarantee.

    calibrated(words, "fdr", 0.2, 0.1, seed=0)
    """
    return choose(words, control, alpha, delta, seed=seed).epsilon


def best_f1(words: LabelledWords, control: Control, alpha: float, delta: float, seed: int) -> float:
    """The threshold of the best F1 of words, which promises nothing.

    best_f1(words, "fdr", 0.2, 0.1, seed=0)
    """
    order = np.argsort(words.attribution, kind="stable")
    hits = np.cumsum(words.wrong[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + words.wrong.sum())
    return float(np.nextafter(words.attribution[order][np.argmax(f1)], np.inf))


def within_alpha(words: LabelledWords, control: Control, alpha: float, delta: float, seed: int) -> float:
    """The threshold whose risk on these words is just within alpha, which half the time it is not elsewhere.

    within_alpha(words, "fdr", 0.2, 0.1, seed=0)
    """
    tried = np.quantile(words.attribution, np.concatenate([np.geomspace(1e-3, 0.2, 200), np.linspace(0.21, 1, 80)]))
    rising = tried if control != "recall" else tried[::-1]
    passing = [float(epsilon) for epsilon in rising if risk(words, control, float(epsilon))[0] <= alpha]
    return passing[-1] if passing else float(tried[0])


def broken(
    draws: Iterator[tuple[LabelledWords, Callable[[float], float]]],
    choice: Choice,
    control: Control,
    alpha: float,
    delta: float,
) -> Broken:
    """draws: of words to calibrate by, each with the risk elsewhere as a function of epsilon.

    broken(splits_of(words, 200, control), calibrated, "fdr", 0.2, 0.1).share
    """
    risks: list[float] = []
    none = 0
    for seed, (words, elsewhere) in enumerate(draws):
        try:
            risks.append(elsewhere(choice(words, control, alpha, delta, seed)))
        except CalibrationError:
            none += 1
    splits = len(risks) + none
    share = sum(value > alpha for value in risks) / splits
    return Broken(share, none, splits, float(np.mean(risks)) if risks else 0.0)


def splits_of(
    words: LabelledWords, splits: int, control: Control, share: float = 0.5
) -> Iterator[tuple[LabelledWords, Callable[[float], float]]]:
    """Random parts of a run's images, and the risk on the other images.

    for deciding, elsewhere in splits_of(words, 200, "fdr"): ...
    """
    cut = round(share * words.images)
    for seed in range(splits):
        order = np.random.default_rng([1, seed]).permutation(words.images)
        rest = words.of_images(order[cut:])
        yield words.of_images(order[:cut]), lambda epsilon, rest=rest: risk(rest, control, epsilon)[0]


@lru_cache
def _known(population: Population, images: int, control: Control) -> tuple[NDArray[Any], list[float]]:
    """Epsilons, and the risk at each."""
    words = population.draw(images, [2, 0])
    grid = np.quantile(words.attribution, np.concatenate([np.geomspace(1e-4, 0.2, 120), np.linspace(0.21, 1, 80)]))
    return grid, [risk(words, control, float(epsilon))[0] for epsilon in grid]


@dataclass(frozen=True)
class Population:
    """Images whose words' attributions are drawn from normal distributions of their own: 1 of true words, -1 of wrong.

    spread: of an image's words around their image's mean. shared: of images' means around 0, so that words of one image
    are alike. words: of an image, a third of the images without a wrong one, else each wrong by a chance of 0.1.

    >>> drawn = Population().draw(5, seed=0)
    >>> drawn.images, len(drawn.wrong)
    (5, 80)
    """

    spread: float = 0.35
    shared: float = 0.35
    words: int = 16

    def draw(self, images: int, seed: int | Sequence[int]) -> LabelledWords:
        """Images with all their words."""
        random = np.random.default_rng(seed)
        image = np.repeat(np.arange(images), self.words)
        chance = np.where(random.random(images) < 1 / 3, 0.0, 0.1)
        wrong = random.random(len(image)) < chance[image]
        means = random.normal(0.0, self.shared, images)
        attribution = np.where(wrong, -1.0, 1.0) + means[image] + random.normal(0.0, self.spread, len(image))
        return LabelledWords(attribution, wrong, image, images)

    def draws(
        self, splits: int, images: int, control: Control, known_by: int = 20_000
    ) -> Iterator[tuple[LabelledWords, Callable[[float], float]]]:
        """Fresh images to calibrate by, and the risk as `known_by` other images tell it:."""
        grid, known = _known(self, known_by, control)
        for seed in range(splits):
            yield self.draw(images, [3, seed]), lambda epsilon: float(np.interp(epsilon, grid, known))
