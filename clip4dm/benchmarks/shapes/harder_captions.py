"""What the harder benchmark's captions say of a scene, and in which words.

"no", "without" and "of" are new to the demo model; all other words it met in training.
"""

from __future__ import annotations

from random import Random

from clip4dm.benchmarks.shapes.captions import Mention, Slot, Worded, adjectives, plain_words
from clip4dm.benchmarks.shapes.harder_statements import SIDES, HardStatement, Part
from clip4dm.benchmarks.shapes.lexicon import PLACES, SHAPES, plural, words_of
from clip4dm.benchmarks.shapes.scenes import Scene, Thing, pick
from clip4dm.benchmarks.shapes.standing import CLEARLY, may_be_at, relation_of

NEW_WORDS = "no without of"
ADJECTIVES = {"colour": 0.6, "size": 0.3, "texture": 0.3}  # how often a mention says them
LONG_ADJECTIVES = {"colour": 0.9, "size": 0.8, "texture": 0.8}


def describe(scene: Scene, kind: str, random: Random) -> HardStatement:
    """What to say of a scene of harder_scenes.py for a kind of foil, one of harder.HARD_KINDS.

    >>> from clip4dm.benchmarks.shapes.harder_scenes import sample_group
    >>> [part.count for part in describe(sample_group(3, Random(3), with_other=True), "count", Random(3)).parts]
    [4, None]
    """
    background = scene.background if random.random() < (0.7 if kind == "long" else 0.3) else None
    if scene.sort == "group":
        things, parts = [scene.things[0]], [_group(scene, kind, random)]
        if _other(scene):
            things.append(scene.things[-1])
            parts.append(Part(_mention(scene.things[-1], kind, random)))
    else:
        things = list(scene.things if random.random() < 0.5 else scene.things[::-1])
        parts = [Part(_mention(thing, kind, random)) for thing in things]
    if kind == "negation":
        return HardStatement(_with_denied(parts[0], scene, random), background=background)
    if scene.sort == "apart" and (kind.endswith("-binding") or random.random() < 0.5):
        relation = relation_of(things[0], things[1])
        if relation == "beside" and (kind == "left-right" or random.random() < 0.5):
            relation = "left" if things[0].x < things[1].x else "right"
        return HardStatement(tuple(parts), relation, background)
    if kind in ("left-right", "long"):
        parts = [_placed(part, thing, kind, random) for part, thing in zip(parts, things, strict=True)]
    if any(part.position for part in parts):  # not "a star and a moon on the left", where only the moon is
        parts.sort(key=lambda part: part.position is None)
    elif random.random() < 0.5:
        parts.reverse()
    return HardStatement(tuple(parts), background=background)


def _other(scene: Scene) -> bool:
    """Whether a group's last thing is not one of the group."""
    first, last = scene.things[0], scene.things[-1]
    return (first.shape, first.colour) != (last.shape, last.colour)


def _group(scene: Scene, kind: str, random: Random) -> Part:
    return Part(_mention(scene.things[0], kind, random), count=len(scene.things) - _other(scene))


def _mention(thing: Thing, kind: str, random: Random) -> Mention:
    chances = LONG_ADJECTIVES if kind == "long" else ADJECTIVES
    always = kind.removesuffix("-binding")
    said = {
        name: getattr(thing, name) for name, chance in chances.items() if random.random() < chance or name == always
    }
    return Mention(thing.shape, **said)


def _with_denied(part: Part, scene: Scene, random: Random) -> tuple[Part, ...]:
    """What is there and, before or after it, a shape that is not."""
    absent = [shape for shape in SHAPES if all(thing.shape != shape for thing in scene.things)]
    denied = Part(Mention(pick(random, absent)), denied=True)
    return (part, denied) if random.random() < 0.7 else (denied, part)


def _placed(part: Part, thing: Thing, kind: str, random: Random) -> Part:
    """A single thing's part, mostly with the side of the picture where it clearly is."""
    sides = [
        place
        for place in PLACES
        if (place in SIDES or kind != "left-right") and may_be_at(thing, place, CLEARLY) and part.count is None
    ]
    return Part(part.mention, part.count, pick(random, sides)) if sides and random.random() < 0.85 else part


def word(statement: HardStatement, random: Random, long: bool) -> tuple[tuple[str, ...], tuple[Slot | None, ...]]:
    """One of several wordings: the words, and for each the fact it states, or None. long: adjectives behind, too.

    >>> word(HardStatement((Part(Mention("star")), Part(Mention("moon"), denied=True))), Random(1), long=False)[0]
    ('we', 'see', 'a', 'star', 'and', 'no', 'crescent')
    """
    parts = statement.parts
    names = {part.mention.shape: pick(random, SHAPES[part.mention.shape]) for part in parts}  # one name for both twins
    first, *rest = [_phrase(part, index, names, random, long) for index, part in enumerate(parts)]
    there = "there are" if parts[0].count else "" if parts[0].denied else "there is"
    opening = pick(random, ["", "", there, "we see"])
    body = plain_words(opening) + first
    for part, phrase in zip(parts[1:], rest, strict=True):
        body += _link(statement, part, "" if opening else pick(random, ["", "is", "lies"]), random) + phrase
    if statement.background is None:
        return _apart(body)
    ground = plain_words("on") + [(words_of("background", statement.background)[0], Slot("background"))]
    return _apart(ground + body if random.random() < 0.25 else body + ground)


def _apart(worded: Worded) -> tuple[tuple[str, ...], tuple[Slot | None, ...]]:
    words, slots = zip(*worded, strict=True)
    return words, slots


def _link(statement: HardStatement, second: Part, verb: str, random: Random) -> Worded:
    """What stands between two parts."""
    if second.denied:
        return plain_words(pick(random, ["and no", "without a"]))
    if statement.relation is None:
        either = "and" if statement.parts[0].denied else pick(random, ["and", "together with"])
        return plain_words(either)
    if statement.relation in SIDES:
        return [*plain_words(verb), (statement.relation, Slot("side")), *plain_words("of")]
    return [*plain_words(verb), (pick(random, words_of("relation", statement.relation)), Slot("relation"))]


def _phrase(part: Part, index: int, names: dict[str, str], random: Random, long: bool) -> Worded:
    """ "three red stars", "a star that is red on the left", "no star"; _link has the "no" of what comes second."""
    said = adjectives(part.mention, index, random)
    behind: Worded = []
    if long and said and random.random() < 0.35:
        front = int(random.random() * len(said))
        said, (adjective, *more) = said[:front], said[front:]
        behind = [*plain_words("that are" if part.count else "that is"), adjective]
        for adjective in more:
            behind += [*plain_words("and"), adjective]
    if part.position:
        behind += [*plain_words(pick(random, ["at the", "on the"])), (part.position, Slot("position", index))]
    start = plain_words("a")
    if part.denied:
        start = plain_words("" if index else "no")
    elif part.count:
        start = [(pick(random, words_of("count", part.count)), Slot("count", index))]
    name = names[part.mention.shape]
    return [*start, *said, (plural(name) if part.count else name, Slot("object", index)), *behind]
