"""Detections as HTML: every word on its colour, misaligned ones underlined, its number on hover and read out.

Captions, labels, file names and group names are anybody's: all that is shown goes through `escaped`. A page needs
nothing from elsewhere, and its Content-Security-Policy lets nothing else in.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from clip4dm.detection import Detection, Word
from clip4dm.report.colours import DARK, LIGHT, colour, hexadecimal, scale_of
from clip4dm.report.pieces import pieces_of, settings_line, summary
from clip4dm.report.style import STYLE

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "STYLE",
    "caption_html",
    "detection_html",
    "escaped",
    "legend_html",
    "page",
    "picture_data_uri",
    "words_html",
]

LARGEST = 640  # pixels, of a picture's longer side
QUALITY = 85  # of a JPEG
# No characters of HTML, and those that turn the direction of what follows: "\u202egnp.exe" would be shown as "exe.png".
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def escaped(text: str) -> str:
    """Any text as HTML's text, or as an attribute's value in quotes. What it cannot show, or safely, is U+FFFD.

    >>> escaped('</style><img onerror="x">')
    '&lt;/style&gt;&lt;img onerror=&quot;x&quot;&gt;'
    """
    return html.escape(_UNSHOWABLE.sub("\ufffd", text), quote=True)


def caption_html(
    caption: str, words: Sequence[Word], epsilon: float, labelled: Collection[tuple[int, int]] = ()
) -> str:
    """The caption, a paragraph, each word on its colour. labelled: (start, end) in characters, what people found wrong.

    The attribution stands in the word's title, and after the word for those who listen.

    >>> print(caption_html("a coke", [Word("coke", 2, 6, attribution=-2e-4, misaligned=True)], epsilon=-5e-5))
    ... # doctest: +NORMALIZE_WHITESPACE
    <p class="caption" dir="auto">a <span class="word misaligned" style="--light:#f59331;--dark:#a54e08"
    title="-0.0002: does not fit">coke</span><span class="heard"> (minus 0.0002, does not fit) </span></p>
    """
    full, at, parts = scale_of(words, epsilon), 0, []
    for piece in pieces_of(caption, words):
        end = at + len(piece.text)
        marked = _marked(caption, at, end, labelled)
        if piece.word:
            marked = _word_html(piece.word, marked, full, _overlaps(at, end, labelled))
        parts.append(marked)
        at = end
    return f'<p class="caption" dir="auto">{"".join(parts)}</p>'


def detection_html(detection: Detection, labelled: Collection[tuple[int, int]] = (), below: str = "") -> str:
    """The caption, and a line of figures below it. below: HTML that comes last.

    detection_html(detector.detect("photo.jpg", ["a cup of coke"])[0])  # '<div class="detection">...'
    """
    shown = caption_html(detection.caption, detection.words, detection.epsilon, labelled)
    figures = escaped(summary(detection)).replace("F-CLIPScore", '<span class="whole">F-CLIPScore</span>')
    return f'<div class="detection">{shown}<p class="summary" dir="auto">{figures}</p>{below}</div>'


def words_html(detection: Detection) -> str:
    """The words as a table: attribution and verdict of each.

    words_html(detection)  # '<table class="words">...'
    """
    rows = "".join(
        f'<tr><th scope="row" dir="auto">{escaped(word.text)}</th>'
        f'<td class="number">{"" if word.attribution is None else f"{word.attribution:.3g}"}</td>'
        f"<td>{_verdict(word)}</td></tr>"
        for word in detection.words
    )
    head = (
        '<tr><th scope="col">word</th><th scope="col" class="number">attribution</th><th scope="col">verdict</th></tr>'
    )
    return f'<table class="words"><thead>{head}</thead><tbody>{rows}</tbody></table>'


def legend_html(detection: Detection | None = None, labelled: bool = False) -> str:
    """What colours and lines mean; with a detection also the settings. labelled: whether labels are among the marks.

    >>> "found wrong by people" in legend_html(labelled=True), "found wrong by people" in legend_html()
    (True, False)
    """
    label = '<span><span class="labelled">word</span> found wrong by people</span>' if labelled else ""
    settings = f'<p class="settings">{escaped(settings_line(detection))}</p>' if detection else ""
    return (
        '<div class="legend"><p><span>does not fit <span class="scale"></span> fits</span>'
        '<span><span class="word misaligned">word</span> misaligned</span>'
        f'<span><span class="word unscored">word</span> not scored</span>{label}</p>'
        f"<p>The full colour is the caption's largest attribution, or epsilon where that is larger.</p>{settings}</div>"
    )


def page(title: str, body: str, *, script: str | None = None, style: str = "") -> str:
    """A whole document. body: HTML. script: the only one that may run, by its hash. style: rules beside STYLE.

    Nothing is fetched: pictures are data URIs. Write it as UTF-8. Errors: ValueError for a script that ends its own
    element.

    >>> page("Cup & coke", "<h1>Cup</h1>").partition("<title>")[2].partition("</title>")[0]
    'Cup &amp; coke'
    """
    allowed, element = "", ""
    if script is not None:
        if re.search("</script|<!--", script, re.IGNORECASE):
            raise ValueError("a script with </script or <!-- in it would end elsewhere than it should")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        allowed, element = f" script-src 'sha256-{digest}';", f"<script>{script}</script>\n"
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline';{allowed} base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
{body}
{element}</body>
</html>
"""


