"""The histogram of the scores: its counts are numpy's, its line is the cut."""

from __future__ import annotations

import numpy as np
import pytest
from made_scores import random_rows, row, store
from PIL import Image

from clip4dm.commands import filter as command
from clip4dm.scoring.filtering.histogram import cut_of, figure
from clip4dm.scoring.filtering.selection import Rules, select
from clip4dm.scoring.filtering.stored import read_scores

pytest.importorskip("matplotlib", reason="draws")


@pytest.fixture(scope="module")
def rows():
    return random_rows(3000, seed=1)


@pytest.fixture(scope="module")
def scores(rows, tmp_path_factory):
    return read_scores(store(tmp_path_factory.mktemp("scores") / "all", [rows[:2000], rows[2000:]]))


@pytest.mark.parametrize("rules", [Rules(), Rules(keep_fraction=0.3), Rules(above=-0.2, no_misaligned=True)])
def test_counts_are_numpys(rules, rows, scores):
    selection = select(scores.dataset(), rules)
    values = np.array([one["f_clip_score"] for one in rows if one["error"] is None], dtype=float)
    values = values[np.isfinite(values)]
    wanted, _ = np.histogram(values, selection.edges)
    assert np.abs(selection.all_counts - wanted).sum() <= 2  # a score on an edge, but for rounding
    assert selection.lower + selection.all_counts.sum() == len(values) == selection.scored
    assert selection.lower <= 0.001 * len(values) and selection.edges[-1] == 0.0
    kept = np.array([rows[place]["f_clip_score"] for place in selection.places])
    assert np.abs(selection.kept_counts - np.histogram(kept, selection.edges)[0]).sum() <= 2
    assert selection.kept_counts.sum() + (kept < selection.edges[0]).sum() == len(kept) > 100


def test_the_cut(scores):
    data = scores.dataset()
    for rules, cut in ((Rules(), None), (Rules(above=-0.2), -0.2), (Rules(no_misaligned=True), None)):
        assert cut_of(select(data, rules), rules) == cut
    share = Rules(keep_fraction=0.3)
    selection = select(data, share)
    assert cut_of(selection, share) == selection.cut
    (line,) = figure(selection, share).axes[0].lines
    assert list(line.get_xdata()) == [selection.cut] * 2
    assert figure(select(data, Rules()), Rules()).axes[0].lines[:] == []
    labels = [text.get_text() for text in figure(selection, share).axes[0].get_legend().get_texts()]
    assert labels == [f"{selection.scored:,} scored", f"{len(selection.places):,} kept", f"cut at {selection.cut:.4g}"]


@pytest.mark.parametrize("values", [[-0.25], [0.0, 0.0], [None], [-0.5, 0.0]])
def test_few_values(values, tmp_path):
    folder = store(tmp_path / "scores", [[row(f"{i}", value) for i, value in enumerate(values)]])
    command.main([str(folder), "--output", str(tmp_path / "k.txt"), "--histogram", str(tmp_path / "h.png")])
    with Image.open(tmp_path / "h.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
    selection = select(read_scores(folder).dataset(), Rules())
    assert selection.all_counts.sum() + selection.lower == len([value for value in values if value is not None])
