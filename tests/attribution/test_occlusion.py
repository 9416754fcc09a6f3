"""Words left out of the caption, or a neutral word in their place: against open_clip's own reading of another string."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from contract import COSINE, FLOAT64
from text_towers import CAPTIONS, in_dtype, make_tiny_siglip

from clip4dm.attribution.batch import Batch
from clip4dm.attribution.coalitions import attribute_coalitions
from clip4dm.attribution.occlusion import left_out
from clip4dm.attribution.replacement import replaced
from clip4dm.captions.words import NEUTRAL, EncodedCaption, encode_caption, neutral_ids
from clip4dm.errors import InputError
from clip4dm.scores import TEMPLATE
from clip4dm.towers.text import TextTower

OCCLUSION = 2 * COSINE  # the difference of two cosines


def lost_words(model, tokenizer, caption: EncodedCaption, feature, instead: str = "") -> dict[int, float]:
    """For each unit with tokens: the cosine by open_clip's encode_text, less that with the unit cut out of the string.

    instead: what is written into the string in its place.
    """
    texts = {-1: caption.caption}
    for number, unit in enumerate(caption.units):
        if unit.scored:
            texts[number] = f"{caption.caption[: unit.start]} {instead} {caption.caption[unit.end :]}"
    with torch.no_grad():
        features = model.encode_text(tokenizer([TEMPLATE + text for text in texts.values()]))
    cosines = dict(zip(texts, (F.normalize(features, dim=-1) @ feature).tolist(), strict=True))
    return {number: cosines[-1] - cosine for number, cosine in cosines.items() if number >= 0}


def assert_lost(row, caption: EncodedCaption, wanted: dict[int, float], allowed: float) -> None:
    """All tokens of a unit carry the unit's value, all others 0. row: (T,)."""
    for value, unit in zip(row.tolist(), caption.unit_of, strict=False):
        assert value == 0 if unit < 0 else abs(value - wanted[unit]) <= allowed


@pytest.mark.parametrize("instead", ["", "something", "xyzzy"])  # nothing, a token, two tokens
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, FLOAT64), (torch.float32, OCCLUSION)])
def test_occlusion_is_what_the_cosine_loses_when_the_string_is_without_the_word(tower_case, dtype, allowed, instead):
    _, _, tokenizer, _, _ = tower_case
    model, tower, features = in_dtype(tower_case, dtype)
    captions = [*CAPTIONS, "zebra", "", "!", "a dog and a dog", "Snowboarders' unbelievably-well-built half-pipe"]
    neutral = neutral_ids(tokenizer, instead)
    assert len(neutral) == ["", "something", "xyzzy"].index(instead)
    encoded = [encode_caption(tokenizer, caption, TEMPLATE, neutral) for caption in captions]
    assert max(encoded[-1].unit_of.count(unit) for unit in range(3)) > 3  # words of several tokens
    batch = Batch.of(tower, encoded, features[:1].expand(len(captions), -1))
    found = attribute_coalitions(tower, encoded, batch, replaced if instead else left_out)
    assert found.per_layer.shape == (len(captions), 1, batch.ids.shape[1])
    for caption, row in zip(encoded, found.per_layer[:, 0], strict=True):
        wanted = lost_words(model, tokenizer, caption, features[0], instead)
        assert wanted.keys() == {unit for unit in caption.unit_of if unit >= 0}
        assert_lost(row, caption, wanted, allowed)
    assert found.per_layer[3].any() and not found.per_layer[4].any()


def test_occlusion_of_a_truncated_caption_leaves_beyond_the_context_what_lay_there(tower_case):
    _, _, tokenizer, _, _ = tower_case
    model, tower, features = in_dtype(tower_case, torch.float64)
    caption = encode_caption(tokenizer, " ".join(f"dog {i}" for i in range(99)), TEMPLATE)
    assert caption.truncated and len(caption.ids) == tokenizer.context_length
    found = attribute_coalitions(tower, [caption], Batch.of(tower, [caption], features[:1]), left_out)
    fits = [unit for unit in caption.units if unit.scored]
    shorter = encode_caption(tokenizer, caption.caption[: fits[-1].end], TEMPLATE)
    wanted = lost_words(model, tokenizer, shorter, features[0])
    assert_lost(found.per_layer[0, 0], caption, wanted, FLOAT64)


def test_a_neutral_word_pushes_beyond_the_context_what_no_longer_fits(tower_case):
    """A full caption of words of one token, and a neutral word of two: the last word falls away, as when tokenised."""
    _, _, tokenizer, _, _ = tower_case
    model, tower, features = in_dtype(tower_case, torch.float64)
    words = ["dog"] * (tower.context - len(encode_caption(tokenizer, "", TEMPLATE).ids))
    caption = encode_caption(tokenizer, " ".join(words), TEMPLATE, neutral_ids(tokenizer, "xyzzy"))
    assert not caption.truncated and len(caption.ids) == tower.context == tokenizer.context_length
    found = attribute_coalitions(tower, [caption], Batch.of(tower, [caption], features[:1]), replaced)
    assert_lost(found.per_layer[0, 0], caption, lost_words(model, tokenizer, caption, features[0], "xyzzy"), FLOAT64)


def test_a_caption_without_a_neutral_word_is_refused(tower_case):
    _, model, tokenizer, _, features = tower_case
    tower, caption = TextTower(model), encode_caption(tokenizer, "a dog", TEMPLATE)
    with pytest.raises(InputError, match="'a dog' was encoded without a neutral word; encode it with"):
        attribute_coalitions(tower, [caption], Batch.of(tower, [caption], features[:1]), replaced)


@pytest.fixture(scope="module")
def padded(tmp_path_factory):
    """A SigLIP whose tokenizer fills the context."""
    from clip4dm import CLIP4DM

    return CLIP4DM.from_pretrained(pretrained=str(make_tiny_siglip(tmp_path_factory.mktemp("siglip"))), device="cpu")


@pytest.mark.parametrize("instead", ["", NEUTRAL])
def test_occlusion_in_a_tower_whose_tokenizer_pads(padded, instead):
    model, tower, tokenizer = padded.model.model, padded.model.tower, padded.model.tokenizer
    torch.manual_seed(3)
    features = F.normalize(torch.randn(3, 24), dim=-1)
    encoded = padded.encode_captions(["Two ZEBRAS, one (hot) dog!", "a sofa", "cat"])
    assert all(caption.padded and not caption.truncated for caption in encoded)
    plan = replaced if instead else left_out
    found = attribute_coalitions(tower, encoded, Batch.of(tower, encoded, features), plan)
    for i, caption in enumerate(encoded):
        wanted = lost_words(model, tokenizer, caption, features[i], instead)
        assert wanted.keys() == {unit for unit in caption.unit_of if unit >= 0}
        assert_lost(found.per_layer[i, 0], caption, wanted, OCCLUSION)
