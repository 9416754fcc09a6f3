"""Occlusion: a word's attribution is what the cosine loses when the word is left out of the caption.

    R[j] = s(caption) - s(caption without the word of token j)

Positive where the word helps, negative where the caption fits better without it. Nothing is linearised. A text pass a
word and one more, without gradients, batched at true length; the image is encoded once, captions that several images
share are read once, too. Zeiler and Fergus 2014, for words: Li et al. 2016 (arXiv 1612.08220).
"""

from __future__ import annotations

import torch

from clip4dm.attribution.coalitions import Plan, units_of
from clip4dm.captions.words import EncodedCaption


def left_out(caption: EncodedCaption) -> Plan:
    """The whole caption, and the caption without each of its words.

    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> plan = left_out(caption)
    >>> [sorted(kept) for kept in plan.coalitions], plan.weights.tolist()
    ([[0, 1], [1], [0]], [[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]])
    """
    units = units_of(caption)
    whole = frozenset(units)
    weights = torch.cat([torch.ones(len(units), 1), 0.0 - torch.eye(len(units))], dim=1).double()
    return Plan(units, (whole, *(whole - {unit} for unit in units)), weights)
