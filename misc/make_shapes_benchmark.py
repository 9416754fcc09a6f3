"""Write a benchmark whose truth is known exactly: drawn scenes, a true caption of each, and a foil of it.

    python misc/make_shapes_benchmark.py data/shapes
    python main.py --data_path data/shapes/shapes_foil.json --img_dir data/shapes/images --backbone demo

FOIL's format, with the kind of the exchanged word beside it: main.py evaluates it like FOIL, grouped by kind. The
demo model was trained on scenes 0 to 99,999; this draws from 1,000,000 on. A harder set, from 3,000,000 on, whose kinds
are two things of one shape told apart by colour, size or texture, what is not there, left and right, numbers and their
neighbours, and captions of 16 to 25 words:

    python misc/make_shapes_benchmark.py data/shapes-hard --hard

Captions of 150 to 300 tokens, true sentences about the scene one behind the other with one false word anywhere, from
7,000,000 on; misc/measure_long_captions.py says where in them the false word is found:

    python misc/make_shapes_benchmark.py data/shapes-long --long
"""

from __future__ import annotations

import argparse
from pathlib import Path

from clip4dm.benchmarks.shapes.benchmark import (
    FIRST_SEED,
    HARD_FIRST_SEED,
    LONG_FIRST_SEED,
    make_benchmark,
    make_hard_benchmark,
    make_long_benchmark,
)
from clip4dm.benchmarks.shapes.harder import HARD_KINDS
from clip4dm.benchmarks.shapes.lexicon import KINDS
from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, PIXELS, SEED


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write shapes_foil.json and images/")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--hard", action="store_true", help="the harder scenes and foils")
    which.add_argument("--long", action="store_true", help="captions of 150 to 300 tokens")
    parser.add_argument("--pairs", type=AT_LEAST_ONE, default=2000, help="default: %(default)s")
    parser.add_argument("--size", type=PIXELS, default=128, help="of the pictures, pixels (default: %(default)s)")
    parser.add_argument(
        "--kind",
        metavar="KIND",
        help=f"foils of this kind alone: {', '.join(KINDS)}; with --hard {', '.join(HARD_KINDS)} (default: any)",
    )
    parser.add_argument(
        "--first_seed",
        type=SEED,
        help=f"default: {FIRST_SEED}, with --hard {HARD_FIRST_SEED}, --long {LONG_FIRST_SEED}",
    )
    add_debug_option(parser)
    args = parser.parse_args(argv)
    make, first_seed, kinds = make_benchmark, FIRST_SEED, tuple(KINDS)
    if args.hard:
        make, first_seed, kinds = make_hard_benchmark, HARD_FIRST_SEED, HARD_KINDS
    elif args.long:
        make, first_seed = make_long_benchmark, LONG_FIRST_SEED
    if args.kind not in (None, *kinds):
        parser.error(f"argument --kind: {args.kind!r} is none of this set's: {', '.join(kinds)}")
    with one_line_errors("make_shapes_benchmark.py", args.debug):
        path = make(
            args.folder, args.pairs, args.size, first_seed if args.first_seed is None else args.first_seed, args.kind
        )
        print(f"{args.pairs} pairs: {path}")


if __name__ == "__main__":
    run_command(main)
