"""Locating labels as character spans of a caption, and comparing spans. Pure functions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from clip4dm.captions.tracked import Span


def overlaps(a: Span, b: Span) -> bool:
    """Whether two spans share a character.

    >>> overlaps((0, 3), (2, 5)), overlaps((0, 3), (3, 5))
    (True, False)
    """
    return a[0] < b[1] and b[0] < a[1]


def overlaps_any(span: Span, spans: Iterable[Span]) -> bool:
    """Whether a span shares a character with one of several.

    >>> overlaps_any((0, 3), [(4, 6), (2, 5)])
    True
    """
    return any(overlaps(span, other) for other in spans)


def changed_spans(original: str, changed: str) -> tuple[Span, ...]:
    """The spans of `changed` that replace something in `original`, compared by white-space-separated tokens.

    A replaced token's outer punctuation is left out where both sides share it: "shirt." -> "skirt." gives "skirt".

    >>> changed_spans("a cup of coffee.", "a cup of coke.")
    ((9, 13),)
    """
    old, new = list(re.finditer(r"\S+", original)), list(re.finditer(r"\S+", changed))
    matcher = difflib.SequenceMatcher(
        None, [m.group().lower() for m in old], [m.group().lower() for m in new], autojunk=False
    )
    spans = []
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal" or j1 == j2:
            continue
        start, end = new[j1].start(), new[j2 - 1].end()
        if kind == "replace":
            before = original[old[i1].start() : old[i2 - 1].end()]
            start, end = _without_shared_punctuation(before, changed, start, end)
        spans.append((start, end))
    return tuple(spans)


def _without_shared_punctuation(before: str, text: str, start: int, end: int) -> Span:
    while end - start > 1 and before and before[-1] == text[end - 1] and not text[end - 1].isalnum():
        before, end = before[:-1], end - 1
    while end - start > 1 and before and before[0] == text[start] and not text[start].isalnum():
        before, start = before[1:], start + 1
    return start, end


def whole_word_spans(text: str, phrase: str) -> tuple[Span, ...]:
    """Where a phrase stands in a text, any case and any white space between its words, at word boundaries.

    >>> whole_word_spans("Cup by cup, a cupboard", "cup")
    ((0, 3), (7, 10))
    """
    parts = phrase.split()
    if not parts:
        return ()
    pattern = r"(?<!\w)" + r"\s+".join(re.escape(part) for part in parts) + r"(?!\w)"
    return tuple(match.span() for match in re.finditer(pattern, text, re.IGNORECASE))


def substring_spans(text: str, phrase: str) -> tuple[Span, ...]:
    """Where a phrase stands in a text, any case and white space, boundaries or not.

    >>> substring_spans("a cupboard", "cup")
    ((2, 5),)
    """
    parts = phrase.split()
    if not parts:
        return ()
    return tuple(match.span() for match in re.finditer(r"\s+".join(map(re.escape, parts)), text, re.IGNORECASE))


def changed_phrase(text: str, phrase: str, changed: Iterable[Span]) -> tuple[Span, ...]:
    """Where a phrase stands in what was changed: as whole words, else as letters of a longer word; () if nowhere.

    >>> changed_phrase("a cup by a cup", "cup", [(9, 14)])
    ((11, 14),)
    """
    changed = tuple(changed)
    for candidates in (whole_word_spans(text, phrase), substring_spans(text, phrase)):
        meant = tuple(span for span in candidates if overlaps_any(span, changed))
        if meant:
            return meant
    return ()
