"""Which epsilon? Figures as a function of it, from a finished run's samples.jsonl, and a suggestion for a backbone.

The published -5e-5 was tuned for the published backbones; attributions of other towers have other sizes. A word counts
as misaligned below epsilon (threshold mode), and is right if it overlaps a labelled span; of a caption that is true of
its picture every word found is wrong. The suggestion has the best F1 on a calibration split of the images, and is
reported on the others, which had no part in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from clip4dm.benchmarks.base import Benchmark
from clip4dm.benchmarks.labels import overlaps_any
from clip4dm.errors import InputError
from clip4dm.evaluation.metrics import metrics
from clip4dm.evaluation.metrics.metrics import Bootstrap, Figure
from clip4dm.evaluation.records import Settings, sample_of, score_record
from clip4dm.evaluation.store.finished import stored_records
from clip4dm.scores import below, f_clip_score


@dataclass(frozen=True)
class Words:
    """A run's words and samples, as columns.

    attribution, wrong, sample: a word each: its attribution, whether it overlaps a label, its sample's number.
    tokens: likewise for false words' spans a sample: how many labelled words there are. image: of each sample.
    hits: {epsilon: location hits as published}, empty where the benchmark has none. cosine, misaligned: of each sample.

    >>> words = Words(
    ...     np.array([2e-4, -2e-4, -1e-4]), np.array([False, True, False]), np.array([0, 0, 1]), ["a.jpg", "b.jpg"],
    ...     cosine=np.array([0.2, 0.3]), misaligned=np.array([True, False]), hits={},
    ... )
    >>> words.of_images([True, False]).attribution.tolist()
    [0.0002, -0.0002]
    >>> words.located()
    [True, None]
    >>> {name: round(figure.value, 2) for name, figure in figures_at(words, -5e-5).items()}
    {'precision': 0.5, 'recall': 1.0, 'f1': 0.67, 'AP': 1.0}
    >>> suggest(words, [-3e-4, -1.5e-4, -5e-5])
    -0.00015
    """

    attribution: np.ndarray
    wrong: np.ndarray
    sample: np.ndarray
    image: list[str]
    cosine: np.ndarray
    misaligned: np.ndarray
    hits: dict[float, list[bool | None]]

    def of_images(self, kept: Sequence[bool]) -> Words:
        """The samples for which kept is true, and their words."""
        rows = np.flatnonzero(kept)
        number = np.full(len(self.image), -1)
        number[rows] = np.arange(len(rows))
        words = number[self.sample] >= 0
        return Words(
            self.attribution[words],
            self.wrong[words],
            number[self.sample[words]],
            [self.image[i] for i in rows],
            self.cosine[rows],
            self.misaligned[rows],
            {epsilon: [hits[i] for i in rows] for epsilon, hits in self.hits.items()},
        )

    def by_sample(self) -> list[tuple[float, list[float]]]:
        """Of every sample its cosine and its words' attributions."""
        return [
            (cosine, self.attribution[words].tolist())
            for cosine, words in zip(self.cosine.tolist(), self.slices(), strict=True)
        ]

    def slices(self) -> list[slice]:
        """Of every sample where its words stand."""
        starts = np.searchsorted(self.sample, np.arange(len(self.image) + 1)).tolist()
        return [slice(a, b) for a, b in pairwise(starts)]

    def located(self) -> list[bool | None]:
        """Of every sample whether its lowest word is a labelled one; None where it is true of its picture.

        LA without punctuation among the words: the published rule has the full stop among them (`published`).
        """
        found: list[bool | None] = []
        for misaligned, words in zip(self.misaligned.tolist(), self.slices(), strict=True):
            attributions = self.attribution[words]
            hit = bool(len(attributions)) and bool(self.wrong[words][attributions.argmin()])
            found.append(hit if misaligned else None)
        return found


