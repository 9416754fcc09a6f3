"""The small run of tests/evaluation/conftest.py: how many pictures it has, and the files by which runs are compared."""

from __future__ import annotations

from pathlib import Path

IMAGES = 23  # each with two captions


def files_of(folder: Path) -> tuple[bytes, bytes]:
    """(samples.jsonl, result.json) of a run."""
    return (folder / "samples.jsonl").read_bytes(), (folder / "result.json").read_bytes()
