"""Scores with people's labels as labelled words, which a calibration is made of.

The labels are a column of the input of `clip4dm score`, which carries it into the scores: of each row a list, as JSON
in a text, of the wrong words, as text or as [start, end] in characters of the caption. [] is a caption that is true of
its picture; a row with nothing in the column is not labelled, and left out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clip4dm.benchmarks.labels import overlaps_any, whole_word_spans
from clip4dm.calibration.names import LABELS, CalibrationError
from clip4dm.calibration.risks import LabelledWords
from clip4dm.calibration.stored import parse_attributed_by
from clip4dm.calibration.study import Source
from clip4dm.captions.sentences import SPLIT
from clip4dm.captions.tracked import Span
from clip4dm.files.reading import parse_json
from clip4dm.scoring.filtering.stored import read_scores
from clip4dm.scoring.sink import SCORE_FILE


def source_of_scores(folder: Path, column: str = LABELS) -> Source:
    """The labelled rows of a folder of scores; rows with an error count no word. column: of the labels.

    Errors: ScoringError for a folder that is not whole; CalibrationError for labels that cannot be.

        source_of_scores(Path("scores"), "wrong").words.images
    """
    scores = read_scores(folder)
    if column not in scores.schema.names:
        raise CalibrationError(
            f"{folder} has no column {column!r:.60}: the labels are a column of the input of `clip4dm score`, a list "
            "of each caption's wrong words, [] where there is none; --labels takes its name"
        )
    about = scores.about.get("attributed_by")
    if about is None:
        raise CalibrationError(
            f"{folder / SCORE_FILE} does not say which layers were averaged: score the labelled pairs again"
        )
    rows: list[tuple[str, float, bool]] = []
    digest = hashlib.sha256()
    places = np.arange(sum(shard.rows for shard in scores.shards))
    for table in scores.rows(places, ["key", "image", "caption", "words", column]):
        for row in table.to_pylist():
            spans = label_spans(row[column], row["caption"] or "", f"{folder}, row with key {row['key']!r:.60}")
            if spans is None or row["words"] is None:
                continue
            digest.update(json.dumps([row["image"], row["caption"], spans]).encode())
            picture = os.path.normpath(row["image"])  # ./a.jpg and a.jpg are one, and must not decide and be held out
            rows += [(picture, *judged(word, spans)) for word in row["words"] if word["attribution"] is not None]
    settings = scores.about.get("settings")
    split = isinstance(settings, dict) and settings.get("long") == SPLIT
    return Source(LabelledWords.of_rows(rows), parse_attributed_by(about), column, digest.hexdigest(), split)


def judged(word: Mapping[str, Any], spans: tuple[Span, ...]) -> tuple[float, bool]:
    """(attribution, whether the word is wrong): it overlaps a labelled span.

    >>> judged({"attribution": -0.25, "start": 2, "end": 6}, ((2, 6),))
    (-0.25, True)
    """
    return word["attribution"], overlaps_any((word["start"], word["end"]), spans)


def label_spans(value: Any, caption: str, where: str) -> tuple[Span, ...] | None:
    """The wrong spans that a row's label says; None where it is not labelled. Errors: CalibrationError.

    >>> label_spans('["coke", [0, 1]]', "a cup of coke", "row 3"), label_spans([], "a", ""), label_spans("", "a", "")
    (((9, 13), (0, 1)), (), None)
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError:
            value = None
    if not isinstance(value, list):
        raise CalibrationError(f'{where}: a label is a list such as ["coke"] or [[9, 13]], [] for a true caption')
    spans: list[Span] = []
    for one in value:
        found = whole_word_spans(caption, one) if isinstance(one, str) else _span(one, len(caption))
        if not found:
            raise CalibrationError(f"{where}: the label {one!r:.60} does not stand in the caption {caption!r:.80}")
        spans += found
    return tuple(spans)


def _span(value: Any, length: int) -> tuple[Span, ...]:
    whole = isinstance(value, list) and len(value) == 2 and all(type(place) is int for place in value)
    return ((value[0], value[1]),) if whole and 0 <= value[0] < value[1] <= length else ()
