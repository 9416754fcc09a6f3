"""CLIP4DM: encode images once, detect for many captions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip4dm.attribution.methods import get_method
from clip4dm.calibration.curve import Curve
from clip4dm.calibration.stored import AttributedBy, Calibration, Suggestions
from clip4dm.captions.sentences import CUT, SPLIT, Long, check_long
from clip4dm.captions.windows import encode_long_caption, merge, parts
from clip4dm.captions.words import EncodedCaption, encode_caption, mean_over_units, neutral_ids
from clip4dm.detection import Detection, NotFinite, Word, check_settings, make_detection
from clip4dm.errors import InputError
from clip4dm.files.images import ImageError, ImageLike, load_image
from clip4dm.files.several import as_several, distinct
from clip4dm.files.streams import ahead, batches
from clip4dm.models.load import LoadedModel, load_model
from clip4dm.scores import CLIP4DM_METHOD, EPSILON, F_CLIP_SCORE, TEMPLATE, ScoreName, SortedBy, last_layers
from clip4dm.suggestion.calibrated import asked_by
from clip4dm.suggestion.open_words import VocabularyLike, vocabulary_of
from clip4dm.suggestion.result import TOP, Suggestion
from clip4dm.suggestion.suggest import suggest, words_asked
from clip4dm.towers.given import check_pairs, given_features, preprocessed
from clip4dm.towers.memory import in_parts_that_fit

DEFAULT_BATCH_SIZE = 64
Item = TypeVar("Item")
T = TypeVar("T")


class CLIP4DM:
    """Finds the words of captions that are not true of images.

    model: from `load_model`. template: put before every caption. method: of `attribution.methods`, the paper's
    unless given. start_layer_text: the text layers from this Python index on are averaged, None for the method's usual
    (for the paper's the last three of 12 layers or more, -3, and all of smaller towers). sorted_by: "threshold" (words
    below epsilon) or "most_negative" (the lowest word). epsilon: a word is misaligned below it. batch_size: captions
    and images per pass. margin: of methods that have one (`attribution.coalitions`), None for the method's usual.
    steps: of integrated gradients, likewise.
    image_masks: attributions are the mean over so many masked copies of the picture (`attribution.masking`).
    score, score_weight: what a Detection's `score` is, of `scores.SCORES`; all but the paper's need a weight.
    curve: of words' probabilities; `calibrated` gives it with its epsilon, and gains, of suggestions.
    long: of a caption beyond the context "cut" leaves words unscored, "split" reads it in parts (`captions.windows`).
    Errors: InputError for settings that cannot be.

    >>> from clip4dm.benchmarks.shapes.drawing import draw
    >>> from clip4dm.benchmarks.shapes.scenes import sample_scene
    >>> picture, captions = draw(sample_scene(2_000_300)), ["the diamond is black", "the heart is black"]
    >>> detector = CLIP4DM.from_pretrained("demo")
    >>> [[word.text for word in detection.misaligned] for detection in detector.detect(picture, captions)]
    [[], ['heart']]
    >>> features = detector.encode_images([picture, picture])  # for any number of calls of `detect`
    >>> features.shape, len(detector.detect_encoded(features, detector.encode_captions(captions)))
    (torch.Size([2, 128]), 2)
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        template: str = TEMPLATE,
        start_layer_text: int | None = None,
        sorted_by: SortedBy = "threshold",
        epsilon: float = EPSILON,
        batch_size: int = DEFAULT_BATCH_SIZE,
        method: str = CLIP4DM_METHOD,
        margin: float | None = None,
        steps: int | None = None,
        image_masks: int = 0,
        score: ScoreName = F_CLIP_SCORE,
        score_weight: float | None = None,
        curve: Curve | None = None,
        long: Long = CUT,
    ) -> None:
        check_settings(sorted_by, epsilon, score, score_weight)
        check_long(long)
        self.method = get_method(method, margin, steps)
        self.image_masks = self.method.image_masks(image_masks)
        start_layer_text = self.method.start(start_layer_text, model.tower.layers)
        last_layers(start_layer_text, model.tower.layers)
        if not isinstance(batch_size, (int, np.integer)) or isinstance(batch_size, bool) or batch_size < 1:
            raise InputError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
        self.model, self.template = model, template
        self._neutral = neutral_ids(model.tokenizer)  # once, not with every caption
        self.start_layer_text = start_layer_text
        self.sorted_by, self.epsilon = sorted_by, epsilon
        self.score, self.score_weight = score, score_weight
        self.batch_size, self.long = batch_size, long
        self.curve = curve
        self.gains: Suggestions | None = None

    @classmethod
    def from_pretrained(
        cls,
        backbone: str | None = None,
        pretrained: str | None = None,
        device: str = "auto",
        precision: str = "fp32",
        **settings: Any,
    ) -> CLIP4DM:
        """Load a model (see `load_model`) and make a detector of it; settings go to the constructor.

        Errors: ModelError; InputError for settings that cannot be.

            detector = CLIP4DM.from_pretrained("ViT-H-14", device="cuda")
        """
        return cls(load_model(backbone, pretrained, device, precision), **settings)

    def attributed_by(self) -> AttributedBy:
        """What makes its attributions what they are: what a calibration is for. Reads the weights' file."""
        method = self.method.identity(self.start_layer_text, self.method.rows(self.model.tower.layers))
        own: dict[str, Any] = {"image_masks": self.image_masks, "template": self.template}
        return AttributedBy(**self.model.identity(), **method, **own)

    def calibrated(self, calibration: Calibration) -> CLIP4DM:
        """This detector with a calibration's epsilon, curve and least gain of suggestions, sharing the model.

        Errors: CalibrationError for a calibration of other attributions.

            detector = detector.calibrated(read_calibration(Path("fdr.json")))
        """
        calibration.check_fits(self.attributed_by())
        twin = copy.copy(self)
        twin.curve, twin.epsilon, twin.gains = calibration.judging(self.sorted_by)
        return twin

    def encode_images(self, images: ImageLike | Iterable[ImageLike]) -> Tensor:
        """Images -> unit features (images, features), fp32, on the model's device; no gradient is ever recorded.

        With image_masks (images, 2, features): of the whole picture, and the mean of its masked copies'.

        images: one or several of: path, PIL image of any mode, uint8 array or tensor, or a float tensor that is
        already preprocessed, (3, size, size) or (n, 3, size, size). Pictures are decoded in threads, ahead of the
        tower; a path given several times is read once. Errors: ImageError; NotFinite where the tower gives NaN.

            features = detector.encode_images(["a.jpg", "b.jpg"])
        """
        rows: list[int] = []
        features = []
        for batch in batches(ahead(self._pixels, distinct(as_several(images), rows)), self.batch_size):
            features += self._in_parts_that_fit(self._encode_batch, batch)
        if not features:
            raise ImageError("no images were given")
        found = torch.cat(features)
        if not bool(torch.isfinite(found).all()):
            raise NotFinite(
                f"the image tower of {self.model.backbone} gives features that are NaN or infinite: its weights hold "
                "such numbers, or the tower overflows in this precision (--precision fp32 does not)"
            )
        # Indexing also makes a plain tensor of it: inference tensors may not enter autograd.
        return found[torch.tensor(rows, device=self.model.device)]

    def detect(
        self, images: Tensor | ImageLike | Sequence[ImageLike], captions: str | Sequence[str]
    ) -> list[Detection]:
        """Detections of image-caption pairs, in their order.

        images: features from `encode_images`, (images, features), or images as there. One image serves all captions,
        one caption all images; otherwise image i belongs to caption i. Equal captions are read once a batch.
        Errors: InputError for counts or widths that do not match, NotFinite, ImageError, CaptionError.

            first, second = detector.detect("photo.jpg", ["a red car", "a blue car"])
        """
        captions = [captions] if isinstance(captions, str) else list(captions)
        if not captions:
            return []
        return self.detect_encoded(self._features(images), self.encode_captions(captions))

    def encode_captions(self, captions: Sequence[str]) -> list[EncodedCaption]:
        """Template and captions as token ids with their words; equal captions share one object.

        Errors: CaptionError, TokenizerError.

            encoded = detector.encode_captions(["a red car", "a blue car"])
        """
        made: dict[str, EncodedCaption] = {}
        encode = encode_long_caption if self.long == SPLIT else encode_caption
        for caption in captions:
            if not isinstance(caption, str) or caption not in made:
                made[caption] = encode(self.model.tokenizer, caption, self.template, self._neutral)
        return [made[caption] for caption in captions]

    def detect_encoded(self, features: Tensor, encoded: Sequence[EncodedCaption]) -> list[Detection]:
        """As `detect`, of unit features (images, features) and captions from `encode_captions`.

        detections = detector.detect_encoded(features, encoded)
        """
        if not encoded:
            return []
        check_pairs(features, len(encoded), bool(self.image_masks))
        pairs = max(len(features), len(encoded))
        image_of = range(pairs) if len(features) > 1 else [0] * pairs
        captions = encoded if len(encoded) > 1 else list(encoded) * pairs
        read = [(pair, part) for pair in range(pairs) for part in parts(captions[pair])]
        # Longest captions first: a batch is padded to its longest, and memory runs out at once or never.
        order = sorted(range(len(read)), key=lambda i: -len(read[i][1].ids))
        found: dict[int, tuple[NDArray[np.float32], float]] = {}

        def run(batch: list[int]) -> list[tuple[NDArray[np.float32], float]]:
            images = torch.tensor([image_of[read[i][0]] for i in batch], device=features.device)
            return self._attribute_batch(features[images], [read[i][1] for i in batch])

        for batch in batches(order, self.batch_size):
            found.update(zip(batch, chain.from_iterable(self._in_parts_that_fit(run, batch)), strict=True))
        of_parts = (found[i] for i in range(len(read)))
        return [self._detection(caption, list(islice(of_parts, len(parts(caption))))) for caption in captions]

    def suggest(
        self,
        image: Tensor | ImageLike,
        caption: str,
        words: Sequence[str | Word] | None = None,
        top: int = TOP,
        *,
        vocabulary: VocabularyLike = None,
        **settings: Any,
    ) -> list[Suggestion]:
        """What could stand for words of a caption: for each, captions with another word in its place, best first.

        words: as they stand in the caption; None for the misaligned ones. top: replacements a word. vocabulary: None
        for the words that come along, "clip" for the tokenizer's own, a file, or words. settings: min_gain, distinct
        of `suggestion.calibrated.asked_by`, for misaligned words. Errors: InputError, VocabularyError, as `detect`.

            coke, = detector.suggest("photo.jpg", "a cup of coke")
            coke.best.caption, coke.best.gain  # ("a cup of coffee", 0.041)
        """
        features = self._features(image)
        (detection,) = self.detect_encoded(features[:1], self.encode_captions([caption]))
        chosen = vocabulary_of(vocabulary, self.model.tokenizer, self.model.tower)
        asked = asked_by(self.gains if words is None else None, chosen, top, **settings)
        return suggest(self, features, detection, words_asked(detection, words), asked)

    def _in_parts_that_fit(self, run: Callable[[list[Item]], T], batch: list[Item]) -> list[T]:
        """Of memory.py; remembers the size that fitted."""
        found, self.batch_size = in_parts_that_fit(run, batch, self.model.device, self.batch_size)
        return found

    def _encode_batch(self, batch: list[Tensor]) -> Tensor:
        pixels = torch.stack(batch)
        if self.model.device.type == "cuda":
            pixels = pixels.pin_memory()  # copied while the tower is at work on the batch before
        pixels, tower = pixels.to(self.model.device, self.model.dtype, non_blocking=True), self.model.image_tower
        if not self.image_masks:
            return tower.encode(pixels)
        return torch.stack([tower.encode(pixels), tower.encode_masked(pixels, self.image_masks)], dim=1)

    def _attribute_batch(
        self, features: Tensor, encoded: Sequence[EncodedCaption]
    ) -> list[tuple[NDArray[np.float32], float]]:
        """A pass: pair i is image feature i and caption i; equal captions are one object, and go through once.

        -> of each pair (layers, units) attributions and the cosine.
        """
        once = {id(e): e for e in encoded}
        place = {key: i for i, key in enumerate(once)}
        whole, seen = features.unbind(1) if self.image_masks else (features, features)
        result = self.method.attribute(
            self.model.tower, list(once.values()), seen, [place[id(e)] for e in encoded], self.start_layer_text
        )
        cosine = (result.text_features * whole.to(result.text_features)).sum(-1) if self.image_masks else result.cosine
        per_layer, cosines = result.per_layer.cpu().numpy(), cosine.cpu().tolist()  # (pairs, layers, tokens)
        per_unit = [mean_over_units(layers, caption) for layers, caption in zip(per_layer, encoded, strict=True)]
        return list(zip(per_unit, cosines, strict=True))

    def _detection(self, encoded: EncodedCaption, found: list[tuple[NDArray[np.float32], float]]) -> Detection:
        """found: of each of the caption's `parts`."""
        per_unit, cosine = merge(encoded, *zip(*found, strict=True))
        return make_detection(
            encoded,
            per_unit,
            cosine,
            layers=self.method.rows(self.model.tower.layers),
            sorted_by=self.sorted_by,
            epsilon=self.epsilon,
            start_layer_text=self.start_layer_text,
            method=self.method.name,
            score=self.score,
            score_weight=self.score_weight,
            curve=self.curve,
        )

    def _features(self, images: Tensor | ImageLike | Sequence[ImageLike]) -> Tensor:
        found = given_features(images, self.model.tower, self.model.image_tower, self.model.backbone)
        return self.encode_images(images) if found is None else found

    def _pixels(self, image: ImageLike) -> Tensor:
        """A preprocessed (3, size, size) tensor of any image."""
        if isinstance(image, Tensor) and image.is_floating_point():
            return preprocessed(image, self.model.image_tower.size)
        return self.model.preprocess(load_image(image))
