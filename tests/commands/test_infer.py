"""infer.py as a command: what it prints, in colour and as JSON, and its one-line errors."""

from __future__ import annotations

import ast
import json
import os
import pty
import subprocess
import sys

import pytest
from places import ROOT

from clip4dm.commands import infer


@pytest.fixture
def model(tiny_folder):
    return ["--pretrained", str(tiny_folder), "--device", "cpu"]


def test_the_published_example_prints_two_dicts(model, capsys):
    infer.main(model)
    lines = capsys.readouterr().out.splitlines()
    found = [ast.literal_eval(line) for line in lines]
    assert [[word for word, _ in f["word_attributions"]] for f in found] == [
        ["a", "cup", "of", "coke"],
        ["a", "cup", "of", "coffee"],
    ]
    assert list(found[0]) == [
        "negative_word",
        "sum_negative_attribution",
        "negative_word_score_list",
        "clip_score",
        "word_attributions",
    ]


def test_json_lines_carry_offsets(model, capsys):
    infer.main([*model, "--json", "--text", "café, “old”", "a dog", "--epsilon", "1"])
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [first["caption"][w["start"] : w["end"]] for w in first["words"]] == ["café", "“old”"]
    assert second["misaligned"] == ["a", "dog"] and second["f_clip_score"] != 0
    assert first["image"].endswith("coffee.png")


def test_a_score_is_shown_by_its_name(model, capsys, monkeypatch):
    asked = ["--text", "a dog", "--score", "additive", "--score_weight", "2"]
    infer.main([*model, "--json", *asked])
    found = json.loads(capsys.readouterr().out)
    lowest = min(word["attribution"] for word in found["words"])
    assert (found["score_name"], found["score_weight"]) == ("additive", 2.0)
    assert found["score"] == pytest.approx(found["cosine"] + 2 * lowest, rel=1e-12)
    monkeypatch.setattr("clip4dm.commands.terminal.wants_colour", lambda stream: True)
    infer.main([*model, *asked])
    shown = capsys.readouterr().out
    assert f"additive {found['score']:.3f}" in shown and "F-CLIPScore" not in shown
    infer.main([*model, *asked[:2]])
    assert f"F-CLIPScore {found['f_clip_score']:.2e}" in capsys.readouterr().out


def test_json_is_json_or_an_error(capsys):
    class Broken:
        def as_dict(self):
            return {"cosine": float("nan")}

    with pytest.raises(ValueError, match="JSON"):
        infer.show(Broken(), "x.png", as_json=True)
    assert capsys.readouterr().out == ""


def test_on_a_terminal_the_caption_is_coloured(tiny_folder):
    main, side = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "infer.py"),
            "--pretrained",
            str(tiny_folder),
            "--device",
            "cpu",
            "--text",
            "a dog\x1b[2J and two cats on the old sofa",
            "--epsilon",
            "1",
        ],
        stdout=side,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    os.close(side)
    output = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not chunk:
            break
        output += chunk
    assert process.wait() == 0
    text = output.decode()
    assert "\x1b[48;5;" in text and "misaligned: " in text
    assert "\x1b[2J" not in text  # a caption's own control characters do not reach the terminal
    shades = {part.split(";")[1] for part in text.split("\x1b[48;")[1:]}
    assert len(shades) > 1  # the stronger the redder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "none.jpg", "--text", "a"], "no such image file: none.jpg"),
        (["--image", str(ROOT / "infer.py"), "--text", "a"], "not an image"),
        (["--start_layer_text", "-9"], "out of range"),
        (["--template", "very " * 99], "template fills"),
        (["--score", "additive"], "misc/epsilon_study.py RUN_FOLDER then prints the weight"),
        (["--score_weight", "2"], "score_weight 2.0 means nothing to f_clip_score"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--backbone", "ViT-B-33"], "nearest names: ViT-B-32"),
    ],
)
def test_errors_are_one_line_and_exit_2(model, capsys, arguments, message):
    chosen = model if "--backbone" not in arguments and "--device" not in arguments else []
    with pytest.raises(SystemExit) as stop:
        infer.main([*chosen, *arguments])
    captured = capsys.readouterr()
    assert stop.value.code == 2 and captured.out == ""
    assert captured.err.startswith("infer.py: error: ") and message in captured.err
    assert len(captured.err.splitlines()) == 1


def test_an_image_without_captions_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stop:
        infer.main(["--image", "x.jpg"])
    assert stop.value.code == 2 and "--image needs --text" in capsys.readouterr().err


def test_help_imports_no_torch():
    code = "import sys; from clip4dm.commands import infer\ntry: infer.main(['--help'])\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_a_long_caption_says_what_was_not_scored(model, capsys):
    infer.main([*model, "--text", " ".join(f"word{i}" for i in range(90))])
    captured = capsys.readouterr()
    assert "words lie beyond CLIP's context and were not scored" in captured.err
    assert "from 'word27' on" in captured.err and "'word27'" not in captured.out and "'word26'" in captured.out
