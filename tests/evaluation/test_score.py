"""main.py --score: a run's own score, under its own name, beside CLIPScore; and its re-scoring."""

from __future__ import annotations

import base64
import json

import epsilon_study
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from clip4dm.benchmarks import get_benchmark
from clip4dm.errors import InputError
from clip4dm.evaluation.metrics.calibration import Words, for_calibration
from clip4dm.evaluation.metrics.weights import fit_and_show, fit_weight
from clip4dm.evaluation.report import Columns, summarise
from clip4dm.evaluation.run import Options, evaluate, rescore
from clip4dm.evaluation.store.finished import open_run
from clip4dm.evaluation.store.runfiles import DamagedRun

QUIET = {"say": lambda line: None}
CHOICES = [("additive", 5.0), ("additive_sum", 5.0)]


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """A run of each additive score, all in one output folder."""
    output = str(tmp_path_factory.mktemp("scores"))
    return {
        score: evaluate(Options(**data, output=output, score=score, score_weight=weight), **QUIET)
        for score, weight in CHOICES
    }


def lines_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("score", "weight"), CHOICES)
def test_a_run_has_one_score_of_attributions_under_its_name(runs, reference, score, weight):
    outcome = runs[score]
    result, lines = outcome.result, lines_of(outcome.folder)
    assert set(result["AP"]) == {score, "CLIPScore", "refCLIPScore"}
    assert (result["settings"]["score"], result["settings"]["score_weight"]) == (score, weight)
    assert (result["args"]["score"], result["args"]["score_weight"]) == (score, weight)
    assert outcome.folder.name.startswith(f"most_negative_-5e-05_last3_{score}5.0_fp32")
    for line in lines:  # by hand: the last three of four layers, words without punctuation
        layers = np.frombuffer(base64.b64decode(line["layer_attributions"]), "<f4").astype(float).reshape(4, -1)
        means = zip(layers[1:].mean(0), line["units"], strict=True)
        words = [value for value, (_, _, kind, scored) in means if kind == 0 and scored]
        wanted = min(words) if score == "additive" else sum(value for value in words if value < -5e-5)
        assert line[score] == pytest.approx(line["cosine"] + weight * wanted, rel=1e-9)
    right = [not line["label"]["misaligned"] for line in lines]
    expected = average_precision_score(right, [line[score] for line in lines])
    assert result["AP"][score]["value"] == pytest.approx(expected, abs=1e-12)
    assert f"AP/{score} " in outcome.table and "F-CLIPScore" not in outcome.table
    paper = [json.loads(line) for line in reference[0][0].splitlines()]
    for ours, theirs in zip(lines, paper, strict=True):  # all else is the paper's run
        assert {name: value for name, value in ours.items() if name != score} == theirs


def test_runs_of_other_scores_stand_apart(runs, reference):
    folders = {reference[1].folder.name, *(outcome.folder.name for outcome in runs.values())}
    assert len({name.rpartition("_")[2] for name in folders}) == 3  # fingerprints
    assert "score" not in reference[1].result["settings"]
    assert reference[1].result["args"]["score"] == "f_clip_score"
    assert all("additive" not in line and "additive_sum" not in line for line in lines_of(reference[1].folder))


@pytest.mark.parametrize(("score", "weight"), CHOICES)
def test_rescoring_with_a_score_is_a_run_with_it_and_back(runs, reference, score, weight):
    target = rescore(reference[1].folder, score=score, score_weight=weight, **QUIET)
    for name in ("n", "LA", "AP", "settings", "groups"):
        assert target.result[name] == runs[score].result[name], name
    assert target.result["args"]["score"] == score and f"{score}5.0" in target.folder.name
    back = rescore(runs[score].folder, score="f_clip_score", **QUIET).result
    assert back["AP"] == reference[1].result["AP"] and back["settings"] == reference[1].result["settings"]
    kept = rescore(runs[score].folder, epsilon=-1e-3, **QUIET).result["settings"]
    assert (kept["score"], kept["score_weight"], kept["epsilon"]) == (score, weight, -1e-3)
    other = next(name for name, _ in CHOICES if name != score)
    with pytest.raises(InputError, match=f"the score {other} needs a score_weight"):
        rescore(runs[score].folder, score=other, **QUIET)


