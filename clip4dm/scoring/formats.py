"""The names that the command line knows, apart from what they mean: `--help` must not wait for libraries."""

from __future__ import annotations

TABLE_FORMATS = ("csv", "tsv", "jsonl", "json", "parquet")
INPUT_FORMATS = (*TABLE_FORMATS, "folder", "tar")
OUTPUT_FORMATS = ("parquet", "jsonl")
ENGINES = ("local", "ray")
LIST_SUFFIXES = (".txt", ".parquet", ".npy")  # of `clip4dm filter`
