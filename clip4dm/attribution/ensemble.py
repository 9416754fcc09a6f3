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

from clip4dm.attribution.batch import Attribution, Batch, tokens_of_words
from clip4dm.attribution.coalitions import attribute_coalitions
from clip4dm.attribution.gradient_value import attribute_gradient_value
from clip4dm.attribution.shapley import random_orders
from clip4dm.captions.words import EncodedCaption
from clip4dm.towers.text import TextTower


def attribute_ensemble(
    tower: TextTower, captions: Sequence[EncodedCaption], batch: Batch, margin: float
) -> Attribution:
    """R of the page's equation: (P, 1, T), one row for the whole tower; 0 but at words. In units of the cosine.

    captions: the batch's, as they went into it. Errors: none of its own.

    >>> import torch
    >>> from open_clip.transformer import TextTransformer
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> attribute_ensemble(tower, [caption], Batch.of(tower, [caption], torch.eye(1, 4)), 0.3).per_layer.shape
    torch.Size([1, 1, 4])
    """
    added = attribute_coalitions(tower, captions, batch, random_orders, margin)
    values = attribute_gradient_value(tower, batch, 0, tower.shared_tokens(captions)).per_layer.sum(1, keepdim=True)
    words = tokens_of_words(captions, batch)[:, None]  # (P, 1, T)
    return Attribution(added.per_layer + values * tower.heads * words, added.text_features, added.cosine)
