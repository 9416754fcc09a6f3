"""A pair's Detection by every variant of the ablations: what `attribution.variants` gives, as words and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clip4dm.captions.words import mean_over_units
from clip4dm.detection import Detection, make_averaged_detection

if TYPE_CHECKING:
    from torch import Tensor

    from clip4dm.attribution.variants import Variant
    from clip4dm.captions.words import EncodedCaption
    from clip4dm.detector import CLIP4DM


def detect_variants(
    detector: CLIP4DM, image_features: Tensor, captions: Sequence[EncodedCaption], variants: Sequence[Variant]
) -> list[dict[Variant, Detection]]:
    """For every pair of an image feature and a caption, a Detection by every variant; one pass for all.

    image_features: (pairs, features), unit length. Errors: InputError.

        found = detect_variants(detector, features, encoded, [Variant(), Variant("positive")])
        found[0][Variant("positive")].misaligned  # of the first pair
    """
    from clip4dm.attribution.batch import Batch  # torch takes seconds
    from clip4dm.attribution.plain import attention_gradients
    from clip4dm.attribution.variants import token_attributions

    tower = detector.model.tower
    batch = Batch.of(tower, captions, image_features)
    maps = attention_gradients(tower, batch, 0)
    found: list[dict[Variant, Detection]] = [{} for _ in captions]
    for variant in variants:
        rows = token_attributions(maps.attention, maps.gradients, batch.pooled, variant)
        per_token = rows[:, None, : batch.ids.shape[1]].cpu().numpy()  # one row: the variant has averaged its layers
        for mine, row, caption, score in zip(found, per_token, captions, maps.cosine.tolist(), strict=True):
            (means,) = mean_over_units(row, caption)
            mine[variant] = make_averaged_detection(
                caption, means, score, sorted_by=detector.sorted_by, epsilon=detector.epsilon
            )
    return found
