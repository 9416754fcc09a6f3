"""Real photographs with their official captions, in the four forms that people keep them in: four times the same scores."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from drawn_pairs import read_rows, write_folder, write_parquet_of_bytes, write_table, write_tars
from same_rows import assert_same_numbers
from speed.random_model import make_random_model

from clip4dm import CLIP4DM
from clip4dm.commands import score

PER_SHARD = 100
TWO_CAPTIONS = 10  # every so-many-th photograph has two


@pytest.fixture(scope="module")
def photographs(shared):
    """(folder, pairs): all photographs that are there."""
    coco = shared / "data" / "coco"
    content = json.loads((coco / "captions_subset.json").read_text())
    captions: dict[int, list[str]] = {}
    for one in content["annotations"]:
        captions.setdefault(one["image_id"], []).append(one["caption"])
    pairs = []
    for number, identity in enumerate(sorted(captions)):
        image = f"COCO_val2014_{identity:012d}.jpg"
        pairs += [(image, caption) for caption in captions[identity][: 1 + (number % TWO_CAPTIONS == 0)]]
    return coco / "val2014", pairs


def once_for_the_same_pixels(detector, monkeypatch) -> dict[bytes, torch.Tensor]:
    """Nine tenths of the time would go into encoding what three other forms gave already. -> features by pixels."""
    encode, known = detector.encode_images, {}

    def encode_new(images):
        keys = [hashlib.sha256(image.numpy().tobytes()).digest() for image in images]
        new = {key: image for key, image in zip(keys, images, strict=True) if key not in known}
        if new:
            known.update(zip(new, encode(list(new.values())), strict=True))
        return torch.stack([known[key] for key in keys])

    monkeypatch.setattr(detector, "encode_images", encode_new)
    return known


@pytest.mark.slow
def test_four_forms_of_photographs_give_the_same_scores(photographs, monkeypatch, tmp_path):
    pictures, pairs = photographs
    assert len({image for image, _ in pairs}) == 439 == len(list(pictures.glob("*.jpg")))
    model = make_random_model(tmp_path / "random")
    detector = CLIP4DM.from_pretrained(pretrained=str(model), device="cpu", batch_size=32)
    seen = once_for_the_same_pixels(detector, monkeypatch)
    monkeypatch.setattr(score, "make_detector", lambda args: detector)
    sources = {
        "csv": [write_table(tmp_path / "captions.csv", pairs), "--img_dir", pictures],
        "folder": [write_folder(tmp_path / "folder", pictures, pairs)],
        "tars": [write_tars(tmp_path / "tars", pictures, pairs, per_tar=PER_SHARD)],
        "bytes": [write_parquet_of_bytes(tmp_path / "bytes.parquet", pictures, pairs)],
    }
    rows = {}
    for form, source in sources.items():
        output = tmp_path / f"scores-{form}"
        score.main([*map(str, source), "--output", str(output), "--shard_size", str(PER_SHARD)])
        assert len(list(output.glob("*.parquet"))) == -(-len(pairs) // PER_SHARD)
        rows[form] = read_rows(output)
        # One ends in a line break, which a file's last line would have.
        assert [row["caption"].rstrip("\n") for row in rows[form]] == [caption.rstrip("\n") for _, caption in pairs]
        assert all(row["error"] is None for row in rows[form])
        for mine, other in zip(rows[form], rows["csv"], strict=True):
            assert_same_numbers(mine, other)
    assert len(seen) == 439  # the same pixels in all forms
    assert len({row["cosine"] for row in rows["csv"]}) > 400  # a random model, but no constant
