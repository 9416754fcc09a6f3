"""Calibration files: written whole, read strictly, found where they fit."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace

import pytest
from calibrating.violations import Population

from clip4dm.calibration import shelf
from clip4dm.calibration.curve import Curve
from clip4dm.calibration.names import CalibrationError
from clip4dm.calibration.shelf import calibration_for, find, user_folder
from clip4dm.calibration.stored import AttributedBy, Rule, Suggestions, read_calibration, write_calibration
from clip4dm.calibration.study import Source, calibrate

BY = AttributedBy(
    "tiny", "/home/me/weights.pt", "ab" * 32, False, "fp32", "clip4dm", None, None, 0, "A photo depicts ", "last 3"
)


@pytest.fixture(scope="module")
def calibration():
    source = Source(Population().draw(400, seed=0), BY, "foil", "cd" * 32)
    return calibrate(source, Rule("fpr", 0.2, 0.1, "confidence", 0.5, 0), {"clip4dm": "1"})


@pytest.fixture
def path(calibration, tmp_path):
    write_calibration(tmp_path / "mine" / "fpr.json", calibration)
    return tmp_path / "mine" / "fpr.json"


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("CLIP4DM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(shelf, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "home" / "calibrations"


def test_what_was_written_is_read(calibration, path):
    assert read_calibration(path) == calibration
    assert [file.name for file in path.parent.iterdir()] == ["fpr.json"]
    assert json.loads(path.read_text())["rule"]["alpha"] == 0.2
    assert "/home/me" not in path.read_text(), "the file travels; where weights lay does not"


def test_the_held_out_images_had_no_part_in_it(calibration):
    assert calibration.data.images == 200
    assert calibration.held_out["risk"]["n"] <= 200
    assert calibration.held_out["risk"]["low"] <= calibration.held_out["risk"]["value"] <= 0.2


def without(content, name):
    inner, _, last = name.rpartition(".")
    del (content[inner] if inner else content)[last]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(version=2), "of format 2, and this version of clip4dm reads format 1: update clip4dm"),
        (lambda c: c.update(version="1"), "damaged calibration: version"),
        (lambda c: c.update(version=True), "damaged calibration: version"),
        (lambda c: c.update(format="x"), "is no calibration file"),
        (lambda c: c.update(epsilon="low"), "damaged calibration: epsilon"),
        (lambda c: c.update(epsilon=True), "damaged calibration: epsilon"),
        (lambda c: c["rule"].update(alpha=1.5), "damaged calibration: rule.alpha"),
        (lambda c: c["rule"].update(control="x"), "damaged calibration: rule.control"),
        (lambda c: c["rule"].update(more=1), "damaged calibration: rule.more"),
        (lambda c: c["rule"].update(split=True), "damaged calibration: rule.split"),
        (lambda c: c["data"].update(split="yes"), "damaged calibration: data.split"),
        (lambda c: c["attributed_by"].update(weights_sha256="ab"), "damaged calibration: attributed_by.weights_sha256"),
        (lambda c: c["attributed_by"].update(steps=1.5), "damaged calibration: attributed_by.steps"),
        (lambda c: c["curve"].update(probabilities=[0.5]), "damaged calibration: curve.probabilities"),
        (lambda c: c["curve"]["probabilities"].reverse(), "damaged calibration: curve.probabilities"),
        (lambda c: c["curve"]["attributions"].reverse(), "damaged calibration: curve.attributions"),
        (lambda c: c["curve"].update(attributions=[]), "damaged calibration: curve.attributions"),
        (lambda c: c["held_out"].update(risk=7), "damaged calibration: held_out.risk"),
        (lambda c: c.update(versions=None), "damaged calibration: versions"),
        *(
            (lambda c, name=name: without(c, name), f"damaged calibration: {name}")
            for name in ("epsilon", "rule", "data.sha256", "curve.kind", "held_out")
        ),
    ],
)
def test_what_cannot_be_is_one_line(path, change, message):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(CalibrationError) as error:
        read_calibration(path)
    assert message in str(error.value) and "\n" not in str(error.value)


FIGURE = {"value": 0.9, "low": 0.8, "high": None, "n": 40}
SUGGESTIONS = Suggestions(
    "mine.txt", 9, "ef" * 32, 0.2, 0.1, 0.03, 60, 0.87, {"restored": FIGURE}, Curve((-0.1, 0.0), (0.9, 0.2), "logistic")
)


def test_suggestions_are_written_where_there_are_any(calibration, path, home):
    """Files from before there were any say nothing of them, and are read as they were."""
    assert "suggestions" not in json.loads(path.read_text()) and read_calibration(path).suggestions is None
    whole = replace(calibration, suggestions=SUGGESTIONS)
    write_calibration(home / "whole.json", whole)
    assert read_calibration(home / "whole.json") == whole
    content = json.loads((home / "whole.json").read_text())
    assert content["version"] == 1 and content["suggestions"]["min_gain"] == 0.03
    assert content.pop("suggestions") and content == json.loads(path.read_text())
    said = []
    assert calibration_for("auto", BY, said.append) == whole
    assert "; suggestions from a gain of 0.03, restored >= 0.8 with confidence 0.9: " in said[-1]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda s: s.update(min_gain=-0.1), "min_gain"),
        (lambda s: s.update(min_gain=2), "min_gain"),
        (lambda s: s.update(min_gain=None), "min_gain"),
        (lambda s: s.update(alpha=0), "alpha"),
        (lambda s: s.update(delta=1), "delta"),
        (lambda s: s.update(restored=1.1), "restored"),
        (lambda s: s.update(words=0), "words"),
        (lambda s: s.update(words=2.5), "words"),
        (lambda s: s.update(images=True), "images"),
        (lambda s: s.update(sha256="EF" * 32), "sha256"),
        (lambda s: s.update(vocabulary=7), "vocabulary"),
        (lambda s: s.update(more=1), "more"),
        (lambda s: s.update(held_out=[]), "held_out"),
        (lambda s: s["held_out"].update(shown=0.5), "held_out.shown"),
        (lambda s: s.update(curve=None), "curve"),
        (lambda s: s["curve"].update(kind="straight"), "curve.kind"),
        (lambda s: s["curve"]["attributions"].reverse(), "curve.attributions"),
        (lambda s: s["curve"]["probabilities"].reverse(), "curve.probabilities"),
        *(
            (lambda s, name=name: s.pop(name), name)
            for name in ("vocabulary", "sha256", "min_gain", "curve", "held_out")
        ),
    ],
)
def test_suggestions_that_cannot_be(calibration, path, change, name):
    write_calibration(path, replace(calibration, suggestions=SUGGESTIONS))
    content = json.loads(path.read_text())
    change(content["suggestions"])
    path.write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match=rf"damaged calibration: suggestions\.{name} is missing or cannot be"):
        read_calibration(path)
    path.write_text(json.dumps({**content, "suggestions": None}))
    with pytest.raises(CalibrationError, match="damaged calibration: suggestions is missing"):
        read_calibration(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", "\0", '{"format": "clip4dm calibration", "version": 1}'])
def test_files_that_are_none(path, text):
    path.write_text(text)
    with pytest.raises(CalibrationError):
        read_calibration(path)


def test_a_file_larger_than_any_calibration_is_not_read(path):
    with path.open("ab") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(CalibrationError, match="more than any such file should"):
        read_calibration(path)


def test_a_file_that_is_cut_anywhere_is_refused(path):
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(CalibrationError):
            read_calibration(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weights_sha256": "ef" * 32},
            "weights 'tiny//home/me/weights.pt' (efefefefefef), not 'tiny/weights.pt' (abababababab)",
        ),
        ({"method": "occlusion", "layers": "all"}, "method 'occlusion', not 'clip4dm'; layers 'all', not 'last 3'"),
        ({"template": ""}, "template '', not 'A photo depicts '"),
        ({"precision": "fp16"}, "precision 'fp16', not 'fp32'"),
        ({"image_masks": 4}, "image_masks 4, not 0"),
    ],
)
def test_other_attributions_are_refused(path, change, message):
    with pytest.raises(CalibrationError) as error:
        calibration_for(str(path), replace(BY, **change), print)
    assert message in str(error.value)


def test_a_backbones_name_does_not_matter_its_weights_do(path):
    assert calibration_for(str(path), replace(BY, backbone="other", pretrained="elsewhere"), print)


def test_auto_takes_the_users_newest_that_fits_and_says_so(calibration, home):
    said = []
    assert find(BY, said.append) is None and calibration_for("auto", BY, said.append) is None
    assert len(said) == 1 and "no calibration fits tiny/" in said[0] and "-5e-05" in said[0]
    write_calibration(home.parent.parent / "shipped" / "a.json", calibration)
    assert find(BY, said.append)[0].parent.name == "shipped"
    write_calibration(home / "old.json", replace(calibration, epsilon=-1.0))
    write_calibration(home / "new.json", replace(calibration, epsilon=-2.0))
    write_calibration(home / "other.json", replace(calibration, attributed_by=replace(BY, layers="last 1")))
    (home / "damaged.json").write_text("{")
    os.utime(home / "old.json", (1, 1))
    said.clear()
    assert calibration_for("auto", BY, said.append).epsilon == -2.0
    assert [text for text in said if "damaged.json" in text and text.startswith("passed over: ")]
    assert [text for text in said if "3 calibrations fit" in text and "old.json" in text]
    assert "epsilon -2, fpr <= 0.2 with confidence 0.9" in said[-1] and said[-1].endswith("new.json")


def test_how_long_captions_were_read_is_said_and_is_no_other_attribution(calibration, path, home):
    """Unsaid where they were cut: files from before --long are of such."""
    assert "split" not in path.read_text()
    whole = replace(calibration, data=replace(calibration.data, split=True), epsilon=-2.0)
    write_calibration(home / "whole.json", whole)
    assert json.loads((home / "whole.json").read_text())["data"]["split"] is True
    assert read_calibration(home / "whole.json") == whole
    note = "the calibration was made with --long {}: of captions beyond the context it promises nothing with --long {}"
    for file, split, said in (
        (path, False, []),
        (path, True, [note.format("cut", "split")]),
        (home / "whole.json", True, []),
        (home / "whole.json", False, [note.format("split", "cut")]),
        ("auto", False, [note.format("split", "cut")]),
    ):
        lines = []
        assert calibration_for(str(file), BY, lines.append, split).data.split is (str(file) != str(path))
        assert [line for line in lines if "--long" in line] == said
    write_calibration(home / "cut.json", calibration)
    os.utime(home / "cut.json", (1, 1))
    for split in (False, True):  # of several that fit, not the newest but the one of the same reading
        lines = []
        assert calibration_for("auto", BY, lines.append, split).data.split is split
        assert not [line for line in lines if "--long" in line]


def test_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("CLIP4DM_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_folder() == tmp_path / "clip4dm" / "calibrations"
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert user_folder() == tmp_path / "me" / ".config" / "clip4dm" / "calibrations"


@pytest.mark.parametrize("name", ["CLIP4DM_HOME", "HOME"])
def test_a_user_without_a_home_has_the_files_that_come_along(monkeypatch, name):
    """No account of the process's number and no HOME, as in containers; or an account that is none."""
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    if name == "HOME":
        monkeypatch.delenv("CLIP4DM_HOME")
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr("os.path.expanduser", lambda path: path)  # it knows of none
    else:
        monkeypatch.setenv("CLIP4DM_HOME", "~no-such-account/x")
    with pytest.raises(CalibrationError, match="set CLIP4DM_HOME to a folder"):
        user_folder()
    said = []
    assert calibration_for("auto", BY, said.append) is None
    assert said[0].startswith("passed over: there is no home folder")


def test_a_link_that_leads_nowhere_hides_no_other(calibration, home):
    write_calibration(home / "mine.json", calibration)
    (home / "gone.json").symlink_to(home / "nothing")
    said = []
    assert calibration_for("auto", BY, said.append) == calibration
    assert any("gone.json" in line for line in said)


def test_a_strangers_names_do_not_reach_the_terminal_raw(path):
    content = json.loads(path.read_text())
    content["attributed_by"].update(backbone="\x1b[31mred\n", weights_sha256="0" * 64)
    path.write_text(json.dumps(content))
    with pytest.raises(CalibrationError) as error:
        calibration_for(str(path), BY, print)
    assert str(error.value).isprintable()


def test_too_few_images_say_that_only_some_of_them_decide():
    source = Source(Population().draw(20, seed=0), BY, "foil", "cd" * 32)
    with pytest.raises(CalibrationError, match=r"at least 11.*\(all numbers .* 10 of 20 do, --holdout says"):
        calibrate(source, Rule("fpr", 0.2, 0.1, "confidence", 0.5, 0), {})


def test_attributed_by_is_plain():
    assert AttributedBy(**json.loads(json.dumps(asdict(BY)))) == BY
