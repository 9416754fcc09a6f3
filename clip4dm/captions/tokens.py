"""Token ids with character spans: what open_clip's tokenizers do, plus where in the text each token stands.

`tokenize(tokenizer, text)` gives the ids that the text tower reads and, for each id, the [start, end) it covers
in the base-cleaned text (`cleaning.base_clean`), or None for start, end, padding and class tokens. Linear in the
text's length, give or take a logarithm.

Difference from open_clip, on purpose: a caption's literal "<end_of_text>" is text like any other. As a special
token it would end the caption in the middle, since CLIP looks for its end by the largest token id.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Literal, Protocol, overload

import regex

from clip4dm.captions.cleaning import base_clean, canonicalize, lower
from clip4dm.captions.tracked import Span, Tracked, align
from clip4dm.errors import CLIP4DMError

if TYPE_CHECKING:
    import torch
    from typing_extensions import TypeIs

# CLIP's pattern without its special tokens.
_PATTERN = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)
_LONG = 256  # bytes of a word from which open_clip's own merging, quadratic and kept in memory for ever, is left


class TokenizerError(CLIP4DMError, ValueError):
    """A tokenizer that cannot say which characters a token covers."""


class BPETokenizer(Protocol):
    """What is used of open_clip's SimpleTokenizer, CLIP's own byte pair encoding."""

    context_length: int | None
    clean_fn: Callable[[str], str]
    encoder: Mapping[str, int]
    byte_encoder: Mapping[int, str]
    bpe_ranks: Mapping[tuple[str, str], int]
    sot_token_id: int
    eot_token_id: int

    def __call__(self, texts: str | list[str]) -> torch.Tensor:
        """Texts -> token ids (texts, context), int64."""

    def bpe(self, token: str) -> str:
        """A word, its bytes written as characters -> its pieces, parted by blanks, the last with "</w>"."""


class Encoding(Protocol):
    """What transformers makes of one text."""

    @overload
    def __getitem__(self, name: Literal["input_ids", "special_tokens_mask"], /) -> list[int]: ...

    @overload
    def __getitem__(self, name: Literal["offset_mapping"], /) -> list[Span]: ...


class FastTokenizer(Protocol):
    """What is used of transformers' tokenizers. is_fast: it can say where in the text its tokens stand."""

    is_fast: bool
    sep_token_id: int | None

    def __call__(
        self,
        text: str,
        *,
        return_offsets_mapping: bool,
        return_special_tokens_mask: bool,
        max_length: int | None = None,
        padding: str | bool = False,
        truncation: bool = False,
    ) -> Encoding:
        """A text -> its tokens."""


class HFTokenizer(Protocol):
    """What is used of open_clip's HFTokenizer and SigLipTokenizer, which wrap one of transformers'.

    The first alone has clean_fn, strip_sep_token and tokenizer_mode too.
    """

    tokenizer: FastTokenizer
    context_length: int

    def __call__(self, texts: str | list[str]) -> torch.Tensor:
        """Texts -> token ids (texts, context), int64."""


Tokenizer = BPETokenizer | HFTokenizer


@dataclass(frozen=True)
class Tokens:
    """A text as CLIP reads it.

    base: the cleaned text, before lower-casing, each character with its span in the text as given.
    ids: the token ids, cut to the context; without padding where the tower is causal (`padded` False).
    spans: for each id its span in base.text, None for special tokens. dropped: the spans beyond the context, of
    tokens or of whole runs of them.

        tokens = tokenize(get_tokenizer("ViT-B-32"), "a cup")
        [tokens.base.text[start:end] for start, end in tokens.spans[1:-1]]  # ["a", "cup"]
    """

    base: Tracked
    ids: tuple[int, ...]
    spans: tuple[Span | None, ...]
    dropped: tuple[Span, ...]
    padded: bool


def tokenize(tokenizer: Tokenizer, text: str, whole: bool = False) -> Tokens:
    """The ids and spans of a text (template and caption together). Errors: TokenizerError.

    whole: neither cut to the context nor padded to it.

    >>> from open_clip import get_tokenizer
    >>> tokens = tokenize(get_tokenizer("ViT-B-32"), "A red cup")
    >>> tokens.ids, tokens.spans
    ((49406, 320, 736, 1937, 49407), (None, (0, 1), (2, 5), (6, 9), None))
    """
    return _tokenize_bpe(tokenizer, text, whole) if _is_bpe(tokenizer) else _tokenize_hf(tokenizer, text, whole)


def _is_bpe(tokenizer: Tokenizer) -> TypeIs[BPETokenizer]:
    return hasattr(tokenizer, "bpe")


def _tokenize_bpe(tokenizer: BPETokenizer, text: str, all_ids: bool) -> Tokens:
    base = base_clean(text)
    final = _final_clean(base, tokenizer.clean_fn, text)
    room = sys.maxsize if all_ids else (tokenizer.context_length or 77) - 2
    ids: list[int] = []
    spans: list[Span] = []
    dropped: list[Span] = []
    for match in _PATTERN.finditer(final.text):
        if len(ids) >= room:  # what does not fit need not be merged
            dropped.append(final.span(*match.span()))
            continue
        # The character that each UTF-8 byte of the match belongs to: BPE merges bytes, not characters.
        owner = [match.start() + i for i, c in enumerate(match.group()) for _ in _utf8(c)]
        encoded = "".join(tokenizer.byte_encoder[b] for c in match.group() for b in _utf8(c))
        first = 0
        for piece in _bpe(tokenizer, encoded):
            last = first + len(piece.removesuffix("</w>")) - 1
            ids.append(tokenizer.encoder[piece])
            spans.append(final.span(owner[first], owner[last] + 1))
            first = last + 1
    return Tokens(
        base=base,
        ids=(tokenizer.sot_token_id, *ids[:room], tokenizer.eot_token_id),
        spans=(None, *spans[:room], None),
        dropped=(*spans[room:], *dropped),
        padded=False,
    )


