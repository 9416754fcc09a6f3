"""Pictures that cannot be read: whatever is wrong with them is one ImageError that names the file."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from making import make_foil, make_pictures
from PIL import Image, PngImagePlugin

from clip4dm.files import images
from clip4dm.files.images import ImageError, load_image

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 255, (30, 40, 3), dtype=np.uint8)


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_cut_short(tmp_path, kind, fraction):
    data = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(data, kind)
    path = tmp_path / f"cut.{kind.lower()}"
    path.write_bytes(data.getvalue()[: int(len(data.getvalue()) * fraction)])
    with pytest.raises(ImageError, match="cut"):
        load_image(path)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def a_file(kind: str, **options) -> bytes:
    data = io.BytesIO()
    Image.fromarray(PIXELS).save(data, kind, **options)
    return data.getvalue()


def damaged_files() -> dict[str, bytes]:
    """Name -> bytes of what is no picture to read, of the kinds that Pillow answers with other than an OSError."""
    png, tiff = a_file("PNG"), a_file("TIFF")
    bomb = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(70_000_000)))
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    width = tiff.index(struct.pack("<HHI", 256, 4, 1)) + 8
    return {
        "length of IHDR.png": png[:11] + b"\0" + png[12:],
        "size of IHDR.png": png[:8] + chunk(b"IHDR", header) + png[33:],
        "no size.png": png[:8] + chunk(b"IHDR", bytes(8) + header[8:]) + png[33:],
        "zTXt bomb.png": png[:33] + bomb + png[33:],
        "no number.jpg": b"P6 4 z4 255\n" + bytes(48),
        "really ppm.jpg": b"P6 4 4 255\n" + bytes(48),
        "program.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n%%EndComments\nshowpage\n%%EOF\n",
        "bitmap.jpg": b"#define im_width 9\n#define im_height 9999999999\nstatic char im_bits[] = {\n0x00 };\n",
        "im.jpg": b"Image type: 1 image\r\nImage size (x*y): a*b\r\n" + bytes(600),
        "sgi.jpg": b"\x01\xda\1\1\0\3" + b"\xff" * 600,
        "surface.jpg": b"DDS " + struct.pack("<I", 124) + b"\xff" * 120,
        "huge.tif": tiff[:width] + struct.pack("<I", 100_000) + tiff[width + 4 : width + 8] + tiff[width + 8 :],
        "huge.gif": b"GIF89a\xff\xff\xff\xff" + a_file("GIF")[10:],
        "huge.bmp": b"BM" + bytes(12) + struct.pack("<IiiHHIIiiII", 40, 90_000, 90_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "prefix.webp": b"RIFF\x10\0\0\0WEBPVP8 ",
        "prefix.avif": b"\0\0\0\x18ftypavif" + bytes(99),
        "page.jpg": b"<html>404</html>",
        "one byte.jpg": b"P",
    }


@pytest.fixture
def ghostscript(tmp_path, monkeypatch):
    """A program in Ghostscript's place: the file that it leaves when it is called."""
    from PIL import EpsImagePlugin

    mark = tmp_path / "called"
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None, raising=False)  # not yet looked for
    return mark


