"""The source of the package and of misc/, parsed: what test_house.py and test_docstrings.py look at."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from places import ROOT

PACKAGE = ROOT / "clip4dm"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "misc").rglob("*.py")])


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in SOURCES}


@cache
def modules() -> dict[str, ast.Module]:
    """Of the package: name -> tree."""
    return {module_name(path): tree for path, tree in trees().items() if PACKAGE in path.parents}


def room(module: str) -> str:
    """clip4dm.captions.words -> captions; a module that is no folder's is a room of its own."""
    return module.split(".")[1] if "." in module else module
