"""Two estimates of what a word adds to the cosine, together, with a margin that it must have.

    R[j] = shapley[j] - m |phi_j| + sum over layers and heads of <v_j, ds/dv_j>

The first (shapley.py, coalitions.py) says what the word adds on average over what else is said; the second, gradient
times value in all layers and heads (gradient_value.py), what its values do in the caption as it stands, to first
order. Both are in units of the cosine and are added as they are; of a word of several tokens the second is their mean,
as for all gradients here. It grows with layers and heads, the first does not: measured are towers of 2 and 4 layers.
The margin m is fitted on labelled pairs of a model's own (misc/fit_margin.py, docs/methods.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from clip4dm.attribution.batch import Attribution, Batch
from clip4dm.attribution.coalitions import attribute_coalitions
from clip4dm.attribution.gradient_value import attribute_gradient_value
from clip4dm.attribution.shapley import random_orders
from clip4dm.captions.words import EncodedCaption
from clip4dm.towers.text import TextTower


def attribute_ensemble(
    tower: TextTower, captions: Sequence[EncodedCaption], batch: Batch, margin: float, shared: int = 0
) -> Attribution:
    """R of the page's equation: (P, 1, T), one row for the whole tower; 0 but at words. In units of the cosine.

    captions: the batch's, as they went into it. shared: of `attribute_gradient_value`. Errors: none of its own.

    >>> from open_clip.transformer import TextTransformer
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> attribute_ensemble(tower, [caption], Batch.of(tower, [caption], torch.eye(1, 4)), 0.3).per_layer.shape
    torch.Size([1, 1, 4])
    """
    added = attribute_coalitions(tower, captions, batch, random_orders, margin)
    values = attribute_gradient_value(tower, batch, 0, shared)
    heads = next(iter(tower.states(batch.ids[:1]))).k.shape[1]
    words = torch.zeros_like(batch.ids)  # (C, T) 1 for the tokens of words
    for row, caption in zip(words, captions, strict=True):
        row[: len(caption.ids)] = torch.tensor([unit >= 0 for unit in caption.unit_of], device=row.device)
    whole = (
        values.per_layer.sum(1, keepdim=True) * heads * words[batch.pairs, None]
    )  # (P, 1, T), of all layers and heads
    return Attribution(added.per_layer + whole, added.text_features, added.cosine)
