"""The same random weights as Hugging Face's CLIPModel and as open_clip's CLIP: an oracle and what it judges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

CAPTIONS = [
    "a cup of coke",
    "Two zebras, one calf, and a hot dog on a plate.",
    "dog",
    "A woman's red-haired dog doesn't look at the T-shirt",
]
WIDTH, HEADS, LAYERS, EMBED = 48, 4, 4, 24
IMAGE_LAYERS = 1
IMAGE = {"image_size": 32, "layers": IMAGE_LAYERS, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": WIDTH, "heads": HEADS, "layers": LAYERS}
SPECIAL = {"<|startoftext|>": 49406, "<|endoftext|>": 49407}  # Hugging Face's names of the two


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
        "intermediate_size": 128,
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
    ours = open_clip.CLIP(embed_dim=EMBED, quick_gelu=act == "quick_gelu", vision_cfg=IMAGE, text_cfg=TEXT)
    target = ours.state_dict()
    copy_text_tower(hf, target)
    copy_image_tower(hf, target)
    ours.load_state_dict(target)
    return hf, ours.eval().requires_grad_(False)


def copy_text_tower(hf, target: dict[str, torch.Tensor]) -> None:
    source = hf.text_model.state_dict()
    target["token_embedding.weight"] = source["embeddings.token_embedding.weight"]
    target["positional_embedding"] = source["embeddings.position_embedding.weight"]
    target["text_projection"] = hf.text_projection.weight.T.detach()
    for kind in ("weight", "bias"):
        target[f"ln_final.{kind}"] = source[f"final_layer_norm.{kind}"]
    copy_blocks(source, target, "transformer", LAYERS)


def copy_image_tower(hf, target: dict[str, torch.Tensor]) -> None:
    source = hf.vision_model.state_dict()
    target["visual.class_embedding"] = source["embeddings.class_embedding"]
    target["visual.positional_embedding"] = source["embeddings.position_embedding.weight"]
    target["visual.conv1.weight"] = source["embeddings.patch_embedding.weight"]
    target["visual.proj"] = hf.visual_projection.weight.T.detach()
    for kind in ("weight", "bias"):
        target[f"visual.ln_pre.{kind}"] = source[f"pre_layrnorm.{kind}"]
        target[f"visual.ln_post.{kind}"] = source[f"post_layernorm.{kind}"]
    copy_blocks(source, target, "visual.transformer", IMAGE_LAYERS)


def copy_blocks(source: dict[str, torch.Tensor], target: dict[str, torch.Tensor], tower: str, layers: int) -> None:
    names = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for layer in range(layers):
        for kind in ("weight", "bias"):
            here, there = f"{tower}.resblocks.{layer}", f"encoder.layers.{layer}"
            for mine, theirs in names.items():
                target[f"{here}.{mine}.{kind}"] = source[f"{there}.{theirs}.{kind}"]
            target[f"{here}.attn.in_proj_{kind}"] = torch.cat(
                [source[f"{there}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            )


def twin_folders(folder: Path, act: str = "quick_gelu", seed: int = 0) -> tuple[Path, Path]:
    """The same random model as each of the two libraries reads it from a folder: Hugging Face's, open_clip's."""
    from open_clip.tokenizer import SimpleTokenizer
    from safetensors.torch import save_file
    from transformers import CLIPImageProcessor, CLIPProcessor, CLIPTokenizer

    hf, ours = pair_of_models(act, seed)
    theirs, mine = folder / "huggingface", folder / "open_clip"
    hf.save_pretrained(theirs)
    tokens = SimpleTokenizer()
    words = {name: number for name, number in tokens.encoder.items() if number < min(SPECIAL.values())} | SPECIAL
    merges = [" ".join(pair) for pair in sorted(tokens.bpe_ranks, key=tokens.bpe_ranks.get)]
    (theirs / "vocab.json").write_text(json.dumps(words), encoding="utf-8")
    (theirs / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    tokenizer = CLIPTokenizer.from_pretrained(theirs, model_max_length=77)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(pictures, tokenizer).save_pretrained(theirs)
    mine.mkdir(parents=True)
    config = {"embed_dim": EMBED, "quick_gelu": act == "quick_gelu", "vision_cfg": IMAGE, "text_cfg": TEXT}
    (mine / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file(
        {name: value.contiguous() for name, value in ours.state_dict().items()}, mine / "open_clip_model.safetensors"
    )
    return theirs, mine
