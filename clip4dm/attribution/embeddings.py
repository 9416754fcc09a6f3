"""Attributions to what enters the text tower: gradient times input, and integrated gradients.

x_j is what enters for token j, its embedding e_j and its position's. With e0 a baseline's embedding and s(a) the cosine
where e0 + a (e_j - e0) stands for e_j of every word token:

    gradient times input    R[j] = <x_j, ds/dx_j>                                            (Shrikumar et al. 2016)
    integrated gradients    R[j] = <e_j - e0, mean over a in (0, 1) of ds/de_j at a>         (Sundararajan et al. 2017)

The second's attributions sum to s(1) - s(0) but for the steps of the mean (midpoints): what they sum to beyond it is
`Attribution.completeness`. Start and end tokens and the template stay as they are. A forward and a backward pass, or as
many as there are steps and two forward for s(0) and s(1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clip4dm.attribution.batch import Attribution, Batch, tokens_of_words
from clip4dm.captions.words import EncodedCaption
from clip4dm.errors import InputError
from clip4dm.towers.blocks import attend
from clip4dm.towers.text import TextTower

STEPS = 16


def attribute_gradient_input(tower: TextTower, batch: Batch) -> Attribution:
    """<x_j, ds/dx_j>: (P, 1, T), one row for the whole tower, in units of the cosine. Errors: none of its own.

    >>> from open_clip.transformer import TextTransformer
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> batch = Batch.of(tower, [caption], torch.eye(1, 4))
    >>> attribute_gradient_input(tower, batch).per_layer.shape
    torch.Size([1, 1, 4])
    """
    with torch.no_grad():
        x, _ = tower.embed(batch.ids)
    x = x[batch.pairs, : batch.ids.shape[1]].to(tower.working_dtype)  # (P, T, width), without a class token
    cosine, text_features, gradient = _gradient(tower, batch, torch.zeros_like(x))
    return Attribution((x * gradient).sum(-1)[:, None], text_features, cosine)


def attribute_integrated(
    tower: TextTower, captions: Sequence[EncodedCaption], batch: Batch, steps: int = STEPS
) -> Attribution:
    """Integrated gradients: (P, 1, T), one row for the whole tower, in units of the cosine; 0 but at words.

    captions: the batch's, as they went into it. Baseline e0: the embedding of the caption's last token, the end or the
    padding behind it. steps: midpoints of the mean. Errors: InputError for fewer than one.

    >>> from open_clip.transformer import TextTransformer
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> batch = Batch.of(tower, [caption], torch.eye(1, 4))
    >>> attribute_integrated(tower, [caption], batch, steps=4).per_layer.shape
    torch.Size([1, 1, 4])
    """
    if steps < 1:
        raise InputError(f"{steps} steps of integrated gradients: at least one is needed, such as {STEPS}")
    away = _towards_baseline(tower, captions, batch)
    total = torch.zeros_like(away)
    for step in range(steps):
        _, _, gradient = _gradient(tower, batch, away * (1 - (step + 0.5) / steps))
        total += gradient
    found = (-away * total / steps).sum(-1)  # (P, T)
    with torch.no_grad():
        baseline, _ = _cosine(tower, batch, away)
        cosine, text_features = _cosine(tower, batch, torch.zeros_like(away))
    return Attribution(found[:, None], text_features, cosine, found.sum(-1) - (cosine - baseline))


def _towards_baseline(tower: TextTower, captions: Sequence[EncodedCaption], batch: Batch) -> Tensor:
    """(P, T, width) e0 - e_j for word tokens, 0 for all others."""
    embedding = tower.text.token_embedding
    own = embedding(batch.ids).to(tower.working_dtype)[batch.pairs]
    ends = torch.tensor([caption.ids[-1] for caption in captions], device=batch.ids.device)
    end = embedding(ends).to(tower.working_dtype)[batch.pairs, None]
    away: Tensor = (end - own) * tokens_of_words(captions, batch)[..., None]
    return away


def _gradient(tower: TextTower, batch: Batch, added: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cosine (P,), unit text features (P, features), and the cosine's gradient by inputs with `added` (P, T, width)."""
    added = added.detach().requires_grad_()
    with torch.enable_grad():
        cosine, text_features = _cosine(tower, batch, added)
        (gradient,) = torch.autograd.grad(cosine.sum(), added)
    return cosine.detach(), text_features.detach(), gradient


def _cosine(tower: TextTower, batch: Batch, added: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine (P,) and unit text features (P, features) of inputs with `added` (P, T, width)."""
    with torch.no_grad():
        x, mask = tower.embed(batch.ids)
    x = x[batch.pairs].to(tower.working_dtype)
    mask = mask[batch.pairs] if mask is not None and mask.ndim == 4 else mask
    last = tower.last_layers(0)
    x = x + torch.nn.functional.pad(added, (0, 0, 0, x.shape[1] - added.shape[1]))  # a class token may stand behind
    for block in last.blocks:
        x = block.rest(x, attend(*block.heads(x), mask))
    text_features = last.feature(x[torch.arange(len(x), device=x.device), batch.row])
    return (text_features * batch.image_features).sum(-1), text_features
