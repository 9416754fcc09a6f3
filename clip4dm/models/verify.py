"""Whether a text tower is what its blocks say: one that computes something else is refused, not explained wrongly."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from clip4dm.attribution.attribute import attribute
from clip4dm.captions.tokens import Tokenizer
from clip4dm.captions.words import encode_caption
from clip4dm.errors import ModelError
from clip4dm.towers.text import TextTower

CAPTION = "a photo of a cat and a dog"
LEAST_AGREEMENT = {torch.float32: 0.9999, torch.float64: 0.9999}  # of other dtypes: 0.98


def verify_text(tower: TextTower, model: nn.Module, tokenizer: Tokenizer) -> None:
    """Compare a tower, taken apart, with the model's own `encode_text`. Errors: ModelError.

    verify_text(TextTower(model), model, tokenizer)
    """
    with torch.no_grad():
        own = cast(Any, model).encode_text(tokenizer([CAPTION]).to(tower.device))
        own = F.normalize(own.to(tower.working_dtype), dim=-1)
    name = type(tower.text).__name__
    try:
        ours = attribute(tower, [encode_caption(tokenizer, CAPTION)], own).text_features
    except (AttributeError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"the text tower {name} could not be taken apart ({error}); "
            "it is not a native open_clip transformer as this version knows them"
        ) from error
    agreement = float((own * ours).sum())
    if not math.isfinite(agreement):
        raise ModelError(
            "the text tower gives features that are NaN or infinite: its weights are damaged, or it "
            "overflows in this precision (--precision fp32 does not)"
        )
    if not agreement >= LEAST_AGREEMENT.get(tower.dtype, 0.98):
        raise ModelError(
            f"the text tower {name} computes something else than its blocks say "
            f"(cosine {agreement:.4f} with encode_text), so its words cannot be explained"
        )
