"""The place of a word and the gradient there, against finite differences of open_clip's own cosine; what is kept."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from text_towers import TOWERS, build, make_tiny_siglip

from clip4dm.captions.windows import encode_long_caption
from clip4dm.captions.words import encode_caption
from clip4dm.errors import InputError
from clip4dm.suggestion.shortlist import _Gradients, place_of, shortlist, tokens_of
from clip4dm.towers.text import TextTower

CAPTION = "an unbelievably red dog's sofa"
WORDS = ["cat", "owl", "hot dog", "zebra", "antidisestablishmentarianism", "tea", "bus", "\u0301", "qx" * 250, "horse"]


@pytest.fixture(scope="module")
def feature():
    return F.normalize(torch.randn(24, generator=torch.Generator().manual_seed(5), dtype=torch.float64), dim=-1)


@pytest.fixture(scope="module", params=TOWERS)
def kind(request, tokenizer):
    mine = copy.copy(tokenizer)
    mine.context_length = TOWERS[request.param].get("context_length", 77)
    return build(request.param).double(), mine


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    from clip4dm import CLIP4DM

    return CLIP4DM.from_pretrained(
        pretrained=str(make_tiny_siglip(tmp_path_factory.mktemp("siglip"))), device="cpu"
    ).model


def place_in(tokenizer, caption: str, word: str):
    start = caption.index(word)
    return place_of(encode_caption(tokenizer, caption, "A photo depicts "), start, start + len(word))


def assert_gradient(model, tokenizer, place, feature) -> None:
    """Central differences along random directions, by open_clip's encode_text of a spare token that is moved."""
    tower, token, spare = TextTower(model), place.part.ids[place.token], 100
    assert spare not in place.part.ids and spare != token
    gradient = _Gradients(tower, feature, place).at([token])
    context = tokenizer.context_length
    ids = torch.zeros(1, context, dtype=torch.long)
    ids[0, : len(place.part.ids)] = torch.tensor(place.part.ids)
    ids[0, place.token] = spare
    embedding = (model.text if hasattr(model, "text") else model).token_embedding.weight
    kept, random = embedding[spare].clone(), torch.Generator().manual_seed(1)

    def cosine(row) -> float:
        with torch.no_grad():
            embedding[spare] = row
            found = F.normalize(model.encode_text(ids), dim=-1)[0] @ feature
            embedding[spare] = kept
        return found.item()

    for _ in range(3):
        way, step = F.normalize(torch.randn(gradient.shape, generator=random, dtype=torch.float64), dim=-1), 1e-5
        slope = (cosine(embedding[token] + step * way) - cosine(embedding[token] - step * way)) / (2 * step)
        assert abs(slope - (gradient @ way).item()) <= 1e-6 * max(1.0, gradient.norm().item())
        assert abs(slope) > 1e-5


@pytest.mark.parametrize("word", ["red", "unbelievably", "dog's", "sofa"])
def test_the_gradient_is_the_slope_of_the_cosine(kind, feature, word):
    model, tokenizer = kind
    assert_gradient(model, tokenizer, place_in(tokenizer, CAPTION, word), feature)


def test_the_gradient_in_a_tower_whose_tokenizer_pads(siglip, feature):
    model = copy.deepcopy(siglip.model).double()
    place = place_in(siglip.tokenizer, "two zebras, one calf", "zebras")
    assert len(place.part.ids) == 32
    assert_gradient(model, siglip.tokenizer, place, feature)


def test_the_mean_of_gradients_is_over_the_tokens_that_stand_there(kind, feature):
    model, tokenizer = kind
    tower, place = TextTower(model), place_in(tokenizer, CAPTION, "red")
    tokens = [place.part.ids[place.token], 320, 1929]
    alone = [_Gradients(tower, feature, place).at([token]) for token in tokens]
    kept = _Gradients(tower, feature, place)
    kept.at(tokens[1:2])
    assert torch.allclose(kept.at(tokens), torch.stack(alone).mean(0), rtol=0, atol=1e-12)
    for token, gradient in zip(tokens, alone, strict=True):
        ids = tuple(token if at == place.token else own for at, own in enumerate(place.part.ids))
        there = place._replace(part=replace(place.part, ids=ids))
        assert torch.allclose(_Gradients(tower, feature, there).at([token]), gradient, rtol=0, atol=1e-12)


def test_one_token_stands_for_a_word_of_several(tokenizer):
    caption = encode_caption(tokenizer, CAPTION, "A photo depicts ")
    for number, unit in enumerate(caption.units):
        part, at = place_of(caption, unit.start, unit.end)
        mine = [i for i, owner in enumerate(caption.unit_of) if owner == number]
        assert part.ids == (*caption.ids[: mine[0] + 1], *caption.ids[mine[-1] + 1 :]) and at == mine[0]
        assert [owner for owner in part.unit_of if owner == number] == [number]
    assert max(caption.unit_of.count(number) for number in range(5)) > 1


