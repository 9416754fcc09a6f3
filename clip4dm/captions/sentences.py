"""Where a caption's sentences begin: a plain rule, which loses no character.

A sentence ends at a line's end, and behind `.`, `!`, `?` or `…` (with closing quotes and brackets) before white space;
not behind an abbreviation ("e.g.", "Dr."), a letter alone ("J. Smith") or the number of a list ("1. a cup"). Case says
nothing, since many captions have none. A wrong cut costs a sentence its neighbour as context, no word its attribution.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from clip4dm.errors import InputError

Long = Literal["cut", "split"]  # of a caption beyond the context its end is left out, or it is read in parts
LONG: tuple[Long, ...] = get_args(Long)
CUT, SPLIT = LONG

_END = re.compile(r"(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』）]*|[\r\n])\s*")
_LAST_WORD = re.compile(r"(\S+)\.\Z")
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st mt ft jr sr no nr fig vs etc approx ca cf al inc ltd co dept est min max avg".split()
)


def check_long(long: str) -> None:
    """Errors: InputError, saying what is allowed.

    >>> check_long("fold")
    Traceback (most recent call last):
    clip4dm.errors.InputError: unknown long 'fold'; allowed: cut, split
    """
    if long not in LONG:
        raise InputError(f"unknown long {long!r:.60}; allowed: {', '.join(LONG)}")


def sentence_starts(caption: str) -> list[int]:
    """Where the sentences begin, in characters of the caption; the first at 0. White space belongs to what it follows.

    >>> text = "A cup, approx. 3.5 cm high. Dr. J. Smith holds it! Red"
    >>> starts = sentence_starts(text)
    >>> [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)])]
    ['A cup, approx. 3.5 cm high. ', 'Dr. J. Smith holds it! ', 'Red']
    """
    starts = [0]
    for end in _END.finditer(caption):
        if end.end() < len(caption) and not _goes_on(caption, starts[-1], end):
            starts.append(end.end())
    return starts


def _goes_on(caption: str, start: int, end: re.Match[str]) -> bool:
    """Whether a full stop is no sentence's end. start: of the sentence so far."""
    if end.group().rstrip(" \t") != ".":  # a line's end among the white space ends it in any case
        return False
    so_far = caption[max(start, end.start() - 40) : end.start() + 1]
    match = _LAST_WORD.search(so_far)
    if match is None:
        return True  # a full stop by itself
    word = match[1].lstrip("([\"'“‘").casefold()
    return (
        word in _ABBREVIATIONS
        or re.fullmatch(r"[^\W\d_](\.[^\W\d_])*", word) is not None  # a letter alone, e.g.
        or (word.isdecimal() and caption[start : end.start()].strip() == word)
    )
