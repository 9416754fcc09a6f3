"""misc/fetching/fetch.py's check_picture: which files are pictures, and in which words the others are refused."""

import struct
import zlib

import pytest
from badserver import jpeg
from fetching.checks import check_picture
from fetching.folder import FetchError
from PIL import Image, JpegImagePlugin


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO"])
def test_pictures_of_these_kinds_are_taken(tmp_path, form):
    picture = Image.new("RGB", (40, 30), (200, 30, 60))
    if form == "MPO":  # what phones take: a JPEG, and behind it another
        picture.save(tmp_path / "a", "MPO", save_all=True, append_images=[Image.new("RGB", (40, 30))])
        with Image.open(tmp_path / "a") as opened:
            assert opened.format == "MPO"
    else:
        picture.save(tmp_path / "a", form)
    check_picture(tmp_path / "a")


@pytest.mark.parametrize("form", ["EPS", "PDF", "PPM", "ICO", "PCX"])
def test_others_are_not_even_opened(tmp_path, form):
    Image.new("RGB", (40, 30)).save(tmp_path / "a", form)
    with pytest.raises(FetchError, match="does not begin as one of JPEG, PNG, WEBP, GIF, BMP, TIFF"):
        check_picture(tmp_path / "a")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("MPO"),
        RuntimeError("x"),
        struct.error("x"),
        zlib.error("x"),
        IndexError(),
        TypeError("x"),
        OSError("image file is truncated"),
        SyntaxError("broken PNG file"),
        ValueError(),
        MemoryError(),
        RecursionError(),
        NotImplementedError(),
        EOFError("no more"),
    ],
)
def test_whatever_a_decoder_raises_is_a_sentence(tmp_path, monkeypatch, error):
    (tmp_path / "a").write_bytes(jpeg(0))

    def load(self):
        raise error

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", load)
    with pytest.raises(FetchError) as failed:
        check_picture(tmp_path / "a")
    assert "not a whole picture: " in str(failed.value) or "more memory than there is" in str(failed.value)
    assert "KeyError: 'MPO'" not in str(failed.value) and not str(failed.value).endswith(": ")


def test_a_picture_of_too_many_pixels_is_not_decoded(tmp_path):
    Image.new("1", (14000, 14000)).save(tmp_path / "a", "PNG")
    with pytest.raises(FetchError, match="more pixels than can safely be decoded"):
        check_picture(tmp_path / "a")
