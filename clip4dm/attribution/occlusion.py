"""Occlusion: a word's attribution is what the cosine loses when the word is left out of the caption.

    R[j] = s(caption) - s(caption without the word of token j)

Positive where the word helps, negative where the caption fits better without it. Nothing is linearised. A text pass a
word and one more, without gradients, batched at true length; the image is encoded once, captions that several images
share are read once, too. Zeiler and Fergus 2014, for words: Li et al. 2016 (arXiv 1612.08220).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from clip4dm.attribution.batch import Attribution
from clip4dm.captions.words import EncodedCaption
from clip4dm.files.streams import batches
from clip4dm.towers.text import TextTower

CAPTIONS_AT_ONCE = 256


def attribute_occlusion(
    tower: TextTower, captions: Sequence[EncodedCaption], image_features: Tensor, caption_of: Sequence[int]
) -> Attribution:
    """Attributions of pairs. captions: the distinct ones. image_features: (P, features). caption_of: of each pair.

    per_layer has one layer; all tokens of a word carry the word's value, so that their mean is it.
    """
    shorter = [without_each_unit(caption) for caption in captions]
    every = [
        variant for caption, found in zip(captions, shorter, strict=True) for variant in (caption, *found.values())
    ]
    features = _encode(tower, every)  # (captions and their variants, features)
    first = torch.tensor([0, *(1 + len(found) for found in shorter)], device=tower.device).cumsum(0)
    images = image_features.to(tower.device, tower.working_dtype)
    per_layer = images.new_zeros(len(caption_of), 1, max(len(caption.ids) for caption in captions))
    cosines = []
    for pair, which in enumerate(caption_of):
        scores = features[first[which] : first[which + 1]] @ images[pair]  # the caption's own, then without each unit
        cosines.append(scores[0])
        lost = dict(zip(shorter[which], (scores[0] - scores[1:]).tolist(), strict=True))
        values = [lost.get(unit, 0.0) for unit in captions[which].unit_of]
        per_layer[pair, 0, : len(values)] = torch.tensor(values)
    own = features[first[:-1]][torch.tensor(list(caption_of), device=tower.device)]
    return Attribution(per_layer, own, torch.stack(cosines))


def without_each_unit(caption: EncodedCaption) -> dict[int, EncodedCaption]:
    """For each unit with tokens of its own, the caption without these tokens."""
    padding = caption.ids[-1:] if caption.padded else ()
    found = {}
    for unit in sorted(set(caption.unit_of) - {-1}):
        kept = [i for i, owner in enumerate(caption.unit_of) if owner != unit]
        ids = tuple(caption.ids[i] for i in kept)
        owners = tuple(caption.unit_of[i] for i in kept)
        missing = len(caption.ids) - len(ids) if caption.padded else 0
        found[unit] = replace(caption, ids=ids + padding * missing, unit_of=owners + (-1,) * missing)
    return found


def _encode(tower: TextTower, captions: Sequence[EncodedCaption]) -> Tensor:
    """Unit features in the captions' order; the longest go first, so that a batch is about of one length."""
    order = sorted(range(len(captions)), key=lambda i: -len(captions[i].ids))
    parts = [tower.encode([captions[i] for i in part]) for part in batches(order, CAPTIONS_AT_ONCE)]
    place = torch.empty(len(order), dtype=torch.long, device=tower.device)
    place[torch.tensor(order, device=tower.device)] = torch.arange(len(order), device=tower.device)
    return torch.cat(parts)[place]
