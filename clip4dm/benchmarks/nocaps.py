"""nocaps-FOIL (Petryk et al. 2024): nocaps captions and the same with an object's name replaced.

A list of {image_path, references, baseline, foil, replacement: [original, foil], domain}; each row is two samples.
Positive class: originals. The foil's labels are where it differs from the baseline, checked against `replacement`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from clip4dm.benchmarks.base import ORIGINAL, Benchmark, BenchmarkError, Reading, Sample
from clip4dm.benchmarks.fields import field, has_columns, inside, texts
from clip4dm.benchmarks.labels import changed_phrase, changed_spans
from clip4dm.benchmarks.rules import judge_lowest_word
from clip4dm.captions.tracked import Span
from clip4dm.scores import EPSILON


def recognises(content: Any) -> bool:
    """Whether parsed JSON is nocaps-FOIL's: rows with baseline, foil and replacement.

    >>> recognises([{"baseline": "a cup", "foil": "a cap", "replacement": ["cup", "cap"]}])
    True
    """
    return has_columns(content, "baseline", "foil", "replacement")


def read(path: Path, content: Any, img_dir: Path | None = None, reference_path: Path | None = None) -> Reading:
    """Two samples a row, ROW-baseline and ROW-foil. The row's references serve both; none has an id to leave out by.

    Errors: BenchmarkError. The pictures of img_dir are not looked at, reference_path is not read.

    >>> row = {"image_path": "0.jpg", "baseline": "a cup", "foil": "a cap", "replacement": ["cup", "cap"],
    ...        "references": [], "domain": "in-domain"}
    >>> [(sample.id, sample.spans) for sample in read(Path("nocaps.json"), [row]).samples]
    [('0-baseline', ()), ('0-foil', ((2, 5),))]
    """
    samples: list[Sample] = []
    for number, row in enumerate(content):
        where = f"{path}, row {number}"
        image = inside(field(row, "image_path", str, where), where)
        baseline, foil = field(row, "baseline", str, where), field(row, "foil", str, where)
        replacement = field(row, "replacement", list, where)
        if len(replacement) != 2 or not all(isinstance(word, str) for word in replacement):
            raise BenchmarkError(f"{where}: replacement is {replacement!r:.60}, not [original, foil]")
        original = Sample(
            id=f"{number}-baseline",
            image=image,
            image_id=Path(image).stem,
            caption=baseline,
            misaligned=False,
            spans=(),
            label=ORIGINAL,
            references=texts(row, "references", where),
            groups={"domain": field(row, "domain", str, where)},
        )
        word = replacement[1]
        spans = locate(baseline, foil, word)
        foiled = replace(original, id=f"{number}-foil", caption=foil, misaligned=True, spans=spans, label=word)
        samples += [original, foiled]
    return Reading(samples)


def locate(baseline: str, foil: str, word: str) -> tuple[Span, ...]:
    """The replaced spans of the foil: the foil word where the captions differ, else whatever differs.

    >>> locate("a cup by a cap", "a cap by a cap", "cap")
    ((2, 5),)
    """
    changed = changed_spans(baseline, foil)
    return changed_phrase(foil, word, changed) or changed


NOCAPS = Benchmark(
    name="nocaps",
    title="nocaps-FOIL",
    rule="the lowest word is the prediction; a hit if it is the replaced word (one of several words never can be)",
    structure="a list of {image_path, references, baseline, foil, replacement, domain}",
    positive="original",
    sorted_by="most_negative",
    epsilon=EPSILON,
    recognises=recognises,
    reader=read,
    judge=judge_lowest_word,
    group_keys=("domain",),
    has_location=True,
)
