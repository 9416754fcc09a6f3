"""What a detection says: words with offsets, attributions and verdicts, the pair's scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clip4dm import published, scores
from clip4dm.calibration.curve import Curve
from clip4dm.captions.words import EncodedCaption, Unit
from clip4dm.errors import CLIP4DMError, InputError
from clip4dm.scores import CLIP4DM_METHOD, F_CLIP_SCORE, ScoreName, SortedBy


class NotFinite(CLIP4DMError, ValueError):
    """Numbers that are NaN or infinite, where a verdict would rest on them."""


@dataclass(frozen=True)
class Word:
    """A word of the caption: text == caption[start:end], in characters of the caption as given.

    attribution: mean over the word's tokens, in units of the cosine; None where the word was not scored: it lies
    beyond CLIP's context, or the tokenizer has no token for it. misaligned: not true of the image, by the rule of the
    detection's `sorted_by` (`scores.misaligned`). probability: of being wrong, 0..1; None without a calibration.

    >>> Word("coke", 9, 13, attribution=-2e-4, misaligned=True).scored
    True
    """

    text: str
    start: int
    end: int
    attribution: float | None
    misaligned: bool
    beyond_context: bool = False
    probability: float | None = None

    @property
    def scored(self) -> bool:
        """Whether there is an attribution."""
        return self.attribution is not None


@dataclass(frozen=True)
class Detection:
    """The result for one image-caption pair.

    words: the caption's words in order, punctuation-only pieces left out. cosine: image-text cosine, -1..1.
    clip_score: 2.5 * max(cosine, 0). f_clip_score: the paper's F-CLIPScore, <= 0. truncated: some words lay
    beyond CLIP's context. layer_attributions: (layers, units) float32, every explained layer's word attributions,
    from which `with_settings` takes any other number of layers; a method's single row is of start_layer_text alone.
    encoded: units and tokens behind the words. method: whose attributions these are (`attribution.methods`).
    score_name, score_weight, score: one of `scores.SCORES`, its weight (None for F-CLIPScore), and its value.
    curve: a calibration's, of these attributions, behind the words' probabilities; None where there is none.

    >>> from open_clip import get_tokenizer
    >>> from clip4dm.captions.words import encode_caption
    >>> coke, numbers = encode_caption(get_tokenizer("ViT-B-32"), "a coke"), np.array([[3e-4, -2e-4]])
    >>> usual = {"sorted_by": "threshold", "epsilon": -5e-5, "start_layer_text": -1}
    >>> found = make_detection(coke, numbers, 0.25, layers=12, **usual)
    >>> [word.text for word in found.misaligned], found.clip_score, found.with_settings(epsilon=-1e-3).misaligned
    (['coke'], 0.625, ())
    >>> found.score == found.f_clip_score, found.with_settings(score="additive", score_weight=100.0).score
    (True, 0.23)
    """

    caption: str
    words: tuple[Word, ...]
    cosine: float
    clip_score: float
    f_clip_score: float
    truncated: bool
    sorted_by: SortedBy
    epsilon: float
    start_layer_text: int
    layers: int
    layer_attributions: NDArray[np.float32] = field(repr=False, compare=False)
    encoded: EncodedCaption = field(repr=False, compare=False)
    method: str = CLIP4DM_METHOD
    score_name: ScoreName = F_CLIP_SCORE
    score_weight: float | None = None
    curve: Curve | None = field(default=None, repr=False)

    @property
    def score(self) -> float:
        """By score_name: the higher, the better the caption fits. F-CLIPScore is <= 0, the others are of the cosine."""
        attributions = [word.attribution for word in self.words]
        return scores.pair_score(self.cosine, attributions, self.epsilon, self.score_name, self.score_weight)

    @property
    def misaligned(self) -> tuple[Word, ...]:
        """The words that are not true of the image, in the caption's order."""
        return tuple(word for word in self.words if word.misaligned)

    @property
    def published_words(self) -> tuple[Word, ...]:
        """The published code's words: punctuation may be among them, unscored words are not (see `published`)."""
        means = _unit_means(self.layer_attributions, self.start_layer_text, self.layers)
        units = [
            (unit, value)
            for unit, value in zip(self.encoded.units, means, strict=True)
            if unit.scored and published.keeps(unit.dropped_by_published, self.sorted_by)
        ]
        found = scores.misaligned([value for _, value in units], self.sorted_by, self.epsilon)
        return tuple(Word(unit.text, unit.start, unit.end, value, i in found) for i, (unit, value) in enumerate(units))

    def with_settings(
        self,
        *,
        sorted_by: SortedBy | None = None,
        epsilon: float | None = None,
        start_layer_text: int | None = None,
        score: ScoreName | None = None,
        score_weight: float | None = None,
    ) -> Detection:
        """The same pair under other settings, without the model. Errors: InputError for layers not explained, for a
        score without its weight. Other layers have no probabilities: the curve is of these.

            detection.with_settings(sorted_by="most_negative", start_layer_text=-1).misaligned
        """
        start = self.start_layer_text if start_layer_text is None else start_layer_text
        if self.layers == 1 and start != self.start_layer_text:
            scores.last_layers(start, 1)  # refuses what a row cannot be taken for
            start = self.start_layer_text
        name, weight = scores.weight_kept((self.score_name, self.score_weight), score, score_weight)
        same = _rows(start, self.layers) == _rows(self.start_layer_text, self.layers)
        return make_detection(
            self.encoded,
            self.layer_attributions,
            self.cosine,
            layers=self.layers,
            sorted_by=self.sorted_by if sorted_by is None else sorted_by,
            epsilon=self.epsilon if epsilon is None else epsilon,
            start_layer_text=start,
            method=self.method,
            score=name,
            score_weight=weight,
            curve=self.curve if same else None,
        )

    def as_published(self) -> dict[str, Any]:
        """The published code's dict of five keys, of `published_words`.

        detection.as_published()["negative_word"]  # "3_coke"
        """
        named = [(word.text, word.attribution) for word in self.published_words if word.attribution is not None]
        return published.as_published(named, self.cosine, self.sorted_by, self.epsilon)

    def as_dict(self) -> dict[str, Any]:
        """Everything a program wants, ready for json.

        json.dumps(detection.as_dict(), allow_nan=False)
        """
        return {
            "caption": self.caption,
            "words": [
                {
                    "text": w.text,
                    "start": w.start,
                    "end": w.end,
                    "attribution": w.attribution,
                    "misaligned": w.misaligned,
                    "beyond_context": w.beyond_context,
                    "probability": w.probability,
                }
                for w in self.words
            ],
            "misaligned": [w.text for w in self.misaligned],
            "cosine": self.cosine,
            "clip_score": self.clip_score,
            "f_clip_score": self.f_clip_score,
            "truncated": self.truncated,
            "sorted_by": self.sorted_by,
            "epsilon": self.epsilon,
            "start_layer_text": self.start_layer_text,
            "method": self.method,
            "score_name": self.score_name,
            "score_weight": self.score_weight,
            "score": self.score,
        }


