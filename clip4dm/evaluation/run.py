"""From options to a finished run folder: read, check, load, compute, conclude. main.py is a shell around this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.benchmarks import Benchmark, Reading, Sample, read_benchmark
from clip4dm.calibration.names import AUTO
from clip4dm.calibration.shelf import calibration_for, described, find
from clip4dm.calibration.stored import read_calibration
from clip4dm.captions.sentences import SPLIT
from clip4dm.detection import check_settings
from clip4dm.errors import InputError
from clip4dm.evaluation.config import Options, RunConfig, run_config, run_folder
from clip4dm.evaluation.metrics.caption_metrics import check_java
from clip4dm.evaluation.metrics.nli import entailment_or_reason
from clip4dm.evaluation.plan import missing_images
from clip4dm.evaluation.processes import Workers
from clip4dm.evaluation.records import Settings
from clip4dm.evaluation.rescoring import rescore
from clip4dm.evaluation.result import Outcome, conclude, write_caption_metrics
from clip4dm.evaluation.store.runfiles import RunError
from clip4dm.evaluation.verdicts import check_comparable
from clip4dm.files.streams import default_workers
from clip4dm.scores import EPSILON, SortedBy, last_layers
from clip4dm.suggestion.result import CLIP

if TYPE_CHECKING:
    from clip4dm.calibration.stored import AttributedBy
    from clip4dm.detector import CLIP4DM
    from clip4dm.models.load import LoadedModel

__all__ = ["Options", "Outcome", "evaluate", "rescore", "write_caption_metrics"]

Say = Callable[[str], None]


def evaluate(options: Options, say: Say = print) -> Outcome | None:
    """Run a benchmark, or finish it where it was interrupted. None in all but torchrun's first process.

    say: takes the lines meant for a person. Errors: BenchmarkError, ModelError, RunError, InputError.

        options = Options("data/foil.json", "data/val2014", backbone="ViT-B-32", limit=100)
        evaluate(options).result["LA"]["value"]
    """
    if options.caption_metrics:
        check_java()
    workers = Workers.from_environment()
    say = say if workers.first else _say_nothing
    benchmark, reading = _read(options, say)
    sorted_by, asked = _verdicts_by(options, benchmark, say)
    samples = _samples(options, reading, say)
    from clip4dm.evaluation.compute import Evaluation  # torch takes seconds; what is above is refused at once
    from clip4dm.models.load import load_model

    model = load_model(options.backbone, options.pretrained, workers.device(options.device), options.precision)
    options = options.for_tower(model.tower.layers)
    detector = _detector(options, model)
    options, epsilon = _resolved(options, detector, asked, say)
    settings = _settings(options, detector, sorted_by, epsilon)
    entailment, nli_reason = None, None
    if benchmark.has_nli:
        entailment, nli_reason = entailment_or_reason(options.nli_model, options.device, say)
    config = run_config(options, benchmark, model, settings, detector.batch_size, nli_reason)
    folder = _folder(options, config, len(samples), say)
    evaluation = Evaluation(
        detector,
        benchmark,
        settings,
        Path(options.img_dir),
        options.get_refclipscore,
        entailment,
        default_workers() if options.num_workers is None else options.num_workers,
        options.images_per_block,
    )
    workers.start(model.device)
    try:
        evaluation.run(samples, folder, config, workers=workers, resume=options.resume, overwrite=options.overwrite)
    finally:
        workers.stop()
    if not workers.first:
        return None
    if options.caption_metrics:
        write_caption_metrics(folder, samples, say)
    outcome = conclude(folder, config, as_published=options.as_published)
    return _with_corrections(outcome, options, detector, samples, config) if options.suggest else outcome


def _check_suggestions(options: Options, samples: Sequence[Sample]) -> None:
    """Before the model is loaded. Errors: InputError, VocabularyError."""
    from clip4dm.evaluation.corrections.rows import KIND, ORIGINALS
    from clip4dm.evaluation.corrections.run import exchanges_of
    from clip4dm.suggestion.vocabulary import read_vocabulary

    exchanges_of(samples)
    if options.vocabulary is None or options.vocabulary == CLIP:
        return
    if read_vocabulary(Path(options.vocabulary)).name in (KIND, ORIGINALS):
        raise InputError(f"--vocabulary {options.vocabulary}: figures have a list of that name; give the file another")


def _with_corrections(
    outcome: Outcome, options: Options, detector: CLIP4DM, samples: Sequence[Sample], config: RunConfig
) -> Outcome:
    """What the words of the samples should be, with its table below the others'."""
    from clip4dm.evaluation.corrections.figures import tables
    from clip4dm.evaluation.corrections.run import correct
    from clip4dm.suggestion.open_words import vocabulary_of

    judging, settings = copy(detector), Settings(**config["settings"])  # the detector itself explains all layers
    judging.sorted_by, judging.epsilon = settings.sorted_by, settings.epsilon
    if not detector.method.one_layer:
        judging.start_layer_text = settings.start_layer_text
    vocabulary = vocabulary_of(options.vocabulary, detector.model.tokenizer, detector.model.tower)
    found = correct(judging, samples, Path(options.img_dir), vocabulary, outcome.folder, config, seed=options.seed)
    remark = f"{found.unasked} of {found.foils} foils differ from their original by more than a word, and are not asked"
    parts = [outcome.table, tables(found.figures), *([remark] if found.unasked else [])]
    return replace(outcome, table="\n\n".join(parts))


def _settings(options: Options, detector: CLIP4DM, sorted_by: SortedBy, epsilon: float) -> Settings:
    start = -1 if detector.method.one_layer else options.start
    rows = detector.method.rows(detector.model.tower.layers)
    return Settings(sorted_by, epsilon, start, rows, options.score, options.score_weight)


