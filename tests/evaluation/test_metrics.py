"""Metrics against hand-made cases, sklearn and scipy; the bootstrap against explicitly repeated samples."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from clip4dm.evaluation.metrics.intervals import weighted_average_precision, weighted_pearson, weighted_spearman
from clip4dm.evaluation.metrics.metrics import (
    Bootstrap,
    Figure,
    average_precision,
    location_accuracy,
    mean_figure,
    pearson,
    precision_recall_f1,
    spearman,
)


def test_location_accuracy_counts_misaligned_captions_only():
    figure = location_accuracy([True, None, False, None, True, True])
    assert (figure.value, figure.n, figure.low, figure.reason) == (0.75, 4, None, None)


def test_average_precision_by_hand():
    # Ranked: + - + -, so precision is 1 at the first positive and 2/3 at the second, each half of the recall.
    figure = average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
    assert figure.value == pytest.approx((1 + 2 / 3) / 2)
    # All tied: one threshold, at which precision is the share of positives.
    assert average_precision([True, False, False, False], [0.5] * 4).value == pytest.approx(0.25)


def test_average_precision_is_sklearns_with_ties_and_left_out_rows():
    rng = np.random.default_rng(1)
    labels, scores = rng.random(300) < 0.3, np.round(rng.normal(size=300), 1)
    with_gaps = [None if i % 7 == 0 else float(score) for i, score in enumerate(scores)]
    kept = np.arange(300) % 7 != 0
    figure = average_precision(labels, with_gaps)
    assert figure.value == average_precision_score(labels[kept], scores[kept])
    assert figure.n == kept.sum()


def test_precision_recall_f1_are_micro_averages():
    # Three captions; tokens: TP 2+0+1 = 3, FP 1+0+1 = 2, FN 0+3+1 = 4.
    figures = precision_recall_f1([2, 0, 1], [1, 0, 1], [0, 3, 1])
    truth = [1] * 3 + [0] * 2 + [1] * 4
    found = [1] * 3 + [1] * 2 + [0] * 4
    expected = precision_recall_fscore_support(truth, found, average="binary")[:3]
    assert [figures[name].value for name in ("precision", "recall", "f1")] == pytest.approx(expected)
    assert figures["precision"].value == 3 / 5 and figures["recall"].value == 3 / 7
    assert {figure.n for figure in figures.values()} == {3}


@pytest.mark.parametrize(
    "counts, defined",
    [
        (([0], [0], [2]), {"recall": 0.0, "f1": 0.0}),  # nothing predicted
        (([0], [3], [0]), {"precision": 0.0, "f1": 0.0}),  # nothing labelled
        (([0], [3], [2]), {"precision": 0.0, "recall": 0.0, "f1": 0.0}),  # all wrong
        (([0], [0], [0]), {}),
        (([], [], []), {}),
    ],
)
def test_precision_recall_f1_where_undefined_are_none_with_a_reason(counts, defined):
    for name, figure in precision_recall_f1(*counts).items():
        assert figure.value == defined.get(name)
        assert bool(figure.reason) == (name not in defined)


def test_correlations_are_scipys():
    rng = np.random.default_rng(2)
    x = np.round(rng.normal(size=200), 1)
    y = x + rng.normal(size=200)
    assert pearson(x, y).value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-14)
    assert spearman(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-14)
    assert pearson([1, 2, None, 3], [2, 4, 100, 6]).value == pytest.approx(1)
    assert spearman([1, 2, 3], [-1, -8, -27]).value == pytest.approx(-1)


@pytest.mark.parametrize("scale", [1e-300, 1e-5, 1.0, 1e300])
def test_pearson_does_not_hang_on_the_scale(scale):
    x, y = np.array([1.0, 2.0, 4.0]), np.array([1.0, -1.0, 5.0])
    figure = pearson(x * scale, y / scale, Bootstrap([0, 1, 2]))
    assert figure.value == pytest.approx(stats.pearsonr(x, y).statistic)
    assert figure.low is not None


def test_what_is_not_defined_is_none_with_a_reason_and_warns_of_nothing():
    boot = Bootstrap("abc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        undefined = [
            location_accuracy([None] * 3, boot),  # all originals
            location_accuracy([]),
            mean_figure([]),
            average_precision([1, 1, 1], [1, 2, 3], boot),
            average_precision([0, 0, 0], [1, 2, 3], boot),
            average_precision([], []),
            average_precision([1, 0, 1], [0.5, None, 0.1], boot),  # the only negative has no score
            pearson([1, 1, 1], [1, 2, 3], boot),
            pearson([1e9 + 0.1] * 3, [1, 2, 3], boot),
            pearson([1, 2, 3], [0.1 + 0.2, 0.3, 0.3], boot),  # constant but for rounding
            spearman([1, 2, 3], [0.1] * 3, boot),
            pearson([1], [2]),
            spearman([], []),
        ]
    for figure in undefined:
        assert figure.value is None and figure.low is None and figure.high is None
        assert figure.reason
    assert "one class only: 3 positive of 3" in undefined[3].reason
    assert "the second column" in undefined[10].reason


def test_a_true_zero_is_zero():
    figure = location_accuracy([False, False], Bootstrap("ab"))
    assert (figure.value, figure.low, figure.high, figure.reason) == (0.0, 0.0, 0.0, None)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: average_precision([1, 0], [1.0]), "labels 2, scores 1"),
        (lambda: average_precision([1, 0], [1.0, math.nan]), "scores holds nan in row 1"),
        (lambda: average_precision([1, None, 0], [1.0, 2.0, math.inf]), "scores holds inf in row 2"),
        (lambda: average_precision([1, 2], [1.0, 2.0]), "labels holds 2"),
        (lambda: average_precision(["ORIG", "cat"], [1.0, 2.0]), "expected one number"),
        (lambda: mean_figure([[1.0], [2.0]]), "expected one number"),
        (lambda: location_accuracy([0.5]), "hits holds 0.5"),
        (lambda: location_accuracy([True], Bootstrap("ab")), "hits 1, bootstrap 2"),
        (lambda: precision_recall_f1([1], [-1], [0]), "fp holds -1"),
        (lambda: precision_recall_f1([1], [1], [0.5]), "fn holds 0.5"),
        (lambda: Bootstrap("ab", seed=-1), "seed is -1"),
        (lambda: Bootstrap("ab", replicates=0), "replicates is 0"),
        (lambda: Figure(math.nan, None, None, 1), "nan"),
        (lambda: Figure(None, None, None, 0), "needs a reason"),
    ],
)
def test_odd_input_gives_one_clear_error(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_as_dict_is_json_and_rounds_what_the_order_of_additions_changes():
    figure = Figure(0.1 + 0.2, None, 1 / 3, 5, "no interval")
    assert json.loads(json.dumps(figure.as_dict(), allow_nan=False)) == {
        "value": 0.3,
        "low": None,
        "high": 0.333333333333,
        "n": 5,
        "reason": "no interval",
    }


# The bootstrap.

small = st.lists(
    st.tuples(st.integers(0, 4), st.booleans(), st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=12
)


@settings(max_examples=150, deadline=None)
@given(small)
def test_weighted_formulas_equal_the_metric_on_repeated_samples(rows):
    """Whole weights mean repetition: sklearn and scipy on the repeated samples are the oracle, with ties."""
    weights, labels, x, y = (np.array(column) for column in zip(*rows, strict=True))
    x, y = x / 4, y / 8
    repeated = np.repeat(np.arange(len(rows)), weights)
    drawn = weights[None].astype(np.uint8)
    ours = {f.__name__: float(f(labels, x)(drawn)[0]) for f in (weighted_average_precision,)}
    ours |= {f.__name__: float(f(x, y)(drawn)[0]) for f in (weighted_pearson, weighted_spearman)}
    two_classes = len(set(labels[repeated].tolist())) == 2
    varied = all(len(set(column[repeated].tolist())) > 1 for column in (x, y))
    if two_classes:
        weighted = average_precision_score(labels, x, sample_weight=weights)
        assert ours["weighted_average_precision"] == pytest.approx(weighted, abs=1e-12)
        spelt_out = average_precision_score(labels[repeated], x[repeated])
        assert ours["weighted_average_precision"] == pytest.approx(spelt_out, abs=1e-12)
    else:
        assert math.isnan(ours["weighted_average_precision"])
    if varied:
        expected = stats.pearsonr(x[repeated], y[repeated]).statistic
        assert ours["weighted_pearson"] == pytest.approx(expected, abs=1e-9)
        expected = stats.spearmanr(x[repeated], y[repeated]).statistic
        assert ours["weighted_spearman"] == pytest.approx(expected, abs=1e-9)
    else:
        assert math.isnan(ours["weighted_pearson"]) and math.isnan(ours["weighted_spearman"])


def _naive(clusters, seed, replicates, metric):
    """Percentiles over resamples built the slow way: images drawn, their samples listed one after another."""
    names = list(dict.fromkeys(clusters))
    rows_of = {name: [i for i, cluster in enumerate(clusters) if cluster == name] for name in names}
    values = []
    for replicate in range(replicates):
        drawn = np.random.default_rng([seed, replicate]).integers(0, len(names), len(names))
        rows = [row for number in drawn for row in rows_of[names[number]]]
        value = metric(np.array(rows))
        if value is not None:
            values.append(value)
    return np.percentile(values, [2.5, 97.5])


def test_intervals_equal_a_bootstrap_built_the_slow_way():
    rng = np.random.default_rng(3)
    clusters = [f"image {i}" for i in rng.integers(0, 30, 80)]
    labels, x = rng.random(80) < 0.5, np.round(rng.normal(size=80), 1)
    y = x + rng.normal(size=80)
    boot = Bootstrap(clusters, seed=7, replicates=120)
    tp, fp, fn = rng.integers(0, 3, (3, 80))
    figures_and_metrics = [
        (location_accuracy(labels.tolist(), boot), lambda r: labels[r].mean()),
        (mean_figure(y, boot), lambda r: y[r].mean()),
        (average_precision(labels, x, boot), lambda r: average_precision_score(labels[r], x[r])),
        (pearson(x, y, boot), lambda r: stats.pearsonr(x[r], y[r]).statistic),
        (spearman(x, y, boot), lambda r: stats.spearmanr(x[r], y[r]).statistic),
        (
            precision_recall_f1(tp, fp, fn, boot)["f1"],
            lambda r: 2 * tp[r].sum() / (2 * tp[r].sum() + fp[r].sum() + fn[r].sum()),
        ),
    ]
    for figure, metric in figures_and_metrics:
        assert (figure.low, figure.high) == pytest.approx(_naive(clusters, 7, 120, metric), abs=1e-12)
        assert figure.low < figure.value < figure.high and figure.reason is None


def test_rows_left_out_and_groups_share_the_whole_sets_resamples():
    rng = np.random.default_rng(4)
    clusters = rng.integers(0, 20, 60).tolist()
    hits = [None if i % 3 == 0 else bool(rng.random() < 0.4) for i in range(60)]
    boot = Bootstrap(clusters, seed=1, replicates=80)

    def metric(rows):
        counted = [hits[row] for row in rows if hits[row] is not None]
        return np.mean(counted) if counted else None

    figure = location_accuracy(hits, boot)
    assert (figure.low, figure.high) == pytest.approx(_naive(clusters, 1, 80, metric))
    group = [i for i in range(60) if i % 3 and i < 30]
    of_group = location_accuracy([hits[i] for i in group], boot.take(group))
    masked = location_accuracy([hit if i in group else None for i, hit in enumerate(hits)], boot)
    assert of_group == masked
    mask = np.isin(np.arange(60), group)
    assert location_accuracy([hits[i] for i in group], boot.take(mask)) == of_group
    assert location_accuracy([], boot.take([])).reason


def test_an_images_samples_move_together():
    # Pairs of opposite samples on every image: no resample by image can change the mean.
    values = [1.0, -1.0] * 10
    paired = mean_figure(values, Bootstrap([i // 2 for i in range(20)]))
    assert (paired.low, paired.high) == (0.0, 0.0)
    alone = mean_figure(values, Bootstrap(range(20)))
    assert alone.low < -0.2 and alone.high > 0.2


def test_the_interval_of_a_mean_is_the_normal_one_on_many_samples():
    values = np.random.default_rng(5).normal(size=4000)
    figure = mean_figure(values, Bootstrap(range(4000), replicates=2000))
    expected = stats.norm.interval(0.95, values.mean(), values.std() / math.sqrt(4000))
    assert (figure.low, figure.high) == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))


def test_resamples_without_the_figure_are_left_out_and_counted():
    # One positive image of three: it is absent from (2/3)^3 = 30 % of the resamples, alone in 4 %.
    figure = average_precision([1, 0, 0], [0.9, 0.5, 0.95], Bootstrap("abc"))
    left_out = int(figure.reason.split(" of 1000 resamples left out of the interval: one class only")[0])
    assert 270 < left_out < 400
    assert figure.value == pytest.approx(0.5) and 0 < figure.low <= 0.5 <= figure.high <= 1
    # One image that counts: there is nothing to resample.
    lone = location_accuracy([True, None], Bootstrap("ab"))
    assert lone.value == 1.0 and lone.low is None and "single image" in lone.reason


def test_resamples_depend_on_the_seed_alone():
    values = np.random.default_rng(6).normal(size=50)
    first, again, other = (mean_figure(values, Bootstrap(range(50), seed=seed)) for seed in (0, 0, 1))
    assert first == again and first != other


@pytest.mark.parametrize("limit", ["_CHUNK", "_KEEP"])
def test_small_memory_gives_the_same_intervals(monkeypatch, limit):
    rng = np.random.default_rng(8)
    labels, scores = rng.random(90) < 0.5, rng.normal(size=90)
    clusters = rng.integers(0, 40, 90).tolist()

    def figures():
        boot = Bootstrap(clusters, replicates=50)
        return (average_precision(labels, scores, boot), mean_figure(scores, boot), spearman(labels, scores, boot))

    usual = figures()
    monkeypatch.setattr(f"clip4dm.evaluation.metrics.intervals.{limit}", 200)
    assert figures() == usual
