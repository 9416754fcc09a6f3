"""A caption with one word exchanged or left out, and where in the new caption the new word stands.

Only what the model reads as letters, digits and their marks makes way (of a word without any, what is no punctuation):
quotes, brackets and a possessive "'s" around a word stay. A word with a hyphen or an apostrophe inside is one word. "a"
and "an" before the word follow the new one, and its capitals are the old one's. Nothing else of the caption changes.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from clip4dm.captions.cleaning import base_clean
from clip4dm.captions.words import is_punctuation
from clip4dm.suggestion.english import article, like_case

_ARTICLE = re.compile(r"(?<![^\s(\[{\"'“‘«—–-])(?<!\w-)(an?)(\s+(?:&#?\w+;|[^\s\w])*)\Z", re.IGNORECASE)
_POSSESSIVE = re.compile(r"(?<=\w)['’]s?\Z", re.IGNORECASE)
_NEXT_WORD = re.compile(r"\s*[^\s\w]*(\w[^\s.,]*)")
_SENTENCE_BEGUN = re.compile(r"\w[^.!?]*\Z")
_SEPARATORS = re.compile(r"[\s.,;:!?…]*")
_PAIRS = {"(": ")", "[": "]", "{": "}", "“": "”", "‘": "’", "«": "»", '"': '"', "'": "'"}
_MARKS = frozenset("!?:;…")  # part sentences, as "." and "," do, which are no part of a word
# Words that no article stands before: "a" of "a dog and a cat" goes with the dog.
_NO_NOUN_BEGINS = frozenset(
    "a an the and or but of in on at by with without for from to near over under behind beside beneath between "
    "is are was were has have had that which who while".split()
)


class Edit(NamedTuple):
    """A new caption: caption[start:end] is the new word, nothing where one was left out.

    >>> edit = replace_word("an apple.", 3, 8, "pear")
    >>> edit, edit.caption[edit.start : edit.end]
    (Edit(caption='a pear.', start=2, end=6), 'pear')
    """

    caption: str
    start: int
    end: int


def core(caption: str, start: int, end: int) -> tuple[int, int]:
    """The part of a word at caption[start:end] that another word can take: without quotes, brackets and "'s" around it.

    >>> text = "(the dog's) &quot;bone&quot;"
    >>> [text[slice(*core(text, *place))] for place in ((0, 4), (5, 11), (12, 28))]
    ['the', 'dog', 'bone']
    """
    first, last, _ = _core(caption[start:end])
    return start + first, start + last


@lru_cache(1024)
def _core(word: str) -> tuple[int, int, int]:
    """[first, last) of a word's core, and where it ends with its "'s"."""
    clean = base_clean(word)
    letters = [i for i, c in enumerate(clean.text) if unicodedata.category(c)[0] in "LN"]
    letters = letters or [i for i, c in enumerate(clean.text) if not is_punctuation(c)]
    if not letters:
        return 0, len(word), len(word)
    first, last = letters[0], letters[-1] + 1
    while last < len(clean.text) and unicodedata.category(clean.text[last])[0] == "M":
        last += 1
    possessive = _POSSESSIVE.search(clean.text[first:last])
    start, end = clean.span(first, last)
    return start, clean.span(first, first + possessive.start())[1] if possessive else end, end


def replace_word(caption: str, start: int, end: int, word: str) -> Edit:
    """The caption with `word` for the one at [start, end). word: as a list has it, in small letters.

    >>> replace_word("A Cat's tail", 2, 7, "owl")
    Edit(caption="An Owl's tail", start=3, end=6)
    """
    first, last = core(caption, start, end)
    new = like_case(word, caption[first:last])
    before = _with_article(caption[:first], word, new)
    return Edit(before + new + caption[last:], len(before), len(before) + len(new))


def leave_out(caption: str, start: int, end: int) -> Edit | None:
    """The caption without the word at [start, end); None where no word would be left.

    What stands in pairs around it goes with it, and so does an "a" or "an" that would stand before nothing. The next
    word takes over a capital that began the caption.

    >>> leave_out("An orange cat", 3, 9), leave_out("a cup of a coke.", 11, 15)
    (Edit(caption='A cat', start=2, end=2), Edit(caption='a cup of.', start=8, end=8))
    """
    first, _, last = _core(caption[start:end])
    capital = next((c.isupper() for c in caption if c.isalnum()), False)
    behind = caption[start + last : end]
    if behind[:1] in ("'", "’") and caption[start + last - 1] in "sS":
        behind = behind[1:]  # of the dogs' bone
    opened, closed = _unpaired(caption[start : start + first], behind)
    before, after = caption[:start] + opened, closed + caption[end:]
    following = _NEXT_WORD.match(after)
    mine = _ARTICLE.search(before)
    if mine and not (following and after[:1].isspace() and following[1].casefold() not in _NO_NOUN_BEGINS):
        before = before[: mine.start(1)] + mine[2].lstrip()
    elif mine and following:
        before = _with_article(before, following[1], following[1])
    while before and after and _PAIRS.get(before[-1]) == after[0]:  # nothing is left between them
        before, after = before[:-1], after[1:]
    if before[-1:] in _PAIRS:
        after = after.lstrip()
    before = before.rstrip()
    if not before:
        after = after[_SEPARATORS.match(after).end() :]  # type: ignore[union-attr]  # it always matches
        if capital:
            after = _with_capital(after)
    if is_punctuation(base_clean(before + after).text):
        return None
    place = len(before) + int(bool(before) and after[:1].isspace())
    return Edit(before + after, place, place)


def _unpaired(before: str, after: str) -> tuple[str, str]:
    """What stays of the punctuation around a word that goes: brackets and quotes of other words, and what parts them.

    >>> _unpaired("(“", "”)"), _unpaired("", "”);"), _unpaired("(", "!")
    (('', ''), ('', '”);'), ('(', '!'))
    """
    opened: list[str] = []
    for mark in before:
        if opened and _PAIRS[opened[-1]] == mark:
            opened.pop()
        elif mark in _PAIRS:
            opened.append(mark)
    closed = []
    for mark in after:
        if opened and _PAIRS[opened[-1]] == mark:
            opened.pop()
        elif mark in _MARKS or mark in _PAIRS.values():
            closed.append(mark)
    return "".join(opened), "".join(closed)


def _with_capital(text: str) -> str:
    following = _NEXT_WORD.match(text)
    if not following:
        return text
    at = following.start(1)
    return text[:at] + text[at].upper() + text[at + 1 :]


def _with_article(before: str, word: str, shown: str) -> str:
    """What stands before a word, its last word "a" or "an" made to fit; as it is where that is no article.

    shown: the word with the capitals that it has here.

    >>> _with_article("an ", "cup", "cup"), _with_article("A ", "owl", "OWL"), _with_article("vitamin A ", "owl", "owl")
    ('a ', 'AN ', 'vitamin A ')
    """
    found = _ARTICLE.search(before)
    if not found or not word:
        return before
    old, new = found[1], str(article(word))
    if new == old.lower():
        return before
    if old == "A" and shown[0].islower() and _SENTENCE_BEGUN.search(before[: found.start(1)]):
        return before  # a letter: of a vitamin, a plan
    if old.isupper() and (len(old) > 1 or (len(shown) > 1 and shown.isupper())):
        new = new.upper()
    elif old[0].isupper():
        new = new.capitalize()
    return before[: found.start(1)] + new + found[2]
