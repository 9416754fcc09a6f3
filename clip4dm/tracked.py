"""Text cleaning that remembers where every character came from.

CLIP's tokenizers do not see the caption as given: open_clip repairs mojibake and curly quotes (ftfy), unescapes
HTML twice, folds white space and lower-cases (or strips punctuation, for SigLIP). Each step below does the same
on a `Tracked` string, whose every character carries the span it stands for in the text as given, so that a
token's place in the cleaned text is a place in the caption.
"""

from __future__ import annotations

import difflib
import html
import re
import string
from collections.abc import Callable
from dataclasses import dataclass

Span = tuple[int, int]

# html.unescape's own notion of a reference; `_unescape` checks its result against html.unescape itself.
_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)")
_PUNCTUATION = frozenset(string.punctuation)
_LARGEST_ALIGNMENT = 4_000_000  # characters x characters; beyond it difflib takes seconds


@dataclass(frozen=True)
class Tracked:
    """A text and, for each of its characters, the [start, end) it stands for in the source."""

    text: str
    spans: tuple[Span, ...]

    @classmethod
    def identity(cls, text: str) -> Tracked:
        return cls(text, tuple((i, i + 1) for i in range(len(text))))

    def span(self, start: int, end: int) -> Span:
        """The source span of text[start:end] (start < end)."""
        inside = self.spans[start:end]
        return min(s for s, _ in inside), max(e for _, e in inside)

    def after(self, text: str, sources: list[Span]) -> Tracked:
        """This text rewritten as `text`, whose character k stands for self.text[slice(*sources[k])]."""
        return Tracked(text, tuple(self.span(*s) if s[0] < s[1] else self._point(s[0]) for s in sources))

    def _point(self, position: int) -> Span:
        """The empty source span before character `position`, for characters that cleaning inserted."""
        at = self.spans[position][0] if position < len(self.spans) else (self.spans[-1][1] if self.spans else 0)
        return at, at


def base_clean(source: str) -> Tracked:
    """open_clip's basic cleaning and white space folding: ftfy, HTML unescaped twice, runs of space made one."""
    tracked = _fix_text(Tracked.identity(source))
    tracked = _unescape(_unescape(tracked))
    return fold_spaces(tracked)


def final_clean(base: Tracked, target: str) -> Tracked:
    """The tokenizer's last step, on the base-cleaned text: `target` is what it makes of the whole.

    The spans of the result are spans of base.text, not of the source. Lower-casing and big_vision's
    canonicalisation are followed exactly; any other step is aligned character by character.
    """
    plain = Tracked.identity(base.text)
    for step in (lambda t: t, lower, _canonicalize):
        tracked = step(plain)
        if tracked.text == target:
            return tracked
    return plain.after(target, align(plain.text, target))


def fold_spaces(tracked: Tracked) -> Tracked:
    """Runs of white space become one blank, outer ones go, as " ".join(text.split())."""
    text, sources, end = [], [], None
    for match in re.finditer(r"\S+", tracked.text):
        if end is not None:
            text.append(" ")
            sources.append((end, match.start()))
        text.append(match.group())
        sources.extend((i, i + 1) for i in range(*match.span()))
        end = match.end()
    return tracked.after("".join(text), sources)


def lower(tracked: Tracked) -> Tracked:
    """str.lower, where one character may become two ('İ')."""
    lowered = tracked.text.lower()  # of the whole, because a final sigma depends on its neighbours
    sources = [(i, i + 1) for i, c in enumerate(tracked.text) for _ in c.lower()]
    return tracked.after(lowered, sources)


def _canonicalize(tracked: Tracked) -> Tracked:
    kept = [(" " if c == "_" else c, (i, i + 1)) for i, c in enumerate(tracked.text)
            if c == "_" or c not in _PUNCTUATION]
    bare = tracked.after("".join(c for c, _ in kept), [s for _, s in kept])
    return fold_spaces(lower(bare))


def _unescape(tracked: Tracked) -> Tracked:
    if "&" not in tracked.text:
        return tracked
    text, sources, end = [], [], 0
    for match in _REFERENCE.finditer(tracked.text):
        text.append(tracked.text[end:match.start()])
        sources.extend((i, i + 1) for i in range(end, match.start()))
        plain = html.unescape(match.group())
        text.append(plain)
        # "&copyright" unescapes to "©right": its tail stands for itself, only the head for the reference.
        tail = len(_common_suffix(match.group(), plain))
        sources.extend([(match.start(), match.end() - tail)] * (len(plain) - tail))
        sources.extend((i, i + 1) for i in range(match.end() - tail, match.end()))
        end = match.end()
    text.append(tracked.text[end:])
    sources.extend((i, i + 1) for i in range(end, len(tracked.text)))
    whole = html.unescape(tracked.text)
    if "".join(text) != whole:
        return tracked.after(whole, align(tracked.text, whole))
    return tracked.after(whole, sources)


def _fix_text(tracked: Tracked) -> Tracked:
    from ftfy import fix_text

    source, fixed = tracked.text, fix_text(tracked.text)
    if fixed == source:
        return tracked
    # ftfy repairs words, seldom runs of words: follow it piece by piece where that gives the same text.
    pieces = re.findall(r"\s+|\S+", source)
    repaired = [fix_text(piece) for piece in pieces]
    if "".join(repaired) != fixed:
        return tracked.after(fixed, align(source, fixed))
    sources: list[Span] = []
    offset = 0
    for piece, new in zip(pieces, repaired, strict=True):
        local = _align_piece(piece, new, fix_text)
        sources.extend((start + offset, end + offset) for start, end in local)
        offset += len(piece)
    return tracked.after(fixed, sources)


def _align_piece(piece: str, new: str, fix: Callable[[str], str]) -> list[Span]:
    if new == piece:
        return [(i, i + 1) for i in range(len(piece))]
    singles = [fix(c) for c in piece]
    if "".join(singles) == new:  # curly quotes, ligatures, full-width letters: one character at a time
        return [(i, i + 1) for i, made in enumerate(singles) for _ in made]
    return align(piece, new)


def align(source: str, target: str) -> list[Span]:
    """For each character of target, the span of source it stands for: equal runs one to one, others as blocks."""
    head = len(_common_prefix(source, target))
    tail = len(_common_suffix(source[head:], target[head:]))
    middle_source, middle_target = source[head:len(source) - tail], target[head:len(target) - tail]
    sources = [(i, i + 1) for i in range(head)]
    if len(middle_source) * len(middle_target) > _LARGEST_ALIGNMENT:
        sources += [(head, len(source) - tail)] * len(middle_target)
    else:
        matcher = difflib.SequenceMatcher(None, middle_source, middle_target, autojunk=False)
        for kind, i1, i2, j1, j2 in matcher.get_opcodes():
            if kind == "equal":
                sources += [(head + i, head + i + 1) for i in range(i1, i2)]
            else:
                sources += [(head + i1, head + i2)] * (j2 - j1)
    return sources + [(i, i + 1) for i in range(len(source) - tail, len(source))]


def _common_prefix(a: str, b: str) -> str:
    length = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:length]


def _common_suffix(a: str, b: str) -> str:
    return _common_prefix(a[::-1], b[::-1])[::-1]
