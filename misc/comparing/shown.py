"""The comparison of methods as Markdown, CSV and a plot."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from clip4dm.evaluation.comparison import Compared
from clip4dm.evaluation.tables import cell, markdown_table, number

FIGURES = (
    "LA",
    "LA less",
    "LA word",
    "LA word less",
    "LA_span",
    "F1",
    "AP CLIPScore",
    "AP F-CLIPScore",
    "AP F-CLIPScore less",
    "AP F-CLIPScore, own epsilon",
    "AP F-CLIPScore, own epsilon less",
    "AP additive",
    "AP additive less",
)
Costs = Mapping[str, tuple[float, float]]  # method -> milliseconds a pair, times the paper's


def markdown(found: Sequence[Compared], costs: Costs) -> str:
    """Two tables: figures and costs, a row a method; LA of each kind of foil."""
    rows = [
        [
            method.method,
            *(cell(method.figures.get(name)) for name in FIGURES),
            *(
                "" if value is None else f"{value:.3g}"
                for value in (method.epsilon, method.score_epsilon, method.weight)
            ),
            *(number(value, ".2f") for value in costs.get(method.method, (None, None))),
        ]
        for method in found
    ]
    tables = [
        markdown_table(rows, ["method", *FIGURES, "epsilon", "own epsilon", "weight", "ms a pair", "times clip4dm"])
    ]
    kinds = sorted({kind for method in found for kind in method.kinds})
    if kinds:
        by_kind = [[method.method, *(cell(method.kinds.get(kind)) for kind in kinds)] for method in found]
        tables.append(markdown_table(by_kind, ["LA of", *kinds]))
    return "\n\n".join(tables) + "\n"


def write_csv(path: Path, found: Sequence[Compared]) -> None:
    """Every figure, a line each. Errors: OSError."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "figure", "value", "low", "high", "n"])
        for method in found:
            named = {**method.figures, **{f"LA of {kind}": figure for kind, figure in method.kinds.items()}}
            for name, figure in named.items():
                writer.writerow([method.method, name, figure.value, figure.low, figure.high, figure.n])


def plot(path: Path, found: Sequence[Compared]) -> None:
    """LA of each method and kind of foil with intervals, as a PNG. Errors: OSError."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = ["all", *sorted({kind for method in found for kind in method.kinds})]
    figure, axis = pyplot.subplots(figsize=(1.6 + 1.1 * len(kinds), 4), layout="constrained")
    width = 0.8 / len(found)
    colours = pyplot.get_cmap("cividis")
    for number_of, method in enumerate(found):
        values = [method.figures["LA"], *(method.kinds.get(kind) for kind in kinds[1:])]
        drawn = [(i, value) for i, value in enumerate(values) if value is not None and value.value is not None]
        heights = [value.value for _, value in drawn]
        errors = [
            [value.value - (value.value if value.low is None else value.low) for _, value in drawn],
            [(value.value if value.high is None else value.high) - value.value for _, value in drawn],
        ]
        axis.bar(
            [i + (number_of - (len(found) - 1) / 2) * width for i, _ in drawn],
            heights,
            width,
            yerr=errors,
            label=method.method,
            color=colours(number_of / max(1, len(found) - 1)),
            error_kw={"linewidth": 0.8},
        )
    axis.set(xticks=range(len(kinds)), xticklabels=kinds, ylabel="location accuracy", ylim=(0, 1))
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", frameon=False, fontsize="small", ncols=6)  # above: bars reach everywhere
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
