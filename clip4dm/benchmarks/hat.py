"""HAT (Petryk et al. 2024): machine captions of COCO pictures, every word labelled hallucinated or not by people.

A list of {sample_id, caption, grounding: [[word, is_hallucinated], ...], image_path, references}; the words are
caption.split(). Positive class: captions with a hallucination. Every hallucinated word is a span of its own. The label
is the hallucinated words joined, without the '.' and ',' around them, as the published code compares them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from clip4dm.benchmarks.base import ORIGINAL, Benchmark, BenchmarkError, Reading, Sample
from clip4dm.benchmarks.fields import field, flags, has_columns, inside, texts, unique_id
from clip4dm.benchmarks.rules import judge_lowest_phrase
from clip4dm.scores import EPSILON


def recognises(content: Any) -> bool:
    """Whether parsed JSON is HAT's: rows with caption and grounding.

    >>> recognises([{"caption": "a cup", "grounding": [["a", 0], ["cup", 1]]}])
    True
    """
    return has_columns(content, "caption", "grounding")


def read(path: Path, content: Any, img_dir: Path | None = None, reference_path: Path | None = None) -> Reading:
    """HAT's captions in file order; each row brings its references, so that reference_path is not read.

    Errors: BenchmarkError, also where the grounding's words are not the caption's.

    >>> row = {"sample_id": 7, "caption": "a cup", "grounding": [["a", 0], ["cup", 1]], "image_path": "COCO_7.jpg"}
    >>> [(sample.id, sample.spans) for sample in read(Path("hat.json"), [row]).samples]
    [('7', ((2, 5),))]
    """
    samples: list[Sample] = []
    seen: dict[str, str] = {}
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
                label=" ".join(caption[start:end].strip(".,") for start, end in spans) or ORIGINAL,
                references=references,
            )
        )
    return Reading(samples)


HAT = Benchmark(
    name="hat",
    title="HAT",
    rule="neighbouring words below epsilon merge, the lowest phrase is the prediction; a hit (as published) if it is "
    "a substring of the hallucinated words",
    structure="a list of {sample_id, caption, grounding: [[word, is_hallucinated], ...], image_path, references}",
    positive="misaligned",
    sorted_by="threshold",
    epsilon=EPSILON,
    recognises=recognises,
    reader=read,
    judge=judge_lowest_phrase,
    has_location=True,
)
