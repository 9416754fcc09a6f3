"""A small annotation file of each benchmark."""

from __future__ import annotations

import json

FOIL = {
    "images": [{"id": 7, "file_name": "COCO_val2014_000000000007.jpg"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 7,
            "caption": "a dog near a hot dog.",
            "foil": False,
            "foil_id": 10,
            "foil_word": "ORIG",
            "target_word": "ORIG",
        },
        {
            "id": 1,
            "image_id": 7,
            "caption": "a dog near a hot cat.",
            "foil": True,
            "foil_id": 10,
            "foil_word": "cat",
            "target_word": "dog",
        },
    ],
}
NOCAPS = [
    {
        "image_path": "a.jpg",
        "references": ["one ref"],
        "baseline": "A TREE, a tree. ",
        "foil": "A TOWER, a tower. ",
        "replacement": ["tree", "tower"],
        "domain": "in-domain",
    }
]
HAT = [
    {
        "sample_id": "s1",
        "caption": "A  sign in different directions.",
        "image_path": "COCO_val2014_000000000009.jpg",
        "grounding": [["A", False], ["sign", False], ["in", False], ["different", True], ["directions.", True]],
        "references": ["a sign"],
    }
]
RICHHF = [
    {
        "filename": "x.png",
        "image": "x.png",
        "prompt": 'a cat; "two" dogs?! no',
        "tokens": [],
        "labels": [1, 0, 1, 0, 1],
        "misalignment_score": 0.25,
    }
]
SEETRUE = [
    {
        "id": "r0",
        "image": "p.jpg",
        "image_caption": '"A blue shirt, two dogs"',
        "dataset_source": "cococon",
        "caption_misalignment": "Blue  shirt.",
    }
]
EXPERT = [{"image": "p.jpg", "caption": "A dog runs .", "caption_id": "q.jpg#2", "ratings": [1, 1, 2]}]
CROWD = [{"image": "p.jpg", "caption": "A dog runs .", "caption_id": "q.jpg#2", "yes": 1, "no": 2}]
FILES = {
    "foil": FOIL,
    "nocaps": NOCAPS,
    "hat": HAT,
    "richhf": RICHHF,
    "seetrue": SEETRUE,
    "expert": EXPERT,
    "crowd": CROWD,
}


def write(folder, content, name="data.json"):
    """Text as it is, anything else as JSON; returns the path."""
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def texts(sample):
    """What a sample's spans say."""
    return [sample.caption[a:b] for a, b in sample.spans]
