"""FOIL v1.0 (Shekhar et al. 2017): COCO captions with one noun swapped for a false one, and their originals.

{"images": [{id, file_name}], "annotations": [{id, image_id, caption, foil, foil_id, foil_word, target_word}]}; an
original has foil_word "ORIG". Positive class: originals.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from clip4dm.benchmarks.base import ORIGINAL, Benchmark, BenchmarkError, Reading, Sample
from clip4dm.benchmarks.fields import field, inside, read_annotations
from clip4dm.benchmarks.labels import changed_phrase, changed_spans, substring_spans, whole_word_spans
from clip4dm.benchmarks.rules import judge_lowest_word
from clip4dm.captions.tracked import Span
from clip4dm.scores import EPSILON

Id = int | str  # of an image, a caption or a pair
GROUP_KEYS = ("pos", "kind")  # of SugarCrepe, and of misc/make_shapes_benchmark.py


def recognises(content: Any) -> bool:
    """Whether parsed JSON is FOIL's: images, and annotations of which the first has a foil_word.

    >>> recognises({"images": [], "annotations": [{"foil_word": "ORIG"}]}), recognises([])
    (True, False)
    """
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        return False
    rows = content["annotations"]
    return "images" in content and bool(rows) and isinstance(rows[0], dict) and "foil_word" in rows[0]


def read(path: Path, content: Any, img_dir: Path | None = None, reference_path: Path | None = None) -> Reading:
    """FOIL's captions in file order. Errors: BenchmarkError.

    reference_path: COCO captions JSON; a caption is no reference of itself, by id. The pictures of img_dir are not
    looked at.

    >>> content = {"images": [{"id": 7, "file_name": "7.jpg"}], "annotations": [
    ...     {"id": 1, "image_id": 7, "foil_id": 0, "foil_word": "ORIG", "caption": "a cat"},
    ...     {"id": 2, "image_id": 7, "foil_id": 0, "foil_word": "dog", "caption": "a dog"}]}
    >>> [(sample.id, sample.spans) for sample in read(Path("foil.json"), content).samples]
    [('1-0-orig', ()), ('2-0-foil', ((2, 5),))]
    """
    images: dict[Id, str] = {}
    for number, row in enumerate(field(content, "images", list, str(path))):
        where = f"{path}, images[{number}]"
        images[field(row, "id", (int, str), where)] = inside(field(row, "file_name", str, where), where)
    references = _references(reference_path) if reference_path else {}
    rows = field(content, "annotations", list, str(path))
    originals: dict[Id, str] = {}
    for number, row in enumerate(rows):
        where = f"{path}, annotations[{number}]"
        if field(row, "foil_word", str, where) == ORIGINAL:
            originals[field(row, "foil_id", (int, str), where)] = field(row, "caption", str, where)
    samples = []
    for number, row in enumerate(rows):
        where = f"{path}, annotations[{number}]"
        image_id = field(row, "image_id", (int, str), where)
        if image_id not in images:
            raise BenchmarkError(f"{where}: image_id {image_id!r} is none of the file's {len(images)} images")
        caption, word = field(row, "caption", str, where), row["foil_word"]
        number_id = field(row, "id", (int, str), where)
        foil_id = field(row, "foil_id", (int, str), where)
        misaligned = word != ORIGINAL
        mine = () if not misaligned else locate(caption, word, originals.get(foil_id))
        samples.append(
            Sample(
                id=f"{number_id}-{foil_id}-{'foil' if misaligned else 'orig'}",
                image=images[image_id],
                image_id=str(image_id),
                caption=caption,
                misaligned=misaligned,
                spans=mine,
                label=word,
                references=tuple(text for name, text in references.get(image_id, ()) if name != number_id),
                groups=_groups(rows, number),
                original=originals.get(foil_id) if misaligned else None,
            )
        )
    return Reading(_distinct(samples))


def locate(caption: str, foil_word: str, original: str | None) -> tuple[Span, ...]:
    """The foil word's span: where the caption differs from its original, else the whole word, else the letters.

    Where a foil was swapped for a part of a word ("snowboard" in "snowboarder"), the letters are the label. original:
    the true caption, None where the file has none. () where the word stands nowhere.

    >>> locate("a dog by a dog", "dog", "a dog by a cat")
    ((11, 14),)
    """
    meant = changed_phrase(caption, foil_word, changed_spans(original, caption)) if original is not None else ()
    return meant or (whole_word_spans(caption, foil_word) or substring_spans(caption, foil_word))[:1]


def _distinct(samples: list[Sample]) -> list[Sample]:
    """A row that stands in the file more than once stays a sample each time: later ones get a number."""
    counts: dict[str, int] = {}
    renamed = []
    for sample in samples:
        seen = counts.get(sample.id, 0)
        counts[sample.id] = seen + 1
        renamed.append(sample if not seen else replace(sample, id=f"{sample.id}-{seen + 1}"))
    return renamed


def _groups(rows: list[Any], number: int) -> dict[str, str]:
    """The part of speech or the kind that the foil of a pair states, for both; they stand side by side in the files."""
    mine = rows[number].get("foil_id")
    for row in (rows[number], *rows[max(0, number - 1) : number + 2]):
        if row.get("foil_id") == mine and any(key in row for key in GROUP_KEYS):
            return {key: str(row[key]) for key in GROUP_KEYS if key in row}
    return {}


def _references(path: Path) -> dict[Id, list[tuple[Id, str]]]:
    """image id -> (annotation id, caption) of a COCO captions file."""
    content = read_annotations(path)
    by_image: dict[Id, list[tuple[Id, str]]] = {}
    for number, row in enumerate(field(content, "annotations", list, str(path))):
        where = f"{path}, annotations[{number}]"
        entry = (field(row, "id", (int, str), where), field(row, "caption", str, where))
        by_image.setdefault(field(row, "image_id", (int, str), where), []).append(entry)
    return by_image


FOIL = Benchmark(
    name="foil",
    title="FOIL",
    rule="the lowest word is the prediction; a hit if it is the foil word",
    structure='{"images": [{id, file_name}], "annotations": [{id, image_id, caption, foil_id, foil_word}]}',
    positive="original",
    sorted_by="most_negative",
    epsilon=EPSILON,
    recognises=recognises,
    reader=read,
    judge=judge_lowest_word,
    group_keys=GROUP_KEYS,
    has_location=True,
)
