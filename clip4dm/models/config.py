"""open_clip_config.json, checked: a field of another type than open_clip's own would pass, and mean another model.

("quick_gelu": "false" is a string, and true to Python.)
"""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any

from clip4dm.errors import ModelError
from clip4dm.files.reading import FileError, is_number, read_json

SIZES = {
    "layers": 1000,
    "embed_dim": 100_000,
    "width": 100_000,
    "heads": 1000,
    "head_width": 10_000,
    "context_length": 100_000,
    "vocab_size": 10_000_000,
    "image_size": 10_000,
}  # no model has more
_CHOICES = {
    "interpolation": ("bicubic", "bilinear", "random"),
    "resize_mode": ("shortest", "longest", "squash"),
    "mode": ("RGB",),
}  # as open_clip asserts
_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    dict: "an object",
    tuple: "a list of numbers",
}


class ConfigError(ModelError):
    """A configuration that is none: which file, which field, and what was expected."""


def read_config(path: Path) -> dict[str, Any]:
    """model_cfg of an open_clip_config.json: embed_dim, vision_cfg, text_cfg, perhaps quick_gelu. Errors: ConfigError.

    preprocess_cfg is checked with it, and left to open_clip, which reads the file again. A field that is null, or that
    open_clip does not name, passes.

    >>> from clip4dm.models.names import DEMO_FOLDER
    >>> sorted(read_config(DEMO_FOLDER / "open_clip_config.json"))
    ['embed_dim', 'text_cfg', 'vision_cfg']
    """
    try:
        content = read_json(path)
    except FileError as error:
        raise ConfigError(f"{path} is no open_clip configuration: {error}") from None
    config = _object(content, "model_cfg", path)
    images, texts = _object(config, "vision_cfg", path), _object(config, "text_cfg", path)
    pictures = _object(content, "preprocess_cfg", path) if content.get("preprocess_cfg") else {}
    from open_clip import CLIPTextCfg, CLIPVisionCfg  # here, since it takes torch with it
    from open_clip.transform import PreprocessCfg

    top = {
        "embed_dim": int,
        "quick_gelu": bool,
        "custom_text": bool,
        "init_logit_scale": float,
        "init_logit_bias": float,
        "nonscalar_logit_scale": bool,
        "multimodal_cfg": dict,
    }
    _check(config, top, f"{path}: ")
    _check(images, typing.get_type_hints(CLIPVisionCfg), f"{path}: vision_cfg.")
    _check(texts, typing.get_type_hints(CLIPTextCfg), f"{path}: text_cfg.")
    _check(pictures, typing.get_type_hints(PreprocessCfg), f"{path}: preprocess_cfg.")
    return config


def _object(content: Any, name: str, path: Path) -> dict[str, Any]:
    """content[name], where both are objects of JSON."""
    found = content.get(name) if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise ConfigError(
            f"{path} is no open_clip configuration; expected JSON with model_cfg: {{embed_dim, "
            "vision_cfg, text_cfg} and preprocess_cfg: {...}"
        )
    return found


def _check(content: dict[str, Any], hints: dict[str, Any], where: str) -> None:
    """null is left to open_clip, and so are fields that it does not name."""
    for name, value in content.items():
        if value is None or name not in hints:
            continue
        kinds = _kinds(hints[name])
        if not any(_fits(value, kind) for kind in kinds):
            raise ConfigError(f"{where}{name} is {value!r:.60}; expected {' or '.join(_NAMES[k] for k in kinds)}")
        numbers = value if isinstance(value, list) else [value]
        if name in SIZES and not all(1 <= number <= SIZES[name] for number in numbers):
            raise ConfigError(f"{where}{name} is {value!r:.60}; expected 1 to {SIZES[name]}")
        if value not in _CHOICES.get(name, (value,)):
            raise ConfigError(f"{where}{name} is {value!r:.60}; expected {' or '.join(_CHOICES[name])}")
        if name in ("mean", "std") and len(numbers) != 3:
            raise ConfigError(f"{where}{name} is {value!r:.60}; expected three numbers")


def _kinds(hint: Any) -> tuple[type, ...]:
    """The plain types of a hint: Optional[Union[Tuple[int, int], int]] -> tuple, int."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(kind for part in typing.get_args(hint) if part is not type(None) for kind in _kinds(part))
    return (typing.get_origin(hint) or hint,)


def _fits(value: Any, kind: type) -> bool:
    if kind is tuple:
        return isinstance(value, list) and bool(value) and all(map(is_number, value))
    if kind is float:
        return is_number(value)
    return type(value) is kind
