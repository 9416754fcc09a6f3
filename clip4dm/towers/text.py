"""open_clip's text transformers, taken apart: embeddings, blocks with visible attention, pooling, projection."""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip4dm.captions.words import EncodedCaption
from clip4dm.errors import ModelError
from clip4dm.towers.blocks import Block, OpenCLIPBlock, attend


@dataclass(frozen=True)
class LastLayers:
    """The tower from some layer on, in the working dtype: its blocks, and what makes a feature of the last output.

    unit = tower.last_layers(9).feature(x[:, -1])  # x: of the last layer
    """

    start: int
    blocks: list[Block]
    ln_final: nn.Module
    projection: Tensor | nn.Module | None

    def feature(self, pooled: Tensor) -> Tensor:
        """The last layer's output where the feature is read, (n, width) -> unit text features (n, features)."""
        pooled = self.ln_final(pooled)
        if isinstance(self.projection, nn.Module):
            pooled = self.projection(pooled)
        elif self.projection is not None:
            pooled = pooled @ self.projection
        return F.normalize(pooled, dim=-1)

    def since(self, start: int) -> LastLayers:
        """The same from a later layer on."""
        return LastLayers(start, self.blocks[start - self.start :], self.ln_final, self.projection)


@dataclass(frozen=True)
class State:
    """What enters a layer: x (captions, tokens from `shared` on, width), and keys and values of all tokens.

    k, v: (captions, heads, tokens, head width); empty after the last layer.

        first = next(tower.states(ids))
        first.x, first.k, first.v
    """

    x: Tensor
    k: Tensor
    v: Tensor


