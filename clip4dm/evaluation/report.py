"""From samples.jsonl to the figures of result.json: pure functions of stored records.

A group ("all", and each value of the benchmark's groups) gets every figure its benchmark knows, with n and a 95 %
bootstrap interval in which all samples of an image move together. What is not defined is null, with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clip4dm.benchmarks.base import Benchmark, Sample
from clip4dm.benchmarks.floors import floors
from clip4dm.evaluation.metrics import metrics
from clip4dm.evaluation.metrics.kendall import agreement
from clip4dm.evaluation.metrics.metrics import Bootstrap, Figure
from clip4dm.evaluation.metrics.nli import Entailment
from clip4dm.evaluation.records import Scored, Settings, sample_of, score_record
from clip4dm.evaluation.store.finished import stored_records
from clip4dm.scores import F_CLIP_SCORE, ScoreName

PAPER_SCORES = ("F-CLIPScore", "F-CLIPScore_published", "misaligned_sum")
CLIP_SCORES = ("CLIPScore", "refCLIPScore")
AS_PUBLISHED = "as_published"


class Columns:
    """What the metrics need of all samples, a few numbers each: records themselves are not kept.

    score: what the captions are ordered by, beside CLIPScore and RefCLIPScore. more_scores: names of further scores of
    captions, in `values`, whose average precision is wanted.

    >>> columns = Columns()
    >>> columns.add_scores({"1": {"CIDEr": 0.5}}); columns.more_scores, len(columns.samples)
    (('CIDEr',), 0)
    """

    def __init__(self, score: ScoreName = F_CLIP_SCORE) -> None:
        self.score = score
        self.samples: list[Sample] = []
        self.values: dict[str, list[float | None]] = {}
        self.skipped: dict[str, str] = {}
        self.more_scores: tuple[str, ...] = ()

    def add(self, sample: Sample, record: Mapping[str, Any], scored: Scored, benchmark: Benchmark) -> None:
        """A sample, its record (`records.make_record`) and what it says under some settings."""
        self.samples.append(sample)
        chance, longest = floors(sample, scored.words, benchmark)
        row = {
            "hit": scored.published.hit,
            "hit_span": scored.sound.hit_span,
            "tp": scored.sound.tp,
            "fp": scored.sound.fp,
            "fn": scored.sound.fn,
            "F-CLIPScore": scored.f_clip_score,
            "F-CLIPScore_published": scored.f_clip_score_published,
            "CLIPScore": scored.clip_score,
            "cosine": scored.cosine,
            "refCLIPScore": record["ref_clipscore"],
            "misaligned_sum": scored.misaligned_sum,
            "chance": chance,
            "longest": longest,
            "gt_score": sample.gt_score,
            "NLI": record["nli_score"],
            "truncated": record["truncated"],
        }
        if scored.score_name != F_CLIP_SCORE:
            row[scored.score_name] = scored.score
        for name, value in row.items():
            self.values.setdefault(name, []).append(value)

    @property
    def own_scores(self) -> tuple[str, ...]:
        """The names of what is made of attributions: the paper's three, or another score alone, never both."""
        return PAPER_SCORES if self.score == F_CLIP_SCORE else (self.score,)

    def add_scores(self, scores: Mapping[str, Mapping[str, float]]) -> None:
        """Further scores of captions: {sample id: {name: value}}; a sample may have none."""
        self.more_scores = tuple(dict.fromkeys(name for values in scores.values() for name in values))
        for name in self.more_scores:
            self.values[name] = [scores.get(sample.id, {}).get(name) for sample in self.samples]


def collect(
    path: Path, benchmark: Benchmark, settings: Settings, entailment: Entailment | None = None, *, half: bool = False
) -> Columns:
    """Read samples.jsonl line by line and judge every record.

    entailment: scores NLI anew, for re-scoring. half: see `score_record`. Errors: DamagedRun.

        columns = collect(run.samples, get_benchmark("foil"), run.settings)
    """
    columns = Columns(settings.score)
    pairs: list[tuple[str, str]] = []
    for record in stored_records(path, settings.layers):
        if "skipped" in record:
            columns.skipped[record["id"]] = record["skipped"]
            continue
        sample = sample_of(record)
        scored = score_record(record, sample, benchmark, settings, half=half)
        columns.add(sample, record, scored, benchmark)
        pairs.append((sample.label.lower(), scored.published.predicted))
    if entailment:
        columns.values["NLI"] = list(entailment([p for p, _ in pairs], [h for _, h in pairs]))
    return columns


def summarise(
    columns: Columns, benchmark: Benchmark, *, seed: int = 0, nli_reason: str | None = None
) -> dict[str, Any]:
    """All figures, ready for JSON: {"n", "skipped", "truncated", LA..., "groups": {key: {value: {LA...}}}}.

    seed: of the bootstrap. nli_reason: why there is no NLI, where there is none.

    >>> from clip4dm.benchmarks import get_benchmark
    >>> summarise(Columns(), get_benchmark("foil"))["LA"]["reason"]
    'no misaligned captions'
    """
    bootstrap = Bootstrap([sample.image for sample in columns.samples], seed=seed) if columns.samples else None
    everything = np.arange(len(columns.samples))
    groups: dict[str, dict[str, Any]] = {}
    for key in benchmark.group_keys:
        named = [sample.groups.get(key) for sample in columns.samples]
        groups[key] = {
            value: _figures(columns, benchmark, np.flatnonzero([n == value for n in named]), bootstrap, nli_reason)
            for value in sorted({n for n in named if n is not None})
        }
    return {
        "n": len(columns.samples),
        "skipped": len(columns.skipped),
        "truncated": sum(map(bool, columns.values.get("truncated", []))),
        **_figures(columns, benchmark, everything, bootstrap, nli_reason),
        "groups": groups,
    }


