"""What goes into an attribution and what comes out of it: a batch of image-caption pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clip4dm.captions.words import EncodedCaption
from clip4dm.errors import InputError
from clip4dm.towers.text import TextTower


@dataclass(frozen=True)
class Batch:
    """P pairs of C distinct captions and images, on the tower's device.

    ids: (C, T) tokens. pooled: (C,) where each text feature is read. pairs: (P,) the caption of each pair.
    image_features: (P, features), unit length, in the tower's working dtype.

        batch = Batch.of(detector.model.tower, detector.encode_captions(["a red car"]), features)
    """

    ids: Tensor
    pooled: Tensor
    pairs: Tensor
    image_features: Tensor

    @classmethod
    def of(
        cls,
        tower: TextTower,
        captions: Sequence[EncodedCaption],
        image_features: Tensor,
        caption_of: Sequence[int] | None = None,
    ) -> Batch:
        """caption_of: for each pair the index of its caption; None = pair i has caption i. Errors: InputError.

        >>> from open_clip.transformer import TextTransformer
        >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
        >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
        >>> batch = Batch.of(tower, [caption], torch.eye(2, 4), caption_of=[0, 0])
        >>> batch.ids.shape, batch.pooled.tolist(), batch.row.tolist()
        (torch.Size([1, 4]), [3], [3, 3])
        """
        pairs = list(range(len(captions))) if caption_of is None else list(caption_of)
        if image_features.ndim != 2 or len(image_features) != len(pairs):
            raise InputError(
                f"expected {len(pairs)} image features (pairs, features), got {tuple(image_features.shape)}"
            )
        ids, pooled = tower.batch(captions)
        features = image_features.to(tower.device, tower.working_dtype)
        return cls(ids, pooled, torch.tensor(pairs, dtype=torch.long, device=tower.device), features)

    @property
    def row(self) -> Tensor:
        """(P,) where each pair's text feature is read."""
        return self.pooled[self.pairs]


@dataclass(frozen=True)
class Attribution:
    """What a batch of P pairs gives, in the working dtype on the tower's device.

    per_layer: (P, explained layers, T), R[l] at every token position, start and end tokens included (at the end
    token `replay` leaves 0): which columns are words is the caption's to say (`EncodedCaption.unit_of`).
    text_features: (P, features), unit length. cosine: (P,). completeness: (P,) how much more than s(caption) -
    s(baseline) the attributions sum to, of integrated gradients alone (`embeddings`).

    >>> result = Attribution(torch.zeros(2, 3, 77), torch.eye(2, 512), torch.zeros(2))
    >>> result.per_layer[0, -1].shape  # the first pair, the last layer
    torch.Size([77])
    """

    per_layer: Tensor
    text_features: Tensor
    cosine: Tensor
    completeness: Tensor | None = None


def tokens_of_words(captions: Sequence[EncodedCaption], batch: Batch) -> Tensor:
    """(P, T) 1 for the tokens of words, 0 for all others. captions: the batch's, as they went into it.

    >>> from open_clip.transformer import TextTransformer
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> tokens_of_words([caption], Batch.of(tower, [caption], torch.eye(1, 4)))
    tensor([[0, 1, 1, 0]])
    """
    words = torch.zeros_like(batch.ids)
    for row, caption in zip(words, captions, strict=True):
        row[: len(caption.ids)] = torch.tensor([unit >= 0 for unit in caption.unit_of], device=row.device)
    return words[batch.pairs]
