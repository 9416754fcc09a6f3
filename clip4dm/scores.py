"""Scores of an image-caption pair, from a cosine and the words' attributions: pure functions.

    CLIPScore    = 2.5 * max(s, 0)                                         (Hessel et al. 2021)
    RefCLIPScore = harmonic mean of CLIPScore and max over references of max(cos(caption, reference), 0)
    F-CLIPScore  = (1 - s) * sum of the attributions below epsilon         (arXiv 2412.18404), <= 0

with s the plain cosine of the image and the text feature, without the logit scale.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

CLIPSCORE_SCALE = 2.5
EPSILON = -5e-5
START_LAYER_TEXT = -3
TEMPLATE = "A photo depicts "
SORTED_BY = ("threshold", "most_negative")

SortedBy = Literal["threshold", "most_negative"]


def clip_score(cosine: float) -> float:
    """2.5 * max(cosine, 0), in 0..2.5."""
    return CLIPSCORE_SCALE * max(cosine, 0.0)


def ref_clip_score(cosine: float, reference_cosines: Iterable[float]) -> float | None:
    """Harmonic mean of CLIPScore and the best reference's cosine; None without references.

    The reference term is not scaled by 2.5. References carry the same template as the caption.
    """
    best = max((max(c, 0.0) for c in reference_cosines), default=None)
    if best is None:
        return None
    image = clip_score(cosine)
    return 0.0 if image + best == 0 else 2 * image * best / (image + best)


def is_misaligned(attribution: float | None, epsilon: float = EPSILON) -> bool:
    """Whether a word is not true of the image; a word that was not scored (None) is not said to be."""
    return attribution is not None and attribution < epsilon


def misaligned_sum(attributions: Iterable[float | None], epsilon: float = EPSILON) -> float:
    """The sum of the attributions below epsilon, most negative first as the published code adds them; 0.0 if none."""
    return float(sum(sorted(a for a in attributions if is_misaligned(a, epsilon))))


def f_clip_score(cosine: float, attributions: Iterable[float | None], epsilon: float = EPSILON) -> float:
    """F-CLIPScore by the paper's equation: nearer 0 is better aligned."""
    total = misaligned_sum(attributions, epsilon)
    return (1.0 - cosine) * total if total else 0.0
