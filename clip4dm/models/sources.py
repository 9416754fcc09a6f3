"""What a user may give as backbone and pretrained -> which architecture, which file, which activation.

Nothing is built here: `resolve_source` turns names, tags, files and folders into one WeightsSource, or says
clearly why it cannot.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clip4dm.errors import ModelError
from clip4dm.models.config import ConfigError, read_config
from clip4dm.models.hub import OFFLINE_HELP, cached_file, check_hub_reachable

QUICKGELU = "-quickgelu"
DEMO = "demo"  # the model of our own: no download, and it knows drawn scenes alone
DEMO_FOLDER = Path(__file__).parent / "demo"
USUAL_TAGS = {
    "ViT-B-32": "openai",
    "ViT-B-16": "openai",
    "ViT-L-14": "openai",
    "ViT-L-14-336": "openai",
    "ViT-H-14": "laion2b_s32b_b79k",
    "ViT-g-14": "laion2b_s34b_b88k",
    "ViT-bigG-14": "laion2b_s39b_b160k",
}


@dataclass(frozen=True)
class WeightsSource:
    """A resolved model. name: what open_clip is asked for. backbone, pretrained: how a person calls it.

    preprocess: overrides of open_clip's preprocessing that belong to a tag (mean, std, interpolation, ...).
    """

    name: str
    backbone: str
    pretrained: str
    weights_path: Path
    quick_gelu: bool
    preprocess: dict[str, Any] = field(default_factory=dict)


def resolve_source(
    backbone: str | None, pretrained: str | None, quick_gelu: bool | None = None, cache_dir: str | None = None
) -> WeightsSource:
    """Find the weights, fetching a tag's through open_clip's hub if they are not cached. Errors: ModelError."""
    if backbone and backbone.lower() == DEMO:
        if pretrained:
            raise ModelError(f"--backbone {DEMO} brings its own weights; leave --pretrained away")
        return replace(_from_folder(DEMO_FOLDER, None, quick_gelu), backbone=DEMO, pretrained="scenes")
    for given in (pretrained, backbone):
        if given and given.startswith("hf-hub:"):
            return _from_hub(given, quick_gelu, cache_dir)
    if pretrained:
        place = Path(pretrained.removeprefix("local-dir:")).expanduser()
        if place.is_dir():
            return _from_folder(place, backbone, quick_gelu)
    elif backbone and Path(backbone.removeprefix("local-dir:")).expanduser().is_dir():
        return _from_folder(Path(backbone.removeprefix("local-dir:")).expanduser(), None, quick_gelu)
    name = known_backbone(backbone or "ViT-B-32")
    if pretrained and Path(pretrained).expanduser().is_file():
        return _from_file(name, Path(pretrained).expanduser(), quick_gelu)
    return _from_tag(name, pretrained, quick_gelu, cache_dir)


def known_backbone(backbone: str) -> str:
    """open_clip's spelling of a backbone's name. Errors: ModelError with the nearest names."""
    import open_clip

    models = {name.lower(): name for name in open_clip.list_models()}
    asked = backbone.replace("/", "-").lower()
    if asked in models:
        _check_native(models[asked])
        return models[asked]
    if asked.endswith(QUICKGELU) and asked.removesuffix(QUICKGELU) in models:
        return models[asked.removesuffix(QUICKGELU)] + QUICKGELU
    near = [models[n] for n in difflib.get_close_matches(asked, models, n=4, cutoff=0.5)]
    raise ModelError(
        f"unknown backbone {backbone!r}; nearest names: {', '.join(near) or 'none'} "
        f"(all {len(models)}: python -c 'import open_clip; print(open_clip.list_models())'). "
        "A folder with open_clip_config.json and weights, or hf-hub:ORG/NAME, may be given instead."
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, the form in which OpenAI published its weights."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[-1] == "constants.pkl" for name in archive.namelist())


def _check_native(name: str) -> None:
    import open_clip

    config = open_clip.get_model_config(name)
    hf_name = config["text_cfg"].get("hf_model_name")
    if hf_name:
        raise ModelError(
            f"the text tower of {name} is a Hugging Face model ({hf_name}), not open_clip's own transformer, and its "
            "attention cannot be explained here. Take a backbone with a native text tower, such as ViT-B-32, "
            "ViT-L-14, ViT-H-14, or a SigLIP, EVA02 or CoCa one."
        )


def _from_tag(name: str, tag: str | None, quick_gelu: bool | None, cache_dir: str | None) -> WeightsSource:
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg, list_pretrained_tags_by_model

    base = name.removesuffix(QUICKGELU)
    tags = sorted({*list_pretrained_tags_by_model(base), *list_pretrained_tags_by_model(name)})
    if not tag:
        tag = USUAL_TAGS.get(base)
        if tag is None:
            raise ModelError(
                f"{name} has no usual weights; say which with --pretrained. Its tags: {_listed(tags)}. "
                "A checkpoint file or a folder may be given instead."
            )
    config = get_pretrained_cfg(base, tag) or get_pretrained_cfg(name, tag)
    if not config:
        near = difflib.get_close_matches(tag, tags, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ModelError(
            f"--pretrained {tag!r} is neither a tag of {name} nor a file or folder that exists.{hint} "
            f"Tags of {name}: {_listed(tags)}. Files and folders are taken relative to the current "
            f"folder, {Path.cwd()}."
        )
    needed = bool(config.get("quick_gelu", False))
    _check_activation(needed, quick_gelu, f"the weights {base}:{tag}")
    hub, filename = os.path.split(config.get("hf_hub", ""))
    path = cached_file(hub, filename or "open_clip_pytorch_model.bin", cache_dir) if hub else None
    if path is None:
        try:
            if hub:
                check_hub_reachable()
            path = download_pretrained(config, cache_dir=cache_dir)
        except Exception as error:  # the hub's client raises its own, httpx's, urllib's and OSError
            raise ModelError(
                f"the weights {base}:{tag} are not in the cache and could not be fetched "
                f"({short_reason(error)}). {OFFLINE_HELP}"
            ) from error
    keys = ("mean", "std", "interpolation", "resize_mode", "size")
    preprocess = {key: config[key] for key in keys if key in config}
    return WeightsSource(base if _is_built_in(base) else name, base, tag, Path(path), needed, preprocess)


def _from_file(name: str, path: Path, quick_gelu: bool | None) -> WeightsSource:
    said = True if name.endswith(QUICKGELU) else None
    base = name.removesuffix(QUICKGELU)
    known = True if is_torchscript(path) else _activation_by_hash(path)
    if known is None:
        known = _named_activation(name, said, quick_gelu)
    else:
        for claim in (said, quick_gelu):
            _check_activation(known, claim, f"{path} (recognised as published weights)")
    return WeightsSource(base if _is_built_in(base) else name, base, path.name, path, known)


def _named_activation(name: str, said: bool | None, quick_gelu: bool | None) -> bool:
    import warnings

    if said is not None and quick_gelu is not None:
        _check_activation(said, quick_gelu, f"the name {name}")
    if quick_gelu is not None or said is not None:
        return bool(quick_gelu or said)
    import open_clip

    own = bool(open_clip.get_model_config(name).get("quick_gelu", False))
    if not own:
        warnings.warn(
            f"a checkpoint file does not say its activation; taken as plain GELU, as the name {name} says. "
            f"If it was trained with QuickGELU (as OpenAI's and some others were), say --backbone {name}{QUICKGELU}.",
            stacklevel=5,
        )
    return own


def _activation_by_hash(path: Path) -> bool | None:
    """The activation of a published file, recognised by the SHA-256 that open_clip's table holds for it."""
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained

    if path.suffix != ".pt":
        return None
    digest = file_sha256(path)
    for model, tag in list_pretrained():
        config = get_pretrained_cfg(model, tag)
        parts = config.get("url", "").rsplit("/", 2)
        if digest in parts or (len(parts) == 3 and parts[2].endswith(f"-{digest[:8]}.pt")):
            return bool(config.get("quick_gelu", False))
    return None


