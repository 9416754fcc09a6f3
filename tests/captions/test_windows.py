"""Captions longer than the context: sentences, windows, and that every token of every word counts once."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
from fuzzing.caption_checks import split_violations
from fuzzing.captions import PIECES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from text_towers import make_tiny_siglip

from clip4dm.captions.sentences import sentence_starts
from clip4dm.captions.windows import OVERLAP, encode_long_caption, merge, parts, reaches, weights
from clip4dm.captions.words import CaptionError, encode_caption

TEMPLATE = "A photo depicts "
TEMPLATES = (TEMPLATE, "", "a picture of: ", "&amp; ", "see (")
CLAUSES = ("A red cup stands on the table. ", "two cats, one dog; ", "Who?! ", "... ", "\n\n", "antidisestablishment ")
LONG = st.one_of(
    st.lists(st.sampled_from(CLAUSES), min_size=1, max_size=12).map("".join),
    st.lists(st.sampled_from([piece for piece in PIECES if len(piece) < 1000]), max_size=20).map(" ".join),
    st.text(max_size=120),
    st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=4), st.integers(1, 60)),
)


def small(context: int):
    """CLIP's tokenizer with another context."""
    return open_clip.tokenizer.SimpleTokenizer(context_length=context)


TOKENIZERS = {context: small(context) for context in (8, 13, 77)}


def sentences(text: str) -> list[str]:
    starts = sentence_starts(text)
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        ("a red cup", ["a red cup"]),
        ("A cup. A cat.", ["A cup. ", "A cat."]),
        ("a cup. a cat", ["a cup. ", "a cat"]),  # in lower case too
        ("Stop! Who is it? Nobody…  so", ["Stop! ", "Who is it? ", "Nobody…  ", "so"]),
        ('He says "stop." It (a cat.) sits', ['He says "stop." ', "It (a cat.) ", "sits"]),
        ("3.5 cm of www.cups.org, no.1", ["3.5 cm of www.cups.org, no.1"]),
        ("Mr. A. Smith, e.g. of St. Ives etc. runs", ["Mr. A. Smith, e.g. of St. Ives etc. runs"]),
        ("(approx. 3) cups. 4", ["(approx. 3) cups. ", "4"]),
        ("1. a cup\n2. a cat", ["1. a cup\n", "2. a cat"]),
        ("There are 2. All red.", ["There are 2. ", "All red."]),
        ("a cup\r\n\r\n a cat\n", ["a cup\r\n\r\n ", "a cat\n"]),
        ("what?!?! no", ["what?!?! ", "no"]),
        ("一只猫。两只狗！三", ["一只猫。", "两只狗！", "三"]),
        ("Dr.\nSmith", ["Dr.\n", "Smith"]),  # a line's end ends it in any case
    ],
)
def test_sentences_by_hand(text, expected):
    assert sentences(text) == expected


@settings(max_examples=200, deadline=None)
@given(st.one_of(LONG, st.text(alphabet='ab.!? \n"e1', max_size=40)))
def test_sentences_lose_no_character_and_begin_with_no_blank(text):
    starts = sentence_starts(text)
    assert starts[0] == 0 and all(a < b for a, b in pairwise([*starts, max(len(text), 1)]))
    assert "".join(sentences(text)) == text and not any(text[start].isspace() for start in starts[1:])


def test_windows_by_hand():
    """Room for 8: two tokens at least are shared, and count where the nearer cut is farther away."""
    assert reaches(range(10), 8) == [(0, 8, 0, 5), (1, 9, 5, 9)]  # the last one is as long as fits
    assert reaches(range(15), 8) == [(0, 8, 0, 7), (6, 14, 7, 14)]
    assert reaches(range(17), 8) == [(0, 8, 0, 7), (6, 14, 7, 11), (8, 16, 11, 16)]
    assert reaches([0, 8, 16, 20], 8) == [(0, 8, 0, 8), (8, 16, 8, 16), (16, 20, 16, 20)]  # nothing can be shared
    assert reaches([0, 3, 6, 9, 12], 8) == [(0, 6, 0, 6), (3, 9, 6, 9), (6, 12, 9, 12)]  # words of three
    assert reaches([0, 1, 2, 3], 1) == [(0, 1, 0, 1), (1, 2, 1, 2), (2, 3, 2, 3)]


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 20), st.lists(st.integers(1, 20), min_size=1, max_size=60))
def test_windows_of_any_words(room, lengths):
    cuts = [0]
    for length in lengths:
        cuts.append(cuts[-1] + min(length, room))
    found = reaches(cuts, room)
    assert [found[0].first, *(one.last for one in found)] == [0, *(one.first for one in found[1:]), cuts[-1]]
    for one in found:
        assert {one.start, one.end, one.first, one.last} <= set(cuts) and one.end - one.start <= room
        assert one.start <= one.first < one.last <= one.end
    for one, following in pairwise(found):
        assert one.start < following.start and one.end < following.end
    if max(min(length, room) for length in lengths) == 1 and len(found) > 1:  # single tokens: context as promised
        for one, following in pairwise(found):
            shared = one.end - following.start
            assert shared >= room // OVERLAP
            assert abs((one.end - one.last) - (following.first - following.start)) <= 1 or following is found[-1]


