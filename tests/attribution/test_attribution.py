"""Every kind of text tower against an oracle outside our code: open_clip's own forward, its attention maps recorded."""

from __future__ import annotations

import contextlib
import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contract import COSINE, FLOAT64, LOW_PRECISION, assert_attributions
from text_towers import CAPTIONS, CAUSAL, build, make_tiny_siglip

from clip4dm.attribution.attribute import attribute
from clip4dm.errors import ModelError
from clip4dm.models.verify import verify_text
from clip4dm.scores import last_layers
from clip4dm.towers.text import TextTower


@contextlib.contextmanager
def recorded_attention(monkeypatch):
    """torch's attention, spelt out, its maps kept: open_clip's modules then run as they are, but can be looked into."""
    maps = []

    def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **_):
        logits = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
        assert not is_causal
        weights = (logits if attn_mask is None else logits + attn_mask).softmax(-1)
        weights.requires_grad_() if not weights.requires_grad else None
        maps.append(weights)
        return weights @ value

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", attention)
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield maps
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


def oracle(model, tokenizer, caption: str, feature, row: int, monkeypatch):
    with recorded_attention(monkeypatch) as maps:
        text = F.normalize(model.encode_text(tokenizer(["A photo depicts " + caption])), dim=-1)[0]
        cosine = text @ feature
        gradients = torch.autograd.grad(cosine, maps)
    rows = [(g * a)[0, :, row].mean(0) for g, a in zip(gradients, maps, strict=True)]
    return torch.stack(rows).detach(), text.detach(), cosine.item()


def test_against_open_clips_own_forward(tower_case, monkeypatch):
    name, model, tokenizer, encoded, features = tower_case
    tower = TextTower(model)
    assert tower.causal == (name in CAUSAL)
    result = attribute(tower, encoded, features, 0)
    for i, caption in enumerate(CAPTIONS):
        length = len(encoded[i].ids)
        row = {"siglip": 76, "coca": 76}.get(name, length - 1)
        wanted, text, cosine = oracle(model, tokenizer, caption, features[i], row, monkeypatch)
        torch.testing.assert_close(result.text_features[i], text, rtol=0, atol=COSINE)
        assert result.cosine[i].item() == pytest.approx(cosine, abs=COSINE)
        got = result.per_layer[i][:, 1 : length - 1]
        assert_attributions(got, wanted[:, 1 : length - 1])
        torch.testing.assert_close(tower.encode([encoded[i]])[0], text, rtol=0, atol=COSINE)


def test_replay_equals_full_for_every_start(tower_case):
    name, model, _, encoded, features = tower_case
    tower = TextTower(model)
    if not tower.causal:
        with pytest.raises(ValueError, match="replay path needs a causal"):
            attribute(tower, encoded, features, path="replay")
        return
    for start in range(-4, 4):
        replay, full = (attribute(tower, encoded, features, start, path=path) for path in ("replay", "full"))
        assert replay.per_layer.shape[1] == 4 - start % 4
        for i, caption in enumerate(encoded):
            inside = slice(1, len(caption.ids) - 1)
            a, b = replay.per_layer[i, :, inside], full.per_layer[i, :, inside]
            assert_attributions(a, b)
        torch.testing.assert_close(replay.cosine, full.cosine, rtol=0, atol=COSINE)


def test_replay_is_full_to_the_last_digits_in_float64(tower_case):
    """In fp32 the two differ by rounding; that nothing but rounding is between them shows in double precision."""
    name, model, _, encoded, features = tower_case
    tower = TextTower(copy.deepcopy(model).double())
    if tower.causal:
        for start in range(-4, 4):
            replay, full = (attribute(tower, encoded, features, start, path=path) for path in ("replay", "full"))
            assert replay.per_layer.dtype == torch.float64
            for i, caption in enumerate(encoded):
                inside = slice(1, len(caption.ids) - 1)
                a, b = replay.per_layer[i, :, inside], full.per_layer[i, :, inside]
                assert (a - b).abs().max() <= FLOAT64 * b.abs().max()


