"""From a caption to its words, and from words to the tokens that CLIP reads.

A unit is a run of characters without white space, split further at every '.' and ',' (the published rule). A unit
of punctuation alone is kept, but is never a candidate. A token belongs to the unit its characters lie in; one that
covers two units (").", "',") goes to the first candidate it touches. Nothing is counted or tokenised twice, so
that no string can shift the words against the tokens.
"""

from __future__ import annotations

import re
import string
import unicodedata
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass

from clip4dm.tokens import Tokens, tokenize
from clip4dm.tracked import Span

_ASCII_PUNCTUATION = frozenset(string.punctuation)
PUBLISHED_PUNCTUATION = '.,!"?;:" '  # what is a substring of this is no word to the published code


class CaptionError(ValueError):
    """A caption or template that cannot be scored."""


@dataclass(frozen=True)
class Unit:
    """A piece of the caption: text == caption[start:end].

    candidate: holds more than punctuation. scored: all its tokens fit in CLIP's context.
    dropped_by_published: the published code drops it in threshold mode, see `published`.
    """

    text: str
    start: int
    end: int
    candidate: bool
    scored: bool
    dropped_by_published: bool


@dataclass(frozen=True)
class EncodedCaption:
    """A caption as the text tower reads it.

    ids: template and caption as token ids. unit_of: for each id the index of its unit, -1 for special tokens,
    template, and words that do not fit whole. units: all units in caption order. truncated: some did not fit.
    padded: ids fill the whole context.
    """

    caption: str
    ids: tuple[int, ...]
    unit_of: tuple[int, ...]
    units: tuple[Unit, ...]
    truncated: bool
    padded: bool


def encode_caption(tokenizer, caption: str, template: str = "") -> EncodedCaption:
    """Template + caption as token ids, with the caption's words and which tokens are theirs.

    Errors: CaptionError where the caption is no string or the template alone fills the context.
    """
    if not isinstance(caption, str):
        raise CaptionError(f"a caption is a string, got {type(caption).__name__}: {caption!r:.80}")
    tokens = tokenize(tokenizer, template + caption)
    pieces = _split(tokens, len(template))
    if pieces and not _room_for_caption(tokens, pieces[0][0]):
        raise CaptionError(
            f"the template fills CLIP's context of {len(tokens.ids)} tokens, so that nothing of the caption fits: "
            f"{template[:60]!r}... ({len(template)} characters). Give a shorter --template.")
    kept = [_owner(span, pieces) for span in tokens.spans]
    dropped = Counter(_owner(span, pieces) for span in tokens.dropped)
    counts = Counter(kept)
    units = []
    for index, (start, end, candidate) in enumerate(pieces):
        source_start, source_end = tokens.base.span(start, end)
        source_start = max(source_start, len(template))
        text = caption[source_start - len(template):source_end - len(template)]
        units.append(Unit(
            text=text,
            start=source_start - len(template),
            end=source_end - len(template),
            candidate=candidate,
            scored=counts[index] > 0 and dropped[index] == 0,
            dropped_by_published=tokens.base.text[start:end] in PUBLISHED_PUNCTUATION,
        ))
    return EncodedCaption(
        caption=caption,
        ids=tokens.ids,
        unit_of=tuple(i if i >= 0 and units[i].scored else -1 for i in kept),
        units=tuple(units),
        truncated=bool(tokens.dropped),
        padded=tokens.padded,
    )


def is_punctuation(text: str) -> bool:
    """Whether a text holds nothing but punctuation, white space and invisible characters."""
    return all(c in _ASCII_PUNCTUATION or unicodedata.category(c)[0] in "PZC" for c in text)


def _split(tokens: Tokens, template_length: int) -> list[tuple[int, int, bool]]:
    """(start, end, candidate) of the caption's units, in the base-cleaned text."""
    base = tokens.base
    # Where the caption begins in the cleaned text: the first character that stands for nothing of the template.
    begin = next((i for i, (start, _) in enumerate(base.spans) if start >= template_length), len(base.text))
    pieces = []
    for match in re.finditer(r"[.,]|[^\s.,]+", base.text[begin:]):
        start, end = begin + match.start(), begin + match.end()
        pieces.append((start, end, not is_punctuation(match.group())))
    return pieces


def _room_for_caption(tokens: Tokens, begin: int) -> bool:
    covered = [span for span in (*tokens.spans, *tokens.dropped) if span is not None and span[1] > begin]
    fitted = [span for span in tokens.spans if span is not None and span[1] > begin]
    return bool(fitted) or not covered


def _owner(span: Span | None, pieces: list[tuple[int, int, bool]]) -> int:
    """The index of the unit that a token belongs to, -1 for none."""
    if span is None:
        return -1
    first = bisect_right(pieces, span[0], key=lambda piece: piece[1])  # the first unit that ends after it begins
    touched = [i for i, piece in enumerate(pieces[first:first + span[1] - span[0]], first) if piece[0] < span[1]]
    if not touched:
        return -1
    return next((i for i in touched if pieces[i][2]), touched[0])
