"""Token ids with character spans: what open_clip's tokenizers do, plus where in the text each token stands.

`tokenize(tokenizer, text)` gives the ids that the text tower reads and, for each id, the [start, end) it covers
in the base-cleaned text (`tracked.base_clean`), or None for start, end, padding and class tokens.

Difference from open_clip, on purpose: a caption's literal "<end_of_text>" is text like any other. As a special
token it would end the caption in the middle, since CLIP looks for its end by the largest token id.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from clip4dm.tracked import Span, Tracked, base_clean, final_clean

if TYPE_CHECKING:
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer


class TokenizerError(ValueError):
    """A tokenizer that cannot say which characters a token covers."""


@dataclass(frozen=True)
class Tokens:
    """A text as CLIP reads it.

    base: the cleaned text, before lower-casing, each character with its span in the text as given.
    ids: the token ids, cut to the context; without padding where the tower is causal (`padded` False).
    spans: for each id its span in base.text, None for special tokens. dropped: the spans of tokens beyond the context.
    """

    base: Tracked
    ids: tuple[int, ...]
    spans: tuple[Span | None, ...]
    dropped: tuple[Span, ...]
    padded: bool


def tokenize(tokenizer: SimpleTokenizer | HFTokenizer, text: str) -> Tokens:
    """The ids and spans of a text (template and caption together). Errors: TokenizerError."""
    if hasattr(tokenizer, "bpe"):
        return _tokenize_bpe(tokenizer, text)
    return _tokenize_hf(tokenizer, text)


@lru_cache(maxsize=1)
def _pattern():
    import regex

    # CLIP's pattern without its special tokens.
    return regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)


def _tokenize_bpe(tokenizer: SimpleTokenizer, text: str) -> Tokens:
    base = base_clean(text)
    final = final_clean(base, tokenizer.clean_fn(text))
    ids, spans = [], []
    for match in _pattern().finditer(final.text):
        # The character that each UTF-8 byte of the match belongs to: BPE merges bytes, not characters.
        owner = [match.start() + i for i, c in enumerate(match.group()) for _ in _utf8(c)]
        encoded = "".join(tokenizer.byte_encoder[b] for c in match.group() for b in _utf8(c))
        first = 0
        for piece in tokenizer.bpe(encoded).split(" "):
            last = first + len(piece.removesuffix("</w>")) - 1
            ids.append(tokenizer.encoder[piece])
            spans.append(final.span(owner[first], owner[last] + 1))
            first = last + 1
    room = (tokenizer.context_length or 77) - 2
    return Tokens(
        base=base,
        ids=(tokenizer.sot_token_id, *ids[:room], tokenizer.eot_token_id),
        spans=(None, *spans[:room], None),
        dropped=tuple(spans[room:]),
        padded=False,
    )


def _utf8(character: str) -> bytes:
    # A lone surrogate has no UTF-8; json files can carry one, and open_clip's own encode fails on it.
    return character.encode("utf-8", errors="replace")


def _tokenize_hf(tokenizer: HFTokenizer, text: str) -> Tokens:
    inner = tokenizer.tokenizer
    if not getattr(inner, "is_fast", False):
        raise TokenizerError(
            f"{type(inner).__name__} cannot say where its tokens stand in the text. "
            "Give a model folder whose tokenizer has a tokenizer.json (a fast tokenizer).")
    if getattr(tokenizer, "tokenizer_mode", ""):
        raise TokenizerError(f"tokenizer mode {tokenizer.tokenizer_mode!r} is not supported, only the standard mode.")
    base = base_clean(text)
    final = final_clean(base, _hf_clean(tokenizer)(text))
    context = tokenizer.context_length
    whole = inner(final.text, return_offsets_mapping=True, return_special_tokens_mask=True)
    kept = inner(final.text, return_offsets_mapping=True, return_special_tokens_mask=True,
                 max_length=context, padding="max_length", truncation=True)
    ids = list(kept["input_ids"])
    if getattr(tokenizer, "strip_sep_token", False):
        ids = [0 if i == inner.sep_token_id else i for i in ids]
    spans = _hf_spans(final, kept)
    everything = [s for s in _hf_spans(final, whole) if s is not None]
    fitted = sum(s is not None for s in spans)
    return Tokens(base, tuple(ids), tuple(spans), tuple(everything[fitted:]), padded=True)


def _hf_clean(tokenizer: HFTokenizer):
    if hasattr(tokenizer, "clean_fn"):
        return tokenizer.clean_fn
    from open_clip.tokenizer import get_clean_fn

    return get_clean_fn("canonicalize")  # open_clip's SigLipTokenizer has it built in


def _hf_spans(final: Tracked, encoding) -> list[Span | None]:
    spans: list[Span | None] = []
    for (start, end), special in zip(encoding["offset_mapping"], encoding["special_tokens_mask"], strict=True):
        # Sentencepiece tokens count the blank before a word as theirs.
        while start < end and final.text[start].isspace():
            start += 1
        spans.append(None if special or start >= end else final.span(start, end))
    return spans
