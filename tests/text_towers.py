"""Small random text towers of every kind that open_clip has, and captions for them."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch

from clip4dm.towers.text import TextTower

VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 4}
TOWERS = {
    "clip": {},
    "clip_eos": {"pool_type": "eos", "eos_id": 49407},
    "layer_scale": {"ls_init_value": 0.3},
    "custom_blocks": {
        "qk_norm": True,
        "scale_heads": True,
        "scale_attn_inner": True,
        "scale_attn": True,
        "scale_fc": True,
    },
    "custom_text": {"_custom": True},
    "bidirectional": {"_custom": True, "no_causal_mask": True, "proj_bias": True},
    "siglip": {
        "_custom": True,
        "no_causal_mask": True,
        "pool_type": "last",
        "proj_bias": True,
        "norm_kwargs": {"eps": 1e-6},
        "act_kwargs": {"approximate": "tanh"},
    },
    "coca": {"_custom": True, "embed_cls": True, "context_length": 76, "output_tokens": True},
}
CAUSAL = ("clip", "clip_eos", "layer_scale", "custom_blocks", "custom_text")
CAPTIONS = ["a dog", "two zebras, one calf and a hot dog on a plate.", "the cat's sofa"]


def build(name: str):
    import open_clip

    torch.manual_seed(11)
    text = {**TEXT, **TOWERS[name]}
    custom = text.pop("_custom", False)
    if name == "coca":
        multimodal = {"context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
        vision = {**VISION, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
        model = open_clip.CoCa(24, multimodal, text, vision)
    else:
        model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(24, VISION, text)
    with torch.no_grad():
        if name == "coca":  # open_clip leaves it as the memory was, now and then NaN; no text feature reads it
            model.text_decoder.text_projection.zero_()
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval().requires_grad_(False)


def in_dtype(case, dtype):
    """(model, tower, features) of a tower_case."""
    model = copy.deepcopy(case[1]).to(dtype)
    return model, TextTower(model), case[4].to(dtype)


def make_tiny_siglip(folder: Path) -> Path:
    """A random SigLIP with a sentencepiece-like tokenizer of Hugging Face's, in the hub's folder layout.

    The tokenizer drops accents, so that an accent alone has no token.
    """
    import open_clip
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=["<pad>", "</s>", "<unk>"])
    raw.train_from_iterator(["a photo depicts two zebras one calf and a hot dog on a plate the cats sofa"] * 3, trainer)
    raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    text = {
        **TEXT,
        **TOWERS["siglip"],
        "vocab_size": 120,
        "context_length": 32,
        "hf_tokenizer_name": "tokenizer",
        "tokenizer_kwargs": {"clean": "canonicalize"},
    }
    text.pop("_custom")
    config = {"embed_dim": 24, "custom_text": True, "vision_cfg": VISION, "text_cfg": text}
    torch.manual_seed(0)
    model = open_clip.CustomTextCLIP(24, VISION, text)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
    return folder
