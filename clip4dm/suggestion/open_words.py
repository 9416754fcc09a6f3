"""CLIP's own words as a vocabulary: the tokens of its tokenizer that are whole words of letters.

A byte pair encoding has a token for every word that was frequent where it was learned, its text about 30,000 of CLIP's.
Words whose token the model never saw in training are left out where that shows: their rows of the embedding are equal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch

from clip4dm.captions.tokens import Tokenizer
from clip4dm.errors import InputError
from clip4dm.suggestion.result import CLIP
from clip4dm.suggestion.vocabulary import Vocabulary, packaged_vocabulary, read_vocabulary
from clip4dm.towers.text import TextTower

SHORTEST = 3  # letters: shorter tokens are mostly no words


def open_vocabulary(tokenizer: Tokenizer, tower: TextTower) -> Vocabulary:
    """All whole-word tokens of three letters or more, lower case, in the tokenizer's order, in no group.

    Errors: InputError where the tokenizer does not mark whole words.

        vocabulary = open_vocabulary(model.tokenizer, model.tower)
    """
    found: dict[str, int] = {}
    for word, token in _whole_words(tokenizer):
        if len(word) >= SHORTEST and word.isalpha() and word == word.lower():
            found.setdefault(word, token)
    if not found:
        raise InputError(f"the tokenizer {type(tokenizer).__name__} does not say which of its tokens are whole words")
    own = _rows_of_their_own(tower, list(found.values()))
    return Vocabulary(CLIP, {"": tuple((word,) for word, kept in zip(found, own, strict=True) if kept)})


VocabularyLike = Vocabulary | Path | str | Iterable[str] | None


def vocabulary_of(given: VocabularyLike, tokenizer: Tokenizer, tower: TextTower) -> Vocabulary:
    """None: the words that come along. "clip": the tokenizer's. A path: a file of words. Else words, of no group.

    Of words, as of a file's, white space within becomes one blank. Errors: VocabularyError, InputError.

        vocabulary_of(["tea", "coffee"], model.tokenizer, model.tower)
    """
    if given is None:
        return packaged_vocabulary()
    if isinstance(given, Vocabulary):
        return given
    if isinstance(given, (str, Path)):
        return _kept_open_vocabulary(tokenizer, tower) if given == CLIP else read_vocabulary(Path(given))
    if not isinstance(given, Iterable):
        raise InputError(f"a vocabulary is a Vocabulary, a file or words, got {type(given).__name__}: {given!r:.60}")
    return Vocabulary("given", {"": tuple((word,) for word in _shown(given))})


def _shown(given: Iterable[object]) -> list[str]:
    """Distinct words, their white space in order, without empty ones. Errors: InputError."""
    words: dict[str, None] = {}
    for word in given:
        if not isinstance(word, str):
            raise InputError(f"a vocabulary's words are strings, got {type(word).__name__}: {word!r:.60}")
        text = " ".join(word.split())
        if any(unicodedata.category(c) == "Cc" for c in text):
            raise InputError(f"a vocabulary's words have no control characters, as {text!r:.60} has")
        if text:
            words.setdefault(text)
    return list(words)


def _kept_open_vocabulary(tokenizer: Tokenizer, tower: TextTower) -> Vocabulary:
    """Of each tower once; a tower that is gone takes it along."""
    if tower not in _KEPT:
        _KEPT[tower] = open_vocabulary(tokenizer, tower)
    return _KEPT[tower]


_KEPT: WeakKeyDictionary[TextTower, Vocabulary] = WeakKeyDictionary()


def _whole_words(tokenizer: Tokenizer) -> Iterator[tuple[str, int]]:
    """Words and their tokens, in the tokens' order."""
    from open_clip.tokenizer import bytes_to_unicode

    encoder = getattr(tokenizer, "encoder", None)
    pieces = cast(Any, tokenizer).tokenizer.get_vocab() if encoder is None else encoder
    before, behind, in_bytes = _marks(pieces)
    of_byte = {character: byte for byte, character in bytes_to_unicode().items()} if in_bytes else {}
    for piece, token in sorted(pieces.items(), key=lambda item: item[1]):
        if not (piece.startswith(before) and piece.endswith(behind)) or (not before + behind and piece[:2] == "##"):
            continue
        word = piece[len(before) : len(piece) - len(behind)]
        if in_bytes and not word.isascii():
            word = bytes(of_byte.get(character, 0xFF) for character in word).decode("utf-8", errors="replace")
        yield word, token


def _marks(pieces: Mapping[str, int]) -> tuple[str, str, bool]:
    """What stands before and behind a piece that is a whole word, and whether pieces are bytes, written as characters.

    >>> _marks({"cup</w>": 1}), _marks({"▁cup": 1}), _marks({"Ġcup": 1}), _marks({"cup": 1, "##s": 2})
    (('', '</w>', True), ('▁', '', False), ('Ġ', '', True), ('', '', False))
    """
    if any(piece.endswith("</w>") for piece in pieces):  # CLIP's: it begins a word where no other token comes before
        return "", "</w>", True
    for mark, in_bytes in (("▁", False), ("Ġ", True)):  # sentencepiece; byte pairs of GPT's kind
        if any(piece.startswith(mark) for piece in pieces):
            return mark, "", in_bytes
    return "", "", False  # wordpiece: "##s" goes on with a word


def _rows_of_their_own(tower: TextTower, tokens: list[int]) -> list[bool]:
    """Whether no other of these tokens has the same embedding."""
    weight = tower.text.token_embedding.weight.detach()
    rows = np.ascontiguousarray(weight[torch.tensor(tokens, device=weight.device)].float().cpu().numpy())
    rows_as_bytes = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    _, place, count = np.unique(rows_as_bytes, return_inverse=True, return_counts=True)
    alone: list[bool] = (count[place] == 1).tolist()
    return alone
