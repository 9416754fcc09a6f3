"""The methods as a user meets them: CLIP4DM(method=...) and infer.py with --method."""

from __future__ import annotations

import json

import numpy as np
import pytest
from contract import ATTRIBUTION, COSINE, INNER_PRODUCT, LOW_PRECISION, assert_attributions, assert_detections
from making import WORDS
from text_towers import make_tiny_siglip

from clip4dm import CLIP4DM
from clip4dm.attribution.methods import METHODS, get_method
from clip4dm.commands import evaluate as main_py
from clip4dm.commands import infer, score, web
from clip4dm.errors import InputError
from clip4dm.evaluation.config import Options
from clip4dm.scores import CLIP4DM_METHOD

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


def test_where_none_is_given_it_is_the_papers_whatever_the_tower(detector):
    """Its layers are the tower's: all of one this small, the last three of twelve."""
    assert (detector.method.name, detector.start_layer_text) == (CLIP4DM_METHOD, 0)
    named = CLIP4DM(detector.model, method=CLIP4DM_METHOD).detect([PICTURES[0]], list(WORDS))
    assert_detections(named, detector.detect([PICTURES[0]], list(WORDS)))
    assert named[0].as_dict()["method"] == CLIP4DM_METHOD
    options = Options("foil.json", "images")
    assert (options.for_tower(11).method, options.for_tower(11).start_layer_text) == (CLIP4DM_METHOD, 0)
    assert (options.for_tower(12).method, options.for_tower(12).start_layer_text) == (CLIP4DM_METHOD, -3)


def test_programs_take_the_papers_where_none_is_given(tiny_folder, capsys):
    """A run's folder does not name it; main.py can tell that none was given, for --rescore keeps the run's."""
    infer.main(["--pretrained", str(tiny_folder), "--device", "cpu", "--json", "--text", "dog"])
    assert json.loads(capsys.readouterr().out)["method"] == CLIP4DM_METHOD
    assert score.parse_args(["photos", "--output", "scores"]).method == web.parse_args([]).method == CLIP4DM_METHOD
    assert main_py.parse_args([]).method is None
    for parse_args in (infer.parse_args, main_py.parse_args):
        with pytest.raises(SystemExit):
            parse_args(["--help"])
        assert f"(default: {CLIP4DM_METHOD}, the paper's)" in " ".join(capsys.readouterr().out.split())


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
    for found, start in ((last, -1), (whole, 0)):
        assert found.start_layer_text == found.as_dict()["start_layer_text"] == start
    (middle,) = CLIP4DM(detector.model, method="gae", start_layer_text=-2).detect([PICTURES[0]], [WORDS[2]])
    assert middle.start_layer_text == -2 and middle.with_settings(start_layer_text=-2) == middle
    assert middle.published_words and middle.with_settings(epsilon=-1.0).start_layer_text == -2


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
    ("name", "near"), [("gradient", "gradient_"), ("Occlusion", "'occlusion'"), ("nearest", ""), ([], "")]
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
    printed = capsys.readouterr()
    first, second = (json.loads(line) for line in printed.out.splitlines())
    assert printed.err.count("note: epsilon -5e-05 is the paper's") == (name in ONE_ROW)
    assert first["method"] == second["method"] == name
    assert first["start_layer_text"] == METHODS[name].start(None, 4)
    assert all(word["attribution"] is not None for word in first["words"] + second["words"])


@pytest.mark.parametrize("program", [infer.main, main_py.main])
def test_the_command_line_refuses_an_unknown_method(program, capsys):
    with pytest.raises(SystemExit) as stop:
        program(["--method", "nearest", "--text", "a"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "invalid choice: 'nearest'" in error and "gradient_value" in error


@pytest.mark.parametrize("own", [["--epsilon", "-0.01"], ["--sorted_by", "most_negative"]])
def test_infer_py_says_nothing_of_an_epsilon_that_was_chosen_or_decides_nothing(tiny_folder, capsys, own):
    infer.main(["--pretrained", str(tiny_folder), "--device", "cpu", "--method", "occlusion", "--text", "dog", *own])
    assert "epsilon" not in capsys.readouterr().err
