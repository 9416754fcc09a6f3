"""Small models, pictures and annotation files, made from seeds: what the tests run on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

WORDS = (
    "a red dog",
    "two zebras on a plate.",
    "the cat, sleeping on a sofa",
    "A woman's red-haired horse",
    "a man riding a snowboard down a slope.",
    "an old bus",
    "birds flying over the lake near a boat",
)


def make_tiny_clip(folder: Path, seed: int = 0, *, quick_gelu: bool = True, layers: int = 4) -> Path:
    """A random CLIP (text layers of 2 heads, 32-pixel pictures) in the hub's folder layout."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = {
        "embed_dim": 24,
        "quick_gelu": quick_gelu,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": layers},
    }
    torch.manual_seed(seed)
    model = open_clip.CLIP(**config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
    return folder


def make_pictures(folder: Path, count: int, seed: int = 0) -> list[str]:
    """Random JPEG files of various sizes; returns their names, in COCO's form."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    names = []
    for number in range(1, count + 1):
        size = (int(random.integers(40, 80)), int(random.integers(40, 80)), 3)
        names.append(f"COCO_val2014_{number:012d}.jpg")
        Image.fromarray(random.integers(0, 255, size, dtype=np.uint8)).save(folder / names[-1])
    return names


def make_foil(path: Path, names: list[str]) -> Path:
    """A FOIL v1.0 file: for every picture an original caption and its foil, in which one word is "foiled"."""
    images = [{"id": number, "file_name": name} for number, name in enumerate(names, 1)]
    annotations = []
    for number, _ in enumerate(names, 1):
        words = WORDS[number % len(WORDS)].split()
        target = words[-1].strip(".,")
        caption = f"{' '.join(words)} number {number}"
        common = {"id": 1000 + number, "image_id": number, "foil_id": 5000 + number}
        annotations.append({**common, "caption": caption, "foil": False, "foil_word": "ORIG", "target_word": "ORIG"})
        annotations.append(
            {
                **common,
                "caption": caption.replace(target, "foiled"),
                "foil": True,
                "foil_word": "foiled",
                "target_word": target,
            }
        )
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def make_coco_captions(path: Path, foil_path: Path, per_image: int = 3) -> Path:
    """A COCO captions file whose captions include FOIL's originals under the same annotation ids."""
    foil = json.loads(foil_path.read_text())
    annotations = [
        {"id": a["id"], "image_id": a["image_id"], "caption": a["caption"]}
        for a in foil["annotations"]
        if a["foil_word"] == "ORIG"
    ]
    for extra in range(1, per_image):
        annotations += [
            {
                "id": 100_000 * extra + image["id"],
                "image_id": image["id"],
                "caption": f"reference {extra} of {WORDS[(image['id'] + extra) % len(WORDS)]}",
            }
            for image in foil["images"]
        ]
    path.write_text(json.dumps({"images": foil["images"], "annotations": annotations}))
    return path
