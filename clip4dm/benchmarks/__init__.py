"""The benchmarks: a module for each, and a registry that knows a file by its structure."""

from clip4dm.benchmarks.base import Benchmark, BenchmarkError, Judgement, Reading, Sample
from clip4dm.benchmarks.registry import BENCHMARKS, get_benchmark, read_benchmark

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "BenchmarkError",
    "Judgement",
    "Reading",
    "Sample",
    "get_benchmark",
    "read_benchmark",
]
