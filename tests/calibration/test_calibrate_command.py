"""`clip4dm calibrate` on a run and on scores with labels, and --epsilon FILE | auto where detections are made."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import make_demo_calibration
import numpy as np
import pytest
from calibrating.violations import broken, calibrated, splits_of
from places import ROOT

from clip4dm import CLIP4DM
from clip4dm.benchmarks import get_benchmark
from clip4dm.benchmarks.labels import overlaps_any
from clip4dm.benchmarks.shapes.benchmark import make_benchmark
from clip4dm.calibration import shelf
from clip4dm.calibration.names import CONTROLS, CalibrationError
from clip4dm.calibration.risks import risk
from clip4dm.calibration.stored import read_calibration
from clip4dm.calibration.study import split
from clip4dm.commands import calibrate, infer, score
from clip4dm.commands import evaluate as main
from clip4dm.evaluation.corrections.rows import CORRECTIONS, KIND, Row
from clip4dm.evaluation.labelled import source_of_run
from clip4dm.evaluation.records import sample_of, score_record
from clip4dm.evaluation.run import Options, evaluate, rescore
from clip4dm.evaluation.store.finished import open_run
from clip4dm.evaluation.store.runfiles import SUGGESTIONS
from clip4dm.scoring.labelled import label_spans, source_of_scores

PAIRS = 300
SHIPPED = shelf.SHIPPED


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """No calibration but those that a test makes."""
    monkeypatch.setenv("CLIP4DM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(shelf, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "home" / "calibrations"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    make_benchmark(folder, pairs=PAIRS, size=64)
    return folder


def options(shapes, **more):
    own = {"output": str(shapes / "out"), "backbone": "demo", "device": "cpu", "num_workers": 0}
    return Options(str(shapes / "shapes_foil.json"), str(shapes / "images"), **{**own, **more})


@pytest.fixture(scope="module")
def run(shapes):
    return evaluate(options(shapes), say=lambda _: None).folder


@pytest.fixture(scope="module")
def file(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "fdr.json"
    calibrate.main([str(run), "--alpha", "0.3", "--output", str(path)])
    return path


def refused(call, argv, capsys) -> str:
    with pytest.raises(SystemExit) as stopped:
        call(argv)
    captured = capsys.readouterr()
    assert stopped.value.code == 2 and captured.out == ""
    assert re.fullmatch(r"[^\n]*: error: [^\n]*\n", captured.err.splitlines(keepends=True)[-1])
    return captured.err


def test_help_waits_for_no_library():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "clip4dm", "calibrate", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "--control" in done.stdout
    assert not imported & {"torch", "open_clip", "numpy", "scipy", "sklearn"}


def test_a_run_is_calibrated_and_shown_on_other_images(run, file, capsys):
    """The promise in words and figures; the file holds what a look at the samples by hand gives."""
    calibrate.main([str(run), "--alpha", "0.3", "--output", str(file)])
    said = capsys.readouterr().out
    found = read_calibration(file)
    assert f"epsilon {found.epsilon:g}: fdr <= 0.3 with confidence 0.9\n" in said
    assert said.endswith(f"calibration: {file}\n") and "recall" in said
    words = source_of_run(run).words
    assert words.images == PAIRS
    deciding, rest = split(words, 0.5, 0)
    assert (found.held_out["risk"]["value"], found.held_out["risk"]["n"]) == risk(rest, "fdr", found.epsilon)
    called = rest.attribution < found.epsilon
    assert found.held_out["precision"]["value"] == pytest.approx(rest.wrong[called].mean())
    assert found.held_out["recall"]["value"] == pytest.approx(called[rest.wrong].mean())
    assert found.data.images == deciding.images == PAIRS // 2
    config = json.loads((run / "config.json").read_text())
    assert found.attributed_by.weights_sha256 == config["weights_sha256"]
    assert found.data.sha256 == config["data_sha256"]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("alpha", [0.1, 0.2])
def test_the_guarantee_holds_on_the_drawn_world(run, control, alpha):
    words = source_of_run(run).words
    found = broken(splits_of(words, 200, control), calibrated, control, alpha, 0.1)
    assert found.share <= found.allowed(0.1), found
    assert found.none < (100 if alpha == 0.1 else 40)  # thresholds are found: most calibrations say something


@pytest.fixture(scope="module")
def asked(shapes):
    """A run that calls by a threshold, and suggestions as main.py --suggest writes them: of foil words the right one with
    a gain of 0.1 and more, but for every tenth; of other words that are called something that gains less."""
    folder = evaluate(options(shapes, sorted_by="threshold", epsilon=-0.003), say=lambda _: None).folder
    random = np.random.default_rng(0)
    lines = []
    for line in (folder / "samples.jsonl").read_text().splitlines():
        record = json.loads(line)
        sample = sample_of(record)
        scored = score_record(record, sample, get_benchmark("foil"), open_run(folder).settings)
        for word in scored.words:
            given = sample.misaligned and overlaps_any((word.start, word.end), sample.spans)
            if word.attribution is None or not (given or word.attribution < -0.003):
                continue
            right = given and random.random() < 0.9
            gain = float(random.normal(0.12 if right else 0.03, 0.01))
            row = Row(
                sample.id, sample.image, sample.misaligned, "x", word.start, word.end, word.attribution, given,
                word.attribution < -0.003, "mine.txt", 5, (("y", gain),), 1, right, right,
            )  # fmt: skip
            lines += [json.dumps(one.as_dict()) for one in (row, replace(row, list=KIND, same_meaning=not right))]
    content = "\n".join(lines).encode() + b"\n"
    (folder / SUGGESTIONS).write_bytes(content)
    about = {
        "run": open_run(folder).config["fingerprint"],
        "vocabulary": {"name": "mine.txt", "words": 9, "sha256": "ef" * 32},
        "suggestions_sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / CORRECTIONS).write_text(json.dumps(about))
    return folder


def test_a_run_with_suggestions_has_their_least_gain_too(run, asked, tmp_path, capsys):
    path = tmp_path / "both.json"
    calibrate.main([str(asked), "--output", str(path), "--suggestion_alpha", "0.15"])
    said, found = capsys.readouterr(), read_calibration(path)
    suggestions = found.suggestions
    assert said.err == "" and f"suggestions from a gain of {suggestions.min_gain:g}: restored >= 0.85 with" in said.out
    assert (suggestions.vocabulary, suggestions.words, suggestions.sha256) == ("mine.txt", 9, "ef" * 32)
    assert 0.02 < suggestions.min_gain < 0.12, "rows of other lists, whose labels are turned, have no part in it"
    assert suggestions.held_out["restored"]["value"] >= 0.85
    calibrate.main([str(run), "--output", str(tmp_path / "words.json")])
    assert read_calibration(tmp_path / "words.json") == replace(found, suggestions=None)


def test_without_a_least_gain_the_epsilon_is_written_and_a_line_says_why(asked, tmp_path, capsys):
    path = tmp_path / "words.json"
    for argv, why in (
        (["--suggestion_alpha", "0.01"], "it takes at least 307, and half of the 150 that"),
        (["--control", "recall", "--alpha", "0.05"], "run main.py with --sorted_by threshold --epsilon {epsilon:g} "),
        (["--start_layer_text", "-1", "--control", "fpr"], "not every word below"),
        (["--holdout", "0"], "0 images with suggestions are too few"),
    ):
        calibrate.main([str(asked), *argv, "--output", str(path)])
        (line,) = capsys.readouterr().err.splitlines()
        found = read_calibration(path)
        assert line.startswith("note: no least gain for suggestions: ") and why.format(epsilon=found.epsilon) in line
        assert found.suggestions is None
        assert found.epsilon > -0.003 or "{epsilon" not in why, "words above that were not asked for"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows, about: rows.pop(), "is not as it was written"),
        (lambda rows, about: about.update(run="of another"), "is of another run"),
        (lambda rows, about: about.pop("suggestions_sha256"), "is not as it was written"),
        (lambda rows, about: about["vocabulary"].pop("sha256"), "does not say of which words"),
        (lambda rows, about: about["vocabulary"].update(words="9"), "does not say of which words"),
        (lambda rows, about: about["vocabulary"].update(name=KIND), "two lists called 'kind'"),
        (lambda rows, about: rows[1].update(same_meaning="yes"), "line 2 is no suggestion"),
        (lambda rows, about: rows[1].update(attribution=None), "line 2 is no suggestion"),
        (lambda rows, about: rows[1].update(top=[]), "line 2 is no suggestion"),
        (lambda rows, about: rows[1].update(top=[["y"]]), "line 2 is no suggestion"),
        (lambda rows, about: rows[1].update(image=7), "line 2 is no suggestion"),
        (lambda rows, about: rows[1].pop("list"), "line 2 is no suggestion"),
        (lambda rows, about: rows.insert(1, 7), "line 2 is no suggestion"),
    ],
)
def test_suggestions_that_are_damaged_are_refused(asked, tmp_path, change, message, capsys):
    folder = shutil.copytree(asked, tmp_path / "run")
    rows = [json.loads(line) for line in (folder / SUGGESTIONS).read_text().splitlines()]
    about = json.loads((folder / CORRECTIONS).read_text())
    change(rows, about)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / SUGGESTIONS).write_bytes(content)
    if "is no suggestion" in message:
        about["suggestions_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / CORRECTIONS).write_text(json.dumps(about))
    assert message in refused(calibrate.main, [str(folder), "--output", str(tmp_path / "x.json")], capsys)


def test_auto_takes_what_calibrate_wrote(shapes, run, home, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calibrate.main([str(run), "--control", "fpr"])
    (path,) = home.iterdir()
    assert path.name == "demo-scenes-clip4dm-fpr-0.2.json"
    found = read_calibration(path)
    capsys.readouterr()
    infer.main(["--demo", "--device", "cpu", "--epsilon", "auto", "--json"])
    captured = capsys.readouterr()
    assert f"note: epsilon {found.epsilon:g}, fpr <= 0.2 with confidence 0.9: {path}\n" in captured.err
    for line in captured.out.splitlines():
        shown = json.loads(line)
        assert shown["epsilon"] == found.epsilon
        for word in shown["words"]:
            assert word["probability"] == pytest.approx(found.curve.probability(word["attribution"]))
            assert word["misaligned"] == (word["attribution"] < found.epsilon)


def test_without_a_fitting_one_auto_says_so_and_is_the_published(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    infer.main(["--demo", "--device", "cpu", "--epsilon", "auto", "--json"])
    captured = capsys.readouterr()
    assert "note: no calibration fits demo/scenes with clip4dm, layers last 2: epsilon is the published" in captured.err
    shown = json.loads(captured.out.splitlines()[0])
    assert shown["epsilon"] == -5e-5 and {word["probability"] for word in shown["words"]} == {None}


def test_the_demo_models_calibration_comes_along_and_is_its_usual(capsys, tmp_path, monkeypatch, home):
    """One file a method of misc/make_demo_calibration.py, for the weights that come along; a number is obeyed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shelf, "SHIPPED", SHIPPED)
    for method in make_demo_calibration.METHODS:
        detector = CLIP4DM.from_pretrained("demo", device="cpu", method=method)
        found = shelf.shipped_calibration(detector.attributed_by())
        assert found is not None, "the weights have changed: python misc/make_demo_calibration.py"
        assert found.rule.promise() == "fdr <= 0.2 with confidence 0.9"
        assert found.held_out["risk"]["value"] <= 0.2 and found.held_out["ece"]["value"] < 0.02
        infer.main(["--demo", "--device", "cpu", "--json", "--method", method])
        captured = capsys.readouterr()
        assert {json.loads(line)["epsilon"] for line in captured.out.splitlines()} == {found.epsilon}
        assert captured.err.count("\n") == 1, "what is usual needs no note"
    infer.main(["--demo", "--device", "cpu", "--json", "--epsilon", "-5e-5"])
    assert {json.loads(line)["epsilon"] for line in capsys.readouterr().out.splitlines()} == {-5e-5}


