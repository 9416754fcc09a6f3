"""nocaps-FOIL (Petryk et al. 2024): nocaps captions and the same with an object's name replaced.

A list of {image_path, references, baseline, foil, replacement: [original, foil], domain}; each row is two samples.
Positive class: originals. The foil's labels are where it differs from the baseline, checked against `replacement`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clip4dm.benchmarks.base import Benchmark, BenchmarkError, Sample, Span
from clip4dm.benchmarks.labels import (
    changed_spans,
    field,
    inside,
    overlaps_any,
    substring_spans,
    texts,
    whole_word_spans,
)
from clip4dm.benchmarks.rules import judge_lowest_word


def recognises(content: Any) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and isinstance(content[0], dict)
        and {"baseline", "foil", "replacement"} <= set(content[0])
    )


def read(
    path: Path, content: Any, img_dir: Path | None = None, reference_path: Path | None = None
) -> tuple[list[Sample], dict[str, int]]:
    """Two samples a row, ROW-baseline and ROW-foil. The row's references serve both; none has an id to leave out by."""
    samples = []
    for number, row in enumerate(content):
        where = f"{path}, row {number}"
        image = inside(field(row, "image_path", str, where), where)
        baseline, foil = field(row, "baseline", str, where), field(row, "foil", str, where)
        replacement = field(row, "replacement", list, where)
        if len(replacement) != 2 or not all(isinstance(word, str) for word in replacement):
            raise BenchmarkError(f"{where}: replacement is {replacement!r:.60}, not [original, foil]")
        common = {
            "image": image,
            "image_id": Path(image).stem,
            "references": texts(row, "references", where),
            "groups": {"domain": field(row, "domain", str, where)},
        }
        samples.append(
            Sample(id=f"{number}-baseline", caption=baseline, misaligned=False, spans=(), label="ORIG", **common)
        )
        samples.append(
            Sample(
                id=f"{number}-foil",
                caption=foil,
                misaligned=True,
                spans=locate(baseline, foil, replacement[1]),
                label=replacement[1],
                **common,
            )
        )
    return samples, {}


def locate(baseline: str, foil: str, word: str) -> tuple[Span, ...]:
    """The replaced spans of the foil: the foil word where the captions differ, else whatever differs."""
    changed = changed_spans(baseline, foil)
    for candidates in (whole_word_spans(foil, word), substring_spans(foil, word)):
        meant = tuple(span for span in candidates if overlaps_any(span, changed))
        if meant:
            return meant
    return changed


NOCAPS = Benchmark(
    name="nocaps",
    title="nocaps-FOIL",
    rule="the lowest word is the prediction; a hit if it is the replaced word (one of several words never can be)",
    structure="a list of {image_path, references, baseline, foil, replacement, domain}",
    positive="original",
    sorted_by="most_negative",
    epsilon=-5e-5,
    recognises=recognises,
    reader=read,
    judge=judge_lowest_word,
    group_keys=("domain",),
    has_location=True,
)