def test_a_padded_caption_stays_as_long(siglip):
    caption = encode_caption(siglip.tokenizer, "two gnus, one calf")
    unit = next(unit for unit in caption.units if unit.text == "gnus")
    part, at = place_of(caption, unit.start, unit.end)
    mine = [i for i, owner in enumerate(caption.unit_of) if caption.units[owner] is unit and owner >= 0]
    assert len(mine) > 1 and len(part.ids) == len(part.unit_of) == len(caption.ids)
    fewer = len(caption.ids) - len(mine) + 1
    assert part.ids[:fewer] == (*caption.ids[: mine[0] + 1], *caption.ids[mine[-1] + 1 :]) and at == mine[0]
    assert set(part.ids[fewer:]) == {caption.ids[-1]}


def test_in_a_long_caption_the_place_is_in_the_window_that_the_word_counts_in(tokenizer):
    text = "birds flying over the lake near a boat and " * 18 + "x" * 600
    caption = encode_long_caption(tokenizer, text, "A photo depicts ")
    assert len(caption.windows) > 3
    for number, unit in enumerate(caption.units):
        part, at = place_of(caption, unit.start, unit.end)
        counted = [
            w.counted[number - w.first] if 0 <= number - w.first < len(w.counted) else 0 for w in caption.windows
        ]
        window = caption.windows[int(np.argmax(counted))]
        assert part.units == window.encoded.units and len(part.ids) <= 77
        assert part.ids[at] == window.encoded.ids[at] and part.units[part.unit_of[at]] == unit
    assert sum(count > 0 for count in counted) > 1  # the last word is longer than a window


@pytest.mark.parametrize(("start", "end"), [(0, 3), (5, 5), (500, 503)])
def test_where_no_word_is_read_there_is_no_place(tokenizer, start, end):
    caption = encode_caption(tokenizer, "a red dog " + "on a sofa " * 60)
    with pytest.raises(InputError, match="the model reads no word at"):
        place_of(caption, start, end)


def test_tokens_are_the_tokenizers(tokenizer):
    found = tokens_of(tokenizer, tuple(WORDS))
    ends = [*found.starts[1:].tolist(), len(found.ids)]
    mine = [found.ids[start:end].tolist() for start, end in zip(found.starts, ends, strict=True)]
    for word, ids in zip(WORDS, mine, strict=True):
        theirs = [i for i in tokenizer([word], context_length=600)[0].tolist() if i not in (0, 49406, 49407)]
        assert ids == theirs, word
    assert len(mine[-2]) > 77 and found.first.tolist() == [ids[0] for ids in mine]
    none = tokens_of(tokenizer, (" ", "cat"))
    assert none.ids[0] == 49406 and len(none.ids) == 2
    weights = np.arange(49408.0)
    assert found.mean(weights).tolist() == pytest.approx([np.mean(ids) for ids in mine])


@pytest.mark.parametrize("kept", [1, 3, 7, 10, 100])
def test_as_many_as_wanted_are_read_each_once(kind, feature, kept):
    model, tokenizer = kind
    asked: list[str] = []

    def read(words):
        asked.extend(words)
        return [None if word == "tea" else float(len(word)) for word in words]

    found = shortlist(TextTower(model), tokenizer, feature, place_in(tokenizer, CAPTION, "red"), WORDS, read, kept)
    assert len(asked) == len(set(asked)) == min(kept, len(WORDS)) and set(asked) <= set(WORDS)
    assert found == {word: float(len(word)) for word in asked if word != "tea"}


def test_short_lists_and_lists_of_which_nothing_can_be_read(kind, feature):
    model, tokenizer = kind
    place = place_in(tokenizer, CAPTION, "sofa")
    tower = TextTower(model)
    assert shortlist(tower, tokenizer, feature, place, ["owl"], lambda words: [0.5] * len(words)) == {"owl": 0.5}
    assert shortlist(tower, tokenizer, feature, place, WORDS, lambda words: [None] * len(words)) == {}
    assert shortlist(tower, tokenizer, feature, place, [], lambda words: [0.5] * len(words)) == {}


def test_words_that_are_one_token_need_no_cleaning_to_be_that(tokenizer):
    """What `tokens_of` takes from the tokenizer's table is what open_clip's own call gives."""
    words = [piece.removesuffix("</w>") for piece in tokenizer.encoder if piece.endswith("</w>")]
    words = tuple(word for word in words if word.isascii() and word.isalpha())[::60]
    found = tokens_of(tokenizer, words)
    assert len(words) > 500 and found.ids.tolist() == [tokenizer([word])[0, 1].item() for word in words]
    assert all(tokenizer([word])[0, 2] == 49407 for word in words)