def _from_folder(folder: Path, backbone: str | None, quick_gelu: bool | None) -> WeightsSource:
    from open_clip.factory import _find_checkpoint_in_dir

    config_path = folder / "open_clip_config.json"
    weights = _find_checkpoint_in_dir(folder)
    if weights is None:
        raise ModelError(
            f"{folder} holds no weights: expected open_clip_config.json and one of "
            "open_clip_model.safetensors, open_clip_pytorch_model.bin, *.safetensors, *.bin, *.pth"
        )
    if not config_path.is_file():
        if backbone:
            return _from_file(known_backbone(backbone), Path(weights), quick_gelu)
        raise ModelError(
            f"{folder} has no open_clip_config.json, so nothing says its architecture. "
            "Add that file, or name the architecture with --backbone."
        )
    config = _read_config(config_path)
    activation = bool(config.get("quick_gelu", False))
    _check_activation(activation, quick_gelu, f"{config_path}")
    if backbone:
        _check_same_architecture(config, backbone, folder)
    return WeightsSource(f"local-dir:{folder}", folder.resolve().name, "folder", Path(weights), activation)


def _from_hub(name: str, quick_gelu: bool | None, cache_dir: str | None) -> WeightsSource:
    from open_clip.factory import download_pretrained_from_hf

    repository = name.removeprefix("hf-hub:")
    config_path = cached_file(repository, "open_clip_config.json", cache_dir)
    weights = cached_file(repository, "open_clip_pytorch_model.bin", cache_dir)
    if config_path is None or weights is None:
        try:
            check_hub_reachable()
            config_path = download_pretrained_from_hf(repository, "open_clip_config.json", cache_dir=cache_dir)
            weights = download_pretrained_from_hf(repository, cache_dir=cache_dir)
        except Exception as error:  # as in _from_tag
            raise ModelError(
                f"{name} is not in the cache and could not be fetched ({short_reason(error)}); an hf-hub "
                f"model needs open_clip_config.json and open_clip weights. {OFFLINE_HELP}"
            ) from error
    config = _read_config(Path(config_path))
    activation = bool(config.get("quick_gelu", False))
    _check_activation(activation, quick_gelu, f"the configuration of {name}")
    if Path(config_path).parent == Path(weights).parent and not config["text_cfg"].get("hf_tokenizer_name"):
        load_as = f"local-dir:{Path(weights).parent}"  # all that is needed is here: the hub need not be asked again
    else:
        load_as = name
    return WeightsSource(load_as, repository.split("/")[-1], name, Path(weights), activation)


