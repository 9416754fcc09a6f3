"""CLIP4DM: the words of a caption that are not true of a picture, from a pre-trained CLIP alone.

    from clip4dm import CLIP4DM
    detector = CLIP4DM.from_pretrained("ViT-B-32")
    detection, = detector.detect("photo.jpg", ["a cup of coke"])
    [word.text for word in detection.misaligned]

Source: "Extract Free Dense Misalignment from CLIP", AAAI 2025, arXiv 2412.18404.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["CLIP4DM", "Detection", "FCLIPScore", "Word", "load_model", "score", "__version__"]

_HOMES = {
    "CLIP4DM": "detector",
    "Detection": "detection",
    "FCLIPScore": "scoring.metric",
    "Word": "detection",
    "load_model": "models.load",
    "score": "scoring.work",
}

if TYPE_CHECKING:
    from clip4dm.detection import Detection, Word
    from clip4dm.detector import CLIP4DM
    from clip4dm.models.load import load_model
    from clip4dm.scoring.metric import FCLIPScore
    from clip4dm.scoring.work import score


def __getattr__(name: str) -> object:
    """The public names, imported when first asked for: torch and open_clip take seconds, `--help` must not."""
    if name in _HOMES:
        return getattr(import_module(f"clip4dm.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'clip4dm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
