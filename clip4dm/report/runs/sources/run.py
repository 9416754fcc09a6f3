"""A run of main.py as a report takes it: finished, or re-scored by --rescore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.benchmarks import Benchmark, get_benchmark
from clip4dm.benchmarks.labels import overlaps_any
from clip4dm.errors import InputError, short_reason
from clip4dm.evaluation.metrics.calibration import read_words
from clip4dm.evaluation.records import Scored, Settings, sample_of, score_record
from clip4dm.evaluation.shown import groups_of, overall
from clip4dm.evaluation.store.finished import FinishedRun, open_run, stored_records
from clip4dm.evaluation.store.runfiles import CONFIG, RESULT, DamagedRun, read_object
from clip4dm.report.runs.sources.base import Label, Shown, Skipped, score_title
from clip4dm.report.runs.sources.pictures import FolderPictures
from clip4dm.report.runs.sources.suggested import RunSuggestions, read_run_suggestions
from clip4dm.scores import SortedBy, last_layers

if TYPE_CHECKING:
    from PIL.Image import Image

    from clip4dm.benchmarks.base import Sample
    from clip4dm.evaluation.metrics.calibration import Words

RESCORED = "rescored"  # the folder in a run below which --rescore writes
REMEDY = "run the main.py command that made it again"


@dataclass(frozen=True)
class RunSource:
    """A run's samples under `settings`, which are its own unless it was re-scored. result: as in result.json.

    source = open_run_source(Path("output/foil/ViT-B-32-openai/SETTINGS"))
    next(source.pairs()).caption
    """

    run: FinishedRun
    settings: Settings
    result: Mapping[str, Any]
    pictures: FolderPictures
    suggestions: RunSuggestions = field(default_factory=RunSuggestions)

    @cached_property
    def benchmark(self) -> Benchmark:
        """Whose samples these are."""
        return get_benchmark(self.run.config["benchmark"])

    @property
    def title(self) -> str:
        """The benchmark's."""
        return self.benchmark.title

    @property
    def model(self) -> str:
        """Backbone and weights."""
        return f"{self.run.config['backbone']} {_name(self.run.config['pretrained'])}"

    @property
    def labelled(self) -> bool:
        """Whether captions are known to be true or not: where people rated them, they are not."""
        return self.benchmark.kendall is None

    @property
    def sorted_by(self) -> SortedBy:
        """The settings'."""
        return self.settings.sorted_by

    @property
    def epsilon(self) -> float:
        """The settings'."""
        return self.settings.epsilon

    @property
    def score_name(self) -> str:
        """The settings'."""
        return score_title(self.settings.score)

    @property
    def notices(self) -> Sequence[str]:
        """Missing pictures, damaged suggestions."""
        return [one for one in (self.pictures.amiss, self.suggestions.amiss) if one]

    @property
    def about(self) -> Sequence[tuple[str, str]]:
        """From config.json. Of paths the last name alone: a report is sent around."""
        config, args, settings = self.run.config, self.run.config["args"], self.settings
        last = last_layers(settings.start_layer_text, settings.layers)
        rows: dict[str, Any] = {
            "benchmark": f"{self.benchmark.title}: {self.benchmark.rule}",
            "annotations": _name(args.get("data_path", "")),
            "annotations' SHA-256": config.get("data_sha256"),
            "backbone": config["backbone"],
            "weights": _name(config["pretrained"]),
            "weights' SHA-256": config.get("weights_sha256"),
            "method": self.run.method,
            "text layers explained": f"the last {last} of {settings.layers}" if settings.layers > 1 else "all as one",
            "template": repr(args["template"]),
            "a word is misaligned": rule_of(settings.sorted_by, settings.epsilon),
            "captions are ordered by": self.score_name
            + (f", weight {settings.score_weight:g}" if settings.score_weight is not None else ""),
            "precision": args.get("precision"),
            "device": config.get("device"),
            "bootstrap seed": args["seed"],
            "only the first samples": args["limit"],
            "versions": versions_of(config.get("versions")),
            "git revision": config.get("git_revision"),
            "fingerprint": config["fingerprint"],
            "re-scored": "yes, from the run's stored attributions" if "rescored_from" in self.result else None,
        }
        return [(name, str(value)) for name, value in rows.items() if value not in (None, "")]

    def pairs(self) -> Iterator[Shown | Skipped]:
        """Errors: DamagedRun."""
        for record in stored_records(self.run.samples, self.settings.layers):
            if "skipped" in record:
                yield Skipped(record["id"], record["image"], str(record.get("caption", "")), record["skipped"])
                continue
            sample = sample_of(record)
            scored = score_record(record, sample, self.benchmark, self.settings)
            yield Shown(
                sample.id,
                sample.image,
                sample.caption,
                scored.words,
                scored.cosine,
                scored.f_clip_score,
                scored.score,
                record["truncated"],
                _label(sample, scored) if self.labelled else None,
                sample.gt_score,
                sample.groups,
                self.suggestions.of(sample.id),
            )

    def picture(self, name: str) -> Image:
        """Errors: ImageError."""
        return self.pictures.picture(name)

    def words(self) -> Words | None:
        """None where no word is labelled, or none was scored."""
        if not self.labelled:
            return None
        words = read_words(self.run.samples, self.benchmark, self.settings, [])
        return words if words.wrong.any() else None


