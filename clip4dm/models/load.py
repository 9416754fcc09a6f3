"""One load path: a backbone's name and its weights -> a frozen CLIP, its preprocessing and its tokenizer.

Weights come as an open_clip tag, a checkpoint file, a folder with open_clip_config.json, or an `hf-hub:` name.
The activation follows the weights, never the spelling of the name: OpenAI's need QuickGELU, and open_clip itself
would run `create_model("ViT-B-32", "openai")` with plain GELU after a warning.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.errors import ModelError, short_reason
from clip4dm.files.reading import file_sha256
from clip4dm.models.activation import is_torchscript
from clip4dm.models.compact import is_compact, load_compact
from clip4dm.models.names import DEFAULT_BACKBONE, PRECISIONS
from clip4dm.models.sources import WeightsSource, resolve_source

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from clip4dm.captions.tokens import Tokenizer
    from clip4dm.towers.image import ImageTower
    from clip4dm.towers.text import TextTower

# torch, open_clip and what takes them along are imported inside functions: seconds that `--help` must not wait for.

__all__ = ["LoadedModel", "ModelError", "load_model", "pick_device", "DEFAULT_BACKBONE", "PRECISIONS"]


@dataclass(frozen=True)
class LoadedModel:
    """A CLIP ready to be explained: in eval mode, no parameter requires a gradient.

    preprocess: PIL image -> float tensor (3, size, size), normalised. tokenizer: open_clip's. tower: the text
    transformer, taken apart; image_tower: the image tower, run with less work where it can be.
    backbone, pretrained: what was loaded, as open_clip spells it. weights_path: the file the weights came from.
    quick_gelu: the activation. precision: one of PRECISIONS, of the towers alone.

        model = load_model("ViT-B-32")
        model.pretrained, model.precision, model.image_tower.size  # "openai", "fp32", (224, 224)
    """

    model: torch.nn.Module
    preprocess: Callable[[Image.Image], torch.Tensor]
    tokenizer: Tokenizer
    tower: TextTower
    image_tower: ImageTower
    backbone: str
    pretrained: str
    weights_path: Path
    quick_gelu: bool
    device: torch.device
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        """The towers' dtype."""
        import torch

        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]

    def weights_sha256(self) -> str:
        """SHA-256 of the weights file, as hexadecimal; of a file that has not changed it is taken once."""
        found = self.weights_path.stat()
        return _sha256(self.weights_path, found.st_size, found.st_mtime_ns)

    def identity(self) -> dict[str, Any]:
        """What tells its attributions from another model's: for `calibration.stored.AttributedBy`."""
        said = {"backbone": self.backbone, "pretrained": self.pretrained, "precision": self.precision}
        return {**said, "quick_gelu": self.quick_gelu, "weights_sha256": self.weights_sha256()}


@lru_cache(maxsize=4)
def _sha256(path: Path, size: int, changed: int) -> str:
    return file_sha256(path)


def load_model(
    backbone: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    *,
    quick_gelu: bool | None = None,
    cache_dir: str | None = None,
) -> LoadedModel:
    """Load a CLIP whose text tower can be explained.

    backbone: an open_clip name ("ViT-B-32", "ViT-B/32", any case), "demo" (the small model that comes with this
    package), an "hf-hub:org/name", a folder, or None (the folder given as `pretrained`, else ViT-B-32). pretrained:
    an open_clip tag, a checkpoint file, a folder with open_clip_config.json and weights, or None for the backbone's
    usual tag. device: "auto", "cpu", "cuda", "cuda:1", "mps". precision: "fp32", "bf16" or "fp16", of the towers
    alone. quick_gelu: the activation of a checkpoint file that does not say it (None: as the backbone's name says);
    where the weights do say it, a contradiction is an error. cache_dir: for what is fetched, None for the libraries'.
    Errors: ModelError, saying what was given, what is allowed and how to go on.

        model = load_model("ViT-L-14")                       # OpenAI's weights, fetched once
        model = load_model(pretrained="models/my_clip")      # a folder: nothing is fetched
    """
    if precision not in PRECISIONS:
        raise ModelError(f"unknown precision {precision!r}; allowed: {', '.join(PRECISIONS)}")
    target = pick_device(device)
    source = resolve_source(backbone, pretrained, quick_gelu, cache_dir)
    model = _build(source, precision, target, cache_dir).eval().requires_grad_(False)
    tokenizer = _tokenizer(source, cache_dir)

    from clip4dm.models.verify import verify_text
    from clip4dm.towers.image import ImageTower
    from clip4dm.towers.text import TextTower

    tower = TextTower(model)
    verify_text(tower, model, tokenizer)
    return LoadedModel(
        model=model,
        preprocess=_preprocess(model),
        tokenizer=tokenizer,
        tower=tower,
        image_tower=ImageTower(model),
        backbone=source.backbone,
        pretrained=source.pretrained,
        weights_path=source.weights_path,
        quick_gelu=source.quick_gelu,
        device=target,
        precision=precision,
    )


