"""Text cleaning that remembers where every character came from.

CLIP's tokenizers do not see the caption as given: open_clip repairs mojibake and curly quotes (ftfy, followed in
mojibake.py), unescapes HTML twice, folds white space and lower-cases (or strips punctuation, for SigLIP). Each step
does the same on a `Tracked` string, whose every character carries the span it stands for in the text as given, so
that a token's place in the cleaned text is a place in the caption. It takes time linear in the text's length, but for
what ftfy itself may take.
"""

from __future__ import annotations

import difflib
import html
import re
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.entities import html5

Span = tuple[int, int]
Edit = tuple[int, int, "Tracked"]  # [start, end) and what takes its place, whose spans count from start

# html.unescape's own notion of a reference.
_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)")
_SPACE = re.compile(r"\s+")
_LONGEST_CODE = len("1114111")  # digits of the last code point
_PUNCTUATION = frozenset(string.punctuation)
_WINDOW = 128  # characters of either text that `align` compares at a time


@dataclass(frozen=True)
class Tracked:
    """A text and, for each of its characters, the [start, end) it stands for in the source.

    No span is empty, and neither starts nor ends ever fall: a run of characters has its span from its two ends.
    """

    text: str
    spans: tuple[Span, ...]

    @classmethod
    def identity(cls, text: str) -> Tracked:
        return cls(text, tuple((i, i + 1) for i in range(len(text))))

    @classmethod
    def whole(cls, text: str, length: int) -> Tracked:
        """A text whose every character stands for all `length` characters of its source."""
        return cls(text, ((0, length),) * len(text))

    def span(self, start: int, end: int) -> Span:
        """The source span of text[start:end] (start < end)."""
        return self.spans[start][0], self.spans[end - 1][1]

    def replace(self, edits: Iterable[Edit]) -> Tracked:
        """This text with each edit made. Edits come in order and do not overlap; the rest stays as it is."""
        text, spans, done = [], [], 0
        for start, end, new in edits:
            text += self.text[done:start], new.text
            spans += self.spans[done:start]
            spans += (self.span(start + first, start + last) for first, last in new.spans)
            done = end
        return Tracked("".join(text) + self.text[done:], (*spans, *self.spans[done:]))

    def sub(self, pattern: re.Pattern[str], fix: Callable[[str], str]) -> Tracked:
        """pattern.sub: what `fix` makes of a match stands for the whole match, unless it is the same."""
        return self.replace(
            (match.start(), match.end(), Tracked.whole(new, len(match.group())))
            for match in pattern.finditer(self.text)
            if (new := fix(match.group())) != match.group()
        )


def base_clean(source: str) -> Tracked:
    """open_clip's basic cleaning and white space folding: ftfy, HTML unescaped twice, runs of space made one."""
    from clip4dm.captions.mojibake import fix_text

    return fold_spaces(unescape(unescape(fix_text(source))))


def fold_spaces(tracked: Tracked) -> Tracked:
    """Runs of white space become one blank, outer ones go, as " ".join(text.split())."""
    folded = tracked.sub(_SPACE, lambda run: " ")
    first, last = folded.text.startswith(" "), len(folded.text) - folded.text.endswith(" ")
    return Tracked(folded.text[first:last], folded.spans[first:last])


def lower(tracked: Tracked) -> Tracked:
    """str.lower, where one character may become two ('İ')."""
    lowered = tracked.text.lower()  # of the whole, because a final sigma depends on its neighbours
    return Tracked(lowered, tuple(span for c, span in zip(tracked.text, tracked.spans, strict=True) for _ in c.lower()))


def canonicalize(tracked: Tracked) -> Tracked:
    """big_vision's canonicalisation: no punctuation, lower case; an underscore is a blank."""
    kept = [
        (c, span)
        for c, span in zip(tracked.text.replace("_", " "), tracked.spans, strict=True)
        if c not in _PUNCTUATION
    ]
    return fold_spaces(lower(Tracked("".join(c for c, _ in kept), tuple(span for _, span in kept))))


def unescape(tracked: Tracked) -> Tracked:
    """html.unescape, where a character stands for its whole reference."""
    return tracked.replace(_references(tracked.text)) if "&" in tracked.text else tracked


def _references(text: str) -> Iterator[Edit]:
    for match in _REFERENCE.finditer(text):
        name = match.group()[1:]
        if name.startswith("#"):
            end, new = match.end(), _numeric(name)
        else:
            # "&copyright" is "©right": HTML knows a few names without their semicolon, and takes the longest.
            length = next((n for n in range(len(name), 1, -1) if name[:n] in html5), 0)
            if not length:
                continue
            end, new = match.start() + 1 + length, html5[name[:length]]
        yield match.start(), end, Tracked.whole(new, end - match.start())


def _numeric(name: str) -> str:
    digits = name[1:].rstrip(";").lstrip("0")
    if digits.isdigit() and len(digits) > _LONGEST_CODE:
        return "\N{REPLACEMENT CHARACTER}"  # as html.unescape, which beyond 4,300 digits raises ValueError
    return html.unescape("&" + name if digits[:1] in ("x", "X") else f"&#{digits or 0};")


def align(source: str, target: str) -> Tracked:
    """A target whose making is not known, as a rewriting of its source: equal runs one to one, others as blocks.

    Compares two windows at a time and goes on behind their last common run.
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
