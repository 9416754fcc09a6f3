"""A text transformer and a linear projection of frozen picture features, and the open_clip folder they become."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip.transformer import TextTransformer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import dropout, normalize
from training.optimising import encode_cut_text

from clip4dm.errors import InputError, short_reason
from clip4dm.files.reading import read_json
from clip4dm.models.compact import CONFIG_NAME, WEIGHTS_NAME
from clip4dm.models.config import read_config

TRUNK, PROJECTION = "visual.trunk.", "visual.head.proj."
PARTS = 4  # of a batch, by length: the short captions are not computed at the longest one's length


class PhotoText(nn.Module):
    """The part of a CLIP that is trained: text, projection, logit_scale."""

    def __init__(self, text_cfg: dict[str, Any], features: np.ndarray, embed_dim: int):
        """features: (views, pictures, features) of the pictures to train on, from which they are standardised."""
        super().__init__()
        self.text = TextTransformer(**text_cfg, output_dim=embed_dim)
        self.projection = nn.Linear(features.shape[-1], embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
        deviation = features.std((0, 1), dtype=np.float64)
        deviation[deviation == 0] = 1  # a feature that all pictures share says nothing, at any scale
        self.register_buffer("mean", torch.tensor(features.mean((0, 1), dtype=np.float64), dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32))

    def encode_image(self, features: torch.Tensor, share: float = 0.0) -> torch.Tensor:
        """(n, features) of the image tower -> (n, embed_dim), unit length; a share of the features dropped."""
        return normalize(self.projection(dropout((features - self.mean) / self.deviation, share)), dim=-1)

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, context) -> (n, embed_dim), unit length; in bf16, with parts of like length."""
        lengths = tokens.argmax(1) + 1  # the end of text has the highest id
        order = lengths.argsort(stable=True)
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):  # the fastest where texts are short
            parts = [encode_cut_text(self.text, tokens[i, : int(lengths[i].max())]) for i in order.chunk(PARTS)]
        return torch.cat(parts).float()[order.argsort()]

    def folded_projection(self) -> dict[str, torch.Tensor]:
        """Weight and bias that take the image tower's own features, standardised no more."""
        weight = self.projection.weight.double() / self.deviation.double()
        bias = self.projection.bias.double() - weight @ self.mean.double()
        return {"weight": weight.float(), "bias": bias.float()}


class ImageTower:
    """A timm tower with a linear projection, from an open_clip folder.

    config: the folder's open_clip_config.json. trunk: its weights by name, without the projection's. width: of the
    features that the projection takes.
    """

    def __init__(self, folder: Path):
        """Errors: InputError where the folder holds none, ModelError for a configuration that is none, OSError."""
        model = read_config(folder / CONFIG_NAME)
        self.config = read_json(folder / CONFIG_NAME)
        vision = model["vision_cfg"]
        if (vision.get("timm_model_name"), vision.get("timm_proj"), vision.get("timm_proj_bias")) != (
            vision.get("timm_model_name") or "?",
            "linear",
            True,
        ):
            raise InputError(
                f"{folder / CONFIG_NAME}: expected an image tower of timm with a linear projection: vision_cfg with "
                'timm_model_name, timm_proj "linear" and timm_proj_bias true'
            )
        try:
            state = load_file(str(folder / WEIGHTS_NAME))
        except SafetensorError as error:
            raise InputError(f"{folder / WEIGHTS_NAME} is damaged ({short_reason(error)})") from error
        self.trunk = {name: value for name, value in state.items() if name.startswith(TRUNK)}
        if not self.trunk or f"{PROJECTION}weight" not in state:
            raise InputError(f"{folder / WEIGHTS_NAME} holds no {TRUNK}* or no {PROJECTION}weight")
        self.width = state[f"{PROJECTION}weight"].shape[1]

    def save_with(self, trained: PhotoText, text_cfg: dict[str, Any], folder: Path) -> None:
        """An open_clip folder of this tower and what was trained: the text in fp16, the projection in fp32.

        Written beside its place and renamed to it; a folder of that name is replaced. Errors: OSError.
        """
        model_cfg = {**self.config["model_cfg"], "custom_text": True, "text_cfg": text_cfg}
        text = {f"text.{name}": value.detach().half() for name, value in trained.text.state_dict().items()}
        projection = {f"{PROJECTION}{name}": value.detach() for name, value in trained.folded_projection().items()}
        state = {**self.trunk, **text, **projection, "logit_scale": trained.logit_scale.detach()}
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            new = Path(temporary) / "new"
            new.mkdir()
            config = json.dumps({**self.config, "model_cfg": model_cfg}, indent=1) + "\n"
            (new / CONFIG_NAME).write_text(config, encoding="utf-8")
            save_file({name: value.contiguous() for name, value in state.items()}, str(new / WEIGHTS_NAME))
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(new, folder)
