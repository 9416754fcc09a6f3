"""The core: how much every token pulls the text towards the image, or pushes it away.

For the cosine s of an image and a text feature, text layer l with post-softmax attention A[l] (heads, tokens,
tokens), and row r where the text feature is read (the end-of-text token):

    R[l] = mean over heads of (ds/dA[l][:, r, :] * A[l][:, r, :])        (tokens,)
    attribution = mean over the last K layers of R[l]

No ReLU: negative values are the signal. Source: arXiv 2412.18404, starting from Chefer et al. 2021 (GAE).

Two paths give the same numbers, to 1e-12 in float64 and in fp32 to what docs/numbers.md promises.
**Replay**, for causal towers read at the end-of-text token: nothing depends on that token but itself, so one no-grad
pass gives all other tokens' keys and values, and only the end-of-text token's way through the explained layers is run
again with gradients. **Full**, for all towers: gradients through the last layers of the text tower whole. Neither
touches the image tower or a parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from clip4dm.captions.words import EncodedCaption
from clip4dm.errors import InputError
from clip4dm.layers import first_layer
from clip4dm.towers.text import TextTower, after_attention, heads_of


@dataclass(frozen=True)
class Attribution:
    """What a batch of P pairs gives, in fp32 on the tower's device.

    per_layer: (P, explained layers, T), R[l] at every token position, start and end tokens included: which
    columns are words is the caption's to say (`EncodedCaption.unit_of`).
    text_features: (P, features), unit length. cosine: (P,).
    """

    per_layer: Tensor
    text_features: Tensor
    cosine: Tensor


def attribute(
    tower: TextTower,
    captions: Sequence[EncodedCaption],
    image_features: Tensor,
    start_layer_text: int = -3,
    *,
    caption_of: Sequence[int] | None = None,
    path: Literal["auto", "replay", "full"] = "auto",
) -> Attribution:
    """Token attributions of P image-caption pairs.

    captions: the distinct captions, each passed through the tower once. image_features: (P, features), unit length.
    caption_of: for each pair the index of its caption; None = pair i has caption i. path: "auto" takes replay
    where the tower is causal. Errors: ValueError for an impossible start_layer_text, shape or path.
    """
    start = first_layer(start_layer_text, tower.layers)
    index = list(range(len(captions))) if caption_of is None else list(caption_of)
    if image_features.ndim != 2 or len(image_features) != len(index):
        raise InputError(f"expected {len(index)} image features (pairs, features), got {tuple(image_features.shape)}")
    if path == "replay" and not tower.causal:
        raise InputError("the replay path needs a causal text tower read at its end-of-text token; use path='full'")
    image_features = image_features.to(tower.device, tower.working_dtype)
    ids, pooled = tower.batch(captions)
    pairs = torch.tensor(index, dtype=torch.long, device=tower.device)
    with torch.no_grad():
        if path == "full" or not tower.causal:
            return _full(tower, ids, pooled, pairs, image_features, start)
        return _replay(tower, ids, pooled, pairs, image_features, start, shared_tokens(captions))


def text_features(tower: TextTower, captions: Sequence[EncodedCaption]) -> Tensor:
    """Unit text features (captions, features), fp32, without attributions: for references."""
    shared = shared_tokens(captions) if tower.causal else 0
    ids, pooled = tower.batch(captions)
    with torch.no_grad():
        *_, (x, _, _) = _layers(tower, ids, shared)
        _, ln_final, projection = tower.float_part(tower.layers)
        return tower.finish(x[torch.arange(len(x)), pooled - shared].to(tower.working_dtype), ln_final, projection)


def shared_tokens(captions: Sequence[EncodedCaption]) -> int:
    """How many leading tokens, start and template, all captions have in common: these need computing once."""
    leading = [next((i for i, unit in enumerate(c.unit_of) if unit >= 0), len(c.ids)) for c in captions]
    count = min(*leading, *(len(c.ids) - 1 for c in captions))  # never the end token
    return count if all(c.ids[:count] == captions[0].ids[:count] for c in captions) else 0


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Each (..., heads, tokens, head width) -> the same. Queries carry their scale already."""
    return F.scaled_dot_product_attention(q, k, v, None if mask is None else mask.to(q.dtype), scale=1.0)


