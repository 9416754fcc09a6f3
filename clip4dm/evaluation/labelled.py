"""A finished run as labelled words, which a calibration is made of: no model is needed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from clip4dm.attribution.methods import get_method
from clip4dm.benchmarks import get_benchmark
from clip4dm.calibration.names import CalibrationError
from clip4dm.calibration.risks import LabelledWords
from clip4dm.calibration.stored import AttributedBy
from clip4dm.calibration.study import Source
from clip4dm.captions.sentences import CUT, SPLIT
from clip4dm.evaluation.corrections.labelled import suggested_of
from clip4dm.evaluation.metrics.calibration import read_words
from clip4dm.evaluation.store.finished import FinishedRun, open_run
from clip4dm.scores import last_layers


def source_of_run(folder: Path, start_layer_text: int | None = None) -> Source:
    """The words of a run that can be judged, by `metrics.calibration.read_words`, and what was suggested for them.

    start_layer_text: None for the run's. Errors: RunError, DamagedRun; InputError for layers that are not there;
    CalibrationError where the benchmark labels no words.

        source_of_run(Path("output/foil/ViT-B-32-openai/SETTINGS")).words.images
    """
    run = open_run(folder)
    benchmark, settings = get_benchmark(run.config["benchmark"]), run.settings
    if start_layer_text is not None:
        last_layers(start_layer_text, settings.layers)
        settings = dataclasses.replace(settings, start_layer_text=start_layer_text)
    if benchmark.kendall:
        raise CalibrationError(
            f"{benchmark.title} rates captions and labels no words: there is nothing to calibrate by"
        )
    found = read_words(run.samples, benchmark, settings, ())
    rows = zip((found.image[i] for i in found.sample), found.attribution.tolist(), found.wrong.tolist(), strict=True)
    words = LabelledWords.of_rows(list(rows))
    by, config = attributed_by(run, settings.start_layer_text), run.config
    numbers = dict(zip((found.image[i] for i in found.sample), words.image.tolist(), strict=True))
    suggested = suggested_of(run, numbers, own_layers=settings == run.settings)
    return Source(words, by, config["benchmark"], config["data_sha256"], is_split(run), suggested)


def is_split(run: FinishedRun) -> bool:
    """Whether captions beyond the context were read in parts, and not cut.

    is_split(open_run(folder))
    """
    return bool(run.config["args"].get("long", CUT) == SPLIT)


def attributed_by(run: FinishedRun, start_layer_text: int | None = None) -> AttributedBy:
    """Whose attributions a run holds. start_layer_text: None for the run's. Errors: CalibrationError of an old run.

    attributed_by(open_run(folder)).layers  # "last 3"
    """
    config, args, method = run.config, run.config["args"], get_method(run.method)
    if not isinstance(config.get("weights_sha256"), str) or not isinstance(config.get("data_sha256"), str):
        raise CalibrationError(f"{run.folder} does not say which weights and data it was made of: run main.py again")
    start = run.settings.start_layer_text if start_layer_text is None else start_layer_text
    if method.one_layer and not method.fixed_layers:
        start = args["start_layer_text"]
    own = {
        "margin": args.get("margin", method.margin),
        "steps": args.get("steps", method.steps),
        "image_masks": args.get("image_masks", 0),
        "precision": args.get("precision", "fp32"),
    }
    return AttributedBy(
        backbone=config["backbone"],
        pretrained=config["pretrained"],
        weights_sha256=config["weights_sha256"],
        quick_gelu=bool(config.get("quick_gelu")),
        template=args["template"],
        **{**method.identity(start, run.settings.layers), **own},
    )
