"""The paper's ablations: other ways to turn attention maps and gradients into token attributions.

Of one text layer, with G the cosine's gradient by its attention map A (heads, tokens, tokens):

    both                 R = mean over heads of G * A            the method
    negative_per_head    R = mean over heads of min(G * A, 0)    only negative gradients, before averaging heads
    negative_per_layer   R = min(mean over heads of G * A, 0)    only negative gradients, before averaging layers
    positive             R = mean over heads of max(G * A, 0)    GAE (Chefer et al. 2021)

Of the last K layers: mean takes the mean of R (the method); rollout multiplies, M <- M + R M from M = identity, layer
by layer (GAE). Attributions are the end-of-text row. One pass gives maps and gradients for all variants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clip4dm.errors import InputError

if TYPE_CHECKING:
    import torch

    from clip4dm.captions.words import EncodedCaption
    from clip4dm.detection import Detection
    from clip4dm.detector import CLIP4DM

SIGNS = ("both", "negative_per_head", "negative_per_layer", "positive")
AGGREGATIONS = ("mean", "rollout")


@dataclass(frozen=True)
class Variant:
    """A way to attribute. layers: how many, counted from the last. Errors: ValueError for an unknown name."""

    sign: str = "both"
    aggregation: str = "mean"
    layers: int = 3

    def __post_init__(self) -> None:
        for given, allowed in ((self.sign, SIGNS), (self.aggregation, AGGREGATIONS)):
            if given not in allowed:
                raise InputError(f"unknown {given!r}; allowed: {', '.join(allowed)}")
        if self.layers < 1:
            raise InputError(f"{self.layers} layers: at least the last one is needed")

    def __str__(self) -> str:
        return f"{self.sign}, {self.aggregation}, {self.layers} layer{'s' * (self.layers > 1)}"


def layer_relevance(attention: torch.Tensor, gradient: torch.Tensor, sign: str) -> torch.Tensor:
    """R of one layer: (pairs, heads, tokens, tokens) twice -> (pairs, tokens, tokens)."""
    product = gradient * attention
    if sign == "negative_per_head":
        product = product.clamp(max=0)
    elif sign == "positive":
        product = product.clamp(min=0)
    relevance = product.mean(1)
    return relevance.clamp(max=0) if sign == "negative_per_layer" else relevance


def token_attributions(
    maps: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor], at: torch.Tensor, variant: Variant
) -> torch.Tensor:
    """(pairs, tokens): the row `at` (pairs,) of the layers' relevance, aggregated as the variant says.

    maps, gradients: a (pairs, heads, tokens, tokens) each for every text layer. Errors: ValueError for more layers
    than there are.
    """
    import torch

    if variant.layers > len(maps):
        raise InputError(f"{variant.layers} layers asked for, but this text tower has {len(maps)}")
    layers = [
        layer_relevance(a, g, variant.sign)
        for a, g in zip(maps[-variant.layers :], gradients[-variant.layers :], strict=True)
    ]
    rows = torch.arange(len(at), device=at.device)
    if variant.aggregation == "mean":
        return torch.stack([layer[rows, at] for layer in layers]).mean(0)
    product = torch.eye(maps[0].shape[-1], device=at.device, dtype=maps[0].dtype).expand_as(layers[0])
    for layer in layers:
        product = product + layer @ product
    return product[rows, at]


def detect_variants(
    detector: CLIP4DM, image_features: torch.Tensor, captions: Sequence[EncodedCaption], variants: Sequence[Variant]
) -> list[dict[Variant, Detection]]:
    """For every pair of an image feature and a caption, a Detection by every variant; one pass for all.

    image_features: (pairs, features), unit length. Errors: ValueError.
    """
    import torch

    from clip4dm.attribution.replay import attention_gradients
    from clip4dm.detection import make_detection
    from clip4dm.detector import unit_means

    tower = detector.model.tower
    ids, pooled = tower.batch(captions)
    pairs = torch.arange(len(captions), device=tower.device)
    maps, gradients, _, cosine = attention_gradients(
        tower, ids, pooled, pairs, image_features.to(tower.device, tower.working_dtype), 0
    )
    found: list[dict[Variant, Detection]] = [{} for _ in captions]
    for variant in variants:
        rows = token_attributions(maps, gradients, pooled, variant)[:, : ids.shape[1]].cpu().numpy()
        for mine, row, caption, score in zip(found, rows, captions, cosine.tolist(), strict=True):
            mine[variant] = make_detection(
                caption,
                unit_means(row[None], caption),
                score,
                layers=1,
                sorted_by=detector.sorted_by,
                epsilon=detector.epsilon,
                start_layer_text=-1,
            )
    return found
