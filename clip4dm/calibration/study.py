"""A calibration from labelled words: some images decide, the others show what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clip4dm.calibration.curve import fit, reliability
from clip4dm.calibration.names import CalibrationError
from clip4dm.calibration.risks import Floats, LabelledWords, losses, risk
from clip4dm.calibration.stored import AttributedBy, Calibration, Data, Rule
from clip4dm.calibration.thresholds import choose
from clip4dm.scores import below

if TYPE_CHECKING:
    from clip4dm.calibration.suggestions import Suggested

RESAMPLES = 1000
LEVEL = 0.95  # of the percentile intervals

Figures = dict[str, dict[str, float | int | None]]


@dataclass(frozen=True)
class Source:
    """What is learned from: words, whose attributions they have, name and SHA-256 of the data; split as in `Data`.

    suggested: what was suggested for them; None where nothing was asked.

    source_of_run(Path("output/foil/demo-scenes/SETTINGS")).words.images
    """

    words: LabelledWords
    attributed_by: AttributedBy
    name: str
    sha256: str
    split: bool = False
    suggested: Suggested | None = None


def calibrate(source: Source, rule: Rule, versions: Mapping[str, str]) -> Calibration:
    """The calibration that keeps the rule.

    Errors: CalibrationError where no threshold keeps it, with what can be had; where all words are of one kind.

        calibrate(source, Rule("fdr", 0.2, 0.1, "confidence", 0.5, 0), versions("scikit-learn")).epsilon
    """
    source.words.check_both_kinds()
    deciding, rest = split(source.words, rule.holdout, rule.seed)
    expectation = rule.guarantee == "expectation"
    try:
        found = choose(deciding, rule.control, rule.alpha, rule.delta, in_expectation=expectation, seed=rule.seed)
    except CalibrationError as refused:
        if not rest.images:
            raise
        raise CalibrationError(
            f"{refused} (all numbers are of images that decide: {deciding.images:,} of {source.words.images:,} do, "
            "--holdout says how many not)"
        ) from None
    curve = fit(deciding)
    wrong = int(deciding.wrong.sum())
    data = Data(source.name, source.sha256, deciding.images, len(deciding.wrong), wrong, found.risk, source.split)
    figures: Figures = {}
    if rest.images:
        figures = held_out(rest, rule, found.epsilon)
        error = reliability(curve.at(rest.attribution), rest.wrong).error if len(rest.wrong) else None
        figures["ece"] = {"value": error, "low": None, "high": None, "n": len(rest.wrong)}
    by = source.attributed_by  # of a file or folder, its name and not where it lay
    attributed_by = replace(by, backbone=PurePath(by.backbone).name, pretrained=PurePath(by.pretrained).name)
    return Calibration(attributed_by, rule, data, found.epsilon, figures, curve, versions)


def split(words: LabelledWords, holdout: float, seed: int) -> tuple[LabelledWords, LabelledWords]:
    """(the images that decide, the images held out), by chance. Errors: CalibrationError where none is left to decide.

    >>> words = LabelledWords.of_rows([(str(i), 0.0, False) for i in range(10)])
    >>> [part.images for part in split(words, 0.3, seed=0)]
    [7, 3]
    """
    deciding, rest = order(words.images, holdout, seed)
    return words.of_images(deciding), words.of_images(rest)


def order(images: int, holdout: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The same as the images' numbers, each part in an order of chance.

    >>> [len(part) for part in order(10, 0.3, seed=0)]
    [7, 3]
    """
    numbers = np.random.default_rng(seed).permutation(images)
    cut = images - math.floor(holdout * images)
    if cut < 1:
        raise CalibrationError(f"{images} images are none to calibrate by")
    return numbers[:cut], numbers[cut:]


def held_out(words: LabelledWords, rule: Rule, epsilon: float) -> Figures:
    """What a threshold gives on images that had no part in it, with 95 % intervals by bootstrap over images.

    risk: of the rule's control. precision, recall: of all words together. called: the share of all words.
    n: images for the risk; words called; wrong words; words.

        held_out(rest, rule, -0.006)["risk"]["value"]
    """
    called = np.asarray(below(words.attribution, epsilon))
    hits, calls = words.count(called & words.wrong), words.count(called)
    wrong, all_words = words.count(words.wrong), words.count(np.ones(len(called), dtype=bool))
    found = losses(words, rule.control, epsilon)
    resamples = np.random.default_rng(rule.seed)
    return {
        "risk": _ratio(found, np.ones(len(found)), resamples, n=risk(words, rule.control, epsilon)[1]),
        "precision": _ratio(hits, calls, resamples),
        "recall": _ratio(hits, wrong, resamples),
        "called": _ratio(calls, all_words, resamples),
    }


def _ratio(
    part: Floats, whole: Floats, resamples: np.random.Generator, n: int | None = None
) -> dict[str, float | int | None]:
    """sum(part) / sum(whole), of images, with its interval."""
    total = float(whole.sum())
    n = int(total) if n is None else n
    if not total:
        return {"value": None, "low": None, "high": None, "n": n}
    drawn = _sums(np.stack([part, whole], axis=1), resamples)  # (resamples, 2)
    defined = drawn[drawn[:, 1] > 0]
    low, high = np.quantile(defined[:, 0] / defined[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": float(part.sum()) / total, "low": float(low), "high": float(high), "n": n}


def _sums(columns: NDArray[Any], resamples: np.random.Generator) -> Floats:
    """(images, columns) -> their sums in each resample of the images, (RESAMPLES, columns)."""
    images = len(columns)
    return np.stack(
        [columns[resamples.integers(0, images, images)].sum(axis=0, dtype=np.float64) for _ in range(RESAMPLES)]
    )
