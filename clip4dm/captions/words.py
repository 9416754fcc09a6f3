"""From a caption to its words, and from words to the tokens that CLIP reads.

A unit is a run of characters of the cleaned caption without white space, split further at every '.' and ',' (the
published rule). A unit of punctuation alone is kept, but is never a candidate. A token belongs to the unit its
characters lie in; one that covers two units (").", "',") goes to the first candidate it touches. Nothing is counted or
tokenised twice, so that no string can shift the words against the tokens.

In the caption as given, units are disjoint, in order, not empty and free of outer white space. Where cleaning made
several units of one character they are one unit; what it made of white space alone ("\x85" becomes "…") is none.
"""

from __future__ import annotations

import re
import string
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clip4dm import published, scores
from clip4dm.captions.tokens import Tokenizer, Tokens, tokenize
from clip4dm.captions.tracked import Span, Tracked
from clip4dm.errors import CLIP4DMError

NEUTRAL = "the"  # may stand for any word: it says nothing; chosen by measurement, docs/methods.md
_UNIT = re.compile(r"[.,]|[^\s.,]+")
_ASCII_PUNCTUATION = frozenset(string.punctuation)


class CaptionError(CLIP4DMError, ValueError):
    """A caption or template that cannot be scored."""


@dataclass(frozen=True)
class Unit:
    """A piece of the caption: text == caption[start:end].

    candidate: holds more than punctuation. scored: it has tokens, and all of them fit in CLIP's context.
    dropped_by_published: the published code leaves it out in threshold mode; see `published.drops`.
    beyond_context: a token of it does not fit. A unit that is neither scored nor beyond the context has no token
    of its own: the tokenizer leaves it out.

        encode_caption(tokenizer, "a cup.").units[-1].candidate  # False: punctuation alone
    """

    text: str
    start: int
    end: int
    candidate: bool
    scored: bool
    dropped_by_published: bool
    beyond_context: bool


@dataclass(frozen=True)
class EncodedCaption:
    """A caption as the text tower reads it.

    ids: template and caption as token ids. unit_of: for each id the index of its unit, -1 for special tokens,
    template, and words that do not fit whole. units: all units in caption order. truncated: some did not fit.
    padded: ids fill the whole context. neutral: the ids of a word that may stand for any other (`neutral_ids`), where
    they were asked for. windows: of a caption that is read in parts (`windows`), whose ids are then more than fit.

    >>> EncodedCaption("cup", (49406, 1937, 49407), (-1, 0, -1), units=(), truncated=False, padded=False).truncated
    False
    """

    caption: str
    ids: tuple[int, ...]
    unit_of: tuple[int, ...]
    units: tuple[Unit, ...]
    truncated: bool
    padded: bool
    neutral: tuple[int, ...] = ()
    windows: tuple[Window, ...] = ()

    @property
    def has_scored_word(self) -> bool:
        """Whether a word can be scored at all: of "?" none can, so that none would be found misaligned."""
        return any(unit.candidate and unit.scored for unit in self.units)


@dataclass(frozen=True)
class Window:
    """A part of a long caption that the tower reads at once, behind the template.

    encoded: its units are the caption's from number `first` on, at their places in the whole caption. counted: for each
    of its units the number of its tokens that count here; the others are there as context, and count in another window.
    tokens: how many of the caption's tokens count here, those of no unit too; each token counts in one window.

        window = encode_long_caption(tokenizer, caption).windows[1]
        caption_unit = window.first + 0  # of window.encoded.units[0]
    """

    encoded: EncodedCaption
    first: int
    counted: tuple[int, ...]
    tokens: int


def encode_caption(
    tokenizer: Tokenizer, caption: str, template: str = "", neutral: tuple[int, ...] = ()
) -> EncodedCaption:
    """Template + caption as token ids, with the caption's words and which tokens are theirs.

    tokenizer: a loaded model's. caption: any string, also an empty one. template: put before it as it is, with its
    blank; its words are none of the caption's. neutral: handed on. Errors: CaptionError where the caption is no string
    or the template alone fills the context; TokenizerError.

    >>> from open_clip import get_tokenizer
    >>> encoded = encode_caption(get_tokenizer("ViT-B-32"), "a cup of coke.", "A photo depicts ")
    >>> [unit.text for unit in encoded.units], encoded.unit_of
    (['a', 'cup', 'of', 'coke', '.'], (-1, -1, -1, -1, 0, 1, 2, 3, 4, -1))
    """
    if not isinstance(caption, str):
        raise CaptionError(f"a caption is a string, got {type(caption).__name__}: {caption!r:.80}")
    return encode_tokens(tokenize(tokenizer, template + caption), caption, template, neutral)


