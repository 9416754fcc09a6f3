"""What makes it fast changes no number: batches, orders, threads, shared work, the image tower run here."""

from __future__ import annotations

import threading
import time

import benchmark_speed
import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from contract import COSINE, PRODUCT, assert_attributions, assert_detections
from making import WORDS, make_pictures
from PIL import Image
from speed import contenders as speed_contenders
from speed.published_procedure import explain_pair, to_hugging_face

from clip4dm import CLIP4DM
from clip4dm.files.images import ImageError
from clip4dm.files.streams import ahead
from clip4dm.towers import arithmetic as linear_module
from clip4dm.towers.arithmetic import linear
from clip4dm.towers.image import ImageTower

RANDOM = np.random.default_rng(7)
CAPTIONS = [*WORDS, "a", "a black and white photo of two very old trains, standing side by side at a small station"]


@pytest.fixture(scope="module")
def features(detector):
    return F.normalize(torch.randn(40, 24, generator=torch.Generator().manual_seed(1)), dim=-1)


def test_batch_size_and_order_change_nothing(detector, features):
    captions = [CAPTIONS[i % len(CAPTIONS)] + (" and more" if i % 3 else "") for i in range(40)]
    whole = CLIP4DM(detector.model, batch_size=64).detect(features, captions)
    for size in (1, 3, 8, 17):
        parts = CLIP4DM(detector.model, batch_size=size).detect(features, captions)
        assert_detections(parts, whole)
    order = RANDOM.permutation(40)
    shuffled = detector.detect(features[order], [captions[i] for i in order])
    back = [shuffled[int(np.flatnonzero(order == i)[0])] for i in range(40)]
    assert_detections(back, whole)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert_detections(detector.detect(features, captions), whole)
    finally:
        torch.set_num_threads(threads)


def test_picture_batches_change_nothing(detector):
    pictures = [RANDOM.integers(0, 255, (40, 50, 3), dtype=np.uint8) for _ in range(9)]
    whole = detector.encode_images(pictures)
    for size in (1, 2, 5):
        parts = CLIP4DM(detector.model, batch_size=size).encode_images(pictures)
        torch.testing.assert_close(parts, whole, rtol=0, atol=COSINE)


def test_one_caption_against_many_pictures(detector):
    many = F.normalize(torch.randn(70, 24, generator=torch.Generator().manual_seed(2)), dim=-1)  # 24 dimensions
    caption = CAPTIONS[1]
    one_by_one = [detector.detect(many[i : i + 1], caption)[0] for i in range(len(many))]
    together = detector.detect(many, caption)
    assert_detections(together, one_by_one)
    assert_detections(detector.detect(many[:20], [caption]), one_by_one[:20])  # fewer than dimensions
    assert all(d.caption == caption for d in together) and detector.detect(many, []) == []
    with pytest.raises(ValueError, match="70 images and 2 captions"):
        detector.detect(many, [caption, caption])


def test_a_path_given_twice_is_decoded_once(detector, tmp_path, monkeypatch):
    names = make_pictures(tmp_path, 3)
    paths = [tmp_path / names[i] for i in (0, 1, 0, 2, 1, 0)]
    expected = torch.cat([detector.encode_images(path) for path in paths])
    read = []
    monkeypatch.setattr(
        "clip4dm.detector.load_image",
        lambda image, real=CLIP4DM.encode_images.__globals__["load_image"]: read.append(image) or real(image),
    )
    features = detector.encode_images(str(path) if i % 2 else path for i, path in enumerate(paths))
    assert sorted(map(str, read)) == sorted(str(tmp_path / name) for name in names)
    torch.testing.assert_close(features, expected, rtol=0, atol=COSINE)


