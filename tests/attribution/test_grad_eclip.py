"""Grad-ECLIP against a slow computation on open_clip's own encode_text, by hand, and against what its page says of it."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from contract import COSINE, FLOAT64, INNER_PRODUCT, assert_attributions
from open_clip.transformer import TextTransformer
from text_towers import TEXT

from clip4dm.attribution.batch import Batch
from clip4dm.attribution.grad_eclip import attribute_grad_eclip, spatial_weights
from clip4dm.attribution.methods import METHODS
from clip4dm.attribution.plain import attention_gradients
from clip4dm.captions.words import EncodedCaption
from clip4dm.errors import InputError
from clip4dm.scores import TEMPLATE, last_layers
from clip4dm.towers.text import TextTower, shared_tokens

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


def in_dtype(case, dtype):
    """(model, tower, features) of a tower_case."""
    model = copy.deepcopy(case[1]).to(dtype)
    return model, TextTower(model), case[4].to(dtype)


def assert_equal(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Attributions of one caption, float64 to the last digits, fp32 by the contract."""
    assert found.dtype == wanted.dtype and found.shape == wanted.shape and wanted.any()
    if found.dtype == torch.float64:
        assert (found - wanted).abs().max() <= FLOAT64 * wanted.abs().max()
    else:
        assert_attributions(found, wanted, of_largest=INNER_PRODUCT)


def recorded(model, ids, feature):
    """Each layer's q, k, v, mask, attention output and its gradient, and the cosine, of open_clip's own encode_text.

    All (heads, tokens, head width), as they enter and leave the one function that all its attention goes through.
    """
    attention, calls = F.scaled_dot_product_attention, []

    def keep(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, **options):
        assert not dropout_p and not is_causal
        output = attention(q, k, v, attn_mask, **options)
        calls.append((q, k, v, attn_mask, output))
        return output

    def with_gradient(module, arguments):  # else PyTorch takes a fused block, and there is nothing to differentiate
        return arguments[0].detach().requires_grad_(), *arguments[1:]

    hook = getattr(model, "text", model).transformer.register_forward_pre_hook(with_gradient)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "scaled_dot_product_attention", keep)
        cosine = F.normalize(model.encode_text(ids), dim=-1)[0] @ feature
    hook.remove()
    gradients = torch.autograd.grad(cosine, [output for *_, output in calls])
    layers = [(q[0], k[0], v[0], mask, g[0]) for (q, k, v, mask, _), g in zip(calls, gradients, strict=True)]
    return layers, cosine.detach()


def slowly(q, k, v, mask, gradient, row: int) -> torch.Tensor:
    """A layer's attributions, token by token and channel by channel."""
    heads, tokens, width = v.shape
    rows = torch.zeros(tokens, tokens) if mask is None else mask.reshape(-1, tokens, tokens)[0]
    seen = [i for i in range(tokens) if math.isfinite(rows[row, i])]
    cosines = {i: F.cosine_similarity(q[:, row].flatten(), k[:, i].flatten(), dim=0) for i in seen}
    lowest, highest = min(cosines.values()), max(cosines.values())
    found = torch.zeros(tokens, dtype=v.dtype)
    for i in seen:
        for h in range(heads):
            for c in range(width):
                found[i] += gradient[h, row, c] * v[h, i, c] * (cosines[i] - lowest) / (highest - lowest)
    return found


def reads(name: str, ids, tokens: int) -> int:
    """Where a tower's text feature is read, of what its transformer's `tokens` rows are."""
    if name in ("siglip", "coca"):
        return tokens - 1
    return int((ids[0] == 49407).int().argmax())


@DTYPES
def test_it_is_the_slow_computation_on_open_clips_own_encode_text(tower_case, dtype):
    name, _, tokenizer, encoded, _ = tower_case
    model, tower, features = in_dtype(tower_case, dtype)
    batch = Batch.of(tower, encoded, features)
    found = attribute_grad_eclip(tower, batch, 0)
    assert found.per_layer.shape == (3, 4, batch.ids.shape[1])
    for i, caption in enumerate(encoded):
        ids = tokenizer([TEMPLATE + caption.caption])
        layers, cosine = recorded(model, ids, features[i])
        assert len(layers) == 4
        row = reads(name, ids, layers[0][0].shape[1])
        length = len(caption.ids) - tower.causal  # the end token, which is no word's, has 0 in causal towers
        for ours, layer in zip(found.per_layer[i], layers, strict=True):
            assert_equal(ours[:length], slowly(*(None if t is None else t.detach() for t in layer), row)[:length])
            assert not tower.causal or not ours[length:].any()
        torch.testing.assert_close(found.cosine[i], cosine, rtol=0, atol=COSINE)


@DTYPES
def test_later_layers_and_a_shared_template_give_the_same_numbers(tower_case, dtype):
    _, _, _, encoded, _ = tower_case
    _, tower, features = in_dtype(tower_case, dtype)
    batch = Batch.of(tower, encoded, features)
    whole = attribute_grad_eclip(tower, batch, 0)
    assert shared_tokens(encoded) == 4
    for start in range(4):
        for shared in (0, 4) if tower.causal else (0,):
            found = attribute_grad_eclip(tower, batch, start, shared)
            for ours, theirs in zip(found.per_layer, whole.per_layer[:, start:], strict=True):
                assert_equal(ours, theirs)
            torch.testing.assert_close(found.text_features, whole.text_features, rtol=0, atol=COSINE)


