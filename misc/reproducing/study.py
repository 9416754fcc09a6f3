"""The runs behind reproduce_tables.py: finished ones found again, missing ones made, figures read from them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from reproducing.paper_tables import CAPTION_BASELINES, Line, Model, Table

from clip4dm.benchmarks import get_benchmark, read_benchmark
from clip4dm.errors import CLIP4DMError
from clip4dm.evaluation import report
from clip4dm.evaluation.metrics.metrics import Figure
from clip4dm.evaluation.provenance import fingerprint, path_sha256
from clip4dm.evaluation.records import Settings
from clip4dm.evaluation.run import Options, evaluate, write_caption_metrics
from clip4dm.evaluation.store.finished import open_run, read_caption_metrics
from clip4dm.evaluation.store.runfiles import (
    CAPTION_METRICS,
    CONFIG,
    RESULT,
    TIMING,
    DamagedRun,
    RunError,
    read_json,
    read_sealed,
    write_sealed,
)
from clip4dm.files.reading import FileError, file_sha256, is_number
from clip4dm.files.reading import read_json as read_any_json
from clip4dm.models.hub import weights_at_hand
from clip4dm.models.sources import resolve_source

# The paper's GPU, one pair at a time: what a run may take where nothing was measured.
PAPER_PAIRS_PER_SECOND = {"ViT-B-32": 12.0, "ViT-B-16": 12.0}
SLOWEST_PAIRS_PER_SECOND = 7.1


class Missing(CLIP4DMError):
    """A figure that cannot be had: why, in a line."""


@dataclass(frozen=True)
class Data:
    """Where a benchmark's files are. references: FOIL's, a COCO captions JSON."""

    name: str
    path: Path
    images: Path
    references: Path | None = None

    def missing(self) -> str | None:
        """What is not there, or None."""
        absent = [str(path) for path in (self.path, self.images) if not path.exists()]
        return f"not here: {', '.join(absent)} (see data/README.md)" if absent else None


@dataclass
class Study:
    """tables: by name. data: by name. model_of: the model to take for one of the paper's, data_of: likewise.

    options: further fields of runs.Options. say: takes lines meant for a person. tagger: a spaCy pipeline's name.
    """

    tables: Mapping[str, Table]
    data: Mapping[str, Data]
    model_of: Callable[[Model], Model]
    data_of: Callable[[str], str]
    options: Mapping[str, Any]
    output: Path
    as_published: bool = False
    caption_metrics: bool = False
    tagger: str = "en_core_web_sm"
    say: Callable[[str], None] = print
    _known: dict[Any, Any] = field(default_factory=dict)

    def lines(self, name: str) -> list[Line]:
        """A table's lines on this study's models and data, each once; the paper's numbers where both are its own."""
        mine = []
        for line in self.tables[name].lines:
            model, data = self.model_of(line.model), self.data_of(line.data)
            paper = line.paper if (model, data) == (line.model, line.data) else None
            mine.append(dataclasses.replace(line, model=model, data=data, paper=paper))
        return list(dict.fromkeys(mine))

    def figure(self, line: Line) -> tuple[Figure, Figure | None]:
        """(ours, ours as published or None). Errors: Missing."""
        result = self._once(self._figures, line.data, line.model, line.epsilon, line.layers, line.variant, line.part)
        ours, as_published = result
        if line.figure not in ours:
            raise Missing(self._why_not(line))
        name = line.figure.replace("F-CLIPScore_published", "F-CLIPScore")
        return ours[line.figure], as_published.get(name)

    def _why_not(self, line: Line) -> str:
        if line.figure.removeprefix("AP/") in CAPTION_BASELINES:
            return (
                "not asked for (--caption_metrics)"
                if not self.caption_metrics
                else "its Stanford models are not here"
                if line.figure == "AP/SPICE"
                else "no references"
            )
        return "no such words in the data" if line.part else "not a figure of this benchmark"

    def _figures(self, data: str, model: Model, epsilon, layers, variant, part) -> tuple[dict, dict]:
        if variant is not None:
            return self._once(self._ablation, data, model)[variant], {}
        run = self._once(open_run, self._once(self._run, data, model))
        settings = run.settings
        if layers is not None:
            if layers > settings.layers:
                raise Missing(f"this text tower has {settings.layers} layers")
            settings = dataclasses.replace(settings, start_layer_text=-layers)
        if epsilon is not None:
            settings = dataclasses.replace(settings, epsilon=epsilon)
        benchmark = get_benchmark(run.config["benchmark"])
        if part is not None:
            return self._once(self._parts, run.samples, benchmark, settings).get(part, {}), {}
        columns = report.collect(run.samples, benchmark, settings)
        scores = read_caption_metrics(run.folder)
        if scores is not None:
            columns.add_scores(scores)
        # NLI was computed under the run's own settings alone.
        nli_reason = run.config["nli_reason"] if settings == run.settings else "epsilon differs from the run"
        ours = report.summarise(columns, benchmark, seed=run.config["args"]["seed"], nli_reason=nli_reason)
        quirks = report.published_figures(run.samples, benchmark, settings) if self.as_published else {}
        return dict(report.flatten(ours)), dict(report.flatten(quirks))

    def _parts(self, samples: Path, benchmark, settings: Settings) -> dict[str, dict[str, Figure]]:
        from clip4dm.evaluation.metrics.parts_of_speech import TaggerUnavailable, by_part_of_speech, load_tagger

        try:
            return by_part_of_speech(samples, benchmark, settings, self._once(load_tagger, self.tagger))
        except TaggerUnavailable as error:
            raise Missing(str(error)) from error

    def _run(self, data: str, model: Model) -> Path:
        """The folder of a finished run, an earlier one where there is one."""
        found = self.finished(data, model)
        if found is None:
            where = self._present(data)
            self.say(f"\n== {data}, {model}")
            found = evaluate(self._options(where, model), say=self.say).folder
        if self.caption_metrics and not (found / CAPTION_METRICS).is_file():
            _, reading = self._reading(data)
            if any(sample.references for sample in reading.samples):
                write_caption_metrics(found, reading.samples[: self.options.get("limit")], self.say)
        return found

    def finished(self, data: str, model: Model) -> Path | None:
        """The newest finished run of these data, model and options under the output folder."""
        where = self.data.get(data)
        if where is None or where.missing():
            return None
        wanted = self._options(where, model)
        same = {
            name: getattr(wanted, name)
            for name in (
                "backbone",
                "pretrained",
                "precision",
                "template",
                "start_layer_text",
                "limit",
                "get_refclipscore",
                "sorted_by",
                "epsilon",
            )
        }
        weights, found = self._once(_weights, model), []
        for path in self.output.glob(f"*/*/*/{CONFIG}"):
            config, args = _config_and_args(path)
            if (
                (path.parent / RESULT).is_file()
                and {name: args.get(name) for name in same} == same
                and config.get("data_sha256") == self._once(path_sha256, where.path)
                and Path(str(args.get("img_dir"))).resolve() == where.images.resolve()
                and weights in (None, config.get("weights_sha256"))
            ):
                found.append(path.parent)
        return max(found, key=lambda folder: (folder / RESULT).stat().st_mtime, default=None)

    def _ablation(self, data: str, model: Model) -> dict[Any, dict[str, Figure]]:
        """{Variant: figures}, of a pass of its own whose figures are kept in the output folder."""
        where = self._present(data)
        variants = list(dict.fromkeys(line.variant for line in self.tables["gradient_sign"].lines))
        key = fingerprint(
            {
                "data": self._once(path_sha256, where.path),
                "images": str(where.images.resolve()),
                "model": [model.backbone, model.pretrained],
                "weights": self._once(_weights, model),
                "options": dict(self.options),
                "variants": [str(v) for v in variants],
            }
        )
        path = self.output / "ablation" / f"{where.name}-{key[:12]}.json"
        if not path.is_file():
            self.say(f"\n== {data}, {model}: signs of the gradient")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_sealed(path, {str(v): f for v, f in self._computed_ablation(data, model, variants).items()})
        kept = read_sealed(path)
        return {variant: dict(report.flatten(kept[str(variant)])) for variant in variants}

    def _computed_ablation(self, data: str, model: Model, variants: list) -> dict[Any, Any]:
        from ablate import run

        from clip4dm import CLIP4DM

        benchmark, reading = self._reading(data)
        images = self.data[data].images
        samples = [
            sample
            for sample in reading.samples[: self.options.get("limit")]
            if not self.options.get("skip_missing") or (images / sample.image).is_file()
        ]
        detector = CLIP4DM.from_pretrained(
            model.backbone, model.pretrained, self.options.get("device", "auto"), self.options.get("precision", "fp32")
        )
        layers = detector.model.tower.layers
        # A tower of fewer layers than the paper's three is taken whole.
        fitting = {v: dataclasses.replace(v, layers=min(v.layers, layers)) for v in variants}
        settings = Settings(benchmark.sorted_by, benchmark.epsilon, detector.start_layer_text, layers)
        found = run(detector, benchmark, samples, images, list(dict.fromkeys(fitting.values())), settings)
        return {variant: found[fits] for variant, fits in fitting.items()}

    def _reading(self, data: str):
        where = self._present(data)
        return self._once(_read, where)

    def _present(self, data: str) -> Data:
        if data not in self.data:
            raise Missing(f"no data named {data} here")
        reason = self.data[data].missing()
        if reason:
            raise Missing(reason)
        return self.data[data]

    def _options(self, where: Data, model: Model) -> Options:
        benchmark, reading = self._once(_read, where)
        return Options(
            data_path=str(where.path),
            img_dir=str(where.images),
            output=str(self.output),
            backbone=model.backbone,
            pretrained=model.pretrained,
            reference_path=str(where.references) if where.references and where.references.exists() else None,
            get_refclipscore=benchmark.positive is not None and any(s.references for s in reading.samples),
            **self.options,
        )

    def pairs(self, data: str) -> int:
        """Samples that a run passes. Errors: Missing."""
        return len(self._reading(data)[1].samples[: self.options.get("limit")])

    def pairs_per_second(self, model: Model) -> tuple[float, bool]:
        """(pairs/s, whether measured): of an earlier run with this model, else of the paper's GPU."""
        for path in self.output.glob(f"*/*/*/{TIMING}"):
            _, args = _config_and_args(path.parent / CONFIG)
            if (args.get("backbone", ""), args.get("pretrained")) == (model.backbone, model.pretrained):
                rate = read_json(path, "remove it").get("samples_per_second")
                if is_number(rate) and rate > 0:
                    return rate, True
        return PAPER_PAIRS_PER_SECOND.get(model.backbone or "", SLOWEST_PAIRS_PER_SECOND), False

    def _once(self, function: Callable, *arguments):
        """function(*arguments), computed once; what it raised as Missing is raised again."""
        key = (function.__name__, *arguments)
        if key not in self._known:
            try:
                self._known[key] = function(*arguments)
            except DamagedRun:  # no figure is to be had before that is mended
                raise
            except Missing as error:
                self._known[key] = error
            except (ValueError, OSError, RunError) as error:  # weights, pictures, references: the other lines go on
                self._known[key] = Missing(" ".join(str(error).split()))
        if isinstance(self._known[key], Missing):
            raise self._known[key]
        return self._known[key]

    @cached_property
    def random_weights(self) -> set[str]:
        """The models among those taken whose folder says that its weights are random."""
        models = {self.model_of(line.model) for table in self.tables.values() for line in table.lines}
        return {str(model) for model in models if model.pretrained and _says_random(Path(model.pretrained))}


def _config_and_args(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A config.json and its args; of a damaged one, a note and nothing: that run is passed over."""
    try:
        config = read_json(path, "the run is passed over")
    except DamagedRun as error:
        warnings.warn(str(error), stacklevel=2)
        return {}, {}
    args = config.get("args")
    return config, args if isinstance(args, dict) else {}


def _read(where: Data):
    return read_benchmark(where.path, img_dir=where.images, reference_path=where.references)


def _weights(model: Model) -> str | None:
    """SHA-256 of a model's weights, if they are on this machine."""
    if not weights_at_hand(model.backbone, model.pretrained):
        return None
    return file_sha256(resolve_source(model.backbone, model.pretrained).weights_path)


def _says_random(folder: Path) -> bool:
    try:
        config = read_any_json(folder / "open_clip_config.json")
    except FileError:
        return False
    return isinstance(config, dict) and bool(config.get("random_weights"))


def passes(lines: list[Line]) -> Iterator[tuple[str, Model, bool]]:
    """(data, model, whether the ablation's pass) of every pass over data that the lines need, each once."""
    yield from dict.fromkeys((line.data, line.model, line.variant is not None) for line in lines)