def test_work_ahead_keeps_order_stays_bounded_and_ends():
    begun, lock = [], threading.Lock()

    def load(item):
        with lock:
            begun.append(item)
        time.sleep(0.001 * (item % 3))
        if item == 50:
            raise ImageError("the fiftieth")
        return item * item

    found = ahead(load, iter(range(10**9)), threads=2)
    assert [next(found) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert max(begun) < 5 + 4 * 2
    assert [next(found) for _ in range(45)][-1] == 49 * 49
    with pytest.raises(ImageError, match="the fiftieth"):
        next(found)
    assert not any(t.name.startswith("decode") for t in threading.enumerate())
    assert list(ahead(load, [], 2)) == [] and list(ahead(load, [3], 2)) == [9]


def test_an_unreadable_picture_among_good_ones_says_which(detector, tmp_path):
    names = make_pictures(tmp_path, 4)
    (tmp_path / names[2]).write_bytes(b"no picture")
    with pytest.raises(ImageError, match=names[2]):
        detector.encode_images([tmp_path / name for name in names])


TOWERS = {
    "ViT": dict(image_size=32, layers=3, width=32, head_width=16, patch_size=16),
    "ViT with layer scale": dict(image_size=32, layers=2, width=32, head_width=16, patch_size=16, ls_init_value=0.1),
    "ViT without pre-norm": dict(image_size=32, layers=2, width=32, head_width=16, patch_size=16, no_ln_pre=True),
    "ViT with average pooling": dict(image_size=32, layers=2, width=32, head_width=16, patch_size=16, pool_type="avg"),
    "ViT with attention pooling": dict(
        image_size=32,
        layers=2,
        width=32,
        head_width=16,
        patch_size=16,
        attentional_pool=True,
        attn_pooler_queries=4,
        attn_pooler_heads=2,
    ),
    "ResNet": dict(image_size=64, layers=[1, 1, 1, 1], width=16),
}


@pytest.mark.parametrize("name", TOWERS)
def test_the_image_tower_gives_encode_image(name):
    torch.manual_seed(4)
    model = open_clip.CLIP(embed_dim=24, vision_cfg=TOWERS[name], text_cfg={"width": 32, "heads": 2, "layers": 1})
    model.eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in model.visual.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    size = TOWERS[name]["image_size"]
    pixels = torch.randn(5, 3, size, size)
    tower = ImageTower(model)
    with torch.no_grad():
        expected = F.normalize(model.encode_image(pixels), dim=-1)
    torch.testing.assert_close(tower.encode(pixels), expected, rtol=0, atol=COSINE)
    assert tower.native == (name in ("ViT", "ViT with layer scale", "ViT without pre-norm"))


def test_an_image_tower_that_does_something_else_is_left_to_itself():
    model = open_clip.CLIP(embed_dim=24, vision_cfg=TOWERS["ViT"], text_cfg={"width": 32, "heads": 2, "layers": 1})
    model.eval().requires_grad_(False)
    inner = model.visual.transformer.forward
    model.visual.transformer.forward = lambda x, *args, **named: inner(x.flip(-1), *args, **named)
    pixels = torch.randn(2, 3, 32, 32)
    tower = ImageTower(model)
    torch.testing.assert_close(tower.encode(pixels), F.normalize(model.encode_image(pixels), dim=-1))
    assert tower.native is False


@pytest.mark.parametrize("shape", [(1, 33), (7, 5, 33), (64, 1, 33)])
def test_both_libraries_multiply_alike(shape, monkeypatch):
    if linear_module._onednn() is None:
        pytest.skip("this PyTorch is built without oneDNN's linear operator")
    x, weight, bias = torch.randn(shape), torch.randn(17, 33), torch.randn(17)
    for faster in (True, False):
        monkeypatch.setattr(linear_module, "onednn_is_faster", lambda faster=faster: faster)
        for b in (bias, None):
            with torch.no_grad():
                torch.testing.assert_close(linear(x, weight, b), F.linear(x, weight, b), rtol=PRODUCT, atol=PRODUCT)
    leaf = weight.clone().requires_grad_()
    linear(x, leaf, bias).sum().backward()  # with gradients it is F.linear itself
    assert leaf.grad is not None


@pytest.mark.parametrize(
    ("capability", "amd", "expected"),
    [("AVX512", True, True), ("AVX512", False, False), ("AVX2", True, False), ("DEFAULT", True, False)],
)
def test_onednn_is_taken_by_the_rule(capability, amd, expected, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(linear_module, "_is_amd", lambda: amd)
    monkeypatch.setattr(linear_module, "_onednn", lambda: F.linear)
    assert linear_module.onednn_is_faster.__wrapped__() is expected


def test_the_published_procedure_says_the_same(detector, tmp_path):
    """Hugging Face's CLIPModel with both towers, made of the same weights: the measure in the speed benchmark."""
    hf = to_hugging_face(detector.model.model, detector.model.quick_gelu)
    picture = Image.fromarray(RANDOM.integers(0, 255, (40, 50, 3), dtype=np.uint8))
    detector = CLIP4DM(detector.model, method="clip4dm", start_layer_text=-3)
    features = detector.encode_images(picture)
    for encoded in detector.encode_captions(CAPTIONS):
        values, cosine = explain_pair(hf, detector.model.preprocess(picture)[None], list(encoded.ids))
        (found,) = detector.detect_encoded(features, [encoded])
        of = np.asarray(encoded.unit_of)
        expected = [values[np.flatnonzero(of == i)].mean().item() for i, u in enumerate(encoded.units) if u.candidate]
        assert_attributions([w.attribution for w in found.words], expected, np.abs(found.layer_attributions).max())
        assert found.cosine == pytest.approx(cosine, abs=COSINE)


def test_the_benchmark_runs_and_counts_right(tiny_folder, tmp_path, capsys):
    benchmark_speed.main(
        [
            "--pretrained",
            str(tiny_folder),
            "--device",
            "cpu",
            "--pictures",
            "6",
            "--rounds",
            "2",
            "--captions_each",
            "1",
            "3",
            "--published_pairs",
            "2",
            "--no_memory",
        ]
    )
    printed = capsys.readouterr().out
    for name in benchmark_speed.NAMES.values():
        assert printed.count(f"| {name} |") == 2
    assert "3 captions a picture" in printed and "% of the text pass" in printed
    captions = speed_contenders.drawn_pictures(tmp_path, 6)
    load = speed_contenders.read_load(sorted(tmp_path.iterdir()), captions, 3)
    assert len(load.pairs) == 18 and len({caption for _, caption in load.pairs[:3]}) == 3
    assert (
        speed_contenders.this_project(CLIP4DM.from_pretrained(pretrained=str(tiny_folder), device="cpu").model)(load)
        == 18
    )
    benchmark_speed.main(["--pretrained", str(tiny_folder), "--device", "cpu", "--pictures", "6", "--only", "c"])
    assert int(capsys.readouterr().out) > 2**26  # bytes: PyTorch alone is more
    with pytest.raises(SystemExit):
        benchmark_speed.main(["--pretrained", str(tiny_folder), "--img_dir", str(tmp_path)])
    assert "--captions" in capsys.readouterr().err
