"""The registry of benchmarks, and recognition of an annotation file by its structure, never by its name."""

from __future__ import annotations

import codecs
import difflib
from pathlib import Path
from typing import Any

from clip4dm.benchmarks.base import Benchmark, BenchmarkError, Reading
from clip4dm.benchmarks.fields import read_annotations
from clip4dm.benchmarks.foil import FOIL
from clip4dm.benchmarks.hat import HAT
from clip4dm.benchmarks.judgements import CROWD, EXPERT
from clip4dm.benchmarks.nocaps import NOCAPS
from clip4dm.benchmarks.richhf import RICHHF
from clip4dm.benchmarks.seetrue import SEETRUE, is_saved_dataset, read_csv
from clip4dm.files.reading import FileError, check_regular, kind_of

BENCHMARKS: dict[str, Benchmark] = {b.name: b for b in (FOIL, NOCAPS, HAT, RICHHF, SEETRUE, EXPERT, CROWD)}


def get_benchmark(name: str) -> Benchmark:
    """A benchmark by name. Errors: BenchmarkError with the nearest names.

    >>> get_benchmark("foil").title, list(BENCHMARKS)
    ('FOIL', ['foil', 'nocaps', 'hat', 'richhf', 'seetrue', 'expert', 'crowd'])
    """
    if name not in BENCHMARKS:
        near = difflib.get_close_matches(name.lower(), BENCHMARKS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise BenchmarkError(f"unknown benchmark {name!r}; there are: {', '.join(BENCHMARKS)}.{hint}")
    return BENCHMARKS[name]


def read_benchmark(
    path: Path, name: str | None = None, *, img_dir: Path | None = None, reference_path: Path | None = None
) -> tuple[Benchmark, Reading]:
    """Read an annotation file as the benchmark of that name, or as the one whose structure it has.

    path: of a JSON, CSV or tfrecord file, or of a saved Hugging Face dataset. name: a key of BENCHMARKS, or None.
    img_dir: the image folder, where Rich-HF's tfrecords find their prompts. reference_path: COCO captions for FOIL,
    {picture: captions} for Flickr8k.
    The path says nothing of the benchmark, only the content. Errors: BenchmarkError.

        benchmark, reading = read_benchmark(Path("data/nocaps_val.json"))
        print(benchmark.title, reading.describe())
    """
    asked = get_benchmark(name) if name else None
    content = _content(Path(path))
    found = next((b for b in BENCHMARKS.values() if b.recognises(content)), None)
    benchmark = asked or found
    if benchmark is None:
        listed = "; ".join(f"{b.name}: {b.structure}" for b in BENCHMARKS.values())
        raise BenchmarkError(
            f"{path} is no annotation file of a known benchmark: it is {_kind(content)}. Known are {listed}"
        )
    if found is not benchmark:
        looks = f"; it looks like {found.name}'s" if found else f": it is {_kind(content)}"
        raise BenchmarkError(f"{path} is no annotation file of {benchmark.name}{looks}. Expected {benchmark.structure}")
    return benchmark, benchmark.reader(Path(path), content, img_dir, reference_path)


def _content(path: Path) -> Any:
    """Parsed JSON, a CSV's rows, or the path itself of a tfrecord or a saved dataset."""
    if is_saved_dataset(path):
        return path
    try:
        kind = kind_of(path)
        if kind is None:
            raise BenchmarkError(f"no such annotation file: {path}")
        if kind == "a folder":
            raise BenchmarkError(f"{path} is a folder, and no Hugging Face dataset saved to disk; give a file")
        check_regular(path)
    except FileError as error:
        raise BenchmarkError(str(error)) from None
    if RICHHF.recognises(path):
        return path
    first = _beginning(path)
    if not first:
        raise BenchmarkError(f"{path} is empty")
    if first[0] in "[{":
        return read_annotations(path)
    return read_csv(path)


def _beginning(path: Path) -> str:
    """The first characters of a text file that are no white space. Errors: BenchmarkError."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BenchmarkError(f"{path} is UTF-16 text, or no text; save it as UTF-8")
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head).lstrip(" \t\r\n")
    except UnicodeDecodeError:
        raise BenchmarkError(f"{path} is neither text (JSON, CSV) nor a tfrecord") from None


def _kind(content: Any) -> str:
    if isinstance(content, Path):
        return "a tfrecord" if content.is_file() else "a saved dataset"
    if isinstance(content, dict):
        return f"an object of {', '.join(list(map(str, content))[:8]) or 'nothing'}"
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return f"rows of {', '.join(list(map(str, content[0]))[:8])}"
    return (
        "an empty list"
        if content == []
        else f"a list of {type(content[0]).__name__}"
        if isinstance(content, list)
        else f"a {type(content).__name__}"
    )
