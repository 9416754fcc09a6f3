"""What a detection says: words with offsets, attributions and verdicts, the pair's scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from clip4dm import scores
from clip4dm.captions.words import EncodedCaption
from clip4dm.errors import CLIP4DMError, InputError
from clip4dm.layers import layer_mean
from clip4dm.published import sum_negative
from clip4dm.scores import SortedBy


class NotFinite(CLIP4DMError, ValueError):
    """Numbers that are NaN or infinite, where a verdict would rest on them."""


@dataclass(frozen=True)
class Word:
    """A word of the caption: text == caption[start:end], in characters of the caption as given.

    attribution: mean over the word's tokens, None where the word was not scored: it lies beyond CLIP's context, or
    the tokenizer has no token for it. misaligned: attribution < epsilon.
    """

    text: str
    start: int
    end: int
    attribution: float | None
    misaligned: bool
    beyond_context: bool = False

    @property
    def scored(self) -> bool:
        return self.attribution is not None


@dataclass(frozen=True)
class Detection:
    """The result for one image-caption pair.

    words: the caption's words in order, punctuation-only pieces left out. cosine: image-text cosine, -1..1.
    clip_score: 2.5 * max(cosine, 0). f_clip_score: the paper's F-CLIPScore, <= 0. truncated: some words lay
    beyond CLIP's context. layer_attributions: (layers, units) float32, every explained layer's word attributions,
    from which `with_settings` takes any other number of layers. encoded: units and tokens behind the words.
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
    layer_attributions: np.ndarray = field(repr=False, compare=False)
    encoded: EncodedCaption = field(repr=False, compare=False)

    @property
    def misaligned(self) -> tuple[Word, ...]:
        """The words that are not true of the image: those below epsilon, or the lowest one in most_negative mode."""
        if self.sorted_by == "threshold":
            return tuple(word for word in self.words if word.misaligned)
        scored = [word for word in self.words if word.attribution is not None]
        return (min(scored, key=lambda word: word.attribution),) if scored else ()

    def with_settings(
        self, *, sorted_by: SortedBy | None = None, epsilon: float | None = None, start_layer_text: int | None = None
    ) -> Detection:
        """The same pair under other settings, without the model. Errors: ValueError for layers not explained."""
        return make_detection(
            self.encoded,
            self.layer_attributions,
            self.cosine,
            layers=self.layers,
            sorted_by=self.sorted_by if sorted_by is None else sorted_by,
            epsilon=self.epsilon if epsilon is None else epsilon,
            start_layer_text=self.start_layer_text if start_layer_text is None else start_layer_text,
        )

    def as_published(self) -> dict[str, Any]:
        """The published code's dict of five keys.

        Its words differ from `words` in punctuation, see `published`: a dash or an "&" counts as a word and may be
        called negative.
        """
        means = layer_mean(self.layer_attributions, self.start_layer_text, self.layers)
        named = [
            (unit.text, float(value))
            for unit, value in zip(self.encoded.units, means, strict=True)
            if unit.scored and not (unit.dropped_by_published and self.sorted_by == "threshold")
        ]
        ranked = sorted(range(len(named)), key=lambda i: named[i][1])
        if self.sorted_by == "most_negative":
            lowest = named[ranked[0]] if ranked else ("", 0)
            negative_word, values = lowest[0], []
        else:
            found = [i for i in ranked if named[i][1] < self.epsilon]
            negative_word = " ".join(f"{i}_{named[i][0]}" for i in found)
            values = [named[i][1] for i in found]
        return {
            "negative_word": negative_word,
            # 0 where there is none, as published: an integer
            "sum_negative_attribution": sum_negative([value for _, value in named], self.sorted_by, self.epsilon) or 0,
            "negative_word_score_list": values,
            "clip_score": self.clip_score,
            "word_attributions": named,
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything a program wants, ready for json."""
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
        }


def make_detection(
    encoded: EncodedCaption,
    layer_attributions: np.ndarray,
    cosine: float,
    *,
    layers: int,
    sorted_by: SortedBy,
    epsilon: float,
    start_layer_text: int,
) -> Detection:
    """A Detection from stored numbers. layer_attributions: (explained layers, units), the last row the last layer.

    Errors: NotFinite, since a word that is NaN would pass as aligned; ValueError for impossible settings.
    """
    check_settings(sorted_by, epsilon)
    if not (np.isfinite(layer_attributions).all() and np.isfinite(cosine)):
        raise NotFinite(
            f"the attributions or the cosine of {encoded.caption!r:.80} are not finite numbers: the weights or the "
            "image features hold NaN or infinity, or the towers overflow in this precision (--precision fp32 does not)"
        )
    means = layer_mean(layer_attributions, start_layer_text, layers)
    words = []
    for unit, value in zip(encoded.units, means, strict=True):
        if unit.candidate:
            attribution = float(value) if unit.scored else None
            words.append(
                Word(
                    unit.text,
                    unit.start,
                    unit.end,
                    attribution,
                    scores.is_misaligned(attribution, epsilon),
                    unit.beyond_context,
                )
            )
    return Detection(
        caption=encoded.caption,
        words=tuple(words),
        cosine=cosine,
        clip_score=scores.clip_score(cosine),
        f_clip_score=scores.f_clip_score(cosine, [w.attribution for w in words], epsilon),
        truncated=encoded.truncated,
        sorted_by=sorted_by,
        epsilon=epsilon,
        start_layer_text=start_layer_text,
        layers=layers,
        layer_attributions=layer_attributions,
        encoded=encoded,
    )


def check_settings(sorted_by: str, epsilon: float) -> None:
    """Errors: ValueError, saying what is allowed."""
    if sorted_by not in scores.SORTED_BY:
        raise InputError(f"unknown sorted_by {sorted_by!r}; allowed: {', '.join(scores.SORTED_BY)}")
    if not isinstance(epsilon, Real) or isinstance(epsilon, bool) or not np.isfinite(epsilon):
        raise InputError(f"epsilon must be a finite number such as {scores.EPSILON}, got {epsilon!r}")