def published_figures(path: Path, benchmark: Benchmark, settings: Settings, *, seed: int = 0) -> dict[str, Any]:
    """The figures with the published code's quirks, all together, under their plain names.

    Numbers rounded to fp16; F-CLIPScore and LA by the rules of `published`, punctuation not excepted.

        published_figures(run.samples, get_benchmark("foil"), run.settings)["LA"]["value"]
    """
    columns = collect(path, benchmark, replace(settings, score=F_CLIP_SCORE, score_weight=None), half=True)
    if columns.samples:
        columns.values["F-CLIPScore"] = columns.values["F-CLIPScore_published"]
    bootstrap = Bootstrap([sample.image for sample in columns.samples], seed=seed) if columns.samples else None
    figures = _figures(columns, benchmark, np.arange(len(columns.samples)), bootstrap, "not part of this comparison")
    chosen: dict[str, Any] = {
        name: figures[name] for name in ("LA", "precision", "recall", "f1", "pearson", "spearman") if name in figures
    }
    if "AP" in figures:
        chosen["AP"] = {name: figures["AP"][name] for name in ("F-CLIPScore", "CLIPScore")}
    return chosen


def _figures(
    columns: Columns, benchmark: Benchmark, rows: NDArray[np.intp], bootstrap: Bootstrap | None, nli_reason: str | None
) -> dict[str, Any]:
    resampled = bootstrap.take(rows) if bootstrap is not None and len(rows) else None

    def column(name: str) -> list[float | None]:
        values = columns.values.get(name, [])
        return [values[i] for i in rows]

    figures: dict[str, int | Figure | dict[str, Figure]] = {"n": len(rows)}
    if benchmark.has_location:
        figures["LA"] = metrics.location_accuracy(column("hit"), resampled)
        figures["LA_span"] = metrics.location_accuracy(column("hit_span"), resampled)
        figures["LA_floor"] = {
            "chance": metrics.mean_figure(column("chance"), resampled),
            "longest word": metrics.mean_figure(column("longest"), resampled),
        }
    if benchmark.positive:
        figures["AP"] = {
            name: _average_precision(columns, benchmark, rows, column(name), resampled)
            for name in (*columns.own_scores, *CLIP_SCORES, *columns.more_scores)
        }
    if benchmark.has_tokens:
        figures.update(metrics.precision_recall_f1(column("tp"), column("fp"), column("fn"), resampled))
    if benchmark.has_correlation:
        for name, correlate in (("pearson", metrics.pearson), ("spearman", metrics.spearman)):
            figures[name] = {
                score: correlate(column(score), column("gt_score"), resampled)
                for score in (*columns.own_scores[:2], "CLIPScore", *columns.own_scores[2:])
            }
    if benchmark.kendall:
        named = (*columns.own_scores, *CLIP_SCORES, "cosine", *columns.more_scores)
        scores = {name: column(name) for name in named}
        ratings = [columns.samples[i].ratings for i in rows]
        figures[f"tau_{benchmark.kendall}"] = agreement(scores, ratings, benchmark.kendall, resampled)
    if benchmark.has_nli:
        figures["NLI"] = (
            Figure(None, None, None, len(rows), nli_reason)
            if nli_reason
            else metrics.mean_figure(column("NLI"), resampled)
        )
    return _plain(figures)


def _average_precision(
    columns: Columns,
    benchmark: Benchmark,
    rows: NDArray[np.intp],
    values: list[float | None],
    bootstrap: Bootstrap | None,
) -> Figure:
    if values and all(value is None for value in values):
        return Figure(None, None, None, 0, "no references, or not asked for (--get_refclipscore)")
    misaligned = [columns.samples[i].misaligned for i in rows]
    if benchmark.positive == "misaligned":
        return metrics.average_precision(misaligned, [None if v is None else -v for v in values], bootstrap)
    return metrics.average_precision([not m for m in misaligned], values, bootstrap)


def _plain(figures: Mapping[str, int | Figure | dict[str, Figure]]) -> dict[str, Any]:
    return {
        name: _plain(value) if isinstance(value, Mapping) else value.as_dict() if isinstance(value, Figure) else value
        for name, value in figures.items()
    }


def flatten(figures: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Figure]]:
    """("AP/CLIPScore", Figure), ... of a result or one of its groups.

    >>> figure = Figure(0.5, None, None, 2).as_dict()
    >>> dict(flatten({"n": 2, "LA": figure, "AP": {"CLIPScore": figure}})).keys()
    dict_keys(['LA', 'AP/CLIPScore'])
    """
    for name, value in figures.items():
        if isinstance(value, Mapping) and set(value) == {"value", "low", "high", "n", "reason"}:
            yield prefix + name, Figure(**value)
        elif isinstance(value, Mapping) and name not in ("groups", "args"):
            yield from flatten(value, f"{prefix}{name}/")


def skipped_summary(columns: Columns) -> dict[str, Any]:
    """Counts by reason's kind, and the ids with their reasons.

    >>> columns = Columns()
    >>> columns.skipped["a"] = "no such picture: a.jpg"
    >>> skipped_summary(columns)
    {'count': 1, 'missing': 1, 'ids': {'a': 'no such picture: a.jpg'}}
    """
    kinds = Counter("missing" if reason.startswith("no such") else "damaged" for reason in columns.skipped.values())
    return {"count": len(columns.skipped), **kinds, "ids": columns.skipped}
