"""A caption with one word exchanged or left out, and where in the new caption the new word stands.

Only letters, digits and marks make way: quotes, brackets and a possessive "'s" around a word stay. A word with a
hyphen or an apostrophe inside is one word. "a" and "an" before the word follow the new one, and its capitals are
the old one's. Nothing else of the caption changes.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from clip4dm.suggestion.english import article, like_case

_ARTICLE = re.compile(r"(?<![^\s(\[{\"'“‘«-])(an?)(\s+[^\s\w]*)\Z", re.IGNORECASE)
_POSSESSIVE = re.compile(r"(?<=\w)['’]s?\Z", re.IGNORECASE)
_NEXT_WORD = re.compile(r"\s*[^\s\w]*(\w[^\s.,]*)")


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

    >>> text = "(the dog's) bone"
    >>> [text[slice(*core(text, *place))] for place in ((0, 4), (5, 11), (12, 16))]
    ['the', 'dog', 'bone']
    """
    letters = [i for i in range(start, end) if unicodedata.category(caption[i])[0] in "LNM"]
    if not letters:
        return start, end
    first, last = letters[0], letters[-1] + 1
    possessive = _POSSESSIVE.search(caption[first:last])
    return first, first + possessive.start() if possessive else last


def replace_word(caption: str, start: int, end: int, word: str) -> Edit:
    """The caption with `word` for the one at [start, end). word: as a list has it, in small letters.

    >>> replace_word("A Cat's tail", 2, 7, "owl")
    Edit(caption="An Owl's tail", start=3, end=6)
    """
    first, last = core(caption, start, end)
    new = like_case(word, caption[first:last])
    before = _with_article(caption[:first], word, capitals=len(new) > 1 and new.isupper())
    return Edit(before + new + caption[last:], len(before), len(before) + len(new))


def leave_out(caption: str, start: int, end: int) -> Edit | None:
    """The caption without the word at [start, end); None where nothing would be left.

    An article that would stand before nothing goes too. The next word takes over a capital that began the caption.

    >>> leave_out("An orange cat", 3, 9), leave_out("a cup of a coke.", 11, 15)
    (Edit(caption='A cat', start=2, end=2), Edit(caption='a cup of.', start=8, end=8))
    """
    before, after = caption[:start], caption[end:]
    following = _NEXT_WORD.match(after)
    mine = _ARTICLE.search(before)
    if mine and not (following and after[:1].isspace()):
        before = before[: mine.start(1)]
    elif mine and following:
        before = _with_article(before, following[1])
    if before[-1:].isspace() or not before:
        kept = before.rstrip()
        after = after if kept else after.lstrip()
        before = kept
    if not before and following and caption[start].isupper():
        at = after.find(following[1])
        after = after[:at] + following[1][:1].upper() + following[1][1:] + after[at + len(following[1]) :]
    if not any(unicodedata.category(character)[0] in "LN" for character in before + after):
        return None
    place = len(before) + int(bool(before) and after[:1].isspace())
    return Edit(before + after, place, place)


def _with_article(before: str, word: str, capitals: bool = False) -> str:
    """What stands before a word, its last word "a" or "an" made to fit; as it is where that is no article."""
    found = _ARTICLE.search(before)
    if not found or not word:
        return before
    old, new = found[1], str(article(word))
    if new == old.lower():
        return before
    if old.isupper() and (len(old) > 1 or capitals):
        new = new.upper()
    elif old[0].isupper():
        new = new.capitalize()
    return before[: found.start(1)] + new + found[2]
