"""Which word of a foil was exchanged for which, and which words a file exchanges with each other.

Two words are of one kind where the file exchanges one for the other, directly or by way of others: FOIL exchanges words
within a supercategory of COCO, so that these are its kinds; of the drawn world they are the kinds of fact.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os.path import commonprefix
from typing import NamedTuple

from clip4dm.benchmarks.base import Sample
from clip4dm.suggestion.edits import core
from clip4dm.suggestion.english import singular
from clip4dm.suggestion.vocabulary import Vocabulary

_ARTICLES = ("a", "an")


class Exchange(NamedTuple):
    """A foil's word at [start, end) of its caption, and what stands there in the original, in small letters.

    >>> Exchange("coke", "coffee", 9, 13).original
    'coffee'
    """

    foil: str
    original: str
    start: int
    end: int


def exchange_of(sample: Sample) -> Exchange | None:
    """What was exchanged in a foil; None where it is not one word of it, or the original is not known.

    >>> foil = Sample("1", "a.jpg", "a", "A pear, an egg", True, ((2, 6),), "pear", original="An apple, an egg")
    >>> exchange_of(foil)
    Exchange(foil='pear', original='apple', start=2, end=6)
    """
    if not sample.original:
        return None
    new, old = _spans(sample.caption), _spans(sample.original)
    texts = [
        [text[slice(*span)].casefold() for span in spans]
        for text, spans in ((sample.caption, new), (sample.original, old))
    ]
    first = len(commonprefix(texts))
    last = len(commonprefix([words[first:][::-1] for words in texts]))
    new, old = new[first : len(new) - last], old[first : len(old) - last]
    if len(new) == 2 and len(old) > 1 and _is_article(sample.caption, new[0]) and _is_article(sample.original, old[0]):
        new, old = new[1:], old[1:]
    if len(new) != 1 or not old:
        return None
    start, end = core(sample.caption, *new[0])
    before, after = core(sample.original, old[0][0], old[-1][1])
    return Exchange(sample.caption[start:end].casefold(), sample.original[before:after].casefold(), start, end)


def _spans(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\S+", text)]


def _is_article(text: str, span: tuple[int, int]) -> bool:
    return text[slice(*span)].casefold() in _ARTICLES


@dataclass(frozen=True)
class Exchanged:
    """What a file exchanges. kinds: groups of words that it exchanges with each other. originals: how often each word
    was the original.

    >>> pairs = ("coke", "coffee"), ("tea", "coke"), ("cat", "dog")
    >>> found = Exchanged.of([Exchange(foil, original, 0, len(foil)) for foil, original in pairs])
    >>> found.kinds.of_groups(found.kinds.groups_of("tea")), found.frequent(["coffee", "coke"], but="coke")
    (('coffee', 'coke', 'tea'), 'coffee')
    """

    kinds: Vocabulary
    originals: Mapping[str, int]

    @classmethod
    def of(cls, exchanges: Iterable[Exchange]) -> Exchanged:
        """Of all foils of a file."""
        kind_of: dict[str, set[str]] = {}
        originals: Counter[str] = Counter()
        for exchange in exchanges:
            originals[exchange.original] += 1
            mine, others = (kind_of.setdefault(word, {word}) for word in (exchange.foil, exchange.original))
            if mine is not others:
                mine |= others
                kind_of.update(dict.fromkeys(others, mine))
        kinds = {id(words): words for words in kind_of.values()}.values()
        groups = {min(words): tuple((word,) for word in sorted(words)) for words in kinds}
        return cls(Vocabulary("kind", groups), originals)

    def frequent(self, words: Iterable[str], but: str) -> str:
        """The one of these words that was the original most often; of several the first of the alphabet, so that the
        order in which they come, which is the model's, has no part in it. but: the original of the foil that asks, once
        not counted."""
        return min(words, key=lambda word: ((word == but) - self.originals.get(word, 0), word))


def same_meaning(word: str, other: str, vocabulary: Vocabulary) -> bool:
    """Whether two words are one or stand in one entry of a vocabulary, both in the singular or both in the plural.

    >>> shapes = Vocabulary("shapes", {"": (("circle", "disc"), ("star",))})
    >>> [same_meaning(*pair, shapes) for pair in (("disc", "circle"), ("discs", "circles"), ("disc", "star"))]
    [True, True, False]
    """
    word, other = word.casefold(), other.casefold()
    if word == other or other in vocabulary.synonyms(word):
        return True
    one, another = singular(word), singular(other)
    return bool(one and another) and (one == another or str(another) in vocabulary.synonyms(str(one)))