def test_the_demo_calibration_is_made_by_one_command(tmp_path, capsys):
    make_demo_calibration.main(["--output", str(tmp_path), "--pairs", "200", "--suggestion_pairs", "8"])
    assert capsys.readouterr().out.count("images with suggestions are too few") == len(make_demo_calibration.METHODS)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in SHIPPED.iterdir()}
    for path in tmp_path.iterdir():
        assert read_calibration(path).attributed_by == read_calibration(SHIPPED / path.name).attributed_by


def test_a_run_takes_it_and_records_the_number(shapes, run, file, capsys):
    epsilon = read_calibration(file).epsilon
    said = []
    taken = evaluate(options(shapes, epsilon=str(file), sorted_by="threshold"), say=said.append)
    assert taken.result["args"]["epsilon"] == taken.result["settings"]["epsilon"] == epsilon
    again = evaluate(options(shapes, epsilon=epsilon, sorted_by="threshold"), say=said.append)
    assert again.folder == taken.folder, "the number itself is the same run"
    told = rescore(run, epsilon=str(file), sorted_by="threshold", say=said.append)
    assert told.result["settings"]["epsilon"] == epsilon
    for figure in ("LA", "AP"):
        assert told.result[figure] == taken.result[figure]


def test_a_run_keeps_the_benchmarks_epsilon_and_says_which_calibration_there_is(shapes, run, file, home):
    def said(**more):
        lines = []
        outcome = evaluate(options(shapes, **more), say=lines.append)
        return outcome, [line for line in lines if "calibration" in line]

    assert said()[1] == [], "none fits: nothing to say"
    home.mkdir(parents=True)
    path = home / "mine.json"
    path.write_bytes(file.read_bytes())
    (home / "damaged.json").write_text("{")  # of no concern to who asks for no calibration
    outcome, lines = said()
    assert outcome.folder == run and outcome.result["settings"]["epsilon"] == -5e-5
    epsilon = read_calibration(file).epsilon
    assert lines == [
        f"note: a calibration fits this model, and --epsilon auto takes it: epsilon {epsilon:g}, fdr <= 0.3 with "
        f"confidence 0.9: {path}"
    ]
    assert said(epsilon=-5e-5)[1] == said(start_layer_text=-1)[1] == said(method="occlusion", limit=2)[1] == []


