"""What real weights are held against: the published example, Hugging Face, open_clip, a photograph anyone can judge.

Each check gives rows of `Checked`, with its tolerance and its source. Everything runs in fp32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from speed.published_procedure import explain_pair, hugging_face_state
from torch import Tensor, nn

from clip4dm.attribution.attribute import attribute
from clip4dm.detection import Detection
from clip4dm.detector import CLIP4DM
from clip4dm.errors import ModelError
from clip4dm.scores import EPSILON, TEMPLATE

COSINE = 1e-4
ATTRIBUTION = 1e-4  # of the caption's largest, the template's tokens included
WEIGHT = 1e-3  # of a tensor's largest: one of two copies may be stored in fp16, which rounds by 5e-4
COMPONENT = 1e-5  # of a unit feature: fp32, some ten layers, other kernels
CLIP_SCORE = 0.005
# The published example was computed in fp16. Attributions of fp16 towers against fp32, of the caption's largest: seen
# up to 0.0124 on four small models (docs/numbers.md), up to 0.0094 on random text towers of 24 layers.
HALF = 0.03
CAPTIONS = (  # words of one token and of several, punctuation, one word alone
    "a cup of coke",
    "a cup of coffee",
    "A woman's red-haired dog doesn't look at the T-shirt.",
    "saucer",
)
ORDER = (  # of misc/coffee.png: true, false
    ("a cup of coffee", "a slice of pizza"),
    ("a cup of coffee on a wooden table", "a dog on a wooden table"),
    ("a cup and a saucer", "a pair of shoes"),
    ("a spoon beside a cup", "a boat on a lake"),
    ("a hot drink in a cup", "a bicycle in a street"),
)
EXAMPLE = {  # what the published infer.py prints: caption -> negative_word, clip_score, attributions
    "a cup of coke": (
        "3_coke",
        0.52459716796875,
        {
            "a": -3.6835670471191406e-05,
            "cup": 0.0002104043960571289,
            "of": 5.716085433959961e-05,
            "coke": -0.0004444122314453125,
        },
    ),
    "a cup of coffee": (
        "",
        0.6884765625,
        {
            "a": -3.0338764190673828e-05,
            "cup": 4.750490188598633e-05,
            "of": 1.7285346984863281e-06,
            "coffee": 0.00013780593872070312,
        },
    ),
}
EXAMPLE_SOURCE = "the published infer.py: ViT-H-14 laion2b_s32b_b79k, fp16"
HUGGING_FACE_SOURCE = "CLIPModel under full autograd"


@dataclass(frozen=True)
class Checked:
    """A row of the table. worst, allowed: the largest difference and its tolerance, None where it is no number.

    passed: None where it could not be checked, and remark says why. figures: every number behind it, for JSON.

    >>> Checked("attributions", "Hugging Face", worst=2e-6, allowed=1e-4, passed=True).verdict
    'pass'
    """

    what: str
    source: str
    passed: bool | None
    worst: float | None = None
    allowed: float | None = None
    remark: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """In a word."""
        return {True: "pass", False: "FAIL", None: "not checked"}[self.passed]


def _within(what: str, source: str, differences: dict[str, float], allowed: float, **more: Any) -> Checked:
    """A row that passes if no difference exceeds what is allowed; NaN always does."""
    worst = max(differences.values(), key=lambda value: math.inf if math.isnan(value) else value)
    more["figures"] = {"differences": differences, **more.get("figures", {})}
    return Checked(what, source, bool(worst <= allowed), worst, allowed, **more)


@dataclass(frozen=True)
class Explained:
    """Our pair, as far as others are compared with it: token ids, which word each token is of (-1: none), numbers."""

    caption: str
    ids: list[int]
    unit_of: tuple[int, ...]
    attributions: list[float]
    cosine: float


def explain_all(detector: CLIP4DM, image: Tensor) -> list[Explained]:
    """CAPTIONS and a picture's unit feature, (1, features)."""
    rows = []
    for detection in detector.detect(image, CAPTIONS):
        encoded = detection.encoded
        last = detection.layer_attributions.mean(0, dtype="float64")
        rows.append(
            Explained(detection.caption, list(encoded.ids), tuple(encoded.unit_of), last.tolist(), detection.cosine)
        )
    return rows


def check_hugging_face(
    model: nn.Module, pixels: Tensor, ours: Sequence[Explained], layers: int, source: str
) -> list[Checked]:
    """model: transformers' CLIPModel. pixels: (1, 3, size, size), of the same picture. layers: that were averaged."""
    attributions, cosines, figures = {}, {}, {}
    for row in ours:
        tokens, cosine = explain_pair(model, pixels, row.ids, layers)
        values = tokens.double().cpu()
        theirs = [
            float(values[[place for place, of in enumerate(row.unit_of) if of == unit]].mean())
            for unit in range(len(row.attributions))
        ]
        largest = float(values[1:-1].abs().max())
        differences = [abs(a - b) for a, b in zip(row.attributions, theirs, strict=True)]
        attributions[row.caption] = (
            math.nan if any(map(math.isnan, [*differences, largest])) else max(differences) / largest
        )
        cosines[row.caption] = abs(row.cosine - cosine)
        figures[row.caption] = {
            "ours": row.attributions,
            "theirs": theirs,
            "cosine": row.cosine,
            "their cosine": cosine,
        }
    return [
        _within("attributions, of the largest", source, attributions, ATTRIBUTION, figures={"captions": figures}),
        _within("cosine", source, cosines, COSINE),
    ]


