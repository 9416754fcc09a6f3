"""The candidates of a long list that are worth reading, by gradients of the cosine.

    score(w) = (e_w - e_b) . g        g = 3/4 mean over the best of ds/de at b + 1/4 mean over the spread of ds/de at b

ds/de is the cosine's gradient by the embedding e at the word's place, where a token b stands for the word: to first
order the score is what w gains over b. What lies far from b it guesses badly, and one base point is not enough. The
first round's base points are SPREAD over the list; those it finds are read exactly, and the BEST of all that was read
so far are the next round's, until KEPT were read. A candidate of several tokens has the mean of their embeddings.
Search by such gradients in rounds: Ebrahimi et al. 2018 (arXiv 1712.06751), Shin et al. 2020 (arXiv 2010.15980).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip4dm.attribution.batch import Batch
from clip4dm.attribution.embeddings import input_gradient
from clip4dm.captions.tokens import Tokenizer, tokenize
from clip4dm.captions.windows import parts
from clip4dm.captions.words import EncodedCaption
from clip4dm.errors import InputError
from clip4dm.towers.text import TextTower

KEPT = 100  # candidates that are read
SPREAD, BEST = 64, 16  # base points
A_ROUND = 20  # candidates that are read before the gradient is taken anew


class Place(NamedTuple):
    """Where a word stands in what the tower reads at once. part: caption or window with one token for the word.

    Place(part, 7).part.ids[7]  # the token that stands for the word
    """

    part: EncodedCaption
    token: int


def place_of(caption: EncodedCaption, start: int, end: int) -> Place:
    """The place of the word at [start, end) of a caption: the first of its tokens stands for all of them.

    Errors: InputError where no token of a word there is read.

    place_of(detector.encode_captions(["a cup of coke"])[0], 9, 13)
    """
    found: list[tuple[int, Place]] = []
    for number, part in enumerate(parts(caption)):
        unit = next((i for i, own in enumerate(part.units) if (own.start, own.end) == (start, end)), None)
        mine = [token for token, owner in enumerate(part.unit_of) if owner == unit and unit is not None]
        if mine:
            gone = set(mine[1:])
            kept = [token for token in range(len(part.ids)) if token not in gone]
            filler = part.ids[-1:] * (len(gone) if part.padded else 0)
            one = replace(
                part,
                ids=tuple(part.ids[token] for token in kept) + filler,
                unit_of=tuple(part.unit_of[token] for token in kept) + (-1,) * len(filler),
            )
            counted = caption.windows[number].counted[unit or 0] if caption.windows else len(mine)
            found.append((counted, Place(one, mine[0])))
    if not found:
        raise InputError(f"the model reads no word at {start}-{end} of {caption.caption!r:.80}")
    return max(found, key=lambda one: one[0])[1]


def shortlist(
    tower: TextTower,
    tokenizer: Tokenizer,
    feature: Tensor,
    place: Place,
    words: Sequence[str],
    read: Callable[[Sequence[str]], Sequence[float | None]],
    kept: int = KEPT,
) -> dict[str, float]:
    """The words that were read with their cosines, `kept` of them at most; without those that could not be.

    feature: (features,), unit length. read: the exact cosines of words, None where one cannot be compared.

        shortlist(tower, tokenizer, features[0], place_of(encoded, 9, 13), vocabulary.words, read)
    """
    tokens = tokens_of(cast(Hashable, tokenizer), tuple(words))
    spread = _Gradients(tower, feature, place)
    general = spread.at([place.part.ids[place.token], *tokens.first[:: max(1, len(words) // SPREAD)][:SPREAD].tolist()])
    best_of = _Gradients(tower, feature, place)
    gradient, seen, found = general, set[int](), dict[int, float]()
    while len(seen) < min(kept, len(words)):
        order = np.argsort(-tokens.mean((spread.rows @ gradient).cpu().numpy()), kind="stable")
        unseen = (int(i) for i in order if int(i) not in seen)
        fresh = list(islice(unseen, min(A_ROUND, kept - len(seen))))
        seen.update(fresh)
        cosines = zip(fresh, read([words[i] for i in fresh]), strict=True)
        found.update({i: cosine for i, cosine in cosines if cosine is not None})
        best = sorted(found, key=lambda i: -found[i])[:BEST]
        if best:
            gradient = 0.75 * best_of.at([int(tokens.first[i]) for i in best]) + 0.25 * general
    return {words[i]: cosine for i, cosine in found.items()}


class _Gradients:
    """The mean of ds/de over tokens that stand at the word's place, each taken once."""

    def __init__(self, tower: TextTower, feature: Tensor, place: Place) -> None:
        self.tower, self.feature, self.place = tower, feature, place
        self.rows = tower.text.token_embedding.weight.detach().to(tower.working_dtype)
        self.known: dict[int, Tensor] = {}

    def at(self, tokens: Sequence[int]) -> Tensor:
        """(width,). tokens: ids."""
        new = [token for token in dict.fromkeys(tokens) if token not in self.known]
        if new:
            part, at = self.place
            batch = Batch.of(self.tower, [part], self.feature.expand(len(new), -1), [0] * len(new))
            added = self.rows.new_zeros(len(new), batch.ids.shape[1], self.rows.shape[1])
            added[:, at] = self.rows[torch.tensor(new, device=self.rows.device)] - self.rows[part.ids[at]]
            self.known.update(zip(new, input_gradient(self.tower, batch, added)[:, at], strict=True))
        return torch.stack([self.known[token] for token in tokens]).mean(0)


class WordTokens(NamedTuple):
    """The tokens of words, side by side. ids: of all of them; starts: where each word's begin; first: each one's first.

    >>> WordTokens(np.array([5, 6, 7]), np.array([0, 1]), np.array([5, 6])).mean(np.arange(8.0)).tolist()
    [5.0, 6.5]
    """

    ids: NDArray[Any]
    starts: NDArray[Any]
    first: NDArray[Any]

    def mean(self, per_token: NDArray[Any]) -> NDArray[Any]:
        """(vocabulary,) -> (words,), the mean over each word's tokens."""
        counts = np.diff(np.append(self.starts, len(self.ids)))
        return np.asarray(np.add.reduceat(per_token[self.ids].astype(np.float64), self.starts) / counts)


@lru_cache(maxsize=4)
def tokens_of(tokenizer: Any, words: tuple[str, ...]) -> WordTokens:
    """The tokens of each word, as it stands in a caption; a word without any has the tokenizer's start. Kept.

    tokens_of(model.tokenizer, ("coffee", "tea"))
    """
    nothing = tokenize(tokenizer, "").ids[0]
    ids: list[int] = []
    starts: list[int] = []
    tokens = getattr(tokenizer, "encoder", {})  # CLIP's
    for word in words:
        starts.append(len(ids))
        if word.isascii() and word.isalpha() and word.islower() and word + "</w>" in tokens:
            ids.append(tokens[word + "</w>"])  # all that cleaning and merging would find, of 30,000 words in no time
            continue
        found = tokenize(tokenizer, word, whole=True)
        mine = [token for token, span in zip(found.ids, found.spans, strict=True) if span is not None]
        ids += mine or [nothing]
    places = np.array(starts, dtype=np.int64)
    return WordTokens(np.array(ids, dtype=np.int64), places, np.array(ids, dtype=np.int64)[places])
