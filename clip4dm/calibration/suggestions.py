"""From which gain another word is worth suggesting: the least one from which most of what is suggested is right.

    a suggestion       the best replacement of a word that is called misaligned, where it gains anything
    it is right        where it restores the caption as people wrote it: that word, or one of the same meaning

Whatever is suggested for a true word that was called is wrong, and so is a third word in a false one's place. Minus the
gain is to a suggestion what its attribution is to a word: what lies below minus the least gain is shown. So the share
of an image's suggestions that are wrong is its false discovery proportion (`risks.py`), the test is the same
(`thresholds.py`), and so is the curve, of the probability to be right.

Which words are called depends on epsilon, and epsilon was chosen by looking at images. Those cannot decide again as if
epsilon had been given: of the images held out from its choice, one half decides here, and the other shows what came
of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from clip4dm.calibration.bounds import fewest_images, upper_bound
from clip4dm.calibration.curve import Curve, fit, reliability
from clip4dm.calibration.names import CalibrationError
from clip4dm.calibration.risks import Floats, LabelledWords, risk
from clip4dm.calibration.stored import Calibration, Rule, Suggestions
from clip4dm.calibration.study import Figures, held_out, order
from clip4dm.calibration.thresholds import TUNING, choose, thresholds_tried
from clip4dm.scores import below

SHOWN = (0.001, 1.0)  # of all suggestions: the shares between which gains are tried


@dataclass(frozen=True)
class Suggested:
    """Suggestions of a run, with the images numbered as its words' are. replacements: minus the gain as attribution,
    "wrong" where the word was wrong and this is the right one.

    attribution: of each word that one is for. asked_below: for every word below it there is one, if anything gains;
    None where words were not called by a threshold. vocabulary, words, sha256: of the list, as in `Suggestions`.

    >>> two = LabelledWords(np.array([-0.04, -0.01]), np.array([True, False]), np.array([0, 0]), 1)
    >>> suggested = Suggested(two, np.array([-3e-4, -6e-5]), -5e-5, "packaged", 2000, "ab" * 32)
    >>> suggested.of_words_below(-1e-4).attribution.tolist()
    [-0.04]
    """

    replacements: LabelledWords
    attribution: Floats
    asked_below: float | None
    vocabulary: str
    words: int
    sha256: str

    def of_words_below(self, epsilon: float) -> LabelledWords:
        """Those for words that epsilon calls. Errors: CalibrationError where not all of these words were asked for."""
        if self.asked_below is None or epsilon > self.asked_below:
            raise CalibrationError(
                f"not every word below {epsilon:g} was asked for in this run: run main.py with --sorted_by threshold "
                f"--epsilon {epsilon:g} --suggest, and calibrate again"
            )
        called, all_of = np.asarray(below(self.attribution, epsilon)), self.replacements
        return LabelledWords(all_of.attribution[called], all_of.wrong[called], all_of.image[called], all_of.images)


def with_suggestions(
    calibration: Calibration, suggested: Suggested, alpha: float, *, all_images: bool = False
) -> Calibration:
    """The calibration, with the least gain from which at most a share alpha of suggestions is wrong.

    suggested: of the run that it was made of; all_images: of another, of whose images none had a part in epsilon. delta
    is that of the calibration's rule. Errors: CalibrationError where there is no such gain, and why.

        with_suggestions(calibration, source.suggested, 0.2).suggestions.min_gain
    """
    rule = calibration.rule
    found = suggested.of_words_below(calibration.epsilon)
    chosen_by, rest = order(found.images, rule.holdout, rule.seed)
    if all_images:
        rest = np.concatenate([chosen_by, rest])
    half = math.ceil(len(rest) / 2)
    deciding, others = with_any(found.of_images(rest[:half])), with_any(found.of_images(rest[half:]))
    _check(deciding, alpha, rule.delta, len(rest))
    try:
        chosen = choose(deciding, "fdr", alpha, rule.delta, seed=rule.seed, called=SHOWN)
    except CalibrationError:
        raise CalibrationError(_none_found(deciding, alpha, rule.delta)) from None
    curve = fit(deciding)
    made = Suggestions(
        vocabulary=suggested.vocabulary,
        words=suggested.words,
        sha256=suggested.sha256,
        alpha=alpha,
        delta=rule.delta,
        min_gain=abs(chosen.epsilon),  # of a threshold that is never above 0
        images=deciding.images,
        restored=1.0 - chosen.risk,
        held_out=_held_out(others, rule, chosen.epsilon, curve) if others.images else {},
        curve=curve,
    )
    return replace(calibration, suggestions=made)


def with_any(suggestions: LabelledWords) -> LabelledWords:
    """Without the images that have none. They count for nothing, at any gain.

    >>> some = LabelledWords(np.array([-0.04]), np.array([True]), np.array([1]), 3)
    >>> with_any(some).images
    1
    """
    return suggestions.of_images(np.unique(suggestions.image))


def _check(deciding: LabelledWords, alpha: float, delta: float, images: int) -> None:
    """Errors: CalibrationError for too few images, or suggestions of one kind."""
    needed = math.ceil(fewest_images(alpha, delta) / (1 - TUNING))
    if deciding.images < needed:
        raise CalibrationError(
            f"{deciding.images} images with suggestions are too few to decide: it takes at least {needed}, and half of "
            f"the {images:,} that have no part in epsilon (--holdout) decide here"
        )
    right = int(deciding.wrong.sum())
    if right in (0, len(deciding.wrong)):
        raise CalibrationError(
            f"{'all' if right else 'none'} of {len(deciding.wrong)} suggestions restore the caption; it takes some of "
            "each kind"
        )


def _none_found(deciding: LabelledWords, alpha: float, delta: float) -> str:
    """What could be had, as these images tell it."""
    tried = [(*risk(deciding, "fdr", minus), -minus) for minus in thresholds_tried(deciding, SHOWN)]
    mean, images, gain = min(tried, key=lambda one: upper_bound(one[0], one[1], delta) if one[1] else 1.0)
    return (
        f"no gain has at most {alpha:g} of the suggestions wrong with confidence {1 - delta:g} on {deciding.images:,} "
        f"images. Nearest is {gain:.3g}, with {mean:.2f} wrong in {images:,} images; more images may do, or a larger "
        "--suggestion_alpha"
    )


def _held_out(others: LabelledWords, rule: Rule, minus_gain: float, curve: Curve) -> Figures:
    """restored: the mean over images of the share of suggestions that are right, as promised; restored_at_any_gain: the
    same without a least gain. shown: the share of suggestions that gain enough. ece: of the probabilities."""
    promised = replace(rule, control="fdr")
    at, any_gain = held_out(others, promised, minus_gain), held_out(others, promised, 0.0)
    error = reliability(curve.at(others.attribution), others.wrong).error
    return {
        "restored": _complement(at["risk"]),
        "restored_at_any_gain": _complement(any_gain["risk"]),
        "shown": at["called"],
        "ece": {"value": error, "low": None, "high": None, "n": len(others.wrong)},
    }


def _complement(figure: Mapping[str, float | int | None]) -> dict[str, float | int | None]:
    value, low, high = (
        None if figure[part] is None else 1 - float(figure[part] or 0) for part in ("value", "low", "high")
    )
    return {"value": value, "low": high, "high": low, "n": figure["n"]}
