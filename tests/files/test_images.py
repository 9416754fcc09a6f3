"""Pictures of every kind: what is read of them, and that CLIP sees them as published."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fuzzing.pictures import valid_files
from PIL import Image, PngImagePlugin
from places import ROOT

from clip4dm import CLIP4DM
from clip4dm.evaluation.loading import _Pictures
from clip4dm.files.images import MAX_ASPECT, PICTURE_FORMATS, ImageError, decode_image, load_image

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


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "gif", "bmp", "tiff"])
def test_a_files_bytes_are_decoded_as_the_file_is(ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(PIXELS).save(path)
    whole = path.read_bytes()
    read, decoded = load_image(path), decode_image(whole, "a.tar/a")
    assert read.mode == decoded.mode and np.array_equal(np.asarray(read), np.asarray(decoded))
    for data in (whole[:60], b"", b"%!PS-Adobe-3.0 EPSF-3.0"):
        path.write_bytes(data)
        with pytest.raises(ImageError) as of_file:
            load_image(path)
        with pytest.raises(ImageError) as of_bytes:
            decode_image(data, str(path))
        assert str(of_bytes.value) == str(of_file.value)


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


def test_formats_that_are_read_and_that_are_not(tmp_path):
    read = {}
    for name, data in valid_files().items():
        (tmp_path / name).write_bytes(data)
        try:
            load_image(tmp_path / name)
        except ImageError:
            read.setdefault(name.split()[0], set()).add(False)
        else:
            read.setdefault(name.split()[0], set()).add(True)
    assert {kind for kind, found in read.items() if found == {True}} - {"MPO"} == set(PICTURE_FORMATS)
    assert {kind for kind, found in read.items() if found == {False}} >= {
        "PPM",
        "EPS",
        "DDS",
        "SGI",
        "IM",
        "XBM",
        "ICO",
    }


@pytest.mark.parametrize(
    ("kind", "options"),
    [("GIF", {}), ("PNG", {}), ("TIFF", {}), ("MPO", {}), ("WEBP", {"lossless": True}), ("AVIF", {})],
)
def test_of_several_pictures_in_one_file_the_first_is_read(kind, options, tmp_path):
    if kind not in (*PICTURE_FORMATS, "MPO"):
        return  # AVIF, in a Pillow without it
    green, red = Image.new("RGB", (40, 30), (0, 200, 0)), Image.new("RGB", (40, 30), (200, 0, 0))
    green.save(tmp_path / "several", kind, save_all=True, append_images=[red], **options)
    first = np.asarray(load_image(tmp_path / "several").convert("RGB")).astype(int)
    assert np.abs(first - (0, 200, 0)).max() <= 3


def test_a_pillow_that_lacks_a_codec_reads_the_rest(tmp_path):
    """Such a Pillow registers no opener, or one that takes no file: asking it for that format raises KeyError."""
    code = (
        "from PIL import Image, features\nImage.init()\nImage.OPEN.pop('AVIF', None)\n"
        "Image.ID[:] = [name for name in Image.ID if name != 'AVIF']\n"
        "has = features.get_supported()\nfeatures.get_supported = lambda: [name for name in has if name != 'webp']\n"
        "from clip4dm.files.images import PICTURE_FORMATS, load_image\n"
        "assert PICTURE_FORMATS == ('JPEG', 'PNG', 'GIF', 'BMP', 'TIFF'), PICTURE_FORMATS\n"
        "print(load_image('a.jpg').size)\nload_image('a.webp')"
    )
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg")
    Image.fromarray(PIXELS).save(tmp_path / "a.webp")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "(40, 30)\n", done.stderr
    assert "a.webp looks like WEBP, which is not read; convert it to one of: JPEG, PNG, GIF, BMP, TIFF" in done.stderr


def preprocess_of(size: int, resize_mode: str = "shortest"):
    from clip4dm.models.load import _preprocess

    config = {"size": size, "resize_mode": resize_mode}
    return _preprocess(SimpleNamespace(visual=SimpleNamespace(preprocess_cfg=config)))


@pytest.fixture
def resized(monkeypatch):
    """The sizes that pictures are resized to; none that would take memory is made."""
    sizes = []

    def resize(image, size, *more, real=Image.Image.resize, **options):
        sizes.append(size)
        assert size[0] * size[1] <= MAX_ASPECT * 224 * 224, f"{image.size} would be resized to {size}"
        return real(image, size, *more, **options)

    monkeypatch.setattr(Image.Image, "resize", resize)
    return sizes


@pytest.mark.parametrize("size", [64, 224])
@pytest.mark.parametrize("shape", [(1, 200_000), (200_000, 1), (1, 101), (505, 5)])
def test_long_and_narrow_pictures_are_refused_before_they_are_decoded(
    shape, size, detector, resized, tmp_path, monkeypatch
):
    path = tmp_path / "narrow.png"
    Image.fromarray(np.zeros(shape, np.uint8)).save(path)
    model = dataclasses.replace(detector.model, preprocess=preprocess_of(size))
    message = f"too long and narrow: {shape[1]} x {shape[0]} pixels; one side may be at most 100 times the other"
    with pytest.raises(ImageError, match=message):
        CLIP4DM(model).encode_images([np.zeros(shape, np.uint8)])
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_prepare", lambda image: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=f"narrow.png is {message}"):
        CLIP4DM(model).encode_images([path, path])
    answer = _Pictures([path], model.preprocess)[0]
    assert isinstance(answer, str) and "narrow.png is too long" in answer
    assert resized == []


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [64, 224])
@pytest.mark.parametrize(
    "shape", [(30, 600, 3), (600, 30, 3), (3, 300, 3), (300, 3, 3), (1, 100), (100, 1), (40, 30, 4)]
)
def test_panoramas_are_preprocessed_as_published_bit_for_bit(shape, size, resize_mode, resized, tmp_path):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    Image.fromarray(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "a.png")
    published = image_transform_v2(PreprocessCfg(size=size, resize_mode=resize_mode), is_train=False)
    with Image.open(tmp_path / "a.png") as picture:
        expected = published(picture)
    pixels = preprocess_of(size, resize_mode)(load_image(tmp_path / "a.png"))
    assert pixels.shape == (3, size, size) and torch.equal(pixels, expected)