def test_it_is_the_papers_gradient_with_one_softened_weight_in_the_place_of_attention(tower_case):
    _, _, _, encoded, _ = tower_case
    _, tower, features = in_dtype(tower_case, torch.float64)
    batch = Batch.of(tower, encoded, features)
    found = attribute_grad_eclip(tower, batch, 0).per_layer
    for i, maps in enumerate(attention_gradients(tower, batch, 0).gradients):
        summed = maps[torch.arange(3), :, batch.row].sum(1)[:, : batch.ids.shape[1]]  # over heads: (P, T)
        words = [torch.tensor([unit >= 0 for unit in caption.unit_of]) for caption in encoded]
        for row, total, word in zip(found[:, i], summed, words, strict=True):
            weights = (row[: len(word)] / total[: len(word)])[word]
            assert (weights > -1e-9).all() and (weights < 1 + 1e-9).all() and weights.max() > 0.05


def test_one_layer_and_one_head_by_hand():
    """Tokens a, b, c, end; the end token's logits for them are log 2 times 1, 0, 1, -1: attention 4, 2, 4, 1 of 11.

    The cosines of its query and their keys are 1, 0, 0.6, -1, so lambda is 1, 0.5, 0.8, 0. Values 11, 16.5, 8.25 along one axis each, and -11 for
    the end token, are read as (3, 3, 3, 0), to which the residual adds (-1, 1, -1, 1): (2, 4, 2, 1), of length 5.
    The image is the first axis: s = 0.4, ds/do = (axis - s * unit) / 5 = (0.168, -0.064, -0.032, -0.016).
    """
    text = TextTransformer(vocab_size=4, context_length=4, width=4, heads=1, layers=1, output_dim=4).double()
    inputs = torch.tensor([[1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1], [-1, 1, -1, 1]]).double()
    # Of a, b, c; the end token's are those of a, negative. Logits carry a factor of 1/2, for a head of width 4.
    q = torch.tensor([[-2 * math.log(2), 0, 0, 0], [0] * 4, [0] * 4], dtype=torch.float64)
    k = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [1, 4 / 3, 0, 0]], dtype=torch.float64)
    v = torch.tensor([[11, 0, 0, 0], [0, 16.5, 0, 0], [0, 0, 8.25, 0]], dtype=torch.float64)
    block = text.transformer.resblocks[0]
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        block.ln_1.weight.fill_(1)
        block.ln_1.eps = 0.0
        block.attn.in_proj_weight.copy_(torch.cat([part.T @ inputs[:3] / 4 for part in (q, k, v)]))
        block.attn.out_proj.weight.copy_(torch.eye(4))
        text.token_embedding.weight.copy_(inputs)
        text.positional_embedding.zero_()
        text.text_projection.copy_(torch.eye(4))
    text.ln_final = torch.nn.Identity()
    tower = TextTower(text.requires_grad_(False))
    caption = EncodedCaption("a b c", (0, 1, 2, 3), (0, 1, 2, -1), units=(), truncated=False, padded=False)
    image = torch.eye(1, 4).double()
    found = attribute_grad_eclip(tower, Batch.of(tower, [caption], image), 0)
    wanted = [1 * 0.168 * 11, 0.5 * -0.064 * 16.5, 0.8 * -0.032 * 8.25, 0]
    assert_equal(found.per_layer[0], torch.tensor([wanted], dtype=torch.float64))
    assert abs(found.cosine.item() - 0.4) <= FLOAT64


def test_weights_of_tokens_that_are_equally_similar_or_not_seen():
    q, k = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[[1.0, 2.0], [2.0, 4.0], [-1.0, 0.0]]]])
    weights = spatial_weights(q, k, torch.tensor([[True, False, False]]))
    assert weights.tolist() == [[0, 0, 0]]
    assert spatial_weights(q, k, torch.tensor([[True, False, True]])).tolist() == [[1, 0, 0]]


def test_its_usual_layers_are_the_authors_eight_or_as_many_as_there_are(tower_case):
    _, _, _, encoded, _ = tower_case
    _, tower, features = in_dtype(tower_case, torch.float64)
    start = METHODS["grad_eclip"].start(None, 12)
    assert [last_layers(start, layers) for layers in (1, 4, 8, 12, 24)] == [1, 4, 8, 8, 8]
    with pytest.raises(InputError, match="out of range"):
        last_layers(-7, 4)
    found = METHODS["grad_eclip"].run(tower, encoded, features, range(3), start)
    assert found.per_layer.shape[1] == tower.layers == TEXT["layers"]
    last = METHODS["grad_eclip"].run(tower, encoded, features, range(3), -1)
    for ours, theirs in zip(last.per_layer, found.per_layer[:, -1:], strict=True):
        assert_equal(ours, theirs)


def test_signs_are_kept(tower_case):
    _, model, _, encoded, features = tower_case
    found = METHODS["grad_eclip"].run(TextTower(model), encoded, features, range(3), -8).per_layer
    assert (found < 0).any() and (found > 0).any()