def open_run_source(folder: Path, img_dir: str | None = None) -> RunSource:
    """A run's folder, or one that --rescore wrote in it. img_dir: where the pictures are now (None: where they were).

    Errors: RunError, DamagedRun.

        open_run_source(Path("output/foil/ViT-B-32-openai/SETTINGS")).result["LA"]["value"]
    """
    rescored = folder.resolve().parent.name == RESCORED and not (folder / CONFIG).is_file()
    run = open_run(folder.resolve().parents[1] if rescored else folder)
    result = read_object(folder / RESULT, REMEDY)
    settings = run.settings
    if rescored:
        if result.get("rescored_from") != run.config["fingerprint"]:
            raise DamagedRun(f"{folder / RESULT} was not made of the run in {run.folder}; {REMEDY}")
        try:
            settings = Settings(**result["settings"])
            last_layers(settings.start_layer_text, run.settings.layers)
        except (KeyError, TypeError, InputError):
            raise DamagedRun(f"{folder / RESULT} has settings that cannot be; {REMEDY}") from None
    _check_figures(folder / RESULT, result)
    pictures = FolderPictures(img_dir or run.config["args"]["img_dir"])
    return RunSource(run, settings, result, pictures, read_run_suggestions(run.folder))


def _check_figures(path: Path, result: Mapping[str, Any]) -> None:
    """Errors: DamagedRun for figures that are none, or not those of this version."""
    try:
        overall(result)
        groups_of(result)
        result["n"] + 0
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedRun(f"{path} has figures that cannot be ({short_reason(error)}); {REMEDY}") from None


def rule_of(sorted_by: SortedBy, epsilon: float) -> str:
    """When a word is called misaligned.

    >>> rule_of("threshold", -5e-5), rule_of("most_negative", -5e-5)
    ('below epsilon = -5e-05', 'if it has the lowest attribution of its caption (epsilon = -5e-05 for F-CLIPScore)')
    """
    if sorted_by == "threshold":
        return f"below epsilon = {epsilon:g}"
    return f"if it has the lowest attribution of its caption (epsilon = {epsilon:g} for F-CLIPScore)"


def versions_of(versions: Any) -> str:
    """In a line.

    >>> versions_of({"torch": "2.14.1", "numpy": "2.4.6"})
    'torch 2.14.1, numpy 2.4.6'
    """
    return ", ".join(f"{name} {value}" for name, value in versions.items()) if isinstance(versions, Mapping) else ""


def _label(sample: Sample, scored: Scored) -> Label:
    hit = scored.sound.hit_span
    if hit is None and sample.misaligned and sample.spans:  # a benchmark that counts tokens or entailment
        hit = any(overlaps_any((word.start, word.end), sample.spans) for word in scored.words if word.misaligned)
    text = sample.label if sample.misaligned else ""
    return Label(sample.misaligned, sample.spans, text, hit if sample.spans else None)


def _name(path: str) -> str:
    """A path's last part; of what is no path all."""
    return Path(path).name or path
