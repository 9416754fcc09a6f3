"""Methods side by side, from finished runs of the same data: each against a reference, with intervals paired by image.

What is fitted (an epsilon by words' F1; F-CLIPScore's own epsilon and the weight of the additive score, by average
precision) is fitted for each method on the calibration split of the images (`metrics.calibration.for_calibration`) and
shown on the others. LA is of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clip4dm.benchmarks import get_benchmark
from clip4dm.errors import InputError
from clip4dm.evaluation import report
from clip4dm.evaluation.metrics import metrics
from clip4dm.evaluation.metrics.calibration import Words, epsilon_grid, figures_at, for_calibration, read_words, suggest
from clip4dm.evaluation.metrics.differences import average_precision_difference, location_difference
from clip4dm.evaluation.metrics.metrics import Bootstrap, Figure
from clip4dm.evaluation.metrics.weights import fit_epsilon, fit_weight
from clip4dm.evaluation.store.finished import FinishedRun, open_run
from clip4dm.scores import additive_score, f_clip_score

EPSILONS = 60


@dataclass(frozen=True)
class Compared:
    """A method's figures. epsilon, score_epsilon, weight: as fitted, None where nothing could be.

    score_epsilon: F-CLIPScore's own, of the figure "AP F-CLIPScore, own epsilon"; "AP F-CLIPScore" is at epsilon.
    figures: name -> Figure: LA as published, "LA word" of words alone, LA_span, "LA less" and so on; kinds: LA of each
    kind of foil, where there are kinds.

    >>> Compared("clip4dm", -5e-5, -5e-5, None, {"LA": Figure(0.9, 0.8, 1.0, 100)}, {}).figures["LA"].value
    0.9
    """

    method: str
    epsilon: float | None
    score_epsilon: float | None
    weight: float | None
    figures: Mapping[str, Figure]
    kinds: Mapping[str, Figure]


@dataclass(frozen=True)
class _Run:
    """A run's columns: report.Columns under the benchmark's usual settings, and its words."""

    name: str
    columns: report.Columns
    words: Words


def compare(runs: Mapping[str, Path], reference: str, *, seed: int = 0) -> list[Compared]:
    """Every row's figures. runs: row -> folder of its finished run, all of the same data; reference: the row that
    others are compared with. Errors: RunError, InputError where runs are of different data.

        compare({"clip4dm": Path("output/..."), "occlusion": Path("output/...")}, reference="clip4dm")
    """
    read = {name: _read(name, open_run(folder)) for name, folder in runs.items()}
    theirs = read[reference]
    ids = [sample.id for sample in theirs.columns.samples]
    for run in read.values():
        if [sample.id for sample in run.columns.samples] != ids:
            raise InputError(f"the run of {run.name} is not of the same samples as that of {reference}")
    return [_compared(run, theirs, seed) for run in read.values()]


def _read(name: str, run: FinishedRun) -> _Run:
    benchmark = get_benchmark(run.config["benchmark"])
    columns = report.collect(run.samples, benchmark, replace(run.settings, sorted_by=benchmark.sorted_by))
    return _Run(name, columns, read_words(run.samples, benchmark, run.settings, []))


def _compared(run: _Run, theirs: _Run, seed: int) -> Compared:
    samples, values = run.columns.samples, run.columns.values
    bootstrap = Bootstrap([sample.image for sample in samples], seed=seed)
    figures = {
        "LA": metrics.location_accuracy(values["hit"], bootstrap),
        "LA_span": metrics.location_accuracy(values["hit_span"], bootstrap),
        "LA less": location_difference(values["hit"], theirs.columns.values["hit"], bootstrap),
    }
    located, of_words = run.words.located(), Bootstrap(run.words.image, seed=seed)
    figures["LA word"] = metrics.location_accuracy(located, of_words)
    figures["LA word less"] = location_difference(located, theirs.words.located(), of_words)
    kinds = {}
    for kind in sorted({kind for sample in samples for kind in sample.groups.values()}):
        rows = [i for i, sample in enumerate(samples) if kind in sample.groups.values()]
        kinds[kind] = metrics.location_accuracy([values["hit"][i] for i in rows], bootstrap.take(rows))
    calibrating = [for_calibration(image) for image in run.words.image]
    fitted, shown = run.words.of_images(calibrating), run.words.of_images([not kept for kept in calibrating])
    epsilons = _epsilons(fitted)
    epsilon, score_epsilon, weight = _suggest(fitted, epsilons), fit_epsilon(fitted, epsilons), fit_weight(fitted)
    figures |= _on(shown, epsilon, score_epsilon, weight, seed)
    return Compared(run.name, epsilon, score_epsilon, weight, figures, kinds)


def _on(
    words: Words, epsilon: float | None, score_epsilon: float | None, weight: float | None, seed: int
) -> dict[str, Figure]:
    """The figures that rest on what was fitted, on pictures that had no part in it."""
    bootstrap = Bootstrap(words.image, seed=seed)
    labels, clip = (~words.misaligned).tolist(), words.cosine.tolist()
    figures = {"AP CLIPScore": metrics.average_precision(labels, clip, bootstrap)}
    if epsilon is not None:
        scores = [f_clip_score(cosine, found, epsilon) for cosine, found in words.by_sample()]
        figures["F1"] = figures_at(words, epsilon, bootstrap)["f1"]
        figures |= _against_clip("F-CLIPScore", labels, scores, clip, bootstrap)
    if score_epsilon is not None:
        scores = [f_clip_score(cosine, found, score_epsilon) for cosine, found in words.by_sample()]
        figures |= _against_clip("F-CLIPScore, own epsilon", labels, scores, clip, bootstrap)
    if weight is not None:
        scores = [additive_score(cosine, found, weight) for cosine, found in words.by_sample()]
        figures |= _against_clip("additive", labels, scores, clip, bootstrap)
    return figures


def _against_clip(
    name: str, labels: list[bool], ours: list[float], clip: list[float], bootstrap: Bootstrap
) -> dict[str, Figure]:
    return {
        f"AP {name}": metrics.average_precision(labels, ours, bootstrap),
        f"AP {name} less": average_precision_difference(labels, ours, clip, bootstrap),
    }


def _epsilons(words: Words) -> list[float]:
    """Those to try; none where no attribution is negative."""
    try:
        return epsilon_grid(words.attribution, EPSILONS)
    except InputError:
        return []


def _suggest(words: Words, epsilons: list[float]) -> float | None:
    """The epsilon of the best F1 of words; None where there is none to try, or no word is wrong."""
    try:
        return suggest(words, epsilons)
    except InputError:
        return None
