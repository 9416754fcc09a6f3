"""How figures are shown: numbers, intervals, and the tables of the terminal and of Markdown.

Three decimals; a dash where there is nothing to show.
"""

from __future__ import annotations

import re
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


def format_groups(metrics: Sequence[str], rows: Iterable[tuple[str, int, Sequence[Figure | None]]]) -> str:
    """Aligned plain text, a line for each (group, samples, a figure a metric); below, why figures are missing.

    Behind a figure stands half the width of its 95 % interval, whose ends need not lie equally far from it.

    >>> from clip4dm.evaluation.metrics.metrics import Figure
    >>> figures = [Figure(0.973, 0.957, 0.988, 450), Figure(0.5, None, None, 900)]
    >>> print(format_groups(["LA", "AP/F-CLIPScore"], [("kind=colour", 900, figures)]))
                   n          LA            AP
                                  /F-CLIPScore
    kind=colour  900  0.973±.016         0.500
    """
    lines: list[tuple[str, ...]] = [("", "n", *map(_wrapped, metrics))]
    missing: dict[str, list[str]] = {}
    for name, n, figures in rows:
        lines.append((_printable(name), str(n), *map(_with_half_width, figures)))
        for metric, figure in zip(metrics, figures, strict=True):
            if figure is not None and figure.reason:
                missing.setdefault(_without_count(figure.reason), []).append(_printable(f"{name} {metric}"))
    text = tabulate(lines, tablefmt="plain", colalign=("left", *["right"] * (len(metrics) + 1)), disable_numparse=True)
    return "\n".join([text, *(f"{_printable(reason)}: {_listed(where)}" for reason, where in missing.items())])


def _with_half_width(figure: Figure | None) -> str:
    if figure is None or figure.value is None or figure.low is None or figure.high is None:
        return number(None if figure is None else figure.value)
    half = number((figure.high - figure.low) / 2)
    return f"{number(figure.value)}\N{PLUS-MINUS SIGN}{half.removeprefix('0')}"


def _wrapped(metric: str) -> str:
    """A metric's name over several lines, cut where it has a sign."""
    return "\n".join(filter(None, re.split("(?<=.)(?=[/_ ])", metric)))


def _without_count(reason: str) -> str:
    """Alike where groups differ by how many resamples are left out; result.json has the numbers."""
    return re.sub(r"^\d+ of \d+ resamples", "some resamples", reason)


def _listed(names: Sequence[str], most: int = 3) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _as_published(value: float | None) -> str:
    return number(value, ".2f" if value is None else f".{decimals(value)}f")


def _printable(text: str) -> str:
    """Group names come from annotation files: no control character may reach the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
