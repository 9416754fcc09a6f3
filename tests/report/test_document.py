"""The page that infer.py --html writes: one file, captions in the terminal's order, whatever they hold."""

from __future__ import annotations

import base64
import io
import json

import pytest
from browser import opened
from html_reading import HOSTILE, document_of, elements, seen
from made_detections import detection_of
from PIL import Image

from clip4dm.commands import infer
from clip4dm.report.colours import DARK, LIGHT
from clip4dm.report.document import document, write_html


def test_infer_writes_picture_captions_and_numbers_into_one_file(tiny_folder, tmp_path, capsys):
    folder, name = tmp_path / "a", HOSTILE.replace("/", "") + ".png"
    folder.mkdir()
    Image.new("RGB", (60, 40), (10, 200, 30)).save(folder / name)
    asked = ["--pretrained", str(tiny_folder), "--device", "cpu", "--image", str(folder / name)]
    infer.main([*asked, "--json", "--html", str(tmp_path / "x.HTML"), "--text", "a dog", HOSTILE, "a cup"])
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    page = (tmp_path / "x.HTML").read_text(encoding="utf-8")
    tree = document_of(page)
    assert tree.find(".//title").text == seen(tree.find(".//h1")) == name
    assert [seen(one) for one in elements(tree, "caption")] == ["a dog", HOSTILE, "a cup"]
    wrong = [[seen(word) for word in elements(one, "misaligned")] for one in elements(tree, "caption")]
    assert wrong == [one["misaligned"] for one in printed] and any(wrong)
    assert len(elements(tree, "words")) == 3 and len(elements(tree, "legend")) == 1
    (picture,) = tree.iter("img")
    data = base64.b64decode(picture.get("src").partition(",")[2])
    assert Image.open(io.BytesIO(data)).getpixel((30, 20)) == (10, 200, 30) and name in picture.get("alt")
    assert not list(tree.iter("script")) and "http" not in page.replace("http-equiv", "")


def test_a_page_without_captions_is_a_page():
    assert not elements(document_of(document("x", Image.new("L", (5, 5)), [])), "caption")


@pytest.mark.parametrize("size", ["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_and_asks_for_nothing(chromium, tokenizer, tmp_path, size, scheme):
    path = tmp_path / "page.html"
    found = [detection_of(tokenizer, text, [2e-4, -3e-4, -4e-5]) for text in ("a red cup", HOSTILE, "dog " * 90)]
    write_html(path, HOSTILE, Image.new("RGB", (900, 300)), found)
    with opened(chromium, path.as_uri(), size, scheme) as watched:
        page = watched.page
        assert page.title() == " ".join(HOSTILE.split())
        word = page.locator(".word.misaligned").first
        assert "underline" in word.evaluate("one => getComputedStyle(one).textDecorationLine")
        ground = word.evaluate("one => getComputedStyle(one).backgroundColor")
        assert ground == f"rgb{(LIGHT if scheme == 'light' else DARK).fits_not}"
        assert page.locator("img").evaluate("one => one.complete && one.naturalWidth") == 640
        page.locator("summary").first.click()
        assert page.locator("table.words").first.is_visible()
        assert not watched.overflows() and not watched.violations()
        assert not watched.asked_beyond(path.as_uri())
        assert not watched.dialogs and not watched.complaints
