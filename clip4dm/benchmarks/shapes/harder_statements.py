"""What a caption of the harder benchmark says, and whether it is true.

As in captions.py, but of several things each with a number and a place of its own, and of what is not there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from clip4dm.benchmarks.shapes.captions import MENTIONED, Mention, Slot
from clip4dm.benchmarks.shapes.lexicon import KINDS, Value
from clip4dm.benchmarks.shapes.scenes import Scene, Thing
from clip4dm.benchmarks.shapes.standing import may_be_at, may_relate

SIDES: tuple[Value, ...] = ("left", "right")  # "a star left of a moon"
FACTS: dict[str, tuple[Value, ...]] = {**{kind: tuple(values) for kind, values in KINDS.items()}, "side": SIDES}


@dataclass(frozen=True)
class Part:
    """What is said of one thing, or of `count` like things; position: of the one thing; denied: there is none such.

    >>> two_stars, no_moon = Part(Mention("star"), count=2), Part(Mention("moon"), denied=True)
    """

    mention: Mention
    count: int | None = None
    position: str | None = None
    denied: bool = False


@dataclass(frozen=True)
class HardStatement:
    """What a caption says. relation: of the first part to the second, a key of lexicon.RELATIONS or one of SIDES.

    >>> star_left_of_a_moon = HardStatement((Part(Mention("star")), Part(Mention("moon"))), relation="left")
    """

    parts: tuple[Part, ...]
    relation: str | None = None
    background: str | None = None


@dataclass(frozen=True)
class HardCaption:
    """A statement in words. slots: for every word the fact it states, or None; a Slot's mention is a part's index.

    >>> HardCaption(HardStatement((Part(Mention("star")),)), ("a", "star"), (None, Slot("object", 0))).text
    'a star'
    """

    statement: HardStatement
    words: tuple[str, ...]
    slots: tuple[Slot | None, ...]

    @property
    def text(self) -> str:
        """The words with a blank between them."""
        return " ".join(self.words)


def may_hold(statement: HardStatement, scene: Scene) -> bool:
    """Whether a statement could be called true of a scene, by a generous reader, as captions.may_hold has it.

    Things that are said one by one are different things; counts are exact.

    >>> from clip4dm.benchmarks.shapes.harder_scenes import sample_twins
    >>> from random import Random
    >>> scene = sample_twins(3, Random(3), "colour")
    >>> triangle = Mention("triangle")
    >>> may_hold(HardStatement((Part(triangle), Part(triangle))), scene)
    True
    >>> may_hold(HardStatement((Part(triangle, count=3),)), scene)
    False
    """
    if statement.background not in (None, scene.background):
        return False
    for part in statement.parts:
        number = sum(map(part.mention.fits, scene.things))
        if (part.denied and number) or part.count not in (None, number):
            return False
    single = [part for part in statement.parts if part.count is None and not part.denied]
    return any(
        all(_may_be(thing, part) for part, thing in zip(single, things, strict=True))
        and (statement.relation is None or may_relate(things[0], things[1], statement.relation))
        for things in permutations(scene.things, len(single))
    )


def _may_be(thing: Thing, part: Part) -> bool:
    return part.mention.fits(thing) and (part.position is None or may_be_at(thing, part.position))


def is_clear(statement: HardStatement, scene: Scene) -> bool:
    """Whether a statement holds, and no thing of the scene fits a counted part and another one.

    >>> from clip4dm.benchmarks.shapes.harder_scenes import sample_twins
    >>> from random import Random
    >>> scene = sample_twins(3, Random(3), "colour")
    >>> two = Part(Mention("triangle"), count=2)
    >>> is_clear(HardStatement((two,)), scene), is_clear(HardStatement((two, Part(Mention("triangle")))), scene)
    (True, False)
    """
    counted = any(part.count for part in statement.parts)
    twice = any(sum(part.mention.fits(thing) for part in statement.parts) > 1 for thing in scene.things)
    return may_hold(statement, scene) and not (counted and twice)


def can_be_mended(statement: HardStatement, slot: Slot, scene: Scene) -> bool:
    """Whether another word at this slot would make the statement true.

    >>> scene = Scene(0, "one", "sand", (Thing("star", "red", "plain", x=0.2, y=0.5, radius=0.1, angle=0.0),))
    >>> blue_star = HardStatement((Part(Mention("star", colour="blue")),))
    >>> can_be_mended(blue_star, Slot("colour", 0), scene), can_be_mended(blue_star, Slot("object", 0), scene)
    (True, False)
    """
    return any(may_hold(restated(statement, slot, value), scene) for value in FACTS[slot.kind])


def stated(statement: HardStatement, slot: Slot) -> Value | None:
    """The value that a slot's word states; None where nothing of that kind is said.

    >>> stated(HardStatement((Part(Mention("star", colour="red")),)), Slot("colour", 0))
    'red'
    """
    value: Value | None
    if slot.kind in MENTIONED:
        value = getattr(statement.parts[slot.mention or 0].mention, MENTIONED[slot.kind])
    elif slot.mention is not None:
        value = getattr(statement.parts[slot.mention], slot.kind)
    else:
        value = statement.background if slot.kind == "background" else statement.relation
    return value


def restated(statement: HardStatement, slot: Slot, value: Value) -> HardStatement:
    """The statement with one fact exchanged.

    >>> restated(HardStatement((Part(Mention("star"), count=2),)), Slot("count", 0), 3).parts[0].count
    3
    """
    if slot.mention is None:
        fact: dict[str, Any] = {"background" if slot.kind == "background" else "relation": value}
        return replace(statement, **fact)
    parts = list(statement.parts)
    part = parts[slot.mention]
    fact = {MENTIONED.get(slot.kind, slot.kind): value}
    parts[slot.mention] = (
        replace(part, mention=replace(part.mention, **fact)) if slot.kind in MENTIONED else replace(part, **fact)
    )
    return replace(statement, parts=tuple(parts))
