"""The same random weights as Hugging Face's CLIPModel and as open_clip's CLIP: an oracle and what it judges."""

from __future__ import annotations

import pytest
import torch

CAPTIONS = [
    "a cup of coke",
    "Two zebras, one calf, and a hot dog on a plate.",
    "dog",
    "A woman's red-haired dog doesn't look at the T-shirt",
]
WIDTH, HEADS, LAYERS, EMBED = 48, 4, 4, 24


def pair_of_models(act: str, seed: int):
    """The same random weights in Hugging Face's CLIPModel and in open_clip's CLIP."""
    import open_clip

    transformers = pytest.importorskip("transformers", reason="the oracle is Hugging Face's CLIPModel")

    torch.manual_seed(seed)
    text = {
        "vocab_size": 49408,
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 77,
        "hidden_act": act,
        "eos_token_id": 49407,
        "bos_token_id": 49406,
        "pad_token_id": 0,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
        "hidden_act": act,
    }
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=EMBED)
    config._attn_implementation = "eager"
    hf = transformers.CLIPModel(config).eval()
    with torch.no_grad():  # larger weights than the initialisation's: attributions of a size worth comparing
        for parameter in hf.text_model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.15 + (1.0 if parameter.ndim == 1 else 0.0))
    ours = open_clip.CLIP(
        embed_dim=EMBED,
        quick_gelu=act == "quick_gelu",
        vision_cfg={"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        text_cfg={"context_length": 77, "vocab_size": 49408, "width": WIDTH, "heads": HEADS, "layers": LAYERS},
    )
    source, target = hf.text_model.state_dict(), ours.state_dict()
    target["token_embedding.weight"] = source["embeddings.token_embedding.weight"]
    target["positional_embedding"] = source["embeddings.position_embedding.weight"]
    target["ln_final.weight"], target["ln_final.bias"] = (
        source["final_layer_norm.weight"],
        source["final_layer_norm.bias"],
    )
    target["text_projection"] = hf.text_projection.weight.T.detach()
    names = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for layer in range(LAYERS):
        for kind in ("weight", "bias"):
            here, there = f"transformer.resblocks.{layer}", f"encoder.layers.{layer}"
            for mine, theirs in names.items():
                target[f"{here}.{mine}.{kind}"] = source[f"{there}.{theirs}.{kind}"]
            target[f"{here}.attn.in_proj_{kind}"] = torch.cat(
                [source[f"{there}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            )
    ours.load_state_dict(target)
    return hf, ours.eval().requires_grad_(False)
