"""The words of the drawn world: for every kind of fact its values, and for every value the words that say it.

Words of one value are synonyms; words of two values of one kind are never both true of the same thing. Whatever may
follow "a" begins with a consonant, so that exchanging one word never asks for another article.
"""

from __future__ import annotations

from collections.abc import Mapping

Value = str | int  # of a fact: a number of things, else a name
SHAPES = {
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "cross": ("cross", "plus"),
    "diamond": ("diamond",),
    "moon": ("moon", "crescent"),
    "house": ("house", "cottage"),
    "fish": ("fish",),
    "tree": ("tree",),
    "bolt": ("bolt", "lightning"),
}
PLURALS = {"box": "boxes", "cross": "crosses", "plus": "pluses", "fish": "fishes", "lightning": "lightnings"}
COLOURS = {name: (name,) for name in ("red", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")}
SIZES = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
TEXTURES = {"plain": ("plain",), "striped": ("striped",), "dotted": ("dotted", "spotted"), "hollow": ("hollow",)}
COUNTS = {2: ("two",), 3: ("three",), 4: ("four",), 5: ("five",)}
RELATIONS = {
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
    "beside": ("beside", "alongside"),
    "inside": ("inside", "within"),
}
PLACES = {"left": ("left",), "right": ("right",), "top": ("top",), "bottom": ("bottom",)}
BACKGROUNDS = {
    "grass": ("grass",),
    "sand": ("sand",),
    "snow": ("snow",),
    "water": ("water",),
    "brick": ("bricks",),
    "wood": ("wood",),
}

# The kinds of fact a caption can state, as the benchmark groups them.
KINDS: dict[str, Mapping[str, tuple[str, ...]] | Mapping[int, tuple[str, ...]]] = {
    "object": SHAPES,
    "colour": COLOURS,
    "size": SIZES,
    "texture": TEXTURES,
    "count": COUNTS,
    "relation": RELATIONS,
    "position": PLACES,
    "background": BACKGROUNDS,
}


def words_of(kind: str, value: Value) -> tuple[str, ...]:
    """The words that say a value of a kind. kind: a key of KINDS; value: one of its keys.

    >>> words_of("size", "small"), words_of("count", 2)
    (('small', 'little', 'tiny'), ('two',))
    """
    return next(words for known, words in KINDS[kind].items() if known == value)


def plural(noun: str) -> str:
    """A noun of SHAPES for several things.

    >>> plural("star"), plural("box")
    ('stars', 'boxes')
    """
    return PLURALS.get(noun, noun + "s")
