"""What a run was asked for, and what tells it from other runs: config.json, its fingerprint, its folder's name."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields, replace
from enum import Flag, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from clip4dm.attribution.methods import Method, get_method
from clip4dm.benchmarks.base import Benchmark
from clip4dm.captions.sentences import CUT, Long, check_long
from clip4dm.errors import InputError
from clip4dm.evaluation.metrics.nli import DEFAULT_NLI_MODEL
from clip4dm.evaluation.options import (
    AT_LEAST_ONE,
    COPIES,
    EPSILON_OR_FILE,
    IMAGES_PER_BLOCK,
    MARGIN,
    PROCESSES,
    SEED,
    WEIGHT,
    YES_NO,
    Finite,
    Threshold,
    Whole,
    YesNo,
)
from clip4dm.evaluation.records import Settings
from clip4dm.files.provenance import fingerprint, git_revision, path_sha256, versions
from clip4dm.models.names import DEFAULT_BACKBONE
from clip4dm.scores import (
    CLIP4DM_METHOD,
    F_CLIP_SCORE,
    START_LAYER_TEXT,
    TEMPLATE,
    ScoreName,
    SortedBy,
    check_score,
    last_layers,
)

if TYPE_CHECKING:
    from clip4dm.models.load import LoadedModel


class Bears(Flag):
    """What an option bears on; said of each where it is defined, and nowhere else.

    >>> Bears.REPORT in Bears.REPORT | Bears.IDENTITY, bool(Bears.WORK)
    (True, False)
    """

    WORK = 0  # how and where the run is done, what is printed: no file of the run says it
    REPORT = auto()  # it stands in config.json and result.json
    FINGERPRINT = auto()  # as given; of other options the fingerprint has what they lead to: hashes, settings
    IDENTITY = auto()  # a finished run that was given another value does not stand in for this one


def _option(bears_on: Bears, rule: Whole | Finite | Threshold | YesNo | None = None) -> dict[str, Any]:
    """An option's metadata. rule: what it may be, beside the None that it is where the run decides."""
    return {"bears_on": bears_on, "rule": rule}


_WORK, _REPORT = Bears.WORK, Bears.REPORT
_STORED = Bears.REPORT | Bears.FINGERPRINT
_RESOLVED = Bears.REPORT | Bears.IDENTITY
_ALL = Bears.REPORT | Bears.FINGERPRINT | Bears.IDENTITY