@settings(max_examples=400, deadline=None)
@given(LONG, st.sampled_from(TEMPLATES), st.sampled_from(list(TOKENIZERS)))
@example("x" * 400, TEMPLATE, 13)
@example("x" * 400 + ". " + "y" * 50 + " z.", TEMPLATE, 13)
@example("😀" * 60, TEMPLATE, 13)
@example("\x85" * 60, TEMPLATE, 13)
@example("\x85" * 60 + "cup", TEMPLATE, 13)
@example("... !!! ??? " * 30, TEMPLATE, 13)
@example("... " * 10 + "a cup", TEMPLATE, 13)
@example("dÃ©jÃ\xa0 vu &amp;amp; more, " * 20, TEMPLATE, 13)
@example("cup\n" * 40, "", 8)
def test_any_caption(caption, template, context):
    try:
        encode_caption(TOKENIZERS[context], caption, template)
    except CaptionError:
        with pytest.raises(CaptionError, match="the template fills CLIP's context"):
            encode_long_caption(TOKENIZERS[context], caption, template)
        return
    assert not split_violations(TOKENIZERS[context], caption, template)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(CLAUSES), min_size=1, max_size=8).map("".join))
def test_what_fits_is_encoded_as_ever(caption):
    encoded = encode_caption(TOKENIZERS[77], caption, TEMPLATE)
    if not encoded.truncated:
        assert encode_long_caption(TOKENIZERS[77], caption, TEMPLATE) == encoded and parts(encoded) == [encoded]


SENTENCES = ["a red cup on a table. ", "Two zebras' sofa, (one) &amp; more! ", "the  dog\n", "cats sofa. "]


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    from clip4dm.models.load import load_model

    return load_model(pretrained=str(make_tiny_siglip(tmp_path_factory.mktemp("siglip"))), device="cpu").tokenizer


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_sentence_is_read_as_if_it_were_alone(kind, request):
    """The oracle is open_clip's tokenizer on template and sentence."""
    tokenizer = TOKENIZERS[77] if kind == "clip" else request.getfixturevalue("siglip")
    encoded = encode_long_caption(tokenizer, "".join(SENTENCES * 6), TEMPLATE)
    for window, sentence in zip(encoded.windows, SENTENCES * 6, strict=True):
        theirs, ids = tokenizer([TEMPLATE + sentence])[0].tolist(), list(window.encoded.ids)
        assert theirs[: len(ids)] == ids and not any(theirs[len(ids) :]), sentence


def test_a_word_in_two_windows_counts_where_the_nearer_cut_is_farther_away():
    """13 tokens a text: start, three of the template, eight words, end. No full stop anywhere."""
    words = "red green blue black white pink brown cup cat dog".split()
    encoded = encode_long_caption(TOKENIZERS[13], " ".join(words), TEMPLATE)
    read = [[unit.text for unit in part.units] for part in parts(encoded)]
    assert read == [words[:8], words[2:]]
    # Words 2 to 7 are in both. "black", 3: 4 tokens before the first window's end, 1 behind the second one's start;
    # "white", 4: 3 and 2; "pink", 5: 2 and 3.
    assert [window.counted for window in encoded.windows] == [(1, 1, 1, 1, 1, 0, 0, 0), (0, 0, 0, 1, 1, 1, 1, 1)]
    assert [window.tokens for window in encoded.windows] == [5, 5] and weights(encoded) == [0.5, 0.5]
    first, second = np.arange(8, dtype=np.float32)[None], np.arange(100, 108, dtype=np.float32)[None]
    merged, cosine = merge(encoded, [first, second], [0.25, 0.75])
    assert merged.tolist() == [[0, 1, 2, 3, 4, 103, 104, 105, 106, 107]] and cosine == 0.5


def test_a_word_longer_than_a_window_is_the_mean_over_its_tokens():
    tokenizer = TOKENIZERS[13]
    caption = "cup " + "qj" * 6 + " cat."
    whole = encode_caption(TOKENIZERS[77], caption, TEMPLATE)
    long_word = whole.unit_of.count(1)
    assert 8 < long_word <= 16  # two runs, the first of 8
    encoded = encode_long_caption(tokenizer, caption, TEMPLATE)
    counts = [dict(zip(range(w.first, 9), w.counted, strict=False)).get(1, 0) for w in encoded.windows]
    assert sorted(filter(None, counts)) == sorted([8, long_word - 8])
    values = [np.full((2, len(part.units)), 10.0 * i, dtype=np.float32) for i, part in enumerate(parts(encoded))]
    merged, cosine = merge(encoded, values, [float(i) for i in range(len(values))])
    expected = sum(10.0 * i * count for i, count in enumerate(counts)) / long_word
    np.testing.assert_allclose(merged[:, 1], expected, rtol=1e-6)
    tokens = [window.tokens for window in encoded.windows]
    assert sum(tokens) == long_word + 3
    np.testing.assert_allclose(cosine, sum(i * n for i, n in enumerate(tokens)) / sum(tokens))


def test_the_template_leaves_room_or_says_so():
    full = SimpleNamespace(error="the template fills CLIP's context of 13 tokens")
    with pytest.raises(CaptionError, match=full.error):
        encode_long_caption(TOKENIZERS[13], "a cup", "a photo of " * 4)
    one = encode_long_caption(TOKENIZERS[13], "a red cup, a cat", "a b c d e f g h i j ")  # room for one token
    assert [window.tokens for window in one.windows] == [1] * 6
    assert all(unit.scored for unit in one.units)
