"""How long `clip4dm filter` takes on so many scored pairs, and how much memory.

    python misc/benchmark_filter.py

The scores are made up, in the files and columns that `clip4dm score` writes: captions of eight words, four pictures a
caption, two pairs of five without a misaligned word. Each run is a fresh process. Prints Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from speed.fresh import run_fresh

from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE
from clip4dm.scores import CLIPSCORE_SCALE

if TYPE_CHECKING:
    import pyarrow as pa

WORDS = ("a", "small", "red", "car", "in", "the", "wet", "street")
PER_CAPTION = 4
RULES = ("--best_of", "caption", "--keep_fraction", "0.7", "--output", "kept.txt")


@dataclass(frozen=True)
class MadeShard:
    name: str
    carried: Any
    count: int
    identity: dict[str, Any] = field(default_factory=dict)


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows",
        type=AT_LEAST_ONE,
        nargs="+",
        default=[1_000_000, 5_000_000],
        metavar="N",
        help="how many scored pairs (default: 1000000 and 5000000)",
    )
    parser.add_argument(
        "--per_shard", type=AT_LEAST_ONE, default=10_000, metavar="N", help="pairs a file (default: %(default)s)"
    )
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("benchmark_filter.py", args.debug), tempfile.TemporaryDirectory() as scratch:
        check_extra("score", "duckdb", "pyarrow")
        rows = []
        for count in args.rows:
            folder = make_scores(Path(scratch) / f"scores-{count}", count, args.per_shard)
            command = ["-m", "clip4dm", "filter", str(folder), *RULES[:-1], str(Path(scratch) / RULES[-1])]
            cost = run_fresh(command, Path(scratch) / "log")
            rows.append([f"{count:,}", f"{cost.seconds:.1f}", f"{cost.processor:.1f}", f"{cost.peak / 2**20:,.0f} MiB"])
        from clip4dm.evaluation.tables import markdown_table

        print(f"clip4dm filter {' '.join(RULES)}\n")
        print(markdown_table(rows, ["pairs", "seconds", "of processors", "peak memory"]))


def make_scores(folder: Path, rows: int, per_shard: int) -> Path:
    """A finished folder of so many made-up scores."""
    import pyarrow as pa

    from clip4dm.scoring.sink import Sink
    from clip4dm.scoring.writers import ParquetWriter, Summary

    starts = range(0, rows, per_shard)
    sink = Sink(folder, {"settings": {}, "input": {"format": "csv"}}, {"given": ["made up"], "shards": len(starts)})
    sink.prepare()
    random = np.random.default_rng(0)
    for number, start in enumerate(starts):
        shard = MadeShard(f"{number:05d}", pa.schema([]), min(per_shard, rows - start))
        with sink.writer(shard) as writer:
            assert isinstance(writer, ParquetWriter)
            writer.file.write_table(made_rows(start, shard.count, random, writer.schema))
            writer.summary = Summary(shard.name, shard.count, 0, 0.0)
    return folder


def made_rows(start: int, count: int, random: np.random.Generator, schema: pa.Schema) -> pa.Table:
    """Rows [start, start + count)."""
    import pyarrow as pa

    numbers = range(start, start + count)
    wrong = random.integers(0, 5, count) > 1  # has a misaligned word
    scores = np.where(wrong, -random.random(count) / 100, 0.0)
    cosines = random.normal(0.25, 0.05, count)
    ends = np.cumsum([len(word) + 1 for word in WORDS]) - 1
    begins = ends - [len(word) for word in WORDS]

    def words(per_row: np.ndarray, column: str) -> pa.Array:
        """A list a row of so many of WORDS."""
        which = np.concatenate([np.arange(n) for n in per_row]).astype(int)
        fields = schema.field(column).type.value_type
        parts = [np.array(WORDS)[which], begins[which], ends[which], random.normal(0, 1e-3, len(which))]
        inner = pa.StructArray.from_arrays(
            [pa.array(part, one.type) for part, one in zip(parts, fields, strict=True)], fields=list(fields)
        )
        return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(per_row)]), pa.int32()), inner)

    columns = {
        "key": [f"{n:08d}" for n in numbers],
        "image": [f"pictures/{n:08d}.jpg" for n in numbers],
        "caption": [f"{' '.join(WORDS)} {n // PER_CAPTION}" for n in numbers],
        "cosine": cosines,
        "clip_score": CLIPSCORE_SCALE * np.maximum(cosines, 0),
        "f_clip_score": scores,
        "score": scores,
        "misaligned": words(wrong.astype(int), "misaligned"),
        "words": words(np.full(count, len(WORDS)), "words"),
        "truncated": np.zeros(count, dtype=bool),
        "error": pa.nulls(count, pa.string()),
    }
    return pa.table(columns, schema=schema)


if __name__ == "__main__":
    run_command(main)
