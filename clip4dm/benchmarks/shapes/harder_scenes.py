"""Scenes of the harder benchmark: two things of one shape, two of two shapes, a group of like things and another.

No two things touch. Of a pair, one stands beside the other or above it, clearly.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from clip4dm.benchmarks.shapes.lexicon import BACKGROUNDS, COLOURS, SHAPES, SIZES, TEXTURES
from clip4dm.benchmarks.shapes.scenes import TEXTURE_WEIGHTS, Scene, Thing, between, pick, weighted

RADII = {"small": (0.09, 0.13), "large": (0.17, 0.23)}  # of single things, as in scenes of two
GROUP_RADII = {"small": (0.075, 0.11), "large": (0.14, 0.165)}  # of things in a group, as in scenes of several
ACROSS = 0.1  # a pair's centres lie at most so far apart in one direction, and farther in the other
GAP, GROUP_GAP = 1.25, 1.15  # centres lie farther apart than this times the sum of their radii
TRIES = 40  # to place a thing, before all begin anew

Look = tuple[str, str, str]  # shape, colour, texture


def sample_twins(seed: int, random: Random, differ: str) -> Scene:
    """Two things of one shape that differ in `differ` ("colour", "size", "texture"), and may in the others too.

    >>> [(thing.shape, thing.colour) for thing in sample_twins(3, Random(3), "colour").things]
    [('triangle', 'purple'), ('triangle', 'red')]
    """
    first, background = _look(random), pick(random, BACKGROUNDS)
    size = pick(random, SIZES)
    colour, texture, other_size = first[1], first[2], size
    if differ == "colour" or random.random() < 0.5:
        colour = pick(random, [name for name in COLOURS if name != first[1]])
    if differ == "texture" or random.random() < 0.3:
        texture = pick(random, [name for name in TEXTURES if name != first[2]])
    if differ == "size" or random.random() < 0.3:
        other_size = next(name for name in SIZES if name != size)
    second = (first[0], colour, texture)
    return Scene(seed, "apart", background, _two_apart(random, (first, second), (size, other_size)))


def sample_pair(seed: int, random: Random) -> Scene:
    """Two things of two shapes.

    >>> [(thing.shape, thing.colour) for thing in sample_pair(3, Random(3)).things]
    [('triangle', 'purple'), ('moon', 'red')]
    """
    first, background = _look(random), pick(random, BACKGROUNDS)
    second = _look(random, [name for name in SHAPES if name != first[0]])
    sizes = (pick(random, SIZES), pick(random, SIZES))
    return Scene(seed, "apart", background, _two_apart(random, (first, second), sizes))


def sample_group(seed: int, random: Random, with_other: bool) -> Scene:
    """Two to five things alike but for place; with_other: and one of another shape or colour, the last of the things.

    >>> [thing.colour for thing in sample_group(3, Random(3), with_other=True).things]
    ['purple', 'purple', 'purple', 'purple', 'red']
    """
    look, background = _look(random), pick(random, BACKGROUNDS)
    number = 2 + int(random.random() * 4)
    if random.random() < 0.4:  # the other is of the same shape: who counts the shape alone counts too many
        other = (look[0], pick(random, [name for name in COLOURS if name != look[1]]), _look(random)[2])
    else:
        other = _look(random, [name for name in SHAPES if name != look[0]])
    while True:  # sizes are drawn anew each time: five large things and another seldom find room
        radius, other_radius = (between(random, *radii[pick(random, SIZES)]) for radii in (GROUP_RADII, RADII))
        radii = [radius * between(random, 0.95, 1.0) for _ in range(number)]
        points = _scattered(random, radii + [other_radius] * with_other, GROUP_GAP)
        if points:
            looks = [look] * number + [other] * with_other
            things = (_thing(random, *one) for one in zip(looks, points, strict=True))
            turn = between(random, -15, 15)
            return Scene(seed, "group", background, tuple(replace(t, angle=turn + t.angle / 3) for t in things))


Point = tuple[float, float, float]  # x, y, radius


def _two_apart(random: Random, looks: tuple[Look, Look], sizes: tuple[str, str]) -> tuple[Thing, ...]:
    while True:
        points = _scattered(random, [between(random, *RADII[size]) for size in sizes], GAP)
        if points and min(abs(points[0][i] - points[1][i]) for i in (0, 1)) <= ACROSS:
            return tuple(_thing(random, *one) for one in zip(looks, points, strict=True))


def _scattered(random: Random, radii: list[float], gap: float) -> list[Point]:
    """A place for each, the largest first, apart and inside the picture; [] where none was found."""
    placed: dict[int, Point] = {}
    for index in sorted(range(len(radii)), key=lambda index: -radii[index]):
        radius = radii[index]
        for _ in range(TRIES):
            x, y = (between(random, radius + 0.02, 0.98 - radius) for _ in "xy")
            if all(((x - a) ** 2 + (y - b) ** 2) ** 0.5 > gap * (radius + c) for a, b, c in placed.values()):
                placed[index] = (x, y, radius)
                break
        else:
            return []
    return [placed[index] for index in range(len(radii))]


def _look(random: Random, shapes: list[str] | None = None) -> Look:
    return pick(random, shapes or SHAPES), pick(random, COLOURS), weighted(random, TEXTURE_WEIGHTS)


def _thing(random: Random, look: Look, point: Point) -> Thing:
    return Thing(*look, *point, between(random, -15, 15))
