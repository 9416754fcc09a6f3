"""The image tower: the features that `encode_image` gives, with less work.

open_clip's own vision transformer read at its class token is run here block by block. Of the last block only the class
token's row is computed, since nothing else is read, and matrix products go through `arithmetic.linear`. Any other tower
(ResNet, timm, attention pooling, ...) is run as it is.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip4dm.towers.arithmetic import linear
from clip4dm.towers.blocks import Block, OpenCLIPBlock, attend

PATCHES = 7  # a side of a mask, whatever the picture's size
LEAST_AGREEMENT = {torch.float32: 0.99999, torch.bfloat16: 0.99, torch.float16: 0.99}


class ImageTower:
    """A model's image tower. size: of its pictures, (height, width) in pixels.

    native: whether it is run here; decided once, by comparing the features of one picture.

    >>> from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
    >>> sizes = CLIPVisionCfg(layers=1, width=64, patch_size=16, image_size=32), CLIPTextCfg(width=8, heads=2, layers=1)
    >>> tower = ImageTower(CLIP(4, *sizes).eval())
    >>> tower.native, tower.size, tower.encode(torch.zeros(2, 3, 32, 32)).shape
    (True, (32, 32), torch.Size([2, 4]))
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = cast(Any, model)
        self.visual = self.model.visual
        size = self.visual.image_size
        self.size: tuple[int, int] = (size[0], size[1]) if isinstance(size, (tuple, list)) else (size, size)
        self.native = is_known(self.visual)
        if self.native:
            self.blocks: list[Block] = [OpenCLIPBlock(block, linear) for block in self.visual.transformer.resblocks]
            self.native = self._agrees()

    def encode(self, pixels: Tensor) -> Tensor:
        """(n, 3, size, size) in the tower's dtype -> (n, features), fp32, unit length. No gradient is recorded."""
        with torch.inference_mode():
            if self.native:
                return F.normalize(self.class_token_features(pixels).float(), dim=-1)
            if pixels.device.type == "cpu":  # a ResNet's convolutions take a quarter less time so
                pixels = pixels.contiguous(memory_format=torch.channels_last)
            features = self.model.encode_image(pixels)
            return F.normalize(features.float(), dim=-1)

    def encode_masked(self, pixels: Tensor, copies: int) -> Tensor:
        """(n, 3, size, size) -> (n, features), the mean of the unit features of masked copies; shorter than 1.

        A copy has the patches of a mask blanked, to the mean colour of the preprocessing: `random_masks`. A picture's
        copies do not depend on what else is in the batch. As many passes as copies, of a batch each.
        """
        masks = random_masks(copies, self.size).to(pixels)
        return torch.stack([self.encode(pixels * mask) for mask in masks]).mean(0)

    def class_token_features(self, pixels: Tensor) -> Tensor:
        """(n, 3, size, size) -> (n, features), as VisionTransformer.forward gives them but for rounding."""
        x = self.visual._embeds(pixels)  # (n, tokens, width)
        *blocks, last = self.blocks
        for block in blocks:
            x = block.rest(x, attend(*block.heads(x)))
        token = x[:, :1]  # (n, 1, width): the last block's other rows are never read
        token = last.rest(token, attend(*last.heads(x, queried=token)))
        pooled = self.visual.ln_post(token[:, 0])
        return cast(Tensor, pooled if self.visual.proj is None else pooled @ self.visual.proj)

    def _agrees(self) -> bool:
        """Whether the tower's own features of a made-up picture are the ones computed here."""
        weight = self.visual.conv1.weight
        height, width = self.size
        pixels = torch.linspace(-2, 2, 3 * height * width, device=weight.device).view(1, 3, height, width)
        pixels = pixels.to(weight.dtype)
        with torch.inference_mode():
            own, ours = self.model.encode_image(pixels).float(), self.class_token_features(pixels).float()
        return F.cosine_similarity(own, ours).item() >= LEAST_AGREEMENT.get(weight.dtype, 0.99)


def random_masks(number: int, size: tuple[int, int]) -> Tensor:
    """(number, 1, *size) of 0 and 1: masks that blank each patch of a grid with probability 1/2, the same ones always.

    Every other one is the opposite of the one before it, so that each patch is kept as often as not.

    >>> masks = random_masks(10, (224, 224))
    >>> masks.shape, masks.mean().item(), bool((masks[::2] + masks[1::2] == 1).all())
    (torch.Size([10, 1, 224, 224]), 0.5, True)
    """
    generator = torch.Generator().manual_seed(0)
    drawn: list[Tensor] = []
    for copy in range(number):
        opposite = copy % 2 == 1
        drawn.append(1 - drawn[-1] if opposite else torch.rand(PATCHES, PATCHES, generator=generator).lt(0.5).float())
    return F.interpolate(torch.stack(drawn)[:, None], size=size, mode="nearest")


def is_known(visual: nn.Module) -> bool:
    """Whether a tower has the parts that `ImageTower.class_token_features` reads, and no others.

    is_known(model.visual)  # of ViT-B-32: True; of RN50: False
    """
    from open_clip.transformer import VisionTransformer  # takes seconds

    if type(visual) is not VisionTransformer or visual.attn_pool is not None or visual.pool_type != "tok":
        return False
    known = all(OpenCLIPBlock.fits(block) for block in visual.transformer.resblocks)
    return known and not visual.training and hasattr(visual, "_embeds")
