"""Pictures of any kind -> decoded PIL images that CLIP's preprocessing takes, as the published code sees them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import logging
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Union, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from clip4dm.errors import CLIP4DMError, short_reason

if TYPE_CHECKING:
    import torch

ImageLike = Union[str, "PathLike[str]", Image.Image, NDArray[Any], "torch.Tensor"]

# The formats that cameras, scanners, drawing programs and the web make, and the part of Pillow that each needs: AVIF's
# and WebP's are not in every build. JPEG stands for MPO too, two JPEGs of a phone in one file, which has no opener of
# its own. Nothing else is opened. EPS is a program, which Pillow would have Ghostscript run. The others (PPM,
# JPEG 2000, PSD, ICO, DDS, SGI, XBM, ...) are hardly ever met, and every decoder less is one less that a stranger's
# file can break.
_CODECS = {"JPEG": "jpg", "PNG": "zlib", "WEBP": "webp", "GIF": "pil", "BMP": "pil", "TIFF": "pil", "AVIF": "avif"}
Image.init()
PICTURE_FORMATS = tuple(
    name for name, codec in _CODECS.items() if name in Image.OPEN and codec in features.get_supported()
)
MAX_BYTES = 2**29  # of a file: as many as the largest picture that Pillow decodes has uncompressed, in RGB
MAX_ASPECT = 100  # long side : short side

# Else a damaged TIFF prints lines, up to one for each row of pixels: Python those that Pillow logs, libtiff its own.
logging.getLogger("PIL").addHandler(logging.NullHandler())
with contextlib.suppress(ImportError, AttributeError, OSError):  # a Pillow without libtiff, or with its symbols hidden
    from PIL import _imaging

    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


class ImageError(CLIP4DMError, ValueError):
    """A picture that cannot be read: says which and why."""


def load_image(image: ImageLike) -> Image.Image:
    """A picture -> a fully decoded eight-bit PIL image, ready for CLIP's preprocessing.

    image: a path, a PIL image of any mode, or a uint8 array or tensor, (H, W), (H, W, 3) or, for tensors,
    (3, H, W). Files are regular files of PICTURE_FORMATS; of an animation the first frame is read.
    CLIP's preprocessing resizes in the picture's own mode and turns it into RGB afterwards, which for
    RGBA is another picture than the other way round: L, RGBA and CMYK are therefore handed on as they are.
    Palettes are resolved first (Pillow would resize them without interpolation), sixteen-bit and float greys are
    scaled to eight bits (Pillow would clip them). Alpha is dropped, not composited, and EXIF orientation is
    not applied, because the published code does neither.
    Refused: pictures more than MAX_ASPECT times as long as wide or as wide as long (CLIP's preprocessing enlarges the
    short side to the model's size before it crops: 200,000 x 1 pixels would become 10,000 megapixels), and those
    with more pixels than Pillow decodes (twice Image.MAX_IMAGE_PIXELS, 179 megapixels).
    Errors: ImageError, naming the file, whatever is wrong with it.

    >>> grey = load_image(np.array([[0, 255]], dtype=np.uint8))
    >>> grey.mode, grey.size
    ('L', (2, 1))
    """
    if isinstance(image, (str, PathLike)):
        return _open(Path(os.fsdecode(image)))
    if isinstance(image, Image.Image):
        name = f"the given {image.mode} image"
        _check_size(image.size, name)
        with _pillow(name):
            image.load()
    else:
        name = "the given array"
        array = _as_rows(image)
        _check_size(array.shape[1::-1], name)
        image = Image.fromarray(np.ascontiguousarray(array))
    return _eight_bit(image, name)


def _as_rows(image: NDArray[Any] | torch.Tensor) -> NDArray[np.uint8]:
    """A raw picture as an array (H, W) or (H, W, 3)."""
    is_tensor = hasattr(image, "detach")
    try:
        array = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    except Exception as error:  # a tensor that is sparse or on no device, a ragged list, any object's own __array__
        kind = type(image).__name__
        raise ImageError(f"no picture can be made of the given {kind} ({short_reason(error)})") from error
    if is_tensor and array.ndim == 3 and array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise ImageError(
            f"a raw picture is uint8 of shape (H, W), (H, W, 3) or (3, H, W) as tensor; got {array.dtype} "
            f"{tuple(array.shape)}. Float tensors are taken as already preprocessed, (3, size, size)."
        )
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def _open(path: Path) -> Image.Image:
    name = str(path) if str(path).isprintable() else repr(str(path))
    _check_file(path, name)
    with _pillow(name):
        file = open(path, "rb")  # given a file, not its name, Pillow leaves none open, whatever it raises
    with file:
        return _decode(file, name)


def decode_image(data: bytes, name: str) -> Image.Image:
    """A picture file's bytes, from a tar or a table, as `load_image` decodes a file. name: for errors.

    Errors: ImageError.

    >>> decode_image(b"GIF89a", "shards/00000.tar/7.gif")
    Traceback (most recent call last):
    clip4dm.files.images.ImageError: shards/00000.tar/7.gif starts like GIF, but is damaged or cut short; fetch it again
    """
    name = name if name.isprintable() else repr(name)
    _check_bytes(len(data), name)
    return _decode(io.BytesIO(data), name)


def _decode(file: IO[bytes], name: str) -> Image.Image:
    with _pillow(name):
        try:
            image = Image.open(file, formats=PICTURE_FORMATS)
        except UnidentifiedImageError:
            raise ImageError(_unidentified(file, name)) from None
    _check_size(image.size, name)
    with _pillow(name):
        image.load()
    return _eight_bit(image, name)


def _check_file(path: Path, name: str) -> None:
    """Refuse what is no file to read before it is opened: opening a pipe waits, reading a device may never end."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"no such image file: {name}") from None
    except ValueError as error:  # a name that no file can have: with a NUL or half a character in it
        raise ImageError(f"no such image file: {name} ({error})") from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise ImageError(f"no such image file: {name} ({error.strerror})") from None
        raise ImageError(f"{name} cannot be read ({error.strerror})") from None
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{name} is a folder, not an image file")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{name} is a pipe, a socket or a device; give a regular image file")
    _check_bytes(status.st_size, name)


