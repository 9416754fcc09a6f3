"""The paper's tables as lists of lines: which figure of which run, and what the paper says.

Numbers: "Extract Free Dense Misalignment from CLIP", arXiv 2412.18404. Those of the layer ablation are read off its
figure, +-0.01. The part-of-speech table names no epsilon; its precision and recall fit -5e-5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clip4dm.attribution.variants import Variant
from clip4dm.evaluation.paper import PAPER_NAMES, paper_value


@dataclass(frozen=True)
class Model:
    """As open_clip spells it. backbone: None for a folder that says its own."""

    backbone: str | None
    pretrained: str | None

    def __str__(self) -> str:
        pretrained = self.pretrained
        if pretrained and Path(pretrained).exists():
            pretrained = Path(pretrained).name
        return " ".join(part for part in (self.backbone, pretrained) if part)


@dataclass(frozen=True)
class Line:
    """One figure. row: what it is of, as the paper calls it. figure: as result.json calls it, nested by "/".

    epsilon, layers: other settings than the run's, by re-scoring. variant: of the ablation's own pass. part: of speech.
    """

    row: str
    data: str
    model: Model
    figure: str
    paper: float | None = None
    epsilon: float | None = None
    layers: int | None = None
    variant: Variant | None = None
    part: str | None = None


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    lines: tuple[Line, ...]
    note: str = ""


B32 = Model("ViT-B-32", "openai")
H14 = Model("ViT-H-14", "laion2b_s32b_b79k")
BACKBONES = (
    B32,
    Model("ViT-B-32", "laion2b_e16"),
    Model("ViT-B-16", "openai"),
    Model("ViT-L-14", "openai"),
    Model("ViT-L-14", "laion2b_s32b_b82k"),
    H14,
    Model("ViT-g-14", "laion2b_s12b_b42k"),
)
CAPTION_BASELINES = ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE")
LAYERS = (1, 2, 3, 4, 6, 8, 12, 24)
_LAYERS_PAPER = {  # {layers: (ViT-H-14 AP, LA, ViT-B-32 AP, LA)}
    1: (0.745, 0.675, 0.69, 0.485),
    2: (None, None, 0.705, 0.61),
    3: (0.794, 0.716, 0.69, 0.632),
    4: (0.787, 0.713, 0.687, 0.632),
    6: (0.78, 0.712, 0.705, 0.623),
    8: (0.772, 0.717, 0.71, 0.623),
    12: (0.79, 0.726, 0.713, 0.647),
    24: (0.794, 0.722, None, None),
}
_PARTS = ("NOUN", "PROPN", "VERB", "ADV", "ADJ", "NUM", "ADP")
_PARTS_PAPER = {
    "f1": (0.393, 0.312, 0.301, 0.258, 0.258, 0.132, 0.177),
    "precision": (0.470, 0.602, 0.567, 0.444, 0.417, 0.500, 0.278),
    "recall": (0.337, 0.211, 0.205, 0.182, 0.187, 0.076, 0.130),
}
_BACKBONES_PAPER = {B32: (0.602, 0.723), H14: (0.716, 0.806)}  # other figures than in the main table
PUBLISHED_AP = "AP/F-CLIPScore_published"


def _paper(data: str, model: Model, figure: str, epsilon: float | None = None) -> float | None:
    if figure == "AP/F-CLIPScore":
        return None  # the paper's is the published variant's
    return paper_value(
        data, model.backbone or "", model.pretrained or "", PAPER_NAMES.get(figure, figure), epsilon=epsilon
    )


def _scores(data: str, model: Model) -> Iterator[Line]:
    """Location, scores and baselines of a benchmark with originals."""
    for figure in ("LA", "LA_span"):
        yield Line("CLIP4DM", data, model, figure, _paper(data, model, figure))
    yield Line("random word", data, model, "LA_floor/chance")
    yield Line("longest word", data, model, "LA_floor/longest word")
    for row, figure in (
        ("CLIPScore", "AP/CLIPScore"),
        ("RefCLIPScore", "AP/refCLIPScore"),
        ("CLIP4DM", "AP/F-CLIPScore"),
        ("CLIP4DM", PUBLISHED_AP),
    ):
        yield Line(row, data, model, figure, _paper(data, model, figure))
    for name in CAPTION_BASELINES if model == B32 else ():  # they know no model
        yield Line(name, data, model, f"AP/{name}")


def _foil_nocaps() -> Iterator[Line]:
    for data in ("foil", "nocaps"):
        for model in (B32, H14):
            yield from _scores(data, model)


def _hat() -> Iterator[Line]:
    for model in (B32, H14):
        yield from _scores("hat", model)


def _seetrue() -> Iterator[Line]:
    for model in (B32, H14):
        yield Line("CLIP4DM", "seetrue", model, "NLI", _paper("seetrue", model, "NLI"))


def _richhf_correlation() -> Iterator[Line]:
    for model in (B32, H14):
        for score in ("CLIPScore", "F-CLIPScore_published"):
            for kind in ("pearson", "spearman"):
                figure = f"{kind}/{score}"
                yield Line(
                    "CLIP4DM" if score == "F-CLIPScore_published" else score,
                    "richhf",
                    model,
                    figure,
                    _paper("richhf", model, figure, -1e-5),
                )


def _richhf_tokens() -> Iterator[Line]:
    for model, epsilon in ((B32, -1e-5), (H14, -1e-5), (H14, -5e-5)):
        for figure in ("f1", "precision", "recall"):
            yield Line(
                f"CLIP4DM, epsilon {epsilon:g}",
                "richhf",
                model,
                figure,
                _paper("richhf", model, figure, epsilon),
                epsilon=epsilon,
            )


def _gradient_sign() -> Iterator[Line]:
    rows = (
        ("both signs (the method)", Variant(), 0.716, 0.794),
        ("only negative gradients, before averaging heads", Variant("negative_per_head"), 0.698, 0.779),
        ("only negative gradients, before averaging layers", Variant("negative_per_layer"), 0.700, 0.776),
        ("only positive gradients (GAE's ReLU)", Variant("positive"), None, None),
        ("GAE: positive gradients, product over layers", Variant("positive", "rollout"), None, None),
        ("both signs, product over layers", Variant("both", "rollout"), None, None),
    )
    for row, variant, location, precision in rows:
        for figure, paper in (("LA", location), ("LA_span", None), ("AP/F-CLIPScore", None), (PUBLISHED_AP, precision)):
            yield Line(row, "nocaps", H14, figure, paper, variant=variant)


def _layers() -> Iterator[Line]:
    for place, model in ((0, H14), (2, B32)):
        for layers in LAYERS:
            for figure, paper in (
                ("LA", _LAYERS_PAPER[layers][place + 1]),
                (PUBLISHED_AP, _LAYERS_PAPER[layers][place]),
                ("AP/F-CLIPScore", None),
            ):
                yield Line(f"last {layers}", "nocaps", model, figure, paper, layers=layers)


def _components() -> Iterator[Line]:
    for row, name, ap, pearson, spearman in (
        ("score(v,t)", "CLIPScore", 0.722, 0.171, 0.085),
        ("sum of misaligned attributions", "misaligned_sum", 0.776, 0.352, 0.419),
        ("F-CLIPScore", "F-CLIPScore_published", 0.794, 0.368, 0.433),
    ):
        yield Line(row, "nocaps", H14, f"AP/{name}", ap)
        yield Line(row, "richhf", H14, f"pearson/{name}", pearson)
        yield Line(row, "richhf", H14, f"spearman/{name}", spearman)


def _parts_of_speech() -> Iterator[Line]:
    for place, part in enumerate(_PARTS):
        for figure, published in _PARTS_PAPER.items():
            yield Line(part, "richhf", H14, figure, published[place], epsilon=-5e-5, part=part)


def _shapes_parts_of_speech() -> Iterator[Line]:
    for part in (*_PARTS, "DET", "X"):
        for figure in ("LA", "LA_span"):
            yield Line(part, "shapes", H14, figure, part=part)


def _backbones() -> Iterator[Line]:
    for model in BACKBONES:
        location, precision = _BACKBONES_PAPER.get(
            model, (_paper("nocaps", model, "LA"), _paper("nocaps", model, PUBLISHED_AP))
        )
        yield Line("CLIP4DM", "nocaps", model, "LA", location)
        yield Line("CLIP4DM", "nocaps", model, PUBLISHED_AP, precision)


def _table(name: str, title: str, lines: Callable[[], Iterator[Line]], note: str = "") -> Table:
    return Table(name, title, tuple(lines()), note)


TABLES = {
    table.name: table
    for table in (
        _table("foil_nocaps", "FOIL and nocaps-FOIL", _foil_nocaps),
        _table("hat", "HAT", _hat),
        _table("seetrue", "SeeTRUE-Feedback", _seetrue),
        _table("richhf_correlation", "Rich-HF, correlation with human scores", _richhf_correlation),
        _table("richhf_tokens", "Rich-HF, misaligned tokens", _richhf_tokens),
        _table("gradient_sign", "Signs of the gradient", _gradient_sign),
        _table("layers", "Number of text layers", _layers, "The paper's numbers are read off a figure, +-0.01."),
        _table("components", "What F-CLIPScore is made of", _components),
        _table("part_of_speech", "Parts of speech", _parts_of_speech),
        _table("backbones", "Backbones", _backbones),
    )
}
SHAPES_PARTS = _table("part_of_speech", "Parts of speech", _shapes_parts_of_speech)
