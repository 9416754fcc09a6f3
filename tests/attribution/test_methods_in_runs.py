"""The methods in main.py's runs and their re-scoring: each run apart from the others, and found again."""

from __future__ import annotations

import json

import pytest
from making import make_foil, make_pictures

from clip4dm import CLIP4DM
from clip4dm.attribution.methods import METHODS
from clip4dm.commands import evaluate as main_py
from clip4dm.errors import InputError
from clip4dm.evaluation.config import Options
from clip4dm.scores import CLIP4DM_METHOD

ONE_ROW = [name for name, method in METHODS.items() if method.one_layer]
PER_LAYER = [name for name, method in METHODS.items() if not method.one_layer]
methods = pytest.mark.parametrize("name", METHODS)


@pytest.fixture(scope="module")
def asked(tiny_folder, tmp_path_factory):
    """main.py's options for a small FOIL file; all runs go to one output folder."""
    folder = tmp_path_factory.mktemp("foil")
    names = make_pictures(folder / "images", 4)
    data = ["--data_path", str(make_foil(folder / "foil.json", names)), "--img_dir", str(folder / "images")]
    run = ["--device", "cpu", "--num_workers", "0", "--images_per_block", "2", "--output", str(folder / "output")]
    return [*data, *run, "--pretrained", str(tiny_folder)]


def result_of(capsys, *arguments: str):
    """(folder, result.json) of what main.py is asked for."""
    from pathlib import Path

    main_py.main(list(arguments))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("result: ")]
    path = Path(line.removeprefix("result: "))
    return path.parent, json.loads(path.read_text())


@methods
def test_main_py_keeps_each_methods_run_apart_and_finds_it_again(asked, capsys, name):
    folder, result = result_of(capsys, *asked, "--method", name)
    assert folder.name.startswith("most_negative_" if name == CLIP4DM_METHOD else f"{name}_most_negative_")
    assert result["args"]["method"] == name
    assert result["settings"]["layers"] == (1 if name in ONE_ROW else 4)
    written = (folder / "samples.jsonl").stat().st_mtime_ns
    again, same = result_of(capsys, *asked, "--method", name)
    assert again == folder and same == result
    assert (folder / "samples.jsonl").stat().st_mtime_ns == written
    others = [path for path in folder.parent.iterdir() if path != folder]
    lines = (folder / "samples.jsonl").read_text()
    assert all((path / "samples.jsonl").read_text() != lines for path in others if path.is_dir())


def test_main_py_says_where_the_papers_epsilon_judges_attributions_of_another_size(asked, capsys):
    for arguments, said in ((["occlusion"], 1), (["occlusion", "--epsilon", "-0.01"], 0), (["gradient_value"], 0)):
        main_py.main([*asked, "--method", *arguments])
        assert capsys.readouterr().out.count("note: epsilon -5e-05 is the paper's") == said


@methods
def test_a_run_cut_short_is_taken_up_with_its_own_methods_blocks(asked, capsys, name):
    """Of all methods' runs in one output folder."""
    folder, _ = result_of(capsys, *asked, "--method", name, "--limit", "6")
    whole, sums = (folder / "samples.jsonl").read_bytes(), (folder / "samples.sums").read_bytes()
    stop_after_a_block(folder, asked, name, capsys)
    again, _ = result_of(capsys, *asked, "--method", name, "--limit", "6")
    assert again == folder
    assert ((folder / "samples.jsonl").read_bytes(), (folder / "samples.sums").read_bytes()) == (whole, sums)


def stop_after_a_block(folder, asked, name, capsys):
    from clip4dm.detector import CLIP4DM

    detect, calls = CLIP4DM.detect_encoded, []

    def once(self, *arguments):
        calls.append(self.method.name)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return detect(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CLIP4DM, "detect_encoded", once)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            main_py.main([*asked, "--method", name, "--limit", "6", "--overwrite"])
    capsys.readouterr()
    assert calls == [name, name]
    assert len((folder / "samples.jsonl").read_bytes().splitlines()) == 4  # two pictures, a caption and a foil of each


