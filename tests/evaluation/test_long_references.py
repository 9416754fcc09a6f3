"""RefCLIPScore of texts that are read in parts: the mean over pairs of their parts, weighted by tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contract import COSINE

from clip4dm import CLIP4DM
from clip4dm.benchmarks.base import Sample
from clip4dm.evaluation.metrics.references import encode_texts, reference_scores

SHORT = ["a red dog stands here. ", "two zebras! ", "one cat in a boat. "]
LONG = SHORT * 8


def test_references_by_hand(detector):
    split = CLIP4DM(detector.model, long="split", template="a photo of ")
    with torch.no_grad():
        parts = [
            split.model.model.encode_text(split.model.tokenizer([split.template + s]), normalize=True) for s in SHORT
        ]
    parts = torch.cat(parts).numpy()
    tokens = np.array([6, 4, 6])  # of the three sentences, their stops too; "zebras" has two
    by_hand = (tokens[:, None] * parts).sum(0) / tokens.sum()
    references = ("a red dog", "".join(LONG))
    features = encode_texts(split, references).numpy()
    np.testing.assert_allclose(features[1], by_hand, rtol=0, atol=COSINE)
    plain = encode_texts(CLIP4DM(detector.model, template="a photo of "), references).numpy()
    np.testing.assert_allclose(features[0], plain[0], rtol=0, atol=COSINE)
    assert np.abs(features[1] - plain[1]).max() > 1e-3
    sample = Sample("1", "a.jpg", "a", "".join(LONG), False, (), "ORIG", references=("a red dog",))
    near = max(float(by_hand @ features[0]), 0.0)
    found = reference_scores(split, [sample], [0.2])["1"]
    assert found == pytest.approx(2 * 0.5 * near / (0.5 + near), abs=4 * COSINE)
