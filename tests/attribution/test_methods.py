"""The methods beside the paper's, each against an oracle outside its page: autograd, captum, open_clip's own forward."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from contract import ATTRIBUTION, COSINE, FLOAT64, INNER_PRODUCT, assert_attributions
from text_towers import CAPTIONS, TOWERS, in_dtype

from clip4dm.attribution.batch import Attribution, Batch
from clip4dm.attribution.coalitions import attribute_coalitions
from clip4dm.attribution.embeddings import STEPS, attribute_gradient_input, attribute_integrated
from clip4dm.attribution.gradient_value import attribute_gradient_value
from clip4dm.attribution.methods import METHODS
from clip4dm.attribution.occlusion import left_out
from clip4dm.attribution.plain import attention_gradients
from clip4dm.captions.words import EncodedCaption
from clip4dm.errors import InputError
from clip4dm.scores import TEMPLATE, relevance
from clip4dm.towers.text import TextTower, shared_tokens

PAIRS = [(0, 0), (0, 1), (1, 2), (2, 0), (1, 1)]  # (caption, image)
OF_MAPS = ("clip4dm", "gae")  # sums of attention times gradient; the others are inner products or differences
OF_COSINES = ("occlusion", "replacement", "masking", "shapley", "ensemble")  # differences of them, absolute
OCCLUSION = 2 * COSINE  # the difference of two cosines, or a mean of such


def assert_equal(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Attributions of one caption, float64 to the last digits, fp32 by the contract."""
    assert found.dtype == wanted.dtype
    if found.dtype == torch.float64:
        assert found.shape == wanted.shape and (found - wanted).abs().max() <= FLOAT64 * wanted.abs().max()
    else:
        assert_attributions(found, wanted, of_largest=INNER_PRODUCT)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradient_value_is_the_papers_r_summed_over_all_rows(tower_case, dtype):
    name, _, _, encoded, _ = tower_case
    _, tower, features = in_dtype(tower_case, dtype)
    batch = Batch.of(tower, encoded, features)
    maps = attention_gradients(tower, batch, 0)
    sums = [relevance(a, g).sum(-2) for a, g in zip(maps.attention, maps.gradients, strict=True)]
    wanted = torch.stack(sums, dim=1)[..., : batch.ids.shape[1]]  # (P, layers, T)
    assert shared_tokens(encoded) == 4
    for start in range(4):
        for shared in (0, 4) if tower.causal else (0,):
            found = attribute_gradient_value(tower, batch, start, shared)
            assert not found.per_layer[..., :shared].any()
            for ours, theirs in zip(found.per_layer[..., shared:], wanted[:, start:, shared:], strict=True):
                assert_equal(ours, theirs)
            torch.testing.assert_close(found.cosine, maps.cosine, rtol=0, atol=COSINE)


def entering(model, ids, feature):
    """(x, ds/dx, s): what enters open_clip's text transformer (tokens, width), from its own encode_text."""
    kept = []

    def keep(module, arguments):
        kept.append(arguments[0].detach().requires_grad_())
        return kept[-1], *arguments[1:]

    hook = getattr(model, "text", model).transformer.register_forward_pre_hook(keep)
    try:
        cosine = F.normalize(model.encode_text(ids), dim=-1)[0] @ feature
    finally:
        hook.remove()
    (gradient,) = torch.autograd.grad(cosine, kept)
    return kept[0][0].detach(), gradient[0], cosine.detach()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradient_input_is_autograds_on_what_enters_open_clips_transformer(tower_case, dtype):
    _, _, tokenizer, encoded, _ = tower_case
    model, tower, features = in_dtype(tower_case, dtype)
    found = attribute_gradient_input(tower, Batch.of(tower, encoded, features))
    for i, caption in enumerate(CAPTIONS):
        x, gradient, cosine = entering(model, tokenizer([TEMPLATE + caption]), features[i])
        length = len(encoded[i].ids)
        assert_equal(found.per_layer[i, 0, :length], (x * gradient).sum(-1)[:length])
        torch.testing.assert_close(found.cosine[i], cosine, rtol=0, atol=COSINE)


def test_integrated_gradients_are_captums(tower_case):
    attr = pytest.importorskip("captum.attr", reason="the oracle is captum's LayerIntegratedGradients")
    _, _, tokenizer, encoded, _ = tower_case
    model, tower, features = in_dtype(tower_case, torch.float64)
    found = attribute_integrated(tower, encoded, Batch.of(tower, encoded, features), STEPS)
    for i, caption in enumerate(encoded):
        ids = tokenizer([TEMPLATE + caption.caption])
        words = torch.tensor([unit >= 0 for unit in caption.unit_of])
        baseline = ids.clone()
        baseline[0, : len(words)][words] = caption.ids[-1]

        def cosine(ids, feature=features[i]):
            return F.normalize(model.encode_text(ids), dim=-1) @ feature

        theirs = attr.LayerIntegratedGradients(cosine, getattr(model, "text", model).token_embedding)
        wanted = theirs.attribute(ids, baseline, method="riemann_middle", n_steps=STEPS)[0].sum(-1)
        assert_equal(found.per_layer[i, 0, : len(words)], wanted[: len(words)])
        assert not found.per_layer[i, 0, : len(words)][~words].any() and words.any()


