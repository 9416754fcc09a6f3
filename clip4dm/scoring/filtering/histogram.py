"""The scores' distribution as a picture, with what is kept of it and where the cut is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clip4dm.scoring.filtering.selection import Rules, Selection
from clip4dm.scoring.filtering.whole import whole_file


def draw_histogram(path: Path, selection: Selection, rules: Rules) -> None:
    """Write a PNG: how many pairs have which score, all and those kept. Errors: ScoringError.

    The number of pairs is logarithmic: F-CLIPScore is exactly 0 for all pairs without a misaligned word.

        draw_histogram(Path("scores.png"), select(scores.dataset(), rules), rules)
    """
    with whole_file(path) as temporary:
        figure(selection, rules).savefig(temporary, format="png", dpi=150)


def figure(selection: Selection, rules: Rules) -> Any:
    """The matplotlib figure of it.

    figure(selection, rules).savefig("scores.pdf")
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7, 4), layout="constrained")
    axes = drawn.add_subplot()
    kept, scored = len(selection.places), selection.scored
    axes.stairs(selection.all_counts, selection.edges, color="0.4", label=f"{scored:,} scored")
    axes.stairs(selection.kept_counts, selection.edges, fill=True, color="tab:blue", alpha=0.5, label=f"{kept:,} kept")
    cut = cut_of(selection, rules)
    if cut is not None:
        axes.axvline(cut, color="tab:red", linestyle="--", label=f"cut at {cut:.4g}")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlim(min(selection.edges[0], selection.edges[0] if cut is None else cut), selection.edges[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(rules.by + (f" ({selection.lower:,} pairs lie further left)" if selection.lower else ""))
    axes.set_ylabel("pairs")
    axes.legend()
    return drawn


def cut_of(selection: Selection, rules: Rules) -> float | None:
    """Where the line stands: the threshold, or the lowest score of the share kept; None where no rule cuts scores.

    cut_of(selection, Rules(above=-0.01))  # -0.01
    """
    cuts = [] if rules.above is None or rules.by != "f_clip_score" else [rules.above]
    if rules.keep_fraction is not None and selection.cut is not None:
        cuts.append(selection.cut)
    return max(cuts, default=None)
