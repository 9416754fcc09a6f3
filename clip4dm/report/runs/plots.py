"""A report's plots as SVG: figures with their intervals, distributions of scores, precision and recall over epsilon.

Drawn on white, in the colours of the words: orange for captions that do not fit, blue for those that do.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clip4dm.evaluation.metrics.metrics import Figure

TRUE, FOILED, GREY, INK = "#2f6fb3", "#d8741a", "#6b7480", "#1b1f24"  # 3 : 1 at least on white
FEWEST_BINS, MOST_BINS = 12, 60
LONGEST_NAME = 28  # characters of a group's name that are drawn
Floats = NDArray[np.float64]
_ABOVE: dict[str, Any] = {
    "loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 4, "frameon": False, "fontsize": 8.5, "columnspacing": 1.2,
}  # fmt: skip


def svg(drawing: Any) -> str:
    """A matplotlib figure as SVG without anything that changes between runs.

    svg(drawing)[:4]  # '<svg'
    """
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "clip4dm", "svg.fonttype": "path"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        drawing.savefig(file, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return re.sub(r"<\?xml.*?<svg", "<svg", file.getvalue(), count=1, flags=re.DOTALL)


def figures_plot(
    panels: Sequence[str], rows: Sequence[tuple[str, Mapping[str, Figure]]], *, first_through_all: bool = True
) -> str:
    """Points with their intervals: a panel a metric, a row a group. first_through_all: the first row's value as a line.

    figures_plot(["LA"], [("all", {"LA": figure}), ("kind=colour", {"LA": figure})])
    """
    width = 10.0 if len(panels) == 1 else min(4.2, 10.5 / len(panels))
    drawing, axes = _axes(len(panels), height=0.9 + 0.27 * len(rows), width=width, share=True)
    for axis, metric in zip(axes, panels, strict=True):
        for y, (name, figures) in enumerate(rows):
            figure = figures.get(metric)
            if figure is None or figure.value is None:
                continue
            if figure.low is not None and figure.high is not None:
                axis.plot([figure.low, figure.high], [y, y], color=TRUE, linewidth=5, alpha=0.3, solid_capstyle="butt")
            axis.plot(figure.value, y, "o", color=INK if name == "all" else TRUE, markersize=5)
            if y == 0 and first_through_all:
                axis.axvline(figure.value, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
        axis.set_title(metric.replace("AP/", "AP of "), fontsize=10, loc="left", parse_math=False)
        axis.grid(axis="x", color="#e6e9ed")
    axes[0].set_yticks(range(len(rows)), [_short(name) for name, _ in rows])
    for text in axes[0].get_yticklabels():
        text.set_parse_math(False)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    return svg(drawing)


def scores_plot(true: Floats, foiled: Floats | None, name: str, cut: float | None) -> str:
    """How many captions have which score, as shares. foiled: None where nobody labelled captions. cut: a line at it.

    Captions of score 0 exactly are a bar of their own at the right end: of F-CLIPScore those without any word below
    epsilon. What lies left of the lowest percent is counted in the first bar.

        scores_plot(np.array([-0.01, 0.0]), np.array([-0.2]), "F-CLIPScore", cut=-0.1)
    """
    drawing, (axis,) = _axes(1, height=3.5, width=5.8)
    drawn = [("true captions" if foiled is not None else "captions", true, TRUE)]
    if foiled is not None:
        drawn.append(("misaligned captions", foiled, FOILED))
    everything = np.concatenate([values for _, values, _ in drawn])
    low, high = np.quantile(everything, [0.01, 1.0]) if len(everything) else (-1.0, 0.0)
    low, high = (low, high) if high > low else (low - max(abs(low), 1e-9), high)
    bins = int(np.clip(1.5 * np.sqrt(len(everything)), FEWEST_BINS, MOST_BINS))
    edges = np.linspace(low, high, bins + 1)
    for label, values, colour in drawn:
        if len(values):
            counts = np.histogram(np.clip(values, low, high), edges)[0] / len(values)
            named = f"{label} ({len(values):,})"
            axis.stairs(counts, edges, fill=True, color=colour, alpha=0.35)
            axis.stairs(counts, edges, color=colour, linewidth=1.4, label=named)
    if cut is not None:
        axis.axvline(cut, color=INK, linestyle="--", linewidth=1.2, label=f"cut at {cut:.3g}")
    axis.set_xlabel(name)
    axis.set_ylabel("share of captions")
    axis.margins(x=0.01)
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", color="#e6e9ed")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(**_ABOVE)
    return svg(drawing)


def epsilon_plot(epsilons: Sequence[float], figures: Mapping[str, Sequence[float | None]], usual: float) -> str:
    """precision, recall and f1 over epsilon; usual: the run's, a line at it.

    epsilon_plot([-2e-4, -1e-4], {"precision": [0.9, 0.8], "recall": [0.5, 0.6]}, -5e-5)
    """
    drawing, (axis,) = _axes(1, height=3.5, width=5.8)
    styles = {"precision": (TRUE, "o-"), "recall": (FOILED, "s-"), "f1": (INK, "--")}
    for name, values in figures.items():
        colour, style = styles[name]
        known = [(one, value) for one, value in zip(epsilons, values, strict=True) if value is not None]
        if known:
            axis.plot(*zip(*known, strict=True), style, color=colour, markersize=4, linewidth=1.5, label=name)
    axis.axvline(usual, color=GREY, linestyle=":", linewidth=1.4, label=f"epsilon {usual:g}")
    axis.set_xscale("symlog", linthresh=float(np.median(np.abs(epsilons))) or 1e-5)
    axis.set_xlabel("epsilon: words below it are said not to fit")
    axis.set_ylim(0, 1.03)
    axis.grid(color="#e6e9ed")
    axis.legend(**_ABOVE)
    return svg(drawing)


def _axes(count: int, height: float, width: float, share: bool = False) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(max(width * count, 5.0), height), layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots(1, count, squeeze=False, sharey=share)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_axisbelow(True)
        axis.tick_params(colors=INK)
    return drawing, list(axes)


def _short(name: str) -> str:
    name = " ".join("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name).split())
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
