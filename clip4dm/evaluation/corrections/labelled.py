"""The suggestions of a run as what a least gain is learned from: no model is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from clip4dm.calibration.risks import LabelledWords
from clip4dm.calibration.stored import is_sha256
from clip4dm.calibration.suggestions import Suggested
from clip4dm.evaluation.corrections.rows import CORRECTIONS, KIND, ORIGINALS, Row
from clip4dm.evaluation.store.finished import FinishedRun
from clip4dm.evaluation.store.runfiles import SUGGESTIONS, DamagedRun, read_object
from clip4dm.files.reading import FileError, check_regular, is_number, parse_json

REMEDY = "run the main.py command of this run again, with --suggest"


def suggested_of(run: FinishedRun, images: Mapping[str, int], own_layers: bool = True) -> Suggested | None:
    """The best replacements of words that were asked for, of the run's vocabulary, where they gain anything.

    None where the run has no suggestions. images: the numbers of those that count, by name, from 0 on. own_layers:
    whether words are called by the layers of the run; by others it is not known which of them would be.
    Errors: DamagedRun for files of another run, changed or not whole.

        suggested_of(open_run(folder), {"a.jpg": 0})
    """
    if not (run.folder / SUGGESTIONS).exists():
        return None
    about = read_object(run.folder / CORRECTIONS, REMEDY)
    vocabulary = about.get("vocabulary")
    if not isinstance(vocabulary, dict) or not (
        isinstance(vocabulary.get("name"), str)
        and type(vocabulary.get("words")) is int
        and is_sha256(vocabulary.get("sha256"))
    ):
        raise DamagedRun(f"{run.folder / CORRECTIONS} does not say of which words it is; {REMEDY}")
    if about.get("run") != run.config["fingerprint"]:
        raise DamagedRun(f"{run.folder / CORRECTIONS} is of another run than the samples beside it; {REMEDY}")
    name = vocabulary["name"]
    if name in (KIND, ORIGINALS):
        raise DamagedRun(f"{run.folder / SUGGESTIONS} has two lists called {name!r}: give the vocabulary another name")
    rows = [
        row
        for row in _rows(run.folder / SUGGESTIONS, about.get("suggestions_sha256"))
        if row["list"] == name and row["image"] in images and row["top"][0][1] > 0
    ]
    replacements = LabelledWords(
        np.array([-row["top"][0][1] for row in rows], dtype=np.float64),
        np.array([row["given"] and row["same_meaning"] for row in rows], dtype=bool),
        np.array([images[row["image"]] for row in rows], dtype=np.intp),
        len(images),
    )
    by_threshold = own_layers and run.settings.sorted_by == "threshold"
    return Suggested(
        replacements,
        np.array([row["attribution"] for row in rows], dtype=np.float64),
        run.settings.epsilon if by_threshold else None,
        name,
        vocabulary["words"],
        vocabulary["sha256"],
    )


def _rows(path: Path, sha256: Any) -> Iterator[dict[str, Any]]:
    """Errors: DamagedRun."""
    try:
        check_regular(path)
        content = path.read_bytes()
    except (FileError, OSError) as error:
        raise DamagedRun(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}; {REMEDY}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamagedRun(f"{path} is not as it was written with {CORRECTIONS}; {REMEDY}")
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            row = parse_json(line.decode("utf-8", "surrogatepass"))
        except ValueError:
            row = None
        if not _is_row(row):
            raise DamagedRun(f"{path}, line {number} is no suggestion; {REMEDY}")
        yield row


def _is_row(row: Any) -> bool:
    """Whether a value of JSON has the fields of a row, and those that are read here are what they should be."""
    if not isinstance(row, dict) or row.keys() != {field.name for field in fields(Row)}:
        return False
    top = row["top"]
    return (
        all(isinstance(row[name], str) for name in ("image", "list"))
        and all(isinstance(row[name], bool) for name in ("given", "same_meaning"))
        and is_number(row["attribution"])
        and isinstance(top, list)
        and len(top) > 0
        and isinstance(top[0], list)
        and len(top[0]) == 2
        and is_number(top[0][1])
    )
