"""A picture and its captions as one HTML file, which needs nothing else: to be opened from a mail, or years later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.detection import Detection
from clip4dm.files.writing import replace_file
from clip4dm.report.html import detection_html, escaped, legend_html, page, picture_data_uri, words_html
from clip4dm.report.suggested import suggestions_html, suggestions_legend_html, suggestions_table_html
from clip4dm.suggestion.result import Suggestion

if TYPE_CHECKING:
    from PIL.Image import Image

LAYOUT = """
.pair{display:grid;grid-template-columns:minmax(12rem,22rem) minmax(0,1fr);gap:1.5rem;align-items:start}
.pair>img{width:100%;position:sticky;top:1rem}
.captions{display:grid;gap:1rem}
@media (max-width:44rem){.pair{grid-template-columns:minmax(0,1fr)}.pair>img{position:static}}
"""


Suggested = Sequence[Sequence[Suggestion] | None]  # of each caption; None, or no caption's at all: none asked for


def write_html(
    path: Path, name: str, picture: Image, detections: Sequence[Detection], suggested: Suggested = ()
) -> None:
    """Write the page, whole or not at all. name: the picture's, as it is shown. Errors: OSError.

    write_html(Path("cup.html"), "cup.jpg", picture, detector.detect(picture, ["a cup of coke", "a cup of coffee"]))
    """
    replace_file(path, document(name, picture, detections, suggested).encode())


def document(name: str, picture: Image, detections: Sequence[Detection], suggested: Suggested = ()) -> str:
    """The page: the picture, its captions in the order given, each with tables of its words, and the legend.

    suggested: shown below each caption.

    document("cup.jpg", picture, detector.detect(picture, ["a cup of coke"]))[:15]  # '<!DOCTYPE html>'
    """
    below = [own or () for own in suggested] or [()] * len(detections)
    cards = "".join(
        f'<section class="card" aria-label="caption {number}">{detection_html(detection)}{suggestions_html(own)}'
        f"<details><summary>all numbers</summary>{words_html(detection)}{suggestions_table_html(own)}</details>"
        "</section>"
        for number, (detection, own) in enumerate(zip(detections, below, strict=True), 1)
    )
    legend = legend_html(detections[0] if detections else None) + suggestions_legend_html() * any(below)
    body = (
        f'<main><h1 dir="auto">{escaped(name)}</h1><div class="pair">'
        f'<img src="{picture_data_uri(picture)}" alt="the picture {escaped(name)}">'
        f'<div class="captions">{cards}<div>{legend}</div></div></div></main>'
    )
    return page(name, body, style=LAYOUT)
