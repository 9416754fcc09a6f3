"""Pictures of every mode and in every state of decay."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from clip4dm.images import ImageError, load_image

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 255, (30, 40, 3), dtype=np.uint8)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "P", "1", "HSV", "LAB", "RGBX"])
def test_every_mode_is_read_as_clips_preprocessing_would(mode, detector, tmp_path):
    image = Image.fromarray(PIXELS).convert(mode)
    loaded = load_image(image)
    pixels = detector.model.preprocess(loaded)
    assert pixels.shape == (3, 32, 32)
    if mode in ("L", "RGB", "RGBA", "CMYK"):  # what the published code does: resize in the own mode, then convert
        assert torch.equal(pixels, detector.model.preprocess(image))
    if mode in ("P", "1"):
        assert torch.equal(pixels, detector.model.preprocess(image.convert("RGB")))


def test_sixteen_bit_greys_are_scaled_not_clipped(tmp_path):
    grey = RANDOM.integers(0, 255, (20, 20)).astype(np.uint16)
    Image.fromarray(grey * 257).save(tmp_path / "deep.png")
    assert np.abs(np.asarray(load_image(tmp_path / "deep.png").convert("L")).astype(int) - grey).max() <= 1
    as_float = Image.fromarray((grey / 255).astype(np.float32))
    assert np.abs(np.asarray(load_image(as_float).convert("L")).astype(int) - grey).max() <= 1
    as_int = Image.fromarray(grey.astype(np.int32) * 257)
    assert np.abs(np.asarray(load_image(as_int).convert("L")).astype(int) - grey).max() <= 1


def test_palette_with_transparency(tmp_path):
    image = Image.fromarray(PIXELS).convert("P")
    image.info["transparency"] = 0
    image.save(tmp_path / "p.gif", transparency=0)
    assert load_image(tmp_path / "p.gif").mode in ("RGB", "RGBA")


def test_arrays_and_tensors():
    for given in (PIXELS, torch.from_numpy(PIXELS).permute(2, 0, 1), torch.from_numpy(PIXELS)):
        assert np.array_equal(np.asarray(load_image(given)), PIXELS)
    assert load_image(PIXELS[..., 0]).mode == "L"
    for wrong in (PIXELS.astype(np.float64), np.zeros((2, 3, 4, 5), np.uint8), np.zeros((4, 4, 7), np.uint8)):
        with pytest.raises(ImageError, match="a raw picture is uint8"):
            load_image(wrong)


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_cut_short(tmp_path, kind, fraction):
    data = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(data, kind)
    path = tmp_path / f"cut.{kind.lower()}"
    path.write_bytes(data.getvalue()[:int(len(data.getvalue()) * fraction)])
    with pytest.raises(ImageError, match="cut"):
        load_image(path)


def test_what_is_no_picture(tmp_path, monkeypatch):
    with pytest.raises(ImageError, match="no such image file"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        load_image(tmp_path)
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match="is empty .0 bytes."):
        load_image(tmp_path / "empty.jpg")
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    with pytest.raises(ImageError, match="not an image that Pillow can read"):
        load_image(str(tmp_path / "page.jpg"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (30, 30)).save(tmp_path / "huge.png")
    with pytest.raises(ImageError, match="too many pixels to be decoded safely"):
        load_image(tmp_path / "huge.png")
    Image.new("RGB", (12, 12)).save(tmp_path / "large.png")  # between Pillow's warning and its refusal
    assert load_image(tmp_path / "large.png").size == (12, 12)
