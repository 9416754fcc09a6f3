"""One word of a true caption exchanged for a false one, of a known kind, checked against the scene.

The protocol of FOIL (Shekhar et al. 2017): caption and foil differ in exactly one word. A swap that may still be
true of the scene (a second thing fits it, or it is a matter of opinion) is never made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from clip4dm.benchmarks.shapes.captions import MENTIONED, Caption, Slot, Statement, may_hold
from clip4dm.benchmarks.shapes.lexicon import KINDS, plural
from clip4dm.benchmarks.shapes.scenes import Scene, _pick


@dataclass(frozen=True)
class Foil:
    """A false caption. index: of the exchanged word; kind: of the fact it states (lexicon.KINDS)."""

    caption: Caption
    index: int
    kind: str
    original_word: str
    foil_word: str


def make_foil(scene: Scene, caption: Caption, random: Random, kind: str | None = None) -> Foil | None:
    """A foil of a true caption: the word to exchange is drawn among those that state a fact (of `kind`, if given).

    None if no exchange is surely false.
    """
    places = [i for i, slot in enumerate(caption.slots) if slot and kind in (None, slot.kind)]
    while places:
        index = places.pop(int(random.random() * len(places)))
        slot = caption.slots[index]
        values = [value for value in KINDS[slot.kind] if value != stated(caption.statement, slot)]
        while values:
            value = values.pop(int(random.random() * len(values)))
            statement = restated(caption.statement, slot, value)
            if may_hold(statement, scene):
                continue
            word = _pick(random, KINDS[slot.kind][value])
            if slot.kind == "object" and statement.count is not None:
                word = plural(word)
            words = (*caption.words[:index], word, *caption.words[index + 1 :])
            return Foil(Caption(statement, words, caption.slots), index, slot.kind, caption.words[index], word)
    return None


def stated(statement: Statement, slot: Slot):
    """The value that a slot's word states."""
    if slot.kind in MENTIONED:
        return getattr(statement.mentions[slot.mention], MENTIONED[slot.kind])
    return getattr(statement, slot.kind)


def restated(statement: Statement, slot: Slot, value) -> Statement:
    """The statement with one fact exchanged."""
    if slot.kind not in MENTIONED:
        return replace(statement, **{slot.kind: value})
    mentions = list(statement.mentions)
    mentions[slot.mention] = replace(mentions[slot.mention], **{MENTIONED[slot.kind]: value})
    return replace(statement, mentions=tuple(mentions))
