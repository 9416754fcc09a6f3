"""The fast path, exact, for causal towers read at the end-of-text token: nothing depends on that token but itself.

One pass without gradients gives all other tokens' keys and values, for each distinct caption once. Then only the
end-of-text token's way through the explained layers is run again, with gradients, for each pair. The numbers are those
of `plain`, to 1e-12 in float64 and in fp32 to what docs/numbers.md promises.
"""

from __future__ import annotations

from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from clip4dm.attribution.batch import Attribution, Batch
from clip4dm.scores import relevance
from clip4dm.towers.text import TextTower


def attribute_by_replay(tower: TextTower, batch: Batch, start: int, shared: int = 0) -> Attribution:
    """Attributions of a batch from text layer `start` on.

    shared: how many leading tokens all captions have in common (`towers.text.shared_tokens`); computed once.
    The end-of-text token, which is no word's, has 0 here. Errors: none of its own.

    >>> from open_clip.transformer import TextTransformer
    >>> from clip4dm.attribution.plain import attribute_plain
    >>> from clip4dm.captions.words import EncodedCaption
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> batch = Batch.of(tower, [caption], torch.eye(1, 4))
    >>> fast, plain = attribute_by_replay(tower, batch, 1).per_layer, attribute_plain(tower, batch, 1).per_layer
    >>> fast.shape, torch.allclose(fast[..., :-1], plain[..., :-1], atol=1e-5)
    (torch.Size([1, 2, 4]), True)
    """
    with torch.no_grad():
        states = list(islice(tower.states(batch.ids, shared), start, tower.layers))
    captions = torch.arange(len(batch.ids), device=batch.ids.device)
    end = states[0].x[captions, batch.pooled - shared].to(tower.working_dtype)  # (C, width): what is replayed

    last = tower.last_layers(start)
    # Earlier tokens alone, then the end-of-text token itself, whose own key and value are part of the replay.
    unseen = torch.arange(batch.ids.shape[1], device=batch.ids.device) >= batch.row[:, None]
    unseen = F.pad(unseen, (0, 1))[:, None, None]  # (P, 1, 1, T + 1)
    attention: list[Tensor] = []
    with torch.enable_grad():
        x = end[batch.pairs, None]  # (P, 1, width)
        for block, state in zip(last.blocks, states, strict=True):
            q, own_k, own_v = block.heads(x)  # (P, heads, 1, head width)
            k, v = (
                torch.cat([earlier[batch.pairs].to(x.dtype), own], dim=-2)
                for earlier, own in ((state.k, own_k), (state.v, own_v))
            )
            a = (q @ k.transpose(-1, -2)).masked_fill(unseen, float("-inf")).softmax(-1)  # (P, heads, 1, T + 1)
            attention.append(a if a.requires_grad else a.requires_grad_())
            x = block.rest(x, a @ v)
        text_features = last.feature(x[:, 0])
        cosine = (text_features * batch.image_features).sum(-1)
        gradients = torch.autograd.grad(cosine.sum(), attention)
    layers = [relevance(a.detach(), g)[:, 0, :-1] for a, g in zip(attention, gradients, strict=True)]
    return Attribution(torch.stack(layers, dim=1), text_features.detach(), cosine.detach())
