"""A transformer block with its attention in the open: queries, keys and values in, mixed values out.

PyTorch's MultiheadAttention and its fused attention return no map that gradients can reach. A block is therefore run
here from its own weights, with nothing patched: `heads`, then the attention as the caller wants it, then `rest`.

    q, k, v = block.heads(x)                          # each (..., heads, tokens, head width); q carries its scale
    x = block.rest(x, (q @ k.mT).softmax(-1) @ v)     # (..., tokens, width)
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Linear = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]  # x (..., in), weight (out, in), bias (out,) -> (..., out)


class Block(Protocol):
    """A layer of a tower. Errors: whatever PyTorch says of shapes that do not fit.

    q, k, v = block.heads(x)
    x = block.rest(x, attend(q, k, v, mask))
    """

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""

    def heads(self, x: Tensor, queried: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values of x (..., tokens, width), each (..., heads, tokens, head width).

        queried: the tokens (..., queried, width) whose queries are wanted, if not all of x's.
        """

    def rest(self, x: Tensor, mixed: Tensor) -> Tensor:
        """What follows the attention: x (..., tokens, width), mixed (..., heads, tokens, head width) -> x's shape."""

    def float(self) -> Block:
        """A copy in fp32."""


class OpenCLIPBlock:
    """open_clip's residual attention block, with nn.MultiheadAttention or open_clip's own Attention.

    linear: multiplies by a weight and adds a bias; F.linear, or a faster one where no gradient is wanted.

    >>> from open_clip.transformer import ResidualAttentionBlock
    >>> module = ResidualAttentionBlock(d_model=8, n_head=2)
    >>> block, x = OpenCLIPBlock(module), torch.ones(1, 5, 8)
    >>> OpenCLIPBlock.fits(module), [part.shape for part in block.heads(x)] == [torch.Size([1, 2, 5, 4])] * 3
    (True, True)
    >>> torch.allclose(block.rest(x, attend(*block.heads(x))), module(x), atol=1e-5)
    True
    """

    def __init__(self, block: nn.Module, linear: Linear = F.linear) -> None:
        self.block = cast(Any, block)  # open_clip's classes differ in their parts, and are not typed
        self.linear = linear

    @staticmethod
    def fits(block: nn.Module) -> bool:
        """Whether a module has the parts that are read here, and none that would be passed over."""
        attention = getattr(block, "attn", None)
        return (
            all(hasattr(block, name) for name in ("ln_1", "ln_2", "ls_1", "ls_2", "mlp"))
            and not hasattr(block, "ln_1_kv")
            and getattr(attention, "in_proj_weight", None) is not None
        )

    @property
    def dtype(self) -> torch.dtype:
        return cast(torch.dtype, self.block.attn.in_proj_weight.dtype)

    def heads(self, x: Tensor, queried: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        attn = self.block.attn
        weight, bias = attn.in_proj_weight, attn.in_proj_bias
        if queried is None:
            q, k, v = self.linear(self.block.ln_1(x), weight, bias).chunk(3, dim=-1)
        else:
            width = x.shape[-1]
            q = self.linear(self.block.ln_1(queried), weight[:width], None if bias is None else bias[:width])
            kv = self.linear(self.block.ln_1(x), weight[width:], None if bias is None else bias[width:])
            k, v = kv.chunk(2, dim=-1)
        q, k, v = (t.view(*t.shape[:-1], attn.num_heads, -1).transpose(-3, -2) for t in (q, k, v))
        if getattr(attn, "logit_scale", None) is not None:  # scaled cosine attention
            scale = attn.logit_scale.clamp(max=attn.logit_scale_max).exp()
            return F.normalize(q, dim=-1) * scale, F.normalize(k, dim=-1), v
        if hasattr(attn, "ln_q"):
            q, k = attn.ln_q(q), attn.ln_k(k)
        return q * q.shape[-1] ** -0.5, k, v

    def rest(self, x: Tensor, mixed: Tensor) -> Tensor:
        block, attn = self.block, self.block.attn
        if getattr(attn, "head_scale", None) is not None:
            mixed = mixed * attn.head_scale
        mixed = mixed.transpose(-3, -2).flatten(-2)  # (..., tokens, width)
        if hasattr(attn, "ln_inner"):
            mixed = attn.ln_inner(mixed)
        out = self.linear(mixed, attn.out_proj.weight, attn.out_proj.bias)
        if hasattr(block, "ln_attn"):
            out = block.ln_attn(out)
        x = x + block.ls_1(out)
        return cast(Tensor, x + block.ls_2(self._feed_forward(block.ln_2(x))))

    def _feed_forward(self, x: Tensor) -> Tensor:
        mlp = self.block.mlp
        for layer in mlp if isinstance(mlp, nn.Sequential) else (mlp,):
            x = self.linear(x, layer.weight, layer.bias) if type(layer) is nn.Linear else layer(x)
        return x

    def float(self) -> OpenCLIPBlock:
        return OpenCLIPBlock(copy.deepcopy(self.block).float(), self.linear)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mixed values without a map: each (..., heads, tokens, head width) -> the same. Queries carry their scale already.

    mask: added to the logits, (..., queries, keys).

    >>> q = torch.randn(1, 2, 5, 4)
    >>> attend(q, q, q).shape, torch.allclose(attend(q, q, torch.ones_like(q)), torch.ones_like(q))
    (torch.Size([1, 2, 5, 4]), True)
    """
    return F.scaled_dot_product_attention(q, k, v, None if mask is None else mask.to(q.dtype), scale=1.0)
