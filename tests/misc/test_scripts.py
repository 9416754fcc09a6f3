"""misc/: scripts at its top and nothing else, which run from any folder; what they share lies in folders."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys

import fuzz_captions
import pytest
from fuzzing.captions import make_caption
from places import ROOT

from clip4dm.errors import CLIP4DMError

MISC = ROOT / "misc"
SCRIPTS = sorted(MISC.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_help_comes_from_any_folder_and_without_torch(script, tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(script), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(MISC.parent)},
    )
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {script.name}")
    assert "--debug" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported and not imported & {"torch", "open_clip", "transformers", "spacy", "matplotlib"}


@pytest.mark.parametrize("path", sorted(MISC.rglob("*.py")), ids=lambda path: str(path.relative_to(MISC)))
def test_no_module_imports_a_script_or_the_tests_or_changes_the_path(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {script.stem for script in SCRIPTS} and not imported & {"tests", "making", "main", "infer"}
    assert "sys.path" not in text
    assert len(text.splitlines()) <= 300


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("ablate.py", ["--data_path", "none.json", "--img_dir", "."]),
        ("benchmark_speed.py", ["--img_dir", "none", "--captions", "none.json"]),
        ("benchmark_words.py", ["--kinds", "none"]),
        ("download_nocaps_image.py", ["--foil_path", "none.json", "--meta_path", "none.json"]),
        ("epsilon_study.py", ["none"]),
        ("make_random_model.py", ["out", "--backbone", "none"]),
        ("make_shapes_benchmark.py", ["file"]),
        ("reproduce_tables.py", ["--table", "none"]),
        ("measure_retrieval.py", ["--captions", "none.json", "--img_dir", "."]),
        ("train_demo_model.py", ["file"]),
        ("train_photo_text.py", ["out", "--features", "none", "--captions", "none", "--image_tower", "none"]),
    ],
)
def test_an_error_is_one_line_and_with_debug_itself(script, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("no folder")
    main = importlib.import_module(script.removesuffix(".py")).main
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    captured = capsys.readouterr()
    assert stopped.value.code == 2 and captured.out == ""
    assert re.fullmatch(rf"{script}: error: .*\n", captured.err)
    with pytest.raises((CLIP4DMError, OSError)):
        main([*arguments, "--debug"])


def test_one_caption_again_is_the_one_that_was_fuzzed(capsys):
    assert fuzz_captions.main(["--seed", "3", "--only", "14", "--every", "0"]) == 0
    template, caption = make_caption(3, 14)
    assert capsys.readouterr().out.startswith(f"template {template!a}\ncaption {caption!a}\n1 captions of seed 3")
