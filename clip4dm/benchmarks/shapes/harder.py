"""The harder benchmark's pairs: a scene, a true caption, and the same with one word exchanged for a false one.

Caption and foil differ in one word, as in FOIL, and more is asked of the exchange than in foils.py: no other word could
be exchanged instead to make the foil true again. "a blue star beside a blue star", of a red and a blue one, is left
out: either "blue" may be the false one. In "a star and no moon" the word "no" is not counted among those: that a moon
is there makes "moon" the false word, as the exchanged one, though "no" may be blamed as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from clip4dm.benchmarks.shapes.captions import Slot
from clip4dm.benchmarks.shapes.harder_captions import describe, word
from clip4dm.benchmarks.shapes.harder_scenes import sample_group, sample_pair, sample_twins
from clip4dm.benchmarks.shapes.harder_statements import (
    FACTS,
    SIDES,
    HardCaption,
    HardStatement,
    can_be_mended,
    is_clear,
    may_hold,
    restated,
    stated,
)
from clip4dm.benchmarks.shapes.lexicon import Value, plural, words_of
from clip4dm.benchmarks.shapes.scenes import Scene, pick

LENGTHS = (4, 15)  # words, as in training
LONG_LENGTHS = (16, 25)
BINDING = {"colour-binding": "colour", "size-binding": "size", "texture-binding": "texture"}
HARD_KINDS = (*BINDING, "negation", "left-right", "count", "long")


@dataclass(frozen=True)
class HardPair:
    """A scene, a true caption, and the same with the word at `index` exchanged. kind: one of HARD_KINDS.

    fact: what that word states, a key of harder_statements.FACTS.

    >>> pair = make_hard_pair(3_000_000, "count")
    >>> pair.caption.words[pair.index], pair.foil.words[pair.index], pair.fact
    ('five', 'four', 'count')
    """

    scene: Scene
    kind: str
    caption: HardCaption
    foil: HardCaption
    index: int
    fact: str


def make_hard_pair(seed: int, kind: str | None = None) -> HardPair:
    """The pair of a seed, the same on every machine. kind: one of HARD_KINDS, else drawn.

    >>> pair = make_hard_pair(3_000_000, "left-right")
    >>> pair.caption.text, pair.foil.text
    ('on water a diamond at the left and a tiny diamond', 'on water a diamond at the right and a tiny diamond')
    """
    random = Random(f"harder {seed}")
    drawn = pick(random, HARD_KINDS)
    kind = kind or drawn
    low, high = LONG_LENGTHS if kind == "long" else LENGTHS
    while True:
        scene = _sample(seed, random, kind)
        statement = describe(scene, kind, random)
        caption = HardCaption(statement, *word(statement, random, kind == "long"))
        if low <= len(caption.words) <= high and is_clear(statement, scene):
            exchanged = _exchange(scene, caption, kind, random)
            if exchanged:
                return HardPair(scene, kind, caption, *exchanged)


def _sample(seed: int, random: Random, kind: str) -> Scene:
    """A scene that a kind of foil can be made of; of most kinds, more than one sort of scene."""
    chance = random.random()
    if kind in BINDING:
        return sample_twins(seed, random, BINDING[kind])
    if kind == "count":
        return sample_group(seed, random, with_other=chance < 0.5)
    if kind != "left-right" and chance < 0.3:
        return sample_group(seed, random, with_other=True)
    if kind != "negation" and chance > 0.7:
        return sample_twins(seed, random, "colour")
    return sample_pair(seed, random)


def _exchange(scene: Scene, caption: HardCaption, kind: str, random: Random) -> tuple[HardCaption, int, str] | None:
    """The foil, which word it exchanges and what that states; None if no exchange is false, and false alone."""
    places = [(index, slot) for index, slot in enumerate(caption.slots) if slot]
    while places:
        index, slot = places.pop(int(random.random() * len(places)))
        values = asked_for(caption.statement, slot, kind, scene)
        while values:
            value = values.pop(int(random.random() * len(values)))
            statement = restated(caption.statement, slot, value)
            others = {other for other in caption.slots if other and other != slot}
            if may_hold(statement, scene) or any(can_be_mended(statement, other, scene) for other in others):
                continue
            said = pick(random, words_of("position" if slot.kind == "side" else slot.kind, value))
            if slot.kind == "object" and slot.mention is not None and statement.parts[slot.mention].count:
                said = plural(said)
            words = (*caption.words[:index], said, *caption.words[index + 1 :])
            return HardCaption(statement, words, caption.slots), index, slot.kind
    return None


def asked_for(statement: HardStatement, slot: Slot, kind: str, scene: Scene) -> list[Value]:
    """The values that a kind of foil may put in place of a slot's; none where it exchanges other words.

    >>> pair = make_hard_pair(3_000_000, "negation")
    >>> slot = pair.caption.slots[pair.index]
    >>> asked_for(pair.caption.statement, slot, "negation", pair.scene)
    ['diamond']
    """
    mine = stated(statement, slot)
    part = None if slot.mention is None else statement.parts[slot.mention]
    values: list[Value | None] = []
    if kind == "long":
        values = [*FACTS[slot.kind]]
    elif kind in BINDING and slot.kind == BINDING[kind]:  # what the other thing is
        values = [stated(statement, Slot(slot.kind, index)) for index in range(len(statement.parts))]
    elif kind == "negation" and part and part.denied:  # what is there, and has not been said
        said = {one.mention.shape for one in statement.parts}
        values = [*dict.fromkeys(thing.shape for thing in scene.things if thing.shape not in said)]
    elif kind == "left-right" and slot.kind in ("side", "position"):
        values = [*SIDES]
    elif kind == "count" and slot.kind == "count":
        values = [value for value in FACTS["count"] if abs(int(value) - int(mine or 0)) == 1]
    return [value for value in values if value is not None and value != mine]
