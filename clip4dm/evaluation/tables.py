"""How figures are shown: numbers, intervals, and the tables of the terminal and of Markdown.

Three decimals; a dash where there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tabulate import tabulate

if TYPE_CHECKING:
    from clip4dm.evaluation.metrics.metrics import Figure

NOTHING = "—"


def number(value: float | None, style: str = ".3f") -> str:
    """A number, or a dash.

    >>> number(0.6021), number(-0.1, "+.3f"), number(None)
    ('0.602', '-0.100', '—')
    """
    return NOTHING if value is None else f"{value:{style}}"


def interval(low: float | None, high: float | None) -> str:
    """A figure's interval, or a dash.

    >>> interval(0.58, 0.6249), interval(None, None)
    ('[0.580, 0.625]', '—')
    """
    return NOTHING if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def decimals(published: float) -> int:
    """How many the paper prints of a number: two, or three where it has them.

    >>> decimals(0.6), decimals(0.806)
    (2, 3)
    """
    return 3 if round(published, 2) != published else 2


def cell(figure: Figure | None) -> str:
    """A figure and its interval, where it has one, in a cell of a table.

    >>> from clip4dm.evaluation.metrics.metrics import Figure
    >>> cell(Figure(0.6021, 0.58, 0.6249, 2500)), cell(Figure(0.5, None, None, 3)), cell(None)
    ('0.602 [0.580, 0.625]', '0.500', '—')
    """
    if figure is None or figure.value is None:
        return NOTHING
    return number(figure.value) + ("" if figure.low is None else f" {interval(figure.low, figure.high)}")


def markdown_table(rows: Iterable[Sequence[str]], headers: Sequence[str]) -> str:
    """A table in GitHub's Markdown, its cells as they are given.

    >>> print(markdown_table([["ViT-B-32", "0.60"]], ["model", "LA"]))
    | model | LA |
    |----------|------|
    | ViT-B-32 | 0.60 |
    """
    return tabulate(list(rows), headers, tablefmt="github", stralign=None, disable_numparse=True)


def format_table(rows: Iterable[tuple[str, Figure, float | None]]) -> str:
    """Aligned plain text, a line for each (metric, ours, paper's); a dash where there is none, and why.

    >>> from clip4dm.evaluation.metrics.metrics import Figure
    >>> print(format_table([("LA", Figure(0.6021, 0.58, 0.6249, 2500), 0.6)]))
    metric   ours   95 % interval     n  paper
    LA      0.602  [0.580, 0.625]  2500   0.60
    """
    # The headings are a row among others: tabulate would pad them more than what stands under them.
    lines = [("metric", "ours", "95 % interval", "n", "paper", "")]
    for metric, figure, published in rows:
        lines.append(
            (
                _printable(metric),
                number(figure.value),
                interval(figure.low, figure.high),
                str(figure.n),
                _as_published(published),
                _printable(figure.reason or ""),
            )
        )
    alignment = ("left", "right", "right", "right", "right", "left")
    return tabulate(lines, tablefmt="plain", colalign=alignment, disable_numparse=True)


def _as_published(value: float | None) -> str:
    return number(value, ".2f" if value is None else f".{decimals(value)}f")


def _printable(text: str) -> str:
    """Group names come from annotation files: no control character may reach the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
