"""The random CLIP behind tests/golden, rebuilt from its seed: python tests/seeded_model.py FOLDER.

NumPy keeps the stream of RandomState.standard_normal for ever, so that anybody gets the same weights. Tensors are drawn
in the order of their sorted names, each times a scale that its name gives; norms' weights are 1 plus a tenth of that.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np

SEED = 20261124
MODEL = {
    "embed_dim": 48,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": 2, "width": 64, "head_width": 16, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 6},
}
PREPROCESSING = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def _draw(random: np.random.RandomState, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name == "logit_scale":
        return np.array(math.log(100))
    values = random.standard_normal(shape)
    if "ln_" in name and name.endswith("weight"):
        return 1 + 0.1 * values
    if name.endswith("bias"):
        return 0.02 * values
    if "embedding" in name:
        return 0.5 * values
    if name == "visual.proj":  # negative: most cosines then come out above 0
        return -values / math.sqrt(shape[0])
    if name == "text_projection":
        return values / math.sqrt(shape[0])
    if name.endswith("in_proj_weight"):
        return 1.5 * values / math.sqrt(shape[1])
    return values / math.sqrt(math.prod(shape[1:]))


def write_seeded_model(folder: Path) -> Path:
    """The model in the hub's folder layout. Returns the folder."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    shapes = {
        name: tuple(value.shape)
        for name, value in open_clip.CLIP(**MODEL).state_dict().items()
        if not name.endswith("attn_mask")
    }
    random = np.random.RandomState(SEED)
    state = {
        name: torch.from_numpy(np.ascontiguousarray(_draw(random, name, shapes[name]), dtype=np.float32))
        for name in sorted(shapes)
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, str(folder / "open_clip_model.safetensors"))
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODEL, "preprocess_cfg": PREPROCESSING}))
    return folder


if __name__ == "__main__":
    write_seeded_model(Path(sys.argv[1]))
