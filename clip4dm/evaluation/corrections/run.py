"""The corrections of a run: suggestions.jsonl, a row a word and list, and corrections.json, the figures.

What was asked before an interruption is kept in suggestions.part.jsonl, whose first line says of what it is; a line
that is not whole is asked again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from clip4dm.benchmarks.base import Sample
from clip4dm.detector import CLIP4DM
from clip4dm.errors import InputError
from clip4dm.evaluation.corrections.asking import Asking
from clip4dm.evaluation.corrections.exchanged import Exchange, Exchanged, exchange_of
from clip4dm.evaluation.corrections.figures import Figures, figures
from clip4dm.evaluation.corrections.rows import CORRECTIONS, PART, Row
from clip4dm.evaluation.plan import Block, plan_blocks
from clip4dm.evaluation.records import from_line, to_line
from clip4dm.evaluation.store.runfiles import SUGGESTIONS, write_json, write_whole, writing
from clip4dm.files.images import ImageError
from clip4dm.files.provenance import fingerprint
from clip4dm.suggestion.calibrated import vocabulary_sha256
from clip4dm.suggestion.vocabulary import Vocabulary, packaged_vocabulary

IMAGES_PER_BLOCK = 16


@dataclass(frozen=True)
class Corrections:
    """What came of it. unasked: foils of which no single word was exchanged, or whose original is not known.

    correct(detector, samples, Path("images"), vocabulary, folder, config).figures["kind"]["all"]["top 1"]
    """

    figures: Figures
    foils: int
    unasked: int


def exchanges_of(samples: Sequence[Sample]) -> dict[str, Exchange]:
    """By the foils' ids. Errors: InputError where there are none.

    exchanges_of(reading.samples)["7-foil"].original
    """
    found = {sample.id: exchange for sample in samples if (exchange := exchange_of(sample))}
    if not found:
        raise InputError(
            "--suggest is measured on foils in which one word was exchanged, beside their originals, as FOIL has them; "
            "this file has none"
        )
    return found


def correct(
    detector: CLIP4DM,
    samples: Sequence[Sample],
    img_dir: Path,
    vocabulary: Vocabulary,
    folder: Path,
    config: Mapping[str, Any],
    *,
    seed: int = 0,
) -> Corrections:
    """Ask for every foil word and every word that is called, measure, and write both files into a run's folder.

    config: of the run. Pictures that cannot be read are passed over, as in the run. Errors: InputError, RunError.

        correct(detector, samples, Path("images"), vocabulary, folder, config)
    """
    exchanges = exchanges_of(samples)
    asking = Asking(detector, Exchanged.of(exchanges.values()), vocabulary, packaged_vocabulary())
    words = {"vocabulary": vocabulary.name, "sha256": vocabulary_sha256(vocabulary)}  # their groups too
    mark = fingerprint({"run": config["fingerprint"], **words})
    rows = _read_finished(folder, mark)
    if rows is None:
        rows = _rows(folder, mark, asking, plan_blocks(samples, IMAGES_PER_BLOCK), img_dir, exchanges)
    groups = {sample.id: group for sample in samples for group in list(sample.groups.values())[:1]}
    foils = [sample.id for sample in samples if sample.misaligned]
    found = figures(rows, groups, [foil for foil in foils if foil in exchanges], seed=seed)
    lines = b"".join(to_line(row.as_dict()) for row in rows)
    write_whole(folder / SUGGESTIONS, lines)
    about = {"foils": len(foils), "asked": len(exchanges), "fingerprint": mark, "suggestions_sha256": _sha256(lines)}
    write_json(folder / CORRECTIONS, _as_json(found, about, vocabulary, config))
    (folder / PART).unlink(missing_ok=True)
    return Corrections(found, len(foils), len(foils) - len(exchanges))


def _as_json(
    found: Figures, about: Mapping[str, Any], vocabulary: Vocabulary, config: Mapping[str, Any]
) -> dict[str, Any]:
    as_dicts = {
        name: {group: {what: figure.as_dict() for what, figure in mine.items()} for group, mine in groups.items()}
        for name, groups in found.items()
    }
    words = {"name": vocabulary.name, "words": len(vocabulary.words), "sha256": vocabulary_sha256(vocabulary)}
    return {"run": config["fingerprint"], "vocabulary": words, **about, "figures": as_dicts}


def _rows(
    folder: Path, mark: str, asking: Asking, blocks: Sequence[Block], img_dir: Path, exchanges: Mapping[str, Exchange]
) -> list[Row]:
    path = folder / PART
    done, rows = _read_part(path, mark)
    lines = [to_line({"fingerprint": mark}), *(to_line(row.as_dict()) for row in rows)]
    lines += [to_line({"done": number}) for number in sorted(done)]
    write_whole(path, b"".join(lines))  # without what was not whole
    with tqdm(blocks, "suggesting", unit="block", mininterval=1) as bar:
        for block in bar:
            if block.number in done:
                continue
            new = _rows_of_block(asking, block, img_dir, exchanges)
            rows += new
            with writing(path), open(path, "ab") as file:
                file.write(b"".join([*(to_line(row.as_dict()) for row in new), to_line({"done": block.number})]))
    order = {id_: number for number, id_ in enumerate(sample.id for block in blocks for sample in block.samples)}
    return sorted(rows, key=lambda row: (order[row.id], row.start))


def _rows_of_block(asking: Asking, block: Block, img_dir: Path, exchanges: Mapping[str, Exchange]) -> list[Row]:
    detector = asking.detector
    rows: list[Row] = []
    for image in block.images:
        mine = [sample for sample in block.samples if sample.image == image]
        try:
            features = detector.encode_images(img_dir / image)  # type: ignore[attr-defined]
        except ImageError:
            continue
        detections = detector.detect_encoded(features, detector.encode_captions([sample.caption for sample in mine]))
        for sample, detection in zip(mine, detections, strict=True):
            rows += asking.rows(sample, exchanges.get(sample.id), features, detection)
    return rows


def _sha256(lines: bytes) -> str:
    return hashlib.sha256(lines).hexdigest()


def _read_finished(folder: Path, mark: str) -> list[Row] | None:
    """The rows of the same asking, where they are there as they were written; else None."""
    try:
        about = json.loads((folder / CORRECTIONS).read_bytes())
        lines = (folder / SUGGESTIONS).read_bytes()
        if about["fingerprint"] != mark or about["suggestions_sha256"] != _sha256(lines):
            return None
        return [_row(from_line(line)) for line in lines.split(b"\n")[:-1]]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _row(content: dict[str, Any]) -> Row:
    """Errors: TypeError, KeyError for what is none."""
    return Row(**{**content, "top": tuple((word, gain) for word, gain in content["top"])})


def _read_part(path: Path, mark: str) -> tuple[set[int], list[Row]]:
    """The blocks that are whole, and their rows. Of another run, or damaged, none."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return set(), []
    done: set[int] = set()
    kept: list[Row] = []
    waiting: list[Row] = []
    try:
        if json.loads(lines[0]) != {"fingerprint": mark}:
            return set(), []
        for line in lines[1:]:
            content = from_line(line)
            if "done" in content:
                done.add(content["done"])
                kept, waiting = kept + waiting, []
            else:
                waiting.append(_row(content))
    except (ValueError, TypeError, KeyError, IndexError):
        pass  # a line that is not whole, and what came after it
    return done, kept
