"""The reliability figure: what the probabilities said, and what was seen; PNG, by matplotlib, without a display."""

from __future__ import annotations

from pathlib import Path

from clip4dm.calibration.curve import Reliability

OURS, IDEAL = "#1f5fa8", "#8a8a8a"


def draw_reliability(found: Reliability, path: Path) -> None:
    """Said against seen: a point a bin, its 95 % interval (Clopper and Pearson's), its number of words beside it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from scipy.stats import binomtest

    figure, axis = pyplot.subplots(figsize=(4.6, 4.2), layout="constrained")
    axis.spines[["top", "right"]].set_visible(False)
    axis.plot([0, 1], [0, 1], color=IDEAL, linewidth=1, label="as it should be")
    rows = list(zip(found.said, found.seen, found.words, strict=True))
    intervals = [binomtest(round(seen * words), words).proportion_ci() for _, seen, words in rows]
    reach = [
        [seen - one.low for (_, seen, _), one in zip(rows, intervals, strict=True)],
        [one.high - seen for (_, seen, _), one in zip(rows, intervals, strict=True)],
    ]
    label = f"held-out words, ECE {found.error:.3f}"
    axis.errorbar(found.said, found.seen, reach, fmt="o", color=OURS, elinewidth=1, markersize=4, label=label)
    for said, seen, words in rows:
        axis.annotate(
            f"{words:,}", (said, seen), xytext=(5, 3), textcoords="offset points", fontsize=7, color="#555555"
        )
    axis.set_xlabel("probability of being wrong, as said")
    axis.set_ylabel("share of words that are wrong, as seen")
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)
    axis.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