def _layers(tower: TextTower, ids: Tensor, shared: int) -> Iterator[tuple[Tensor, Tensor | None, Tensor | None]]:
    """Every layer's input, then the last one's output: tokens from `shared` on, (C, T - shared, width).

    With each layer's keys and values of all tokens, (C, heads, T, head width). What follows a layer is computed when
    it is asked for. shared > 0 needs a causal mask.
    """
    x, mask = tower.embed(ids)
    head, x = x[:1, :shared], x[:, shared:]
    for block in tower.blocks:
        q, k, v = heads_of(block, x)
        if shared:
            head_q, head_k, head_v = heads_of(block, head)
            k = torch.cat([head_k.expand(len(x), -1, -1, -1), k], dim=-2)
            v = torch.cat([head_v.expand(len(x), -1, -1, -1), v], dim=-2)
        yield x, k, v
        x = after_attention(block, x, _attend(q, k, v, mask if mask is None else mask[..., shared:, :]))
        if shared:
            head = after_attention(block, head, _attend(head_q, head_k, head_v, mask[:shared, :shared]))
    yield x, None, None


def _replay(
    tower: TextTower, ids: Tensor, pooled: Tensor, pairs: Tensor, image_features: Tensor, start: int, shared: int
) -> Attribution:
    # The last layer's output is never asked for.
    states = list(islice(_layers(tower, ids, shared), start, tower.layers))
    x = states[0][0]
    # (C, width): the end-of-text token before the explained layers
    end = x[torch.arange(len(x)), pooled - shared].to(tower.working_dtype)

    blocks, ln_final, projection = tower.float_part(start)
    # Earlier tokens alone, then the end-of-text token itself, whose own key and value are part of the replay.
    unseen = torch.arange(ids.shape[1], device=ids.device) >= pooled[pairs, None]
    unseen = F.pad(unseen, (0, 1))[:, None, None]  # (P, 1, 1, T + 1)
    maps = []
    with torch.enable_grad():
        x = end[pairs, None]  # (P, 1, width)
        for block, (_, k, v) in zip(blocks, states, strict=True):
            q, own_k, own_v = heads_of(block, x)  # (P, heads, 1, head width)
            k, v = (torch.cat([t[pairs].to(x.dtype), own], dim=-2) for t, own in ((k, own_k), (v, own_v)))
            logits = (q @ k.transpose(-1, -2)).masked_fill(unseen, float("-inf"))
            attention = logits.softmax(-1)  # (P, heads, 1, T + 1)
            maps.append(attention if attention.requires_grad else attention.requires_grad_())
            x = after_attention(block, x, attention @ v)
        text_features = tower.finish(x[:, 0], ln_final, projection)
        cosine = (text_features * image_features).sum(-1)
        gradients = torch.autograd.grad(cosine.sum(), maps)
    rows = [(g * a.detach())[:, :, 0, :-1].mean(1) for g, a in zip(gradients, maps, strict=True)]
    return Attribution(torch.stack(rows, dim=1), text_features.detach(), cosine.detach())


def _full(
    tower: TextTower, ids: Tensor, pooled: Tensor, pairs: Tensor, image_features: Tensor, start: int
) -> Attribution:
    maps, gradients, text_features, cosine = attention_gradients(tower, ids, pooled, pairs, image_features, start)
    rows, at = torch.arange(len(pairs), device=ids.device), pooled[pairs]
    rows_of = [(g[rows, :, at] * a[rows, :, at]).mean(1) for g, a in zip(gradients, maps, strict=True)]
    per_layer = torch.stack(rows_of, dim=1)
    return Attribution(per_layer[..., : ids.shape[1]], text_features, cosine)


def attention_gradients(
    tower: TextTower, ids: Tensor, pooled: Tensor, pairs: Tensor, image_features: Tensor, start: int
) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
    """The attention maps from layer `start` on and the cosine's gradients by them, each (P, heads, T, T), a layer each.

    Then the unit text features (P, features) and the cosine (P,). ids: (C, T); pooled: (C,); pairs: (P,) into both.
    """
    with torch.no_grad():
        x, _, _ = next(islice(_layers(tower, ids, 0), start, None))
        _, mask = tower.embed(ids)
    blocks, ln_final, projection = tower.float_part(start)
    x = x[pairs].to(tower.working_dtype)  # (P, T, width)
    if mask is not None:
        mask = mask.to(x.dtype)[pairs] if mask.ndim == 4 else mask.to(x.dtype)
    rows = torch.arange(len(x), device=x.device)
    maps = []
    with torch.enable_grad():
        for block in blocks:
            q, k, v = heads_of(block, x)
            logits = q @ k.transpose(-1, -2)
            attention = (logits if mask is None else logits + mask).softmax(-1)  # (P, heads, T, T)
            maps.append(attention if attention.requires_grad else attention.requires_grad_())
            x = after_attention(block, x, attention @ v)
        text_features = tower.finish(x[rows, pooled[pairs]], ln_final, projection)
        cosine = (text_features * image_features).sum(-1)
        gradients = torch.autograd.grad(cosine.sum(), maps)
    return [a.detach() for a in maps], list(gradients), text_features.detach(), cosine.detach()
