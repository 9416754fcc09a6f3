"""The first page of a report: the main figures, all of them with intervals, plots, the first cards, what made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clip4dm.evaluation.metrics.metrics import Figure
from clip4dm.evaluation.report import flatten
from clip4dm.evaluation.shown import Group, groups_of, metrics_of, overall
from clip4dm.evaluation.tables import interval, number
from clip4dm.report.html import escaped
from clip4dm.report.runs import plots
from clip4dm.report.runs.cards import Cards, short
from clip4dm.report.runs.curves import best_cut, epsilon_curve
from clip4dm.report.runs.galleries import Tally, galleries_of
from clip4dm.report.runs.pages import Frame
from clip4dm.report.runs.parts import Cell, breakable, figure_cell, plot_html, settings_table, table_html, tiles_html
from clip4dm.report.runs.sources.base import Shown, Source
from clip4dm.scores import F_CLIP_SCORE

# The figures that stand first and are drawn, of those that a benchmark has.
MAIN = ("LA", "precision", "recall", "f1", "AP/{score}", "pearson/{score}", "tau_c/{score}", "tau_b/{score}",
        "AP/CLIPScore", "pearson/CLIPScore", "tau_c/CLIPScore", "tau_b/CLIPScore", "NLI")  # fmt: skip
PANELS, DRAWN_ROWS = 4, 30  # metrics and groups that are drawn
VALUE = "value"  # of the panel, where there are no groups
PREVIEW = 2  # cards of each gallery
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def overview_page(frame: Frame, source: Source, tally: Tally, pairs: Mapping[int, Shown], cards: Cards) -> str:
    """index.html.

    overview_page(frame, source, tally, fetch(source, places), Cards(source, groups))
    """
    galleries = _galleries(source, tally, pairs, cards)  # first: only then is known which pictures are missing
    body = (
        _notices(source, tally, cards)
        + _tiles(source, tally)
        + galleries
        + _figures(source.result)
        + _scores_and_epsilons(source, tally)
        + f"<h2>What made it</h2>{settings_table(source.about)}"
    )
    return frame.page("index.html", frame.title, body)


def main_metrics(figures: Mapping[str, Figure], score: str) -> list[str]:
    """The few figures to look at first, of those that have a value.

    >>> half = Figure(0.5, None, None, 2)
    >>> main_metrics({"AP/CLIPScore": half, "LA": half, "LA_span": half}, "F-CLIPScore")
    ['LA', 'AP/CLIPScore']
    """
    names = [name.format(score=score) for name in MAIN]
    return [name for name in names if name in figures and figures[name].value is not None][:PANELS]


def _score_key(result: Mapping[str, Any]) -> str:
    """The score's name among a result's figures: F-CLIPScore unless another one was asked for."""
    name = result["settings"].get("score")
    return "F-CLIPScore" if name in (None, F_CLIP_SCORE) else str(name)


def _notices(source: Source, tally: Tally, cards: Cards) -> str:
    skipped = sum(tally.reasons.values())
    lines = [escaped(line) for line in source.notices]
    if skipped:
        link = f'<a href="skipped.html">{counted(skipped, "pair")} without scores</a>'
        reason, count = tally.reasons.most_common(1)[0]
        lines.append(f"{link}, part of no figure; {count:,} of them: {escaped(reason)}")
    if tally.truncated:
        lines.append(
            f"{counted(tally.truncated, 'caption')} truncated: the last words lie beyond CLIP's context, not scored"
        )
    if tally.unscored:
        lines.append(f"{counted(tally.unscored, 'caption')} without any word that was scored")
    if tally.scored and not tally.with_misaligned:
        lines.append("no word of any caption was called misaligned")
    if tally.not_located:
        lines.append(f"{counted(tally.not_located, 'label')} not to be found in the caption: neither hit nor miss")
    if source.labelled and tally.scored and not len(tally.foiled_scores):
        lines.append("there is no misaligned caption: nothing to find")
    if not tally.scored:
        lines.append("no pair has scores")
    if cards.without and not any("--img_dir" in line for line in source.notices):
        name, reason = next(iter(cards.without.items()))
        many = counted(len(cards.without), "picture")
        lines.append(f"{many} of the cards cannot be shown, first {escaped(name)}: {escaped(reason)}")
    return f'<ul class="notices">{"".join(f"<li>{line}</li>" for line in lines)}</ul>' if lines else ""


def counted(count: int, what: str) -> str:
    """So many of these.

    >>> counted(1, "pair"), counted(2000, "pair")
    ('1 pair', '2,000 pairs')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _tiles(source: Source, tally: Tally) -> str:
    tiles = [("pairs", f"{tally.scored:,}", _counts(source, tally))]
    if source.result is not None:
        figures = dict(flatten(source.result))
        for name in main_metrics(figures, _score_key(source.result)):
            figure = figures[name]
            between = f"95 %: {interval(figure.low, figure.high)}" if figure.low is not None else "no interval"
            tiles.append((_spelled(name), number(figure.value), between))
    elif tally.scored:
        share = tally.with_misaligned / tally.scored
        tiles += [
            ("with misaligned words", f"{share:.1%}", f"{tally.with_misaligned:,} captions"),
            (f"median {source.score_name}", f"{float(np.median(tally.scores)):.3g}", "the higher, the better"),
            ("mean cosine", f"{float(np.mean(tally.cosines)):.3f}", "of picture and caption"),
        ]
    return tiles_html(tiles)


