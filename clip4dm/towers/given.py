"""What callers hand over ready made, features and preprocessed pixels, checked before a tower meets it."""

from __future__ import annotations

import torch
from torch import Tensor

from clip4dm.detection import NotFinite
from clip4dm.errors import InputError
from clip4dm.files.images import ImageError
from clip4dm.towers.arithmetic import unit_length
from clip4dm.towers.image import ImageTower
from clip4dm.towers.text import TextTower


def check_pairs(features: Tensor, captions: int, masked: bool) -> None:
    """Whether features and captions can be paired. masked: whether features of masked copies are wanted beside.

    Errors: InputError.

    >>> check_pairs(torch.zeros(2, 4), 3, masked=False)
    Traceback (most recent call last):
    clip4dm.errors.InputError: 2 images and 3 captions: give as many of both, or one of either for all
    """
    if len(features) != captions and 1 not in (len(features), captions):
        raise InputError(
            f"{len(features)} images and {captions} captions: give as many of both, or one of either for all"
        )
    if (features.ndim == 3) != masked:
        raise InputError(f"features {tuple(features.shape)} are not of encode_images of this CLIP4DM: image_masks")


def given_features(images: object, text: TextTower, image: ImageTower, backbone: str) -> Tensor | None:
    """A tensor that holds features, on the model's device, of unit length; None of pixels, and of all else.

    With the mean of masked copies, (images, 2, features), as they are. Errors: InputError, NotFinite.

        given_features(torch.randn(3, 512), model.tower, model.image_tower, "ViT-B-32").shape  # (3, 512)
    """
    if not isinstance(images, Tensor):
        return None
    width = text.features
    if images.is_floating_point() and images.ndim == 2:
        return unit_features(images.detach().to(text.device, torch.float32), width, backbone)
    if images.is_floating_point() and images.shape[1:] == (2, width):
        return images.detach().to(text.device, torch.float32)
    if images.ndim == 1:
        raise InputError(
            f"image features are (images, features), got {tuple(images.shape)}; pixels would be {(3, *image.size)}"
        )
    return None


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