def test_one_pair_and_a_batch_and_shared_captions_agree(tower_case):
    _, model, _, encoded, features = tower_case
    tower = TextTower(model)
    batch = attribute(tower, encoded, features, -3)
    pairs = [(0, 0), (0, 1), (1, 2), (2, 0), (1, 1)]
    shared = attribute(tower, encoded, features[[f for _, f in pairs]], -3, caption_of=[c for c, _ in pairs])
    for i in range(len(encoded)):
        alone = attribute(tower, encoded[i : i + 1], features[i : i + 1], -3).per_layer[0]
        assert_attributions(batch.per_layer[i, :, : alone.shape[1]], alone)
    for number, (c, f) in enumerate(pairs):
        alone = attribute(tower, encoded[c : c + 1], features[f : f + 1], -3).per_layer[0]
        assert_attributions(shared.per_layer[number, :, : alone.shape[1]], alone)


def test_nothing_is_patched_and_no_parameter_gets_a_gradient(tower_case):
    _, model, tokenizer, encoded, features = tower_case
    sdpa, ids = F.scaled_dot_product_attention, tokenizer(CAPTIONS)
    with torch.no_grad():
        before = model.encode_text(ids)
    attribute(TextTower(model), encoded, features, 0)
    assert F.scaled_dot_product_attention is sdpa
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    with torch.no_grad():
        torch.testing.assert_close(model.encode_text(ids), before, rtol=0, atol=COSINE)


def test_low_precision_towers_are_explained_in_fp32(detector, tiny_folder):
    from clip4dm import CLIP4DM

    picture = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    exact = detector.detect([picture], CAPTIONS)
    for precision, (attribution, cosine) in LOW_PRECISION.items():
        low = CLIP4DM.from_pretrained(pretrained=str(tiny_folder), device="cpu", precision=precision)
        features = low.encode_images([picture])
        assert features.dtype == torch.float32
        found = low.detect(features, CAPTIONS)
        for a, b in zip(exact, found, strict=True):
            off = np.abs(a.layer_attributions - b.layer_attributions).max()
            assert b.layer_attributions.dtype == np.float32
            assert 0 < off <= attribution * np.abs(a.layer_attributions).max()
            assert abs(a.cosine - b.cosine) <= cosine


def test_start_layers_out_of_range():
    assert [12 - last_layers(i, 12) for i in (-12, -3, 0, 11)] == [0, 9, 0, 11]
    for wrong in (-13, 12):
        with pytest.raises(ValueError, match="12 layers, so it may be -12 to 11"):
            last_layers(wrong, 12)


def test_a_foreign_text_tower_is_refused(tokenizer):
    class Foreign(torch.nn.Module):
        pass

    with pytest.raises(ModelError, match="not one of open_clip's own transformers"):
        TextTower(Foreign())


def test_a_tower_that_does_something_else_is_refused(tokenizer):
    model = build("clip")
    own = model.encode_text
    model.encode_text = lambda text: own(text).roll(1, -1)
    with pytest.raises(ModelError, match="computes something else than its blocks say"):
        verify_text(TextTower(model), model, tokenizer)


def test_siglip_with_a_sentencepiece_like_tokenizer_from_a_folder(tmp_path):
    """The whole way with a Hugging Face fast tokenizer: words of a tower that reads lower-cased text unpunctuated."""
    from clip4dm import CLIP4DM

    detector = CLIP4DM.from_pretrained(pretrained=str(make_tiny_siglip(tmp_path)), device="cpu")
    assert not detector.model.tower.causal
    picture = np.zeros((40, 40, 3), dtype=np.uint8)
    found = detector.detect([picture], ["Two ZEBRAS, one (hot) dog!", "the cat's_sofa.", "", "a " * 40 + "dog"])
    assert [w.text for w in found[0].words] == ["Two", "ZEBRAS", "one", "(hot)", "dog!"]
    assert all(w.scored for w in found[0].words)
    assert [w.text for w in found[1].words] == ["the", "cat's_sofa"]
    assert found[2].words == ()
    assert found[3].truncated and not found[3].words[-1].scored and found[3].words[0].scored