def _counts(source: Source, tally: Tally) -> str:
    skipped = f", {sum(tally.reasons.values()):,} not scored" if tally.reasons else ""
    return (f"{len(tally.foiled_scores):,} misaligned" if source.labelled else "scored") + skipped


def _spelled(metric: str) -> str:
    return {"LA": "location accuracy (LA)"}.get(metric, metric.replace("AP/", "AP of ").replace("/", " of "))


def _figures(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return ""
    figures, groups = dict(flatten(result)), groups_of(result)
    panels = main_metrics(figures, _score_key(result))
    parts = ["<h2>Figures</h2>"]
    rows = [("all", figures), *((group.name, group.figures) for group in groups)]
    if panels and groups:
        values = "; ".join(f"{name}: {number(figures[name].value)}" for name in panels)
        more = f" The first {DRAWN_ROWS} groups are drawn." if len(groups) > DRAWN_ROWS else ""
        parts.append(
            plot_html(
                plots.figures_plot(panels, rows[: DRAWN_ROWS + 1]),
                f"{', '.join(panels)} of each group with their intervals. Of all samples: {values}. The table below "
                "has all numbers.",
                f"Each group's figures; the bars are 95 % intervals, the dotted line is all samples' figure.{more}",
            )
        )
    if not groups and panels:
        known = [(name, {VALUE: figure}) for name, figure in figures.items() if figure.value is not None]
        drawn = plots.figures_plot([VALUE], known, first_through_all=False)
        text = "All samples' figures; the bars are 95 % intervals."
        parts.append(plot_html(drawn, f"{text} The table below has all numbers.", text))
    if groups and metrics_of(groups):
        parts.append(_group_table(result["n"], figures, groups))
    parts.append(_overall_table(result))
    return "".join(parts)


def _group_table(n: int, figures: Mapping[str, Figure], groups: Sequence[Group]) -> str:
    metrics = metrics_of([*groups])
    heads = ["group", "n", *map(breakable, metrics)]
    first: list[Cell] = [("all", ""), (f"{n:,}", n), *(figure_cell(figures.get(name)) for name in metrics)]
    rows: list[Sequence[Cell]] = [
        [
            (escaped(short(group.name)), ""),
            (f"{group.n:,}", group.n),
            *(figure_cell(group.figures.get(m)) for m in metrics),
        ]
        for group in groups
    ]
    return table_html("figures of each group", heads, rows, [first])


def _overall_table(result: Mapping[str, Any]) -> str:
    rows: list[Sequence[Cell]] = [
        [
            (breakable(name), ""),
            (number(figure.value), "" if figure.value is None else figure.value),
            (interval(figure.low, figure.high), "" if figure.low is None else figure.low),
            (f"{figure.n:,}", figure.n),
            (number(published), "" if published is None else published),
            (escaped(str(figure.reason or "")), None),
        ]
        for name, figure, published in overall(result)
    ]
    heads = ["all samples", "value", "95 % interval", "n", "paper", "remark"]
    return table_html("figures of all samples", heads, rows)


def _scores_and_epsilons(source: Source, tally: Tally) -> str:
    quantiles = _quantiles(source, tally) if source.result is None and tally.scored else ""
    return f'<div class="side">{_scores(source, tally)}{quantiles}{_epsilons(source)}</div>'


def _scores(source: Source, tally: Tally) -> str:
    if not tally.scored:
        return ""
    true, foiled = np.array(tally.scores), np.array(tally.foiled_scores)
    cut = best_cut(true, foiled) if source.labelled else None
    name = source.score_name
    said = [f"Captions by their {name}; what lies left of the lowest percent is counted in the first bar."]
    if cut is not None:
        said.append(
            f"Cut at {cut.score:.4g}, {cut.true_kept:.1%} of the true captions lie at or above it and "
            f"{cut.foiled_left:.1%} of the misaligned ones below: a balanced accuracy of {cut.balanced_accuracy:.3f}. "
            "It is the best cut of these very captions; on others it will do a little worse."
        )
    if name == "F-CLIPScore":
        kinds = [("captions", true)] if not source.labelled else [("true captions", true), ("misaligned ones", foiled)]
        shares = [f"{float(np.mean(values == 0)):.1%} of the {kind}" for kind, values in kinds if len(values)]
        said.append(f"No word lies below epsilon, and F-CLIPScore is 0, in {' and '.join(shares)}.")
    text = " ".join(said)
    picture = plots.scores_plot(true, foiled if source.labelled else None, name, cut.score if cut else None)
    alt = f"Distribution of {name} of {len(true):,} {'true captions and ' if source.labelled else 'captions'}"
    alt += f"{len(foiled):,} misaligned ones" if source.labelled else ""
    return f"<section><h2>Scores</h2>{plot_html(picture, alt, text)}</section>"


def _quantiles(source: Source, tally: Tally) -> str:
    names = ["lowest", *(f"{share:.0%} are lower" for share in QUANTILES[1:-1]), "highest"]
    columns = [np.quantile(values, QUANTILES).tolist() for values in (tally.scores, tally.cosines)]
    rows: list[Sequence[Cell]] = [
        [(name, ""), (f"{score:.4g}", score), (f"{cosine:.3f}", cosine)]
        for name, score, cosine in zip(names, *columns, strict=True)
    ]
    table = table_html("quantiles of the scores", ["of all pairs", escaped(source.score_name), "cosine"], rows)
    return f"<section><h2>Quantiles</h2>{table}</section>"


def _epsilons(source: Source) -> str:
    words = source.words()
    curve = None if words is None else epsilon_curve(words, source.epsilon)
    if curve is None:
        return ""
    at = curve.epsilons.index(source.epsilon)
    here = ", ".join(f"{name} {number(values[at])}" for name, values in curve.figures.items())
    text = (
        f"Words below epsilon are said not to fit, whatever the run's rule; right is a word that overlaps a label. "
        f"At the run's epsilon of {source.epsilon:g}: {here}."
    )
    picture = plots.epsilon_plot(curve.epsilons, curve.figures, source.epsilon)
    alt = f"Precision, recall and f1 over epsilon. {text}"
    return f"<section><h2>Precision and recall over epsilon</h2>{plot_html(picture, alt, text)}</section>"


def _galleries(source: Source, tally: Tally, pairs: Mapping[int, Shown], cards: Cards) -> str:
    first = [pairs[place] for places in tally.chosen.values() for place in places[:PREVIEW]]
    parts = [f"<h2>Examples</h2>{cards.legend(first)}"]
    for gallery in galleries_of(source):
        places = tally.chosen[gallery.name]
        parts.append(f"<h3>{escaped(gallery.title)}</h3><p>{escaped(gallery.what)}</p>")
        if places:
            shown = "".join(cards.html(pairs[place], rank, level=4) for rank, place in enumerate(places[:PREVIEW], 1))
            parts.append(
                f'<ol class="cards">{shown}</ol><p class="more"><a href="{gallery.name}.html">'
                f"{escaped(gallery.title)}: {len(places):,} of {tally.members[gallery.name]:,} such captions</a></p>"
            )
        else:
            parts.append("<p><b>There is none in this run.</b></p>")
    counts = tally.words.most_called(12)
    if counts:
        listed = ", ".join(f"{escaped(count.word)} ({count.called:,})" for count in counts)
        parts.append(
            f'<h3>Words most often called misaligned</h3><p>{listed}</p><p class="more"><a href="words.html">'
            "Table of words, and examples</a></p>"
        )
    return "".join(parts)
