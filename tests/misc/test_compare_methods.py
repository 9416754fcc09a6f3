"""misc/compare_methods.py, whole, on a small benchmark; its figures against sklearn's and the runs' own."""

import csv
import json
from pathlib import Path

import compare_methods
import numpy as np
import pytest
from making import make_foil, make_pictures
from sklearn.metrics import average_precision_score

from clip4dm.benchmarks import get_benchmark
from clip4dm.evaluation.comparison import EPSILONS, compare
from clip4dm.evaluation.metrics.calibration import epsilon_grid, for_calibration, read_words
from clip4dm.evaluation.metrics.weights import fit_epsilon
from clip4dm.evaluation.records import detection_of
from clip4dm.evaluation.run import Options, evaluate
from clip4dm.evaluation.store.finished import open_run
from clip4dm.scores import additive_score, f_clip_score

METHODS = ("clip4dm", "gae", "gradient_value", "occlusion")
LAST = "clip4dm:-1"  # clip4dm alone is of all layers, in a tower this small


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_folder) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    make_foil(folder / "foil.json", make_pictures(folder / "images", 24))
    return folder


@pytest.fixture(scope="module")
def done(place, tiny_folder) -> Path:
    compare_methods.main(
        ["--data_path", str(place / "foil.json"), "--img_dir", str(place / "images"), "--pretrained", str(tiny_folder)]
        + ["--methods", *METHODS, LAST, "--output", str(place / "out"), "--tables", str(place / "tables")]
        + ["--num_workers", "0", "--rounds", "1", "--device", "cpu"]
    )
    return place


def folders(place: Path) -> dict[str, Path]:
    found = {}
    for path in place.glob("out/foil/*/*/config.json"):
        args = json.loads(path.read_text())["args"]
        last = args["method"] == "clip4dm" and args["start_layer_text"] == -1
        found[LAST if last else args["method"]] = path.parent
    return found


def test_every_method_is_a_run_of_its_own_and_a_row(done):
    assert set(folders(done)) == {*METHODS, LAST}
    table = (done / "tables" / "methods.md").read_text()
    assert all(f"| {method} |" in table for method in (*METHODS, LAST))
    assert (done / "tables" / "methods.png").read_bytes()[:4] == b"\x89PNG"
    with open(done / "tables" / "methods.csv") as file:
        rows = {(row["method"], row["figure"]): row for row in csv.DictReader(file)}
    for method, folder in folders(done).items():
        result = json.loads((folder / "result.json").read_text())
        assert float(rows[method, "LA"]["value"]) == pytest.approx(result["LA"]["value"], rel=1e-9)
        assert float(rows[method, "LA less"]["value"]) == pytest.approx(
            result["LA"]["value"] - json.loads((folders(done)["clip4dm"] / "result.json").read_text())["LA"]["value"],
            abs=1e-12,
        )
    assert float(rows["clip4dm", "LA less"]["low"]) == float(rows["clip4dm", "LA less"]["high"]) == 0.0


def test_what_is_fitted_is_shown_on_other_pictures(done):
    found = {method.method: method for method in compare(folders(done), "clip4dm")}
    assert found["gae"].epsilon is None and "F1" not in found["gae"].figures  # it has no negative attribution
    for name in ("clip4dm", "gradient_value", "occlusion"):
        method, run = found[name], open_run(folders(done)[name])
        words = read_words(run.samples, get_benchmark("foil"), run.settings, [])
        shown = words.of_images([not for_calibration(image) for image in words.image])
        labels = ~shown.misaligned
        clip = average_precision_score(labels, shown.cosine)
        for figure, scores in (
            (
                "F-CLIPScore, own epsilon",
                [f_clip_score(s, found, method.score_epsilon) for s, found in shown.by_sample()],
            ),
            ("F-CLIPScore", [f_clip_score(s, found, method.epsilon) for s, found in shown.by_sample()]),
            ("additive", [additive_score(s, found, method.weight) for s, found in shown.by_sample()]),
        ):
            expected = average_precision_score(labels, scores)
            assert method.figures[f"AP {figure}"].value == pytest.approx(expected, rel=1e-12)
            assert method.figures[f"AP {figure} less"].value == pytest.approx(expected - clip, abs=1e-12)


def lowest_words(run) -> dict[str, bool]:
    """id -> whether the lowest word, punctuation none, overlaps the label; of samples.jsonl's foils."""
    found = {}
    for line in run.samples.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["label"]["misaligned"]:
            detection = detection_of(record, record["caption"], run.settings)
            word = min(detection.words, key=lambda word: word.attribution)
            found[record["id"]] = any(word.start < end and start < word.end for start, end in record["label"]["spans"])
    return found


