"""Which words may take a word's place: those of its own group first, in its number.

A word that a list has in the plural takes plurals ("dogs" -> "cats"). A word that a list does not have may be of any
group. Other forms of a verb than the list's are of no group: "rides" is none of the actions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from clip4dm.suggestion.english import plural, same_word, singular
from clip4dm.suggestion.vocabulary import Vocabulary


class Candidates(NamedTuple):
    """own: of the word's own groups. others: of all other groups, to be asked where none of the own is better.

    >>> candidates(Vocabulary("mine", {"animal": (("dog",), ("cat",)), "drink": (("tea",),)}), "dogs")
    Candidates(own=('cats',), others=('tea',))
    """

    own: tuple[str, ...]
    others: tuple[str, ...]


def candidates(vocabulary: Vocabulary, word: str, distinct: bool = True) -> Candidates:
    """What may stand for a word. distinct: without inflections of it, and words of the same meaning.

    >>> drinks = Vocabulary("drinks", {"drink": (("coke", "cola"), ("tea",), ("cokes",))})
    >>> candidates(drinks, "Coke"), candidates(drinks, "Coke", distinct=False).own
    (Candidates(own=('tea',), others=()), ('cola', 'tea', 'cokes'))
    """
    listed = word.casefold()
    groups, many = vocabulary.groups_of(listed), False
    if not groups:
        one = singular(listed)
        groups = vocabulary.groups_of(one) if one else ()
        many = bool(groups)
        listed = one if one and groups else listed
    own = vocabulary.of_groups(groups)
    seen = set(own)
    others = tuple(other for other in vocabulary.words if other not in seen)
    near = vocabulary.synonyms(listed) if distinct else frozenset()
    kept = _without(own, word, listed, near, distinct)
    return Candidates(
        tuple(dict.fromkeys(map(plural, kept))) if many else kept, _without(others, word, listed, near, distinct)
    )


def _without(words: Iterable[str], word: str, listed: str, near: frozenset[str], distinct: bool) -> tuple[str, ...]:
    mine = word.casefold()
    return tuple(
        other
        for other in words
        if other.casefold() not in (mine, listed)
        and other not in near
        and not (distinct and other[:1].casefold() == mine[:1] and same_word(other, mine))  # no word changes its first
    )
