"""open_clip_config.json, checked: a field of another type than open_clip's own would pass, and mean another model.

("quick_gelu": "false" is a string, and true to Python.)
"""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any

from clip4dm.errors import CLIP4DMError
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


class ConfigError(CLIP4DMError, ValueError):
    """A configuration that is none: which file, which field, and what was expected."""


def read_config(path: Path) -> dict[str, Any]:
    """model_cfg of an open_clip_config.json. Errors: ConfigError."""
    try:
        content = read_json(path)
    except FileError as error:
        raise ConfigError(f"{path} is no open_clip configuration: {error}") from None
    config = content.get("model_cfg") if isinstance(content, dict) else None
    parts = [config.get(part) for part in ("text_cfg", "vision_cfg")] if isinstance(config, dict) else [None]
    pictures = content.get("preprocess_cfg") or {} if isinstance(content, dict) else {}
    if not all(isinstance(part, dict) for part in (*parts, pictures)):
        raise ConfigError(
            f"{path} is no open_clip configuration; expected JSON with model_cfg: {{embed_dim, "
            "vision_cfg, text_cfg} and preprocess_cfg: {...}"
        )
    from open_clip import CLIPTextCfg, CLIPVisionCfg
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
    _check(config["vision_cfg"], typing.get_type_hints(CLIPVisionCfg), f"{path}: vision_cfg.")
    _check(config["text_cfg"], typing.get_type_hints(CLIPTextCfg), f"{path}: text_cfg.")
    _check(pictures, typing.get_type_hints(PreprocessCfg), f"{path}: preprocess_cfg.")
    return config


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