def test_gains_are_over_the_reference_by_both_rules(done):
    runs = {name: open_run(folder) for name, folder in folders(done).items()}
    found = {row.method: row for row in compare(folders(done), LAST)}
    theirs = lowest_words(runs[LAST])
    assert theirs != lowest_words(runs["clip4dm"])  # the layers make a difference, so that the next lines can fail
    for name, row in found.items():
        hits = lowest_words(runs[name])
        assert row.figures["LA word"].value == pytest.approx(np.mean(list(hits.values())), rel=1e-12)
        gain = np.mean([hits[id_] - float(theirs[id_]) for id_ in hits])
        assert row.figures["LA word less"].value == pytest.approx(gain, abs=1e-12)
        whole = found[LAST].figures["LA"].value
        assert row.figures["LA less"].value == pytest.approx(row.figures["LA"].value - whole, abs=1e-12)


@pytest.mark.parametrize("wrong", ["clip4dn", "clip4dm:", "clip4dm:first", "occlusion:0"])
def test_a_row_that_is_none_is_a_usage_error(wrong, capsys):
    with pytest.raises(SystemExit) as stop:
        compare_methods.parse_args(["--data_path", "f.json", "--img_dir", "i", "--methods", wrong])
    assert stop.value.code == 2 and "argument --methods: " in capsys.readouterr().err


def test_rows_take_their_own_layers_before_the_option():
    asked = ["--data_path", "f.json", "--img_dir", "i", "--start_layer_text", "-2", "--methods"]
    args = compare_methods.parse_args([*asked, "clip4dm:0", "gradient_value", "occlusion"])
    assert [compare_methods.start_of(args, row) for row in args.methods] == [0, -2, None]


def test_the_additive_score_by_hand():
    assert additive_score(0.3, [1e-3, -2e-3, None], 10.0) == pytest.approx(0.28)
    assert additive_score(0.3, [1e-3], 10.0) == pytest.approx(0.31)  # the lowest, be it positive
    assert additive_score(0.3, [None], 10.0) == additive_score(0.3, [], 10.0) == 0.3


def test_runs_of_other_samples_are_not_compared(done, place, tiny_folder):
    other = evaluate(
        Options(
            str(place / "foil.json"),
            str(place / "images"),
            output=str(place / "other"),
            backbone=None,
            pretrained=str(tiny_folder),
            device="cpu",
            limit=10,
            num_workers=0,
        ),
        say=lambda line: None,
    )
    with pytest.raises(ValueError, match="the run of occlusion is not of the same samples as that of clip4dm"):
        compare({"clip4dm": folders(done)["clip4dm"], "occlusion": other.folder}, "clip4dm")


def test_the_epsilon_that_orders_captions_best_is_sklearns(done):
    run = open_run(folders(done)["gradient_value"])
    words = read_words(run.samples, get_benchmark("foil"), run.settings, [])
    fitted = words.of_images([for_calibration(image) for image in words.image])
    epsilons = epsilon_grid(fitted.attribution, EPSILONS)

    def precision(epsilon: float) -> float:
        return average_precision_score(
            ~fitted.misaligned, [f_clip_score(s, found, epsilon) for s, found in fitted.by_sample()]
        )

    by_epsilon = [precision(epsilon) for epsilon in epsilons]
    assert min(by_epsilon) < max(by_epsilon) == pytest.approx(precision(fit_epsilon(fitted, epsilons)), rel=1e-12)
    assert fit_epsilon(fitted, []) is fit_epsilon(words.of_images(words.misaligned), epsilons) is None


def test_a_weight_is_found_where_the_lowest_word_says_more_than_the_cosine():
    from clip4dm.evaluation.metrics.calibration import Words
    from clip4dm.evaluation.metrics.weights import fit_weight

    random = np.random.default_rng(0)
    wrong = np.arange(200) % 2 == 1
    lowest = np.where(wrong, -1e-3, -1e-4) + random.normal(0, 1e-5, 200)
    words = Words(
        lowest, wrong, np.arange(200), [f"{i // 2}.jpg" for i in range(200)], random.normal(0.3, 0.05, 200), wrong, {}
    )
    weight = fit_weight(words)
    scores = [additive_score(s, found, weight) for s, found in words.by_sample()]
    assert average_precision_score(~wrong, words.cosine) < 0.7 and average_precision_score(~wrong, scores) > 0.99
