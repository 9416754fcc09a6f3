"""The image tower: the features that `encode_image` gives, with less work.

open_clip's own vision transformer read at its class token is run here block by block. Of the last block only the
class token's row is computed, since nothing else is read, and matrix products go through `linear`. Any other tower
(ResNet, timm, attention pooling, ...) is run as it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip4dm.towers.arithmetic import linear
from clip4dm.towers.text import after_attention, heads_of

LEAST_AGREEMENT = {torch.float32: 0.99999, torch.bfloat16: 0.99, torch.float16: 0.99}


class ImageTower:
    """A model's image tower. `native`: whether it is run here; decided at the first picture, by comparing features."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.native: bool | None = None if can_be_run(model.visual) else False

    def encode(self, pixels: Tensor) -> Tensor:
        """(n, 3, size, size) in the tower's dtype -> (n, features), fp32, unit length. No gradient is recorded."""
        with torch.inference_mode():
            if self.native is None:
                own = self.model.encode_image(pixels[:1]).float()
                agreement = F.cosine_similarity(own, class_token_features(self.model.visual, pixels[:1]).float())
                self.native = bool(agreement.item() >= LEAST_AGREEMENT.get(pixels.dtype, 0.99))
            features = (
                class_token_features(self.model.visual, pixels) if self.native else self.model.encode_image(pixels)
            )
            return F.normalize(features.float(), dim=-1)


def can_be_run(visual: nn.Module) -> bool:
    """Whether a tower has the parts that `class_token_features` knows."""
    from open_clip.transformer import VisionTransformer

    if type(visual) is not VisionTransformer or visual.attn_pool is not None or visual.pool_type != "tok":
        return False
    known = all(
        hasattr(block, "ln_1")
        and not hasattr(block, "ln_1_kv")
        and hasattr(block, "ls_1")
        and getattr(block.attn, "in_proj_weight", None) is not None
        for block in visual.transformer.resblocks
    )
    return known and not visual.training and hasattr(visual, "_embeds")


def class_token_features(visual: nn.Module, pixels: Tensor) -> Tensor:
    """(n, 3, size, size) -> (n, features), as VisionTransformer.forward gives them but for rounding."""
    x = visual._embeds(pixels)  # (n, tokens, width)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        q, k, v = heads_of(block, x, linear=linear)
        x = after_attention(block, x, F.scaled_dot_product_attention(q, k, v, scale=1.0), linear)
    token = x[:, :1]  # (n, 1, width): the last block's other rows are never read
    q, k, v = heads_of(last, x, token, linear)
    token = after_attention(last, token, F.scaled_dot_product_attention(q, k, v, scale=1.0), linear)
    pooled = visual.ln_post(token[:, 0])
    return pooled if visual.proj is None else pooled @ visual.proj
