"""Which text layers are averaged: Python indices into the tower, and the mean over stored layers. No torch needed."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from clip4dm.errors import InputError
from clip4dm.scores import START_LAYER_TEXT


def first_layer(start_layer_text: int, layers: int) -> int:
    """A Python index into the text layers -> the first explained layer, 0-based. Errors: ValueError if out of range.

    The usual one, -3, means the last three or as many as there are: towers of one or two layers are explained whole.
    """
    if not isinstance(start_layer_text, Integral) or isinstance(start_layer_text, bool):
        raise InputError(f"start_layer_text is a whole number such as {START_LAYER_TEXT}, got {start_layer_text!r}")
    if start_layer_text == START_LAYER_TEXT and layers < -START_LAYER_TEXT:
        return 0
    if not -layers <= start_layer_text < layers:
        raise InputError(
            f"start_layer_text {start_layer_text} is out of range: this text tower has {layers} layers, "
            f"so it may be {-layers} to {layers - 1} (-3 explains the last three)"
        )
    return start_layer_text % layers


def layer_mean(layer_attributions: np.ndarray, start_layer_text: int, layers: int) -> np.ndarray:
    """(explained layers, units) -> (units,) float64, the mean from start_layer_text on.

    The last row is the tower's last layer. Errors: ValueError for a start before the first explained layer.
    """
    wanted = layers - first_layer(start_layer_text, layers)
    if wanted > len(layer_attributions):
        raise InputError(
            f"start_layer_text {start_layer_text} needs the last {wanted} layers, but only the last "
            f"{len(layer_attributions)} were explained; detect again with that start_layer_text"
        )
    return layer_attributions[len(layer_attributions) - wanted :].astype(np.float64).mean(axis=0)
