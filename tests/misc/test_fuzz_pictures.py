"""misc/fuzz_pictures.py: what it finds, and that it finds what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from fuzzing.picture_checks import fuzz
from places import ROOT


def test_two_thousand_files_changed_at_random(tmp_path):
    """Each gives a picture or an ImageError; nothing is printed, started or left open."""
    figures = fuzz(2000, 0, tmp_path)
    assert figures.failures == [] and sum(figures.results.values()) == 2000
    assert figures.results["read"] > 200 and figures.results["refused"] > 1000


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("raise ValueError('oops')", "ValueError: oops"),
        ("raise ImageError('somewhere')", "does not name its file"),
        ("return Image.new('HSV', (4, 4))", "mode HSV"),
        ("kept.append(open(path)); raise ImageError(path)", "left 1 files open"),
        ("import subprocess; subprocess.run(['true']); raise ImageError(path)", "started a process"),
        ("os.write(2, b'hm'); raise ImageError(path)", "printed b'hm'"),
        ("warnings.warn('hm'); raise ImageError(path)", "warned: hm"),
        ("os.abort()", "ended the process"),
    ],
)
def test_the_fuzzer_sees_what_is_wrong(wrong, problem, tmp_path):
    (tmp_path / "wrong.py").write_text(
        "import os, sys, warnings\nfrom pathlib import Path\nfrom PIL import Image\nfrom clip4dm.files import images\n"
        "from clip4dm.files.images import ImageError\nimport fuzz_pictures\nkept = []\n"
        f"def load_image(path):\n    {wrong}\nimages.load_image = load_image\n"
        "if __name__ == '__main__':\n    fuzz_pictures.main(['--count', '2', '--seed', '70', '--keep', sys.argv[1]])\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "wrong.py", tmp_path / "kept"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "misc")])},
    )
    assert done.returncode == 1 and "failures   2" in done.stdout, done.stdout + done.stderr
    assert f"--seed 71 --count 1: {problem}" in done.stdout and len(list((tmp_path / "kept").iterdir())) == 2
