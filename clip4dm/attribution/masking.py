"""Random masks: how much higher the cosine is, on average, where a word is kept than where it is left out.

    R[j] = mean of s over masks that keep word j - mean of s over masks that leave it out

Each word is kept in every other mask at random, in pairs of a mask and its opposite, so that every word is kept in half
of them. This is the word score of Conformal CLIPScore (Gomes et al., Findings of ACL 2025, arXiv 2504.01225), which
masks the text's tokens and the picture's patches 100 times a pair; here whole words are left out. What a word does with
half of the others gone is averaged, as in the Banzhaf value of games.

The picture stays as it is, unless there are image_masks. Drawn independently of the text's, they average to a mean
picture: with v_i the unit feature of copy i of N, each with random patches blanked (`towers.image.random_masks`),

    mean over i of R[j] of v_i = R[j] of the mean of all v_i

since R[j] = <phi_j, v> - m |phi_j| (coalitions.py) is of first degree in v. N copies cost N image passes and no text
pass. The same holds of every method here but gae, which has a ReLU. Attributions alone are of the copies, and a little
smaller for it: the mean of unit features is shorter than 1. The cosine, and with it CLIPScore and F-CLIPScore's factor
1 - s, stays that of the whole picture.
"""

from __future__ import annotations

from random import Random

import torch

from clip4dm.attribution.coalitions import Plan, units_of
from clip4dm.captions.words import EncodedCaption

MASKS = 100


def random_masks(caption: EncodedCaption) -> Plan:
    """The whole caption, which counts for nothing, and MASKS masks, a function of the caption's tokens.

    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> plan = random_masks(caption)
    >>> len(plan.coalitions), plan.weights.shape, plan.coalitions == random_masks(caption).coalitions
    (101, torch.Size([2, 101]), True)
    """
    units, random = units_of(caption), Random(f"masks {caption.ids}")
    whole = frozenset(units)
    masks = []
    for _ in range(MASKS // 2):
        kept = frozenset(unit for unit in units if random.random() < 0.5)
        masks += [kept, whole - kept]
    signs = [[0.0, *(1.0 if unit in kept else -1.0 for kept in masks)] for unit in units]
    weights = torch.tensor(signs, dtype=torch.float64).reshape(len(units), 1 + MASKS) / (MASKS // 2)
    return Plan(units, (whole, *masks), weights)
