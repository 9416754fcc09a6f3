"""Methods that read a caption with only some of its words: by hand, by captum, by all orders and all masks."""

from __future__ import annotations

import copy
from itertools import combinations, permutations

import pytest
import torch
import torch.nn.functional as F
from contract import COSINE, FLOAT64

from clip4dm.attribution import masking
from clip4dm.attribution.batch import Batch
from clip4dm.attribution.coalitions import attribute_coalitions, encode_all, keep_units, units_of
from clip4dm.attribution.ensemble import attribute_ensemble
from clip4dm.attribution.gradient_value import attribute_gradient_value
from clip4dm.attribution.masking import MASKS, random_masks
from clip4dm.attribution.methods import METHODS, get_method
from clip4dm.attribution.occlusion import left_out
from clip4dm.attribution.replacement import replaced
from clip4dm.attribution.shapley import ORDERS, random_orders
from clip4dm.captions.words import EncodedCaption, encode_caption
from clip4dm.errors import InputError
from clip4dm.scores import TEMPLATE
from clip4dm.towers.text import TextTower

PLANS = {"occlusion": left_out, "replacement": replaced, "masking": random_masks, "shapley": random_orders}
WITH_MARGIN = sorted(name for name, method in METHODS.items() if method.margin is not None)


def caption_of_ids(ids, unit_of, padded=False):
    return EncodedCaption("", ids, unit_of, (), truncated=False, padded=padded, neutral=(3,))


@pytest.fixture
def case(tower_case):
    """(tower, tokenizer, captions, features), float64."""
    _, model, tokenizer, encoded, features = tower_case
    return TextTower(copy.deepcopy(model).double()), tokenizer, encoded, features.double()


def cosines(tower, tokenizer, words, feature) -> dict[frozenset[int], float]:
    """The cosine of each subset of the words, in their order, each tokenised from its own string."""
    subsets = [frozenset(kept) for n in range(len(words) + 1) for kept in combinations(range(len(words)), n)]
    texts = [" ".join(words[i] for i in sorted(kept)) for kept in subsets]
    with torch.no_grad():
        read = tower.encode([encode_caption(tokenizer, text, TEMPLATE) for text in texts])
    return dict(zip(subsets, (read @ feature).tolist(), strict=True))


WORDS = ["a", "zebra", "on", "grass"]


def of_words(tower, tokenizer, feature, plan, margin=0.0):
    """One number a word of WORDS."""
    caption = encode_caption(tokenizer, " ".join(WORDS), TEMPLATE)
    found = attribute_coalitions(tower, [caption], Batch.of(tower, [caption], feature[None]), plan, margin)
    row = found.per_layer[0, 0]
    return [row[[t for t, unit in enumerate(caption.unit_of) if unit == n]].mean().item() for n in range(len(WORDS))]


def test_all_orders_give_the_shapley_value(case):
    """Orders are drawn; the more, the nearer to the textbook's value, of all 24 orders of four words."""
    tower, tokenizer, _, features = case
    s = cosines(tower, tokenizer, WORDS, features[0])
    everyone = list(permutations(range(4)))
    wanted = [
        sum(s[frozenset(p[: p.index(j) + 1])] - s[frozenset(p[: p.index(j)])] for p in everyone) / len(everyone)
        for j in range(4)
    ]
    found = of_words(tower, tokenizer, features[0], lambda caption: random_orders(caption, 4000))
    spread = max(s.values()) - min(s.values())
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) < 0.03 * spread  # 4,000 orders: 1 in 63 at most


def test_shapley_values_are_captums(case):
    attr = pytest.importorskip("captum.attr", reason="the oracle is captum's ShapleyValues")
    tower, tokenizer, _, features = case
    s = cosines(tower, tokenizer, WORDS[:2], features[0])

    def cosine(kept):  # (1, 2) of ones and zeros
        return torch.tensor([s[frozenset(kept[0].nonzero().flatten().tolist())]], dtype=torch.float64)

    wanted = attr.ShapleyValues(cosine).attribute(torch.ones(1, 2))[0]
    caption = encode_caption(tokenizer, " ".join(WORDS[:2]), TEMPLATE)
    found = attribute_coalitions(tower, [caption], Batch.of(tower, [caption], features[:1]), random_orders).per_layer
    own = torch.stack(
        [found[0, 0, [t for t, unit in enumerate(caption.unit_of) if unit == n]].mean() for n in range(2)]
    )
    assert (own - wanted).abs().max() <= 1e-6  # captum sums in float32; of two words an order and its reverse are all