def pick_device(device: str = "auto") -> torch.device:
    """A device by name, checked to be there; "auto" is cuda, mps or cpu, whichever is there first.

    Errors: ModelError, saying which devices there are.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, present in there.items() if present))
    try:
        picked = torch.device(device)
    except RuntimeError:
        picked = None
    if picked is None or picked.type not in there:
        raise ModelError(f"unknown device {device!r}; allowed: auto, {', '.join(there)} (or cuda:N)")
    if not there[picked.type] or (picked.type == "cuda" and (picked.index or 0) >= torch.cuda.device_count()):
        found = [name for name, present in there.items() if present]
        raise ModelError(
            f"device {device!r} is not on this machine, which has: {', '.join(found)}. "
            "Leave --device at auto to take the best there is."
        )
    return picked


def _build(source: WeightsSource, precision: str, device: torch.device, cache_dir: str | None) -> torch.nn.Module:
    import open_clip

    own_loader = _own_loader(source.weights_path)
    names_weights = source.name.startswith(("local-dir:", "hf-hub:"))
    model: torch.nn.Module
    with warnings.catch_warnings(), _silent_log() if own_loader else contextlib.nullcontext():
        # The mismatch it warns of cannot occur: the activation was resolved from the weights.
        warnings.filterwarnings("ignore", message="QuickGELU mismatch")
        try:
            model = open_clip.create_model(
                source.name,
                pretrained=None if names_weights or own_loader else str(source.weights_path),
                load_weights=own_loader is None,
                precision=precision,
                device=device,
                force_quick_gelu=source.quick_gelu,
                force_preprocess_cfg=source.preprocess or None,
                require_pretrained=own_loader is None,
                cache_dir=cache_dir,
            )
            if own_loader:
                own_loader(model, source.weights_path)
        except Exception as error:  # whatever a damaged or foreign file makes torch, safetensors or open_clip raise
            raise ModelError(
                f"{source.weights_path} does not hold weights of {source.backbone} "
                f"({short_reason(error)}). Check that file and --backbone belong "
                "together, or fetch the file again."
            ) from error
    return model


def _own_loader(weights: Path) -> Callable[[torch.nn.Module, Path], None] | None:
    """What loads a file of a kind that open_clip does not; None for those it does."""
    if is_torchscript(weights):
        return _load_torchscript
    return load_compact if is_compact(weights) else None


@contextlib.contextmanager
def _silent_log() -> Iterator[None]:
    """open_clip logs that nothing was loaded, when it was told that the weights come afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _load_torchscript(model: torch.nn.Module, path: Path) -> None:
    import torch

    archive: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    state = archive.state_dict()  # torch leaves `load` without types
    for key in ("input_resolution", "context_length", "vocab_size", "attn_mask"):
        state.pop(key, None)
    model.load_state_dict(state)


def _tokenizer(source: WeightsSource, cache_dir: str | None) -> Tokenizer:
    import open_clip

    try:
        tokenizer: Tokenizer = open_clip.get_tokenizer(source.name, cache_dir=cache_dir)
    except Exception as error:  # transformers and the hub raise many kinds when a tokenizer's files are missing
        raise ModelError(
            f"the tokenizer of {source.backbone} could not be loaded ({short_reason(error)}). "
            "Without a network, give --pretrained a folder that holds the tokenizer's files beside the weights."
        ) from error
    return tokenizer


def _preprocess(model: torch.nn.Module) -> Callable[[Image.Image], torch.Tensor]:
    from open_clip import get_model_preprocess_cfg
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform: Callable[[Image.Image], torch.Tensor] = image_transform_v2(
        PreprocessCfg(**get_model_preprocess_cfg(model)), is_train=False
    )
    return transform