def test_other_attributions_are_refused_everywhere(shapes, run, file, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = ["--data_path", str(shapes / "shapes_foil.json"), "--img_dir", str(shapes / "images"), "--device", "cpu"]
    wrong = ["--backbone", "demo", "--epsilon", str(file), "--method", "occlusion"]
    text = "is for other attributions: here are method 'occlusion', not 'clip4dm'"
    assert text in refused(infer.main, ["--demo", "--device", "cpu", *wrong], capsys)
    assert text in refused(score.main, [str(shapes / "images"), "--output", str(tmp_path / "s"), *wrong], capsys)
    with pytest.raises(SystemExit):
        main.main([*data, *wrong, "--output", str(tmp_path / "out")])
    assert text in capsys.readouterr().err
    assert "layers 'last 1', not 'last 2'" in refused(
        main.main, ["--rescore", str(run), "--epsilon", str(file), "--start_layer_text", "-1"], capsys
    )
    detector = CLIP4DM.from_pretrained("demo", device="cpu", template="")
    with pytest.raises(ValueError, match="template '', not 'A photo depicts '"):
        detector.calibrated(read_calibration(file))


def test_words_have_no_probability_under_other_layers(file):
    detector = CLIP4DM.from_pretrained("demo", device="cpu").calibrated(read_calibration(file))
    (found,) = detector.detect(np.zeros((64, 64, 3), np.uint8), "the star is red")
    assert all(0 < word.probability < 1 for word in found.words)
    assert [w.probability for w in found.with_settings(epsilon=-1.0).words] == [w.probability for w in found.words]
    assert {word.probability for word in found.with_settings(start_layer_text=-1).words} == {None}
    assert all(word.probability for word in found.with_settings(start_layer_text=-2).words)


@pytest.fixture(scope="module")
def scores(shapes):
    """The first captions with labels as people write them: words, offsets, nothing; some rows not labelled."""
    rows = json.loads((shapes / "shapes_foil.json").read_text())
    names = {image["id"]: image["file_name"] for image in rows["images"]}
    with open(shapes / "images" / "labels.csv", "w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["image", "caption", "wrong"])
        for number, row in enumerate(rows["annotations"]):
            label = json.dumps([row["foil_word"]] if row["foil"] else [])
            if row["foil"] and number % 3 == 0:
                start = re.search(rf"\b{row['foil_word']}\b", row["caption"]).start()
                label = json.dumps([[start, start + len(row["foil_word"])]])
            picture = f"{'./' if row['foil'] else ''}{names[row['image_id']]}"  # one picture, however it is named
            writer.writerow([picture, row["caption"], "" if number >= 500 else label])
    common = [str(shapes / "images" / "labels.csv"), "--backbone", "demo", "--device", "cpu"]
    score.main([*common, "--output", str(shapes / "scores")])
    score.main([*common, "--output", str(shapes / "lines"), "--output_format", "jsonl"])
    return shapes / "scores", shapes / "lines"


def test_scores_with_labels_are_calibrated(scores, shapes, tmp_path, capsys):
    read = []
    for folder in scores:
        calibrate.main([str(folder), "--control", "fpr", "--output", str(tmp_path / f"{folder.name}.json")])
        read.append(read_calibration(tmp_path / f"{folder.name}.json"))
    assert read[0].epsilon == pytest.approx(read[1].epsilon) and read[0].data == read[1].data
    assert read[0].data.name == "wrong" and read[0].data.images == 125  # half of the 250 that are labelled
    out = shapes / "calibrated"
    common = [str(shapes / "images" / "labels.csv"), "--backbone", "demo", "--device", "cpu", "--output", str(out)]
    score.main([*common, "--epsilon", str(tmp_path / "scores.json")])
    import pyarrow.dataset

    columns = pyarrow.dataset.dataset(out)
    assert columns.schema.names[-2:] == ["probabilities", "wrong"]
    for row in columns.head(20).to_pylist():
        expected = [read[0].curve.probability(word["attribution"]) for word in row["words"]]
        assert row["probabilities"] == pytest.approx(expected)
    capsys.readouterr()
    assert "holds scores of another kind" in refused(score.main, common, capsys)


def test_runs_and_scores_say_how_they_read_long_captions(shapes, run, file, scores, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole, said = evaluate(options(shapes, long="split", limit=300), say=lambda _: None).folder, []
    assert source_of_run(whole).split and not source_of_run(run).split
    calibrate.main([str(whole), "--alpha", "0.3", "--output", "whole.json"])
    assert "captions beyond the context were read in parts (--long split)\n" in capsys.readouterr().out
    assert read_calibration(tmp_path / "whole.json").data.split and not read_calibration(file).data.split
    common = [str(shapes / "images" / "labels.csv"), "--backbone", "demo", "--device", "cpu"]
    score.main([*common, "--output", "split", "--long", "split"])
    assert source_of_scores(tmp_path / "split").split and not source_of_scores(scores[0]).split
    capsys.readouterr()
    note = "the calibration was made with --long cut: of captions beyond the context it promises nothing with --long"
    infer.main(["--demo", "--device", "cpu", "--epsilon", str(file), "--long", "split"])
    assert capsys.readouterr().err.count(f"note: {note} split\n") == 1
    infer.main(["--demo", "--device", "cpu", "--epsilon", str(file)])
    assert "--long" not in capsys.readouterr().err
    rescore(whole, epsilon=str(file), say=said.append)
    evaluate(options(shapes, long="split", limit=20, epsilon=str(file)), say=said.append)
    assert [line for line in said if "--long" in line] == [f"{note} split"] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--labels": "none"}, "has no column 'none'"),
        ({"--labels": "caption"}, "a label is a list such as"),
        ({"--start_layer_text": "-1"}, "--start_layer_text is for a run"),
        ({"--alpha": "0.002"}, "are too few for alpha 0.002 and delta 0.1: it takes at least 1151"),
    ],
)
def test_scores_that_cannot_be_calibrated(scores, change, message, capsys):
    assert message in refused(
        calibrate.main, [str(scores[0]), *(text for pair in change.items() for text in pair)], capsys
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--labels", "wrong"], "--labels is for scores"),
        (["--start_layer_text", "-9"], "start_layer_text -9 is out of range"),
        (["--alpha", "0.01"], "too few for alpha 0.01 and delta 0.1: it takes at least 230 (307 in all"),
        (["--guarantee", "expectation"], "--control fpr or recall"),
    ],
)
def test_runs_that_cannot_be_calibrated(run, argv, message, capsys):
    assert message in refused(calibrate.main, [str(run), *argv], capsys)


def test_a_folder_that_is_none(tmp_path, capsys):
    assert "holds no finished run" in refused(calibrate.main, [str(tmp_path)], capsys)


def test_the_labels_in_the_docs_are_labels():
    """The table of docs/calibration.md, as a CSV reader sees it."""
    page = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    table = page.partition("```\nimage,caption,wrong\n")[2].partition("```")[0]
    rows = list(csv.reader(table.splitlines()))
    found = [label_spans(label, caption, "row") for _, caption, label in rows]
    assert found == [((9, 13),), (), ((11, 14),)]
    assert [rows[2][1][start:end] for start, end in found[2]] == ["dog"]


@pytest.mark.parametrize(
    "label", ['["coffee"]', "[[0, 99]]", "[[3, 2]]", "[7]", "7", "{}", "coke", "[[0, 1.5]]", "[[true, 2]]"]
)
def test_labels_that_cannot_be_name_their_row(label):
    with pytest.raises(CalibrationError, match="^row 3: "):
        label_spans(label, "a cup of coke", "row 3")
