"""Folders of scores with known numbers, stored by the sink that `clip4dm score` stores by; `clip4dm filter` on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from clip4dm.commands import filter as command
from clip4dm.scoring.schema import NAMES, further_columns
from clip4dm.scoring.sink import Sink
from clip4dm.scoring.writers import Summary


@dataclass(frozen=True)
class MadeShard:
    name: str
    carried: pa.Schema = field(default_factory=lambda: pa.schema([]))
    count: int | None = None
    identity: dict[str, Any] = field(default_factory=dict)

    def pairs(self):
        raise AssertionError("scored already")


def row(key: str, score: float | None, cosine: float = 0.2, words: int = 0, **others: Any) -> dict[str, Any]:
    """A row; without a score, an error's."""
    scored = score is not None
    word = {"text": "dog", "start": 2, "end": 5, "attribution": -0.1}
    values = {
        "key": key,
        "image": f"{key}.jpg",
        "caption": "a dog",
        "cosine": cosine if scored else None,
        "clip_score": 2.5 * max(cosine, 0) if scored else None,
        "f_clip_score": score,
        "score": score,
        "misaligned": [word] * words if scored else None,
        "words": [word] * (words + 1) if scored else None,
        "truncated": False if scored else None,
        "error": None if scored else "no such image file",
    }
    return values | others


def random_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with ties, errors, NaN, and several rows to a picture and to a caption; carried: weight, uid."""
    random, rows = np.random.default_rng(seed), []
    for i in range(count):
        score = (
            [None, float("nan"), 0.0, 0.0, 0.0, -0.5][random.integers(6)] if random.random() < 0.4 else -random.random()
        )
        rows.append(
            row(
                f"{i:06d}",
                None if score is None else float(score),
                cosine=float(random.integers(1, 5)) / 10,
                words=int(random.integers(3)),
                image=f"{random.integers(count // 4)}.jpg",
                caption=f"caption {random.integers(count // 3)}",
                weight=[None, float("nan"), 1.0, 2.0][random.integers(4)],
                uid=random.bytes(16).hex(),
            )
        )
    return rows


def store(folder: Path, shards: Sequence[Sequence[dict[str, Any]]], **about: Any) -> Path:
    """A finished folder. about: output_format, kind and settings, identities, names, input, given."""
    made_by = {
        "settings": {"kind": about.get("kind", "usual"), **about.get("settings", {})},
        "input": about.get("input", {"format": "csv"}),
    }
    remarks = {"given": about.get("given", ["captions.csv"]), "shards": about.get("expected", len(shards))}
    sink = Sink(folder, made_by, remarks, about.get("output_format", "parquet"))
    sink.prepare()
    identities = about.get("identities", [{}] * len(shards))
    for number, (rows, identity) in enumerate(zip(shards, identities, strict=True)):
        names = [
            name for name in (rows[0] if rows else {}) if name not in (*NAMES, *further_columns(made_by["settings"]))
        ]
        types = {"weight": pa.float64()}
        carried = pa.schema([(name, types.get(name, pa.string())) for name in names])
        name = about.get("names", {}).get(number, f"{number:05d}")
        with sink.writer(MadeShard(name, carried, identity=identity)) as writer:
            for start in range(0, len(rows), 7):  # row groups
                writer.write(rows[start : start + 7])
            writer.summary = Summary(name, len(rows), 0, 0.1)
    return folder


def run(*argv, capsys) -> tuple[str, str]:
    """`clip4dm filter` -> what it says."""
    command.main([str(one) for one in argv])
    return capsys.readouterr()


def fails(*argv, capsys) -> str:
    """`clip4dm filter` with a word it cannot go on with -> that word."""
    with pytest.raises(SystemExit) as stop:
        command.main([str(one) for one in argv])
    assert stop.value.code == 2
    return capsys.readouterr().err
