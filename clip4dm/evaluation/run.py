"""From options to a finished run folder: read, check, load, compute, report. main.py is a shell around this."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clip4dm.benchmarks import Reading, get_benchmark, read_benchmark
from clip4dm.benchmarks.base import Sample
from clip4dm.detection import check_settings
from clip4dm.errors import InputError
from clip4dm.evaluation import report
from clip4dm.evaluation.loading import IMAGES_PER_BLOCK, missing_images
from clip4dm.evaluation.metrics.caption_metrics import caption_metrics, check_java, spice_files_are_there
from clip4dm.evaluation.options import AT_LEAST_ONE, EPSILON, PROCESSES, SEED
from clip4dm.evaluation.provenance import fingerprint, git_revision, path_sha256, versions
from clip4dm.evaluation.records import Settings
from clip4dm.evaluation.store.finished import open_run, read_caption_metrics, samples_summary
from clip4dm.evaluation.store.runfiles import CAPTION_METRICS, RESULT, SAMPLES, RunError, write_json, write_sealed
from clip4dm.files.reading import kind_of
from clip4dm.files.streams import default_workers
from clip4dm.scores import last_layers

Say = Callable[[str], None]


_RULES = {
    "epsilon": EPSILON,
    "limit": AT_LEAST_ONE,
    "batch_size": AT_LEAST_ONE,
    "num_workers": PROCESSES,
    "seed": SEED,
    "images_per_block": AT_LEAST_ONE,
}
_FLAGS = ("get_refclipscore", "resume", "overwrite", "skip_missing", "caption_metrics", "as_published")


@dataclass(frozen=True)
class Options:
    """The options of main.py; None where the benchmark, the backbone or the machine decides."""

    data_path: str
    img_dir: str
    output: str = "./output"
    benchmark: str | None = None
    backbone: str | None = "ViT-B-32"
    pretrained: str | None = None
    device: str = "auto"
    precision: str = "fp32"
    template: str = "A photo depicts "
    start_layer_text: int = -3
    sorted_by: str | None = None
    epsilon: float | None = None
    get_refclipscore: bool = False
    reference_path: str | None = None
    limit: int | None = None
    batch_size: int | None = None
    num_workers: int | None = None
    nli_model: str = "facebook/bart-large-mnli"
    resume: bool = True
    overwrite: bool = False
    skip_missing: bool = False
    seed: int = 0
    images_per_block: int = IMAGES_PER_BLOCK
    caption_metrics: bool = False
    as_published: bool = False

    def __post_init__(self) -> None:
        """Errors: ValueError, for what main.py refuses on its command line."""
        for name, rule in _RULES.items():
            value = getattr(self, name)
            if value is not None or name in ("seed", "images_per_block"):
                rule.check(f"--{name}", value)
        for name in _FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"--{name} is {getattr(self, name)!r:.60}; it must be True or False")

    def reported(self) -> dict[str, Any]:
        """What config.json and result.json say: all that bears on the figures, nothing that does not."""
        without = (
            "output",
            "num_workers",
            "resume",
            "overwrite",
            "skip_missing",
            "device",
            "batch_size",
            "caption_metrics",
            "as_published",
        )
        return {name: value for name, value in asdict(self).items() if name not in without}


@dataclass(frozen=True)
class Outcome:
    """A finished run: its folder, its result (as in result.json), the table, and the samples without a picture."""

    folder: Path
    result: dict[str, Any]
    table: str
    skipped: dict[str, str]


def evaluate(options: Options, say: Say = print) -> Outcome | None:
    """Run a benchmark, or finish it where it was interrupted. None in all but torchrun's first process.

    say: takes the lines meant for a person. Errors: BenchmarkError, ModelError, RunError, ValueError.
    """
    from clip4dm.evaluation.compute import Evaluation, Workers

    if options.caption_metrics:
        check_java()
    workers = Workers.from_environment()
    say = say if workers.first else (lambda _: None)
    benchmark, reading = read_benchmark(
        Path(options.data_path),
        options.benchmark,
        img_dir=Path(options.img_dir),
        reference_path=Path(options.reference_path) if options.reference_path else None,
    )
    say(f"benchmark: {benchmark.title}{'' if options.benchmark else ' (recognised from the file)'}")
    sorted_by = options.sorted_by or benchmark.sorted_by
    epsilon = benchmark.epsilon if options.epsilon is None else options.epsilon
    check_settings(sorted_by, epsilon)
    say(f"sorted_by: {sorted_by}{_usual(options.sorted_by)}, epsilon: {epsilon:g}{_usual(options.epsilon)}")
    samples = _checked(options, reading, say)

    from clip4dm.detector import CLIP4DM, DEFAULT_BATCH_SIZE
    from clip4dm.models.load import load_model

    device = f"cuda:{workers.local_rank}" if workers.world > 1 and _takes_cuda(options.device) else options.device
    model = load_model(options.backbone, options.pretrained, device, options.precision)
    layers = model.tower.layers
    last_layers(options.start_layer_text, layers)
    settings = Settings(sorted_by, epsilon, options.start_layer_text, layers)
    batch_size = options.batch_size or (256 if model.device.type == "cuda" else DEFAULT_BATCH_SIZE)
    # All layers are explained and stored, so that re-scoring can average any number of the last ones.
    detector = CLIP4DM(
        model,
        template=options.template,
        start_layer_text=-layers,
        sorted_by=sorted_by,
        epsilon=epsilon,
        batch_size=batch_size,
    )
    entailment, nli_reason = _entailment(options.nli_model, options.device, say) if benchmark.has_nli else (None, None)
    config = _config(options, benchmark, model, settings, batch_size, nli_reason)
    folder = run_folder(options, config)
    say(f"run: {folder}")
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
    return _conclude(folder, folder, config, benchmark, settings, nli_reason, as_published=options.as_published)


def rescore(
    folder: Path,
    *,
    sorted_by: str | None = None,
    epsilon: float | None = None,
    start_layer_text: int | None = None,
    seed: int | None = None,
    nli_model: str | None = None,
    as_published: bool = False,
    say: Say = print,
) -> Outcome:
    """Every metric of a finished run anew under other settings, from samples.jsonl, without the model.

    What is None stays as in the run. The result goes to FOLDER/rescored/SETTINGS/result.json.
    Errors: RunError if the folder holds no finished run or a damaged one, ValueError for impossible settings.
    """
    if seed is not None:
        SEED.check("--seed", seed)
    run = open_run(folder)
    config, was = run.config, run.settings
    benchmark = get_benchmark(config["benchmark"])
    settings = Settings(
        sorted_by or was.sorted_by,
        was.epsilon if epsilon is None else epsilon,
        was.start_layer_text if start_layer_text is None else start_layer_text,
        was.layers,
    )
    check_settings(settings.sorted_by, settings.epsilon)
    last_layers(settings.start_layer_text, settings.layers)
    entailment, nli_reason = None, config["nli_reason"]
    if benchmark.has_nli and settings != was:
        entailment, nli_reason = _entailment(nli_model or config["args"]["nli_model"], "auto", say)
    args = {
        **config["args"],
        "sorted_by": settings.sorted_by,
        "epsilon": settings.epsilon,
        "start_layer_text": settings.start_layer_text,
        "seed": config["args"]["seed"] if seed is None else seed,
    }
    config = {
        **config,
        "args": args,
        "settings": asdict(settings),
        "nli_reason": nli_reason,
        "rescored_from": config["fingerprint"],
    }
    target = folder / "rescored" / _settings_name(settings)
    return _conclude(folder, target, config, benchmark, settings, nli_reason, entailment, as_published=as_published)


def write_caption_metrics(folder: Path, samples: Sequence[Sample], say: Say = print) -> None:
    """caption_metrics.json of the samples that have references, unless it is there. Errors: ValueError, if none has."""
    referenced = [sample for sample in samples if sample.references]
    if not referenced:
        raise InputError(
            "--caption_metrics needs references, and these samples have none; for FOIL give the COCO "
            "captions JSON as --reference_path"
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


def run_folder(options: Options, config: dict[str, Any]) -> Path:
    """output/BENCHMARK/BACKBONE-TAG/SETTINGS-FINGERPRINT."""
    model = _slug(f"{config['backbone']}-{config['pretrained']}")
    name = f"{_settings_name(Settings(**config['settings']))}_{options.precision}"
    name += ("_ref" if options.get_refclipscore else "") + (f"_limit{options.limit}" if options.limit else "")
    return Path(options.output) / config["benchmark"] / model / f"{name}_{config['fingerprint'][:8]}"


def _checked(options: Options, reading: Reading, say: Say) -> Sequence[Sample]:
    """The samples to score: limited, not none, their pictures there."""
    samples, img_dir = reading.samples, Path(options.img_dir)
    counts = reading.describe()
    say("data: " + ", ".join(f"{name} {value}" for name, value in counts.items() if not isinstance(value, dict)))
    for name in ("not located", "left out"):
        for reason, count in counts[name].items():
            say(f"data: {name}: {count} because {reason}")
    if options.limit is not None:
        samples = samples[: options.limit]
    if not samples:
        raise InputError(f"{options.data_path} holds no samples")
    if options.get_refclipscore and not any(sample.references for sample in samples):
        raise InputError(
            "--get_refclipscore needs references, and these samples have none; for FOIL give the COCO "
            "captions JSON as --reference_path"
        )
    missing = missing_images(samples, img_dir)
    if missing:
        listed = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
        images = len({sample.image for sample in samples})
        text = f"{len(missing)} of {images} images are not in {img_dir}: {listed}"
        if not options.skip_missing:
            raise RunError(
                f"{text}. Fetch them (see data/README.md), correct --img_dir, or give --skip_missing to score the rest."
            )
        if len(missing) == images:
            raise RunError(f"{text}. None is left to score: is --img_dir right?")
        say(f"skipping: {text}")
    return samples


def _config(
    options: Options, benchmark, model, settings: Settings, batch_size: int, nli_reason: str | None
) -> dict[str, Any]:
    config = {
        "benchmark": benchmark.name,
        "backbone": model.backbone,
        "pretrained": model.pretrained,
        "quick_gelu": model.quick_gelu,
        "settings": asdict(settings),
        "batch_size": batch_size,
        "device": model.device.type,
        "versions": versions(),
        "weights_sha256": model.weights_sha256(),
        "data_sha256": path_sha256(Path(options.data_path)),
        "reference_sha256": path_sha256(Path(options.reference_path)) if options.reference_path else None,
        "nli_reason": nli_reason,
        "args": options.reported(),
    }
    paths = ("data_path", "img_dir", "reference_path", "backbone", "pretrained", "seed", "sorted_by", "epsilon")
    options_that_matter = {k: v for k, v in config["args"].items() if k not in paths}
    parts = {**config, "args": options_that_matter, "images": os.path.realpath(options.img_dir)}
    return {"fingerprint": fingerprint(parts), **config, "git_revision": git_revision()}


def _conclude(
    folder: Path,
    target: Path,
    config: dict[str, Any],
    benchmark,
    settings: Settings,
    nli_reason: str | None,
    entailment=None,
    *,
    as_published: bool = False,
) -> Outcome:
    columns = report.collect(folder / SAMPLES, benchmark, settings, entailment)
    scores = read_caption_metrics(folder)
    if scores is not None:
        columns.add_scores(scores)
    figures = report.summarise(columns, benchmark, seed=config["args"]["seed"], nli_reason=nli_reason)
    result = {
        **config,
        **figures,
        "skipped": report.skipped_summary(columns),
        "samples": samples_summary(folder / SAMPLES),
    }
    if as_published:
        result[report.AS_PUBLISHED] = report.published_figures(
            folder / SAMPLES, benchmark, settings, seed=config["args"]["seed"]
        )
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / RESULT, result)
    text = report.table(result)
    return Outcome(target, result, text, columns.skipped)


def _entailment(name: str, device: str, say: Say):
    """(the model's entailment function, None), or (None, why there is none): the rest of the result goes on."""
    from clip4dm.evaluation.metrics.nli import EntailmentModel, NLIUnavailable

    kind = kind_of(Path(name))
    if kind not in (None, "a folder"):
        raise InputError(f"--nli_model {name} is {kind}; give a folder holding a model, or a hub's name")
    try:
        model = EntailmentModel.load(name, device)
    except NLIUnavailable as error:
        say(f"NLI: not computed: {error}")
        return None, str(error)

    def entailment(premises, hypotheses):
        try:
            return model.entailment(premises, hypotheses)
        except NLIUnavailable as error:  # these pairs go without; the rest of the result goes on
            say(f"NLI: not computed for {len(premises)} samples: {error}")
            return [None] * len(premises)

    return entailment, None


def _settings_name(settings: Settings) -> str:
    explained = last_layers(settings.start_layer_text, settings.layers)
    return f"{settings.sorted_by}_{settings.epsilon:g}_last{explained}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "model"


def _usual(given: Any) -> str:
    return " (the benchmark's usual)" if given is None else ""


def _takes_cuda(device: str) -> bool:
    import torch

    return device == "cuda" or (device == "auto" and torch.cuda.is_available())