def short_reason(error: Exception) -> str:
    """An exception as part of one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 160 else text[:160] + '...'}"


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = read_config(path)
    except ConfigError as error:
        raise ModelError(str(error)) from None
    tower = config["text_cfg"].get("hf_model_name")
    if tower:
        raise ModelError(
            f"{path} has a Hugging Face text tower ({tower}); only open_clip's own text transformers can be explained"
        )
    return config


def _check_same_architecture(config: dict[str, Any], backbone: str, folder: Path) -> None:
    import open_clip

    asked = open_clip.get_model_config(known_backbone(backbone).removesuffix(QUICKGELU))
    keys = (
        ("embed_dim",),
        ("vision_cfg", "layers"),
        ("vision_cfg", "width"),
        ("vision_cfg", "patch_size"),
        ("text_cfg", "layers"),
        ("text_cfg", "width"),
    )
    for key in keys:
        found, wanted = config, asked
        for part in key:
            found, wanted = found.get(part), wanted.get(part)
            if found is None or wanted is None:
                break
        else:
            if found != wanted:
                raise ModelError(
                    f"{folder} is no {backbone}: its {'.'.join(key)} is {found}, not {wanted}. "
                    "Leave --backbone away to take the folder as it is."
                )


def _check_activation(needed: bool, claimed: bool | None, what: str) -> None:
    if claimed is not None and claimed != needed:
        names = {True: "QuickGELU", False: "plain GELU"}
        raise ModelError(
            f"{what} needs {names[needed]}, but {names[claimed]} was asked for; leave the activation "
            "unsaid to get the right one"
        )


def _is_built_in(name: str) -> bool:
    import open_clip

    return name in open_clip.list_models()


def _listed(tags: list[str]) -> str:
    return ", ".join(tags) if tags else "none"
