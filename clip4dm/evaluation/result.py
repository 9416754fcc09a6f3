"""The end of a run: result.json and its table, from the stored samples alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip4dm.benchmarks import get_benchmark
from clip4dm.benchmarks.base import Sample
from clip4dm.errors import InputError
from clip4dm.evaluation import report, shown
from clip4dm.evaluation.metrics.caption_metrics import caption_metrics, spice_files_are_there
from clip4dm.evaluation.metrics.nli import Entailment
from clip4dm.evaluation.records import Settings
from clip4dm.evaluation.store.finished import read_caption_metrics, samples_summary
from clip4dm.evaluation.store.runfiles import CAPTION_METRICS, RESULT, SAMPLES, write_json, write_sealed


@dataclass(frozen=True)
class Outcome:
    """A finished run: its folder, its result (as in result.json), the table, and the samples without a picture.

    skipped: {sample id: why its picture could not be read}.

        outcome = rescore(folder, epsilon=-1e-4)
        outcome.result["LA"]["value"], outcome.skipped
    """

    folder: Path
    result: dict[str, Any]
    table: str
    skipped: dict[str, str]


def conclude(
    folder: Path,
    config: Mapping[str, Any],
    *,
    target: Path | None = None,
    entailment: Entailment | None = None,
    as_published: bool = False,
) -> Outcome:
    """Every figure of the samples in a run's folder, written to result.json in `target` (the same folder, if None).

    config: as in config.json, its settings those to judge by. entailment: where NLI is to be computed anew.
    as_published: also the figures with the published code's quirks. Errors: DamagedRun, RunError.

        print(conclude(folder, config).table)
    """
    benchmark, settings = get_benchmark(config["benchmark"]), Settings(**config["settings"])
    seed = config["args"]["seed"]
    columns = report.collect(folder / SAMPLES, benchmark, settings, entailment)
    scores = read_caption_metrics(folder)
    if scores is not None:
        columns.add_scores(scores)
    result = {
        **config,
        **report.summarise(columns, benchmark, seed=seed, nli_reason=config["nli_reason"]),
        "skipped": report.skipped_summary(columns),
        "samples": samples_summary(folder / SAMPLES),
    }
    if as_published:
        result[report.AS_PUBLISHED] = report.published_figures(folder / SAMPLES, benchmark, settings, seed=seed)
    target = target or folder
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / RESULT, result)
    return Outcome(target, result, shown.table(result), columns.skipped)


def write_caption_metrics(folder: Path, samples: Sequence[Sample], say: Callable[[str], None] = print) -> None:
    """caption_metrics.json of the samples that have references, unless it is there. Errors: InputError, if none has.

    write_caption_metrics(folder, reading.samples, say=print)
    """
    referenced = [sample for sample in samples if sample.references]
    if not referenced:
        raise InputError(
            "--caption_metrics needs references, and these samples have none; for FOIL give the COCO "
            "captions JSON as --reference_path, for Flickr8k a JSON of {picture: captions}"
        )
    if read_caption_metrics(folder) is not None:
        return
    say(
        f"caption metrics of {len(referenced)} samples"
        + ("" if spice_files_are_there() else " (without SPICE, whose Stanford models are not here)")
    )
    write_sealed(
        folder / CAPTION_METRICS,
        caption_metrics(
            {sample.id: sample.caption for sample in referenced},
            {sample.id: sample.references for sample in referenced},
        ),
    )