def read_words(samples_path: Path, benchmark: Benchmark, settings: Settings, epsilons: Sequence[float]) -> Words:
    """Every scored word of the run that can be judged. Samples labelled misaligned without a located span do not count.

    settings: start_layer_text counts; epsilon and sorted_by do not. epsilons: where location hits are wanted.
    Errors: DamagedRun.

        words = read_words(run.samples, get_benchmark("foil"), run.settings, epsilons=[-5e-5])
    """
    attribution: list[float] = []  # three columns of words
    wrong: list[bool] = []
    owner: list[int] = []
    image: list[str] = []  # three of samples
    cosine: list[float] = []
    misaligned: list[bool] = []
    hits: dict[float, list[bool | None]] = {epsilon: [] for epsilon in epsilons if benchmark.has_location}
    for record in stored_records(samples_path, settings.layers):
        if "skipped" in record:
            continue
        sample = sample_of(record)
        if sample.misaligned and not sample.spans:
            continue
        scored = score_record(record, sample, benchmark, replace(settings, sorted_by="threshold"))
        for word in scored.words:
            if word.attribution is not None:
                attribution.append(word.attribution)
                wrong.append(overlaps_any((word.start, word.end), sample.spans))
                owner.append(len(image))
        for epsilon, column in hits.items():
            column.append(benchmark.judge(sample, scored.published_words, "threshold", epsilon).hit)
        image.append(sample.image)
        cosine.append(record["cosine"])
        misaligned.append(sample.misaligned)
    return Words(
        np.array(attribution),
        np.array(wrong, dtype=bool),
        np.array(owner, dtype=int),
        image,
        np.array(cosine),
        np.array(misaligned, dtype=bool),
        hits,
    )


def figures_at(words: Words, epsilon: float, bootstrap: Bootstrap | None = None) -> dict[str, Figure]:
    """precision, recall and f1 of words, AP of F-CLIPScore (originals positive), and LA where hits are known.

    figures_at(words, -5e-5, Bootstrap(words.image))["f1"].low
    """
    figures = words_found_at(words, epsilon, bootstrap)
    scores = [f_clip_score(cosine, found, epsilon) for cosine, found in words.by_sample()]
    figures["AP"] = metrics.average_precision((~words.misaligned).tolist(), scores, bootstrap)
    if epsilon in words.hits:
        figures["LA"] = metrics.location_accuracy(words.hits[epsilon], bootstrap)
    return figures


def words_found_at(words: Words, epsilon: float, bootstrap: Bootstrap | None = None) -> dict[str, Figure]:
    """precision, recall and f1 of the words below epsilon.

    words_found_at(words, -5e-5)["recall"].value
    """
    said = below(words.attribution, epsilon)

    def count(chosen: np.ndarray) -> np.ndarray:
        return np.bincount(words.sample[chosen], minlength=len(words.image))

    return metrics.precision_recall_f1(
        count(said & words.wrong), count(said & ~words.wrong), count(~said & words.wrong), bootstrap
    )


def epsilon_grid(attribution: np.ndarray, count: int = 25) -> list[float]:
    """Epsilons to try: quantiles of the negative attributions, evenly spaced from the lowest to the nearest to 0.

    attribution: (words,). Errors: InputError where none is negative.

    >>> epsilon_grid(np.array([-3e-4, -2e-4, -1e-4, 1e-4]), 3)
    [-0.000296, -0.000198, -0.0001]
    """
    negative = attribution[attribution < 0]
    if not len(negative):
        raise InputError("no word has a negative attribution: no epsilon finds any")
    return sorted({float(f"{value:.3g}") for value in np.quantile(negative, np.linspace(0.02, 1, count))})


def for_calibration(image: str, share: float = 0.5) -> bool:
    """Whether an image belongs to the calibration split: by its name's hash, the same in every run.

    >>> [for_calibration(name) for name in ("1.jpg", "2.jpg", "3.jpg")]
    [True, False, False]
    """
    return int.from_bytes(hashlib.sha256(image.encode("utf-8", "surrogatepass")).digest()[:8]) < share * 2**64


def suggest(words: Words, epsilons: Sequence[float]) -> float:
    """The epsilon of the best f1; of equal ones the lowest, which finds fewest words. Errors: InputError if none.

    suggest(words, epsilon_grid(words.attribution))
    """
    scored = [(figures_at(words, epsilon)["f1"].value, epsilon) for epsilon in sorted(epsilons)]
    defined = [(value, epsilon) for value, epsilon in scored if value is not None]
    if not defined:
        raise InputError("no word is labelled misaligned in the calibration split: there is nothing to calibrate by")
    best = max(value for value, _ in defined)
    return next(epsilon for value, epsilon in defined if value == best)
