"""The methods as a user meets them: CLIP4DM(method=...), infer.py and main.py with --method, runs and their re-scoring."""

from __future__ import annotations

import json

import numpy as np
import pytest
from contract import ATTRIBUTION, COSINE, INNER_PRODUCT, LOW_PRECISION, assert_attributions, assert_detections
from making import WORDS, make_foil, make_pictures
from text_towers import make_tiny_siglip

from clip4dm import CLIP4DM
from clip4dm.attribution.methods import METHODS, get_method
from clip4dm.commands import evaluate as main_py
from clip4dm.commands import infer
from clip4dm.errors import InputError
from clip4dm.evaluation.config import Options
from clip4dm.scores import CLIP4DM_METHOD, START_LAYER_TEXT

PICTURES = [np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8) for i in range(2)]
ONE_ROW = [name for name, method in METHODS.items() if method.one_layer]
PER_LAYER = [name for name, method in METHODS.items() if not method.one_layer]
methods = pytest.mark.parametrize("name", METHODS)


@methods
def test_one_picture_for_many_captions_whatever_the_batch(detector, name):
    """Also captions that are empty, one word, punctuation alone, truncated; equal ones, and several pictures of one."""
    captions = [*WORDS, "", "dog", "!?", "a dog, " * 40, WORDS[0]]
    found = CLIP4DM(detector.model, method=name).detect([PICTURES[0]], captions)
    assert [d.caption for d in found] == captions and {d.method for d in found} == {name}
    assert all(word.scored for d in found for word in d.words if not word.beyond_context)
    assert not found[-3].words and found[-2].truncated and not found[-2].words[-1].scored
    for batch_size in (1, 3):
        again = CLIP4DM(detector.model, method=name, batch_size=batch_size).detect([PICTURES[0]], captions)
        assert_same(again, found, name)
    (alone,) = CLIP4DM(detector.model, method=name).detect([PICTURES[0]], [WORDS[2]])
    assert_same([alone], [found[2]], name)
    pictures = CLIP4DM(detector.model, method=name).detect(PICTURES, [WORDS[2]])
    assert_same(pictures[:1], [alone], name)
    assert np.abs(pictures[1].layer_attributions - pictures[0].layer_attributions).max() > 1e-6


def assert_same(ours, theirs, name):
    for a, b in zip(ours, theirs, strict=True):
        assert [word.text for word in a.words] == [word.text for word in b.words]
        assert abs(a.cosine - b.cosine) <= COSINE
        if name in ("occlusion", "replacement"):  # the difference of two cosines
            assert np.abs(a.layer_attributions - b.layer_attributions).max(initial=0) <= 2 * COSINE
        else:
            bound = ATTRIBUTION if name in ("clip4dm", "gae") else INNER_PRODUCT
            assert_attributions(a.layer_attributions, b.layer_attributions, of_largest=bound)


def test_the_papers_method_is_the_default(detector):
    assert detector.method.name == CLIP4DM_METHOD and detector.start_layer_text == START_LAYER_TEXT
    named = CLIP4DM(detector.model, method="clip4dm").detect([PICTURES[0]], list(WORDS))
    assert_detections(named, detector.detect([PICTURES[0]], list(WORDS)))
    assert named[0].as_dict()["method"] == "clip4dm"


@methods
def test_what_a_detection_says_of_its_method(detector, name):
    own = CLIP4DM(detector.model, method=name, start_layer_text=None if METHODS[name].fixed_layers else 0)
    (found,) = own.detect([PICTURES[0]], [WORDS[2]])
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["method"] == name
    assert found.layer_attributions.shape == (1 if name in ONE_ROW else 4, len(found.encoded.units))
    lowest = min(word.attribution for word in found.words)
    judged = found.with_settings(sorted_by="most_negative", epsilon=lowest / 2)
    assert judged.method == name and [word.attribution for word in judged.misaligned] == [lowest]
    wide = found.with_settings(sorted_by="threshold", epsilon=max(word.attribution for word in found.words) + 1e-3)
    assert wide.misaligned == wide.words
    assert found.as_published()["word_attributions"]


@pytest.mark.parametrize("name", PER_LAYER)
def test_layers_are_averaged_afterwards_where_a_method_has_rows_of_them(detector, name):
    (whole,) = CLIP4DM(detector.model, method=name, start_layer_text=0).detect([PICTURES[0]], [WORDS[2]])
    for start in (-1, -2, 3):
        (fresh,) = CLIP4DM(detector.model, method=name, start_layer_text=start).detect([PICTURES[0]], [WORDS[2]])
        later = whole.with_settings(start_layer_text=start)
        largest = np.abs(whole.layer_attributions).max()
        ours, theirs = ([word.attribution for word in d.words] for d in (later, fresh))
        assert_attributions(ours, theirs, largest, of_largest=INNER_PRODUCT)
        with pytest.raises(InputError, match="needs the last 4 layers"):
            fresh.with_settings(start_layer_text=0)


