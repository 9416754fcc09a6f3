"""HAT (Petryk et al. 2024): machine captions of COCO pictures, every word labelled hallucinated or not by people.

A list of {sample_id, caption, grounding: [[word, is_hallucinated], ...], image_path, references}; the words are
caption.split(). Positive class: captions with a hallucination. Every hallucinated word is a span of its own. The label
is the hallucinated words joined, without the '.' and ',' around them, as the published code compares them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from clip4dm.benchmarks.base import Benchmark, BenchmarkError, Sample
from clip4dm.benchmarks.labels import field, flags, inside, texts, unique_id
from clip4dm.benchmarks.rules import judge_lowest_phrase


def recognises(content: Any) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and isinstance(content[0], dict)
        and {"caption", "grounding"} <= set(content[0])
    )


def read(
    path: Path, content: Any, img_dir: Path | None = None, reference_path: Path | None = None
) -> tuple[list[Sample], dict[str, int]]:
    """HAT's captions in file order. Errors: BenchmarkError where the grounding's words are not the caption's."""
    samples, seen = [], {}
    for number, row in enumerate(content):
        where = f"{path}, row {number}"
        caption, image = field(row, "caption", str, where), inside(field(row, "image_path", str, where), where)
        tokens = list(re.finditer(r"\S+", caption))
        grounding = field(row, "grounding", list, where)
        pairs = [pair for pair in grounding if isinstance(pair, list) and len(pair) == 2]
        if len(pairs) != len(grounding) or [pair[0] for pair in pairs] != [match.group() for match in tokens]:
            raise BenchmarkError(f"{where}: the grounding's words are not those of the caption {caption!r:.80}")
        labels = flags([pair[1] for pair in pairs], "a word's label", where)
        spans = tuple(match.span() for match, label in zip(tokens, labels, strict=True) if label)
        references = texts(row, "references", where) if "references" in row else ()
        samples.append(
            Sample(
                id=unique_id(str(field(row, "sample_id", (str, int), where)), seen, where),
                image=image,
                image_id=Path(image).stem,
                caption=caption,
                misaligned=any(labels),
                spans=spans,
                label=" ".join(caption[start:end].strip(".,") for start, end in spans) or "ORIG",
                references=references,
            )
        )
    return samples, {}


HAT = Benchmark(
    name="hat",
    title="HAT",
    rule="neighbouring words below epsilon merge, the lowest phrase is the prediction; a hit (as published) if it is "
    "a substring of the hallucinated words",
    structure="a list of {sample_id, caption, grounding: [[word, is_hallucinated], ...], image_path, references}",
    positive="misaligned",
    sorted_by="threshold",
    epsilon=-5e-5,
    recognises=recognises,
    reader=read,
    judge=judge_lowest_phrase,
    has_location=True,
)
