"""Rich-HF (Liang et al. 2024): prompts of generated pictures, every token labelled misaligned or not by people.

Read from the JSON that misc/download_richhf_image.py writes, or from a published tfrecord, whose records have
filename, misalignment_score (and three more scores) and prompt_misalignment_label ("1 0 1 ...", 0 = misaligned) but no
prompt: that comes from Pick-a-Pic, by filename, and is looked for in the record, then in IMG_DIR/metadata.json.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clip4dm.benchmarks.base import Benchmark, BenchmarkError, Sample, Span
from clip4dm.benchmarks.labels import field, inside, read_json, unique_ids
from clip4dm.benchmarks.rules import judge_tokens

_TOKEN = re.compile(r'[^,.?!":; ]+')  # the published split: any of these characters parts, nothing empty stays
METADATA = "metadata.json"


def recognises(content: Any) -> bool:
    if isinstance(content, Path):
        return content.is_file() and _starts_like_tfrecord(content)
    return (isinstance(content, list) and bool(content) and isinstance(content[0], dict)
            and {"prompt", "labels", "misalignment_score"} <= set(content[0]))


def token_spans(prompt: str) -> tuple[Span, ...]:
    """The spans of a prompt's tokens, as Rich-HF splits it."""
    return tuple(match.span() for match in _TOKEN.finditer(prompt))


def read(path: Path, content: Any, img_dir: Path | None = None, reference_path: Path | None = None,
         ) -> tuple[list[Sample], dict[str, int]]:
    """The prompts in file order. A row whose labels are not as many as its prompt's tokens is left out, and counted."""
    samples, left_out = [], Counter()
    rows = _tfrecord_rows(path, img_dir) if isinstance(content, Path) else enumerate(content)
    for number, row in rows:
        where = f"{path}, row {number}"
        prompt = field(row, "prompt", str, where)
        labels = _labels(field(row, "labels", (list, str), where), where)
        spans = token_spans(prompt)
        if len(spans) != len(labels):
            left_out["the prompt has another number of tokens than there are labels"] += 1
            continue
        filename = field(row, "filename", str, where) if "filename" in row else field(row, "image", str, where)
        image = inside(str(row.get("image") or filename), where)
        misaligned = tuple(label == 0 for label in labels)
        wrong = tuple(span for span, is_wrong in zip(spans, misaligned, strict=True) if is_wrong)
        samples.append(Sample(
            id=filename, image=image, image_id=Path(image).stem, caption=prompt, misaligned=bool(wrong), spans=wrong,
            label=" ".join(prompt[start:end] for start, end in wrong) or "ORIG", tokens=spans,
            token_labels=misaligned, gt_score=float(field(row, "misalignment_score", (int, float), where)),
        ))
    unique_ids([sample.id for sample in samples], path)
    return samples, dict(left_out)


def _labels(given: list | str, where: str) -> list[int]:
    values = given.split() if isinstance(given, str) else given
    if not all(str(value) in ("0", "1") for value in values):
        raise BenchmarkError(f"{where}: labels are {given!r:.60}, not 0 (misaligned) and 1 alone")
    return [int(value) for value in values]


def _tfrecord_rows(path: Path, img_dir: Path | None) -> Iterator[tuple[int, dict[str, Any]]]:
    from clip4dm.benchmarks.tfrecord import TFRecordError, read_examples

    prompts: Mapping[str, Any] | None = None
    try:
        for number, example in enumerate(read_examples(path)):
            where = f"{path}, record {number}"
            row: dict[str, Any] = {"filename": _text(example, "filename", where)}
            row["labels"] = _text(example, "prompt_misalignment_label", where)
            scores = example.get("misalignment_score")
            if not scores:
                raise BenchmarkError(f"{where} has no misalignment_score; it has: {', '.join(sorted(example))}")
            row["misalignment_score"] = float(scores[0])
            if example.get("prompt"):
                row["prompt"] = _text(example, "prompt", where)
            else:
                prompts = _prompts(path, img_dir) if prompts is None else prompts
                if row["filename"] not in prompts:
                    raise BenchmarkError(f"{where}: no prompt for {row['filename']} in {img_dir}/{METADATA}")
                row["prompt"] = prompts[row["filename"]]
            yield number, row
    except TFRecordError as error:
        raise BenchmarkError(str(error)) from error


def _prompts(path: Path, img_dir: Path | None) -> Mapping[str, Any]:
    metadata = (img_dir or path.parent) / METADATA
    if not metadata.is_file():
        raise BenchmarkError(
            f"{path} holds no prompts (Rich-HF's tfrecords do not), and {metadata} is not there: fetch pictures and "
            "prompts with misc/download_richhf_image.py and give the JSON that it writes, or put a "
            "{filename: prompt} there")
    return read_json(metadata)


def _text(example: Mapping[str, Any], name: str, where: str) -> str:
    values = example.get(name)
    if not values or not isinstance(values[0], bytes):
        raise BenchmarkError(f"{where} has no text {name!r}; it has: {', '.join(sorted(example)) or 'nothing'}")
    return values[0].decode("utf-8")


def _starts_like_tfrecord(path: Path) -> bool:
    """A record begins with its length in eight bytes, most of them zero, as no text does."""
    with open(path, "rb") as file:
        head = file.read(12)
    return len(head) == 12 and b"\0" in head[:8]


RICHHF = Benchmark(
    name="richhf", title="Rich-HF",
    rule="a token is misaligned if a word below epsilon overlaps it",
    structure="a tfrecord of filename, misalignment_score, prompt_misalignment_label, or a list of {filename, image, "
              "prompt, labels, misalignment_score}",
    positive="misaligned", sorted_by="threshold", epsilon=-1e-5,
    recognises=recognises, reader=read, judge=judge_tokens, has_tokens=True, has_correlation=True,
)
