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

from clip4dm.benchmarks.base import ORIGINAL, Benchmark, BenchmarkError, Reading, Sample
from clip4dm.benchmarks.fields import field, flags, has_columns, inside, number, read_annotations, unique_id
from clip4dm.benchmarks.rules import judge_tokens
from clip4dm.benchmarks.tfrecord import Feature, TFRecordError, read_examples
from clip4dm.captions.tracked import Span

_TOKEN = re.compile(r'[^,.?!":; ]+')  # the published split: any of these characters parts, nothing empty stays
METADATA = "metadata.json"


def recognises(content: Any) -> bool:
    """Whether parsed JSON is Rich-HF's, rows with prompt, labels and misalignment_score, or a path a tfrecord's.

    >>> recognises([{"prompt": "a cup", "labels": "1 0", "misalignment_score": 0.5}]), recognises(Path(__file__))
    (True, False)
    """
    if isinstance(content, Path):
        return content.is_file() and _starts_like_tfrecord(content)
    return has_columns(content, "prompt", "labels", "misalignment_score")


def token_spans(prompt: str) -> tuple[Span, ...]:
    """The spans of a prompt's tokens, as Rich-HF splits it.

    >>> token_spans("a cup, red")
    ((0, 1), (2, 5), (7, 10))
    """
    return tuple(match.span() for match in _TOKEN.finditer(prompt))


def read(path: Path, content: Any, img_dir: Path | None = None, reference_path: Path | None = None) -> Reading:
    """The prompts in file order. A row whose labels are not as many as its prompt's tokens is left out, and counted.

    img_dir: where a tfrecord's prompts are looked for, in metadata.json. Errors: BenchmarkError.

    >>> row = {"filename": "7.png", "prompt": "a cup, red", "labels": "1 1 0", "misalignment_score": 0.5}
    >>> [(sample.id, sample.spans) for sample in read(Path("richhf.json"), [row]).samples]
    [('7.png', ((7, 10),))]
    """
    samples: list[Sample] = []
    seen: dict[str, str] = {}
    left_out: Counter[str] = Counter()
    rows = _tfrecord_rows(path, img_dir) if isinstance(content, Path) else enumerate(content)
    for place, row in rows:
        where = f"{path}, row {place}"
        prompt = field(row, "prompt", str, where)
        labels = _labels(field(row, "labels", (list, str), where), where)
        spans = token_spans(prompt)
        if len(spans) != len(labels):
            left_out["the prompt has another number of tokens than there are labels"] += 1
            continue
        filename = field(row, "filename" if "filename" in row else "image", str, where)
        image = inside(field(row, "image", str, where) if row.get("image") else filename, where)
        misaligned = tuple(not label for label in labels)
        wrong = tuple(span for span, is_wrong in zip(spans, misaligned, strict=True) if is_wrong)
        samples.append(
            Sample(
                id=unique_id(filename, seen, where),
                image=image,
                image_id=Path(image).stem,
                caption=prompt,
                misaligned=bool(wrong),
                spans=wrong,
                label=" ".join(prompt[start:end] for start, end in wrong) or ORIGINAL,
                tokens=spans,
                token_labels=misaligned,
                gt_score=number(row, "misalignment_score", where),
            )
        )
    return Reading(samples, dict(left_out))


def _labels(given: list[Any] | str, where: str) -> tuple[bool, ...]:
    """Whether each token is aligned, of a list of 1 and 0, or the published "1 0 1"."""
    values = [{"0": 0, "1": 1}.get(text, text) for text in given.split()] if isinstance(given, str) else given
    return flags(values, "a label (1, or 0 for misaligned)", where)


def _tfrecord_rows(path: Path, img_dir: Path | None) -> Iterator[tuple[int, dict[str, Any]]]:
    prompts: Mapping[str, Any] | None = None
    try:
        for number, example in enumerate(read_examples(path)):
            where = f"{path}, record {number}"
            row: dict[str, Any] = {"filename": _text(example, "filename", where)}
            row["labels"] = _text(example, "prompt_misalignment_label", where)
            scores = example.get("misalignment_score")
            if not scores:
                raise BenchmarkError(f"{where} has no misalignment_score; it has: {', '.join(sorted(example))}")
            row["misalignment_score"] = scores[0]
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
            "{filename: prompt} there"
        )
    prompts = read_annotations(metadata)
    if not isinstance(prompts, dict):
        raise BenchmarkError(f"{metadata} is a {type(prompts).__name__}, not an object of filename: prompt")
    return prompts


def _text(example: Mapping[str, Feature], name: str, where: str) -> str:
    values = example.get(name)
    if not values or not isinstance(values[0], bytes):
        raise BenchmarkError(f"{where} has no text {name!r}; it has: {', '.join(sorted(example)) or 'nothing'}")
    try:
        return values[0].decode("utf-8")
    except UnicodeDecodeError:
        raise BenchmarkError(f"{where}: {name!r} is no UTF-8 text") from None


def _starts_like_tfrecord(path: Path) -> bool:
    """A record begins with its length in eight bytes, the last four of them zero, as no text does."""
    with open(path, "rb") as file:
        head = file.read(12)
    return len(head) == 12 and not any(head[4:8])


RICHHF = Benchmark(
    name="richhf",
    title="Rich-HF",
    rule="a token is misaligned if a word below epsilon overlaps it",
    structure="a tfrecord of filename, misalignment_score, prompt_misalignment_label, or a list of {filename, image, "
    "prompt, labels, misalignment_score}",
    positive="misaligned",
    sorted_by="threshold",
    epsilon=-1e-5,  # the paper's for this benchmark alone
    recognises=recognises,
    reader=read,
    judge=judge_tokens,
    has_tokens=True,
    has_correlation=True,
)
