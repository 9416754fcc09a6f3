"""The models that are checked, where Hugging Face's own copies of them are, and how those are had."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from checking.checks import (
    HUGGING_FACE_SOURCE,
    Checked,
    check_example,
    check_hugging_face,
    check_open_clip,
    check_order,
    check_tensors,
    example_not_checked,
    explain_all,
)
from checking.example import NotAtHand, example_picture
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from speed.published_procedure import check_plain_clip, hugging_face_state, to_hugging_face
from torch import nn

from clip4dm.detector import CLIP4DM
from clip4dm.errors import ModelError, short_reason
from clip4dm.files.reading import file_sha256
from clip4dm.models.hub import OFFLINE_HELP, cached_file, check_hub_reachable
from clip4dm.models.load import load_model
from clip4dm.models.names import DEMO
from clip4dm.scores import START_LAYER_TEXT

COPIES = {  # Hugging Face's files of the same weights
    ("ViT-B-32", "openai"): "openai/clip-vit-base-patch32",
    ("ViT-B-16", "openai"): "openai/clip-vit-base-patch16",
    ("ViT-L-14", "openai"): "openai/clip-vit-large-patch14",
    ("ViT-H-14", "laion2b_s32b_b79k"): "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
}
ROUNDED = 1e-4  # of a tensor's largest: fp16 rounds by up to 5e-4, a change of library by nothing
EXAMPLE_MODEL = ("ViT-H-14", "laion2b_s32b_b79k")
CONFIG, WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")
COFFEE = Path(__file__).parents[1] / "coffee.png"


class Unreachable(ModelError):
    """The hub gives no answer, and the cache has no such file."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks of a model.

    pretrained: a tag, or a folder, of which nothing is known but what lies in it. copy: Hugging Face's, a repository or
    a folder; None for the one that belongs to the weights. same_file: fill transformers' model from the loaded one.
    example_image: the published example's; None: fetched into example_folder.
    """

    backbone: str | None
    pretrained: str | None = None
    copy: str | None = None
    same_file: bool = False
    example_image: Path | None = None
    example_folder: Path = Path("output")
    device: str = "auto"

    @property
    def folder(self) -> Path | None:
        """--pretrained or --backbone, where it is a folder."""
        places = [Path(given).expanduser() for given in (self.pretrained, self.backbone) if given]
        return next((place for place in places if place.is_dir()), None)


def check_model(asked: Asked, say: Callable[[str], None]) -> dict[str, Any]:
    """A model's report: what it is, and "checks", rows of `Checked`. Errors: ModelError, Unreachable, ImageError."""
    begun = time.perf_counter()
    detector = _detector(asked)
    loaded = detector.model
    check_plain_clip(loaded.model)
    image = detector.encode_images(COFFEE)
    pixels = loaded.preprocess(_picture())[None].to(loaded.device)
    report: dict[str, Any] = {
        "model": f"{loaded.backbone}:{loaded.pretrained}",
        "weights_sha256": loaded.weights_sha256(),
        "quick_gelu": loaded.quick_gelu,
        "device": torch.cuda.get_device_name(loaded.device) if loaded.device.type == "cuda" else loaded.device.type,
    }
    example = _example(detector, asked, report, say) if _is_example(detector) else []
    rows = [*example, *check_open_clip(detector, pixels, image)]
    if not asked.folder and loaded.backbone != DEMO:
        rows.append(check_order(detector, image))
    ours, layers = explain_all(detector, image), len(detector.detect(image, "a")[0].layer_attributions)
    say(f"{loaded.backbone}:{loaded.pretrained} is loaded; Hugging Face's CLIPModel of the same weights")
    model, source = _hugging_face(asked, detector)
    tensors = [] if asked.same_file else [check_tensors(loaded.model, model, source)]
    if any(row.passed and row.worst is not None and row.worst > ROUNDED for row in tensors):
        # The same weights but for rounding, which attributions multiply: theirs are compared, ours are explained.
        model.load_state_dict(hugging_face_state(loaded.model), strict=False)
        source += " with our tensors, since its own are rounded otherwise"
    theirs = check_hugging_face(model, pixels, ours, layers, f"{HUGGING_FACE_SOURCE}, {source}")
    rows[len(example) : len(example)] = [*theirs, *tensors]
    return report | {"seconds": round(time.perf_counter() - begun, 1), "checks": rows}


def _picture() -> Any:
    from clip4dm.files.images import load_image

    return load_image(COFFEE)


def _is_example(detector: CLIP4DM) -> bool:
    return (detector.model.backbone, detector.model.pretrained) == EXAMPLE_MODEL


