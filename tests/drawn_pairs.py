"""Drawn scenes with a true and a false caption each, written down in every form that `clip4dm score` reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import webdataset

from clip4dm.benchmarks.shapes.captions import write_caption
from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.foils import make_foil
from clip4dm.benchmarks.shapes.scenes import sample_scene

SEED = 2_000_300  # of scenes that the demo model was not trained on
KINDS = ("jpg", "png", "webp")


def draw_pairs(folder: Path, count: int, seed: int = SEED) -> list[tuple[str, str]]:
    """(name of a picture in the folder, caption): so many, a picture's true and false caption one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs: list[tuple[str, str]] = []
    number = seed
    while len(pairs) < count:
        scene, random = sample_scene(number), Random(number)
        caption = write_caption(scene, random)
        foil = make_foil(scene, caption, random)
        name = f"scene{number}.{KINDS[number % 3]}"
        draw(scene, 96).save(folder / name, quality=95)
        pairs += [(name, one.text) for one in (caption, *((foil.caption,) if foil else ()))]
        number += 1
    return pairs[:count]


def write_table(path: Path, pairs: list[tuple[str, str]]) -> Path:
    """CSV, or JSON lines, JSON or parquet by the ending; with a column to carry through."""
    rows = [{"image": image, "caption": caption, "number": i} for i, (image, caption) in enumerate(pairs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    return path


def write_parquet_of_bytes(path: Path, pictures: Path, pairs: list[tuple[str, str]]) -> Path:
    rows = [{"image": (pictures / image).read_bytes(), "caption": caption} for image, caption in pairs]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    return path


def write_folder(folder: Path, pictures: Path, pairs: list[tuple[str, str]]) -> Path:
    """A folder has one caption a picture: a picture with several is there as often."""
    folder.mkdir()
    for number, (image, caption) in enumerate(pairs):
        name = f"{number:06d}"
        (folder / name).with_suffix(Path(image).suffix).write_bytes((pictures / image).read_bytes())
        (folder / f"{name}.txt").write_text(caption + "\n", encoding="utf-8")
    return folder


def write_tars(folder: Path, pictures: Path, pairs: list[tuple[str, str]], per_tar: int, as_json: bool = False) -> str:
    """Written by webdataset; returns the shards as its users spell them, with a range in braces."""
    folder.mkdir(parents=True, exist_ok=True)
    tars = range(0, len(pairs), per_tar)
    for tar, start in enumerate(tars):
        with webdataset.TarWriter(str(folder / f"{tar:05d}.tar")) as writer:
            for number, (image, caption) in enumerate(pairs[start : start + per_tar], start):
                text = {"json": {"caption": caption, "uid": number}} if as_json else {"txt": caption}
                picture = {Path(image).suffix[1:]: (pictures / image).read_bytes()}
                writer.write({"__key__": f"{number:06d}", **picture, **text})
    return f"{folder}/{{00000..{len(tars) - 1:05d}}}.tar"


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of a folder of scores, shard by shard."""
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    """What the model made of a pair, without where it came from."""
    return {name: row[name] for name in ("caption", "cosine", "clip_score", "f_clip_score", "words", "misaligned")}


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file: when it was written, what it holds."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
