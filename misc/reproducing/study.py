"""The figures behind reproduce_tables.py: finished runs found again, missing ones made, each pass over data once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from reproducing.data import Data
from reproducing.earlier import finished_run, weights_sha256
from reproducing.paper_tables import CAPTION_BASELINES, Line, Model, Table

from clip4dm.attribution.variants import Variant
from clip4dm.benchmarks import get_benchmark
from clip4dm.errors import CLIP4DMError, InputError
from clip4dm.evaluation import report
from clip4dm.evaluation.metrics.metrics import Figure
from clip4dm.evaluation.metrics.parts_of_speech import by_part_of_speech, load_tagger
from clip4dm.evaluation.records import Settings
from clip4dm.evaluation.run import Options, evaluate, write_caption_metrics
from clip4dm.evaluation.store.finished import FinishedRun, open_run, read_caption_metrics
from clip4dm.evaluation.store.runfiles import CAPTION_METRICS, DamagedRun, read_sealed, write_sealed
from clip4dm.files.provenance import fingerprint
from clip4dm.files.reading import FileError, read_json
from clip4dm.scores import CLIP4DM_METHOD, START_LAYER_TEXT

Figures = dict[str, Figure]
Pass = tuple[str, Model, bool]  # (data, model, whether the ablation's): one way through all samples


class Missing(CLIP4DMError):
    """A figure that cannot be had: why, in a line."""


@contextlib.contextmanager
def lines_go_on() -> Iterator[None]:
    """What is wrong with weights, pictures or references is why a line is missing, and the other lines go on.

    Not so a damaged run: no figure is to be had before that is mended.
    """
    try:
        yield
    except DamagedRun:
        raise
    except (CLIP4DMError, OSError) as error:
        raise Missing(" ".join(str(error).split())) from error


@dataclass
class Study:
    """tables: by name. data: by name. model_of: the model to take for one of the paper's, data_of: likewise.

    options: further fields of run.Options. say: takes lines meant for a person. tagger: a spaCy pipeline's name.
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
    _runs: dict[Pass, FinishedRun] = field(init=False, default_factory=dict)
    _ablations: dict[Pass, dict[Variant, Figures]] = field(init=False, default_factory=dict)
    _failed: dict[Pass, str] = field(init=False, default_factory=dict)  # and why: it is not tried again for every line
    _rescored: dict[tuple[Pass, Settings], tuple[Figures, Figures]] = field(init=False, default_factory=dict)
    _parts: dict[tuple[Pass, Settings], dict[str, Figures]] = field(init=False, default_factory=dict)

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
        with lines_go_on():
            ours, as_published = self._figures(line)
        if line.figure not in ours:
            raise Missing(self._why_not(line))
        name = line.figure.replace("F-CLIPScore_published", "F-CLIPScore")
        return ours[line.figure], as_published.get(name)

    def _why_not(self, line: Line) -> str:
        if line.figure.removeprefix("AP/") not in CAPTION_BASELINES:
            return "no such words in the data" if line.part else "not a figure of this benchmark"
        if not self.caption_metrics:
            return "not asked for (--caption_metrics)"
        return "its Stanford models are not here" if line.figure == "AP/SPICE" else "no references"

    def _figures(self, line: Line) -> tuple[Figures, Figures]:
        """All figures of a line's pass under its settings: (ours, as published)."""
        this = (line.data, line.model, line.variant is not None)
        if line.variant is not None:
            return self._ablation(this)[line.variant], {}
        run = self._run(this)
        settings = run.settings
        if line.layers is not None:
            if line.layers > settings.layers:
                raise Missing(f"this text tower has {settings.layers} layers")
            settings = dataclasses.replace(settings, start_layer_text=-line.layers)
        if line.epsilon is not None:
            settings = dataclasses.replace(settings, epsilon=line.epsilon)
        if line.part is not None:
            if (this, settings) not in self._parts:
                benchmark = get_benchmark(run.config["benchmark"])
                self._parts[this, settings] = by_part_of_speech(run.samples, benchmark, settings, self._tagger)
            return self._parts[this, settings].get(line.part, {}), {}
        if (this, settings) not in self._rescored:
            self._rescored[this, settings] = self._rescore(run, settings)
        return self._rescored[this, settings]

    def _rescore(self, run: FinishedRun, settings: Settings) -> tuple[Figures, Figures]:
        benchmark = get_benchmark(run.config["benchmark"])
        columns = report.collect(run.samples, benchmark, settings)
        scores = read_caption_metrics(run.folder)
        if scores is not None:
            columns.add_scores(scores)
        # NLI was computed under the run's own settings alone.
        nli_reason = run.config["nli_reason"] if settings == run.settings else "epsilon differs from the run"
        ours = report.summarise(columns, benchmark, seed=run.config["args"]["seed"], nli_reason=nli_reason)
        quirks = report.published_figures(run.samples, benchmark, settings) if self.as_published else {}
        return dict(report.flatten(ours)), dict(report.flatten(quirks))

    @cached_property
    def _tagger(self) -> Any:
        return load_tagger(self.tagger)

    def _run(self, this: Pass) -> FinishedRun:
        """A finished run, an earlier one where there is one."""
        if this not in self._runs:
            with self._tried_once(this):
                self._runs[this] = open_run(self._run_folder(this))
        return self._runs[this]

    def _run_folder(self, this: Pass) -> Path:
        name, model, _ = this
        data = self._present(name)
        found = self.finished(name, model)
        if found is None:
            self.say(f"\n== {name}, {model}")
            outcome = evaluate(self._options(data, model), say=self.say)
            if outcome is None:
                raise InputError("reproduce_tables.py is one process; start it without torchrun")
            found = outcome.folder
        if self.caption_metrics and not (found / CAPTION_METRICS).is_file():
            samples = data.reading[1].samples
            if any(sample.references for sample in samples):
                write_caption_metrics(found, samples[: self.options.get("limit")], self.say)
        return found

    def finished(self, name: str, model: Model) -> Path | None:
        """The newest finished run of these data, model and options under the output folder. Errors: Missing."""
        data = self.data.get(name)
        if data is None or data.missing():
            return None
        with lines_go_on():
            return finished_run(self.output, data, model, self._options(data, model))

    def _ablation(self, this: Pass) -> dict[Variant, Figures]:
        """Every variant's figures, of a pass of its own whose figures are kept in the output folder."""
        if this not in self._ablations:
            with self._tried_once(this):
                self._ablations[this] = self._kept_ablation(*this[:2])
        return self._ablations[this]

    def _kept_ablation(self, name: str, model: Model) -> dict[Variant, Figures]:
        data = self._present(name)
        variants = list(dict.fromkeys(line.variant for line in self.tables["gradient_sign"].lines if line.variant))
        key = fingerprint(
            {
                "data": data.sha256,
                "images": str(data.images.resolve()),
                "model": [model.backbone, model.pretrained],
                "weights": weights_sha256(model),
                "options": dict(self.options),
                "variants": [str(variant) for variant in variants],
            }
        )
        path = self.output / "ablation" / f"{data.name}-{key[:12]}.json"
        if not path.is_file():
            self.say(f"\n== {name}, {model}: signs of the gradient")
            path.parent.mkdir(parents=True, exist_ok=True)
            computed = self._computed_ablation(data, model, variants)
            write_sealed(path, {str(variant): figures for variant, figures in computed.items()})
        kept = read_sealed(path)
        return {variant: dict(report.flatten(kept[str(variant)])) for variant in variants}

    def _computed_ablation(self, data: Data, model: Model, variants: Iterable[Variant]) -> dict[Variant, Any]:
        from reproducing.ablation import figures_of_variants  # torch takes seconds, and --dry_run needs none

        from clip4dm import CLIP4DM

        benchmark, reading = data.reading
        samples = [
            sample
            for sample in reading.samples[: self.options.get("limit")]
            if not self.options.get("skip_missing") or (data.images / sample.image).is_file()
        ]
        detector = CLIP4DM.from_pretrained(
            model.backbone,
            model.pretrained,
            self.options.get("device", "auto"),
            self.options.get("precision", "fp32"),
            method=CLIP4DM_METHOD,
            start_layer_text=START_LAYER_TEXT,
        )
        layers = detector.model.tower.layers
        # A tower of fewer layers than the paper's three is taken whole.
        fitting = {v: dataclasses.replace(v, layers=min(v.layers, layers)) for v in variants}
        settings = Settings(benchmark.sorted_by, benchmark.epsilon, detector.start_layer_text, layers)
        distinct = dict.fromkeys(fitting.values())
        found = figures_of_variants(detector, benchmark, samples, data.images, distinct, settings)
        return {variant: found[fits] for variant, fits in fitting.items()}

    @contextlib.contextmanager
    def _tried_once(self, this: Pass) -> Iterator[None]:
        """A pass that fails is not tried again: its other lines are missing for the same reason. Errors: Missing."""
        if this in self._failed:
            raise Missing(self._failed[this])
        try:
            with lines_go_on():
                yield
        except Missing as error:
            self._failed[this] = str(error)
            raise

    def _present(self, name: str) -> Data:
        if name not in self.data:
            raise Missing(f"no data named {name} here")
        reason = self.data[name].missing()
        if reason:
            raise Missing(reason)
        return self.data[name]

    def _options(self, data: Data, model: Model) -> Options:
        benchmark, reading = data.reading
        return Options(
            data_path=str(data.path),
            img_dir=str(data.images),
            output=str(self.output),
            backbone=model.backbone,
            pretrained=model.pretrained,
            method=CLIP4DM_METHOD,
            start_layer_text=START_LAYER_TEXT,
            reference_path=str(data.references) if data.references and data.references.exists() else None,
            get_refclipscore=benchmark.positive is not None and any(s.references for s in reading.samples),
            **self.options,
        )

    def pairs(self, name: str) -> int:
        """Samples that a run passes. Errors: Missing."""
        with lines_go_on():
            return len(self._present(name).reading[1].samples[: self.options.get("limit")])

    @cached_property
    def random_weights(self) -> set[str]:
        """The models among those taken whose folder says that its weights are random."""
        models = {self.model_of(line.model) for table in self.tables.values() for line in table.lines}
        return {str(model) for model in models if model.pretrained and _says_random(Path(model.pretrained))}


def _says_random(folder: Path) -> bool:
    try:
        config = read_json(folder / "open_clip_config.json")
    except FileError:
        return False
    return isinstance(config, dict) and bool(config.get("random_weights"))


def passes(lines: Iterable[Line]) -> Iterator[Pass]:
    """Every pass over data that the lines need, each once."""
    yield from dict.fromkeys((line.data, line.model, line.variant is not None) for line in lines)
