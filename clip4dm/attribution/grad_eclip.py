"""Grad-ECLIP's text side, signed: what the end-of-text row reads, weighed by a softened similarity, not by attention.

In text layer l the row r where the feature is read puts out o = sum over i of A[r, i] v_i, in all heads' channels c:

    R[l][i]  = lambda_i * sum over c of w_c v_ic        w_c = ds/do_c, the channel's weight
    lambda_i = (cos(q_r, k_i) - lowest) / (highest - lowest)        over the tokens that r sees, all heads as one vector

Since ds/dA[r, i] of a head is the sum of w_c v_ic over its channels, this is R of `plain`, summed over heads, with one
lambda of all heads in the place of attention, which is nearly 0 for most tokens. The least similar token always has 0.

Source: Zhao et al., Gradient-based Visual Explanation for Transformer-based CLIP, ICML 2024 (longer: arXiv 2502.18816),
and the text notebook of the authors' repository. It differentiates the cosine by the attention's output before its
projection, takes q and k before heads are split (another script there projects both first), and sums the last 8 of the
12 text layers of ViT-B/16. Ours differs:

    no ReLU after the sum over layers, and no division by the sum over tokens: negative attributions are the signal here
    attention with the tower's own heads: theirs runs the explained layers with one head as wide as the tower, and so
        explains another text feature than the model's
    lowest and highest over what r sees: theirs counts the padding behind the end too, which no feature depends on
    the mean over layers, not the sum: a constant factor

Causal towers run the end-of-text token's way alone again, as in `replay`; all others, one forward and backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from clip4dm.attribution.batch import Attribution, Batch
from clip4dm.towers.blocks import attend
from clip4dm.towers.text import State, TextTower


def attribute_grad_eclip(tower: TextTower, batch: Batch, start: int, shared: int = 0) -> Attribution:
    """Attributions of a batch from text layer `start` on: (P, layers from start on, T), in units of the cosine.

    shared: how many leading tokens all captions have in common (`towers.text.shared_tokens`); computed once. More than
    0 needs a causal tower. There the end-of-text token, which is no word's, has 0. Errors: none of its own.

    >>> from open_clip.transformer import TextTransformer
    >>> from clip4dm.captions.words import EncodedCaption
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> attribute_grad_eclip(tower, Batch.of(tower, [caption], torch.eye(1, 4)), 1).per_layer.shape
    torch.Size([1, 2, 4])
    """
    rows = _end_alone(tower, batch, start, shared) if tower.causal else _all_tokens(tower, batch, start)
    last, pair, x = tower.last_layers(start), torch.arange(len(batch.pairs), device=batch.ids.device), rows.x
    outputs: list[Tensor] = []
    read: list[tuple[Tensor, Tensor]] = []  # of each layer: lambda (P, keys), values (P, heads, keys, head width)
    with torch.enable_grad():
        for number, block in enumerate(last.blocks):
            q, k, v = block.heads(x)  # (P, heads, rows, head width)
            if rows.earlier:
                first = rows.earlier[number]
                k = torch.cat([first.k[batch.pairs].to(k.dtype), k], dim=-2)
                v = torch.cat([first.v[batch.pairs].to(v.dtype), v], dim=-2)
            mixed = attend(q, k, v, rows.mask)
            outputs.append(mixed if mixed.requires_grad else mixed.requires_grad_())
            read.append((spatial_weights(q[pair, :, rows.at].detach(), k.detach(), rows.seen), v.detach()))
            x = block.rest(x, mixed)
        text_features = last.feature(x[pair, rows.at])
        cosine = (text_features * batch.image_features).sum(-1)
        gradients = torch.autograd.grad(cosine.sum(), outputs)
    layers = [
        weights * torch.einsum("phc,phtc->pt", gradient[pair, :, rows.at], v)
        for gradient, (weights, v) in zip(gradients, read, strict=True)
    ]
    per_layer = torch.stack(layers, dim=1)  # (P, layers, T), and a class token or the replayed end token behind
    return Attribution(per_layer[..., : batch.ids.shape[1]], text_features.detach(), cosine.detach())


def spatial_weights(q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
    """lambda: (P, keys), 0 for the least and 1 for the most similar token that is seen, 0 for those that are not.

    q: (P, heads, head width), k: (P, heads, keys, head width), seen: (P, keys). 0 too where all are equally similar.

    >>> q, k = torch.tensor([[[1.0], [0.0]]]), torch.tensor([[[[2.0], [0.0], [3.0]], [[0.0], [5.0], [4.0]]]])  # 2 heads
    >>> spatial_weights(q, k, torch.tensor([[True, True, True]]))  # cosines 1, 0, 3/5
    tensor([[1.0000, 0.0000, 0.6000]])
    """
    q, k = F.normalize(q.flatten(1), dim=-1), F.normalize(k.transpose(1, 2).flatten(2), dim=-1)
    cosine = torch.einsum("pc,ptc->pt", q, k)
    lowest = cosine.masked_fill(~seen, float("inf")).amin(-1, keepdim=True)
    highest = cosine.masked_fill(~seen, float("-inf")).amax(-1, keepdim=True)
    spread = (highest - lowest).clamp(min=torch.finfo(cosine.dtype).tiny)
    return ((cosine - lowest) / spread).masked_fill(~seen, 0)


@dataclass(frozen=True)
class _Rows:
    """What runs through the explained layers with gradients: x (P, rows, width); at (P,), the row that is read.

    earlier: the keys and values of the layers, of tokens that stand before those rows; empty where x has all tokens.
    mask: added to the logits. seen: (P, keys) which the read row sees.
    """

    x: Tensor
    at: Tensor
    earlier: Sequence[State]
    mask: Tensor | None
    seen: Tensor


@torch.no_grad()
def _end_alone(tower: TextTower, batch: Batch, start: int, shared: int) -> _Rows:
    """Of a causal tower: the end-of-text token, on which no other depends."""
    states = list(islice(tower.states(batch.ids, shared), start, tower.layers))
    captions = torch.arange(len(batch.ids), device=batch.ids.device)
    end = states[0].x[captions, batch.pooled - shared].to(tower.working_dtype)
    seen = torch.arange(batch.ids.shape[1], device=batch.ids.device) < batch.row[:, None]
    seen = F.pad(seen, (0, 1), value=True)  # itself, last
    mask = torch.zeros_like(seen, dtype=end.dtype).masked_fill(~seen, float("-inf"))
    return _Rows(end[batch.pairs, None], torch.zeros_like(batch.pairs), states, mask[:, None, None], seen)


@torch.no_grad()
def _all_tokens(tower: TextTower, batch: Batch, start: int) -> _Rows:
    """Of any other tower: all tokens, a class token among them if there is one."""
    x = next(islice(tower.states(batch.ids), start, None)).x[batch.pairs].to(tower.working_dtype)
    _, mask = tower.embed(batch.ids)
    if mask is None:
        return _Rows(x, batch.row, (), None, x.new_ones(x.shape[:2], dtype=torch.bool))
    mask = mask[batch.pairs] if mask.ndim == 4 else mask.expand(len(x), 1, -1, -1)  # (P, heads or 1, rows, keys)
    pair = torch.arange(len(x), device=x.device)
    return _Rows(x, batch.row, (), mask, mask[pair, 0, batch.row] > float("-inf"))
