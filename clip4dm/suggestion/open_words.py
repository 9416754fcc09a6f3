"""CLIP's own words as a vocabulary: the tokens of its tokenizer that are whole words of letters.

A byte pair encoding has a token for every word that was frequent where it was learned, its text about 30,000 of CLIP's.
Words whose token the model never saw in training are left out where that shows: their rows of the embedding are equal.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

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

    Errors: VocabularyError, InputError.

        vocabulary_of(["tea", "coffee"], model.tokenizer, model.tower)
    """
    if given is None:
        return packaged_vocabulary()
    if isinstance(given, Vocabulary):
        return given
    if given == CLIP:
        return _kept_open_vocabulary(cast(Hashable, tokenizer), tower)
    if isinstance(given, (str, Path)):
        return read_vocabulary(Path(given))
    return Vocabulary("given", {"": tuple((word,) for word in dict.fromkeys(given))})


@lru_cache(maxsize=2)
def _kept_open_vocabulary(tokenizer: Any, tower: TextTower) -> Vocabulary:
    return open_vocabulary(tokenizer, tower)


def _whole_words(tokenizer: Tokenizer) -> Iterator[tuple[str, int]]:
    encoder = getattr(tokenizer, "encoder", None)
    if encoder is not None:  # CLIP's: "cup</w>" ends a word, and begins one where no other token comes before
        for piece, token in encoder.items():
            if piece.endswith("</w>"):
                yield piece.removesuffix("</w>"), token
        return
    pieces = cast(Any, tokenizer).tokenizer.get_vocab()
    marked = sum(piece.startswith("▁") for piece in pieces)
    for piece, token in sorted(pieces.items(), key=lambda item: item[1]):
        if marked and piece.startswith("▁"):  # sentencepiece: "▁cup" begins a word
            yield piece.removeprefix("▁"), token
        elif not marked and not piece.startswith("##"):  # wordpiece: "##s" goes on with one
            yield piece, token


def _rows_of_their_own(tower: TextTower, tokens: list[int]) -> list[bool]:
    """Whether no other of these tokens has the same embedding."""
    weight = tower.text.token_embedding.weight.detach()
    rows = np.ascontiguousarray(weight[torch.tensor(tokens, device=weight.device)].float().cpu().numpy())
    rows_as_bytes = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    _, place, count = np.unique(rows_as_bytes, return_inverse=True, return_counts=True)
    alone: list[bool] = (count[place] == 1).tolist()
    return alone
