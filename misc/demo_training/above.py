"""Which of two things stands above the other, asked of the image tower by itself.

A caption that says "a star above a circle" teaches nothing about that order as long as neither tower has any notion of
it: whichever tower had one would have nothing to agree with, and training stays where it is. So for some steps a linear
layer has to read from the picture's feature what stands above and what below. Once the image tower can say, the
contrastive loss alone teaches the text tower to ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from clip4dm.benchmarks.shapes.lexicon import COLOURS, SHAPES
from clip4dm.benchmarks.shapes.scenes import sample_scene
from clip4dm.benchmarks.shapes.standing import relation_of

CHOICES = (len(SHAPES), len(COLOURS)) * 2  # shape and colour of the thing above, then of the thing below
SHARPNESS = 10.0  # a unit feature of 128 numbers is small


def above_head(features: int):
    """The linear layer, as a module of torch. features: of the model."""
    import torch

    return torch.nn.Linear(features, sum(CHOICES))


def above_loss(head, image_features, seeds: list[int]):
    """Mean cross-entropy of the four answers, over the scenes with one of two things above the other; 0 without any.

    image_features: (n, features) of unit length, of the scenes with these seeds.
    """
    import torch
    from torch.nn.functional import cross_entropy

    answers = {row: answer for row, answer in enumerate(map(_answer, seeds)) if answer}
    if not answers:
        return image_features.new_zeros(())
    scores = head(SHARPNESS * image_features[list(answers)]).split(CHOICES, dim=1)
    right = torch.tensor(list(answers.values())).T
    return sum(cross_entropy(one, truth) for one, truth in zip(scores, right, strict=True)) / len(CHOICES)


@cache
def is_stacked(seed: int) -> bool:
    """Whether in a seed's scene one of two things stands above the other."""
    scene = sample_scene(seed)
    return scene.sort == "two" and relation_of(*scene.things) in ("above", "below")


@cache
def of_sort(scenes: int, stacked: bool | None) -> Sequence[int]:
    """Of so many scenes, from the first on, the seeds of those that are stacked, or are not; None: of all."""
    return range(scenes) if stacked is None else [seed for seed in range(scenes) if is_stacked(seed) == stacked]


@cache
def _answer(seed: int) -> tuple[int, ...] | None:
    """Places of the upper and the lower thing's shape and colour in the lexicon; None where there is no such order."""
    if not is_stacked(seed):
        return None
    upper, lower = sorted(sample_scene(seed).things, key=lambda thing: thing.y)
    shapes, colours = list(SHAPES), list(COLOURS)
    return tuple(
        place for thing in (upper, lower) for place in (shapes.index(thing.shape), colours.index(thing.colour))
    )
