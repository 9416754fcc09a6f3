"""What callers hand over ready made, features and preprocessed pixels, checked before a tower meets it."""

from __future__ import annotations

import torch
from torch import Tensor

from clip4dm.detection import NotFinite
from clip4dm.errors import InputError
from clip4dm.files.images import ImageError
from clip4dm.towers.arithmetic import unit_length


def unit_features(features: Tensor, width: int, backbone: str) -> Tensor:
    """A caller's features (images, features), made unit length. width: of the model's. Errors: InputError, NotFinite.

    >>> unit_features(torch.tensor([[3.0, 4.0]]), 2, "ViT-B-32")
    tensor([[0.6000, 0.8000]])
    """
    if not len(features) or features.shape[1] != width:
        raise InputError(
            f"image features are (images, {width}) for {backbone}, at least one row; got {tuple(features.shape)}"
        )
    if not bool((torch.isfinite(features).all(-1) & features.any(-1)).all()):
        raise NotFinite("image features hold a row that is NaN, infinite or zero, which no cosine can be taken of")
    return unit_length(features)


def preprocessed(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """A caller's picture (3, height, width), as it is. size: of the model's, height and width. Errors: ImageError.

    >>> preprocessed(torch.zeros(3, 8, 8), (8, 8)).shape
    torch.Size([3, 8, 8])
    """
    if tuple(pixels.shape) != (3, *size):
        raise ImageError(
            f"a preprocessed picture has shape {(3, *size)}, got {tuple(pixels.shape)}. Give a uint8 "
            "tensor or a PIL image to have it preprocessed."
        )
    return pixels