class TextTower:
    """The text side of an open_clip CLIP, CustomTextCLIP or CoCa model.

    causal: every token sees only earlier ones and the feature is read at the end-of-text token, so that the fast exact
    path of `attribution.replay` applies. layers: the number of blocks.
    Errors: ModelError if the text tower is not one of open_clip's own.

    >>> from open_clip.transformer import TextTransformer
    >>> tower = TextTower(TextTransformer(vocab_size=20, width=8, heads=2, layers=3, output_dim=4))
    >>> tower.layers, tower.features, tower.causal, tower.pad([[18, 5, 6, 19], [18, 7, 19]], padded=False).tolist()
    (3, 4, True, [[18, 5, 6, 19], [18, 7, 19, 0]])
    >>> captions = [EncodedCaption("red cup", (18, 5, 6, 19), (-1, 0, 1, -1), (), truncated=False, padded=False)]
    >>> ids, pooled = tower.batch(captions)
    >>> pooled.tolist(), len(list(tower.states(ids))), tower.encode(captions).shape
    ([3], 4, torch.Size([1, 4]))
    """

    def __init__(self, model: nn.Module) -> None:
        text = cast(Any, getattr(model, "text", model))  # open_clip's towers differ in their parts, and are not typed
        needed = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection")
        if not all(hasattr(text, name) for name in needed) or not hasattr(text.transformer, "resblocks"):
            raise ModelError(
                f"the text tower {type(text).__name__} is not one of open_clip's own transformers, "
                "and its attention cannot be explained. Take a backbone such as ViT-B-32."
            )
        self.text = text
        self.blocks: list[Block] = [OpenCLIPBlock(block) for block in text.transformer.resblocks]
        self.layers = len(self.blocks)
        self.attn_mask = text.attn_mask
        self.pool_type = getattr(text, "text_pool_type", getattr(text, "pool_type", "argmax"))
        self.eos_id: Any = getattr(text, "text_eos_id", getattr(text, "eos_id", None))
        self.has_cls = getattr(text, "cls_emb", None) is not None
        self.causal = (
            self.attn_mask is not None
            and not self.has_cls
            and self.pool_type in ("argmax", "eos")
            and not getattr(text, "use_pad_mask", False)
        )
        self._copies: LastLayers | None = None

    @property
    def heads(self) -> int:
        """Of a layer's attention."""
        return int(self.text.transformer.resblocks[0].attn.num_heads)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return cast(torch.device, self.text.positional_embedding.device)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.blocks[0].dtype

    @property
    def working_dtype(self) -> torch.dtype:
        """The dtype of attributions and cosines: fp32, whatever the tower runs in (float64 for a float64 tower)."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    @property
    def context(self) -> int:
        """How many tokens fit, start and end among them."""
        return int(self.text.positional_embedding.shape[0]) - int(self.has_cls)

    @property
    def features(self) -> int:
        """The width of text and image features."""
        projection = self.text.text_projection
        if projection is None:
            return int(self.text.ln_final.weight.shape[0])
        return int(projection.shape[1] if isinstance(projection, Tensor) else projection.out_features)

    def batch(self, captions: Sequence[EncodedCaption]) -> tuple[Tensor, Tensor]:
        """Captions -> token ids (captions, tokens) as `pad` makes them, and where each feature is read (captions,)."""
        ids = self.pad([caption.ids for caption in captions], captions[0].padded)
        lengths = torch.tensor([len(caption.ids) for caption in captions], device=self.device)
        return ids, self.pooled_position(ids, lengths)

    def pad(self, ids: Sequence[Sequence[int]], padded: bool) -> Tensor:
        """Token ids -> (captions, tokens) int64 on the tower's device.

        Causal towers are cut at the batch's longest caption, since what follows the end is never seen; others are
        padded with 0 to the context they were trained with, where the tokenizer has not done so.
        """
        length = max(len(row) for row in ids) if padded or self.causal else self.text.context_length
        batch = torch.zeros(len(ids), length, dtype=torch.long)
        for row, values in zip(batch, ids, strict=True):
            row[: len(values)] = torch.as_tensor(values)
        return batch.to(self.device)

    def pooled_position(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Where the text feature is read: (captions,) positions. lengths: tokens of each caption, without padding."""
        last = ids.shape[1] - 1 + int(self.has_cls)
        if self.has_cls or self.pool_type == "last":
            return torch.full_like(lengths, last)
        if self.pool_type == "first":
            return torch.zeros_like(lengths)
        if self.pool_type == "eos":
            return torch.eq(ids, self.eos_id).int().argmax(dim=1)
        return lengths - 1  # the end-of-text token itself, not the largest id: see captions/tokens.py

    def embed(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """(captions, tokens) ids -> (captions, tokens, width) and the additive attention mask, or None."""
        if hasattr(self.text, "_embeds"):  # TextTransformer: knows about class tokens and padding masks
            x, mask = self.text._embeds(ids)
        else:
            dtype = self.text.transformer.get_cast_dtype()
            x = self.text.token_embedding(ids).to(dtype)
            x = x + self.text.positional_embedding[: ids.shape[1]].to(dtype)
            mask = self.attn_mask
        if mask is not None and mask.ndim == 3:
            mask = mask.view(len(ids), -1, *mask.shape[1:])  # (captions, heads, tokens, tokens)
        if mask is not None:
            mask = mask[..., : x.shape[1], : x.shape[1]]
        return x, mask

    def states(self, ids: Tensor, shared: int = 0, exact: bool = False, added: Tensor | None = None) -> Iterator[State]:
        """Every layer's input, then the last one's output; what follows a layer is computed when it is asked for.

        ids: (captions, tokens). shared: how many leading tokens all captions have in common; these are computed once
        and left out of x. More than 0 needs a causal mask. exact: layers in the working dtype, whatever the tower's.
        added: (captions, tokens from `shared` on, width), to what enters the first layer.
        """
        x, mask = self.embed(ids)
        blocks = self.last_layers(0).blocks if exact else self.blocks
        if exact:
            x, mask = x.to(self.working_dtype), mask if mask is None else mask.to(self.working_dtype)
        head, x = x[:1, :shared], x[:, shared:]
        x = x if added is None else x + added
        for block in blocks:
            q, k, v = block.heads(x)
            if shared and mask is not None:
                head_q, head_k, head_v = block.heads(head)
                k = torch.cat([head_k.expand(len(x), -1, -1, -1), k], dim=-2)
                v = torch.cat([head_v.expand(len(x), -1, -1, -1), v], dim=-2)
            yield State(x, k, v)
            x = block.rest(x, attend(q, k, v, mask if mask is None else mask[..., shared:, :]))
            if shared and mask is not None:
                head = block.rest(head, attend(head_q, head_k, head_v, mask[:shared, :shared]))
        yield State(x, x.new_empty(0), x.new_empty(0))

    def last_layers(self, start: int) -> LastLayers:
        """The tower from layer `start` on in the working dtype: itself, or copies that are made once and kept."""
        text = self.text
        if self.dtype == self.working_dtype:
            return LastLayers(start, self.blocks[start:], text.ln_final, text.text_projection)
        if self._copies is None or self._copies.start > start:  # of the last layers only: at most what is asked for
            projection = copy.deepcopy(text.text_projection)
            self._copies = LastLayers(
                start,
                [block.float() for block in self.blocks[start:]],
                copy.deepcopy(text.ln_final).float(),
                None if projection is None else projection.float(),
            )
        return self._copies.since(start)

    def shared_tokens(self, captions: Sequence[EncodedCaption]) -> int:
        """How many leading tokens need computing once: those in common, where no later token changes them; else 0."""
        return shared_tokens(captions) if self.causal else 0

    def encode(self, captions: Sequence[EncodedCaption], exact: bool = False) -> Tensor:
        """Unit text features (captions, features) in the working dtype; no gradient is recorded.

        exact: what leads to them is computed in it too, from copies of the layers where the tower runs in less.
        """
        ids, pooled = self.batch(captions)
        shared = min(leading_tokens(captions), int(pooled.min())) if self.causal and len(captions) > 1 else 0
        with torch.no_grad():
            # The last state alone: the keys and values of all layers would be much.
            (output,) = deque(self.states(ids, shared, exact), maxlen=1)
            x = output.x[torch.arange(len(ids)), pooled - shared]
            return self.last_layers(self.layers).feature(x.to(self.working_dtype))


def leading_tokens(captions: Sequence[EncodedCaption]) -> int:
    """How many leading tokens all captions have in common, words among them.

    >>> def caption(*ids: int) -> EncodedCaption:  # of start, template, two words, end
    ...     return EncodedCaption("", ids, (-1, -1, 0, 1, -1), (), truncated=False, padded=False)
    >>> leading_tokens([caption(18, 4, 5, 6, 19), caption(18, 4, 5, 7, 19)])
    3
    """
    return len(os.path.commonprefix([caption.ids for caption in captions]))


def shared_tokens(captions: Sequence[EncodedCaption]) -> int:
    """How many leading tokens, start and template, all captions have in common: these need computing once.

    >>> def caption(*ids: int) -> EncodedCaption:  # of start, template, two words, end
    ...     return EncodedCaption("", ids, (-1, -1, 0, 1, -1), (), truncated=False, padded=False)
    >>> shared_tokens([caption(18, 4, 5, 6, 19), caption(18, 4, 5, 7, 19)])
    2
    """
    leading = [next((i for i, unit in enumerate(c.unit_of) if unit >= 0), len(c.ids)) for c in captions]
    count = min(*leading, *(len(c.ids) - 1 for c in captions))  # never the end token
    return count if all(c.ids[:count] == captions[0].ids[:count] for c in captions) else 0
