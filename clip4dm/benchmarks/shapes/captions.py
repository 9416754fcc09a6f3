"""What can be said of a scene, whether it is true, and how it is worded.

A Statement is the meaning; a Caption is one way to say it, which knows for every word the fact it states. Exchanging
that fact and its word gives a caption that differs in one word and in one fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from random import Random

from clip4dm.benchmarks.shapes.lexicon import (
    BACKGROUNDS,
    COLOURS,
    COUNTS,
    KINDS,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    plural,
)
from clip4dm.benchmarks.shapes.scenes import Scene, Thing, pick
from clip4dm.benchmarks.shapes.standing import CLEARLY, may_be_at, may_relate, relation_of

MENTIONED = {"object": "shape", "colour": "colour", "size": "size", "texture": "texture"}  # kind -> Mention's field
SAID = {
    "colour": 0.65,
    "size": 0.3,
    "texture": 0.5,
    "relation": 0.7,
}  # how often each is said of a thing, of a plain one hardly its texture; and the relation of two things both named
PLAIN_WORDS = "a the and is are that this there we see lies floats together with on at near"  # they state no fact


@dataclass(frozen=True)
class Mention:
    """What is said of one thing; None: nothing."""

    shape: str
    colour: str | None = None
    size: str | None = None
    texture: str | None = None

    def fits(self, thing: Thing) -> bool:
        """Whether all that is said is so of a thing."""
        return all(said is None or said == getattr(thing, name) for name, said in vars(self).items())


@dataclass(frozen=True)
class Statement:
    """What a caption says. relation: of the first mention to the second; count: of things like the one mention.

    position: of the first mention; background: of the picture. None: nothing is said of it.
    """

    mentions: tuple[Mention, ...]
    relation: str | None = None
    count: int | None = None
    position: str | None = None
    background: str | None = None


@dataclass(frozen=True)
class Slot:
    """The fact a word states: its kind (lexicon.KINDS), and which mention it belongs to, if to any."""

    kind: str
    mention: int | None = None


@dataclass(frozen=True)
class Caption:
    """A statement in words. slots: for every word the fact it states, or None.

    >>> statement = Statement((Mention("star", colour="red"),))
    >>> Caption(statement, ("a", "red", "star"), (None, Slot("colour", 0), Slot("object", 0))).text
    'a red star'
    """

    statement: Statement
    words: tuple[str, ...]
    slots: tuple[Slot | None, ...]

    @property
    def text(self) -> str:
        """The words with a blank between them."""
        return " ".join(self.words)


def may_hold(statement: Statement, scene: Scene) -> bool:
    """Whether a statement could be called true of a scene, by a generous reader.

    Generous where words have no sharp edge (left, above), so that what does not hold is false to anyone. Counts
    are exact: "two stars" does not hold of five.

    >>> scene = Scene(0, "one", "sand", (Thing("star", "red", "plain", x=0.2, y=0.5, radius=0.1, angle=0.0),))
    >>> may_hold(Statement((Mention("star", colour="red"),), position="left"), scene)
    True
    >>> may_hold(Statement((Mention("star", colour="blue"),)), scene)
    False
    """
    if statement.background not in (None, scene.background):
        return False
    if statement.count is not None:
        fitting = [thing for thing in scene.things if statement.mentions[0].fits(thing)]
        return len(fitting) == statement.count
    return any(
        all(mention.fits(thing) for mention, thing in zip(statement.mentions, things, strict=True))
        and (statement.position is None or may_be_at(things[0], statement.position))
        and (statement.relation is None or may_relate(things[0], things[1], statement.relation))
        for things in permutations(scene.things, len(statement.mentions))
    )


def write_caption(scene: Scene, random: Random, said: Mapping[str, float] = SAID) -> Caption:
    """A true caption of 4 to 15 words: what is said of the scene, and in which words, is drawn by `random`.

    said: how often a thing's colour, size and texture, and two things' relation, are: 0..1.

    >>> from clip4dm.benchmarks.shapes.scenes import sample_scene
    >>> write_caption(sample_scene(7), Random(7)).text
    'on sand a brown house'
    """
    while True:
        statement = _state(scene, random, said)
        worded = _word(statement, random)
        if 4 <= len(worded) <= 15 and may_hold(statement, scene):  # like things may lie on both sides of SMALL_BELOW
            words, slots = zip(*worded, strict=True)
            return Caption(statement, words, slots)


def _state(scene: Scene, random: Random, said: Mapping[str, float]) -> Statement:
    background = scene.background if random.random() < 0.4 else None
    things = scene.things
    if scene.sort == "several":
        mention = _mention(things[0], random, said)
        return Statement((mention,), count=len(things) if random.random() < 0.75 else None, background=background)
    if scene.sort == "two":
        if random.random() < 0.2:  # one of the two goes unmentioned
            return Statement((_mention(things[int(random.random() * 2)], random, said),), background=background)
        mentions = (_mention(things[0], random, said), _mention(things[1], random, said))
        if random.random() < 1 - said["relation"]:
            return Statement(mentions if random.random() < 0.5 else mentions[::-1], background=background)
        return Statement(mentions, relation=relation_of(*things), background=background)
    places = [place for place in PLACES if may_be_at(things[0], place, CLEARLY)]
    position = pick(random, places) if places and random.random() < 0.45 else None
    return Statement((_mention(things[0], random, said),), position=position, background=background)


def _mention(thing: Thing, random: Random, said: Mapping[str, float]) -> Mention:
    return Mention(
        thing.shape,
        thing.colour if random.random() < said["colour"] else None,
        thing.size if random.random() < said["size"] else None,
        thing.texture if random.random() < (0.1 if thing.texture == "plain" else said["texture"]) else None,
    )


Worded = list[tuple[str, Slot | None]]


def _word(statement: Statement, random: Random) -> Worded:
    """One of many wordings: adjectives before the noun or after a verb, the background first or last."""
    ground = (
        plain_words("on") + [(pick(random, BACKGROUNDS[statement.background]), Slot("background"))]
        if statement.background
        else []
    )
    many = statement.count is not None
    if len(statement.mentions) == 2:
        body = _pair(statement, random)
    elif random.random() < 0.35:
        body = _predicate(statement, random)
    else:
        noun = _noun_phrase(statement, 0, random)
        opening = pick(random, ["", "", "there are", "we see"] if many else ["", "", "there is", "this is", "we see"])
        body = plain_words(opening) + noun + _place(statement, random)
    if ground and random.random() < 0.25:
        return ground + body
    return body + ground


def _pair(statement: Statement, random: Random) -> Worded:
    first, second = (_noun_phrase(statement, i, random) for i in (0, 1))
    if statement.relation is None:
        return (
            plain_words(pick(random, ["", "", "there is", "we see"]))
            + first
            + plain_words(pick(random, ["and", "and", "together with"]))
            + second
        )
    relation = [(pick(random, RELATIONS[statement.relation]), Slot("relation"))]
    if random.random() < 0.2:
        return relation + second + plain_words(pick(random, ["there is", "lies", "we see"])) + first
    opening, verb = pick(random, ["", "", "there is", "we see"]), pick(random, ["", "", "is", "lies", "floats"])
    return plain_words(opening) + first + plain_words(verb if not opening else "") + relation + second


def _predicate(statement: Statement, random: Random) -> Worded:
    """ "the star on the left is red and small", "a star that is red"."""
    many = statement.count is not None
    said = adjectives(statement.mentions[0], 0, random)
    noun = [_noun(statement, 0, random)]
    if not said:
        return _noun_phrase(statement, 0, random) + _place(statement, random)
    before, after = (said[:1], said[1:]) if len(said) > 1 and random.random() < 0.5 else ([], said)
    tail = after[:1]
    for adjective in after[1:]:
        tail = tail + plain_words("and") + [adjective]
    count = _count(statement, random)
    link = plain_words(("that are" if many else "that is") if random.random() < 0.4 else ("are" if many else "is"))
    start = count or plain_words(pick(random, ["the", "the", "a"]))
    return start + before + noun + _place(statement, random) + link + tail


def _noun_phrase(statement: Statement, index: int, random: Random) -> Worded:
    start = _count(statement, random) or plain_words("a")
    return start + adjectives(statement.mentions[index], index, random) + [_noun(statement, index, random)]


def _count(statement: Statement, random: Random) -> Worded:
    if statement.count is None:
        return []
    return [(pick(random, COUNTS[statement.count]), Slot("count"))]


def _noun(statement: Statement, index: int, random: Random) -> tuple[str, Slot]:
    word = pick(random, SHAPES[statement.mentions[index].shape])
    return (plural(word) if statement.count is not None else word), Slot("object", index)


def adjectives(mention: Mention, index: int, random: Random) -> Worded:
    """What a mention says besides its shape, in any order. index: of the mention.

    >>> adjectives(Mention("star", colour="red"), 0, Random(0))
    [('red', Slot(kind='colour', mention=0))]
    """
    said: Worded = [
        (pick(random, values[value]), Slot(kind, index))
        for kind, values, value in (
            ("colour", COLOURS, mention.colour),
            ("size", SIZES, mention.size),
            ("texture", TEXTURES, mention.texture),
        )
        if value is not None
    ]
    for i in range(len(said) - 1, 0, -1):  # any order, by Fisher and Yates
        j = int(random.random() * (i + 1))
        said[i], said[j] = said[j], said[i]
    return said


def _place(statement: Statement, random: Random) -> Worded:
    if statement.position is None:
        return []
    preposition = pick(random, ["at the", "on the", "near the"])
    return plain_words(preposition) + [(pick(random, PLACES[statement.position]), Slot("position"))]


def plain_words(text: str) -> Worded:
    """Words that state no fact.

    >>> plain_words("we see")
    [('we', None), ('see', None)]
    """
    return [(word, None) for word in text.split()]


def every_word() -> list[str]:
    """All words that captions are made of, in order.

    >>> every_word()[:4]
    ['a', 'above', 'alongside', 'and']
    """
    stating = {word for values in KINDS.values() for words in values.values() for word in words}
    nouns = {plural(word) for words in SHAPES.values() for word in words}
    return sorted(stating | nouns | set(PLAIN_WORDS.split()))


assert set(MENTIONED) < set(KINDS)
