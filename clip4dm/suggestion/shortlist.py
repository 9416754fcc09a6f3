"""The candidates of a long list that are worth reading, by gradients of the cosine: no caption of theirs is read.

    score(w) = mean over base points b of (e_w - e_b) . ds/de at b

ds/de is the cosine's gradient by the embedding at the word's place, where a token b stands for the word. To first order
the score is what w gains. One base point is a poor guide to what lies far from it; the mean over several is a better
one, and so is a second round, whose base points are the best of the first one's, read exactly. The base points of the
first round are spread over the list. A candidate of several tokens has the mean of their embeddings.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import lru_cache
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
from clip4dm.towers.text import TextTower

BASES = 32  # tokens at which gradients are taken


class Place(NamedTuple):
    """Where a word stands in what the tower reads at once. part: caption or window with one token for the word.

    Place(part, 7).part.ids[7]  # the token that stands for the word
    """

    part: EncodedCaption
    token: int


def place_of(caption: EncodedCaption, start: int, end: int) -> Place:
    """The place of the word at [start, end) of a caption: the first of its tokens stands for all of them.

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
    return max(found, key=lambda one: one[0])[1]


def shortlist(
    tower: TextTower, tokenizer: Tokenizer, feature: Tensor, place: Place, words: Sequence[str], kept: int
) -> list[str]:
    """The words of the highest scores, the highest first, `kept` of them at most. feature: (features,), unit length.

    shortlist(tower, tokenizer, features[0], place_of(encoded, 9, 13), vocabulary.words, 100)
    """
    tokens = tokens_of(cast(Hashable, tokenizer), tuple(words))
    rows = tower.text.token_embedding.weight.detach()
    spread = tokens.first[:: max(1, len(words) // BASES)][:BASES]
    bases = [place.part.ids[place.token], *spread.tolist()]
    gradient = _gradient(tower, feature, place, rows[torch.tensor(bases, device=rows.device)])
    per_token = (rows.to(gradient) @ gradient).cpu().numpy()
    scores = tokens.mean(per_token)
    best = np.argsort(-scores, kind="stable")[:kept]
    return [words[i] for i in best]


def _gradient(tower: TextTower, feature: Tensor, place: Place, bases: Tensor) -> Tensor:
    """(width,) the mean of ds/de over base points (n, width) at the word's place."""
    batch = Batch.of(tower, [place.part], feature.expand(len(bases), -1), [0] * len(bases))
    own = tower.text.token_embedding.weight.detach()[place.part.ids[place.token]]
    added = torch.zeros(len(bases), batch.ids.shape[1], bases.shape[1], dtype=tower.working_dtype, device=bases.device)
    added[:, place.token] = (bases - own).to(added)
    return input_gradient(tower, batch, added)[:, place.token].mean(0)


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
    for word in words:
        starts.append(len(ids))
        found = tokenize(tokenizer, word, whole=True)
        mine = [token for token, span in zip(found.ids, found.spans, strict=True) if span is not None]
        ids += mine or [nothing]
    places = np.array(starts, dtype=np.int64)
    return WordTokens(np.array(ids, dtype=np.int64), places, np.array(ids, dtype=np.int64)[places])