def make_detection(
    encoded: EncodedCaption,
    layer_attributions: NDArray[np.float32],
    cosine: float,
    *,
    layers: int,
    sorted_by: SortedBy,
    epsilon: float,
    start_layer_text: int,
    method: str = CLIP4DM_METHOD,
    score: ScoreName = F_CLIP_SCORE,
    score_weight: float | None = None,
    curve: Curve | None = None,
) -> Detection:
    """A Detection from numbers. layer_attributions: (explained layers, units), the last row the last layer.

    layers: of the text tower, to count start_layer_text by. The only place where numbers become verdicts.
    Errors: NotFinite, since a word that is NaN would pass as aligned; InputError for impossible settings.

        make_detection(encoded, per_layer, 0.25, layers=12, sorted_by="threshold", epsilon=-5e-5, start_layer_text=-3)
    """
    check_settings(sorted_by, epsilon, score, score_weight)
    _check_finite(encoded.caption, layer_attributions, cosine)
    units = [
        (unit, value if unit.scored else None)
        for unit, value in zip(encoded.units, _unit_means(layer_attributions, start_layer_text, layers), strict=True)
        if unit.candidate
    ]
    attributions = [value for _, value in units]
    found = set(scores.misaligned(attributions, sorted_by, epsilon))
    words = tuple(_word(*one, i in found, curve) for i, one in enumerate(units))
    return Detection(
        caption=encoded.caption,
        words=words,
        cosine=cosine,
        clip_score=scores.clip_score(cosine),
        f_clip_score=scores.f_clip_score(cosine, attributions, epsilon),
        truncated=encoded.truncated,
        sorted_by=sorted_by,
        epsilon=epsilon,
        start_layer_text=start_layer_text,
        layers=layers,
        layer_attributions=layer_attributions,
        encoded=encoded,
        method=method,
        score_name=score,
        score_weight=score_weight,
        curve=curve,
    )


