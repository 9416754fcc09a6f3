"""Detections of numbers that a test gives, without a model."""

from __future__ import annotations

import numpy as np

from clip4dm.captions.words import encode_caption
from clip4dm.detection import make_detection


def detection_of(tokenizer, caption, attributions, layers=1, **settings):
    encoded = encode_caption(tokenizer, caption)
    rows = np.resize(np.array(attributions, np.float32), (layers, len(encoded.units)))
    usual = {"sorted_by": "threshold", "epsilon": -5e-5, "start_layer_text": -1}
    return make_detection(encoded, rows, 0.25, layers=layers, **{**usual, **settings})
