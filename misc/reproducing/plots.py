"""The plots: figures against the number of text layers, and against epsilon. PNG, by matplotlib, without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

OURS, PAPER, SECOND = "#1f5fa8", "#8a8a8a", "#c2571a"


def _axes(count: int):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, count, figsize=(5.2 * count, 3.8), layout="constrained", squeeze=False)
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#e6e6e6")
        axis.set_axisbelow(True)
    return figure, axes[0]


def layer_plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """LA and AP against the number of last layers averaged, with intervals; the paper's as hollow points.

    rows: of the table "layers", as reproduce_tables writes them.
    """
    from matplotlib import pyplot

    figures = (("LA", "location accuracy"), ("AP/F-CLIPScore_published", "AP of F-CLIPScore, as published"))
    models = list(dict.fromkeys((row["model"], row["data"]) for row in rows if "ours" in row))
    drawing, axes = _axes(len(figures))
    for axis, (name, label) in zip(axes, figures, strict=True):
        for (model, data), colour in zip(models, (OURS, SECOND, "#3d8b4f"), strict=False):
            mine = [
                row
                for row in rows
                if row["figure"] == name
                and (row["model"], row["data"]) == (model, data)
                and row.get("ours") is not None
            ]
            layers = [int(row["row"].split()[-1]) for row in mine]
            axis.plot(layers, [row["ours"] for row in mine], "o-", color=colour, label=f"{model}, {data}")
            banded = [(k, row) for k, row in zip(layers, mine, strict=True) if row["low"] is not None]
            axis.fill_between(
                [k for k, _ in banded],
                [row["low"] for _, row in banded],
                [row["high"] for _, row in banded],
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
            paper = [(k, row["paper"]) for k, row in zip(layers, mine, strict=True) if row["paper"] is not None]
            if paper:
                axis.plot(*zip(*paper, strict=True), "o", mfc="none", color=PAPER, label=f"{model}, the paper's")
        axis.set_xlabel("last text layers averaged")
        axis.set_ylabel(label)
        axis.set_xticks(sorted({int(row["row"].split()[-1]) for row in rows if "ours" in row}))
    axes[0].legend(frameon=False, fontsize=8)
    drawing.savefig(path, dpi=130)
    pyplot.close(drawing)


def epsilon_plot(
    epsilons: Sequence[float], curves: Mapping[str, Sequence[float | None]], marks: Mapping[str, float], path: Path
) -> None:
    """Figures against epsilon, on a logarithmic axis. curves: {name: a value for each epsilon}; marks: {name: it}."""
    from matplotlib import pyplot

    drawing, (axis,) = _axes(1)
    colours = (OURS, SECOND, "#3d8b4f", "#8a5fb0", "#8a8a8a")
    for (name, values), colour in zip(curves.items(), colours, strict=False):
        points = [(-e, v) for e, v in zip(epsilons, values, strict=True) if v is not None and e < 0]
        if points:
            axis.plot(*zip(*points, strict=True), "o-", markersize=3, color=colour, label=name)
    for style, (name, epsilon) in zip(("--", ":"), marks.items(), strict=False):
        if epsilon < 0:
            axis.axvline(-epsilon, color="#444444", linestyle=style, linewidth=1, label=f"{name}, {epsilon:g}")
    axis.set_xscale("log")
    axis.set_xlabel("minus epsilon (fewer words are found to the right)")
    axis.set_ylim(0, 1)
    axis.legend(frameon=False, fontsize=8)
    drawing.savefig(path, dpi=130)
    pyplot.close(drawing)
