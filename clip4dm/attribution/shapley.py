"""Shapley values of a caption's words: what a word adds to the cosine, on average over all orders to say the words in.

    R[j] = mean over orders of s(words before j, and j) - s(words before j)

Occlusion asks what is lost when a word goes and all others stay, so that two words which say the same ("a dog, a
puppy") cover for each other; here each has its share. The sum over words is s(caption) - s(template alone), exactly,
for any number of orders. Castro et al. 2009 sample orders; each comes with its reverse here, which halves the noise.
"""

from __future__ import annotations

from random import Random

import torch

from clip4dm.attribution.coalitions import Plan, units_of
from clip4dm.captions.words import EncodedCaption

ORDERS = 8


def random_orders(caption: EncodedCaption, orders: int = ORDERS) -> Plan:
    """The coalitions of words along `orders` orders (an even number), a function of the caption's tokens.

    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> plan = random_orders(caption, orders=2)  # both orders of two words: exact
    >>> sorted(zip([sorted(kept) for kept in plan.coalitions], plan.weights.T.tolist()))
    [([], [-0.5, -0.5]), ([0], [0.5, -0.5]), ([0, 1], [0.5, 0.5]), ([1], [-0.5, 0.5])]
    """
    units, random = units_of(caption), Random(f"orders {caption.ids}")
    row = {unit: number for number, unit in enumerate(units)}
    column: dict[frozenset[int], int] = {frozenset(units): 0}
    weights = torch.zeros(len(units), 2 + orders * max(0, len(units) - 1), dtype=torch.float64)
    for _ in range(orders // 2):
        order = sorted(units, key=lambda _: random.random())
        for one in (order, order[::-1]):
            before: frozenset[int] = frozenset()
            for unit in one:
                after = before | {unit}
                weights[row[unit], column.setdefault(after, len(column))] += 1 / orders
                weights[row[unit], column.setdefault(before, len(column))] -= 1 / orders
                before = after
    return Plan(units, tuple(column), weights[:, : len(column)])
