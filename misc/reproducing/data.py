"""A benchmark's files, read and hashed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clip4dm.benchmarks import read_benchmark
from clip4dm.benchmarks.base import Benchmark, Reading
from clip4dm.files.provenance import path_sha256


@dataclass(frozen=True)
class Data:
    """Where a benchmark's files are. references: FOIL's, a COCO captions JSON."""

    name: str
    path: Path
    images: Path
    references: Path | None = None

    def missing(self) -> str | None:
        """What is not there, or None."""
        absent = [str(path) for path in (self.path, self.images) if not path.exists()]
        return f"not here: {', '.join(absent)} (see data/README.md)" if absent else None

    @cached_property
    def reading(self) -> tuple[Benchmark, Reading]:
        """The benchmark and its samples. Errors: BenchmarkError."""
        return read_benchmark(self.path, img_dir=self.images, reference_path=self.references)

    @cached_property
    def sha256(self) -> str:
        """Of the annotations. Errors: OSError."""
        return path_sha256(self.path)