@dataclass(frozen=True)
class Options:
    """The options of main.py; None where the benchmark, the backbone or the machine decides.

    Errors: InputError, for what main.py refuses on its command line.

    >>> Options("foil.json", "images", limit=0)
    Traceback (most recent call last):
    clip4dm.errors.InputError: --limit is 0; it must be a whole number from 1 to 2147483647
    """

    data_path: str = field(metadata=_option(_REPORT))
    img_dir: str = field(metadata=_option(_REPORT))
    output: str = field(default="./output", metadata=_option(_WORK))
    benchmark: str | None = field(default=None, metadata=_option(_STORED))
    backbone: str | None = field(default=DEFAULT_BACKBONE, metadata=_option(_RESOLVED))
    pretrained: str | None = field(default=None, metadata=_option(_RESOLVED))
    device: str = field(default="auto", metadata=_option(_WORK))
    precision: str = field(default="fp32", metadata=_option(_ALL))
    template: str = field(default=TEMPLATE, metadata=_option(_ALL))
    start_layer_text: int | None = field(default=None, metadata=_option(_ALL))
    method: str = field(default=CLIP4DM_METHOD, metadata=_option(_ALL))
    margin: float | None = field(default=None, metadata=_option(_ALL, MARGIN))
    steps: int | None = field(default=None, metadata=_option(_ALL, AT_LEAST_ONE))
    image_masks: int = field(default=0, metadata=_option(_ALL, COPIES))
    sorted_by: SortedBy | None = field(default=None, metadata=_option(_RESOLVED))
    epsilon: float | str | None = field(default=None, metadata=_option(_RESOLVED, EPSILON_OR_FILE))
    score: ScoreName = field(default=F_CLIP_SCORE, metadata=_option(_RESOLVED))
    score_weight: float | None = field(default=None, metadata=_option(_RESOLVED, WEIGHT))
    long: Long = field(default=CUT, metadata=_option(_ALL))
    get_refclipscore: bool = field(default=False, metadata=_option(_ALL, YES_NO))
    reference_path: str | None = field(default=None, metadata=_option(_REPORT))
    limit: int | None = field(default=None, metadata=_option(_ALL, AT_LEAST_ONE))
    batch_size: int | None = field(default=None, metadata=_option(_WORK, AT_LEAST_ONE))
    num_workers: int | None = field(default=None, metadata=_option(_WORK, PROCESSES))
    nli_model: str = field(default=DEFAULT_NLI_MODEL, metadata=_option(_STORED))
    resume: bool = field(default=True, metadata=_option(_WORK, YES_NO))
    overwrite: bool = field(default=False, metadata=_option(_WORK, YES_NO))
    skip_missing: bool = field(default=False, metadata=_option(_WORK, YES_NO))
    seed: int = field(default=0, metadata=_option(_REPORT, SEED))
    images_per_block: int = field(default=IMAGES_PER_BLOCK, metadata=_option(_STORED, AT_LEAST_ONE))
    caption_metrics: bool = field(default=False, metadata=_option(_WORK, YES_NO))
    as_published: bool = field(default=False, metadata=_option(_WORK, YES_NO))
    expect: bool = field(default=False, metadata=_option(_WORK, YES_NO))
    suggest: bool = field(default=False, metadata=_option(_WORK, YES_NO))
    vocabulary: str | None = field(default=None, metadata=_option(_WORK))

    def __post_init__(self) -> None:
        method = get_method(self.method, self.margin, self.steps)
        method.check_start(self.start_layer_text)
        object.__setattr__(self, "margin", method.margin)  # from here on as the method has them
        object.__setattr__(self, "steps", method.steps)
        for option in fields(self):
            value, rule = getattr(self, option.name), option.metadata["rule"]
            if rule is not None and (value is not None or option.default is not None):
                rule.check(f"--{option.name}", value)
        method.image_masks(self.image_masks)
        if self.vocabulary is not None and not self.suggest:
            raise InputError("--vocabulary means nothing without --suggest")
        check_score(self.score, self.score_weight)
        check_long(self.long)

    def for_tower(self, layers: int) -> Options:
        """These options with what a text tower of so many layers decides: start_layer_text.

        >>> options = Options("foil.json", "images")
        >>> options.for_tower(4).start_layer_text, options.for_tower(12).start_layer_text
        (0, -3)
        """
        return replace(self, start_layer_text=self.way.start(self.start_layer_text, layers))

    def reported(self) -> dict[str, Any]:
        """What config.json and result.json say, as "args": all that bears on the figures, nothing that does not."""
        return self._bearing_on(Bears.REPORT)

    def fingerprinted(self) -> dict[str, Any]:
        """The options that stand in the run's fingerprint as they were given."""
        found = self._bearing_on(Bears.FINGERPRINT)
        if self.method == CLIP4DM_METHOD:  # unsaid: runs from before there were others are the same runs
            del found["method"], found["margin"]
        if self.steps == self.way.steps:  # likewise
            del found["steps"]
        if not self.image_masks:
            del found["image_masks"]
        if self.long == CUT:
            del found["long"]
        return found

    def identity(self) -> dict[str, Any]:
        """What a finished run must have among its "args" to stand in for one of these options.

        Beside it must have the same data, pictures and weights. Blocks, seed and entailment model may be others.

        >>> identity = Options("foil.json", "images", seed=7).identity()
        >>> identity["backbone"], "seed" in identity
        ('ViT-B-32', False)
        """
        return self._bearing_on(Bears.IDENTITY)

    def _bearing_on(self, what: Bears) -> dict[str, Any]:
        return {o.name: getattr(self, o.name) for o in fields(self) if what in o.metadata["bears_on"]}

    @property
    def way(self) -> Method:
        """The method, without its margin."""
        return get_method(self.method)

    @property
    def start(self) -> int:
        """start_layer_text, which is a number after `for_tower`."""
        assert self.start_layer_text is not None
        return self.start_layer_text


