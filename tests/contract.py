"""The numeric contract, and the one place from which every test takes its tolerances. In words: docs/numbers.md.

Two ways to the same number (another batch, order, number of threads, path, processor) differ by rounding alone, and
these are the bounds that hold on any processor. None is tuned to the machine it was written on.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# fp32 attributions: of the caption's largest absolute attribution in any averaged layer. Layers of opposite sign may
# nearly cancel in their mean, which then carries the rounding of its parts. Seen: up to 0.65 of it over four kinds of
# kernels, and up to 0.6 of it from a float64 computation.
ATTRIBUTION = 1e-5
# The same where each is an inner product of two vectors (gradient times value, times input, integrated gradients): its
# terms, of both signs and as many as the vectors are wide, cancel in part. Seen: 1.9e-5 over three kinds of kernels.
INNER_PRODUCT = 1e-4
# Where all of a caption's attributions nearly cancel: an absolute floor, a five-thousandth of the usual epsilon.
ATTRIBUTION_FLOOR = 1e-8
# Cosines, and the components of unit features: fp32 sums of some hundred products of unit vectors round to 1e-7.
COSINE = 1e-6
# clip_score of the published outputs: 2.5 times a cosine, which the published code rounds on its way.
PUBLISHED_CLIP_SCORE = 1e-4
# Average precision and location accuracy of the published runs: a pair whose scores tie but for rounding may swap.
PUBLISHED_FIGURE = 1e-4
# The same sums in float64, relative to the largest: 2.2e-16 a step, some thousand steps.
FLOAT64 = 1e-12
# Python floats that came out of the same numbers by the same formula, in another order of additions.
SAME_NUMBERS = 1e-9
# A product of a matrix and a vector of unit normals, by two libraries: fp32's 6e-8 a step, some ten steps.
PRODUCT = 1e-5
# Towers in bf16 and fp16 against fp32, as measured on four small models: attributions, of the caption's largest (seen:
# 0.101 and 0.0124), and cosines (seen: 0.0055 and 0.0010).
LOW_PRECISION = {"bf16": (0.2, 0.02), "fp16": (0.03, 0.004)}
# Probabilities of the entailment model: fp32, other paddings; its random weights are large, to tell pairs apart.
ENTAILMENT = 1e-5


def attribution_tolerance(largest: float, of_largest: float = ATTRIBUTION) -> float:
    """How far a caption's attributions may be apart. largest: see ATTRIBUTION."""
    return max(of_largest * float(largest), ATTRIBUTION_FLOOR)


def assert_attributions(ours, theirs, largest: float | None = None, *, of_largest: float = ATTRIBUTION) -> None:
    """One caption's attributions, any shape, by two ways. largest: default the largest of theirs."""
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    assert ours.shape == theirs.shape
    if theirs.size:
        allowed = attribution_tolerance(np.abs(theirs).max() if largest is None else largest, of_largest)
        worst = np.abs(ours - theirs).max()
        assert worst <= allowed, f"{worst:.2e} apart, where {allowed:.2e} is allowed"


def assert_detections(ours: Sequence, theirs: Sequence) -> None:
    """The same captions, words, verdicts' inputs: every stored attribution and every cosine."""
    for a, b in zip(ours, theirs, strict=True):
        assert a.caption == b.caption and [w.text for w in a.words] == [w.text for w in b.words]
        assert_attributions(a.layer_attributions, b.layer_attributions)
        assert_attributions(
            [w.attribution for w in a.words if w.scored],
            [w.attribution for w in b.words if w.scored],
            np.abs(b.layer_attributions).max(initial=0),
        )
        assert abs(a.cosine - b.cosine) <= COSINE


def assert_records(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """The same line of samples.jsonl, its numbers within the contract: ids, labels, words and verdicts are the same."""
    values = [np.frombuffer(base64.b64decode(record["layer_attributions"]), dtype="<f4") for record in (ours, theirs)]
    assert_attributions(*values)
    largest = np.abs(values[1]).max(initial=0)
    for name, theirs_value in theirs.items():
        if name in ("cosine", "pair_score", "ref_clipscore"):  # 2.5 times a cosine at most
            assert abs(ours[name] - theirs_value) <= 2.5 * COSINE, name
        elif name in ("sum_negative_attribution", "f_clip_score"):  # of as many terms as words, times at most 2
            assert abs(ours[name] - theirs_value) <= 2 * len(ours["units"]) * attribution_tolerance(largest), name
        elif name == "word_attributions":
            assert [word for word, _ in ours[name]] == [word for word, _ in theirs_value]
            assert_attributions(*([v for _, v in pairs] for pairs in (ours[name], theirs_value)), largest)
        elif name != "layer_attributions":
            assert ours[name] == theirs_value, name


def assert_published(detection: Any, published: Mapping[str, Any]) -> None:
    """A Detection's `as_published` is the published code's dict: the same words, order, indices, scores."""
    ours, largest = detection.as_published(), np.abs(detection.layer_attributions).max(initial=0)
    assert list(ours) == list(published)
    assert ours["negative_word"] == published["negative_word"]
    assert [word for word, _ in ours["word_attributions"]] == [word for word, _ in published["word_attributions"]]
    assert_attributions(*([value for _, value in found["word_attributions"]] for found in (ours, published)), largest)
    assert_attributions(ours["negative_word_score_list"], published["negative_word_score_list"], largest)
    allowed = max(1, len(ours["negative_word_score_list"])) * attribution_tolerance(largest)
    assert abs(ours["sum_negative_attribution"] - published["sum_negative_attribution"]) <= allowed
    assert (repr(ours["sum_negative_attribution"]) == "0") == (repr(published["sum_negative_attribution"]) == "0")
    assert abs(ours["clip_score"] - published["clip_score"]) <= PUBLISHED_CLIP_SCORE
