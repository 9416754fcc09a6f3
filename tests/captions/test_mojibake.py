"""ftfy followed: the same text, and for every character the ones it was made of."""

from __future__ import annotations

import unicodedata

import ftfy
import ftfy.bad_codecs  # noqa: F401  the sloppy encodings
import pytest
from fuzzing.captions import ENCODINGS, make_caption
from hypothesis import given, settings
from hypothesis import strategies as st

from clip4dm.captions import mojibake


def garbled(text: str, encodings: list[str]) -> str:
    for encoding in encodings:
        text = text.encode("utf-8", "surrogatepass").decode(encoding, "replace")
    return text


TEXTS = st.one_of(
    st.text(max_size=40),
    st.builds(garbled, st.text(max_size=12), st.lists(st.sampled_from(ENCODINGS), max_size=3)),
    st.integers(0, 10**6).map(lambda number: make_caption(5, number)[1][:2_000]),
)


@settings(max_examples=1_000, deadline=None)
@given(st.lists(TEXTS, max_size=3).map("".join))
def test_the_text_is_ftfys_and_every_plan_is_followed(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mojibake, "_guessed", None)  # calling it would fail
        tracked = mojibake.fix_text(text)
    assert tracked.text == ftfy.fix_text(text)
    assert len(tracked.spans) == len(tracked.text)
    assert all(0 <= start < end <= len(text) for start, end in tracked.spans)
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in zip(tracked.spans, tracked.spans[1:], strict=False))


@pytest.mark.parametrize(
    ("text", "made_of"),
    [
        ("ðŸ˜€Ã©", ["ðŸ˜€", "Ã©"]),
        ("ÃƒÂ©x", ["ÃƒÂ©", "x"]),
        ("不Ã©錯ðŸ˜€", ["不", "Ã©", "錯", "ðŸ˜€"]),
        ("Ã\xa0 la", ["Ã\xa0", " ", "l", "a"]),
        ("Ã la", ["Ã", " ", "l", "a"]),
        ("â€œhiâ€�", ["â€œ", "h", "i", "â€�"]),
        ("í\xa0½í¸\x80", ["í\xa0½í¸\x80"]),
        ("“ﬁ” ｆ", ["“", "ﬁ", "ﬁ", "”", " ", "ｆ"]),
        ("a\x00\x1b[1mb&eacute;", ["a", "b", "&eacute;"]),
        ("a\r\nb\ud83d\ude00", ["a", "\r\n", "b", "\ud83d\ude00"]),
        ("e\u0301\u1100\u1161\u11a8", ["e\u0301", "\u1100\u1161\u11a8"]),
        ("x\x80", ["x", "\x80"]),
    ],
)
def test_by_hand(text, made_of):
    tracked = mojibake.fix_text(text)
    assert [text[start:end] for start, end in tracked.spans] == made_of


@pytest.mark.parametrize(
    "text",
    [
        "&" + "amp;" * 200 + "lt;",
        "<&" + "amp;" * 200,
        "x &" + "amp;" * 90 + "eacute; Ã©&" + "amp;" * 40,
        "e" + "\u0301\u0323" * 100 + "o",
        "\u0323\u0301" * 40 + " Ã©",
    ],
)
def test_what_ftfy_is_spared_changes_nothing(text):
    tracked = mojibake.fix_text(text)
    assert tracked.text == ftfy.fix_text(text)
    assert tracked.span(0, len(tracked.text)) == (0, len(text))


def test_long_runs_of_accents_reach_ftfy_in_order(monkeypatch):
    """unicodedata sorts them by insertion: 100,000 out of order take seconds."""
    seen = []
    monkeypatch.setattr(
        unicodedata,
        "normalize",
        lambda form, text, original=unicodedata.normalize: seen.append(text) or original(form, text),
    )
    assert mojibake.fix_text("e" + "\u0301\u0323" * 1_000).text == "ẹ" + "\u0323" * 999 + "\u0301" * 1_000
    for text in seen:
        classes = [unicodedata.combining(c) for c in text[1:]]
        assert classes == sorted(classes)


def test_a_plan_with_an_unknown_step_is_aligned(monkeypatch):
    def unknown(tracked, action, name):
        raise KeyError(name)

    monkeypatch.setattr(mojibake, "_step", unknown)
    text = "a dÃ©jÃ\xa0 vu on a red dog\nﬁsh"
    tracked = mojibake.fix_text(text)
    assert tracked.text == "a déjà vu on a red dog\nfish"
    assert [text[start:end] for start, end in tracked.spans[-9:]] == [" ", "d", "o", "g", "\n", "ﬁ", "ﬁ", "s", "h"]