def test_the_published_figures_are_of_the_published_score(runs, reference):
    ours, theirs = (
        rescore(folder, as_published=True, **QUIET).result["as_published"]
        for folder in (runs["additive"].folder, reference[1].folder)
    )
    assert ours == theirs and set(ours["AP"]) == {"F-CLIPScore", "CLIPScore"}


@pytest.mark.parametrize("change", [{"score_weight": None}, {"score": "loudest"}, {"score_weight": "5"}, {"score": 7}])
def test_a_config_with_a_score_that_cannot_be_is_a_damaged_run(runs, tmp_path, change):
    import shutil

    folder = shutil.copytree(runs["additive"].folder, tmp_path / "run")
    for name in ("config.json", "result.json"):
        said = json.loads((folder / name).read_text())
        said["settings"] |= change
        (folder / name).write_text(json.dumps(said))
    with pytest.raises(DamagedRun, match="has a score that cannot be"):
        open_run(folder)


def test_correlations_and_taus_are_of_the_runs_score():
    for benchmark, figure in (("richhf", "pearson"), ("expert", "tau_c")):
        named = summarise(Columns("additive"), get_benchmark(benchmark))[figure]
        assert "additive" in named and "CLIPScore" in named and not any("F-CLIP" in name for name in named)
        paper = summarise(Columns(), get_benchmark(benchmark))[figure]
        assert "F-CLIPScore" in paper and "additive" not in paper


def drawn(count: int = 240) -> Words:
    """Captions whose lowest word, and whose sum, says more than their cosine; two words a caption."""
    random = np.random.default_rng(0)
    wrong = np.arange(count) % 2 == 1
    lowest = np.where(wrong, -1e-3, -1e-4) + random.normal(0, 1e-5, count)
    attribution = np.stack([lowest, np.full(count, -6e-5)], axis=1).ravel()
    return Words(
        attribution,
        np.repeat(wrong, 2),
        np.repeat(np.arange(count), 2),
        [f"{i // 2}.jpg" for i in range(count)],
        random.normal(0.3, 0.05, count),
        wrong,
        {},
    )


@pytest.mark.parametrize("score", ["additive", "additive_sum"])
def test_a_weight_is_fitted_on_one_half_and_shown_on_the_other(score):
    words = drawn()
    calibrating = [for_calibration(image) for image in words.image]
    found = fit_and_show(words, score)
    assert found.weight == float(f"{fit_weight(words.of_images(calibrating), score):.4g}")
    shown = words.of_images([not kept for kept in calibrating])
    values = [
        cosine + found.weight * (min(mine) if score == "additive" else sum(mine)) for cosine, mine in shown.by_sample()
    ]
    labels = ~shown.misaligned
    expected, clip = (average_precision_score(labels, column) for column in (values, shown.cosine))
    assert found.precision.value == pytest.approx(expected, rel=1e-12) and found.precision.n == len(shown.image)
    assert found.gain.value == pytest.approx(expected - clip, abs=1e-12) and found.gain.low > 0.2
    assert expected > 0.99 and clip < 0.7


def test_no_weight_where_there_is_nothing_to_fit_by():
    words = drawn()
    one_class = words.of_images((~words.misaligned).tolist())
    assert fit_weight(one_class) is None and fit_and_show(one_class, "additive") is None
    assert fit_weight(words, "additive_sum", epsilon=-1.0) is None  # no word lies below it: all sums are 0


def test_the_study_prints_the_weight_that_the_error_asks_for(reference, tmp_path, capsys):
    folder = reference[1].folder
    epsilon_study.main([str(folder), "--out", str(tmp_path), "--count", "4"])
    printed = capsys.readouterr().out
    found = epsilon_study.weights(folder)
    assert "CLIPScore" in printed and len(found["CLIPScore"].as_dict()) == 5
    for score in epsilon_study.ADDITIVE:
        row = next(line for line in printed.splitlines() if line.startswith(f"| {score} |"))
        weight = row.split("|")[2].strip()
        if found[score] is None:
            assert weight == "none can be fitted"
            continue
        assert float(weight) == found[score].weight
        again = rescore(folder, score=score, score_weight=float(weight), **QUIET)
        held_out = [line for line in lines_of(folder) if not for_calibration(line["image"])]
        assert again.result["AP"][score]["n"] > found[score].precision.n == len(held_out)
    assert any(found[score] is not None for score in epsilon_study.ADDITIVE)