def _folder(options: Options, config: RunConfig, samples: int, say: Say) -> Path:
    """The run's folder. Errors: InputError where published figures are expected and there are none of such a run."""
    if options.expect:
        check_comparable(config, samples)
    folder = run_folder(options, config)
    say(f"run: {folder}")
    return folder


def _say_nothing(line: str) -> None:
    pass


def _read(options: Options, say: Say) -> tuple[Benchmark, Reading]:
    """The annotation file. Errors: BenchmarkError."""
    benchmark, reading = read_benchmark(
        Path(options.data_path),
        options.benchmark,
        img_dir=Path(options.img_dir),
        reference_path=Path(options.reference_path) if options.reference_path else None,
    )
    say(f"benchmark: {benchmark.title}{'' if options.benchmark else ' (recognised from the file)'}")
    return benchmark, reading


def _verdicts_by(options: Options, benchmark: Benchmark, say: Say) -> tuple[SortedBy, float | str]:
    """(sorted_by, epsilon): what was asked for, else the benchmark's usual. Errors: InputError, CalibrationError."""
    sorted_by = options.sorted_by or benchmark.sorted_by
    epsilon = benchmark.epsilon if options.epsilon is None else options.epsilon
    check_settings(sorted_by, EPSILON if isinstance(epsilon, str) else epsilon)
    if isinstance(epsilon, str):
        if epsilon != AUTO:
            read_calibration(Path(epsilon))  # one that is none is refused before the model is loaded
        say(f"sorted_by: {sorted_by}, epsilon: {epsilon}")
        return sorted_by, epsilon
    usual = " (the benchmark's usual)"
    say(
        f"sorted_by: {sorted_by}{'' if options.sorted_by else usual}, "
        f"epsilon: {epsilon:g}{usual if options.epsilon is None else ''}"
    )
    note = options.way.epsilon_note(epsilon)
    if note:
        say(f"note: {note}")
    return sorted_by, epsilon


def _resolved(options: Options, detector: CLIP4DM, asked: float | str, say: Say) -> tuple[Options, float]:
    """(the options, epsilon): of a calibration asked for its number, which is recorded as if it had been given.

    Where none was asked for and one fits, that is said: the benchmark's usual epsilon is its protocol, and stays.

    Errors: CalibrationError for one of other attributions.
    """
    if not isinstance(asked, str):
        if options.epsilon is None:
            found = find(_attributed_by(options, detector), _say_nothing, options.long == SPLIT)
            if found:
                say(f"note: a calibration fits this model, and --epsilon {AUTO} takes it: {described(*found)}")
        return options, asked
    calibration = calibration_for(asked, _attributed_by(options, detector), say, options.long == SPLIT)
    epsilon = EPSILON if calibration is None else calibration.epsilon
    return replace(options, epsilon=epsilon), epsilon


def _attributed_by(options: Options, detector: CLIP4DM) -> AttributedBy:
    """Of the layers that the run averages, where the detector explains all."""
    identity = detector.method.identity(options.start, detector.method.rows(detector.model.tower.layers))
    return replace(detector.attributed_by(), layers=identity["layers"])


def _samples(options: Options, reading: Reading, say: Say) -> Sequence[Sample]:
    """The samples to score; says how many there are, which are not among them, and why.

    Errors: InputError where there are none, or none has the references that were asked for; RunError.
    """
    counts = reading.describe()
    say("data: " + ", ".join(f"{name} {value}" for name, value in counts.items() if not isinstance(value, dict)))
    for name in ("not located", "left out"):
        for reason, count in counts[name].items():
            say(f"data: {name}: {count} because {reason}")
    samples = reading.samples[: options.limit]
    if not samples:
        raise InputError(f"{options.data_path} holds no samples")
    if options.get_refclipscore and not any(sample.references for sample in samples):
        raise InputError(
            "--get_refclipscore needs references, and these samples have none; for FOIL give the COCO "
            "captions JSON as --reference_path, for Flickr8k a JSON of {picture: captions}"
        )
    _check_pictures(options, samples, say)
    if options.suggest:
        _check_suggestions(options, samples)
    return samples


def _check_pictures(options: Options, samples: Sequence[Sample], say: Say) -> None:
    """Errors: RunError where pictures are missing, unless the rest is to be scored and there is a rest."""
    missing = missing_images(samples, Path(options.img_dir))
    if not missing:
        return
    listed = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
    images = len({sample.image for sample in samples})
    text = f"{len(missing)} of {images} images are not in {options.img_dir}: {listed}"
    if not options.skip_missing:
        raise RunError(
            f"{text}. Fetch them (see data/README.md), correct --img_dir, or give --skip_missing to score the rest."
        )
    if len(missing) == images:
        raise RunError(f"{text}. None is left to score: is --img_dir right?")
    say(f"skipping: {text}")


def _detector(options: Options, model: LoadedModel) -> CLIP4DM:
    """The detector, explaining all its layers, so that re-scoring can average any number of the last ones.

    Of a method with one row for the whole tower: as many layers as the options say. It attributes; what is made of
    it the run's `Settings` say.

    Errors: InputError where the text tower has no layer start_layer_text.
    """
    from clip4dm.detector import CLIP4DM, DEFAULT_BATCH_SIZE

    layers = model.tower.layers
    last_layers(options.start, layers)
    return CLIP4DM(
        model,
        template=options.template,
        method=options.method,
        margin=options.margin,
        steps=options.steps,
        image_masks=options.image_masks,
        start_layer_text=options.start if options.way.one_layer else -layers,
        long=options.long,
        batch_size=options.batch_size or (256 if model.device.type == "cuda" else DEFAULT_BATCH_SIZE),
    )