@torch.no_grad()
def check_tensors(ours: nn.Module, theirs: nn.Module, source: str) -> Checked:
    """Every weight of an open_clip CLIP against transformers' CLIPModel: also those that no caption here reads.

    Errors: ModelError where they are not of one architecture.
    """
    state, found = dict(theirs.named_parameters()), hugging_face_state(ours)
    other = [name for name in state.keys() | found.keys() if _shape(state, name) != _shape(found, name)]
    if other:
        name = min(other)
        raise ModelError(
            f"{source} is another architecture than the model: its {name} is {_shape(state, name)}, "
            f"not {_shape(found, name)}"
        )
    differences = {}
    for name, tensor in found.items():
        largest = float(state[name].abs().max()) or 1.0
        differences[name] = float((tensor.float() - state[name].float()).abs().max()) / largest
    worst = max(differences, key=lambda name: math.inf if math.isnan(differences[name]) else differences[name])
    return _within("weights, of each tensor's largest", source, differences, WEIGHT, remark=f"most: {worst}")


def _shape(tensors: Mapping[str, Tensor], name: str) -> str:
    return " x ".join(map(str, tensors[name].shape)) or "a number" if name in tensors else "missing"


@torch.no_grad()
def check_open_clip(detector: CLIP4DM, pixels: Tensor, image: Tensor) -> list[Checked]:
    """Our features against the library's own functions on the loaded model. image: ours, (1, features)."""
    loaded = detector.model
    encoded = detector.encode_captions(CAPTIONS)
    ours = attribute(loaded.tower, encoded, image.expand(len(CAPTIONS), -1), -1).text_features
    tokens = loaded.tokenizer([TEMPLATE + caption for caption in CAPTIONS]).to(loaded.device)
    theirs = nn.functional.normalize(loaded.model.encode_text(tokens).float(), dim=-1)
    picture = nn.functional.normalize(loaded.model.encode_image(pixels).float(), dim=-1)
    texts = {caption: float((a - b).abs().max()) for caption, a, b in zip(CAPTIONS, ours.float(), theirs, strict=True)}
    pictures = {"misc/coffee.png": float((image.float() - picture).abs().max())}
    return [
        _within("text features", "open_clip's encode_text", texts, COMPONENT),
        _within("image features", "open_clip's encode_image", pictures, COMPONENT),
    ]


def check_order(detector: CLIP4DM, image: Tensor) -> Checked:
    """Whether each true caption of the coffee fits better than a false one. image: (1, features)."""
    found = detector.detect(image, [caption for pair in ORDER for caption in pair])
    cosines = {detection.caption: detection.cosine for detection in found}
    right = [cosines[true] > cosines[false] for true, false in ORDER]
    return Checked(
        f"{len(ORDER)} true captions above false ones",
        "misc/coffee.png",
        all(right),
        remark=f"{sum(right)} of {len(right)}",
        figures={"cosines": cosines},
    )


def example_not_checked(reason: str) -> Checked:
    """The published example's row, where its picture is not at hand."""
    return Checked("the published example", EXAMPLE_SOURCE, None, remark=reason)


def check_example(detector: CLIP4DM, picture: Path) -> list[Checked]:
    """The published example. picture: theirs. Errors: ImageError."""
    found = detector.detect(picture, list(EXAMPLE))
    detections = [found.with_settings(sorted_by="threshold", epsilon=EPSILON) for found in found]
    return compare_example(detections)


def compare_example(detections: Sequence[Detection]) -> list[Checked]:
    """The detections of EXAMPLE's captions, in its order, against it."""
    attributions, scores, signs, words = {}, {}, [], []
    figures: dict[str, Any] = {}
    for detection, (caption, (negative, clip_score, theirs)) in zip(detections, EXAMPLE.items(), strict=True):
        printed = detection.as_published()
        ours = dict(printed["word_attributions"])
        largest = max(map(abs, theirs.values()))
        for word, value in theirs.items():
            attributions[f"{caption}: {word}"] = abs(ours.get(word, math.nan) - value) / largest
            if abs(value) > HALF * largest:  # of others fp16 does not say the sign
                signs.append((ours.get(word, 0.0) > 0) == (value > 0))
        scores[caption] = abs(printed["clip_score"] - clip_score)
        words.append(printed["negative_word"] == negative)
        figures[caption] = {"ours": printed, "theirs": [negative, clip_score, theirs]}
    said = ", ".join(f"{figures[caption]['ours']['negative_word']!r}" for caption in EXAMPLE)
    return [
        _within("attributions, of the largest", EXAMPLE_SOURCE, attributions, HALF, figures={"captions": figures}),
        Checked("signs beyond that", EXAMPLE_SOURCE, all(signs), remark=f"{sum(signs)} of {len(signs)}"),
        Checked("negative word", EXAMPLE_SOURCE, all(words), remark=said),
        _within("clip_score", EXAMPLE_SOURCE, scores, CLIP_SCORE),
    ]
