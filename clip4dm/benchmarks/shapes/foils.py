"""One word of a true caption exchanged for a false one, of a known kind, checked against the scene.

The protocol of FOIL (Shekhar et al. 2017): caption and foil differ in exactly one word. A swap that may still be
true of the scene (a second thing fits it, or it is a matter of opinion) is never made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from clip4dm.benchmarks.shapes.captions import MENTIONED, Caption, Slot, Statement, may_hold
from clip4dm.benchmarks.shapes.lexicon import KINDS, Value, plural, words_of
from clip4dm.benchmarks.shapes.scenes import Scene, pick


@dataclass(frozen=True)
class Foil:
    """A false caption. index: of the exchanged word; kind: of the fact it states (lexicon.KINDS).

    make_foil(scene, caption, random).foil_word  # "black", where the caption said "brown"
    """

    caption: Caption
    index: int
    kind: str
    original_word: str
    foil_word: str


def make_foil(scene: Scene, caption: Caption, random: Random, kind: str | None = None) -> Foil | None:
    """A foil of a true caption: the word to exchange is drawn among those that state a fact (of `kind`, if given).

    None if no exchange is surely false. kind: a key of lexicon.KINDS.

    >>> from clip4dm.benchmarks.shapes.captions import write_caption
    >>> from clip4dm.benchmarks.shapes.scenes import sample_scene
    >>> scene, random = sample_scene(7), Random(7)
    >>> caption = write_caption(scene, random)
    >>> foil = make_foil(scene, caption, random)
    >>> caption.text, foil.caption.text, foil.kind
    ('on sand a brown house', 'on sand a black house', 'colour')
    """
    places = [(i, slot) for i, slot in enumerate(caption.slots) if slot and kind in (None, slot.kind)]
    while places:
        index, slot = places.pop(int(random.random() * len(places)))
        values = [value for value in KINDS[slot.kind] if value != stated(caption.statement, slot)]
        while values:
            value = values.pop(int(random.random() * len(values)))
            statement = restated(caption.statement, slot, value)
            if may_hold(statement, scene):
                continue
            word = pick(random, words_of(slot.kind, value))
            if slot.kind == "object" and statement.count is not None:
                word = plural(word)
            words = (*caption.words[:index], word, *caption.words[index + 1 :])
            return Foil(Caption(statement, words, caption.slots), index, slot.kind, caption.words[index], word)
    return None


def stated(statement: Statement, slot: Slot) -> Value | None:
    """The value that a slot's word states; None where nothing of that kind is said.

    >>> from clip4dm.benchmarks.shapes.captions import Mention
    >>> stated(Statement((Mention("star", colour="red"),)), Slot("colour", 0))
    'red'
    """
    value: Value | None
    if slot.mention is None:
        value = getattr(statement, slot.kind)
    else:
        value = getattr(statement.mentions[slot.mention], MENTIONED[slot.kind])
    return value


def restated(statement: Statement, slot: Slot, value: Value) -> Statement:
    """The statement with one fact exchanged.

    >>> from clip4dm.benchmarks.shapes.captions import Mention
    >>> restated(Statement((Mention("star"),), count=2), Slot("count"), 3).count
    3
    """
    if slot.mention is None:
        fact: dict[str, Any] = {slot.kind: value}
        return replace(statement, **fact)
    mentions = list(statement.mentions)
    fact = {MENTIONED[slot.kind]: value}
    mentions[slot.mention] = replace(mentions[slot.mention], **fact)
    return replace(statement, mentions=tuple(mentions))
