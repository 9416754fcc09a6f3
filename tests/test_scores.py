"""clip4dm/scores.py: the equations on hand-worked numbers, the same with numpy and PyTorch."""

import numpy as np
import pytest
import torch

from clip4dm import scores
from clip4dm.errors import CLIP4DMError

# Two heads, two rows, two tokens; one row of G * A a head: (1, -0.5), (0.5, 0) -> mean (0.75, -0.25).
ATTENTION = [[[0.5, 0.5], [1.0, 0.0]], [[0.25, 0.75], [0.5, 0.5]]]
GRADIENT = [[[2.0, -1.0], [0.0, 3.0]], [[2.0, 0.0], [-2.0, 2.0]]]
RELEVANCE = [[0.75, -0.25], [-0.5, 0.5]]


@pytest.mark.parametrize("array", [np.array, torch.tensor], ids=["numpy", "torch"])
def test_relevance_and_its_means(array):
    r = scores.relevance(array(ATTENTION), array(GRADIENT))
    assert r.tolist() == RELEVANCE
    layers = array([[8.0, 8.0, 8.0], [1.0, 2.0, 3.0], [3.0, 0.0, -5.0]])
    assert scores.mean_over_layers(layers, 2).tolist() == [2.0, 1.0, -1.0]
    assert scores.mean_over_tokens(layers, [0, 2]).tolist() == [8.0, 2.0, -1.0]
    for wrong in (0, 4):
        with pytest.raises(CLIP4DMError, match=f"{wrong} layers was asked for, but there are attributions of 3"):
            scores.mean_over_layers(layers, wrong)


def test_one_rule_says_what_is_misaligned():
    attributions = [1e-4, None, -5e-5, -6e-5, -9e-5, -9e-5]
    assert scores.misaligned(attributions) == [3, 4, 5]  # strictly below: -5e-5 itself is not
    assert scores.misaligned(attributions, "threshold", -7e-5) == [4, 5]
    assert scores.misaligned(attributions, "most_negative") == [4]  # the first of equals
    assert scores.misaligned([2e-4, 1e-4], "most_negative", -5e-5) == [1]  # whatever epsilon
    assert scores.misaligned([None], "most_negative") == scores.misaligned([]) == []


def test_scores_of_a_pair():
    assert scores.f_clip_score(0.2, [1e-4, -1e-4, -3e-4, None]) == pytest.approx(0.8 * -4e-4, rel=1e-15)
    assert scores.f_clip_score(-0.5, [-1e-4]) == pytest.approx(-1.5e-4, rel=1e-15)  # the cosine is not clamped
    assert scores.f_clip_score(0.2, [1e-4]) == 0.0
    assert scores.clip_score(0.3) == 0.75 and scores.clip_score(-0.3) == 0.0
    assert scores.ref_clip_score(0.3, [0.25, -1.0]) == pytest.approx(2 * 0.75 * 0.25 / 1.0, rel=1e-15)
    assert scores.ref_clip_score(-0.3, [-0.25]) == 0.0 and scores.ref_clip_score(0.3, []) is None


@pytest.mark.parametrize("sorted_by", scores.SORTED_BY)
def test_words_and_detections_say_the_same(detector, sorted_by):
    picture = np.random.default_rng(5).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    for epsilon in (-5e-5, 0.0, 1.0):
        for found in detector.detect([picture], ["a red dog, sleeping", "!!", "two zebras"]):
            found = found.with_settings(sorted_by=sorted_by, epsilon=epsilon)
            assert found.misaligned == tuple(word for word in found.words if word.misaligned)
            said = [word["text"] for word in found.as_dict()["words"] if word["misaligned"]]
            assert said == found.as_dict()["misaligned"]
            if sorted_by == "most_negative" and found.words:
                assert [word.attribution for word in found.misaligned] == [min(w.attribution for w in found.words)]