@pytest.mark.parametrize("name", damaged_files())
def test_damage_of_every_kind_is_one_error_that_names_the_file(name, tmp_path, ghostscript, capfd):
    path = tmp_path / name
    path.write_bytes(damaged_files()[name])
    with warnings.catch_warnings(record=True) as warned, pytest.raises(ImageError) as raised:
        warnings.simplefilter("always")
        load_image(path)
    assert str(path) in str(raised.value) and str(raised.value).isprintable()
    assert not warned and not ghostscript.exists() and capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "format_name"),
    [("really ppm.jpg", "PPM"), ("program.jpg", "EPS"), ("bitmap.jpg", "XBM"), ("surface.jpg", "DDS")],
)
def test_a_format_that_is_not_read_is_told_beside_those_that_are(name, format_name, tmp_path):
    (tmp_path / name).write_bytes(damaged_files()[name])
    with pytest.raises(
        ImageError, match=f"looks like {format_name}, which is not read; convert it to one of: JPEG, PNG, "
    ):
        load_image(tmp_path / name)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        NotImplementedError("x"),
        RuntimeError("x"),
        RecursionError("x"),
        MemoryError(),
        OSError("x"),
        KeyError("MPO"),
        IndexError("x"),
        TypeError("x"),
        AssertionError(),
        OverflowError("x"),
        ZeroDivisionError("x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
        EOFError("x"),
        SyntaxError("x"),
        AttributeError("x"),
        zlib.error("x"),
        struct.error("x"),
        subprocess.CalledProcessError(1, "gs"),
        Image.DecompressionBombError("x"),
        PermissionError(13, "x"),
        UserWarning("x"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["_open", "load", "convert"])
def test_whatever_pillow_raises(where, error, tmp_path, monkeypatch):
    path = tmp_path / "palette.png"
    Image.fromarray(PIXELS).convert("P").save(path)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(PngImagePlugin.PngImageFile, where, fail)
    with pytest.raises(ImageError, match="palette.png"):
        load_image(path)


def test_what_is_no_damage_is_not_hidden(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    for error in (KeyboardInterrupt, SystemExit):

        def fail(*_, error=error):
            raise error

        with monkeypatch.context() as patch, pytest.raises(error):
            patch.setattr(PngImagePlugin.PngImageFile, "load", fail)
            load_image(tmp_path / "a.png")

    def bug(*_):
        raise TypeError("of our own")

    for ours in ("_check_size", "_eight_bit", "_check_file"):
        with monkeypatch.context() as patch, pytest.raises(TypeError, match="of our own"):
            patch.setattr(images, ours, bug)
            load_image(tmp_path / "a.png")


def test_names_that_lead_to_no_file(tmp_path):
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    (tmp_path / "link.jpg").symlink_to("a.png")
    with open(tmp_path / "sparse.webp", "wb") as file:
        file.write(b"RIFF\xff\xff\xff\x7fWEBPVP8 ")
        file.truncate(2**40)
    for name, message in (
        ("n" * 300 + ".jpg", "no such image file: .*nnn.jpg .File name too long"),
        ("a\0b.jpg", r"no such image file: '.*a\\x00b.jpg' .*null byte"),
        ("\ud800.jpg", r"no such image file: '.*\\ud800.jpg'"),
        ("two\nlines.jpg", r"no such image file: '.*two\\nlines.jpg'"),
        ("a.png/b.jpg", "no such image file"),
        ("loop.jpg", "no such image file: .*loop.jpg .*symbolic links"),
        ("pipe.jpg", "pipe.jpg is a pipe"),
        ("sparse.webp", "sparse.webp has 1099511627776 bytes; image files of up to 536870912 are read"),
    ):
        with pytest.raises(ImageError, match=message):
            load_image(tmp_path / name)
    with pytest.raises(ImageError, match="/dev/zero is a pipe, a socket or a device"):
        load_image("/dev/zero")
    assert load_image(tmp_path / "link.jpg").size == (40, 30)


def test_warnings_are_silenced_for_pillow_alone_and_not_for_good(tmp_path, capfd):
    corrupt = Image.Exif()
    corrupt[0x0112] = 6
    Image.fromarray(PIXELS).save(
        tmp_path / "exif.jpg", exif=corrupt.tobytes()[:18] + b"\xff\xff" + corrupt.tobytes()[20:]
    )
    fax = io.BytesIO()
    Image.fromarray(PIXELS).convert("1").save(fax, "TIFF", compression="group4")
    (tmp_path / "fax.tif").write_bytes(fax.getvalue().replace(fax.getvalue()[8:60], b"\x5a" * 52))

    def load(number: int) -> None:
        try:
            load_image(tmp_path / ("exif.jpg", "fax.tif")[number % 2])
        except ImageError:
            pass

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(load, range(400)))
        assert list(warnings.filters) == before
        assert warned == []
        warnings.warn("somebody else's", stacklevel=1)
    assert [str(warning.message) for warning in warned] == ["somebody else's"]
    assert capfd.readouterr().err == ""


def test_raw_pictures_of_odd_kinds():
    zeros = np.zeros((4, 5, 3), np.uint8)
    endless = np.broadcast_to(np.uint8(0), (100_000, 100_000))
    nan = Image.fromarray(np.array([[0, np.nan], [1, 2]], np.float32))
    with Image.open(io.BytesIO(a_file("PNG"))) as closed:
        pass
    for odd, message in (
        (zeros[:0], "no pixels: its size is 5 x 0"),
        (zeros[..., 0] > 0, "uint8 .* got bool"),
        (Image.new("RGB", (0, 4)), "no pixels"),
        (endless, "too many pixels .* 100000 x 100000"),
        (endless[:1], "too long and narrow: 100000 x 1 "),
        (nan, "no finite numbers"),
        (None, "got object"),
        ([[1], [2, 3]], "of the given list"),
        (closed, "the given RGB image is damaged"),
        (torch.zeros(3, 4, 4, dtype=torch.bfloat16), "of the given Tensor"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8, device="meta"), "of the given Tensor"),
    ):
        with pytest.raises(ImageError, match=message):
            load_image(odd)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_costs_its_own_samples(workers, tiny_folder, tmp_path):
    from clip4dm.evaluation.run import Options, evaluate

    whole = make_pictures(tmp_path / "images", 3)
    damaged = damaged_files()
    for name, data in damaged.items():
        (tmp_path / "images" / name).write_bytes(data)
    Image.fromarray(np.zeros((1, 20_000), np.uint8)).save(tmp_path / "images" / "narrow.png")
    absent = ["n" * 300 + ".jpg", "none.jpg"]
    names = [whole[0], *damaged, whole[1], "narrow.png", *absent, whole[2]]
    outcome = evaluate(
        Options(
            data_path=str(make_foil(tmp_path / "foil.json", names)),
            img_dir=str(tmp_path / "images"),
            backbone=None,
            pretrained=str(tiny_folder),
            device="cpu",
            num_workers=workers,
            images_per_block=4,
            skip_missing=True,
            output=str(tmp_path / "out"),
        ),
        say=lambda line: None,
    )
    assert outcome.result["n"] == 2 * len(whole)
    assert outcome.result["skipped"]["missing"] == 2 * len(absent)
    assert outcome.result["skipped"]["damaged"] == 2 * (len(damaged) + 1)
    reasons = list(outcome.skipped.values())
    for name in (*damaged, "narrow.png"):
        assert sum(reason.startswith(f"{name} ") for reason in reasons) == 2


def test_what_is_no_picture(tmp_path, monkeypatch):
    with pytest.raises(ImageError, match="no such image file"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        load_image(tmp_path)
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match="is empty .0 bytes."):
        load_image(tmp_path / "empty.jpg")
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    with pytest.raises(ImageError, match="not an image of a format that is read .JPEG, PNG, "):
        load_image(str(tmp_path / "page.jpg"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (30, 30)).save(tmp_path / "huge.png")
    with pytest.raises(ImageError, match="too many pixels to be decoded safely"):
        load_image(tmp_path / "huge.png")
    Image.new("RGB", (12, 12)).save(tmp_path / "large.png")  # between Pillow's warning and its refusal
    assert load_image(tmp_path / "large.png").size == (12, 12)
