"""Where things stand: on which side of the picture, and how one stands to another."""

from __future__ import annotations

from clip4dm.benchmarks.shapes.scenes import Thing, distance

CLEARLY = 0.12  # off the middle: from here a thing is on the left, at the top, ...


def may_be_at(thing: Thing, position: str, off: float = 0.0) -> bool:
    """Whether a thing could be said to be on a side of the picture, by a generous reader.

    position: a key of lexicon.PLACES. off: how far off the middle it has to be, in sides of the picture.

    >>> star = Thing("star", "red", "plain", x=0.4, y=0.5, radius=0.1, angle=0.0)
    >>> may_be_at(star, "left"), may_be_at(star, "left", CLEARLY)
    (True, False)
    """
    along = {"left": -(thing.x - 0.5), "right": thing.x - 0.5, "top": -(thing.y - 0.5), "bottom": thing.y - 0.5}
    return along[position] > off


def may_relate(a: Thing, b: Thing, relation: str) -> bool:
    """Whether a thing could be said to stand so to another, by a generous reader.

    relation: a key of lexicon.RELATIONS; or "left" or "right", of the other thing.

    >>> star, moon = (Thing(shape, "red", "plain", x, 0.5, 0.1, 0.0) for shape, x in (("star", 0.2), ("moon", 0.8)))
    >>> may_relate(star, moon, "beside"), may_relate(star, moon, "left"), may_relate(star, moon, "above")
    (True, True, False)
    """
    holds = {
        "inside": distance(a, b) + a.radius < b.radius,
        "above": a.y < b.y - 0.08,
        "below": a.y > b.y + 0.08,
        "beside": abs(a.x - b.x) > 0.15,
        "left": a.x < b.x,
        "right": a.x > b.x,
    }
    return holds[relation]


def relation_of(a: Thing, b: Thing) -> str:
    """How the first of a scene's two things stands to the second: a key of lexicon.RELATIONS.

    >>> star, moon = (Thing(shape, "red", "plain", 0.5, y, 0.1, 0.0) for shape, y in (("star", 0.2), ("moon", 0.8)))
    >>> relation_of(star, moon)
    'above'
    """
    if distance(a, b) + a.radius < b.radius:
        return "inside"
    if abs(a.x - b.x) > abs(a.y - b.y):
        return "beside"
    return "above" if a.y < b.y else "below"
