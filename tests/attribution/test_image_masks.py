"""image_masks: the mean over masked copies of the picture, each read by itself; the run that has them, and says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contract import COSINE, INNER_PRODUCT, attribution_tolerance
from making import make_foil, make_pictures

from clip4dm import CLIP4DM
from clip4dm.attribution.methods import METHODS
from clip4dm.commands import evaluate as main_py
from clip4dm.commands import infer
from clip4dm.errors import InputError
from clip4dm.evaluation.config import Options
from clip4dm.evaluation.store.finished import open_run
from clip4dm.towers.image import PATCHES, random_masks

LINEAR = [name for name, method in METHODS.items() if method.linear]
PICTURES = [np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8) for i in range(2)]
CAPTIONS = ["a red dog on grass", "two zebras."]


def features_of_copies(detector, picture, copies):
    """(copies, features) by open_clip's own encode_image: pixels of a grid's cells set to 0, the mean colour."""
    pixels = detector.model.preprocess(picture)
    side = pixels.shape[-1]
    cell = np.arange(side) * PATCHES // side  # of each pixel
    read = []
    for mask in random_masks(copies, (PATCHES, PATCHES))[:, 0].numpy():
        copy = pixels.clone()
        copy[:, torch.tensor(mask[cell][:, cell] == 0)] = 0
        with torch.no_grad():
            read.append(F.normalize(detector.model.model.encode_image(copy[None]), dim=-1)[0])
    return torch.stack(read)


@pytest.mark.parametrize("name", LINEAR)
def test_attributions_are_the_mean_over_masked_copies_and_the_cosine_is_the_whole_pictures(detector, name):
    from PIL import Image

    plain = CLIP4DM(detector.model, method=name)
    masked = CLIP4DM(detector.model, method=name, image_masks=4, batch_size=3)
    found = masked.detect(PICTURES, CAPTIONS)
    for picture, caption, ours, whole in zip(PICTURES, CAPTIONS, found, plain.detect(PICTURES, CAPTIONS), strict=True):
        copies = plain.detect(features_of_copies(detector, Image.fromarray(picture), 4), [caption])
        rows = np.stack([copy.layer_attributions for copy in copies])
        allowed = max(attribution_tolerance(np.abs(rows).max(), INNER_PRODUCT), 2 * COSINE)
        assert np.abs(ours.layer_attributions - rows.mean(0)).max() <= allowed
        assert np.abs(ours.layer_attributions - whole.layer_attributions).max() > 4 * allowed
        assert abs(ours.cosine - whole.cosine) <= COSINE
        assert ours.f_clip_score == pytest.approx(
            (1 - ours.cosine) * sum(w.attribution for w in ours.words if w.attribution < ours.epsilon), abs=1e-12
        )


def test_masks_are_the_same_ones_always_and_keep_each_patch_as_often_as_not():
    masks = random_masks(10, (PATCHES, PATCHES))
    assert torch.equal(masks, random_masks(10, (PATCHES, PATCHES))) and torch.equal(masks[:4], random_masks(4, (7, 7)))
    assert set(masks.flatten().tolist()) == {0.0, 1.0} and len({m.numpy().tobytes() for m in masks}) == 10
    assert (masks.mean(0) == 0.5).all()


def test_features_serve_many_captions_and_are_not_mixed_with_those_without_masks(detector):
    masked = CLIP4DM(detector.model, method="masking", image_masks=4)
    features = masked.encode_images(PICTURES)
    assert features.shape == (2, 2, detector.model.tower.features) and (features[:, 1].norm(dim=-1) < 1 - 1e-4).all()
    again, fresh = masked.detect(features[:1], CAPTIONS), masked.detect(PICTURES[:1], CAPTIONS)
    for a, b in zip(again, fresh, strict=True):
        assert np.abs(a.layer_attributions - b.layer_attributions).max() <= 2 * COSINE
    for mine, theirs in ((masked, features[:, 0]), (CLIP4DM(detector.model), features)):
        with pytest.raises(InputError, match="not of encode_images of this CLIP4DM"):
            mine.detect(theirs, CAPTIONS)


@pytest.mark.parametrize("wrong", [-1, 2.5, True, "10"])
def test_a_number_of_masks_is_a_whole_one(detector, wrong):
    for ask in (lambda: CLIP4DM(detector.model, image_masks=wrong), lambda: Options("a", "b", image_masks=wrong)):
        with pytest.raises(InputError, match="it must be a whole number from 0"):
            ask()


def test_a_method_that_is_not_linear_in_the_picture_has_none(detector):
    assert LINEAR == [name for name in METHODS if name != "gae"]
    for ask in (CLIP4DM, lambda model, **said: Options("foil.json", "images", **said)):
        with pytest.raises(InputError, match="image_masks 4 cannot be had of the method gae"):
            ask(detector.model, method="gae", image_masks=4)


def test_main_py_stores_them_and_infer_py_takes_them(tiny_folder, tmp_path, capsys):
    names = make_pictures(tmp_path / "images", 2)
    data = ["--data_path", str(make_foil(tmp_path / "foil.json", names)), "--img_dir", str(tmp_path / "images")]
    asked = [*data, "--pretrained", str(tiny_folder), "--device", "cpu", "--num_workers", "0", "--output"]
    for masks in ("0", "2"):
        main_py.main([*asked, str(tmp_path / "output"), "--image_masks", masks])
    plain, masked = sorted((tmp_path / "output").glob("*/*/*/"), key=lambda path: "masks" in path.name)
    assert masked.name.startswith("masks2_most_negative_")
    runs = [open_run(folder) for folder in (plain, masked)]
    assert [run.config["args"]["image_masks"] for run in runs] == [0, 2]
    assert runs[0].config["fingerprint"] != runs[1].config["fingerprint"]
    capsys.readouterr()
    main_py.main(["--rescore", str(masked), "--image_masks", "2"])
    with pytest.raises(SystemExit):
        main_py.main(["--rescore", str(masked), "--image_masks", "0"])
    assert "with image_masks 2, and those with 0 need the model" in capsys.readouterr().err
    infer.main(["--pretrained", str(tiny_folder), "--device", "cpu", "--image_masks", "2", "--text", "dog"])
    assert "word_attributions" in capsys.readouterr().out
