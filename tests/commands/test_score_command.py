"""`clip4dm score` as a shell runs it: help at once, `python -m clip4dm`, what an extra brings."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from drawn_pairs import draw_pairs, read_rows, write_table
from places import ROOT


def run(*command: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=500, cwd=ROOT, **options)


def test_help_waits_for_no_library():
    done = run("-X", "importtime", "-m", "clip4dm", "score", "--help")
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "--output_format" in done.stdout and "argparse" in imported
    assert not imported & {"torch", "open_clip", "pyarrow", "fsspec", "numpy", "PIL", "tqdm"}
    assert "score " in run("-m", "clip4dm", "--help").stdout


def test_python_m_clip4dm_scores_a_table(tmp_path):
    pairs = draw_pairs(tmp_path, 6)
    path = write_table(tmp_path / "captions.csv", pairs)
    options = [str(path), "--output", str(tmp_path / "scores"), "--backbone", "demo", "--device", "cpu"]
    done = run("-m", "clip4dm", "score", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"6 pairs in 1 shards in {tmp_path / 'scores'}\n"
    assert "100%" in done.stderr and "shard 1/1" in done.stderr and "pairs/s" in done.stderr
    rows = read_rows(tmp_path / "scores")
    said = run(
        "infer.py",
        "--backbone",
        "demo",
        "--device",
        "cpu",
        "--json",
        "--image",
        str(tmp_path / pairs[1][0]),
        "--text",
        pairs[1][1],
    )
    assert rows[1]["f_clip_score"] == pytest.approx(json.loads(said.stdout)["f_clip_score"], rel=1e-3)


def test_without_the_extra_a_line_says_how_to_get_it(tmp_path):
    code = (
        "import sys, importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'pyarrow' else find(name, *more)\n"
        "from clip4dm.commands.score import main\n"
        f"main(['x.csv', '--output', {str(tmp_path)!r}])\n"
    )
    done = run("-c", code)
    assert done.returncode == 2
    assert done.stderr == (
        "clip4dm score: error: this needs pyarrow, not installed here: pip install 'clip4dm[score]'\n"
    )
