"""A finished run judged anew under other settings: no model is needed, for every word's attribution is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clip4dm.attribution.methods import get_method
from clip4dm.benchmarks import get_benchmark
from clip4dm.calibration.shelf import calibration_for
from clip4dm.captions.sentences import CUT, Long
from clip4dm.detection import check_settings
from clip4dm.errors import InputError
from clip4dm.evaluation.config import settings_name
from clip4dm.evaluation.labelled import attributed_by, is_split
from clip4dm.evaluation.metrics.nli import entailment_or_reason
from clip4dm.evaluation.options import SEED
from clip4dm.evaluation.records import Settings
from clip4dm.evaluation.result import Outcome, conclude
from clip4dm.evaluation.store.finished import FinishedRun, open_run
from clip4dm.scores import EPSILON, ScoreName, SortedBy, last_layers, weight_kept


def rescore(
    folder: Path,
    *,
    sorted_by: SortedBy | None = None,
    epsilon: float | str | None = None,
    start_layer_text: int | None = None,
    method: str | None = None,
    margin: float | None = None,
    steps: int | None = None,
    image_masks: int | None = None,
    long: Long | None = None,
    score: ScoreName | None = None,
    score_weight: float | None = None,
    seed: int | None = None,
    nli_model: str | None = None,
    as_published: bool = False,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Every metric of a finished run anew under other settings, from samples.jsonl, without the model.

    None: as in the run; a weight is the score's own. epsilon: also "auto" or a calibration's file. method, margin,
    steps, image_masks, long: others than the run's need the model. Written: FOLDER/rescored/SETTINGS/result.json.
    Errors: RunError if the folder holds no finished run or a damaged one, InputError for impossible settings.

        rescore(Path("output/foil/ViT-B-32-openai/..."), sorted_by="threshold", epsilon=-1e-4).result["LA"]["value"]
    """
    run = open_run(folder)
    _check_method(run, method, {"margin": margin, "steps": steps, "image_masks": image_masks, "long": long})
    was, args, start = run.settings, run.config["args"], _start(run, start_layer_text)
    settings = Settings(
        sorted_by or was.sorted_by,
        was.epsilon if epsilon is None else _epsilon(run, epsilon, start, say),
        start,
        was.layers,
        *weight_kept((was.score, was.score_weight), score, score_weight),
    )
    check_settings(settings.sorted_by, settings.epsilon, settings.score, settings.score_weight)
    entailment, nli_reason = None, run.config["nli_reason"]
    same_words = replace(settings, score=was.score, score_weight=was.score_weight) == was
    if get_benchmark(run.config["benchmark"]).has_nli and not same_words:
        entailment, nli_reason = entailment_or_reason(nli_model or args["nli_model"], "auto", say)
    config = {
        **run.config,
        "args": {**args, **_judged_by(run, settings), **({} if seed is None else {"seed": SEED.check("--seed", seed)})},
        "settings": settings.stored(),
        "nli_reason": nli_reason,
        "rescored_from": run.config["fingerprint"],
    }
    target = folder / "rescored" / settings_name(settings, run.method, args.get("start_layer_text"))
    return conclude(folder, config, target=target, entailment=entailment, as_published=as_published)


def _check_method(run: FinishedRun, method: str | None, asked: Mapping[str, float | str | None]) -> None:
    """asked: of the method's options. Errors: InputError for others than the run's."""
    if method is not None and get_method(method).name != run.method:
        raise InputError(
            f"{run.folder} holds attributions of the method {run.method}, and those of {method} need the model: leave "
            f"--rescore away and run main.py with --method {method}"
        )
    usually: dict[str, float | str] = {"image_masks": 0, "long": CUT}
    for option, value in asked.items():
        usual = usually[option] if option in usually else getattr(get_method(run.method), option)
        of_run = run.config["args"].get(option, usual)
        if value is not None and value != of_run:
            was, other = (one if isinstance(one, str) or one is None else f"{one:g}" for one in (of_run, value))
            raise InputError(
                f"{run.folder} holds attributions of the method {run.method} with "
                f"{f'no {option}' if was is None else f'{option} {was}'}, and those with {other} need the "
                f"model: leave --rescore away and run main.py with --{option} {other}"
            )


def _epsilon(run: FinishedRun, epsilon: float | str, start: int, say: Callable[[str], None]) -> float:
    """As given, or the calibration's that it asks for. Errors: CalibrationError for one of other attributions."""
    if not isinstance(epsilon, str):
        return epsilon
    calibration = calibration_for(epsilon, attributed_by(run, start), say, is_split(run))
    return EPSILON if calibration is None else calibration.epsilon


def _start(run: FinishedRun, start_layer_text: int | None) -> int:
    """start_layer_text for the stored rows. Errors: InputError where there are no such layers."""
    start, asked_for = run.settings.start_layer_text, run.config["args"].get("start_layer_text")
    if start_layer_text is None:
        return start
    if not get_method(run.method).one_layer:
        last_layers(start_layer_text, run.settings.layers)  # refuses one that is out of range
        return start_layer_text
    if start_layer_text not in (start, asked_for):
        raise InputError(
            f"start_layer_text {start_layer_text} cannot be chosen afterwards: the method {run.method} has one row for "
            "the whole text tower, of the layers that its run was made with; leave it away"
        )
    return start


def _judged_by(run: FinishedRun, settings: Settings) -> dict[str, Any]:
    """The settings as options. The layers of a method's one row are those it was made with."""
    judged = settings.chosen()
    if get_method(run.method).one_layer:
        del judged["start_layer_text"]
    return judged
