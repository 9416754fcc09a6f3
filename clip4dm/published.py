"""What the published code computes otherwise than the paper's equations, where a published figure rests on it.

    words        threshold mode drops what is a substring of `.,!"?;:" `; most_negative mode drops nothing, so that a
                 full stop may be the lowest "word". Words beyond the context are absent.
    sum          threshold mode: of the words below epsilon; most_negative mode: the lowest word's attribution alone;
                 HAT: the mean of the lowest phrase (`benchmarks.rules.judge_lowest_phrase`).
    F-CLIPScore  (1 - CLIPScore / 2.5) * sum, that is (1 - max(s, 0)) * sum: the cosine s is clamped at 0.

A figure that carries the published name (`negative_word`, `sum_negative_attribution`, `predicted_foil_word`,
`is_correct`, LA, "F-CLIPScore_published") is computed by these rules; the sound ones have names of their own.
Source: the published implementation of arXiv 2412.18404.
"""

from __future__ import annotations

from collections.abc import Sequence

from clip4dm.scores import CLIPSCORE_SCALE, SortedBy, clip_score, misaligned_sum


def sum_negative(attributions: Sequence[float], sorted_by: SortedBy, epsilon: float) -> float:
    """The published sum_negative_attribution of a caption's published words; 0.0 if none is negative enough.

    >>> sum_negative([3e-4, -2e-4, -1e-4], "threshold", -5e-5), sum_negative([3e-4, -2e-4], "most_negative", -5e-5)
    (-0.00030000000000000003, -0.0002)
    """
    if sorted_by == "threshold":
        return misaligned_sum(attributions, epsilon)
    return min(attributions, default=0.0)


def f_clip_score_published(cosine: float, total: float) -> float:
    """(1 - CLIPScore / 2.5) * total. cosine: -1..1. total: the published sum_negative_attribution.

    >>> f_clip_score_published(-0.5, -2e-4)
    -0.0002
    """
    return (1.0 - clip_score(cosine) / CLIPSCORE_SCALE) * total if total else 0.0