def picture_data_uri(picture: Image, largest: int = LARGEST) -> str:
    """The picture inside an address, for <img src>: at most `largest` pixels a side, nothing but its pixels.

    JPEG or PNG, whichever is smaller: photographs are by JPEG, drawings by PNG.

    >>> from PIL import Image
    >>> picture_data_uri(Image.new("L", (2000, 10)))[:22]
    'data:image/png;base64,'
    """
    small = picture.copy()
    small.thumbnail((largest, largest))
    small = small.convert("RGB")
    small.info.clear()  # a profile, a comment
    files = {}
    for name, options in (("jpeg", {"quality": QUALITY}), ("png", {})):
        file = io.BytesIO()
        small.save(file, name, optimize=True, **options)
        files[name] = file.getvalue()
    name = min(files, key=lambda kind: len(files[kind]))
    return f"data:image/{name};base64,{base64.b64encode(files[name]).decode()}"


def _word_html(word: Word, marked: str, full: float, labelled: bool) -> str:
    """A word's span, and what is read out behind it: inside, its box would be drawn anew on the next line."""
    heard = [_heard(word.attribution)] if word.attribution is not None else []
    heard += [_verdict(word)] * (not word.scored or word.misaligned) + ["found wrong by people"] * labelled
    number = "" if word.attribution is None else f"{word.attribution:.3g}"
    title = ": ".join(part for part in (number, _verdict(word) if word.misaligned or not number else "") if part)
    kind = " misaligned" if word.misaligned else "" if word.scored else " unscored"
    grounds = "" if word.attribution is None else f' style="{_grounds(word.attribution, full)}"'
    said = f'<span class="heard"> ({", ".join(heard)}) </span>'
    return f'<span class="word{kind}"{grounds} title="{title}">{marked}</span>{said}'


def _grounds(attribution: float, full: float) -> str:
    light, dark = (hexadecimal(colour(attribution, full, palette)) for palette in (LIGHT, DARK))
    return f"--light:{light};--dark:{dark}"


def _heard(attribution: float) -> str:
    """A number as it is read out: the hyphen for minus mostly is not."""
    return f"minus {-attribution:.3g}" if attribution < 0 else f"{attribution:.3g}"


def _verdict(word: Word) -> str:
    if not word.scored:
        return "not scored, beyond CLIP's context" if word.beyond_context else "not scored"
    return "does not fit" if word.misaligned else "fits"


def _overlaps(start: int, end: int, labelled: Collection[tuple[int, int]]) -> bool:
    return any(max(start, one) < min(end, other) for one, other in labelled)


def _marked(caption: str, start: int, end: int, labelled: Collection[tuple[int, int]]) -> str:
    """caption[start:end] as HTML, what lies in a label in a span of its own."""
    cuts = sorted({start, end, *(cut for label in labelled for cut in label if start < cut < end)})
    parts = []
    for one, other in zip(cuts, cuts[1:], strict=False):
        text = escaped(caption[one:other])
        parts.append(f'<span class="labelled">{text}</span>' if _overlaps(one, other, labelled) else text)
    return "".join(parts)
