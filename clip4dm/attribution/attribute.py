"""Token attributions of image-caption pairs, by the path that fits the tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from clip4dm.attribution.batch import Attribution, Batch
from clip4dm.attribution.plain import attribute_plain
from clip4dm.attribution.replay import attribute_by_replay
from clip4dm.captions.words import EncodedCaption
from clip4dm.errors import InputError
from clip4dm.scores import START_LAYER_TEXT, last_layers
from clip4dm.towers.text import TextTower


def attribute(
    tower: TextTower,
    captions: Sequence[EncodedCaption],
    image_features: Tensor,
    start_layer_text: int = START_LAYER_TEXT,
    *,
    caption_of: Sequence[int] | None = None,
    path: Literal["auto", "replay", "full"] = "auto",
) -> Attribution:
    """R of the last layers, of P image-caption pairs, at every token.

    captions: the distinct captions, each passed through the tower once. image_features: (P, features), unit length.
    start_layer_text: a Python index into the text layers, from which on they are explained. caption_of: for each pair
    the index of its caption; None = pair i has caption i. path: "auto" takes replay where the tower is causal.
    Errors: InputError for an impossible start_layer_text, shape or path.

    >>> import torch
    >>> from open_clip.transformer import TextTransformer
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=5, output_dim=4))
    >>> caption = EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), units=(), truncated=False, padded=False)
    >>> attribute(tower, [caption], torch.eye(1, 4)).per_layer.shape
    torch.Size([1, 3, 4])
    """
    start = tower.layers - last_layers(start_layer_text, tower.layers)
    if path == "replay" and not tower.causal:
        raise InputError("the replay path needs a causal text tower read at its end-of-text token; use path='full'")
    batch = Batch.of(tower, captions, image_features, caption_of)
    if path == "full" or not tower.causal:
        return attribute_plain(tower, batch, start)
    return attribute_by_replay(tower, batch, start, tower.shared_tokens(captions))
