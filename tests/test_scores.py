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


def test_additive_scores():
    found = [1e-3, -1e-3, -3e-3, None]
    assert scores.additive_score(0.2, found, 10.0) == pytest.approx(0.2 - 0.03, rel=1e-15)
    assert scores.additive_sum_score(0.2, found, 10.0) == pytest.approx(0.2 - 0.04, rel=1e-15)
    assert scores.additive_sum_score(0.2, found, 10.0, -2e-3) == pytest.approx(0.2 - 0.03, rel=1e-15)
    assert scores.additive_sum_score(0.2, found, 10.0, -5e-3) == 0.2  # no word below epsilon
    for empty in ([], [None]):
        assert scores.additive_score(0.2, empty, 10.0) == scores.additive_sum_score(0.2, empty, 10.0) == 0.2


def test_a_score_by_its_name():
    found, epsilon = [1e-3, -1e-3, -3e-3], -2e-3
    assert scores.pair_score(0.2, found, epsilon) == pytest.approx(0.8 * -3e-3, rel=1e-15)
    assert scores.pair_score(0.2, found, epsilon, "additive", 10.0) == pytest.approx(0.17, rel=1e-15)
    assert scores.pair_score(0.2, found, -5e-5, "additive_sum", 10.0) == pytest.approx(0.16, rel=1e-15)
    assert scores.pair_score(0.2, found, epsilon, "additive", 0.0) == 0.2  # a weight of 0 is a weight
    for name in ("additive", "additive_sum"):
        with pytest.raises(CLIP4DMError, match=f"the score {name} needs a score_weight, and none is usual"):
            scores.pair_score(0.2, found, epsilon, name)
    for weight in (-1.0, float("inf"), float("nan"), True, "2"):
        with pytest.raises(CLIP4DMError, match="score_weight is .*; it must be a finite number from 0 on"):
            scores.check_score("additive", weight)
    with pytest.raises(CLIP4DMError, match="unknown score 'sum'; allowed: f_clip_score, additive, additive_sum"):
        scores.check_score("sum", 1.0)
    with pytest.raises(CLIP4DMError, match="score_weight 1.0 means nothing to f_clip_score"):
        scores.check_score("f_clip_score", 1.0)


def test_a_weight_does_not_go_from_score_to_score():
    was = ("additive", 2.0)
    assert scores.weight_kept(was, None, None) == scores.weight_kept(was, "additive", None) == was
    assert scores.weight_kept(was, "additive_sum", None) == ("additive_sum", None)
    assert scores.weight_kept(was, "f_clip_score", None) == ("f_clip_score", None)
    assert scores.weight_kept(("f_clip_score", None), "additive", 3.0) == ("additive", 3.0)


def test_one_row_of_attributions_is_not_called_a_tower():
    with pytest.raises(CLIP4DMError, match="start_layer_text -2 is out of range: there is one row of attributions"):
        scores.last_layers(-2, 1)
    assert scores.last_layers(-1, 1) == scores.last_layers(0, 1) == 1


def test_a_detection_says_which_score_it_has(detector):
    from clip4dm import CLIP4DM

    picture = np.random.default_rng(5).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    (paper,) = detector.detect([picture], ["a red dog"])
    epsilon = sorted(word.attribution for word in paper.words)[2]  # two of three words lie below it
    own = CLIP4DM(detector.model, score="additive_sum", score_weight=3.0, epsilon=epsilon)
    (found,) = own.detect([picture], ["a red dog"])
    assert (paper.score_name, paper.score_weight, paper.score) == ("f_clip_score", None, paper.f_clip_score)
    below = [word.attribution for word in found.words if word.attribution < epsilon]
    assert len(below) == 2 and found.score == pytest.approx(found.cosine + 3 * sum(below), rel=1e-12)
    assert found.f_clip_score == pytest.approx((1 - found.cosine) * sum(below), rel=1e-12)  # where it was
    said = found.as_dict()
    assert (said["score_name"], said["score_weight"], said["score"]) == ("additive_sum", 3.0, found.score)
    lowest = found.with_settings(score="additive", score_weight=2.0)
    assert lowest.score == pytest.approx(found.cosine + 2 * min(w.attribution for w in found.words), rel=1e-12)
    assert lowest.with_settings(sorted_by="most_negative").score == lowest.score  # kept, and not of sorted_by
    assert lowest.with_settings(score="f_clip_score").score == found.f_clip_score
    with pytest.raises(CLIP4DMError, match="needs a score_weight"):
        lowest.with_settings(score="additive_sum")
    with pytest.raises(CLIP4DMError, match="needs a score_weight"):
        CLIP4DM(detector.model, score="additive")


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