def encode_tokens(tokens: Tokens, caption: str, template: str, neutral: tuple[int, ...]) -> EncodedCaption:
    """`encode_caption` of what was tokenised already. tokens: of template + caption. Errors: CaptionError.

    encode_tokens(tokenize(tokenizer, "a photo of a cup"), "a cup", "a photo of ", ()).units
    """
    pieces = split(tokens.base, caption, len(template))
    if pieces and not _room_for_caption(tokens, len(template)):
        raise CaptionError(
            f"the template fills CLIP's context of {len(tokens.ids)} tokens, so that nothing of the caption fits: "
            f"{template[:60]!r}... ({len(template)} characters). Give a shorter --template."
        )
    touched = [_touched(span, pieces) for span in tokens.spans]
    owners = [next((i for i in units if pieces[i].candidate), units[0]) if units else -1 for units in touched]
    beyond = {i for span in tokens.dropped for i in _touched(span, pieces)}
    scored = set(owners) - beyond - {-1}
    units = tuple(
        Unit(
            text=caption[piece.start : piece.end],
            start=piece.start,
            end=piece.end,
            candidate=piece.candidate,
            scored=i in scored,
            dropped_by_published=published.drops(piece.text),
            beyond_context=i in beyond,
        )
        for i, piece in enumerate(pieces)
    )
    return EncodedCaption(
        caption=caption,
        ids=tokens.ids,
        unit_of=tuple(owner if owner in scored else -1 for owner in owners),
        units=units,
        truncated=bool(tokens.dropped),
        padded=tokens.padded,
        neutral=neutral,
    )


def neutral_ids(tokenizer: Tokenizer, word: str = NEUTRAL) -> tuple[int, ...]:
    """The token ids of a word by itself, without start, end and padding. Errors: TokenizerError.

    >>> from open_clip import get_tokenizer
    >>> neutral_ids(get_tokenizer("ViT-B-32")), neutral_ids(get_tokenizer("ViT-B-32"), "it")
    ((518,), (585,))
    """
    alone = encode_caption(tokenizer, word)
    return tuple(token for token, unit in zip(alone.ids, alone.unit_of, strict=True) if unit >= 0)


def is_punctuation(text: str) -> bool:
    """Whether a text holds nothing but punctuation, white space and invisible characters.

    >>> is_punctuation("--"), is_punctuation("(a)")
    (True, False)
    """
    return all(c in _ASCII_PUNCTUATION or unicodedata.category(c)[0] in "PZC" for c in text)


@dataclass(frozen=True)
class Piece:
    """A unit before its tokens are known: [start, end) in the caption, [clean_start, clean_end) in the cleaned text.

    >>> Piece("cup", 2, 5, 2, 5).candidate, Piece("--", 2, 4, 2, 4).candidate
    (True, False)
    """

    text: str
    start: int
    end: int
    clean_start: int
    clean_end: int

    @property
    def candidate(self) -> bool:
        """Whether it holds more than punctuation."""
        return not is_punctuation(self.text)


def split(base: Tracked, caption: str, template_length: int) -> list[Piece]:
    """The caption's units, in order, each piece's text the cleaned one.

    base: the base-cleaned text of template and caption. template_length: characters of the template as given.

    >>> [piece.text for piece in split(Tracked.identity("A photo of a cup, red."), "a cup, red.", 11)]
    ['a', 'cup', ',', 'red', '.']
    """
    # Where the caption begins in the cleaned text: the first character that stands for nothing of the template.
    begin = next((i for i, (start, _) in enumerate(base.spans) if start >= template_length), len(base.text))
    found: list[tuple[int, int]] = []
    for match in _UNIT.finditer(base.text, begin):
        start, end = match.span()
        if found and base.spans[start][0] < base.spans[found[-1][1] - 1][1]:  # both are made of one character
            start = found.pop()[0]
        found.append((start, end))
    pieces = []
    for clean_start, clean_end in found:
        start, end = (place - template_length for place in base.span(clean_start, clean_end))
        text = caption[start:end]
        start, end = end - len(text.lstrip()), start + len(text.rstrip())
        if start < end:
            pieces.append(Piece(base.text[clean_start:clean_end], start, end, clean_start, clean_end))
    return pieces


def _room_for_caption(tokens: Tokens, template_length: int) -> bool:
    """Whether a token that reaches beyond the template fits, or there is none at all."""

    def reach(spans: Iterable[Span | None]) -> bool:
        return any(span is not None and tokens.base.span(*span)[1] > template_length for span in spans)

    return reach(tokens.spans) or not reach(tokens.dropped)


def _touched(span: Span | None, pieces: list[Piece]) -> range:
    """The indices of the units that a token, or a run of them, covers in part or whole."""
    if span is None:
        return range(0)
    return range(
        bisect_right(pieces, span[0], key=lambda piece: piece.clean_end),
        bisect_left(pieces, span[1], key=lambda piece: piece.clean_start),
    )


def mean_over_units(per_token: NDArray[np.floating[Any]], encoded: EncodedCaption) -> NDArray[np.float32]:
    """(layers, T) token attributions -> (layers, units), the mean over each unit's tokens; 0 for unscored units.

    >>> from open_clip import get_tokenizer
    >>> encoded = encode_caption(get_tokenizer("ViT-B-32"), "red cup")  # tokens: start, red, cup, end
    >>> mean_over_units(np.array([[9.0, 1.0, 2.0, 9.0]]), encoded).tolist()
    [[1.0, 2.0]]
    """
    means = np.zeros((len(per_token), len(encoded.units)), dtype=np.float32)
    tokens: dict[int, list[int]] = {}
    for token, unit in enumerate(encoded.unit_of):
        tokens.setdefault(unit, []).append(token)
    tokens.pop(-1, None)  # special tokens, the template, and words that do not fit whole
    exact = per_token.astype(np.float64)
    for unit, mine in tokens.items():
        means[:, unit] = scores.mean_over_tokens(exact, mine)
    return means
