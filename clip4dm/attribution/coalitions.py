"""Attributions from captions that keep only some of their words: nothing is linearised, no gradient is taken.

A plan reads a caption's coalitions S of words, with text features t(S), and says with which weight W[j, S] word j takes
each of their cosines with the picture, whose feature is v:

    R[j] = sum over S of W[j, S] <t(S), v> = <phi_j, v>        phi_j = sum over S of W[j, S] t(S)

phi_j is the direction in which word j moves the caption's feature; no picture is needed for it. A word that moves it
far and not towards the picture is more suspect than one that hardly moves it. With a margin m a word's direction must
have at least cosine m with the picture:

    R[j] = <phi_j, v> - m |phi_j|

m is fitted to a model on labelled pairs of its own, as an epsilon is (misc/fit_margin.py); 0 leaves R as it is.
Words that are not of a coalition are left out, or another word stands where they stood (a plan's `instead`).
A text pass a coalition, without gradients, batched at true length; captions that several pictures share are read once.
Differences of nearly equal features: a text tower in bf16 or fp16 is run in fp32 here, with its rounded weights.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clip4dm.attribution.batch import Attribution, Batch
from clip4dm.captions.words import EncodedCaption
from clip4dm.files.streams import batches
from clip4dm.towers.text import TextTower

CAPTIONS_AT_ONCE = 256


@dataclass(frozen=True)
class Plan:
    """What to read of a caption, and what to make of it.

    units: those of the caption that have tokens, in order, n of them. coalitions: S sets of units; the first is all of
    them. weights: (n, S), W of the page's equation, float64. instead: the token ids of what stands where a unit is
    left out; nothing, unless said.

    >>> both, second, first = frozenset({0, 1}), frozenset({1}), frozenset({0})
    >>> Plan((0, 1), (both, second, first), torch.tensor([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]])).weights.shape
    torch.Size([2, 3])
    """

    units: tuple[int, ...]
    coalitions: tuple[frozenset[int], ...]
    weights: Tensor
    instead: tuple[int, ...] = ()


def attribute_coalitions(
    tower: TextTower,
    captions: Sequence[EncodedCaption],
    batch: Batch,
    plan_of: Callable[[EncodedCaption], Plan],
    margin: float = 0.0,
) -> Attribution:
    """R of the page's equation: (P, 1, T), one row for the whole tower; 0 but at words. In units of the cosine.

    captions: the batch's, as they went into it. All tokens of a word carry the word's value, so that their mean is it.
    Sums of differences of cosines, they are as exact as these are: about 1e-7 in fp32. Errors: none of its own.

    >>> from open_clip.transformer import TextTransformer
    >>> from clip4dm.attribution.occlusion import left_out
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> batch = Batch.of(tower, [caption], torch.eye(2, 4), [0, 0])
    >>> attribute_coalitions(tower, [caption], batch, left_out).per_layer.shape
    torch.Size([2, 1, 4])
    """
    plans = [plan_of(caption) for caption in captions]
    read = [
        keep_units(caption, kept, plan.instead, tower.context)
        for caption, plan in zip(captions, plans, strict=True)
        for kept in plan.coalitions
    ]
    features = torch.split(encode_all(tower, read), [len(plan.coalitions) for plan in plans])
    directions = [plan.weights.to(own) @ own for plan, own in zip(plans, features, strict=True)]  # (n, features) each
    margins = [margin * found.norm(dim=-1) for found in directions]
    places = [_places(caption, plan) for caption, plan in zip(captions, plans, strict=True)]
    per_layer = batch.image_features.new_zeros(len(batch.pairs), 1, batch.ids.shape[1])
    cosine = batch.image_features.new_zeros(len(batch.pairs))
    for pair, which in enumerate(batch.pairs.tolist()):
        image = batch.image_features[pair]
        cosine[pair] = features[which][0] @ image
        found = directions[which] @ image - margins[which]  # (n,)
        tokens, numbers = places[which]
        per_layer[pair, 0, tokens] = found[numbers]
    own = torch.stack([found[0] for found in features])
    return Attribution(per_layer, own[batch.pairs], cosine)


def _places(caption: EncodedCaption, plan: Plan) -> tuple[list[int], list[int]]:
    """The tokens of words, and for each the number of its unit in the plan."""
    tokens = [token for token, unit in enumerate(caption.unit_of) if unit >= 0]
    return tokens, [plan.units.index(caption.unit_of[token]) for token in tokens]


def units_of(caption: EncodedCaption) -> tuple[int, ...]:
    """The units that have tokens, in order.

    >>> units_of(EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False))
    (0, 1)
    """
    return tuple(sorted(set(caption.unit_of) - {-1}))


def keep_units(
    caption: EncodedCaption, kept: Collection[int], instead: Sequence[int] = (), context: int | None = None
) -> EncodedCaption:
    """The caption's tokens with those units' alone, and `instead` where another one stood.

    The rest reads as the tokenizer would have it in a shorter caption, but that words which lay beyond the context stay
    there. Where ids fill the whole context, the last token, of the padding or the end, fills what becomes free.
    context: of the tower; what does not fit into it falls away before the last token.

    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> keep_units(caption, {1}).ids, keep_units(caption, ()).ids, keep_units(caption, {1}, instead=(7, 8)).ids
    ((18, 6, 19), (18, 19), (18, 7, 8, 6, 19))
    """
    ids: list[int] = []
    owners: list[int] = []
    before = -1
    for token, owner in zip(caption.ids, caption.unit_of, strict=True):
        if owner == -1 or owner in kept:
            ids.append(token)
            owners.append(owner)
        elif owner != before:
            ids.extend(instead)
            owners.extend([owner] * len(instead))
        before = owner
    room = len(caption.ids) if caption.padded else context
    if room is not None and len(ids) > room:
        ids[room - 1 :], owners[room - 1 :] = ids[-1:], owners[-1:]
    free = len(caption.ids) - len(ids) if caption.padded else 0
    return replace(caption, ids=(*ids, *ids[-1:] * free), unit_of=(*owners, *[-1] * free))


def encode_all(tower: TextTower, captions: Sequence[EncodedCaption]) -> Tensor:
    """Unit features (n, features) in the captions' order; equal captions are read once, the longest go first, so that
    a batch is about of one length.

    >>> from open_clip.transformer import TextTransformer
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> encode_all(tower, [caption, keep_units(caption, {1}), caption]).shape
    torch.Size([3, 4])
    """
    distinct = {caption.ids: caption for caption in captions}
    order = sorted(distinct.values(), key=lambda caption: -len(caption.ids))
    parts = [tower.encode(part, exact=True) for part in batches(order, CAPTIONS_AT_ONCE)]
    place = {caption.ids: number for number, caption in enumerate(order)}
    rows = torch.tensor([place[caption.ids] for caption in captions], device=tower.device)
    return torch.cat(parts)[rows]
