"""Figures by part of speech: spaCy says what a labelled word is, with any pipeline that tags (optional dependency).

Universal parts of speech (NOUN, PROPN, VERB, ...). A label of several words has the part of its syntactic root where
the pipeline parses, else of its last word, since phrases of English end in their noun.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip4dm.benchmarks.base import Benchmark, Sample
from clip4dm.benchmarks.labels import overlaps_any
from clip4dm.captions.tracked import Span
from clip4dm.errors import CLIP4DMError
from clip4dm.evaluation.metrics import metrics
from clip4dm.evaluation.metrics.metrics import Bootstrap, Figure
from clip4dm.evaluation.records import Scored, Settings, sample_of, score_record
from clip4dm.evaluation.store.finished import stored_records

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

DEFAULT_PIPELINE = "en_core_web_sm"
OTHER = "X"  # where the pipeline says nothing
_AT_ONCE = 256


class TaggerUnavailable(CLIP4DMError, ValueError):
    """No parts of speech can be had: why, and how to go on, in one line."""


def load_tagger(pipeline: str = DEFAULT_PIPELINE) -> Language:
    """A spaCy pipeline by name or folder. Errors: TaggerUnavailable.

    nlp = load_tagger("en_core_web_sm")
    """
    try:
        import spacy
    except ImportError:
        raise TaggerUnavailable(
            "parts of speech need spaCy: pip install spacy && python -m spacy download en_core_web_sm"
        ) from None
    try:
        nlp = spacy.load(pipeline)
    except (OSError, ValueError) as error:
        raise TaggerUnavailable(
            f"spaCy cannot load the pipeline {pipeline!r} ({str(error).splitlines()[0]:.120}): fetch one with python "
            "-m spacy download en_core_web_sm, or give the name or the folder of another"
        ) from None
    if not any(word.pos_ for word in nlp("a red dog runs")):
        raise TaggerUnavailable(
            f"the spaCy pipeline {pipeline!r} says no parts of speech; it has: {', '.join(nlp.pipe_names) or 'nothing'}"
        )
    return nlp


def part_of(document: Doc, span: Span) -> str:
    """The part of speech of a character span of a spaCy document.

    part_of(nlp("a red cup"), (6, 9))  # "NOUN"
    """
    inside = [
        word
        for word in document
        if word.idx < span[1] and word.idx + len(word) > span[0] and not (word.is_punct or word.is_space)
    ]
    if not inside:
        return OTHER
    if document.has_annotation("DEP"):
        heads = [word for word in inside if word.head == word or word.head not in inside]
        inside = heads[:1]
    return inside[-1].pos_ or OTHER


def by_part_of_speech(
    samples_path: Path, benchmark: Benchmark, settings: Settings, nlp: Language, seed: int = 0
) -> dict[str, dict[str, Figure]]:
    """{part of speech: {figure: Figure}} of a finished run's samples.jsonl, most frequent part first.

    Where the benchmark labels every token, precision, recall and f1 of the tokens of that part; where it has location
    accuracy, LA and LA_span of the captions whose false word is of that part. nlp: of `load_tagger`. seed: of the
    bootstrap. Errors: DamagedRun.

        by_part_of_speech(run.samples, get_benchmark("foil"), run.settings, load_tagger())["NOUN"]["LA"].value
    """
    rows: list[tuple[str, str, dict[str, Any]]] = []  # (image, part of speech, counts)
    for sample, scored, document in _read(samples_path, benchmark, settings, nlp):
        if sample.tokens:
            rows += [
                (sample.image, part, counts)
                for part, counts in _token_counts(sample, scored.sound.predicted_spans, document).items()
            ]
        elif benchmark.has_location and sample.misaligned and sample.spans:
            rows.append(
                (
                    sample.image,
                    part_of(document, sample.spans[0]),
                    {"hit": scored.published.hit, "hit_span": scored.sound.hit_span},
                )
            )
    if not rows:
        return {}
    bootstrap = Bootstrap([image for image, _, _ in rows], seed=seed)
    sizes: dict[str, int] = {}
    for _, part, counts in rows:
        sizes[part] = sizes.get(part, 0) + counts.get("tokens", 1)
    return {
        part: _figures(
            [row[2] for row in rows if row[1] == part], bootstrap.take(np.flatnonzero([row[1] == part for row in rows]))
        )
        for part in sorted(sizes, key=lambda name: -sizes[name])
    }


def _read(path: Path, benchmark: Benchmark, settings: Settings, nlp: Language) -> Iterator[tuple[Sample, Scored, Doc]]:
    def records() -> Iterator[tuple[str, dict[str, Any]]]:
        for record in stored_records(path, settings.layers):
            if "skipped" not in record:
                yield record["caption"], record

    for document, record in nlp.pipe(records(), as_tuples=True, batch_size=_AT_ONCE):
        sample = sample_of(record)
        yield sample, score_record(record, sample, benchmark, settings), document


def _token_counts(sample: Sample, predicted: Sequence[Span], document: Doc) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for span, label in zip(sample.tokens, sample.token_labels, strict=True):
        said = overlaps_any(span, predicted)
        mine = counts.setdefault(part_of(document, span), {"tp": 0, "fp": 0, "fn": 0, "tokens": 0})
        mine["tp"] += said and label
        mine["fp"] += said and not label
        mine["fn"] += label and not said
        mine["tokens"] += 1
    return counts


def _figures(counts: list[dict[str, Any]], bootstrap: Bootstrap) -> dict[str, Figure]:
    def column(name: str) -> list[Any]:
        return [row[name] for row in counts]

    if "tokens" in counts[0]:
        return metrics.precision_recall_f1(column("tp"), column("fp"), column("fn"), bootstrap)
    return {
        "LA": metrics.location_accuracy(column("hit"), bootstrap),
        "LA_span": metrics.location_accuracy(column("hit_span"), bootstrap),
    }
