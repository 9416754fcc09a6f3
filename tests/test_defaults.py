"""What the package and the scripts take unless told otherwise is written once, and called by its name elsewhere."""

from __future__ import annotations

import ast

import pytest
from places import ROOT

TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for folder in ("clip4dm", "misc")
    for path in (ROOT / folder).rglob("*.py")
}
ELSEWHERE = {  # facts of their own that happen to be equal
    "clip4dm/evaluation/paper.py": "what the published figures were taken with",
    "misc/reproducing/paper_tables.py": "the paper's models",
    "misc/reproducing/earlier.py": "the paper's pace with each backbone",
    "misc/check_weights.py": "the models whose weights are checked",
    "misc/checking/weights.py": "whose copy Hugging Face has under which name",
    "misc/fuzzing/captions.py": "templates to try",
}


@pytest.mark.parametrize(
    ("value", "home"),
    [
        ("A photo depicts ", "clip4dm/scores.py"),
        (-5e-5, "clip4dm/scores.py"),
        (2.5, "clip4dm/scores.py"),
        ("ViT-B-32", "clip4dm/models/names.py"),
        (("fp32", "bf16", "fp16"), "clip4dm/models/names.py"),
        (("foil", "nocaps", "hat", "richhf", "seetrue"), None),
    ],
)
def test_a_default_is_written_in_one_file(value, home):
    found = {
        name for name, tree in TREES.items() if any(ast.unparse(node) == repr(value) for node in expressions(tree))
    }
    assert found - ELSEWHERE.keys() == ({home} if home else set())


def expressions(tree):
    return (node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.UnaryOp | ast.Tuple | ast.List))


def test_no_file_is_excused_in_vain():
    """Each file of ELSEWHERE writes one of the values above."""
    values = {repr(value) for value in ("A photo depicts ", -5e-5, "ViT-B-32")}
    for name in ELSEWHERE:
        assert values & {ast.unparse(node) for node in expressions(TREES[name])}, name