def _example(detector: CLIP4DM, asked: Asked, report: dict[str, Any], say: Callable[[str], None]) -> list[Checked]:
    """The rows of the published example, and in the report which picture that was. Errors: ImageError."""
    try:
        picture = asked.example_image or example_picture(asked.example_folder, say)
    except NotAtHand as error:
        return [example_not_checked(str(error))]
    report["example_image_sha256"] = file_sha256(picture)
    return check_example(detector, picture)


def _detector(asked: Asked) -> CLIP4DM:
    """The paper's method and layers; all layers of a tower with fewer. Errors: ModelError, Unreachable."""
    try:
        loaded = load_model(asked.backbone, asked.pretrained, asked.device)
    except ModelError as error:
        if OFFLINE_HELP in str(error) and not _hub_said_no(error):
            raise Unreachable(str(error).removesuffix(OFFLINE_HELP).strip()) from error
        raise
    return CLIP4DM(loaded, method="clip4dm", start_layer_text=max(START_LAYER_TEXT, -loaded.tower.layers))


def _hub_said_no(error: BaseException) -> bool:
    """Whether a server answered that there is no such thing, or not for us, or there is no room for it here."""
    seen: BaseException | None = error
    while seen is not None:
        status = getattr(getattr(seen, "response", None), "status_code", 0) or 0
        if isinstance(seen, HFValidationError) or (isinstance(seen, HfHubHTTPError) and 400 <= status < 500):
            return True
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _hugging_face(asked: Asked, detector: CLIP4DM) -> tuple[nn.Module, str]:
    """(transformers' CLIPModel on the same device, what it was read from). Errors: ModelError, Unreachable."""
    from transformers import CLIPConfig, CLIPModel

    loaded = detector.model
    where = asked.copy or _copy_of(asked, loaded.backbone, loaded.pretrained)
    if where is None and not asked.same_file:
        raise ModelError(
            f"no copy of {loaded.backbone}:{loaded.pretrained} in Hugging Face's format is known; name one with "
            "--huggingface (a folder or ORGANISATION/NAME), or give --same_file"
        )
    files = [_file(where, CONFIG)] if where else []
    if not asked.same_file:
        files.append(_file(str(where), *WEIGHTS))
    try:
        if asked.same_file:
            says = CLIPConfig.from_pretrained(files[0].parent).text_config.hidden_act if files else None
            quick_gelu = loaded.quick_gelu if says is None else says == "quick_gelu"
            source = "the same weights file" + (f", activation as {where} says" if where else "")
            return to_hugging_face(loaded.model, quick_gelu).to(loaded.device).float(), source
        model = CLIPModel.from_pretrained(files[0].parent, attn_implementation="eager", local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"transformers cannot read {where} ({short_reason(error)})") from error
    return model.eval().float().to(loaded.device), str(where)


def _copy_of(asked: Asked, backbone: str, pretrained: str) -> str | None:
    """A repository or a folder with Hugging Face's own configuration of these weights; None where none is known."""
    if asked.folder:
        return str(asked.folder) if (asked.folder / CONFIG).is_file() else None
    if pretrained.startswith("hf-hub:"):
        return pretrained.removeprefix("hf-hub:")
    return COPIES.get((backbone, pretrained))


def _file(where: str, *names: str) -> Path:
    """The first of these files that a folder or a repository has; fetched where the cache has none of them.

    Errors: ModelError; Unreachable, where nobody can be asked.
    """
    folder = Path(where).expanduser()
    if folder.is_dir():
        found = next((folder / name for name in names if (folder / name).is_file()), None)
        if found is None:
            raise ModelError(f"{folder} has no {' or '.join(names)}: is it a model in Hugging Face's format?")
        return found
    for name in names:
        cached = cached_file(where, name, None)
        if cached:
            return Path(cached)
    try:
        check_hub_reachable()
        for name in names:
            try:
                return Path(hf_hub_download(where, name))
            except EntryNotFoundError as error:
                if not isinstance(error, HfHubHTTPError):  # nobody was asked
                    raise
    except (OSError, HFValidationError, EntryNotFoundError) as error:
        kind = ModelError if _hub_said_no(error) else Unreachable
        raise kind(f"{where} is not in the cache and could not be fetched ({short_reason(error)})") from error
    raise ModelError(f"{where} has no {' or '.join(names)}: is it a model in Hugging Face's format?")


def rows_of(report: dict[str, Any]) -> list[Checked]:
    """The rows of a model's report."""
    rows: list[Checked] = report["checks"]
    return rows