@pytest.mark.parametrize("orders", [2, ORDERS])
def test_shapley_values_sum_to_what_the_words_change(case, orders):
    tower, _, encoded, features = case
    batch = Batch.of(tower, encoded, features)
    found = attribute_coalitions(tower, encoded, batch, lambda caption: random_orders(caption, orders))
    bare = tower.encode([keep_units(caption, ()) for caption in encoded])
    for i, caption in enumerate(encoded):
        row = found.per_layer[i, 0]
        total = sum(
            row[[u == unit for u in caption.unit_of] + [False] * (len(row) - len(caption.unit_of))].mean()
            for unit in units_of(caption)
        )
        assert abs(total - (found.cosine[i] - bare[i] @ features[i])) <= FLOAT64


def test_masks_are_the_mean_with_the_word_less_the_mean_without(case):
    tower, tokenizer, _, features = case
    s = cosines(tower, tokenizer, WORDS, features[0])
    caption = encode_caption(tokenizer, " ".join(WORDS), TEMPLATE)
    masks = random_masks(caption).coalitions[1:]
    assert len(masks) == MASKS and len(set(masks)) == 16  # of four words all there are
    wanted = []
    for j in range(4):
        kept, lost = ([s[m] for m in masks if (j in m) == with_it] for with_it in (True, False))
        assert len(kept) == len(lost) == MASKS // 2
        wanted.append(sum(kept) / len(kept) - sum(lost) / len(lost))
    found = of_words(tower, tokenizer, features[0], random_masks)
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= FLOAT64


def test_the_margin_is_asked_of_the_direction_in_which_the_word_moves_the_feature(case):
    tower, tokenizer, _, features = case
    read = {
        lost: tower.encode([encode_caption(tokenizer, " ".join(w for w in WORDS if w != lost), TEMPLATE)])[0]
        for lost in ("", *WORDS)
    }
    found = of_words(tower, tokenizer, features[0], left_out, margin=0.25)
    for word, value in zip(WORDS, found, strict=True):
        moved = read[""] - read[word]
        assert abs(value - (moved @ features[0] - 0.25 * moved.norm()).item()) <= FLOAT64
    # A picture in the very direction of the word has cosine 1 with it: of a margin of 1 nothing is left.
    own = F.normalize(read[""] - read["zebra"], dim=-1)
    assert abs(of_words(tower, tokenizer, own, left_out, margin=1.0)[1]) <= FLOAT64


@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_the_ensemble_is_the_sum_of_its_parts(case, margin):
    tower, _, encoded, features = case
    batch = Batch.of(tower, encoded, features)
    found = attribute_ensemble(tower, encoded, batch, margin).per_layer[:, 0]
    added = attribute_coalitions(tower, encoded, batch, random_orders, margin).per_layer[:, 0]
    values = attribute_gradient_value(tower, batch, 0).per_layer.mean(1)  # of layers; heads are averaged in it
    heads = tower.text.transformer.resblocks[0].attn.num_heads
    for i, caption in enumerate(encoded):
        for token, unit in enumerate(caption.unit_of):
            wanted = added[i, token] + values[i, token] * tower.layers * heads if unit >= 0 else 0
            assert abs(found[i, token] - wanted) <= FLOAT64