@methods
def test_rescoring_is_a_run_with_those_settings(asked, capsys, name):
    folder, was = result_of(capsys, *asked, "--method", name)
    epsilon = ["--sorted_by", "threshold", "--epsilon", "-0.3" if name == "ensemble" else "-1e-3"]
    target, again = result_of(capsys, "--rescore", str(folder), *epsilon)
    _, fresh = result_of(capsys, *asked, "--method", name, *epsilon)
    assert target.parent == folder / "rescored" and again["args"]["method"] == name
    for figure in ("n", "LA", "LA_span", "AP", "settings"):
        assert again[figure] == fresh[figure], figure
    assert again["settings"] != was["settings"] and again["AP"] != was["AP"]


@pytest.mark.parametrize("name", PER_LAYER)
def test_rescoring_with_other_layers(asked, capsys, name):
    folder, _ = result_of(capsys, *asked, "--method", name)
    _, again = result_of(capsys, "--rescore", str(folder), "--start_layer_text", "-1")
    _, fresh = result_of(capsys, *asked, "--method", name, "--start_layer_text", "-1")
    for figure in ("n", "LA", "LA_span", "AP", "settings"):
        assert again[figure] == fresh[figure], figure


@pytest.mark.parametrize("name", ONE_ROW)
def test_rescoring_a_row_for_the_whole_tower_cannot_take_other_layers(asked, capsys, name):
    folder, was = result_of(capsys, *asked, "--method", name)
    _, again = result_of(capsys, "--rescore", str(folder), "--start_layer_text", "-1")
    assert again["LA"] == was["LA"] and again["AP"] == was["AP"]
    with pytest.raises(SystemExit) as stop:
        main_py.main(["--rescore", str(folder), "--start_layer_text", "-2"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and len(error.splitlines()) == 1 and "start_layer_text" in error
    assert f"the method {name} has one row for the whole text tower" in error and "1 layers" not in error
    assert again["args"]["start_layer_text"] == was["args"]["start_layer_text"]  # the run's, of which the row is


def test_gaes_folder_says_which_layers_it_was_made_of(asked, capsys):
    names = []
    for layers in ([], ["--start_layer_text", "-1"]):
        folder, result = result_of(capsys, *asked, "--method", "gae", *layers)
        names.append(folder.name.rpartition("_")[0])
    assert names == ["gae_most_negative_-5e-05_start0_fp32", "gae_most_negative_-5e-05_start-1_fp32"]
    target, again = result_of(capsys, "--rescore", str(folder), "--start_layer_text", "-1")
    assert target.name == "most_negative_-5e-05_start-1" and again["AP"] == result["AP"]


def test_rescoring_does_not_change_the_method_its_margin_or_its_steps(asked, capsys):
    folder, _ = result_of(capsys, *asked, "--method", "occlusion")
    for same in (["--method", "occlusion"], ["--margin", "0"]):
        assert result_of(capsys, "--rescore", str(folder), *same)[1]["args"]["method"] == "occlusion"
    for other, message in (
        (["--method", "clip4dm"], "of the method occlusion, and those of clip4dm need the model"),
        (["--margin", "0.2"], "of the method occlusion with margin 0, and those with 0.2 need the model"),
        (["--steps", "4"], "of the method occlusion with no steps, and those with 4 need the model"),
    ):
        with pytest.raises(SystemExit) as stop:
            main_py.main(["--rescore", str(folder), *other])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and len(error.splitlines()) == 1 and message in error


@methods
def test_a_records_detection_keeps_its_runs_method(asked, capsys, name):
    from clip4dm.evaluation.records import detection_of
    from clip4dm.evaluation.store.finished import open_run, stored_records

    run = open_run(result_of(capsys, *asked, "--method", name)[0])
    record = next(iter(stored_records(run.samples, run.settings.layers)))
    for half in (False, True):
        found = detection_of(record, record["caption"], run.settings, method=run.method, half=half)
        assert found.method == name == found.with_settings(epsilon=-1.0).method


def test_a_folder_without_a_run_is_refused_whatever_the_method(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main_py.main(["--rescore", str(tmp_path), "--method", "occlusion"])
    assert "no finished run" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.fixed_layers])
def test_layers_that_mean_nothing_to_a_method_are_refused(detector, name):
    with pytest.raises(InputError, match=f"start_layer_text -3 means nothing to the method {name}"):
        CLIP4DM(detector.model, method=name, start_layer_text=-3)
    with pytest.raises(InputError, match="means nothing"):
        Options("foil.json", "images", method=name, start_layer_text=-2)
    assert Options("foil.json", "images", method=name).for_tower(12).start == -1
