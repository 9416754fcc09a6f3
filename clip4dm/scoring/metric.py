"""F-CLIPScore as a torchmetrics `Metric`, and the function of the same name: the mean over pairs of picture and text.

    metric = FCLIPScore("ViT-B-32").to("cuda")
    for pictures, prompts in loader:          # uint8 (N, C, H, W), N strings
        metric.update(pictures, prompts)
    metric.compute()                          # <= 0, the nearer to 0 the better the texts fit

torchmetrics comes with the extra `metric`; importing this module imports it and torch, but no model.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from clip4dm.errors import InputError
from clip4dm.models.names import DEFAULT_BACKBONE

try:
    from torchmetrics import Metric
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("FCLIPScore needs torchmetrics: pip install 'clip4dm[metric]'", name=error.name) from None

if TYPE_CHECKING:
    from clip4dm.detection import Detection
    from clip4dm.detector import CLIP4DM
    from clip4dm.files.images import ImageLike

__all__ = ["FCLIPScore", "UnscoredWords", "f_clip_score"]


class UnscoredWords(UserWarning):
    """Words of a caption that were not scored: which caption, which words; or that it has no word to score."""


class FCLIPScore(Metric):
    """The mean F-CLIPScore of pairs of picture and text, <= 0; nearer to 0 is better aligned.

    detector: a backbone's name, as `load_model` takes it; a CLIP4DM; or a function without arguments that makes one,
    such as functools.partial(CLIP4DM.from_pretrained, "ViT-L-14", template=""). A name's and a function's model is
    loaded at the first update; a name's on the metric's device, and again where the metric has been moved since.
    A CLIP4DM stays on its own device. per_sample: `compute` gives each pair's values rather than their mean.
    kwargs: torchmetrics' own.

    The weights are no part of the metric: not of `state_dict`, not moved by `to`, shared by `clone` and copies, and
    pickled only with a CLIP4DM of one's own. A text longer than the model's context is cut there and keeps its end
    token; which words were not scored is said by a warning of the class UnscoredWords.
    The mean is summed in float64; for a device without it: metric.set_dtype(torch.float32) before `to`.

    >>> from clip4dm.benchmarks.shapes.drawing import draw
    >>> from clip4dm.benchmarks.shapes.scenes import sample_scene
    >>> metric, pictures = FCLIPScore("demo"), [draw(sample_scene(2_000_300))] * 2
    >>> metric.update(pictures, ["the diamond is black", "the heart is black"])
    >>> metric.compute() < 0, list(metric.state_dict())
    (tensor(True), [])
    >>> values = f_clip_score(pictures, ["the diamond is black", "the heart is black"], "demo", per_sample=True)
    >>> values["f_clip_score"] < 0
    tensor([False,  True])
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_upper_bound = 0.0

    total: Tensor
    pairs: Tensor
    f_clip_scores: list[Tensor]
    cosines: list[Tensor]

    def __init__(
        self,
        detector: str | CLIP4DM | Callable[[], CLIP4DM] = DEFAULT_BACKBONE,
        *,
        per_sample: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._source = detector
        self._loaded: tuple[torch.device, CLIP4DM] | None = None  # the metric's device then
        self.per_sample = per_sample
        if per_sample:  # float32, the metric's dtype: what torchmetrics sends for a process without any pair
            self.add_state("f_clip_scores", default=[], dist_reduce_fx="cat")
            self.add_state("cosines", default=[], dist_reduce_fx="cat")
        else:
            self.add_state("total", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state("pairs", default=torch.tensor(0), dist_reduce_fx="sum")

    @property
    def detector(self) -> CLIP4DM:
        """The detector, loaded where it was not yet. Errors: as `load_model`."""
        if not isinstance(self._source, str) and not callable(self._source):
            return self._source
        if self._loaded is None or (isinstance(self._source, str) and self._loaded[0] != self.device):
            self._loaded = None  # before the next one: both may not fit
            self._loaded = self.device, _make(self._source, self.device)
        return self._loaded[1]

    def update(self, images: Tensor | Sequence[ImageLike], text: str | Sequence[str]) -> None:
        """Add pairs: image i and text i.

        images: uint8 (N, C, H, W), C 1 or 3; or N of: uint8 (C, H, W), path, PIL image. One picture, (C, H, W), and
        one string are a pair. Errors: InputError for other types and for counts that differ; ImageError, CaptionError.
        """
        detections = detect_pairs(self.detector, images, text)
        if self.per_sample:
            values = _values(detections, self.device, self.dtype)
            self.f_clip_scores.append(values["f_clip_score"])
            self.cosines.append(values["cosine"])
        else:
            self.total += sum(detection.f_clip_score for detection in detections)
            self.pairs += len(detections)

    def compute(self) -> Any:
        """The mean, a scalar, NaN without any pair; with per_sample {"f_clip_score": (N,), "cosine": (N,)}.

        In the order of the updates; of several processes, one process's after another's.
        """
        if self.per_sample:
            return {"f_clip_score": self._joined(self.f_clip_scores), "cosine": self._joined(self.cosines)}
        return (self.total / self.pairs).to(self.dtype)

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """A figure and its axes, of `compute`'s value or of those given: torchmetrics' own drawing.

        val: what `compute` or `forward` gave, or several of these. ax: a matplotlib axis to draw on.
        """
        return self._plot(val, ax)

    def _joined(self, parts: list[Tensor] | Tensor) -> Tensor:
        if isinstance(parts, Tensor):  # joined already, by torchmetrics, over all processes
            return parts
        return torch.cat(parts) if parts else torch.empty(0, dtype=self.dtype, device=self.device)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: of a model that was loaded by name, the name."""
        return {**super().__getstate__(), "_loaded": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> FCLIPScore:
        """Also `clone`, and so MetricCollection and MetricTracker: a state of its own, the same model."""
        memo[id(self._source)] = self._source
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        twin._loaded = self._loaded
        return twin


def f_clip_score(
    images: Tensor | Sequence[ImageLike],
    text: str | Sequence[str],
    detector: str | CLIP4DM = DEFAULT_BACKBONE,
    *,
    per_sample: bool = False,
) -> Any:
    """FCLIPScore of these pairs alone: the mean, a scalar tensor; with per_sample a dict of tensors (N,).

    images, text: as `FCLIPScore.update`. detector: a CLIP4DM, or a backbone's name, whose model is kept for the next
    call. Errors: as there.

        f_clip_score(torch.randint(255, (2, 3, 224, 224), dtype=torch.uint8), ["a dog", "a cat"], detector)
    """
    values = _values(detect_pairs(_by_name(detector) if isinstance(detector, str) else detector, images, text))
    return values if per_sample else values["f_clip_score"].double().mean().float()


def detect_pairs(detector: CLIP4DM, images: Tensor | Sequence[ImageLike], text: str | Sequence[str]) -> list[Detection]:
    """The detections behind the scores, image i with text i; warns of words that were not scored.

    Errors: InputError, ImageError, CaptionError.

        [detection.misaligned for detection in detect_pairs(detector, images, ["a red car", "a blue car"])]
    """
    pictures, captions = _pictures(images), [text] if isinstance(text, str) else list(text)
    if len(pictures) != len(captions):
        raise InputError(f"{len(pictures)} images and {len(captions)} texts; image i belongs to text i: give as many")
    if not pictures:
        return []
    detections = detector.detect(pictures, captions)
    _warn_of_unscored(detections)
    return detections


def _pictures(images: Tensor | Sequence[ImageLike]) -> list[Any]:
    if isinstance(images, Tensor):
        if images.ndim not in (3, 4):
            raise InputError(f"images are uint8 (N, C, H, W) or (C, H, W), got {tuple(images.shape)}")
        images = [images] if images.ndim == 3 else list(images)
    several: list[Any] = list(images) if isinstance(images, (list, tuple)) else [images]
    for image in several:
        if isinstance(image, Tensor) and image.dtype != torch.uint8:  # the detector takes floats as preprocessed
            raise InputError(f"images are uint8, 0 to 255, got {image.dtype}; of 0.0 to 1.0: (255 * x).round().byte()")
    return several


def _values(
    detections: Sequence[Detection], device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    return {
        name: torch.tensor([getattr(detection, name) for detection in detections], dtype=dtype, device=device)
        for name in ("f_clip_score", "cosine")
    }


def _make(source: str | Callable[[], CLIP4DM], device: torch.device | str) -> CLIP4DM:
    from clip4dm.detector import CLIP4DM

    return CLIP4DM.from_pretrained(source, device=str(device)) if isinstance(source, str) else source()


@functools.lru_cache(maxsize=1)
def _by_name(name: str) -> CLIP4DM:
    return _make(name, "auto")


def _warn_of_unscored(detections: Sequence[Detection]) -> None:
    for place, detection in enumerate(detections):
        unscored = [word for word in detection.words if not word.scored]
        if len(unscored) == len(detection.words):
            text = f"text {place} ({detection.caption[:40]!r}) has no word to score: its F-CLIPScore is 0, the best"
            warnings.warn(f"{text} there is, whatever the picture", UnscoredWords, stacklevel=4)
        for beyond, why in ((True, "lie beyond the model's context"), (False, "have no token of their own")):
            words = [word.text for word in unscored if word.beyond_context is beyond]
            if words:
                named = ", ".join(map(repr, words[:5])) + (", ..." if len(words) > 5 else "")
                text = f"words of text {place} ({detection.caption[:40]!r}) {why} and were not scored: {named}"
                warnings.warn(f"{len(words)} {text}", UnscoredWords, stacklevel=4)
