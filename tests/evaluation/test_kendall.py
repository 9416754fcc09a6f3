"""Kendall's tau: values and every resample against scipy on rows written out, ties in any order, what is not defined."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from contract import FLOAT64, SAME_NUMBERS
from making import WORDS, make_pictures
from scipy.stats import kendalltau

from clip4dm.benchmarks import read_benchmark
from clip4dm.errors import InputError
from clip4dm.evaluation.metrics.caption_metrics import caption_metrics
from clip4dm.evaluation.metrics.intervals import Bootstrap
from clip4dm.evaluation.metrics.kendall import agreement, kendall, weighted_kendall
from clip4dm.evaluation.paper import CLIPSCORE_PAPER
from clip4dm.evaluation.run import Options, evaluate, rescore

VARIANTS = pytest.mark.parametrize("variant", ["b", "c"])


def by_hand(x, y, variant):
    """From the definitions, pair by pair."""
    n = len(x)
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i in range(n) for j in range(i)]
    surplus = sum(a * b for a, b in signs)
    if variant == "b":
        return surplus / np.sqrt(sum(abs(a) for a, _ in signs) * sum(abs(b) for _, b in signs))
    m = min(len(set(x)), len(set(y)))
    return surplus / (n**2 / 2 * (m - 1) / m)


@VARIANTS
def test_by_hand(variant):
    x, y = [0.1, 0.4, 0.4, 0.2, 0.9], [1, 2, 1, 3, 3]
    assert kendall(x, [[rating] for rating in y], variant).value == pytest.approx(by_hand(x, y, variant), abs=FLOAT64)
    # 10 pairs, one tied in x, two in y, none in both: 5 agree, 2 do not.
    assert by_hand(x, y, "b") == pytest.approx(3 / np.sqrt(9 * 8))
    assert by_hand(x, y, "c") == pytest.approx(3 / (25 / 2 * 2 / 3))


@VARIANTS
@pytest.mark.parametrize("steps", [2, 4, 12, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_every_resample_is_scipys_on_rows_written_out(variant, steps, seed):
    random = np.random.default_rng(seed)
    n = 60
    y = random.integers(0, steps, n).astype(float)
    x = np.round(y / steps + random.normal(size=n), 1)  # ties in both
    weights = random.integers(0, 3, (20, n)).astype(np.uint8)
    weights[0], weights[1] = 1, 0
    weights[1, :3] = 4
    found = weighted_kendall(x, y, variant)(weights)
    for weight, value in zip(weights, found, strict=True):
        rows = np.repeat(np.arange(n), weight)
        expected = kendalltau(x[rows], y[rows], variant=variant).statistic
        if len(set(x[rows])) < 2 or len(set(y[rows])) < 2:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(expected, abs=FLOAT64)


@VARIANTS
def test_the_interval_is_that_of_whole_images_written_out(variant):
    random = np.random.default_rng(1)
    images = [f"{number // 3}.jpg" for number in range(60)]
    ratings = [random.integers(1, 5, 3).tolist() for _ in images]
    scores = [float(np.mean(given) + random.normal()) for given in ratings]
    scores[7] = None
    bootstrap = Bootstrap(images, seed=3, replicates=40)
    x, y = [], []
    for score, given in zip(scores, ratings, strict=True):
        x += [score] * 3 if score is not None else []
        y += given if score is not None else []
    figure = kendall(scores, ratings, variant, bootstrap)
    assert figure.value == kendalltau(x, y, variant=variant).statistic and figure.n == 59 * 3
    values = []
    for weights in resamples(bootstrap):
        rows = [
            (score, rating)
            for score, given, weight in zip(scores, ratings, weights, strict=True)
            if score is not None
            for rating in given * int(weight)
        ]
        values.append(kendalltau(*zip(*rows, strict=True), variant=variant).statistic)
    assert (figure.low, figure.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=FLOAT64)


def resamples(bootstrap):
    """(replicates, samples): how often each resample holds each sample."""
    seen = []

    def note(weights):
        seen.append(weights.copy())
        return np.zeros(len(weights))

    bootstrap.values(note)
    return np.concatenate(seen)


@VARIANTS
def test_the_order_of_rows_and_of_ties_changes_nothing(variant):
    random = np.random.default_rng(2)
    x, y = random.integers(0, 5, 200).astype(float), random.integers(0, 4, 200).astype(float)
    weights = random.integers(0, 4, (9, 200))
    first = weighted_kendall(x, y, variant)(weights)
    for order in (np.arange(200)[::-1], np.lexsort((y, x)), np.lexsort((-y, x)), random.permutation(200)):
        assert np.array_equal(weighted_kendall(x[order], y[order], variant)(weights[:, order]), first)
    assert np.array_equal(weighted_kendall(np.exp(x), y, variant)(weights), first)  # ranks alone count
    assert np.allclose(weighted_kendall(-x, y, variant)(weights), -first)


@VARIANTS
def test_what_is_not_defined_says_why(variant):
    def reason(scores, ratings):
        return kendall(scores, ratings, variant).reason

    assert reason([], []) == reason([None], [[1, 2]]) == reason([0.5], [[1]]) == "fewer than two ratings"
    assert reason([0.5, 0.5], [[1], [2]]) == "constant input: the scores"
    assert reason([0.5, 0.6], [[2], [2]]) == "constant input: the ratings"
    assert reason([0.5], [[2, 2, 2]]) == "constant input: the scores and the ratings"
    one = kendall([0.1, 0.2], [[1], [2]], variant, Bootstrap(["a.jpg", "a.jpg"]))
    assert (one.value, one.low, one.reason) == (1.0, None, "no interval from a single image")
    two = kendall([0.1, 0.2], [[1], [2]], variant, Bootstrap(["a.jpg", "b.jpg"], replicates=100))
    assert two.low == two.high == 1.0 and "resamples left out of the interval: constant input" in two.reason


def test_wrong_columns_are_refused():
    with pytest.raises(InputError, match="2 scores, 1 lists of ratings; expected one a sample of each"):
        kendall([0.1, 0.2], [[1]], "c")
    with pytest.raises(InputError, match="2 lists of ratings, a bootstrap of 1"):
        kendall([0.1, 0.2], [[1], [2]], "c", Bootstrap(["a.jpg"]))
    with pytest.raises(InputError, match="a figure is nan"):
        kendall([0.1, float("nan")], [[1], [2]], "c")


def test_scores_without_values_are_named():
    found = agreement({"CLIPScore": [0.1, 0.2], "refCLIPScore": [None, None]}, [[1, 2], [3]], "b")
    assert found["CLIPScore"].n == 3
    assert found["refCLIPScore"].value is None and "--get_refclipscore" in found["refCLIPScore"].reason


def test_the_anchors_are_those_of_clipscores_tables():
    """In percent, as tables 1 and 2 print them; of the rows that we compute."""
    expert = {
        "BLEU-1": 32.3,
        "BLEU-4": 30.8,
        "ROUGE-L": 32.3,
        "METEOR": 41.8,
        "CIDEr": 43.9,
        "SPICE": 44.9,
        "CLIPScore": 51.2,
        "refCLIPScore": 53.0,
    }
    crowd = {
        "BLEU-4": 16.9,
        "CIDEr": 24.6,
        "METEOR": 22.2,
        "ROUGE-L": 19.9,
        "SPICE": 24.4,
        "CLIPScore": 34.4,
        "refCLIPScore": 36.4,
    }
    expected = {("expert", f"tau_c/{name}"): value for name, value in expert.items()}
    expected |= {("crowd", f"tau_b/{name}"): value for name, value in crowd.items()}
    assert {(row.benchmark, row.metric): round(100 * row.value, 3) for row in CLIPSCORE_PAPER} == expected
    assert {row.backbone for row in CLIPSCORE_PAPER if "CLIPScore" in row.metric} == {"ViT-B-32"}


@pytest.fixture(scope="module")
def flickr8k(tmp_path_factory):
    """A small Flickr8k: 6 pictures, each judged with every picture's first caption."""
    folder = tmp_path_factory.mktemp("flickr8k")
    names = make_pictures(folder / "images", 6)
    captions = {name: [WORDS[number], f"it is {WORDS[number + 1]}"] for number, name in enumerate(names)}
    random = np.random.default_rng(0)
    pairs = [
        {"image": image, "caption": captions[name][0], "caption_id": f"{name}#0"} for image in names for name in names
    ]
    expert = [{**pair, "ratings": random.integers(1, 5, 3).tolist()} for pair in pairs]
    crowd = [{**pair, "yes": int(random.integers(0, 4)), "no": int(random.integers(1, 4))} for pair in pairs]
    for name, content in (("expert", expert), ("crowd", crowd), ("captions", captions)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(("name", "pairs", "per_pair", "variant"), [("expert", 30, 3, "c"), ("crowd", 36, 1, "b")])
def test_a_run_from_the_file_to_the_table(flickr8k, tiny_folder, tmp_path, name, pairs, per_pair, variant):
    said = []
    java = name == "expert" and shutil.which("java") is not None  # seconds, once
    options = Options(
        str(flickr8k / f"{name}.json"),
        str(flickr8k / "images"),
        output=str(tmp_path),
        backbone=None,
        pretrained=str(tiny_folder),
        device="cpu",
        num_workers=0,
        reference_path=str(flickr8k / "captions.json"),
        get_refclipscore=True,
        caption_metrics=java,
    )
    outcome = evaluate(options, say=said.append)
    assert f"data: samples {pairs}, images 6, ratings {pairs * per_pair}" in said
    left_out = "data: left out: 6 because the caption is the picture's own"
    assert (left_out in said) == (name == "expert")
    figures = outcome.result[f"tau_{variant}"]
    lines = [json.loads(line) for line in (outcome.folder / "samples.jsonl").read_text().splitlines()]
    kept = json.loads((outcome.folder / "caption_metrics.json").read_text())["content"] if java else {}
    ratings = [rating for line in lines for rating in line["label"]["ratings"]]
    for score, of_line in (
        ("CLIPScore", lambda line: line["pair_score"]),
        ("cosine", lambda line: line["cosine"]),
        ("F-CLIPScore", lambda line: line["f_clip_score"]),
        ("refCLIPScore", lambda line: line["ref_clipscore"]),
        *((metric, lambda line, m=metric: kept[line["id"]][m]) for metric in ("BLEU-1", "METEOR", "CIDEr") if java),
    ):
        values = [of_line(line) for line in lines for _ in line["label"]["ratings"]]
        expected = kendalltau(values, ratings, variant=variant).statistic
        assert figures[score]["value"] == pytest.approx(expected, abs=SAME_NUMBERS), score
        assert figures[score]["low"] < figures[score]["value"] < figures[score]["high"]
        assert figures[score]["n"] == pairs * per_pair
    (line,) = [line for line in outcome.table.splitlines() if line.startswith(f"tau_{variant}/CLIPScore ")]
    assert f"Hessel et al. 2021: 0.{512 if name == 'expert' else 344} (ViT-B-32 of OpenAI)" in line
    assert "AP" not in outcome.result and "LA" not in outcome.result
    again = rescore(outcome.folder, epsilon=-1e-3, say=said.append)
    assert again.result[f"tau_{variant}"]["CLIPScore"] == figures["CLIPScore"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="the tokenizer and METEOR are Java programs")
def test_metrics_without_a_model_are_those_that_clipscore_prints(shared):
    """The whole protocol against an outside oracle: rows, references, tau-c, on the real Expert ratings."""
    folder = shared / "data" / "flickr8k"
    if not folder.is_dir():
        pytest.skip("Flickr8k is not in ../shared")
    samples = read_benchmark(folder / "expert.json", reference_path=folder / "captions.json")[1].samples
    found = caption_metrics({s.id: s.caption for s in samples}, {s.id: s.references for s in samples})
    scores = {name: [found[s.id][name] for s in samples] for name in ("BLEU-1", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr")}
    figures = agreement(scores, [s.ratings for s in samples], "c")
    printed = {row.metric: row.value for row in CLIPSCORE_PAPER if row.benchmark == "expert"}
    assert {name: round(figure.value, 3) for name, figure in figures.items()} == {
        name: printed[f"tau_c/{name}"] for name in scores
    }