def _word(unit: Unit, attribution: float | None, misaligned: bool, curve: Curve | None) -> Word:
    probability = None if curve is None else curve.probability(attribution)
    return Word(unit.text, unit.start, unit.end, attribution, misaligned, unit.beyond_context, probability)


def make_averaged_detection(
    encoded: EncodedCaption, means: NDArray[np.float32], cosine: float, *, sorted_by: SortedBy, epsilon: float
) -> Detection:
    """A Detection from attributions that are one number a unit, (units,), whatever layers they came from.

    It has one layer, so that `with_settings` can take no others. Errors: as `make_detection`.

        make_averaged_detection(encoded, means, cosine, sorted_by="threshold", epsilon=-5e-5).misaligned
    """
    return make_detection(
        encoded, means[None], cosine, layers=1, sorted_by=sorted_by, epsilon=epsilon, start_layer_text=-1
    )


def check_settings(
    sorted_by: str, epsilon: float, score: str = F_CLIP_SCORE, score_weight: float | None = None
) -> None:
    """Errors: InputError, saying what is allowed.

    >>> check_settings("lowest", -5e-5)
    Traceback (most recent call last):
    clip4dm.errors.InputError: unknown sorted_by 'lowest'; allowed: threshold, most_negative
    """
    if sorted_by not in scores.SORTED_BY:
        raise InputError(f"unknown sorted_by {sorted_by!r}; allowed: {', '.join(scores.SORTED_BY)}")
    if not isinstance(epsilon, Real) or isinstance(epsilon, bool) or not np.isfinite(epsilon):
        raise InputError(f"epsilon must be a finite number such as {scores.EPSILON}, got {epsilon!r}")
    scores.check_score(score, score_weight)


def _check_finite(caption: str, layer_attributions: NDArray[np.float32], cosine: float) -> None:
    if not (np.isfinite(layer_attributions).all() and np.isfinite(cosine)):
        raise NotFinite(
            f"the attributions or the cosine of {caption!r:.80} are not finite numbers: the weights or the "
            "image features hold NaN or infinity, or the towers overflow in this precision (--precision fp32 does not)"
        )


def _unit_means(layer_attributions: NDArray[np.float32], start_layer_text: int, layers: int) -> list[float]:
    """(explained layers, units) -> for each unit the mean from start_layer_text on."""
    last = _rows(start_layer_text, layers)
    if last > len(layer_attributions):
        raise InputError(
            f"start_layer_text {start_layer_text} needs the last {last} layers, but only the last "
            f"{len(layer_attributions)} were explained; detect again with that start_layer_text"
        )
    means: list[float] = scores.mean_over_layers(layer_attributions.astype(np.float64), last).tolist()
    return means


def _rows(start_layer_text: int, layers: int) -> int:
    """How many rows of attributions are averaged, of a method's one row that one."""
    return 1 if layers == 1 else scores.last_layers(start_layer_text, layers)
