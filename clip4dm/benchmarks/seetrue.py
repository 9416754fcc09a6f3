"""SeeTRUE-Feedback (Gordon et al. 2024): captions that contradict their pictures, and people's words on how.

Rows have image_caption, image_name, dataset_source, id_in_source_dataset, caption_misalignment. Read from the published
CSV, from a JSON list of such rows (as misc/download_seetrue_image.py writes), or from the Hugging Face dataset
saved to disk. Pictures are files of the image folder in all three cases. All captions are misaligned: no AP; what is
measured is how far caption_misalignment entails the predicted words.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clip4dm.benchmarks.base import Benchmark, BenchmarkError, Reading, Sample
from clip4dm.benchmarks.fields import field, has_columns, inside, unique_id
from clip4dm.benchmarks.labels import substring_spans, whole_word_spans
from clip4dm.benchmarks.rules import judge_phrases
from clip4dm.captions.tracked import Span
from clip4dm.files.reading import FileError, read_text
from clip4dm.scores import EPSILON


def recognises(content: Any) -> bool:
    """Whether parsed JSON or a CSV's rows are SeeTRUE-Feedback's, or a path a saved dataset's.

    >>> recognises([{"image_caption": "", "caption_misalignment": "", "dataset_source": ""}])
    True
    """
    if isinstance(content, Path):
        return is_saved_dataset(content)
    return has_columns(content, "image_caption", "caption_misalignment", "dataset_source")


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was written by datasets.Dataset.save_to_disk (or DatasetDict's).

    >>> is_saved_dataset(Path("/"))
    False
    """
    return path.is_dir() and ((path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file())


def read_csv(path: Path) -> list[dict[str, str]]:
    """A CSV file's rows, each a dict by the header's names. Errors: BenchmarkError.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "data.csv"; _ = path.write_text("id,caption\\n7,a cup\\n"); read_csv(path)
    [{'id': '7', 'caption': 'a cup'}]
    """
    try:
        rows = [dict(row) for row in csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)]
    except FileError as error:
        raise BenchmarkError(str(error)) from None
    except csv.Error as error:
        raise BenchmarkError(f"{path} cannot be read as CSV: {error}") from error
    for number, row in enumerate(rows):
        if None in row or None in row.values():
            raise BenchmarkError(f"{path}, row {number} has not as many cells as the header has names")
    return rows


def read(path: Path, content: Any, img_dir: Path | None = None, reference_path: Path | None = None) -> Reading:
    """The feedback's captions in file order, without the quotation marks around them. Errors: BenchmarkError.

    The pictures of img_dir are not looked at; there are no references.

    >>> row = {"image_name": "7.png", "image_caption": "a red cup", "caption_misalignment": "red cup",
    ...        "dataset_source": "drawbench"}
    >>> [(sample.id, sample.spans) for sample in read(Path("seetrue.json"), [row]).samples]
    [('0', ((2, 9),))]
    """
    rows: Iterable[Mapping[str, Any]] = _saved_rows(path) if isinstance(content, Path) else content
    samples: list[Sample] = []
    seen: dict[str, str] = {}
    for number, row in enumerate(rows):
        where = f"{path}, row {number}"
        caption = _unquoted(field(row, "image_caption", str, where))
        image = field(row, "image" if row.get("image") is not None else "image_name", str, where)
        label = field(row, "caption_misalignment", (str, type(None)), where) or ""  # null: nobody said what is wrong
        label = label.strip()
        name = str(field(row, "id", (str, int), where)) if "id" in row else str(number)
        samples.append(
            Sample(
                id=unique_id(name, seen, where),
                image=inside(image, where),
                image_id=Path(image).stem,
                caption=caption,
                misaligned=True,
                spans=locate(caption, label),
                label=label,
                groups={"source": field(row, "dataset_source", str, where)},
            )
        )
    return Reading(samples)


def locate(caption: str, misalignment: str) -> tuple[Span, ...]:
    """Where the misalignment stands in the caption; () where it is in other words than the caption's.

    >>> locate("A red cup on a table", "Red cup."), locate("A red cup", "the cup is blue")
    (((2, 9),), ())
    """
    misalignment = misalignment.strip(" .,\"'")
    return (whole_word_spans(caption, misalignment) or substring_spans(caption, misalignment))[:1]


def _unquoted(caption: str) -> str:
    quoted = len(caption) >= 2 and caption[0] == caption[-1] == '"'
    return caption[1:-1] if quoted else caption


def _saved_rows(path: Path) -> Iterable[Mapping[str, Any]]:
    try:
        import datasets  # here: large, and needed for this kind of file alone
    except ImportError:
        raise BenchmarkError(f"{path} is a saved Hugging Face dataset; to read it: pip install datasets") from None
    try:
        found = datasets.load_from_disk(str(path))
    except Exception as error:  # pyarrow and datasets raise many kinds on damaged folders
        raise BenchmarkError(f"{path} is no readable Hugging Face dataset: {error}") from error
    parts = [found] if isinstance(found, datasets.Dataset) else list(found.values())
    for part in parts:
        pictures = [name for name, kind in part.features.items() if isinstance(kind, datasets.Image)]
        rows = part.remove_columns(pictures)  # not decoded: the pictures are read from files
        for number in range(len(rows)):
            try:
                row = rows[number]
            except Exception as error:  # as above
                raise BenchmarkError(f"{path}, row {number} cannot be read: {error}") from error
            yield row


SEETRUE = Benchmark(
    name="seetrue",
    title="SeeTRUE-Feedback",
    rule="the words below epsilon, neighbours merged, are the prediction; scored by NLI against caption_misalignment",
    structure="a CSV, a JSON list or a saved Hugging Face dataset of image_caption, image_name, dataset_source, "
    "caption_misalignment",
    positive=None,
    sorted_by="threshold",
    epsilon=EPSILON,
    recognises=recognises,
    reader=read,
    judge=judge_phrases,
    group_keys=("source",),
    has_nli=True,
)
