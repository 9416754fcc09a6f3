"""The figure of a picture and its captions: colours, pieces, and the PNG that infer.py --png writes."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_detections import detection_of
from PIL import Image

from clip4dm.commands import infer
from clip4dm.report.colours import FITS, FITS_NOT, INK, WHITE, colour, contrast, scale
from clip4dm.report.figure import DPI, WIDTH, png
from clip4dm.report.pieces import pieces, settings_line, summary

PICTURE = Image.new("RGB", (60, 40), (10, 200, 30))


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def area(pixels, colour):
    return int((pixels == colour).all(-1).sum())


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [(INK, WHITE, 21.0), (WHITE, WHITE, 1.0), ((119, 119, 119), WHITE, 4.48), ((0, 0, 255), WHITE, 8.59)],
)
def test_contrast_is_that_of_wcag(one, other, ratio):
    """Ratios that WCAG's own tools give: #777777 on white is the well-known near miss of 4.5."""
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.005)


@given(st.floats(-1, 1), st.floats(1e-9, 1))
def test_ink_can_be_read_on_every_colour_and_the_sign_is_told_by_the_hue(attribution, full):
    red, _, blue = ground = colour(attribution, full)
    assert contrast(INK, ground) >= 4.5
    assert (red >= blue) if attribution < 0 else (blue >= red)


def test_the_largest_attribution_has_the_full_colour_unless_epsilon_is_larger(tokenizer):
    found = detection_of(tokenizer, "red cup", [2e-4, -3e-4])
    assert scale(found) == pytest.approx(3e-4, rel=1e-6) and scale(found.with_settings(epsilon=-1e-2)) == 1e-2
    assert scale(detection_of(tokenizer, "", [])) == 5e-5
    assert scale(detection_of(tokenizer, "cup", [0.0], epsilon=0.0)) == 1.0


@given(st.text(max_size=60))
def test_the_pieces_are_the_caption(tokenizer, caption):
    found = detection_of(tokenizer, caption, [-1e-4])
    cut = list(pieces(found))
    assert "".join(piece.text for piece in cut) == caption
    assert [piece.word for piece in cut if piece.word] == list(found.words)


def test_a_misaligned_word_is_orange_and_underlined(tokenizer):
    fine, wrong = (detection_of(tokenizer, "red cup", [2e-4, value]) for value in (1e-4, -2e-4))
    with_, without = opened(png(PICTURE, [wrong])), opened(png(PICTURE, [fine]))
    # the legend has both colours: what is more is the caption's
    assert area(with_, FITS_NOT) > 1.5 * area(without, FITS_NOT) and area(with_, FITS) > 0
    unlined = opened(png(PICTURE, [wrong.with_settings(epsilon=-1e-3)]))
    assert area(with_[: 60 * DPI // 100], INK) > area(unlined[: 60 * DPI // 100], INK)
    assert area(with_, (10, 200, 30)) > 10_000  # the picture itself
    assert with_.shape[1] == WIDTH * DPI


def test_captions_are_text_whatever_they_hold(tokenizer):
    """Formulas, mark-up, scripts that the font lacks, new lines, words longer than a line; no warning is shown."""
    hostile = "$\\frac{1}{0$ <b>x</b> 星\n\t\x07 " + "W" * 400 + " end " * 2_000
    found = [detection_of(tokenizer, text, [-1e-4]) for text in (hostile, "", " ", "$")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = png(PICTURE.convert("L"), found)
    assert data == png(PICTURE.convert("L"), found) and len(data) < 1_000_000
    assert opened(data).shape[0] < 60 * DPI


def test_what_stands_below_a_caption(tokenizer):
    found = detection_of(tokenizer, "red cup", [2e-4, -2e-4], layers=4, start_layer_text=-3)
    assert summary(found) == "does not fit: cup · cosine 0.250 · F-CLIPScore -0.00015"
    assert summary(found.with_settings(epsilon=-1)).startswith("every word fits · cosine")
    assert summary(detection_of(tokenizer, "?", [0.0])).startswith("no word was scored · cosine")
    cut = detection_of(tokenizer, "dog " * 100, [1e-4])
    assert summary(cut).startswith("every scored word fits · ") and " not scored · cosine" in summary(cut)
    assert summary(found.with_settings(score="additive", score_weight=100.0)).endswith(" · additive 0.23")
    assert settings_line(found) == "clip4dm, the last 3 text layers; words below -5e-05 do not fit"
    lowest = found.with_settings(start_layer_text=0, sorted_by="most_negative")
    assert settings_line(lowest) == "clip4dm, all 4 text layers; the lowest word does not fit"


def test_infer_writes_it(tiny_folder, tmp_path, capsys):
    asked = ["--pretrained", str(tiny_folder), "--device", "cpu", "--text", "a cup of coke", "a dog", "--png"]
    infer.main([*asked, str(tmp_path / "cup.png")])
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert opened((tmp_path / "cup.png").read_bytes()).shape[1] == WIDTH * DPI


@pytest.mark.parametrize("kind", ["png", "html"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing/cup", "there is no folder"),
        ("folder", "is there already, and is no file"),
        ("device", "is there already, and is no file"),
        ("photo", "is the picture itself"),
        ("link", "is the picture itself"),
        ("cup.jpg", "its name ends in"),
        ("", "its name ends in"),
    ],
)
def test_infer_writes_over_nothing_but_figures(tiny_folder, tmp_path, capsys, kind, name, said):
    photo = tmp_path / f"photo.{kind}"
    (tmp_path / f"folder.{kind}").mkdir()
    (tmp_path / f"device.{kind}").symlink_to("/dev/null")
    (tmp_path / f"link.{kind}").symlink_to(photo)
    PICTURE.save(photo, "png")
    name = f"{name}.{kind}" if name and "." not in name else name
    asked = ["--pretrained", str(tiny_folder), "--device", "cpu", "--image", str(photo), "--text", "a dog"]
    with pytest.raises(SystemExit) as stop:
        infer.main([*asked, f"--{kind}", str(tmp_path / name) if name else ""])
    printed = capsys.readouterr()
    assert stop.value.code == 2 and printed.out == "" and said in printed.err.splitlines()[-1]
    assert Image.open(photo).size == PICTURE.size
