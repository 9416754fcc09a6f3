"""A CLIP with random weights as a model folder: for trying, and for measuring where weights do not matter."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from clip4dm.errors import InputError
from clip4dm.models.names import DEFAULT_BACKBONE


def make_random_model(folder: Path, backbone: str = DEFAULT_BACKBONE, seed: int = 0) -> Path:
    """Save open_clip's own random initialisation of a backbone in the hub's folder layout. Returns the folder.

    Its configuration says "random_weights", so that tables of its figures can say that they mean nothing.
    Errors: InputError for a backbone that open_clip does not know, OSError.
    """
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = open_clip.get_model_config(backbone)
    if config is None:
        raise InputError(f"unknown backbone {backbone!r}; open_clip.list_models() lists them all")
    torch.manual_seed(seed)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # open_clip warns that the weights are random, which is what is wanted
    try:
        model = open_clip.create_model(backbone)
    finally:
        logging.disable(before)
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {
        key: list(value) if isinstance(value, tuple) else value for key, value in model.visual.preprocess_cfg.items()
    }
    content = {"model_cfg": config, "preprocess_cfg": preprocess, "random_weights": True}
    (folder / "open_clip_config.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, str(folder / "open_clip_model.safetensors"))
    return folder
