"""A seed -> a scene: things on a background, with everything that is true of it.

Lengths are fractions of the picture's side; x runs to the right, y downwards, from the top left corner.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from clip4dm.benchmarks.shapes.lexicon import BACKGROUNDS, COLOURS, RELATIONS, SHAPES, TEXTURES

# A thing's radius: small below, large above. Of one or two things none is drawn within 0.005 of it; several alike may
# lie on both sides of it, in 3 of 200 scenes of several.
SMALL_BELOW = 0.135
SORTS = {"one": 0.35, "several": 0.20, "two": 0.45}  # how often a scene holds one thing, equal things, or a pair
TEXTURE_WEIGHTS = {"plain": 0.55, "striped": 0.15, "dotted": 0.15, "hollow": 0.15}

T = TypeVar("T")


@dataclass(frozen=True)
class Thing:
    """One drawn thing. shape, colour, texture: of the lexicon. x, y: of its centre. radius: half its extent.

    angle: degrees, anticlockwise.

    >>> Thing("star", "red", "plain", x=0.2, y=0.5, radius=0.1, angle=0.0).size
    'small'
    """

    shape: str
    colour: str
    texture: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def size(self) -> str:
        """ "small" or "large", as the lexicon has it."""
        return "small" if self.radius < SMALL_BELOW else "large"


@dataclass(frozen=True)
class Scene:
    """A background and the things on it. sort: "one", "several" (alike but for place), "two" (in a relation).

    Of harder_scenes.py: "apart" (two things) or "group" (alike but for place, and perhaps another).

    >>> scene = Scene(0, "one", "sand", (Thing("star", "red", "plain", x=0.2, y=0.5, radius=0.1, angle=0.0),))
    >>> scene.things[0].shape
    'star'
    """

    seed: int
    sort: str
    background: str
    things: tuple[Thing, ...]


def sample_scene(seed: int) -> Scene:
    """The scene of a seed, the same on every machine.

    >>> scene = sample_scene(7)
    >>> scene.sort, scene.background, [(thing.size, thing.colour, thing.shape) for thing in scene.things]
    ('two', 'sand', [('small', 'brown', 'circle'), ('small', 'brown', 'house')])
    """
    random = Random(f"scene {seed}")  # a string's seed is hashed by SHA-512, whatever the platform
    sort = weighted(random, SORTS)
    background = pick(random, BACKGROUNDS)
    things = {"one": _one, "several": _several, "two": _two}[sort](random)
    return Scene(seed, sort, background, things)


def distance(a: Thing, b: Thing) -> float:
    """Between two things' centres, in sides of the picture.

    >>> star, moon = (Thing(shape, "red", "plain", x, 0.5, 0.1, 0.0) for shape, x in (("star", 0.25), ("moon", 0.75)))
    >>> distance(star, moon)
    0.5
    """
    return math.hypot(a.x - b.x, a.y - b.y)


def _one(random: Random) -> tuple[Thing, ...]:
    radius = between(random, 0.08, 0.13) if random.random() < 0.5 else between(random, 0.2, 0.32)
    low, high = radius + 0.02, 0.98 - radius
    return (_thing(random, between(random, low, high), between(random, low, high), radius),)


def _several(random: Random) -> tuple[Thing, ...]:
    number = 2 + int(random.random() * 4)
    radius = between(random, 0.075, 0.11) if random.random() < 0.5 else between(random, 0.14, 0.165)
    first = _thing(random, 0.5, 0.5, radius)
    while True:  # until as many as wanted lie apart
        things: list[Thing] = []
        for _ in range(40):
            x, y = (between(random, radius + 0.02, 0.98 - radius) for _ in "xy")
            other = Thing(
                first.shape,
                first.colour,
                first.texture,
                x,
                y,
                radius * between(random, 0.95, 1.0),
                first.angle + between(random, -6, 6),
            )
            if all(distance(other, thing) > 2.1 * radius for thing in things):
                things.append(other)
            if len(things) == number:
                return tuple(things)


def _two(random: Random) -> tuple[Thing, ...]:
    """Two things of which the first stands in a relation to the second, clearly and to no other."""
    relation = pick(random, RELATIONS)
    if relation == "inside":
        outer = between(random, 0.27, 0.34)
        x, y = (between(random, outer + 0.02, 0.98 - outer) for _ in "xy")
        b = _thing(random, x, y, outer)
        a = _thing(
            random, x + between(random, -0.02, 0.02), y + between(random, -0.02, 0.02), between(random, 0.08, 0.11)
        )
    else:
        radii = [between(random, 0.09, 0.13) if random.random() < 0.5 else between(random, 0.17, 0.23) for _ in "ab"]
        gap = sum(radii) + between(random, 0.0, 0.94 - 2 * sum(radii)) if 2 * sum(radii) < 0.94 else sum(radii)
        start = between(random, 0.02 + radii[0], 0.98 - radii[1] - gap)  # along the axis that matters
        middle = between(random, 0.03 + max(radii), 0.97 - max(radii))
        across = [middle, min(max(middle + between(random, -0.05, 0.05), 0.02 + radii[1]), 0.98 - radii[1])]
        along = [start, start + gap]
        if relation == "below" or (relation == "beside" and random.random() < 0.5):
            along = [1 - start, 1 - start - gap]
        points = zip(along, across, strict=True) if relation == "beside" else zip(across, along, strict=True)
        a, b = (_thing(random, x, y, radius) for (x, y), radius in zip(points, radii, strict=True))
    while (a.shape, a.colour) == (b.shape, b.colour):
        a = _thing(random, a.x, a.y, a.radius)
    return a, b


def _thing(random: Random, x: float, y: float, radius: float) -> Thing:
    return Thing(
        pick(random, SHAPES),
        pick(random, COLOURS),
        weighted(random, TEXTURE_WEIGHTS),
        x,
        y,
        radius,
        between(random, -15, 15),
    )


# Random.random() alone is promised to give the same numbers in every version of Python.
def between(random: Random, low: float, high: float) -> float:
    """A number from low to high, by one random number.

    >>> round(between(Random(0), 2.0, 4.0), 3)
    3.689
    """
    return low + (high - low) * random.random()


def pick(random: Random, values: Iterable[T]) -> T:
    """One of several values, each as likely, by one random number.

    >>> pick(Random(0), ["a", "b", "c"])
    'c'
    """
    values = list(values)
    return values[int(random.random() * len(values))]


def weighted(random: Random, weights: dict[str, float]) -> str:
    """One of several names, as often as its weight says, by one random number.

    >>> weighted(Random(0), {"rare": 0.1, "common": 0.9})
    'common'
    """
    rest = random.random() * sum(weights.values())
    for value, weight in weights.items():
        rest -= weight
        if rest < 0:
            return value
    return value


assert set(TEXTURE_WEIGHTS) == set(TEXTURES)
