"""What each method costs: milliseconds a pair, pictures encoded beforehand, all methods in turn on the same pairs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

from torch import Tensor

from clip4dm.captions.words import EncodedCaption
from clip4dm.detector import CLIP4DM
from clip4dm.models.load import LoadedModel
from clip4dm.scores import CLIP4DM_METHOD


def milliseconds(
    model: LoadedModel,
    rows: Mapping[str, tuple[str, int | None]],
    features: Tensor,
    captions: Sequence[EncodedCaption],
    rounds: int = 5,
) -> dict[str, tuple[float, float]]:
    """row -> (milliseconds a pair, times the paper's method), medians of rounds; the ratio within a round.

    rows: name -> (method, start_layer_text, None for its usual one); one is named as the paper's method.
    features: (pairs, features). captions: of each pair.
    """
    detectors = {name: CLIP4DM(model, method=method, start_layer_text=start) for name, (method, start) in rows.items()}
    seconds: dict[str, list[float]] = {name: [] for name in detectors}
    for number in range(rounds + 1):  # the first warms up
        for name, detector in detectors.items():
            begun = time.perf_counter()
            detector.detect_encoded(features, captions)
            if number:
                seconds[name].append(time.perf_counter() - begun)
    paper = seconds[CLIP4DM_METHOD]
    return {
        name: (
            1000 * statistics.median(seconds[name]) / len(captions),
            statistics.median(mine / theirs for mine, theirs in zip(seconds[name], paper, strict=True)),
        )
        for name in rows
    }
