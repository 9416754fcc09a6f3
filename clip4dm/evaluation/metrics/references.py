"""RefCLIPScore: how near a caption is to what people said of the picture, together with CLIPScore.

    RefCLIPScore = harmonic mean of CLIPScore and max over references of max(cos(caption, reference), 0)

Caption and references carry the same template; the reference term is not scaled by 2.5 (Hessel et al. 2021).
Of texts that are read in parts (`captions.windows`), cos is the mean over pairs of their parts, weighted by tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clip4dm.benchmarks.base import Sample
from clip4dm.captions.windows import parts, weights
from clip4dm.detector import CLIP4DM
from clip4dm.files.streams import batches
from clip4dm.scores import ref_clip_score


def reference_scores(detector: CLIP4DM, samples: Sequence[Sample], cosines: Sequence[float]) -> dict[str, float | None]:
    """sample id -> RefCLIPScore, None without references. cosines: of each sample's caption and image.

    Captions and references of all samples together: each distinct text is encoded once. Source: Hessel et al. 2021.

        reference_scores(detector, reading.samples, [detection.cosine for detection in detections])
    """
    texts = list(dict.fromkeys(t for s in samples if s.references for t in (s.caption, *s.references)))
    features = encode_texts(detector, texts)
    place = {text: i for i, text in enumerate(texts)}
    scores: dict[str, float | None] = {}
    for sample, cosine in zip(samples, cosines, strict=True):
        near: list[float] = []
        if sample.references:
            rows = features[[place[reference] for reference in sample.references]]
            near = (rows @ features[place[sample.caption]]).tolist()
        scores[sample.id] = ref_clip_score(cosine, near)
    return scores


def encode_texts(detector: CLIP4DM, texts: Sequence[str]) -> Tensor:
    """Texts behind the detector's template -> unit features (texts, features), fp32; of parts their weighted mean.

    encode_texts(detector, ["a red cup", "a blue cup"]).shape  # (2, detector.model.tower.features)
    """
    encoded = detector.encode_captions(texts)
    read = [
        (text, part, weight)
        for text, whole in enumerate(encoded)
        for part, weight in zip(parts(whole), weights(whole), strict=True)
    ]
    read.sort(key=lambda one: -len(one[1].ids))
    rows: list[Tensor | None] = [None] * len(texts)
    for batch in batches(read, detector.batch_size):
        features = detector.model.tower.encode([part for _, part, _ in batch])
        for (text, _, weight), feature in zip(batch, features, strict=True):
            so_far = rows[text]
            rows[text] = weight * feature if so_far is None else so_far + weight * feature
    return torch.stack([row for row in rows if row is not None]) if rows else torch.empty(0)
