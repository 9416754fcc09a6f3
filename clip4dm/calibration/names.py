"""What a calibration may be asked for, and the error that all here raise. No numpy: `--help` must not wait for it."""

from __future__ import annotations

from typing import Literal, get_args

from clip4dm.errors import CLIP4DMError

Control = Literal["fdr", "fpr", "recall"]  # of risks.py
CONTROLS: tuple[Control, ...] = get_args(Control)
Guarantee = Literal["confidence", "expectation"]  # of thresholds.py
GUARANTEES: tuple[Guarantee, ...] = get_args(Guarantee)
AUTO = "auto"  # of --epsilon: the calibration that fits
LABELS = "wrong"  # of scores, the column in which people say which words are wrong


class CalibrationError(CLIP4DMError, ValueError):
    """Labels, thresholds or a file of them that cannot be: what was given, what would do."""
