"""Detections as HTML, read by html5lib as browsers read it: text stays text, colours can be read, pages fetch nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import re

import numpy as np
import pytest
from html_reading import HOSTILE, document_of, elements, parsed, seen
from hypothesis import given
from hypothesis import strategies as st
from made_detections import detection_of
from PIL import Image

from clip4dm.detection import Word
from clip4dm.report.colours import DARK, FITS_NOT, LIGHT, colour, contrast, hexadecimal
from clip4dm.report.html import (
    STYLE,
    caption_html,
    detection_html,
    escaped,
    legend_html,
    page,
    picture_data_uri,
    words_html,
)


@given(st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Z", "M"]), max_size=60))
def test_what_is_seen_is_the_caption(tokenizer, caption):
    found = detection_of(tokenizer, caption, [-1e-4, 2e-4])
    (shown,) = elements(parsed(caption_html(caption, found.words, found.epsilon, [(1, 4), (3, 9)])), "caption")
    assert seen(shown) == caption


@given(st.text(max_size=40))
def test_any_text_makes_a_sound_page(tokenizer, caption):
    found = detection_of(tokenizer, caption, [-1e-4])
    document = page(caption, detection_html(found) + words_html(found) + legend_html(found))
    tree = document_of(document)
    assert {one.tag for one in tree.iter() if isinstance(one.tag, str)} <= {
        *("html", "head", "meta", "title", "style", "body", "div", "p", "span"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert document.encode()  # half a character cannot be encoded


def test_hostile_captions_and_labels_stay_text(tokenizer):
    found = detection_of(tokenizer, HOSTILE, [-1e-4])
    tree = parsed(detection_html(found, labelled=[(0, len(HOSTILE))]))
    assert seen(elements(tree, "caption")[0]) == HOSTILE
    assert {one.tag for one in tree.iter() if isinstance(one.tag, str)} == {"DOCUMENT_FRAGMENT", "div", "p", "span"}
    assert not [name for one in tree.iter() for name in one.attrib if name.startswith("on")]
    assert escaped("a\x00\ud800b") == "a\ufffd\ufffdb"


@pytest.mark.parametrize("turn", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_nothing_turns_the_direction_of_what_follows(turn):
    assert escaped(f"{turn}gnp.exe") == "\ufffdgnp.exe"
    assert escaped("\u0645\u0631\u200f") == "\u0645\u0631\u200f"  # right to left by itself


def test_a_word_says_its_colour_line_number_and_label():
    words = [Word("red", 0, 3, 2e-4, False), Word("coke", 4, 8, -4e-4, True), Word("late", 9, 13, None, False, True)]
    tree = parsed(caption_html("red coke late", words, -5e-5, labelled=[(4, 8)]))
    red, coke, late = elements(tree, "word")
    assert red.get("class") == "word" and coke.get("class") == "word misaligned"
    assert hexadecimal(FITS_NOT) in coke.get("style") and hexadecimal(DARK.fits_not) in coke.get("style")
    assert hexadecimal(colour(2e-4, 4e-4)) in red.get("style") and late.get("style") is None
    assert [one.get("title") for one in (red, coke, late)] == [
        "0.0002",
        "-0.0004: does not fit",
        "not scored, beyond CLIP's context",
    ]
    assert [one.text for one in elements(tree, "labelled")] == ["coke"]
    assert [one.text for one in elements(tree, "heard")] == [
        " (0.0002) ",
        " (minus 0.0004, does not fit, found wrong by people) ",
        " (not scored, beyond CLIP's context) ",
    ]


def test_a_label_may_cut_words_and_run_over_many():
    words = [Word("coffee", 2, 8, -4e-4, True), Word("cup", 9, 12, 1e-4, False)]
    tree = parsed(caption_html("a coffee cup", words, -5e-5, labelled=[(6, 10)]))
    assert [one.text for one in elements(tree, "labelled")] == ["ee", " ", "c"]
    assert "people" not in caption_html("a coffee cup", words, -5e-5, labelled=[(0, 2), (5, 5)]).partition("coffee<")[2]


def test_words_as_a_table(tokenizer):
    found = detection_of(tokenizer, "red <b> cup", [2e-4, -3e-4, -4e-5])
    rows = parsed(words_html(found)).findall(".//tbody/tr")
    assert [[seen(cell) for cell in row] for row in rows] == [
        [word.text, f"{word.attribution:.3g}", "does not fit" if word.misaligned else "fits"] for word in found.words
    ]


@given(st.floats(-1, 1), st.floats(1e-9, 1))
def test_ink_can_be_read_on_every_ground_light_and_dark(attribution, full):
    for palette in (LIGHT, DARK):
        red, _, blue = ground = colour(attribution, full, palette)
        assert contrast(palette.ink, ground) >= 4.5
        zero_red, _, zero_blue = palette.zero
        assert (red - zero_red >= blue - zero_blue) if attribution < 0 else (blue - zero_blue >= red - zero_red)


def test_text_can_be_read_light_and_dark():
    """Every colour of text that the sheet names, on both grounds."""
    for rules in re.findall(r":root\{([^}]*)\}", STYLE):
        named = dict(re.findall(r"--([\w-]+):#(\w{6})", rules))
        value = {name: tuple(bytes.fromhex(digits)) for name, digits in named.items()}
        for text in ("text", "faint", "link"):
            for ground in ("ground", "card"):
                assert contrast(value[text], value[ground]) >= 4.5, (text, ground)
    assert len(re.findall(r":root\{", STYLE)) == 2 and STYLE.count("{") == STYLE.count("}")


def test_a_page_lets_nothing_in_but_its_own():
    document = page("x", "<p>x</p>")
    policy = re.search('Content-Security-Policy" content="([^"]*)"', document)[1]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline';") and "script" not in policy
    script = 'document.title = "é"'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in page("x", "", script=script)
    for bad in ("</SCRIPT >", "<!--"):
        with pytest.raises(ValueError, match="would end elsewhere"):
            page("x", "", script=bad)


def test_a_picture_in_an_address_is_small_and_says_nothing_beside_its_pixels():
    noise = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), np.uint8)
    photo = Image.fromarray(noise)
    photo.info = {"icc_profile": b"my own profile", "comment": b"at home"}
    drawn = Image.new("RGBA", (200, 100), (200, 10, 10, 255))
    for picture, kind, size in ((photo, "jpeg", (640, 480)), (drawn, "png", (200, 100))):
        head, _, body = picture_data_uri(picture).partition(";base64,")
        data = base64.b64decode(body, validate=True)
        opened = Image.open(io.BytesIO(data))
        assert (head, opened.size, opened.mode) == (f"data:image/{kind}", size, "RGB")
        assert b"profile" not in data and b"home" not in data
    assert photo.size == (1200, 900) and len(picture_data_uri(photo, 160)) < 40_000


def test_the_legend_says_what_is_there(tokenizer):
    found = detection_of(tokenizer, "red cup", [2e-4, -3e-4], layers=4, start_layer_text=-3)
    assert "the last 3 text layers; words below -5e-05 do not fit" in legend_html(found)
    parsed(legend_html(found, labelled=True))
