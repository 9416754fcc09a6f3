"""Pictures of any kind -> decoded PIL images that CLIP's preprocessing takes, as the published code sees them."""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    import torch

ImageLike = Union[str, "PathLike[str]", Image.Image, np.ndarray, "torch.Tensor"]


class ImageError(ValueError):
    """A picture that cannot be read: says which and why."""


def load_image(image: ImageLike) -> Image.Image:
    """A picture -> a fully decoded eight-bit PIL image, ready for CLIP's preprocessing.

    image: a path, a PIL image of any mode, or a uint8 array or tensor, (H, W), (H, W, 3) or, for tensors,
    (3, H, W). CLIP's preprocessing resizes in the picture's own mode and turns it into RGB afterwards, which for
    RGBA is another picture than the other way round: L, RGBA and CMYK are therefore handed on as they are.
    Palettes are resolved first (Pillow would resize them without interpolation), sixteen-bit and float greys are
    scaled to eight bits (Pillow would clip them). Alpha is dropped, not composited, and EXIF orientation is
    not applied, because the published code does neither. Errors: ImageError.
    """
    if isinstance(image, (str, PathLike)):
        return _open(Path(image))
    if isinstance(image, Image.Image):
        return _decode(image, f"the given {image.mode} image")
    array = image.detach().cpu().numpy() if hasattr(image, "detach") else np.asarray(image)
    if hasattr(image, "detach") and array.ndim == 3 and array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise ImageError(
            f"a raw picture is uint8 of shape (H, W), (H, W, 3) or (3, H, W) as tensor; got {array.dtype} "
            f"{tuple(array.shape)}. Float tensors are taken as already preprocessed, (3, size, size).")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    return _eight_bit(Image.fromarray(np.ascontiguousarray(array)))


def _open(path: Path) -> Image.Image:
    if not path.exists():
        raise ImageError(f"no such image file: {path}")
    if path.is_dir():
        raise ImageError(f"{path} is a folder, not an image file")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes); fetch it again")
    try:
        with warnings.catch_warnings():
            # A large but bounded picture (Pillow warns from 89 megapixels, refuses from 179) is read in silence.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _decode(image, str(path))
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that Pillow can read; fetch it again or convert it") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} has too many pixels to be decoded safely ({error})") from None
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error}") from None


def _decode(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
        if 0 in image.size:
            raise ImageError(f"{name} has no pixels: its size is {image.size}")
        return _eight_bit(image)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        if isinstance(error, ImageError):
            raise
        # Pillow's decoders raise any of these on truncated or damaged data.
        raise ImageError(f"{name} is damaged or cut short: {error}") from None


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # convert("RGB") would clip these at 255: nearly all of a sixteen-bit picture would turn white.
        values = np.asarray(image, dtype=np.float64)
        highest = 65535.0 if image.mode.startswith("I;16") or values.max(initial=0) > 255 else 255.0
        if image.mode == "F" and values.max(initial=0) <= 1.0:
            highest = 1.0
        image = Image.fromarray(np.clip(values * (255.0 / highest) + 0.5, 0, 255).astype(np.uint8))
    if image.mode in ("P", "PA", "1"):
        return image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"):
        return image.copy()  # not bound to a file that is about to be closed
    return image.convert("RGB")