@pytest.mark.parametrize("name", ONE_ROW)
def test_a_row_for_the_whole_tower_has_no_layers_to_choose_from(detector, name):
    (found,) = CLIP4DM(detector.model, method=name).detect([PICTURES[0]], [WORDS[2]])
    assert found.with_settings(start_layer_text=-1) == found
    with pytest.raises(InputError, match="start_layer_text"):
        found.with_settings(start_layer_text=-2)


def test_gae_is_of_the_layers_it_is_asked_for(detector):
    last, whole = (
        CLIP4DM(detector.model, method="gae", start_layer_text=start).detect([PICTURES[0]], [WORDS[2]])[0]
        for start in (-1, 0)
    )
    assert np.abs(last.layer_attributions - whole.layer_attributions).max() > 1e-4 * last.layer_attributions.max()
    assert (whole.layer_attributions >= 0).all()


@methods
@pytest.mark.parametrize("precision", LOW_PRECISION)
def test_low_precision_towers_are_explained_in_fp32(tiny_folder, detector, name, precision):
    attribution, cosine = LOW_PRECISION[precision]
    low = CLIP4DM.from_pretrained(pretrained=str(tiny_folder), device="cpu", precision=precision, method=name)
    exact = CLIP4DM(detector.model, method=name).detect([PICTURES[0]], list(WORDS))
    for a, b in zip(exact, low.detect([PICTURES[0]], list(WORDS)), strict=True):
        assert b.layer_attributions.dtype == np.float32
        off = np.abs(a.layer_attributions - b.layer_attributions).max()
        assert 0 < off <= attribution * np.abs(a.layer_attributions).max()
        assert abs(a.cosine - b.cosine) <= cosine


@methods
def test_a_padding_tokenizer_and_words_that_do_not_fit(tmp_path, name):
    detector = CLIP4DM.from_pretrained(pretrained=str(make_tiny_siglip(tmp_path)), device="cpu", method=name)
    found = detector.detect([PICTURES[0]], ["Two ZEBRAS, one (hot) dog!", "", "a \u0301 dog", "a " * 40 + "dog"])
    assert [word.text for word in found[0].words] == ["Two", "ZEBRAS", "one", "(hot)", "dog!"]
    assert all(word.scored for word in found[0].words) and any(word.attribution for word in found[0].words)
    assert found[1].words == () and found[1].f_clip_score == 0
    assert [word.scored for word in found[2].words] == [True, False, True]  # an accent alone has no token
    assert found[3].truncated and not found[3].words[-1].scored and found[3].words[0].scored


@pytest.mark.parametrize(
    ("name", "near"), [("gradient", "gradient_"), ("Occlusion", "'occlusion'"), ("nearest", ""), (None, ""), ([], "")]
)
def test_an_unknown_method_is_an_error_that_names_them_all(detector, name, near):
    for ask in (get_method, lambda name: CLIP4DM(detector.model, method=name)):
        with pytest.raises(InputError, match="unknown method") as error:
            ask(name)
        assert ", ".join(METHODS) in str(error.value) and near in str(error.value)


@methods
def test_infer_py(tiny_folder, capsys, name):
    model = ["--pretrained", str(tiny_folder), "--device", "cpu"]
    infer.main([*model, "--json", "--method", name, "--text", "a cup, red", "dog"])
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["method"] == second["method"] == name
    assert first["start_layer_text"] == (-1 if name in ONE_ROW else METHODS[name].start_layer_text)
    assert all(word["attribution"] is not None for word in first["words"] + second["words"])


@pytest.mark.parametrize("program", [infer.main, main_py.main])
def test_the_command_line_refuses_an_unknown_method(program, capsys):
    with pytest.raises(SystemExit) as stop:
        program(["--method", "nearest", "--text", "a"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "invalid choice: 'nearest'" in error and "gradient_value" in error


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
    for layers in ([], ["--start_layer_text", "0"]):
        folder, result = result_of(capsys, *asked, "--method", "gae", *layers)
        names.append(folder.name.rpartition("_")[0])
    assert names == ["gae_most_negative_-5e-05_start-3_fp32", "gae_most_negative_-5e-05_start0_fp32"]
    target, again = result_of(capsys, "--rescore", str(folder), "--start_layer_text", "0")
    assert target.name == "most_negative_-5e-05_start0" and again["AP"] == result["AP"]


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
    assert Options("foil.json", "images", method=name).start == -1
