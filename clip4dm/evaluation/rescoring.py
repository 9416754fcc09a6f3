"""A finished run judged anew under other settings: no model is needed, for every word's attribution is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from clip4dm.benchmarks import get_benchmark
from clip4dm.detection import check_settings
from clip4dm.evaluation.config import settings_name
from clip4dm.evaluation.metrics.nli import entailment_or_reason
from clip4dm.evaluation.options import SEED
from clip4dm.evaluation.records import Settings
from clip4dm.evaluation.result import Outcome, conclude
from clip4dm.evaluation.store.finished import open_run
from clip4dm.scores import SortedBy, last_layers


def rescore(
    folder: Path,
    *,
    sorted_by: SortedBy | None = None,
    epsilon: float | None = None,
    start_layer_text: int | None = None,
    seed: int | None = None,
    nli_model: str | None = None,
    as_published: bool = False,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Every metric of a finished run anew under other settings, from samples.jsonl, without the model.

    What is None stays as in the run. The result goes to FOLDER/rescored/SETTINGS/result.json.
    Errors: RunError if the folder holds no finished run or a damaged one, InputError for impossible settings.

        rescore(Path("output/foil/ViT-B-32-openai/..."), sorted_by="threshold", epsilon=-1e-4).result["LA"]["value"]
    """
    if seed is not None:
        SEED.check("--seed", seed)
    run = open_run(folder)
    was, args = run.settings, run.config["args"]
    settings = Settings(
        sorted_by or was.sorted_by,
        was.epsilon if epsilon is None else epsilon,
        was.start_layer_text if start_layer_text is None else start_layer_text,
        was.layers,
    )
    check_settings(settings.sorted_by, settings.epsilon)
    last_layers(settings.start_layer_text, settings.layers)  # refuses one that is out of range
    entailment, nli_reason = None, run.config["nli_reason"]
    if get_benchmark(run.config["benchmark"]).has_nli and settings != was:
        entailment, nli_reason = entailment_or_reason(nli_model or args["nli_model"], "auto", say)
    judged = {name: value for name, value in asdict(settings).items() if name != "layers"}
    config = {
        **run.config,
        "args": {**args, **judged, "seed": args["seed"] if seed is None else seed},
        "settings": asdict(settings),
        "nli_reason": nli_reason,
        "rescored_from": run.config["fingerprint"],
    }
    target = folder / "rescored" / settings_name(settings)
    return conclude(folder, config, target=target, entailment=entailment, as_published=as_published)
