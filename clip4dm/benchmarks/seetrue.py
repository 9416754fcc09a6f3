"""SeeTRUE-Feedback (Gordon et al. 2024): captions that contradict their pictures, and people's words on how.

Rows have image_caption, image_name, dataset_source, id_in_source_dataset, caption_misalignment. Read from the published
CSV, from a JSON list of such rows (as misc/download_seetrue_image.py writes), or from the Hugging Face dataset
saved to disk. Pictures are files of the image folder in all three cases. All captions are misaligned: no AP; what is
measured is how far caption_misalignment entails the predicted words.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clip4dm.benchmarks.base import Benchmark, BenchmarkError, Sample, Span
from clip4dm.benchmarks.labels import field, inside, substring_spans, unique_ids, whole_word_spans
from clip4dm.benchmarks.rules import judge_phrases

_COLUMNS = {"image_caption", "caption_misalignment", "dataset_source"}


def recognises(content: Any) -> bool:
    if isinstance(content, Path):
        return is_saved_dataset(content)
    return (isinstance(content, list) and bool(content) and isinstance(content[0], dict)
            and _COLUMNS <= set(content[0]))


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was written by datasets.Dataset.save_to_disk (or DatasetDict's)."""
    return path.is_dir() and ((path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file())


def read_csv(path: Path) -> list[dict[str, str]]:
    """A CSV file's rows as dicts. Errors: BenchmarkError."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [dict(row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchmarkError(f"{path} cannot be read as CSV: {error}") from error
    for number, row in enumerate(rows):
        if None in row or None in row.values():
            raise BenchmarkError(f"{path}, row {number} has not as many cells as the header has names")
    return rows


def read(path: Path, content: Any, img_dir: Path | None = None, reference_path: Path | None = None,
         ) -> tuple[list[Sample], dict[str, int]]:
    """The feedback's captions in file order, without the quotation marks around them."""
    rows: Iterable[Mapping[str, Any]] = _saved_rows(path) if isinstance(content, Path) else content
    samples = []
    for number, row in enumerate(rows):
        where = f"{path}, row {number}"
        caption = _unquoted(field(row, "image_caption", str, where))
        image = row.get("image") if isinstance(row.get("image"), str) else field(row, "image_name", str, where)
        label = row.get("caption_misalignment")
        label = label.strip() if isinstance(label, str) else ""
        samples.append(Sample(
            id=str(row["id"] if "id" in row else number), image=inside(image, where), image_id=Path(image).stem,
            caption=caption, misaligned=True, spans=locate(caption, label), label=label,
            groups={"source": field(row, "dataset_source", str, where)},
        ))
    unique_ids([sample.id for sample in samples], path)
    return samples, {}


def locate(caption: str, misalignment: str) -> tuple[Span, ...]:
    """Where the misalignment stands in the caption; () where it is in other words than the caption's."""
    misalignment = misalignment.strip(" .,\"'")
    return (whole_word_spans(caption, misalignment) or substring_spans(caption, misalignment))[:1]


def _unquoted(caption: str) -> str:
    quoted = len(caption) >= 2 and caption[0] == caption[-1] == '"'
    return caption[1:-1] if quoted else caption


def _saved_rows(path: Path) -> Iterable[Mapping[str, Any]]:
    try:
        import datasets
    except ImportError:
        raise BenchmarkError(f"{path} is a saved Hugging Face dataset; to read it: pip install datasets") from None
    try:
        found = datasets.load_from_disk(str(path))
    except Exception as error:  # pyarrow and datasets raise many kinds on damaged folders
        raise BenchmarkError(f"{path} is no readable Hugging Face dataset: {error}") from error
    parts = [found] if isinstance(found, datasets.Dataset) else list(found.values())
    for part in parts:
        pictures = [name for name, kind in part.features.items() if isinstance(kind, datasets.Image)]
        yield from part.remove_columns(pictures)  # not decoded: the pictures are read from files


SEETRUE = Benchmark(
    name="seetrue", title="SeeTRUE-Feedback",
    rule="the words below epsilon, neighbours merged, are the prediction; scored by NLI against caption_misalignment",
    structure="a CSV, a JSON list or a saved Hugging Face dataset of image_caption, image_name, dataset_source, "
              "caption_misalignment",
    positive=None, sorted_by="threshold", epsilon=-5e-5,
    recognises=recognises, reader=read, judge=judge_phrases, group_keys=("source",), has_nli=True,
)
