"""Words and tokens of any string: offsets slice the caption, every token has one owner, the template stays out."""

from __future__ import annotations

import html

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clip4dm.tokens import tokenize
from clip4dm.tracked import base_clean, final_clean
from clip4dm.words import CaptionError, encode_caption, is_punctuation

TEMPLATES = ("A photo depicts ", "", "A photo depicts", "a picture of: ", "  spaces ", "&amp; ")
PIECES = ("dog", "Cat", "...", ").", "(a", "İ", "ß", "café", "don't", "it's", "3:45", "p.m.", "&amp;", "&eacute;", "&lt;b",
          "<end_of_text>", "<start_of_text>", "“quoted”", "ﬁsh", "ｆｕｌｌ", "🐶", "!🐶", "—", "\n", "\t", "e\u0301", "\u200b",
          "ðŸ˜€", "Ã©", "&copyright", "1,000", ",'s", "Σ", "ΟΔΟΣ", "_", "$5", "\u00a0", "\x00", "\x1b[31m", "不错", "한국어")
CAPTIONS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
)


def check(encoded, caption: str, template: str, tokenizer) -> None:
    tokens = tokenize(tokenizer, template + caption)
    assert len(encoded.ids) == len(encoded.unit_of) == len(tokens.spans) <= 77
    for unit in encoded.units:
        assert caption[unit.start:unit.end] == unit.text
        assert 0 <= unit.start <= unit.end <= len(caption)
    starts = [unit.start for unit in encoded.units]
    assert starts == sorted(starts)
    owners = [owner for owner in encoded.unit_of if owner >= 0]
    assert all(encoded.units[owner].scored for owner in owners)
    assert {i for i, unit in enumerate(encoded.units) if unit.scored} == set(owners)
    assert encoded.unit_of[0] == encoded.unit_of[-1] == -1


@settings(max_examples=400, deadline=None)
@given(CAPTIONS, st.sampled_from(TEMPLATES))
@example("\ud800 lone", "A photo depicts ")
@example("", "A photo depicts ")
@example("a" * 300, "A photo depicts ")
@example("<end_of_text>", "")
def test_any_caption(tokenizer, caption, template):
    encoded = encode_caption(tokenizer, caption, template)
    check(encoded, caption, template, tokenizer)


@settings(max_examples=300, deadline=None)
@given(CAPTIONS)
def test_ids_are_open_clips_own(tokenizer, caption):
    """Outside oracle: open_clip's tokenizer, for every text without its special tokens' names."""
    text = "A photo depicts " + caption
    if any(name in html.unescape(html.unescape(text)).lower() for name in ("<end_of_text>", "<start_of_text>")):
        return
    theirs = tokenizer([text])[0].tolist()
    ours = list(encode_caption(tokenizer, caption, "A photo depicts ").ids)
    assert theirs[:len(ours)] == ours
    assert not any(theirs[len(ours):])


@settings(max_examples=300, deadline=None)
@given(CAPTIONS)
def test_cleaning_is_open_clips_own(tokenizer, caption):
    from open_clip.tokenizer import get_clean_fn

    base = base_clean(caption)
    assert base.text == get_clean_fn("whitespace")(caption)
    for kind in ("lower", "whitespace", "canonicalize"):
        final = final_clean(base, get_clean_fn(kind)(caption))
        assert final.text == get_clean_fn(kind)(caption)
        assert len(final.spans) == len(final.text)


@pytest.mark.parametrize(("caption", "expected"), [
    ("A man, riding. Well...ok", [("A", "a"), ("man", "man"), ("riding", "riding"), ("Well", "well"), ("ok", "ok")]),
    ("(a dog). nice", [("(a", "( a"), ("dog)", "dog )."), ("nice", "nice")]),
    ("İstanbul's café", [("İstanbul's", "i ̇stan bul 's"), ("café", "café")]),
    ("cats &amp; d&ouml;gs", [("cats", "cats"), ("d&ouml;gs", "dö gs")]),
    ("a “big” dog", [("a", "a"), ("“big”", '" big "'), ("dog", "dog")]),
    ("one\n\ntwo", [("one", "one"), ("two", "two")]),
    ("a dog <end_of_text> cat", [("a", "a"), ("dog", "dog"), ("<end_of_text>", "< end _ of _ text >"), ("cat", "cat")]),
    ("3,000 birds", [("3", "3"), ("000", "0 0 0"), ("birds", "birds")]),
    ("hi — there !! 🐶", [("hi", "hi"), ("there", "there"), ("🐶", "🐶")]),
])
def test_words_and_their_tokens_by_hand(tokenizer, caption, expected):
    encoded = encode_caption(tokenizer, caption, "A photo depicts ")
    found = []
    for number, unit in enumerate(encoded.units):
        if unit.candidate:
            ids = [i for i, owner in zip(encoded.ids, encoded.unit_of, strict=True) if owner == number]
            pieces = [tokenizer.decode([i]).strip() for i in ids]
            found.append((unit.text, pieces))
    assert [text for text, _ in found] == [text for text, _ in expected]
    for (text, pieces), (_, wanted) in zip(found, expected, strict=True):
        if text.isascii() or "&" in text:
            assert "".join(pieces) == wanted.replace(" ", ""), text


def test_template_words_never_appear(tokenizer):
    for template in ("a cat on ", "a cat on", "dog. ", "A&amp;B "):
        encoded = encode_caption(tokenizer, "a red dog", template)
        assert [unit.text for unit in encoded.units if unit.candidate] == ["a", "red", "dog"]


def test_words_beyond_the_context_are_marked(tokenizer):
    caption = " ".join(f"word{i}" for i in range(60))
    encoded = encode_caption(tokenizer, caption, "A photo depicts ")
    assert encoded.truncated and len(encoded.ids) == 77
    scored = [unit.scored for unit in encoded.units]
    assert scored[0] and not scored[-1] and scored == sorted(scored, reverse=True)
    assert not encode_caption(tokenizer, "short").truncated


@pytest.mark.parametrize("caption", ["word " * 2000, "a" * 10_000, "&amp;" * 2_000, "é" * 10_000, "“" * 10_000, "." * 10_000,
                                     "&ouml;x" * 1_500])
def test_ten_thousand_characters(tokenizer, caption):
    encoded = encode_caption(tokenizer, caption, "A photo depicts ")
    check(encoded, caption, "A photo depicts ", tokenizer)
    assert encoded.truncated


def test_a_template_that_fills_the_context_is_an_error(tokenizer):
    with pytest.raises(CaptionError, match="template fills CLIP's context of 77"):
        encode_caption(tokenizer, "a dog", "very " * 100)
    with pytest.raises(CaptionError, match="a caption is a string, got int"):
        encode_caption(tokenizer, 5)


@pytest.mark.parametrize(("text", "verdict"), [("...", True), ("—", True), ("“”", True), ("$", True), ("🐶", False), ("♥", False),
                                               ("a.", False), ("7", False), ("", True), ("\u200b", True)])
def test_punctuation(text, verdict):
    assert is_punctuation(text) is verdict
