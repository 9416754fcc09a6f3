"""Picture files that are damaged: small valid files of many formats, changed at random, each from a seed."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random

SUFFIXES = (".jpg", ".png", ".tif", ".gif", ".webp", ".avif", ".eps", ".ppm", ".jp2", "")
TELLING_NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    32,
    127,
    128,
    255,
    256,
    4096,
    12_000,
    32_767,
    32_768,
    65_500,
    65_535,
    100_000,
    200_000,
    2**24,
    2**28,
    2**31 - 1,
    2**31,
    2**32 - 1,
)


@lru_cache
def valid_files() -> dict[str, bytes]:
    """Name -> a small valid file, as this Pillow writes it: formats that load_image reads, and others."""
    import numpy as np
    from PIL import Image, PngImagePlugin

    pixels = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    pixels[4:20, 6:30] = (200, 80, 10)  # something for run lengths and predictors
    rgb = Image.fromarray(pixels)
    grey, palette, black = rgb.convert("L"), rgb.convert("P"), rgb.convert("1")
    deep = Image.fromarray(np.asarray(grey, dtype=np.uint16) * 257)
    others = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010E: "a picture", 0x9286: b"\x00comment"})
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "words " * 50, zip=True)
    text.add_itxt("title", "words", "en", "words")
    wanted: list[tuple] = [
        (rgb, "JPEG"),
        (rgb, "JPEG", {"progressive": True, "exif": exif}),
        (rgb.convert("CMYK"), "JPEG"),
        (grey, "JPEG", {"icc_profile": b"\x00" * 200}),
        (rgb, "MPO", others),
        (rgb, "PNG", {"pnginfo": text, "exif": exif}),
        (palette, "PNG", {"transparency": bytes(range(0, 250, 5))}),
        (rgb.convert("RGBA"), "PNG"),
        (deep, "PNG"),
        (black, "PNG"),
        (grey, "PNG", {"transparency": 7}),
        (rgb, "PNG", others),
        (rgb, "WEBP"),
        (rgb.convert("RGBA"), "WEBP", {"lossless": True, "exif": exif}),
        (rgb, "WEBP", others),
        (palette, "GIF", {"transparency": 3}),
        (palette, "GIF", others),
        (rgb, "BMP"),
        (palette, "BMP"),
        (black, "BMP"),
        (rgb.convert("RGBA"), "BMP"),
        (rgb, "AVIF"),
        (rgb, "AVIF", others),
        *(
            (rgb, "TIFF", {"compression": kind})
            for kind in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "lzma", "zstd")
        ),
        (black, "TIFF", {"compression": "group4"}),
        (deep, "TIFF"),
        (deep, "TIFF", {"compression": "tiff_lzw"}),
        (grey.convert("F"), "TIFF"),
        (grey.convert("I"), "TIFF"),
        (palette, "TIFF"),
        (rgb.convert("CMYK"), "TIFF"),
        (rgb.convert("LAB"), "TIFF"),
        (rgb, "TIFF", {"big_tiff": True, "exif": exif}),
        (rgb, "TIFF", others),
        (rgb, "PPM"),
        (grey, "PPM"),
        (black, "PPM"),
        (rgb, "JPEG2000"),
        (rgb, "DDS"),
        (rgb, "SGI"),
        (rgb, "IM"),
        (black, "XBM"),
        (rgb, "EPS"),
        (rgb, "ICO"),
        (rgb, "PCX"),
        (rgb, "TGA"),
        (black, "MSP"),
        (rgb, "PDF"),
    ]
    files = {}
    for number, (image, kind, *options) in enumerate(wanted):
        file = io.BytesIO()
        with contextlib.suppress(KeyError, OSError, ValueError, TypeError):  # not in this Pillow, or not this way
            image.save(file, kind, **(options[0] if options else {}))
            files[f"{kind} {number}"] = file.getvalue()
    return files


def make_file(seed: int) -> tuple[str, bytes]:
    """-> name, bytes: one to eight changes of a valid file."""
    random = Random(seed)
    files = list(valid_files().values())
    data = bytearray(random.choice(files))
    for _ in range(random.choice((1, 1, 1, 1, 2, 3, 8))):
        random.choice(CHANGES)(data, random, files)
    if random.random() < 0.5:
        correct_checksums(data)
    return f"{seed}{random.choice(SUFFIXES)}", bytes(data)


def _place(data: bytearray, random: Random) -> int:
    """Half of them near the start, where headers are."""
    return random.randrange(max(1, min(len(data), 64) if random.random() < 0.5 else len(data)))


def flip(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    for _ in range(random.choice((1, 1, 1, 2, 4, 32))):
        if data:
            data[_place(data, random)] = random.randrange(256)


def insert(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    at = _place(data, random)
    data[at:at] = random.randbytes(random.choice((1, 2, 4, 100)))


def delete(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    at = _place(data, random)
    del data[at : at + random.choice((1, 2, 4, 100))]


def truncate(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    del data[random.randrange(len(data) + 1) :]


def repeat(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    at = _place(data, random)
    data[at:at] = data[at : at + random.choice((4, 16, 64, 1000))] * random.choice((1, 2, 20))


def splice(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    """The start of one file and the end of another."""
    other = random.choice(files)
    data[_place(data, random) :] = other[random.randrange(len(other)) :]


def number(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    """An integer of a header: a width, a count, an offset."""
    form = random.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(form)
    at = _place(data, random)
    data[at : at + size] = struct.pack(form, random.choice(TELLING_NUMBERS) % 256**size)


CHANGES: tuple[Callable[[bytearray, Random, Sequence[bytes]], None], ...] = (
    flip,
    insert,
    delete,
    truncate,
    repeat,
    splice,
    number,
    number,
)


def correct_checksums(data: bytearray) -> None:
    """Of a PNG's chunks, as far as they can be followed: without, nothing changed would come past them."""
    at = 8
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        data[at + 8 + length : at + 12 + length] = zlib.crc32(data[at + 4 : at + 8 + length]).to_bytes(4, "big")
        at += 12 + length