def _final_clean(base: Tracked, clean_fn: Callable[[str], str], text: str) -> Tracked:
    """The tokenizer's last step, on the base-cleaned text. The spans of the result are spans of base.text.

    open_clip's three ways of cleaning differ in this step alone; an unknown one is asked for the whole and aligned.
    """
    from open_clip.tokenizer import get_clean_fn  # here, since it takes torch with it

    plain = Tracked.identity(base.text)
    steps = {"lower": lower, "whitespace": _as_it_is, "canonicalize": canonicalize}
    for name, step in steps.items():
        if clean_fn is get_clean_fn(name):
            return step(plain)
    return align(base.text, clean_fn(text))


def _as_it_is(tracked: Tracked) -> Tracked:
    return tracked


def _bpe(tokenizer: BPETokenizer, encoded: str) -> list[str]:
    if len(encoded) < _LONG:
        return tokenizer.bpe(encoded).split(" ")
    return merge_long(encoded, tokenizer.bpe_ranks)


def merge_long(encoded: str, ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """What open_clip's `bpe` makes of a word, in n log n: round by round, every place of the lowest pair is merged.

    encoded: one word, not empty, its bytes written as characters. ranks: of the pairs that merge, the lowest first.

    >>> merge_long("cups", {("u", "p"): 0, ("c", "up"): 1})
    ['cup', 's</w>']
    """
    # A place is the index of a pair's left symbol; `left` and `right` link the symbols that are still there.
    symbols = [*encoded[:-1], encoded[-1] + "</w>"]
    end = len(symbols)
    left, right = list(range(-1, end - 1)), list(range(1, end + 1))
    places: defaultdict[int, list[int]] = defaultdict(list)
    waiting: list[int] = []  # a heap of the ranks in `places`

    def rank_at(place: int) -> int | None:
        return ranks.get((symbols[place], symbols[right[place]])) if 0 <= place and right[place] < end else None

    def note(place: int) -> None:
        rank = rank_at(place)
        if rank is not None:
            if rank not in places:
                heappush(waiting, rank)
            places[rank].append(place)

    for place in range(end):
        note(place)
    while waiting:
        rank = heappop(waiting)
        merged = []
        for place in sorted(places.pop(rank)):
            if symbols[place] and rank_at(place) == rank:  # its symbols may have merged with others since
                gone = right[place]
                symbols[place] += symbols[gone]
                symbols[gone] = ""
                right[place] = right[gone]
                if right[gone] < end:
                    left[right[gone]] = place
                merged.append(place)
        for place in merged:
            note(left[place])
            note(place)
    return [symbol for symbol in symbols if symbol]


def _utf8(character: str) -> bytes:
    # A lone surrogate has no UTF-8; json files can carry one, and open_clip's own encode fails on it.
    return character.encode("utf-8", errors="replace")


def _tokenize_hf(tokenizer: HFTokenizer, text: str, all_ids: bool) -> Tokens:
    inner = tokenizer.tokenizer
    if not getattr(inner, "is_fast", False):
        raise TokenizerError(
            f"{type(inner).__name__} cannot say where its tokens stand in the text. "
            "Give a model folder whose tokenizer has a tokenizer.json (a fast tokenizer)."
        )
    if mode := getattr(tokenizer, "tokenizer_mode", ""):
        raise TokenizerError(f"tokenizer mode {mode!r} is not supported, only the standard mode.")
    base = base_clean(text)
    final = _final_clean(base, _hf_clean(tokenizer), text)
    context = tokenizer.context_length
    whole = inner(final.text, return_offsets_mapping=True, return_special_tokens_mask=True)
    kept = (
        whole
        if all_ids
        else inner(
            final.text,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            max_length=context,
            padding="max_length",
            truncation=True,
        )
    )
    ids = list(kept["input_ids"])
    if getattr(tokenizer, "strip_sep_token", False):
        ids = [0 if i == inner.sep_token_id else i for i in ids]
    spans = _hf_spans(final, kept)
    everything = [s for s in _hf_spans(final, whole) if s is not None]
    fitted = sum(s is not None for s in spans)
    return Tokens(base, tuple(ids), tuple(spans), tuple(everything[fitted:]), padded=True)


def _hf_clean(tokenizer: HFTokenizer) -> Callable[[str], str]:
    from open_clip.tokenizer import get_clean_fn  # here, since it takes torch with it

    clean_fn: Callable[[str], str] = getattr(tokenizer, "clean_fn", None) or get_clean_fn("canonicalize")
    return clean_fn  # SigLipTokenizer has none of its own: it canonicalises


def _hf_spans(final: Tracked, encoding: Encoding) -> list[Span | None]:
    spans: list[Span | None] = []
    for (start, end), special in zip(encoding["offset_mapping"], encoding["special_tokens_mask"], strict=True):
        # Sentencepiece tokens count the blank before a word as theirs.
        while start < end and final.text[start].isspace():
            start += 1
        spans.append(None if special or start >= end else final.span(start, end))
    return spans