def unworded(model, tokenizer, caption: EncodedCaption):
    """open_clip's unit feature of the caption with its last token's embedding for each of its words'."""
    embedding = getattr(model, "text", model).token_embedding
    words = [i for i, unit in enumerate(caption.unit_of) if unit >= 0]

    def put(module, arguments, found):
        found = found.clone()
        found[0, words] = module.weight[caption.ids[-1]]
        return found

    hook = embedding.register_forward_hook(put)
    try:
        return F.normalize(model.encode_text(tokenizer([TEMPLATE + caption.caption])), dim=-1)[0]
    finally:
        hook.remove()


def test_integrated_gradients_sum_to_what_the_words_change_the_better_the_more_steps(tower_case):
    _, _, tokenizer, encoded, _ = tower_case
    model, tower, features = in_dtype(tower_case, torch.float64)
    batch = Batch.of(tower, encoded, features)
    missed = []
    for steps in (8, 32, 128):
        found = attribute_integrated(tower, encoded, batch, steps)
        with torch.no_grad():
            bare = torch.stack([unworded(model, tokenizer, caption) for caption in encoded])
        changed = found.cosine - (bare * features).sum(-1)
        assert (found.completeness - (found.per_layer.sum((1, 2)) - changed)).abs().max() <= FLOAT64
        missed.append(found.completeness.abs().max().item())
    assert missed[0] > 4 * missed[1] > 16 * missed[2]  # midpoints: a sixteenth each time, where the path is smooth
    assert missed[2] < 1e-3 * found.per_layer.abs().sum(-1).min()


def test_integrated_gradients_need_a_step(tower_case):
    _, model, _, encoded, features = tower_case
    tower = TextTower(model)
    with pytest.raises(InputError, match="0 steps .* at least one is needed"):
        attribute_integrated(tower, encoded, Batch.of(tower, encoded, features), steps=0)


def test_a_word_that_helps_is_positive(tower_case):
    """Of an image that is the caption's very feature, no word can be left out without loss."""
    _, _, _, encoded, _ = tower_case
    _, tower, _ = in_dtype(tower_case, torch.float64)
    batch = Batch.of(tower, encoded, tower.encode(encoded))
    words = torch.zeros(len(encoded), batch.ids.shape[1], dtype=torch.bool)
    for row, caption in zip(words, encoded, strict=True):
        row[: len(caption.ids)] = torch.tensor([unit >= 0 for unit in caption.unit_of])
    assert (attribute_coalitions(tower, encoded, batch, left_out).per_layer[:, 0][words] > 0).all()
    assert (attribute_integrated(tower, encoded, batch, 64).per_layer.sum((1, 2)) > 0).all()


@pytest.mark.parametrize("name", METHODS)
def test_one_pair_and_a_batch_and_shared_captions_agree(tower_case, name):
    _, model, _, encoded, features = tower_case
    tower, method = TextTower(model), METHODS[name]

    def run(captions, images, caption_of) -> Attribution:
        return method.attribute(tower, captions, images, caption_of, method.start(None, tower.layers))

    batch = run(encoded, features, range(len(encoded)))
    shared = run(encoded, features[[image for _, image in PAIRS]], [caption for caption, _ in PAIRS])
    assert shared.per_layer.shape[:2] == (len(PAIRS), {"clip4dm": 4, "gradient_value": 4, "grad_eclip": 4}.get(name, 1))
    for found, pairs in ((batch, [(i, i) for i in range(len(encoded))]), (shared, PAIRS)):
        for number, (caption, image) in enumerate(pairs):
            alone = run([encoded[caption]], features[[image]], [0])
            columns = [i for i, unit in enumerate(encoded[caption].unit_of) if unit >= 0]
            ours, theirs = found.per_layer[number][:, columns], alone.per_layer[0][:, columns]
            assert theirs.any()
            if name in OF_COSINES:
                torch.testing.assert_close(ours, theirs, rtol=0, atol=OCCLUSION)
            else:
                assert_attributions(ours, theirs, of_largest=ATTRIBUTION if name in OF_MAPS else INNER_PRODUCT)
            torch.testing.assert_close(found.cosine[number], alone.cosine[0], rtol=0, atol=COSINE)
            own = tower.encode([encoded[caption]])[0]
            torch.testing.assert_close(found.text_features[number], own, rtol=0, atol=COSINE)
            assert abs(found.cosine[number] - own @ features[image]) <= COSINE


@pytest.mark.parametrize("name", METHODS)
def test_no_method_leaves_a_trace(tower_case, name):
    _, model, tokenizer, encoded, features = tower_case
    before = copy.deepcopy(model.state_dict())
    found = METHODS[name].attribute(TextTower(model), encoded, features, range(3), METHODS[name].start(None, 4))
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(t.requires_grad for t in (found.per_layer, found.text_features, found.cosine))


@pytest.mark.parametrize("name", METHODS)
def test_features_that_do_not_fit_the_pairs_are_refused(tower_case, name):
    _, model, _, encoded, features = tower_case
    with pytest.raises(InputError, match=r"expected 3 image features \(pairs, features\), got \(2, 24\)"):
        METHODS[name].attribute(TextTower(model), encoded, features[:2], range(3), -1)


def test_every_kind_of_tower_is_tried():
    assert {"clip", "siglip", "coca", "bidirectional"} <= TOWERS.keys() and len(METHODS) >= 9
