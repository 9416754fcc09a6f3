"""What a user may give as backbone and pretrained -> which architecture, which file, which activation.

Nothing is built here: `resolve_source` turns names, tags, files and folders into one WeightsSource, or says
clearly why it cannot.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clip4dm.errors import ModelError, short_reason
from clip4dm.models.activation import activation_of_file, check_activation
from clip4dm.models.config import read_config
from clip4dm.models.hub import OFFLINE_HELP, cached_file, check_hub_reachable
from clip4dm.models.names import (
    DEFAULT_BACKBONE,
    DEMO,
    DEMO_FOLDER,
    QUICKGELU,
    USUAL_TAGS,
    architecture,
    is_built_in,
    known_backbone,
)

# open_clip is imported inside functions: it takes torch with it, seconds that `--help` must not wait for.
# What tells two architectures apart:
_TELLING = (
    "embed_dim",
    "vision_cfg.layers",
    "vision_cfg.width",
    "vision_cfg.patch_size",
    "text_cfg.layers",
    "text_cfg.width",
)


@dataclass(frozen=True)
class WeightsSource:
    """A resolved model. name: what open_clip is asked for. backbone, pretrained: how a person calls it.

    weights_path: the file that is there now. quick_gelu: the activation it needs. preprocess: overrides of open_clip's
    preprocessing that belong to a tag (mean and std, three numbers each; interpolation; resize_mode; size in pixels).

        resolve_source("ViT-B-32", None).pretrained  # "openai": a WeightsSource, its file at hand
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
    """Find the weights; those of a tag or an hf-hub name are fetched if they are not cached. Errors: ModelError.

    Arguments as of `load_model`. What is looked for, in this order: the demo model; an hf-hub name; a folder; a
    checkpoint file; an open_clip tag.

    >>> source = resolve_source("demo", None)
    >>> source.backbone, source.pretrained, source.weights_path.name, source.quick_gelu
    ('demo', 'scenes', 'open_clip_model.safetensors', False)
    """
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
    name = known_backbone(backbone or DEFAULT_BACKBONE)
    if pretrained and Path(pretrained).expanduser().is_file():
        return _from_file(name, Path(pretrained).expanduser(), quick_gelu)
    return _from_tag(name, pretrained, quick_gelu, cache_dir)


def text_layers(source: WeightsSource) -> int:
    """How many layers its text tower has: by its configuration, no weights are read. Errors: ModelError.

    >>> text_layers(resolve_source("demo", None))
    2
    """
    if source.name.startswith("local-dir:"):
        config = _read_config(Path(source.name.removeprefix("local-dir:")) / "open_clip_config.json")
    elif source.name.startswith("hf-hub:"):
        found = cached_file(source.name.removeprefix("hf-hub:"), "open_clip_config.json", None)
        if found is None:
            raise ModelError(f"the configuration of {source.name} is not in the cache")
        config = _read_config(Path(found))
    else:
        config = architecture(source.name.removesuffix(QUICKGELU))
    return int(config["text_cfg"].get("layers") or 12)  # open_clip's own default


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
    check_activation(needed, quick_gelu, f"the weights {base}:{tag}")
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
    return WeightsSource(base if is_built_in(base) else name, base, tag, Path(path), needed, preprocess)


def _from_file(name: str, path: Path, quick_gelu: bool | None) -> WeightsSource:
    needed = activation_of_file(name, path, quick_gelu)
    base = name.removesuffix(QUICKGELU)
    return WeightsSource(base if is_built_in(base) else name, base, path.name, path, needed)


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
    check_activation(activation, quick_gelu, f"{config_path}")
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
    check_activation(activation, quick_gelu, f"the configuration of {name}")
    if Path(config_path).parent == Path(weights).parent and not config["text_cfg"].get("hf_tokenizer_name"):
        load_as = f"local-dir:{Path(weights).parent}"  # all that is needed is here: the hub need not be asked again
    else:
        load_as = name
    return WeightsSource(load_as, repository.split("/")[-1], name, Path(weights), activation)


def _read_config(path: Path) -> dict[str, Any]:
    config = read_config(path)
    tower = config["text_cfg"].get("hf_model_name")
    if tower:
        raise ModelError(
            f"{path} has a Hugging Face text tower ({tower}); only open_clip's own text transformers can be explained"
        )
    return config


def _check_same_architecture(config: dict[str, Any], backbone: str, folder: Path) -> None:
    asked = architecture(known_backbone(backbone).removesuffix(QUICKGELU))
    for name in _TELLING:
        found, wanted = _value(config, name), _value(asked, name)
        if None not in (found, wanted) and found != wanted:
            raise ModelError(
                f"{folder} is no {backbone}: its {name} is {found}, not {wanted}. "
                "Leave --backbone away to take the folder as it is."
            )


def _value(config: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name; None where the configuration does not say it."""
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if value is not None else None
    return value


def _listed(tags: list[str]) -> str:
    return ", ".join(tags) if tags else "none"
