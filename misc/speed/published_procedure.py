"""The published procedure, written anew as a measure: Hugging Face's CLIPModel, one pair at a time, full autograd.

Eager attention in both towers, captions padded to 77 tokens, gradients through the whole graph. The weights are those
of an open_clip model, so that it can be set beside this project on the same numbers. A measure from outside: its
equations are its own on purpose, and it calls none of clip4dm.scores.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip4dm.errors import InputError

CONTEXT = 77


def to_hugging_face(model: nn.Module, quick_gelu: bool) -> nn.Module:
    """An open_clip CLIP with a vision transformer -> transformers.CLIPModel of the same weights, eager attention.

    Errors: InputError where the architecture is no plain CLIP.
    """
    from transformers import CLIPConfig, CLIPModel

    check_plain_clip(model)
    visual = model.visual
    act = "quick_gelu" if quick_gelu else "gelu"
    config = CLIPConfig(
        text_config=_sizes(model.transformer, act)
        | {
            "vocab_size": model.token_embedding.num_embeddings,
            "max_position_embeddings": CONTEXT,
            "bos_token_id": 49406,
            "eos_token_id": 49407,
            "pad_token_id": 0,
        },
        vision_config=_sizes(visual.transformer, act)
        | {"image_size": visual.image_size[0], "patch_size": visual.patch_size[0]},
        projection_dim=model.text_projection.shape[1],
    )
    config._attn_implementation = "eager"
    made = CLIPModel(config).eval()
    made.load_state_dict(hugging_face_state(model))
    return made


def check_plain_clip(model: nn.Module) -> None:
    """Errors: InputError where a model is none that Hugging Face's CLIPModel could be."""
    from open_clip.transformer import VisionTransformer

    visual = model.visual
    if type(visual) is not VisionTransformer or not hasattr(model, "token_embedding"):
        raise InputError(
            "Hugging Face's CLIPModel is a CLIP with a vision transformer, and this model is none: "
            f"{type(model).__name__} with {type(visual).__name__}"
        )


def hugging_face_state(model: nn.Module) -> dict[str, Tensor]:
    """An open_clip CLIP's weights under the names that transformers.CLIPModel gives them: views, nothing is copied."""
    visual = model.visual
    return {
        "logit_scale": model.logit_scale,
        "text_model.embeddings.token_embedding.weight": model.token_embedding.weight,
        "text_model.embeddings.position_embedding.weight": model.positional_embedding,
        "text_projection.weight": model.text_projection.T,
        "vision_model.embeddings.class_embedding": visual.class_embedding,
        "vision_model.embeddings.patch_embedding.weight": visual.conv1.weight,
        "vision_model.embeddings.position_embedding.weight": visual.positional_embedding,
        "visual_projection.weight": visual.proj.T,
        **_norm("text_model.final_layer_norm", model.ln_final),
        **_norm("vision_model.pre_layrnorm", visual.ln_pre),
        **_norm("vision_model.post_layernorm", visual.ln_post),
        **_blocks("text_model", model.transformer),
        **_blocks("vision_model", visual.transformer),
    }


def _sizes(transformer: nn.Module, act: str) -> dict:
    block = transformer.resblocks[0]
    return {
        "hidden_size": transformer.width,
        "intermediate_size": block.mlp.c_fc.out_features,
        "hidden_act": act,
        "num_hidden_layers": len(transformer.resblocks),
        "num_attention_heads": block.attn.num_heads,
    }


def _norm(name: str, norm: nn.Module) -> dict[str, Tensor]:
    return {f"{name}.weight": norm.weight, f"{name}.bias": norm.bias}


def _blocks(tower: str, transformer: nn.Module) -> dict[str, Tensor]:
    state = {}
    for number, block in enumerate(transformer.resblocks):
        name = f"{tower}.encoder.layers.{number}"
        attn = block.attn
        state |= _norm(f"{name}.layer_norm1", block.ln_1) | _norm(f"{name}.layer_norm2", block.ln_2)
        for part, weight, bias in zip("qkv", attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3), strict=True):
            state[f"{name}.self_attn.{part}_proj.weight"] = weight
            state[f"{name}.self_attn.{part}_proj.bias"] = bias
        state |= _norm(f"{name}.self_attn.out_proj", attn.out_proj)
        state |= _norm(f"{name}.mlp.fc1", block.mlp.c_fc) | _norm(f"{name}.mlp.fc2", block.mlp.c_proj)
    return state


def explain_pair(model: nn.Module, pixels: Tensor, ids: list[int], last_layers: int = 3) -> tuple[Tensor, float]:
    """One pair as published: pixels (1, 3, size, size), token ids without padding -> (tokens,) attributions, cosine.

    tokens: all positions of the caption, start and end included.
    """
    device = pixels.device
    padded = torch.tensor([ids + [0] * (CONTEXT - len(ids))], device=device)
    end = len(ids) - 1
    image = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    out = model.text_model(input_ids=padded, output_attentions=True)
    text = model.text_projection(out.last_hidden_state[:, end])
    cosine = (F.normalize(image, dim=-1) * F.normalize(text, dim=-1)).sum()
    maps = out.attentions[-last_layers:]
    gradients = torch.autograd.grad(cosine, maps)
    rows = [(g * a)[0, :, end].mean(0) for g, a in zip(gradients, maps, strict=True)]
    return torch.stack(rows).mean(0).detach()[: len(ids)], cosine.item()
