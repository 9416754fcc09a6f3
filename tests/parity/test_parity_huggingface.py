"""Parity with Hugging Face's CLIPModel: eager attention, full autograd through the whole model, one pair at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contract import COSINE, assert_attributions

from clip4dm.attribution.attribute import attribute
from clip4dm.captions.words import encode_caption
from clip4dm.towers.text import TextTower

transformers = pytest.importorskip("transformers", reason="the oracle is Hugging Face's CLIPModel")

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


def by_full_autograd(hf, ids: list[int], image_feature: torch.Tensor) -> tuple[np.ndarray, float]:
    """(layers, tokens) attributions and the cosine, as the paper defines them, at the full context of 77."""
    padded = torch.tensor([ids + [0] * (77 - len(ids))])
    out = hf.text_model(input_ids=padded, output_attentions=True)
    end = out.last_hidden_state[0, len(ids) - 1]
    feature = torch.nn.functional.normalize(hf.text_projection(end), dim=-1)
    cosine = feature @ image_feature
    gradients = torch.autograd.grad(cosine, out.attentions)
    rows = [(g * a)[0, :, len(ids) - 1].mean(0) for g, a in zip(gradients, out.attentions, strict=True)]
    return torch.stack(rows).detach().numpy()[:, : len(ids)], cosine.item()


@pytest.mark.parametrize("path", ["replay", "full"])
@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_attributions_equal_full_autograd(act, path, tokenizer):
    hf, model = pair_of_models(act, seed=3)
    tower = TextTower(model)
    encoded = [encode_caption(tokenizer, caption, "A photo depicts ") for caption in CAPTIONS]
    features = torch.nn.functional.normalize(torch.randn(len(CAPTIONS), EMBED), dim=-1)
    expected = [by_full_autograd(hf, list(e.ids), f) for e, f in zip(encoded, features, strict=True)]
    for start in range(-LAYERS, LAYERS):
        explained = LAYERS - start % LAYERS
        batch = attribute(tower, encoded, features, start, path=path)
        for i, (values, cosine) in enumerate(expected):
            wanted = values[-explained:, 1 : len(encoded[i].ids) - 1]
            single = attribute(tower, encoded[i : i + 1], features[i : i + 1], start, path=path)
            for result, row in ((batch, i), (single, 0)):
                got = result.per_layer[row, :, 1 : len(encoded[i].ids) - 1].numpy()
                assert_attributions(got, wanted)
                assert result.cosine[row].item() == pytest.approx(cosine, abs=COSINE)


def test_the_activation_matters(tokenizer):
    """The comparison could not pass with the other activation."""
    hf, _ = pair_of_models("gelu", seed=3)
    _, wrong = pair_of_models("quick_gelu", seed=3)
    encoded = encode_caption(tokenizer, CAPTIONS[1])
    feature = torch.nn.functional.normalize(torch.randn(1, EMBED), dim=-1)
    expected, _ = by_full_autograd(hf, list(encoded.ids), feature[0])
    got = attribute(TextTower(wrong), [encoded], feature, 0).per_layer[0].numpy()[:, : expected.shape[1]]
    assert np.abs(got[:, 1:-1] - expected[:, 1:-1]).max() > 1e-3 * np.abs(expected[:, 1:-1]).max()
