"""A run of four blocks, as its store writes it: the lines, and their checksums."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from clip4dm.evaluation.store.runfiles import SAMPLES, SUMS, write_json
from clip4dm.evaluation.store.runstore import RunStore

BLOCKS = [["a", "b"], ["c"], ["d", "é f", "g"], ["h"]]
CONFIG = {"fingerprint": "123"}


def lines_of(block: int) -> list[bytes]:
    rows = [{"id": sample, "text": "ü" * 3} for sample in BLOCKS[block]]
    return [(json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows]


WHOLE = b"".join(line for block in range(len(BLOCKS)) for line in lines_of(block))


def sums_of(block: int) -> bytes:
    data = b"".join(lines_of(block))
    return f"{block} {len(BLOCKS[block])} {len(data)} {hashlib.sha256(data).hexdigest()}\n".encode()


SUMS_WHOLE = b"".join(sums_of(block) for block in range(len(BLOCKS)))


def finished(folder: Path, *, damage=None) -> RunStore:
    """A whole run in a new folder, and what `damage` made of its files."""
    folder.mkdir(parents=True)
    write_json(folder / "config.json", CONFIG)
    (folder / SAMPLES).write_bytes(WHOLE)
    (folder / SUMS).write_bytes(SUMS_WHOLE)
    if damage:
        damage(folder)
    return RunStore(folder, BLOCKS)