def _check_bytes(count: int, name: str) -> None:
    if count == 0:
        raise ImageError(f"{name} is empty (0 bytes); fetch it again")
    if count > MAX_BYTES:
        raise ImageError(f"{name} has {count} bytes; image files of up to {MAX_BYTES} are read")


def _unidentified(file: IO[bytes], name: str) -> str:
    """What to say of a file that no opener takes. Only its first bytes are looked at, no other decoder is called."""
    file.seek(0)
    start = file.read(16)
    read = ", ".join(PICTURE_FORMATS)
    for known in dict.fromkeys((*PICTURE_FORMATS, *Image.ID)):
        accepts = Image.OPEN[known][1]
        with contextlib.suppress(Exception):  # a start too short for what the plugin looks at
            if accepts and accepts(start):
                return (
                    f"{name} starts like {known}, but is damaged or cut short; fetch it again"
                    if known in PICTURE_FORMATS
                    else f"{name} looks like {known}, which is not read; convert it to one of: {read}"
                )
    return f"{name} is not an image of a format that is read ({read}); fetch it again or convert it"


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if 0 in size:
        raise ImageError(f"{name} has no pixels: its size is {width} x {height}")
    if max(size) > MAX_ASPECT * min(size):
        raise ImageError(
            f"{name} is too long and narrow: {width} x {height} pixels; one side may be at most "
            f"{MAX_ASPECT} times the other. Crop it"
        )
    if Image.MAX_IMAGE_PIXELS is not None and width * height > 2 * Image.MAX_IMAGE_PIXELS:
        raise ImageError(
            f"{name} has too many pixels to be decoded safely: {width} x {height}; at most "
            f"{2 * Image.MAX_IMAGE_PIXELS}. Make it smaller"
        )


def _eight_bit(image: Image.Image, name: str) -> Image.Image:
    """A decoded image in a mode of eight bits; bound to no file, and without what files say beside their pixels."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _scaled(image, name)
    with _pillow(name):
        if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"):
            image = image.copy()
        else:
            keeps_alpha = image.mode == "PA" or (image.mode in ("P", "1") and "transparency" in image.info)
            image = image.convert("RGBA" if keeps_alpha else "RGB")
    image.info.clear()  # a damaged "transparency" would stop the preprocessing's turn into RGB
    return image


def _scaled(image: Image.Image, name: str) -> Image.Image:
    """Greys of more than eight bits -> L. convert("RGB") would clip at 255: most of sixteen bits would turn white."""
    with _pillow(name), np.errstate(invalid="ignore"):  # a NaN may warn, and is refused
        values = np.array(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ImageError(f"{name} has pixels that are no finite numbers")
    highest = 65535.0 if image.mode.startswith("I;16") or values.max(initial=0) > 255 else 255.0
    if image.mode == "F" and values.max(initial=0) <= 1.0:
        highest = 1.0
    values *= 255.0 / highest  # in place: a copy of the largest picture would be 1.4 GB more
    values += 0.5
    return Image.fromarray(np.clip(values, 0, 255, out=values).astype(np.uint8))


@contextlib.contextmanager
def _pillow(name: str) -> Iterator[None]:
    """Around calls of Pillow alone: all that its plugins raise on damaged data, of any kind, is one ImageError."""
    try:
        with _SILENCE:
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} has too many pixels to be decoded safely ({error})") from None
    except MemoryError as error:
        raise ImageError(f"{name} cannot be decoded: it takes more memory than there is") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno:  # of the system, not of Pillow
            raise ImageError(f"{name} cannot be read ({error.strerror})") from None
        raise ImageError(f"{name} is damaged or cut short ({short_reason(error)})") from error


class _Silence:
    """Pillow's warnings (a corrupt EXIF, a large but bounded picture) are ignored while any thread is inside.

    warnings.catch_warnings is not made for threads: of two that overlap, the last restores the first's filters.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.filter: Any = None  # of `warnings`, which keeps its form to itself

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self.filter = warnings.filters[0]

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                with contextlib.suppress(ValueError):  # someone else put all filters back
                    cast(list[Any], warnings.filters).remove(self.filter)  # a list, said to be any sequence


_SILENCE = _Silence()
