"""CLIP4DM as a user meets it: images and captions in, detections out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from contract import COSINE, SAME_NUMBERS, assert_attributions, assert_detections
from making import WORDS
from PIL import Image

from clip4dm import CLIP4DM, Detection, Word, published, scores
from clip4dm.captions.words import CaptionError
from clip4dm.detection import NotFinite
from clip4dm.errors import ModelError
from clip4dm.files.images import ImageError

RANDOM = np.random.default_rng(1)
PICTURES = [RANDOM.integers(0, 255, (40 + 5 * i, 60, 3), dtype=np.uint8) for i in range(4)]


def test_one_image_for_many_captions_is_encoded_once(detector, monkeypatch):
    calls = []
    encode = detector.model.image_tower.encode
    monkeypatch.setattr(detector.model.image_tower, "encode", lambda x: calls.append(len(x)) or encode(x))
    found = detector.detect([PICTURES[0]], list(WORDS))
    assert calls == [1] and [d.caption for d in found] == list(WORDS)
    features = detector.encode_images([PICTURES[0]])
    again = detector.detect(features, list(WORDS))
    assert calls == [1, 1]
    assert_detections(again, found)  # features of the caller are made unit length once more
    assert features.shape == (1, 24) and not features.requires_grad
    assert torch.linalg.vector_norm(features).item() == pytest.approx(1, abs=COSINE)


def test_paths_pictures_arrays_and_tensors_are_the_same(detector, tmp_path):
    Image.fromarray(PICTURES[0]).save(tmp_path / "a.png")
    ways = [
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        Image.fromarray(PICTURES[0]),
        PICTURES[0],
        torch.from_numpy(PICTURES[0]),
        detector.model.preprocess(Image.fromarray(PICTURES[0])),
    ]
    features = [detector.encode_images(way) for way in ways] + [detector.encode_images(ways)[3:4]]
    for other in features[1:]:
        torch.testing.assert_close(other, features[0], rtol=0, atol=COSINE)


def test_batches_order_and_repetition_change_nothing(detector, tiny_folder):
    captions = [WORDS[i % len(WORDS)] for i in range(20)]
    features = detector.encode_images([PICTURES[i % 4] for i in range(20)])
    whole = detector.detect(features, captions)
    small = CLIP4DM(detector.model, batch_size=3).detect(features, captions)
    order = RANDOM.permutation(20)
    shuffled = detector.detect(features[order], [captions[i] for i in order])
    back = [shuffled[int(np.flatnonzero(order == i)[0])] for i in range(20)]
    assert_detections(small, whole)
    assert_detections(back, whole)
    assert [d.caption for d in whole] == captions


def test_a_detection_is_frozen_and_adds_up(detector):
    (found,) = detector.detect([PICTURES[1]], "Two zebras, one calf, and a hot dog on a plate.")
    assert isinstance(found, Detection) and all(isinstance(w, Word) for w in found.words)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.words[0].text = "x"
    assert [w.text for w in found.words] == "Two zebras one calf and a hot dog on a plate".split()
    assert all(found.caption[w.start : w.end] == w.text for w in found.words)
    assert [w.misaligned for w in found.words] == [w.attribution < -5e-5 for w in found.words]
    total = sum(w.attribution for w in found.words if w.misaligned)
    assert found.f_clip_score == pytest.approx((1 - found.cosine) * total, rel=SAME_NUMBERS)
    assert found.clip_score == 2.5 * max(found.cosine, 0)
    published = found.as_published()
    assert list(published) == [
        "negative_word",
        "sum_negative_attribution",
        "negative_word_score_list",
        "clip_score",
        "word_attributions",
    ]
    assert published["sum_negative_attribution"] == pytest.approx(total, rel=SAME_NUMBERS)
    (lowest,) = found.with_settings(sorted_by="most_negative").misaligned
    assert lowest.attribution == min(w.attribution for w in found.words)


def test_other_settings_without_the_model(detector):
    every = CLIP4DM(detector.model, start_layer_text=-4).detect([PICTURES[0]], WORDS)
    for start in (-4, -2, -1, 0, 3):
        fresh = CLIP4DM(detector.model, start_layer_text=start).detect([PICTURES[0]], WORDS)
        for a, b in zip(every, fresh, strict=True):
            a = a.with_settings(start_layer_text=start)
            assert_attributions(
                [w.attribution for w in a.words], [w.attribution for w in b.words], np.abs(b.layer_attributions).max()
            )
    (short,) = CLIP4DM(detector.model, start_layer_text=-1).detect([PICTURES[0]], "a dog")
    with pytest.raises(ValueError, match="needs the last 2 layers, but only the last 1"):
        short.with_settings(start_layer_text=-2)


def test_captions_with_nothing_to_score(detector):
    for caption in ("", "   ", "...", '!"', "\n"):
        (found,) = detector.detect([PICTURES[0]], caption)
        assert found.words == () and found.misaligned == () and found.f_clip_score == 0.0
        assert not found.truncated
        # "?!" is no substring of .,!"?;:" and thus a word to the published code.
        assert [word for word, _ in found.as_published()["word_attributions"]] == ["?!"] * (caption == "?!")
        assert found.with_settings(sorted_by="most_negative").misaligned == ()
    (long,) = detector.detect([PICTURES[0]], "dog " * 2500)
    assert long.truncated and len(long.words) == 2500
    assert long.words[0].scored and long.words[-1].attribution is None and not long.words[-1].misaligned
    assert detector.detect([PICTURES[0]], []) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sorted_by": "loudest"}, "allowed: threshold, most_negative"),
        ({"epsilon": float("nan")}, "finite number"),
        ({"start_layer_text": 4}, "may be -4 to 3"),
        ({"epsilon": True}, "finite number"),
        ({"epsilon": "low"}, "finite number"),
        ({"start_layer_text": 1.5}, "whole number"),
        ({"start_layer_text": True}, "whole number"),
        ({"batch_size": 0}, "at least 1"),
        ({"batch_size": 1.5}, "whole number"),
        ({"batch_size": True}, "whole number"),
    ],
)
def test_impossible_settings(detector, settings, message):
    with pytest.raises(ValueError, match=message):
        CLIP4DM(detector.model, **settings)


def test_impossible_inputs(detector, tmp_path):
    with pytest.raises(ValueError, match="2 images and 3 captions"):
        detector.detect(PICTURES[:2], ["a", "b", "c"])
    with pytest.raises(ValueError, match="3 images and 2 captions"):
        detector.detect_encoded(detector.encode_images(PICTURES[:3]), detector.encode_captions(["a", "b"]))
    with pytest.raises(ImageError, match=r"shape \(3, 32, 32\), got \(3, 16, 16\)"):
        detector.encode_images(torch.zeros(3, 16, 16))
    with pytest.raises(ValueError, match="image features are"):
        detector.detect(torch.zeros(24), "a dog")
    with pytest.raises(CaptionError, match="got NoneType"):
        detector.detect([PICTURES[0]], [None])
    with pytest.raises(CaptionError, match="template fills"):
        CLIP4DM(detector.model, template="very " * 100).detect([PICTURES[0]], "a dog")
    with pytest.raises(ImageError, match="no images were given"):
        detector.encode_images([])
    with pytest.raises(ImageError, match="no such image file"):
        detector.detect(tmp_path / "none.jpg", "a dog")


@pytest.mark.parametrize("features", [torch.zeros(0, 24), torch.zeros(2, 23), torch.zeros(1, 512), torch.zeros(2, 0)])
def test_features_of_another_shape(detector, features):
    with pytest.raises(ValueError, match=r"image features are \(images, 24\)"):
        detector.detect(features, "a dog")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.0])
def test_features_that_are_no_numbers(detector, number):
    features = torch.ones(2, 24)
    features[1] = number
    with pytest.raises(NotFinite, match="NaN, infinite or zero"):
        detector.detect(features, ["a dog", "a cat"])


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e20, 1e30])
def test_features_of_any_size_are_made_unit_length(detector, size):
    features = detector.encode_images([PICTURES[0], PICTURES[1]])
    assert_detections(
        detector.detect(features * size, ["a dog", "a cat"]), detector.detect(features, ["a dog", "a cat"])
    )


def test_weights_that_are_no_numbers_give_an_error_not_a_verdict(tiny_folder, tmp_path):
    """NaN in the image tower, in the embedding of one word, and in a block of the text tower."""
    from safetensors.torch import load_file, save_file

    def damaged(name, row=slice(None)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "open_clip_config.json").write_bytes((tiny_folder / "open_clip_config.json").read_bytes())
        state = load_file(str(tiny_folder / "open_clip_model.safetensors"))
        state[name][row] = float("nan")
        save_file(state, str(folder / "open_clip_model.safetensors"))
        return str(folder)

    with pytest.raises(NotFinite, match="image tower .* NaN or infinite"):
        CLIP4DM.from_pretrained(pretrained=damaged("visual.proj"), device="cpu").detect([PICTURES[0]], "a dog")
    (dog,) = CLIP4DM.from_pretrained(pretrained=str(tiny_folder), device="cpu").encode_captions(["zebra"])
    word = CLIP4DM.from_pretrained(pretrained=damaged("token_embedding.weight", dog.ids[4]), device="cpu")
    assert word.detect([PICTURES[0]], "a dog")[0].words[0].scored
    with pytest.raises(NotFinite, match="'a zebra' are not finite"):
        word.detect([PICTURES[0]], ["a dog", "a zebra"])
    with pytest.raises(ModelError, match="NaN or infinite: its weights are damaged"):
        CLIP4DM.from_pretrained(pretrained=damaged("transformer.resblocks.1.mlp.c_fc.weight"), device="cpu")


def test_memory_that_runs_out_halves_the_batch(detector, monkeypatch):
    expected = detector.detect([PICTURES[0]], WORDS)
    small = CLIP4DM(detector.model, batch_size=7)
    run = small._attribute_batch

    def only_two(features, encoded):
        if len(encoded) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return run(features, encoded)

    monkeypatch.setattr(small, "_attribute_batch", only_two)
    found = small.detect([PICTURES[0]], WORDS)
    assert [d.caption for d in found] == list(WORDS) and small.batch_size == 2
    assert_detections(found, expected)
    monkeypatch.setattr(small, "_attribute_batch", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("out")))
    with pytest.raises(torch.OutOfMemoryError):
        small.detect([PICTURES[0]], "a dog")


@pytest.mark.parametrize(
    ("cosine", "references", "expected"),
    [
        (0.3, [0.6, 0.9], 2 * 0.75 * 0.9 / 1.65),
        (-0.2, [0.5], 0.0),
        (0.2, [-0.1], 0.0),
        (0.3, [], None),
        (-1, [-1], 0.0),
    ],
)
def test_ref_clip_score_by_hand(cosine, references, expected):
    found = scores.ref_clip_score(cosine, references)
    assert found is None if expected is None else found == pytest.approx(expected)


def test_f_clip_score_by_hand():
    words = [-1e-4, None, 2e-4, -2e-4, -1e-5]
    assert scores.f_clip_score(0.25, words) == pytest.approx(0.75 * -3e-4)
    assert scores.f_clip_score(0.25, words, epsilon=-1e-3) == 0.0
    scored = [word for word in words if word is not None]
    assert published.sum_negative(scored, "most_negative", -5e-5) == -2e-4
    assert published.sum_negative(scored, "threshold", -5e-5) == pytest.approx(-3e-4)
    assert published.sum_negative([], "most_negative", -5e-5) == published.f_clip_score_published(0.25, 0.0) == 0.0
    assert published.f_clip_score_published(0.25, -2e-4) == pytest.approx(0.75 * -2e-4)
    assert published.f_clip_score_published(-0.25, -2e-4) == -2e-4  # the published factor knows no negative cosine
    assert scores.f_clip_score(-0.25, words) == pytest.approx(1.25 * -3e-4)
    assert scores.clip_score(0.4) == pytest.approx(1.0) and scores.clip_score(-0.4) == 0.0