class RunConfig(TypedDict):
    """config.json. settings: of `records.Settings`. args: `Options.reported`. nli_reason: why there is no NLI.

    config = run_config(options, benchmark, model, settings, batch_size=64, nli_reason=None)
    config["fingerprint"], config["args"]["limit"]
    """

    fingerprint: str
    benchmark: str
    backbone: str
    pretrained: str
    quick_gelu: bool
    settings: dict[str, Any]
    batch_size: int
    device: str
    versions: dict[str, str]
    weights_sha256: str
    data_sha256: str
    reference_sha256: str | None
    nli_reason: str | None
    args: dict[str, Any]
    git_revision: str | None


def run_config(
    options: Options,
    benchmark: Benchmark,
    model: LoadedModel,
    settings: Settings,
    batch_size: int,
    nli_reason: str | None,
) -> RunConfig:
    """All that made a run, hashes of data and weights too, and the fingerprint of it: with another, it is another run.

    The git revision is said, but is not part of the fingerprint: a commit that changes a text costs no run.

        run_config(options, get_benchmark("foil"), model, settings, batch_size=64, nli_reason=None)["fingerprint"]
    """
    config: RunConfig = {
        "fingerprint": "",
        "benchmark": benchmark.name,
        "backbone": model.backbone,
        "pretrained": model.pretrained,
        "quick_gelu": model.quick_gelu,
        "settings": settings.stored(),
        "batch_size": batch_size,
        "device": model.device.type,
        "versions": versions("scikit-learn", "scipy"),
        "weights_sha256": model.weights_sha256(),
        "data_sha256": path_sha256(Path(options.data_path)),
        "reference_sha256": path_sha256(Path(options.reference_path)) if options.reference_path else None,
        "nli_reason": nli_reason,
        "args": options.reported(),
        "git_revision": git_revision(),
    }
    parts = {name: value for name, value in config.items() if name not in ("fingerprint", "git_revision")}
    images = os.path.realpath(options.img_dir)
    config["fingerprint"] = fingerprint({**parts, "args": options.fingerprinted(), "images": images})
    return config


def run_folder(options: Options, config: RunConfig) -> Path:
    """output/BENCHMARK/BACKBONE-TAG/SETTINGS-FINGERPRINT.

    run_folder(options, config)  # output/foil/ViT-B-32-openai/most_negative_-5e-05_last3_fp32_0123abcd
    """
    model = _slug(f"{config['backbone']}-{config['pretrained']}")
    name = f"{settings_name(Settings(**config['settings']), options.way.name, options.start)}_{options.precision}"
    if options.margin != options.way.margin:
        name = f"margin{options.margin:g}_{name}"
    if options.steps != options.way.steps:
        name = f"steps{options.steps}_{name}"
    if options.image_masks:
        name = f"masks{options.image_masks}_{name}"
    if options.long != CUT:
        name = f"{options.long}_{name}"
    name = name if options.method == CLIP4DM_METHOD else f"{options.way.name}_{name}"
    name += ("_ref" if options.get_refclipscore else "") + (f"_limit{options.limit}" if options.limit else "")
    return Path(options.output) / config["benchmark"] / model / f"{name}_{config['fingerprint'][:8]}"


def settings_name(settings: Settings, method: str = CLIP4DM_METHOD, start_layer_text: int | None = None) -> str:
    """As a part of a folder's name. start_layer_text: as asked for, of a method whose one row is of those layers.

    >>> settings_name(Settings("threshold", -5e-5, start_layer_text=-3, layers=12))
    'threshold_-5e-05_last3'
    >>> settings_name(Settings("threshold", -5e-5, -1, layers=1, score="additive", score_weight=12.5), "gae", -3)
    'threshold_-5e-05_start-3_additive12.5'
    """
    way = get_method(method)
    if way.one_layer and not way.fixed_layers:
        layers = f"start{START_LAYER_TEXT if start_layer_text is None else start_layer_text}"  # None: of an old run
    else:
        layers = f"last{last_layers(settings.start_layer_text, settings.layers)}"
    score = "" if settings.score == F_CLIP_SCORE else f"_{settings.score}{settings.score_weight!r}"
    return f"{settings.sorted_by}_{settings.epsilon:g}_{layers}{score}"


def _slug(text: str) -> str:
    """A name that any file system takes.

    >>> _slug("hf-hub:org/CLIP-hf-hub:org/CLIP")
    'hf-hub-org-CLIP-hf-hub-org-CLIP'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "model"
