"""The paper's ablations: other ways to turn attention maps and gradients into token attributions.

Of one text layer, with G the cosine's gradient by its attention map A, A never negative:

    both                 R = mean over heads of G * A            the method
    negative_per_head    R = mean over heads of min(G, 0) * A    only negative gradients, before averaging heads
    negative_per_layer   R = min(mean over heads of G * A, 0)    only negative gradients, before averaging layers
    positive             R = mean over heads of max(G, 0) * A    GAE (Chefer et al. 2021)

Of the last K layers: mean takes the mean of R (the method); rollout multiplies, M <- M + R M from M = identity, layer
by layer (GAE). Attributions are the end-of-text row. One pass gives maps and gradients for all variants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from clip4dm.errors import InputError
from clip4dm.scores import mean_over_layers, relevance

if TYPE_CHECKING:
    from torch import Tensor

Sign = Literal["both", "negative_per_head", "negative_per_layer", "positive"]
Aggregation = Literal["mean", "rollout"]
SIGNS: tuple[Sign, ...] = get_args(Sign)
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)


@dataclass(frozen=True)
class Variant:
    """A way to attribute. layers: how many, counted from the last. Errors: InputError for an unknown name.

    >>> str(Variant()), str(Variant("positive", "rollout", 1))
    ('both, mean, 3 layers', 'positive, rollout, 1 layer')
    """

    sign: Sign = "both"
    aggregation: Aggregation = "mean"
    layers: int = 3

    def __post_init__(self) -> None:
        for given, allowed in ((self.sign, SIGNS), (self.aggregation, AGGREGATIONS)):
            if given not in allowed:
                raise InputError(f"unknown {given!r}; allowed: {', '.join(allowed)}")
        if self.layers < 1:
            raise InputError(f"{self.layers} layers: at least the last one is needed")

    def __str__(self) -> str:
        return f"{self.sign}, {self.aggregation}, {self.layers} layer{'s' * (self.layers > 1)}"


def layer_relevance(attention: Tensor, gradient: Tensor, sign: Sign) -> Tensor:
    """R of one layer: (pairs, heads, tokens, tokens) twice -> (pairs, tokens, tokens).

    >>> import torch
    >>> attention, gradient = torch.tensor([[[[0.5, 0.5]]]]), torch.tensor([[[[2.0, -1.0]]]])
    >>> layer_relevance(attention, gradient, "both").tolist(), layer_relevance(attention, gradient, "positive").tolist()
    ([[[1.0, -0.5]]], [[[1.0, 0.0]]])
    """
    if sign == "negative_per_head":
        gradient = gradient.clamp(max=0)
    elif sign == "positive":
        gradient = gradient.clamp(min=0)
    r = relevance(attention, gradient)
    return r.clamp(max=0) if sign == "negative_per_layer" else r


def token_attributions(maps: Sequence[Tensor], gradients: Sequence[Tensor], at: Tensor, variant: Variant) -> Tensor:
    """(pairs, tokens): the row `at` (pairs,) of the layers' relevance, aggregated as the variant says.

    maps, gradients: a (pairs, heads, tokens, tokens) each for every text layer. Errors: InputError for more layers
    than there are.

    >>> import torch
    >>> maps, gradients = [torch.ones(1, 1, 2, 2)] * 3, [torch.eye(2)[None, None] * n for n in (1, 2, 3)]
    >>> token_attributions(maps, gradients, torch.tensor([1]), Variant(layers=2)).tolist()
    [[0.0, 2.5]]
    """
    import torch  # for --help of what imports this module

    if variant.layers > len(maps):
        raise InputError(f"{variant.layers} layers asked for, but this text tower has {len(maps)}")
    chosen = zip(maps[-variant.layers :], gradients[-variant.layers :], strict=True)
    layers = [layer_relevance(a, g, variant.sign) for a, g in chosen]
    pair = torch.arange(len(at), device=at.device)
    if variant.aggregation == "mean":
        return mean_over_layers(torch.stack(layers)[:, pair, at], variant.layers)
    product = torch.eye(maps[0].shape[-1], device=at.device, dtype=maps[0].dtype).expand_as(layers[0])
    for layer in layers:
        product = product + layer @ product
    return product[pair, at]
