"""The names a person may give: backbones as open_clip spells them, the weights that usually go with them, precision."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from clip4dm.errors import ModelError

DEFAULT_BACKBONE = "ViT-B-32"
PRECISIONS = ("fp32", "bf16", "fp16")  # of the towers
QUICKGELU = "-quickgelu"  # open_clip's ending for names of models with that activation
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


# open_clip is imported inside functions: it takes torch with it, seconds that `--help` must not wait for.
def known_backbone(backbone: str) -> str:
    """open_clip's spelling of a backbone's name, any case, "/" for "-". Errors: ModelError with the nearest names.

    >>> known_backbone("vit-b/32"), known_backbone("ViT-L-14-QuickGELU")
    ('ViT-B-32', 'ViT-L-14-quickgelu')
    """
    import open_clip

    models: dict[str, str] = {name.lower(): name for name in open_clip.list_models()}
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


def is_built_in(name: str) -> bool:
    """Whether open_clip has an architecture of exactly this name.

    >>> is_built_in("ViT-B-32"), is_built_in("vit-b-32")
    (True, False)
    """
    import open_clip

    return name in open_clip.list_models()


def architecture(name: str) -> dict[str, Any]:
    """open_clip's own configuration of an architecture it has: embed_dim, vision_cfg, text_cfg, perhaps quick_gelu.

    >>> architecture("ViT-B-32")["embed_dim"]
    512
    """
    import open_clip

    config: dict[str, Any] = open_clip.get_model_config(name)
    return config


def _check_native(name: str) -> None:
    hf_name = architecture(name)["text_cfg"].get("hf_model_name")
    if hf_name:
        raise ModelError(
            f"the text tower of {name} is a Hugging Face model ({hf_name}), not open_clip's own transformer, and its "
            "attention cannot be explained here. Take a backbone with a native text tower, such as ViT-B-32, "
            "ViT-L-14, ViT-H-14, or a SigLIP, EVA02 or CoCa one."
        )
