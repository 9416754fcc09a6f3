"""Parity with Hugging Face's CLIPModel: eager attention, full autograd through the whole model, one pair at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contract import COSINE, assert_attributions
from twin_models import CAPTIONS, EMBED, LAYERS, pair_of_models

from clip4dm.attribution.attribute import attribute
from clip4dm.captions.words import encode_caption
from clip4dm.towers.text import TextTower

transformers = pytest.importorskip("transformers", reason="the oracle is Hugging Face's CLIPModel")


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
