"""What the published code computes otherwise than the paper's equations, where a published figure rests on it.

    words        threshold mode drops what is a substring of `.,!"?;:" `; most_negative mode drops nothing, so that a
                 full stop may be the lowest "word". Words beyond the context are absent.
    sum          threshold mode: of the words below epsilon; most_negative mode: the lowest word's attribution alone;
                 HAT: the mean of the lowest phrase (`benchmarks.rules.judge_lowest_phrase`).
    F-CLIPScore  (1 - CLIPScore / 2.5) * sum, that is (1 - max(s, 0)) * sum: the cosine s is clamped at 0.
    numbers      fp16: attributions, their means, and 100 times the cosine.

A figure that carries the published name (`negative_word`, `sum_negative_attribution`, `predicted_foil_word`,
`is_correct`, LA, "F-CLIPScore_published") is computed by these rules; the sound ones have names of their own.
Source: the published implementation of arXiv 2412.18404.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clip4dm.scores import CLIPSCORE_SCALE, SortedBy, clip_score, mean_over_layers, misaligned, misaligned_sum

_DROPS = '.,!"?;:" '


def drops(text: str) -> bool:
    """Whether threshold mode leaves a word out.

    >>> [drops(text) for text in (".", '!"', "!!", "-", "&")]
    [True, True, False, False, False]
    """
    return text in _DROPS


def keeps(dropped: bool, sorted_by: SortedBy) -> bool:
    """Whether a unit is one of the published words, if it has tokens. dropped: `drops` of its text.

    >>> keeps(True, "threshold"), keeps(True, "most_negative")
    (False, True)
    """
    return sorted_by == "most_negative" or not dropped


def sum_negative(attributions: Sequence[float], sorted_by: SortedBy, epsilon: float) -> float:
    """The published sum_negative_attribution of a caption's published words; 0.0 if none is negative enough.

    >>> sum_negative([3e-4, -2e-4, -1e-4], "threshold", -5e-5), sum_negative([3e-4, -2e-4], "most_negative", -5e-5)
    (-0.00030000000000000003, -0.0002)
    """
    return misaligned_sum(attributions, epsilon, sorted_by)


def f_clip_score_published(cosine: float, total: float) -> float:
    """(1 - CLIPScore / 2.5) * total. cosine: -1..1. total: the published sum_negative_attribution.

    >>> f_clip_score_published(-0.5, -2e-4)
    -0.0002
    """
    return (1.0 - clip_score(cosine) / CLIPSCORE_SCALE) * total if total else 0.0


def as_published(
    named: Sequence[tuple[str, float]], cosine: float, sorted_by: SortedBy, epsilon: float
) -> dict[str, Any]:
    """The published code's dict of five keys. named: the published words of a caption, in order, with attributions.

    >>> as_published([("a", 2e-4), ("coke", -4e-4)], 0.25, "threshold", -5e-5)["negative_word"]
    '1_coke'
    """
    values = [value for _, value in named]
    found = sorted(misaligned(values, sorted_by, epsilon), key=lambda i: values[i])
    one_word = sorted_by == "most_negative"
    return {
        "negative_word": "".join(named[i][0] for i in found)
        if one_word
        else " ".join(f"{i}_{named[i][0]}" for i in found),
        "sum_negative_attribution": sum_negative(values, sorted_by, epsilon) or 0,  # where there is none: an integer
        "negative_word_score_list": [] if one_word else [values[i] for i in found],
        "clip_score": clip_score(cosine),
        "word_attributions": list(named),
    }


def halved(per_layer: NDArray[np.float32], last: int, cosine: float) -> tuple[NDArray[np.float32], float]:
    """(units,) attributions and the cosine in the published code's fp16: rounded, averaged over layers, rounded again.

    per_layer: (layers, units). last: how many layers are averaged. The cosine is kept as 100 times itself.

    >>> means, cosine = halved(np.float32([[1e-4], [3e-4]]), 2, 0.25012)
    >>> means.tolist(), round(cosine, 6)
    ([0.00020003318786621094], 0.250156)
    """
    means = half(mean_over_layers(half(per_layer).astype(np.float64), last))
    return means, float(half(np.asarray(100 * cosine)) / 100)


def half(values: NDArray[Any]) -> NDArray[np.float32]:
    """Numbers rounded to fp16, as the published code keeps them.

    >>> half(np.array([1e-4])).tolist()
    [0.00010001659393310547]
    """
    return np.asarray(values, dtype=np.float16).astype(np.float32)
