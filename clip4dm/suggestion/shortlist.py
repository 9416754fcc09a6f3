"""The candidates of a long list that are worth reading, by gradients of the cosine.

    score(w) = (e_w - e_b) . g        g = 3/4 mean over the best of ds/de at b + 1/4 mean over the spread of ds/de at b

ds/de is the cosine's gradient by the embedding e at the word's place, where a token b stands for the word: to first
order the score is what w gains over b. What lies far from b it guesses badly, and one base point is not enough. The
first round's base points are SPREAD over the list; those it finds are read exactly, and the BEST of all that was read
so far are the next round's, until KEPT were read. A candidate of several tokens has the mean of their embeddings.
Search by such gradients in rounds: Ebrahimi et al. 2018 (arXiv 1712.06751), Shin et al. 2020 (arXiv 2010.15980).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip4dm.captions.tokens import Tokenizer, tokenize
from clip4dm.captions.windows import parts
from clip4dm.captions.words import EncodedCaption
from clip4dm.errors import InputError
from clip4dm.towers.text import TextTower

KEPT = 100  # candidates that are read
SPREAD, BEST = 16, 8  # base points
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
    tokens = tokens_of(tokenizer, words)
    gradients = _Gradients(tower, feature, place)
    bases = tokens.first[:: max(1, len(words) // SPREAD)][:SPREAD].tolist()
    general = gradients.at([place.part.ids[place.token], *bases])
    gradient, seen, found = general, set[int](), dict[int, float]()
    while len(seen) < min(kept, len(words)):
        order = np.argsort(-tokens.mean((gradients.rows @ gradient).cpu().numpy()), kind="stable")
        unseen = (int(i) for i in order if int(i) not in seen)
        fresh = list(islice(unseen, min(A_ROUND, kept - len(seen))))
        seen.update(fresh)
        cosines = zip(fresh, read([words[i] for i in fresh]), strict=True)
        found.update({i: cosine for i, cosine in cosines if cosine is not None})
        best = sorted(found, key=lambda i: -found[i])[:BEST]
        if best:
            gradient = 0.75 * gradients.at([int(tokens.first[i]) for i in best]) + 0.25 * general
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
            self.known.update(zip(new, self._gradients(new), strict=True))
        return torch.stack([self.known[token] for token in tokens]).mean(0)

    def _gradients(self, tokens: Sequence[int]) -> Tensor:
        """(tokens, width). What stands before the word is read once, where the tower is causal."""
        tower, (part, at) = self.tower, self.place
        ids, pooled = tower.batch([part])
        before = at if tower.causal else 0
        with torch.no_grad():
            width = tower.embed(ids)[0].shape[1] - before  # a class token may stand behind
        bases = self.rows[torch.tensor(tokens, device=self.rows.device)]
        added = self.rows.new_zeros(len(tokens), width, self.rows.shape[1])
        added[:, at - before] = bases - self.rows[part.ids[at]]
        added.requires_grad_()
        with torch.enable_grad():
            states = tower.states(ids.expand(len(tokens), -1), before, exact=True, added=added)
            (output,) = deque(states, maxlen=1)
            features = tower.last_layers(tower.layers).feature(output.x[:, int(pooled[0]) - before])
            (gradient,) = torch.autograd.grad((features @ self.feature.to(features)).sum(), added)
        found: Tensor = gradient[:, at - before]
        return found


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


_KNOWN: WeakKeyDictionary[Any, dict[str, tuple[int, ...]]] = WeakKeyDictionary()
_MOST_KNOWN = 200_000  # words a tokenizer, or twice the longest list


def tokens_of(tokenizer: Tokenizer, words: Sequence[str]) -> WordTokens:
    """The tokens of each word, as it stands in a caption; a word without any has the tokenizer's start. Kept by word.

    tokens_of(model.tokenizer, ("coffee", "tea"))
    """
    known = _KNOWN.setdefault(tokenizer, {})
    if len(known) > max(_MOST_KNOWN, 2 * len(words)):
        known.clear()
    ids: list[int] = []
    starts: list[int] = []
    for word in words:
        if word not in known:
            known[word] = _tokens_of_word(tokenizer, word)
        starts.append(len(ids))
        ids += known[word]
    places = np.array(starts, dtype=np.int64)
    return WordTokens(np.array(ids, dtype=np.int64), places, np.array(ids, dtype=np.int64)[places])


def _tokens_of_word(tokenizer: Tokenizer, word: str) -> tuple[int, ...]:
    tokens = getattr(tokenizer, "encoder", {})  # CLIP's
    if word.isascii() and word.isalpha() and word.islower() and word + "</w>" in tokens:
        return (tokens[word + "</w>"],)  # all that cleaning and merging would find, of 30,000 words in no time
    found = tokenize(tokenizer, word, whole=True)
    mine = tuple(token for token, span in zip(found.ids, found.spans, strict=True) if span is not None)
    return mine or (tokenize(tokenizer, "").ids[0],)
