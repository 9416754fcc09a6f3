"""The method, plainly: the attention maps of the last text layers and the cosine's gradients by them, by autograd.

    s = cosine(text feature, image feature)      R[l] = mean over heads of (ds/dA[l] * A[l])

read at row r, where the text feature is read (the end-of-text token of a causal tower). This is the page to read first,
and the path of all towers that are not causal; `replay` gives the same numbers for causal ones with less work. Neither
touches the image tower or a parameter. Source: arXiv 2412.18404, starting from Chefer et al. 2021 (GAE).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from clip4dm.attribution.batch import Attribution, Batch
from clip4dm.scores import relevance
from clip4dm.towers.text import TextTower


@dataclass(frozen=True)
class Maps:
    """attention, gradients: for each explained layer (P, heads, T, T). text_features: (P, features). cosine: (P,).

    maps = attention_gradients(tower, batch, 0)
    relevance(maps.attention[-1], maps.gradients[-1])  # (P, T, T)
    """

    attention: list[Tensor]
    gradients: list[Tensor]
    text_features: Tensor
    cosine: Tensor


def attribute_plain(tower: TextTower, batch: Batch, start: int) -> Attribution:
    """Attributions of a batch from text layer `start` on. Errors: none of its own.

    attribute_plain(tower, Batch.of(tower, captions, image_features), start=9).per_layer  # (P, layers - 9, T)
    """
    maps = attention_gradients(tower, batch, start)
    pair = torch.arange(len(batch.pairs), device=batch.ids.device)
    layers = [relevance(a, g)[pair, batch.row] for a, g in zip(maps.attention, maps.gradients, strict=True)]
    per_layer = torch.stack(layers, dim=1)  # (P, layers, T), and a class token behind, if there is one
    return Attribution(per_layer[..., : batch.ids.shape[1]], maps.text_features, maps.cosine)


def attention_gradients(tower: TextTower, batch: Batch, start: int) -> Maps:
    """The attention maps from layer `start` on and the cosine's gradients by them: one forward and backward pass.

    >>> from open_clip.transformer import TextTransformer
    >>> from clip4dm.captions.words import EncodedCaption
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> maps = attention_gradients(tower, Batch.of(tower, [caption], torch.eye(1, 4)), 1)
    >>> len(maps.gradients), maps.gradients[0].shape
    (2, torch.Size([1, 2, 4, 4]))
    """
    with torch.no_grad():
        x = next(islice(tower.states(batch.ids), start, None)).x  # what enters the first explained layer: (C, T, width)
        _, mask = tower.embed(batch.ids)
    last = tower.last_layers(start)
    x = x[batch.pairs].to(tower.working_dtype)  # (P, T, width)
    if mask is not None:
        mask = mask.to(x.dtype)[batch.pairs] if mask.ndim == 4 else mask.to(x.dtype)
    attention = []
    with torch.enable_grad():
        for block in last.blocks:
            q, k, v = block.heads(x)
            logits = q @ k.transpose(-1, -2)  # (P, heads, T, T)
            a = (logits if mask is None else logits + mask).softmax(-1)
            attention.append(a if a.requires_grad else a.requires_grad_())
            x = block.rest(x, a @ v)
        text_features = last.feature(x[torch.arange(len(x), device=x.device), batch.row])
        cosine = (text_features * batch.image_features).sum(-1)
        gradients = torch.autograd.grad(cosine.sum(), attention)
    return Maps([a.detach() for a in attention], list(gradients), text_features.detach(), cosine.detach())
