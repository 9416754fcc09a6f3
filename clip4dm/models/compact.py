"""Model folders that keep token embeddings only of the words the model was trained on.

A CLIP's vocabulary has 49,408 tokens, most of a small model's weight. A compact file holds the rows in use, and
their ids under ROWS; on loading, every other token gets their mean: a word that says nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

EMBEDDING = "token_embedding.weight"
ROWS = "token_embedding.rows"
CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"


# torch, open_clip and safetensors are imported inside functions: they take seconds that `--help` must not wait for.
def save_compact(folder: Path, model: torch.nn.Module, config: dict[str, Any], tokens: list[int]) -> Path:
    """Write a model folder in fp16 with the embeddings of `tokens` alone. Returns the weights' path. Errors: OSError.

    config: open_clip's model_cfg, with vision_cfg.image_size in pixels. tokens: ids below the vocabulary's size, in
    the order their rows are written. The folder is read by `load_model`, not by open_clip itself:

        save_compact(Path("small"), model, config, tokens=[320, 1125, 49406, 49407])
        load_model(pretrained="small")
    """
    import torch
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {
        "size": config["vision_cfg"]["image_size"],
        "mode": "RGB",
        "mean": OPENAI_DATASET_MEAN,
        "std": OPENAI_DATASET_STD,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
    }
    (folder / CONFIG_NAME).write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=1) + "\n", encoding="utf-8"
    )
    rows = torch.tensor(tokens, dtype=torch.int32)
    state = {
        name: value.detach().to(torch.float16) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    state[EMBEDDING] = state[EMBEDDING][rows]
    state = {name: value.contiguous().clone() for name, value in state.items()} | {ROWS: rows}
    save_file(state, str(folder / WEIGHTS_NAME))
    return folder / WEIGHTS_NAME


def is_compact(path: Path) -> bool:
    """Whether a weights file is of this kind; False too for one that cannot be read.

    >>> from clip4dm.models.names import DEMO_FOLDER
    >>> is_compact(DEMO_FOLDER / WEIGHTS_NAME), is_compact(DEMO_FOLDER / CONFIG_NAME)
    (True, False)
    """
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        return False
    try:
        with safe_open(str(path), "pt") as file:
            return ROWS in file.keys()  # noqa: SIM118 (safe_open's file is no dict)
    except (OSError, SafetensorError):
        return False  # whoever loads it says what is wrong with it


def load_compact(model: torch.nn.Module, path: Path) -> None:
    """Load a compact file into a model of its architecture, in place.

    Rows of tokens that the file does not hold become the mean of those it does. Errors: RuntimeError, KeyError, as
    load_state_dict's, where the file belongs to another architecture.

        load_compact(open_clip.create_model("ViT-B-32"), Path("open_clip_model.safetensors"))
    """
    import torch
    from safetensors.torch import load_file

    state = load_file(str(path))
    rows = state.pop(ROWS).long()
    known = state[EMBEDDING].float()  # (rows, width)
    full = known.mean(0).repeat(len(model.state_dict()[EMBEDDING]), 1)  # (vocabulary, width)
    full[rows] = known
    state[EMBEDDING] = full
    with torch.no_grad():
        model.load_state_dict(state)
