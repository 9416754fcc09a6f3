"""A picture and its captions as a PNG: every word on its colour, misaligned ones underlined. For a paper or a slide."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.detection import Detection
from clip4dm.files.writing import replace_file
from clip4dm.report.colours import FITS, FITS_NOT, INK, WHITE, Colour, colour, hexadecimal, scale
from clip4dm.report.pieces import Piece, pieces, settings_line, summary

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 2.6  # inches, of the picture
WIDTH = 8.4  # inches, of the figure
CAPTION, SMALL = 13.0, 8.5  # points
LINE = 0.30  # inches between a caption's lines
LONGEST = 1_000  # characters shown of a caption; the rest is an ellipsis
FITS_A_LINE = 30  # characters
DPI = 150
LARGEST = 780  # pixels, twice what is seen


def write_png(path: Path, picture: Image, detections: Sequence[Detection]) -> None:
    """Write the figure, whole or not at all. detections: of this picture. Errors: OSError.

    write_png(Path("coffee.png"), picture, detector.detect(picture, ["a cup of coke", "a cup of coffee"]))
    """
    replace_file(path, png(picture, detections))


def png(picture: Image, detections: Sequence[Detection]) -> bytes:
    """The figure, WIDTH inches wide, as bytes of a PNG; captions in the order given.

    Characters that matplotlib's font lacks are drawn as boxes.

    png(picture, detector.detect(picture, ["a cup of coke"]))[1:4]  # b'PNG'
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        return _png(picture, detections)


def _png(picture: Image, detections: Sequence[Detection]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, SIDE), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    pen = _Pen(figure, canvas.get_renderer())  # type: ignore[no-untyped-call]
    for detection in detections:
        pen.caption(detection)
    if detections:
        pen.legend(settings_line(detections[0]))
    height = max(SIDE + 0.2, pen.y + 0.1)
    figure.set_size_inches(WIDTH, height)
    pen.draw(height)
    axes = figure.add_axes((0.1 / WIDTH, (height - SIDE - 0.1) / height, SIDE / WIDTH, SIDE / height))
    small = picture.copy()
    small.thumbnail((LARGEST, LARGEST))  # matplotlib would make floats of all pixels
    axes.imshow(small.convert("RGB"))
    axes.set_anchor("N")
    axes.axis("off")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return file.getvalue()


class _Pen:
    """Sets pieces of text one after another from the left, in inches from the top, wrapping at the right margin."""

    def __init__(self, figure: Any, renderer: Any) -> None:
        self.figure, self.renderer = figure, renderer
        self.left, self.right = SIDE + 0.35, WIDTH - 0.15
        self.x, self.y = self.left, 0.35
        self.texts: list[tuple[float, float, str, float, Colour | None, bool]] = []  # x, y, text, size, ground, line

    def caption(self, detection: Detection) -> None:
        full = scale(detection)
        for piece in _shortened(pieces(detection)):
            ground = colour(piece.word.attribution, full) if piece.word else None
            self._set(piece.text, CAPTION, ground, bool(piece.word and piece.word.misaligned))
        self._next_line()
        self._set_words(summary(detection), SMALL)
        self._next_line(1.5)

    def legend(self, settings: str) -> None:
        for text, ground in (("does not fit", FITS_NOT), ("0", WHITE), ("fits", FITS)):
            self._set(text, SMALL, ground, ground == FITS_NOT)
            self._set("    ", SMALL, None, False)
        self._next_line(0.8)
        self._set_words(settings, SMALL)
        self._next_line()

    def draw(self, height: float) -> None:
        """All texts, once the figure's height in inches is known."""
        from matplotlib.lines import Line2D

        for x, y, text, size, ground, underlined in self.texts:
            at = (x / WIDTH, 1 - y / height)
            box = (
                {} if ground is None else {"bbox": {"facecolor": hexadecimal(ground), "edgecolor": "none", "pad": 2.0}}
            )
            self.figure.text(*at, text, fontsize=size, color=hexadecimal(INK), parse_math=False, **box)
            if underlined:
                below = 1 - (y + 0.06) / height
                ends = (at[0], at[0] + self._width(text, size) / WIDTH)
                line = Line2D(
                    ends, (below, below), color=hexadecimal(INK), linewidth=1.6, zorder=9
                )  # above the grounds
                self.figure.add_artist(line)

    def _set_words(self, text: str, size: float) -> None:
        for word in text.split(" "):
            self._set(word + " ", size, None, False)

    def _set(self, text: str, size: float, ground: Colour | None, underlined: bool) -> None:
        text = text.replace("\n", " ")
        if len(text) > FITS_A_LINE:  # no space in it to wrap at
            for start in range(0, len(text), FITS_A_LINE):
                self._set(text[start : start + FITS_A_LINE], size, ground, underlined)
            return
        width = self._width(text, size)
        if self.x > self.left and self.x + width > self.right:
            self._next_line()
            text = text.lstrip() if ground is None else text
        if text:
            self.texts.append((self.x, self.y, text, size, ground, underlined))
            self.x += self._width(text, size)

    def _next_line(self, lines: float = 1.0) -> None:
        self.x, self.y = self.left, self.y + lines * LINE

    def _width(self, text: str, size: float) -> float:
        """Inches; spaces at the ends count."""
        from matplotlib.font_manager import FontProperties

        return float(self.renderer.get_text_width_height_descent(text, FontProperties(size=size), False)[0]) / DPI


def _shortened(of: Iterable[Piece]) -> Iterable[Piece]:
    """The pieces of the first LONGEST characters, and an ellipsis for the rest."""
    shown = 0
    for piece in of:
        shown += len(piece.text)
        if shown > LONGEST:
            yield Piece(" …", None)
            return
        yield piece