def test_kept_units_by_hand():
    plain = caption_of_ids((9, 4, 5, 6, 7, 8), (-1, -1, 0, 0, 2, -1))
    assert keep_units(plain, {2}) == caption_of_ids((9, 4, 7, 8), (-1, -1, 2, -1))
    assert keep_units(plain, {0}) == caption_of_ids((9, 4, 5, 6, 8), (-1, -1, 0, 0, -1))
    assert keep_units(plain, {0, 2}) == plain
    padded = caption_of_ids((4, 5, 6, 1, 0), (0, 0, 1, -1, -1), padded=True)
    assert keep_units(padded, {1}) == caption_of_ids((6, 1, 0, 0, 0), (1, -1, -1, -1, -1), padded=True)
    assert keep_units(plain, {2}, (1, 2)) == caption_of_ids((9, 4, 1, 2, 7, 8), (-1, -1, 0, 0, 2, -1))
    assert keep_units(plain, {0}, (1, 2), 6) == caption_of_ids((9, 4, 5, 6, 1, 8), (-1, -1, 0, 0, 2, -1))
    assert keep_units(padded, {0}, (7, 7, 7)) == caption_of_ids((4, 5, 7, 7, 0), (0, 0, 1, 1, -1), padded=True)
    assert keep_units(padded, {0}) == caption_of_ids((4, 5, 1, 0, 0), (0, 0, -1, -1, -1), padded=True)


@pytest.mark.parametrize("name", PLANS)
def test_plans_of_captions_without_words_and_of_one(name):
    nothing = PLANS[name](caption_of_ids((9, 4, 8), (-1, -1, -1)))
    assert nothing.units == () and nothing.weights.shape == (0, len(nothing.coalitions))
    one = PLANS[name](caption_of_ids((9, 4, 8), (-1, 0, -1)))
    worth = dict.fromkeys([frozenset(), frozenset({0})], 0.0)
    for kept, weight in zip(one.coalitions, one.weights[0].tolist(), strict=True):
        worth[kept] += weight
    assert worth == pytest.approx({frozenset({0}): 1, frozenset(): -1})


@pytest.mark.parametrize("name", ["masking", "shapley"])
def test_what_is_drawn_is_the_captions_own(name):
    """The same whatever was drawn before, and another of another caption."""
    first = caption_of_ids((9, 4, 5, 6, 7, 8), (-1, 0, 1, 2, 3, -1))
    other = caption_of_ids((9, 4, 5, 6, 3, 8), (-1, 0, 1, 2, 3, -1))
    plans = [PLANS[name](caption) for caption in (first, other, first)]
    assert plans[0].coalitions == plans[2].coalitions != plans[1].coalitions
    assert masking.MASKS == 100 and ORDERS == 8


def test_margins_are_of_methods_that_have_one():
    assert WITH_MARGIN == ["ensemble", "masking", "occlusion", "replacement", "shapley"]
    assert get_method("occlusion", 0.25).margin == 0.25 and METHODS["occlusion"].margin == 0.0
    with pytest.raises(InputError, match="margin 0.2 means nothing to the method clip4dm; these have one: occlusion"):
        get_method("clip4dm", 0.2)
    for wrong in (-0.1, 1.5, float("nan"), "0.2"):
        with pytest.raises(InputError, match="it must be a number from 0 to 1"):
            get_method("shapley", wrong)


def test_captions_that_pictures_share_are_read_once(case):
    tower, _, encoded, features = case
    read, encode = [], tower.encode

    def counted(captions, **named):
        read.extend(captions)
        return encode(captions, **named)

    tower.encode = counted
    attribute_coalitions(tower, encoded[:1], Batch.of(tower, encoded[:1], features, [0, 0, 0]), left_out)
    assert len(read) == len(units_of(encoded[0])) + 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_towers_are_read_in_fp32_with_their_rounded_weights(tower_case, dtype):
    """Differences of bf16 features would be of rounding. The reference is the rounded model itself, made fp32."""
    _, model, _, encoded, _ = tower_case
    low = TextTower(copy.deepcopy(model).to(dtype))
    reference = TextTower(copy.deepcopy(low.text).float())
    embed = low.embed  # the sum of token and position is rounded too
    reference.embed = lambda ids: tuple(part if part is None else part.float() for part in embed(ids))
    wanted = reference.encode(encoded)
    assert (encode_all(low, encoded) - wanted).abs().max() <= COSINE
    assert (low.encode(encoded) - wanted).abs().max() > 100 * COSINE  # as it would be without
