"""open_clip's text transformers, taken apart: embeddings, blocks with visible attention, pooling, projection.

PyTorch's MultiheadAttention and SDPA return no attention map that gradients can reach, so the blocks are run here
from their own weights, with nothing patched. `TextTower.verify` compares the result with the model's `encode_text`,
so that a text tower which does something else is refused instead of explained wrongly.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip4dm.captions.words import EncodedCaption, encode_caption
from clip4dm.models.sources import ModelError

Linear = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]


class TextTower:
    """The text side of an open_clip CLIP, CustomTextCLIP or CoCa model.

    causal: every token sees only earlier ones and the feature is read at the end-of-text token, so that the
    exact fast path of `attribution` applies. layers: the number of blocks.
    Errors: ModelError if the text tower is not one of open_clip's own.
    """

    def __init__(self, model: nn.Module):
        text = getattr(model, "text", model)
        needed = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection")
        if not all(hasattr(text, name) for name in needed) or not hasattr(text.transformer, "resblocks"):
            raise ModelError(
                f"the text tower {type(text).__name__} is not one of open_clip's own transformers, "
                "and its attention cannot be explained. Take a backbone such as ViT-B-32."
            )
        self.text = text
        self.blocks = list(text.transformer.resblocks)
        self.layers = len(self.blocks)
        self.attn_mask = text.attn_mask
        self.pool_type = getattr(text, "text_pool_type", getattr(text, "pool_type", "argmax"))
        self.eos_id = getattr(text, "text_eos_id", getattr(text, "eos_id", None))
        self.has_cls = getattr(text, "cls_emb", None) is not None
        self.causal = (
            self.attn_mask is not None
            and not self.has_cls
            and self.pool_type in ("argmax", "eos")
            and not getattr(text, "use_pad_mask", False)
        )
        self._float: tuple[int, list[nn.Module], nn.Module, Tensor | nn.Module | None] | None = None

    @property
    def device(self) -> torch.device:
        return self.text.positional_embedding.device

    @property
    def features(self) -> int:
        """The width of text and image features."""
        projection = self.text.text_projection
        if projection is None:
            return self.text.ln_final.weight.shape[0]
        return projection.out_features if isinstance(projection, nn.Module) else projection.shape[1]

    @property
    def working_dtype(self) -> torch.dtype:
        """The dtype of attributions and cosines: fp32, whatever the tower runs in (float64 for a float64 tower)."""
        return torch.float64 if self._dtype() == torch.float64 else torch.float32

    def batch(self, captions: Sequence[EncodedCaption]) -> tuple[Tensor, Tensor]:
        """Captions -> token ids (batch, tokens) as `pad` makes them, and where each text feature is read (batch,)."""
        ids = self.pad([caption.ids for caption in captions], captions[0].padded)
        lengths = torch.tensor([len(caption.ids) for caption in captions], device=self.device)
        return ids, self.pooled_position(ids, lengths)

    def pad(self, ids: Sequence[Sequence[int]], padded: bool) -> Tensor:
        """Token ids -> (batch, tokens) int64 on the tower's device.

        Causal towers are cut at the batch's longest caption, since what follows the end is never seen; others are
        padded with 0 to the context they were trained with, where the tokenizer has not done so.
        """
        length = max(len(row) for row in ids) if padded or self.causal else self.text.context_length
        batch = torch.zeros(len(ids), length, dtype=torch.long)
        for row, values in zip(batch, ids, strict=True):
            row[: len(values)] = torch.as_tensor(values)
        return batch.to(self.device)

    def pooled_position(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Where the text feature is read: (batch,) positions. lengths: tokens of each caption, without padding."""
        last = ids.shape[1] - 1 + int(self.has_cls)
        if self.has_cls or self.pool_type == "last":
            return torch.full_like(lengths, last)
        if self.pool_type == "first":
            return torch.zeros_like(lengths)
        if self.pool_type == "eos":
            return (ids == self.eos_id).int().argmax(dim=1)
        return lengths - 1  # the end-of-text token itself, not the largest id: see tokens.py

    def embed(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """(batch, tokens) ids -> (batch, tokens, width) and the additive attention mask, or None."""
        if hasattr(self.text, "_embeds"):  # TextTransformer: knows about class tokens and padding masks
            x, mask = self.text._embeds(ids)
        else:
            dtype = self.text.transformer.get_cast_dtype()
            x = self.text.token_embedding(ids).to(dtype)
            x = x + self.text.positional_embedding[: ids.shape[1]].to(dtype)
            mask = self.attn_mask
        if mask is not None and mask.ndim == 3:
            mask = mask.view(len(ids), -1, *mask.shape[1:])  # (batch, heads, tokens, tokens)
        if mask is not None:
            mask = mask[..., : x.shape[1], : x.shape[1]]
        return x, mask

    def float_part(self, start: int) -> tuple[list[nn.Module], nn.Module, Tensor | nn.Module | None]:
        """Blocks from `start` on, ln_final and the projection in the working dtype: themselves, or copies made once."""
        if self._dtype() == self.working_dtype:
            return self.blocks[start:], self.text.ln_final, self.text.text_projection
        if self._float is None or self._float[0] > start:
            # Kept for the next batch. Copies are made of the last layers only: at most what is asked for.
            def as_float(part):
                return copy.deepcopy(part).float()

            projection = self.text.text_projection
            if projection is not None:
                projection = projection.detach().float() if isinstance(projection, Tensor) else as_float(projection)
            self._float = (start, [as_float(b) for b in self.blocks[start:]], as_float(self.text.ln_final), projection)
        first, blocks, ln_final, projection = self._float
        return blocks[start - first :], ln_final, projection

    def finish(self, pooled: Tensor, ln_final: nn.Module, projection: Tensor | nn.Module | None) -> Tensor:
        """The pooled token (n, width) -> unit text feature (n, features)."""
        pooled = ln_final(pooled)
        if projection is not None:
            pooled = projection(pooled) if isinstance(projection, nn.Module) else pooled @ projection
        return F.normalize(pooled, dim=-1)

    def verify(self, model: nn.Module, tokenizer) -> None:
        """Compare this reading of the tower with the model's own `encode_text`. Errors: ModelError."""
        from clip4dm.attribution.replay import attribute

        caption = "a photo of a cat and a dog"
        encoded = encode_caption(tokenizer, caption)
        with torch.no_grad():
            own = F.normalize(model.encode_text(tokenizer([caption]).to(self.device)).float(), dim=-1)
        try:
            ours = attribute(self, [encoded], own).text_features
        except (AttributeError, RuntimeError, ValueError) as error:
            raise ModelError(
                f"the text tower {type(self.text).__name__} could not be taken apart ({error}); "
                "it is not a native open_clip transformer as this version knows them"
            ) from error
        agreement = float((own * ours).sum())
        if not math.isfinite(agreement):
            raise ModelError(
                "the text tower gives features that are NaN or infinite: its weights are damaged, or it "
                "overflows in this precision (--precision fp32 does not)"
            )
        least = 0.9999 if self._dtype() == torch.float32 else 0.98
        if not agreement >= least:
            raise ModelError(
                f"the text tower {type(self.text).__name__} computes something else than its blocks say "
                f"(cosine {agreement:.4f} with encode_text), so its words cannot be explained"
            )

    def _dtype(self) -> torch.dtype:
        return self.blocks[0].attn.in_proj_weight.dtype


def heads_of(
    block: nn.Module, x: Tensor, queried: Tensor | None = None, linear: Linear = F.linear
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of x (..., tokens, width) -> each (..., heads, tokens, head width).

    Queries carry the attention's scale. queried: the tokens whose queries are wanted, if not all of x's. linear:
    multiplies by a weight and adds a bias. Covers nn.MultiheadAttention and open_clip's own Attention.
    """
    attn = block.attn
    weight, bias = attn.in_proj_weight, attn.in_proj_bias
    if queried is None:
        q, k, v = linear(block.ln_1(x), weight, bias).chunk(3, dim=-1)
    else:
        width = x.shape[-1]
        q = linear(block.ln_1(queried), weight[:width], None if bias is None else bias[:width])
        k, v = linear(block.ln_1(x), weight[width:], None if bias is None else bias[width:]).chunk(2, dim=-1)
    q, k, v = (t.unflatten(-1, (attn.num_heads, -1)).transpose(-3, -2) for t in (q, k, v))
    if getattr(attn, "logit_scale", None) is not None:  # scaled cosine attention
        scale = attn.logit_scale.clamp(max=attn.logit_scale_max).exp()
        return F.normalize(q, dim=-1) * scale, F.normalize(k, dim=-1), v
    if hasattr(attn, "ln_q"):
        q, k = attn.ln_q(q), attn.ln_k(k)
    return q * q.shape[-1] ** -0.5, k, v


def after_attention(block: nn.Module, x: Tensor, mixed: Tensor, linear: Linear = F.linear) -> Tensor:
    """The rest of a block: x (..., tokens, width), mixed values (..., heads, tokens, head width) -> x's shape."""
    attn = block.attn
    if getattr(attn, "head_scale", None) is not None:
        mixed = mixed * attn.head_scale
    mixed = mixed.transpose(-3, -2).flatten(-2)
    if hasattr(attn, "ln_inner"):
        mixed = attn.ln_inner(mixed)
    out = linear(mixed, attn.out_proj.weight, attn.out_proj.bias)
    if hasattr(block, "ln_attn"):
        out = block.ln_attn(out)
    x = x + block.ls_1(out)
    return x + block.ls_2(_feed_forward(block.mlp, block.ln_2(x), linear))


def _feed_forward(mlp: nn.Module, x: Tensor, linear: Linear) -> Tensor:
    for layer in mlp if isinstance(mlp, nn.Sequential) else (mlp,):
        x = linear(x, layer.weight, layer.bias) if type(layer) is nn.Linear else layer(x)
    return x
