"""Earlier runs under an output folder: found again by what they were run on and with."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

from reproducing.data import Data
from reproducing.paper_tables import Model

from clip4dm.captions.sentences import CUT
from clip4dm.evaluation.config import Options
from clip4dm.evaluation.store.runfiles import CONFIG, RESULT, TIMING, DamagedRun, read_object
from clip4dm.files.reading import file_sha256, is_number
from clip4dm.models.hub import weights_at_hand
from clip4dm.models.sources import resolve_source
from clip4dm.scores import CLIP4DM_METHOD, F_CLIP_SCORE

# The paper's GPU, one pair at a time: what a run may take where nothing was measured.
PAPER_PAIRS_PER_SECOND = {"ViT-B-32": 12.0, "ViT-B-16": 12.0}
SLOWEST_PAIRS_PER_SECOND = 7.1


def finished_run(output: Path, data: Data, model: Model, options: Options) -> Path | None:
    """The folder of the newest finished run of these data, model and options. Errors: ModelError, OSError."""
    wanted, weights = options.identity(), weights_sha256(model)
    found = []
    for path in output.glob(f"*/*/*/{CONFIG}"):
        config, args = _config_and_args(path)
        # Runs from before there were other methods and scores do not say theirs.
        said = {
            "method": CLIP4DM_METHOD,
            "margin": None,
            "steps": None,
            "image_masks": 0,
            "score": F_CLIP_SCORE,
            "long": CUT,
            **args,
        }
        if (
            (path.parent / RESULT).is_file()
            and {name: said.get(name) for name in wanted} == wanted
            and config.get("data_sha256") == data.sha256
            and Path(str(args.get("img_dir"))).resolve() == data.images.resolve()
            and weights in (None, config.get("weights_sha256"))
        ):
            found.append(path.parent)
    return max(found, key=lambda folder: (folder / RESULT).stat().st_mtime, default=None)


def pairs_per_second(output: Path, model: Model) -> tuple[float, bool]:
    """(pairs/s, whether measured): of an earlier run with this model, else of the paper's GPU. Errors: DamagedRun."""
    for path in output.glob(f"*/*/*/{TIMING}"):
        _, args = _config_and_args(path.parent / CONFIG)
        if (args.get("backbone", ""), args.get("pretrained")) == (model.backbone, model.pretrained):
            rate = read_object(path, "remove it").get("samples_per_second")
            if is_number(rate) and rate > 0:
                return rate, True
    return PAPER_PAIRS_PER_SECOND.get(model.backbone or "", SLOWEST_PAIRS_PER_SECOND), False


def weights_sha256(model: Model) -> str | None:
    """SHA-256 of a model's weights, if they are on this machine. Errors: ModelError, OSError."""
    if not weights_at_hand(model.backbone, model.pretrained):
        return None
    return _hash(resolve_source(model.backbone, model.pretrained).weights_path)


_hash = cache(file_sha256)  # of gigabytes, asked for once a table


def _config_and_args(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A config.json and its args; of a damaged one, a note and nothing: that run is passed over."""
    try:
        config = read_object(path, "the run is passed over")
    except DamagedRun as error:
        warnings.warn(str(error), stacklevel=2)
        return {}, {}
    args = config.get("args")
    return config, args if isinstance(args, dict) else {}
