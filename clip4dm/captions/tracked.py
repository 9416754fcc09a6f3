"""A text that remembers where every character came from, through any number of rewritings.

>>> tracked = Tracked.identity("a cup &amp; saucer").replace([(6, 11, Tracked.whole("&", 5))])
>>> tracked.text, tracked.span(6, 7)
('a cup & saucer', (6, 11))
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

Span = tuple[int, int]  # [start, end) in characters
Edit = tuple[int, int, "Tracked"]  # [start, end) and what takes its place, whose spans count from start

_WINDOW = 128  # characters of either text that `align` compares at a time


class Match(Protocol):
    """A match of either library of regular expressions."""

    def group(self) -> str:
        """The matched text."""

    def start(self) -> int:
        """Where it begins, in characters."""

    def end(self) -> int:
        """Where it ends, in characters."""


class Pattern(Protocol):
    """A compiled pattern, of `re` or of `regex`."""

    def finditer(self, string: str, /) -> Iterable[Match]:
        """All matches that do not overlap, in order."""


@dataclass(frozen=True)
class Tracked:
    """A text and, for each of its characters, the [start, end) it stands for in the source.

    spans: (len(text),) pairs of characters of the source.

    No span is empty, and neither starts nor ends ever fall: a run of characters has its span from its two ends.

    >>> Tracked.identity("cup").span(1, 3), Tracked.whole("u", 2).spans
    ((1, 3), ((0, 2),))
    """

    text: str
    spans: tuple[Span, ...]

    @classmethod
    def identity(cls, text: str) -> Tracked:
        """A text as its own source: character i stands for [i, i + 1)."""
        return cls(text, tuple((i, i + 1) for i in range(len(text))))

    @classmethod
    def whole(cls, text: str, length: int) -> Tracked:
        """A text whose every character stands for all `length` characters of its source."""
        return cls(text, ((0, length),) * len(text))

    def span(self, start: int, end: int) -> Span:
        """The source span of text[start:end] (start < end)."""
        return self.spans[start][0], self.spans[end - 1][1]

    def replace(self, edits: Iterable[Edit]) -> Tracked:
        """This text with each edit made. Edits come in order and do not overlap; the rest stays as it is.

        >>> Tracked.identity("a cop").replace([(3, 4, Tracked.whole("u", 1))]).text
        'a cup'
        """
        text: list[str] = []
        spans: list[Span] = []
        done = 0
        for start, end, new in edits:
            text += self.text[done:start], new.text
            spans += self.spans[done:start]
            spans += (self.span(start + first, start + last) for first, last in new.spans)
            done = end
        return Tracked("".join(text) + self.text[done:], (*spans, *self.spans[done:]))

    def sub(self, pattern: Pattern, fix: Callable[[str], str]) -> Tracked:
        """pattern.sub: what `fix` makes of a match stands for the whole match, unless it is the same.

        >>> import re
        >>> Tracked.identity("two  cups").sub(re.compile(" +"), lambda run: " ").spans[3:5]
        ((3, 5), (5, 6))
        """
        return self.replace(
            (match.start(), match.end(), Tracked.whole(new, len(match.group())))
            for match in pattern.finditer(self.text)
            if (new := fix(match.group())) != match.group()
        )


def align(source: str, target: str) -> Tracked:
    """A target whose making is not known, as a rewriting of its source: equal runs one to one, others as blocks.

    Compares two windows of 128 characters at a time and goes on behind their last common run.

    >>> align("grey cat", "gray cat").spans[1:4]
    ((1, 2), (2, 3), (3, 4))
    """
    spans: list[Span] = []
    i = j = 0
    while j < len(target):
        mine, theirs = source[i : i + _WINDOW], target[j : j + _WINDOW]
        runs = difflib.SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks()
        if len(runs) > 1 and (i + len(mine) < len(source) or j + len(theirs) < len(target)):
            runs = runs[:-1]  # the last one is empty and stands at the windows' ends
        a = b = 0
        for run in runs:
            spans += [_block(i + a, i + run.a, len(source))] * (run.b - b)
            spans += ((k, k + 1) for k in range(i + run.a, i + run.a + run.size))
            a, b = run.a + run.size, run.b + run.size
        i, j = i + a, j + b
    return Tracked(target, tuple(spans))


def _block(start: int, end: int, length: int) -> Span:
    """[start, end), or, where that is empty, the character beside it: nothing stands for nothing."""
    if start < end or not length:
        return start, end
    return max(start - 1, 0), max(start, 1)
