"""Text towers trained on frozen features of photographs: the folder they become, seeds, and what is refused."""

from __future__ import annotations

import csv
import json
from collections import Counter
from random import Random

import measure_retrieval
import numpy as np
import open_clip
import pytest
import torch
import train_photo_text
from making import WORDS, make_pictures, make_tiny_clip
from photo_training.data import Photographs, steps_of_epoch, thinned
from photo_training.model import ImageTower, PhotoText
from safetensors.torch import load_file, save_file
from training import optimising

from clip4dm import CLIP4DM, load_model
from clip4dm.files.images import load_image

PICTURES, WIDTH = 12, 256  # the tower's features
CONFIG = {
    "embed_dim": 24,
    "custom_text": True,
    "vision_cfg": {
        "timm_model_name": "test_efficientnet",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "timm_proj_bias": True,
        "image_size": 64,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """tower/ (a random CLIP with a small tower of timm), images/, and the features and captions of its pictures."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "tower").mkdir()
    (folder / "tower" / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS})
    )
    torch.manual_seed(0)
    model = open_clip.CustomTextCLIP(**{name: value for name, value in CONFIG.items() if name != "custom_text"})
    save_file(model.state_dict(), str(folder / "tower" / "open_clip_model.safetensors"))
    names = make_pictures(folder / "images", PICTURES)
    loaded = load_model(pretrained=str(folder / "tower"), device="cpu")
    pixels = torch.stack([loaded.preprocess(load_image(folder / "images" / name)) for name in names])
    with torch.inference_mode():
        views = [loaded.model.visual.trunk(each).numpy() for each in (pixels, pixels.flip(3))]
    np.savez(folder / "features.npz", features=np.stack(views), names=np.array(names))
    captions = {name: [f"{WORDS[i % 7]} number {i}", WORDS[i % 7]] for i, name in enumerate(names)}
    (folder / "captions.json").write_text(json.dumps(captions))
    return folder


def command(world, folder, *more):
    return [
        str(folder),
        *("--features", str(world / "features.npz"), "--captions", str(world / "captions.json")),
        *("--image_tower", str(world / "tower"), "--text_layers", "2", "--width", "32", "--heads", "2"),
        *("--batch_size", "4", "--epochs", "2", "--stop", "1", "--threads", "1", *more),
    ]


def losses(folder):
    with open(folder / "loss.csv", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def trained_part(world, folder):
    """What the training itself ended with, from its checkpoint."""
    features = np.load(world / "features.npz")["features"]
    model = PhotoText({**CONFIG["text_cfg"], "layers": 2}, features, 24)
    model.load_state_dict(torch.load(folder / "text.pt", weights_only=True)["model"])
    return model.eval(), torch.from_numpy(features)


def test_the_folder_loads_and_gives_the_features_of_the_training(world, tmp_path):
    train_photo_text.main(command(world, tmp_path))
    detector = CLIP4DM.from_pretrained(None, str(tmp_path / "model"), device="cpu")
    assert detector.model.tower.layers == 2
    trained, features = trained_part(world, tmp_path)
    pictures = sorted((world / "images").iterdir())
    with torch.inference_mode():
        torch.testing.assert_close(
            detector.encode_images(pictures), trained.encode_image(features[0]), atol=1e-5, rtol=0
        )
        tokens = detector.model.tokenizer(list(WORDS))
        texts = detector.model.model.encode_text(tokens, normalize=True)
        # Stored in fp16, trained in bf16, whose numbers have 8 bits.
        torch.testing.assert_close(texts, trained.encode_text(tokens), atol=2e-2, rtol=0)
    assert len(detector.detect(pictures[0], "two zebras on a plate.")[0].words) == 5


def test_the_image_tower_is_copied_as_it_is(world, tmp_path):
    train_photo_text.main(command(world, tmp_path))
    before, after = (
        load_file(str(folder / "open_clip_model.safetensors")) for folder in (world / "tower", tmp_path / "model")
    )
    trunk = [name for name in before if name.startswith("visual.trunk.")]
    assert len(trunk) > 50 and all(torch.equal(before[name], after[name]) for name in trunk)
    configs = [
        json.loads((folder / "open_clip_config.json").read_text()) for folder in (world / "tower", tmp_path / "model")
    ]
    configs[0]["model_cfg"]["text_cfg"]["layers"] = 2
    assert configs[0] == configs[1]


def test_the_same_seed_trains_to_the_same_bytes_and_an_interrupted_training_goes_on(world, tmp_path, monkeypatch):
    monkeypatch.setattr(optimising, "CHECKPOINT_EVERY", 2)
    for name in "ab":
        train_photo_text.main(command(world, tmp_path / name))
    train_photo_text.main(command(world, tmp_path / "other", "--seed", "1"))
    inner, steps = train_photo_text.scenes_of_step, []

    def interrupted(*given):
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(given[-1])
        return inner(*given)

    monkeypatch.setattr(train_photo_text, "scenes_of_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_photo_text.main(command(world, tmp_path / "c"))
    assert not (tmp_path / "c" / "model").exists()
    taken_up = []
    monkeypatch.setattr(train_photo_text, "scenes_of_step", lambda *given: taken_up.append(given[-1]) or inner(*given))
    train_photo_text.main(command(world, tmp_path / "c"))
    assert taken_up == [2, 3, 4, 5]  # from the checkpoint after two steps; an epoch has six
    a, b, c, other = (
        (tmp_path / name / "model" / "open_clip_model.safetensors").read_bytes() for name in ("a", "b", "c", "other")
    )
    assert a == b == c and a != other
    assert losses(tmp_path / "a") == losses(tmp_path / "c")


def test_the_loss_falls_and_captions_find_their_pictures(world, tmp_path, capsys):
    more = ["--epochs", "60", "--stop", "60", "--lr", "3e-3", "--dropout", "0", "--thinned", "0"]
    train_photo_text.main(command(world, tmp_path, *more))
    values = losses(tmp_path)
    assert sum(values[-10:]) < 0.7 * sum(values[:10])
    capsys.readouterr()
    data = ["--captions", str(world / "captions.json"), "--img_dir", str(world / "images"), "--device", "cpu"]
    measure_retrieval.main(["--pretrained", str(tmp_path / "model"), *data])
    text, picture = capsys.readouterr().out.splitlines()
    assert text.startswith("text to picture: R@1 ") and text.endswith("R@10 100.0 % (24 among 12)")
    assert picture.startswith("picture to text: R@1 ") and picture.endswith("(12 among 24)")
    assert float(text.split()[4]) > 50  # 8 by chance


def test_recalls_by_hand():
    # Captions 0 and 1 belong to picture 0, caption 2 to picture 1.
    similarity, picture_of = torch.tensor([[0.9, 0.1], [0.2, 0.3], [0.95, 0.5]]), torch.tensor([0, 0, 1])
    assert measure_retrieval.places_of_pictures(similarity, picture_of).tolist() == [0, 1, 1]
    assert measure_retrieval.places_of_captions(similarity, picture_of).tolist() == [1, 0]


def test_features_are_standardised_and_folded_into_the_projection():
    features = np.random.default_rng(0).normal(3, [0.01, 5, 1, 2], (2, 30, 4)).astype(np.float32)
    features[..., 2] = 7  # the same in all pictures
    model = PhotoText({**CONFIG["text_cfg"]}, features, 24).eval()
    standard = (features - features.mean((0, 1))) / np.array([*features.std((0, 1))[:2], 1, features.std((0, 1))[3]])
    expected = model.projection(torch.tensor(standard, dtype=torch.float32))
    folded = model.folded_projection()
    given = torch.from_numpy(features) @ folded["weight"].T + folded["bias"]
    torch.testing.assert_close(given, expected, atol=2e-3, rtol=0)  # 3 / 0.01 in fp32


def test_parts_of_like_length_are_the_same_texts_in_their_order():
    model = PhotoText({**CONFIG["text_cfg"]}, np.ones((1, 2, 4), np.float32), 24).eval()
    tokens = open_clip.SimpleTokenizer(context_length=77)([*WORDS, "a", " ".join(["dog"] * 90)])
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(model.text(tokens), dim=-1)
        torch.testing.assert_close(model.encode_text(tokens), expected, atol=2e-2, rtol=0)
        assert (expected @ expected.T - torch.eye(len(tokens))).max() < 0.98  # different texts, which are told apart


def test_a_thinned_caption_loses_articles_and_some_words_and_never_all():
    random, kept = Random(0), Counter()
    for _ in range(2000):
        kept.update(thinned("A dog under the old bridge", random).split())
    for word, share in {"A": 0.5, "the": 0.5, "dog": 0.9, "under": 0.9, "old": 0.9, "bridge": 0.9}.items():
        assert abs(kept[word] / 2000 - share) < 0.05, word
    assert {thinned("a", random) for _ in range(50)} == {"a"}


def test_an_epoch_takes_every_picture_as_often_as_it_has_captions():
    photographs = Photographs(np.zeros((2, 10, 4), np.float32), [["a"] * 5] * 10)
    assert steps_of_epoch(photographs, 4) == 5 * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--heads", "3"], "--heads 3 must divide --width, 32"),
        (["--stop", "3"], "--stop 3: at most --epochs, 2"),
        (["--batch_size", "13"], "--batch_size 13: a batch is of different pictures, at least 2 and at most the 12 of"),
        (["--batch_size", "1"], "--batch_size 1: "),
        (["--features", "{tmp}/none.npz"], "[Errno 2] No such file"),
        (["--features", "{tmp}/text"], "{tmp}/text is no file of features ("),
        (["--features", "{tmp}/flat.npz"], "{tmp}/flat.npz holds features of shape (12, 256) and 12 names"),
        (["--features", "{tmp}/nan.npz"], "{tmp}/nan.npz holds features that are not finite"),
        (["--features", "{tmp}/narrow.npz"], "{tmp}/narrow.npz holds features of width 100, not those of {world}"),
        (["--captions", "{tmp}/list.json"], "{tmp}/list.json holds no captions; expected JSON"),
        (
            ["--captions", "{tmp}/one.json"],
            "{tmp}/one.json has no captions of COCO_val2014_000000000002.jpg, nor of 10",
        ),
        (["--captions", "{tmp}/empty.json"], "{tmp}/empty.json: expected a list of at least one caption of x.jpg"),
        (["--image_tower", "{tmp}/clip"], "{tmp}/clip/open_clip_config.json: expected an image tower of timm"),
        (["--image_tower", "{tmp}/damaged"], "{tmp}/damaged/open_clip_model.safetensors is damaged ("),
        (["--image_tower", "{tmp}/none"], "{tmp}/none/open_clip_config.json"),
    ],
)
def test_what_cannot_be_trained_is_one_line(world, given, said, tmp_path, capsys):
    whole = np.load(world / "features.npz")
    features, names = whole["features"], whole["names"]
    (tmp_path / "text").write_text("no features")
    np.savez(tmp_path / "flat.npz", features=features[0], names=names)
    np.savez(tmp_path / "nan.npz", features=features * np.nan, names=names)
    np.savez(tmp_path / "narrow.npz", features=features[..., :100], names=names)
    for name, content in {"list": [], "one": {str(names[0]): ["a dog"]}, "empty": {"x.jpg": [" "]}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    make_tiny_clip(tmp_path / "clip")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}))
    (tmp_path / "damaged" / "open_clip_model.safetensors").write_bytes(b"no weights")
    places = {"tmp": tmp_path, "world": world}
    with pytest.raises(SystemExit) as stop:
        train_photo_text.main(command(world, tmp_path / "new", *(one.format(**places) for one in given)))
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and line.startswith("train_photo_text.py: error: ") and said.format(**places) in line
    assert not (tmp_path / "new").exists()


def test_a_folder_of_another_training_is_not_taken_up(world, tmp_path, capsys):
    train_photo_text.main(command(world, tmp_path))
    with pytest.raises(SystemExit):
        train_photo_text.main(command(world, tmp_path, "--lr", "0.1"))
    assert "other settings" in capsys.readouterr().err


def test_a_model_that_cannot_be_written_leaves_the_old_one(world, tmp_path, monkeypatch):
    """Whole or not at all: a full disk while the new weights are written."""
    train_photo_text.main(command(world, tmp_path))
    before = (tmp_path / "model" / "open_clip_model.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("photo_training.model.save_file", full)
    trained, _ = trained_part(world, tmp_path)
    with pytest.raises(OSError, match="No space"):
        ImageTower(world / "tower").save_with(trained, CONFIG["text_cfg"], tmp_path / "model")
    assert (tmp_path / "model" / "open_clip_model.safetensors").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
