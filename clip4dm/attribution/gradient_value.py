"""Gradient times value: how the cosine would change, to first order, were a token's value not read by anybody.

    R[l][j] = mean over heads of <v_j, ds/dv_j>          with v_j the value of token j in text layer l

Summed over the rows that read, gradient times attention is gradient times value, since every row r reads sum over j of
A[r, j] v_j: sum over r of A[r, j] ds/dA[r, j] = <v_j, ds/dv_j>. So this is the paper's R summed over all query rows
instead of the end-of-text row alone: what earlier layers have carried from a word to later tokens is counted too.

One forward and one backward pass through the text tower, at the captions' true length. In causal towers the template's
tokens come first and no caption token changes them: they are computed once, without gradients.
"""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor

from clip4dm.attribution.batch import Attribution, Batch
from clip4dm.towers.blocks import attend
from clip4dm.towers.text import TextTower


def attribute_gradient_value(tower: TextTower, batch: Batch, start: int, shared: int = 0) -> Attribution:
    """Attributions of a batch from text layer `start` on: (P, layers from start on, T), in units of the cosine.

    shared: how many leading tokens all captions have in common (`towers.text.shared_tokens`). Their columns are 0: they
    are the template's, and no word's. More than 0 needs a causal tower. Errors: none of its own.

    >>> from open_clip.transformer import TextTransformer
    >>> from clip4dm.captions.words import EncodedCaption
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> batch = Batch.of(tower, [caption], torch.eye(1, 4))
    >>> whole, own = attribute_gradient_value(tower, batch, 1), attribute_gradient_value(tower, batch, 1, shared=1)
    >>> whole.per_layer.shape, torch.allclose(whole.per_layer[..., 1:], own.per_layer[..., 1:], atol=1e-5)
    (torch.Size([1, 2, 4]), True)
    """
    with torch.no_grad():
        head = list(islice(tower.states(batch.ids[:1, :shared]), start, tower.layers)) if shared else []
        state = next(islice(tower.states(batch.ids, shared), start, None))
        _, mask = tower.embed(batch.ids)
    last, dtype = tower.last_layers(start), tower.working_dtype
    x = state.x[batch.pairs].to(dtype)  # (P, T - shared, width)
    row = (torch.arange(len(x), device=x.device), batch.row - shared)
    if mask is not None:
        mask = (mask[batch.pairs] if mask.ndim == 4 else mask)[..., shared:, :]
    values: list[Tensor] = []
    with torch.enable_grad():
        for number, block in enumerate(last.blocks):
            if number < len(last.blocks) - 1:
                q, k, v = block.heads(x)  # (P, heads, T - shared, head width)
            else:  # of the last layer nothing is read but the feature's row
                read = x[row][:, None]
                q, k, v = block.heads(x, queried=read)
                x, mask = read, _mask_of_rows(mask, batch.row - shared)
            values.append(v if v.requires_grad else v.requires_grad_())
            v = values[-1]
            if shared:
                k, v = (
                    torch.cat([first.to(dtype).expand(len(x), -1, -1, -1), own], dim=-2)
                    for first, own in ((head[number].k, k), (head[number].v, v))
                )
            x = block.rest(x, attend(q, k, v, mask))
        text_features = last.feature(x[:, 0])
        cosine = (text_features * batch.image_features).sum(-1)
        gradients = torch.autograd.grad(cosine.sum(), values)
    layers = [(v.detach() * g).sum(-1).mean(1) for v, g in zip(values, gradients, strict=True)]  # (P, T - shared) each
    per_layer = torch.nn.functional.pad(torch.stack(layers, dim=1), (shared, 0))
    return Attribution(per_layer[..., : batch.ids.shape[1]], text_features.detach(), cosine.detach())


def _mask_of_rows(mask: Tensor | None, rows: Tensor) -> Tensor | None:
    """A mask's rows (P,), one of each pair: (tokens, keys) or (P, heads, tokens, keys) -> (P, 1 or heads, 1, keys)."""
    if mask is None:
        return None
    if mask.ndim == 2:
        return mask[rows][:, None, None]
    return mask[torch.arange(len(rows), device=rows.device), :, rows][:, :, None]
