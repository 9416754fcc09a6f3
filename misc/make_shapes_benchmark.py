"""Write a benchmark whose truth is known exactly: drawn scenes, a true caption of each, and a foil of it.

    python misc/make_shapes_benchmark.py data/shapes
    python main.py --data_path data/shapes/shapes_foil.json --img_dir data/shapes/images --backbone demo

FOIL's format, with the kind of the exchanged word beside it: main.py evaluates it like FOIL, grouped by kind. The
demo model was trained on scenes 0 to 99,999; this draws from 1,000,000 on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from clip4dm.benchmarks.shapes.benchmark import FIRST_SEED, make_benchmark
from clip4dm.benchmarks.shapes.lexicon import KINDS
from clip4dm.commands.cli import add_debug_option, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, PIXELS, SEED


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write shapes_foil.json and images/")
    parser.add_argument("--pairs", type=AT_LEAST_ONE, default=2000, help="default: %(default)s")
    parser.add_argument("--size", type=PIXELS, default=128, help="of the pictures, pixels (default: %(default)s)")
    parser.add_argument("--kind", choices=KINDS, help="exchange words of this kind alone (default: any)")
    parser.add_argument("--first_seed", type=SEED, default=FIRST_SEED, help="default: %(default)s")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("make_shapes_benchmark.py", args.debug):
        path = make_benchmark(args.folder, args.pairs, args.size, args.first_seed, args.kind)
        print(f"{args.pairs} pairs: {path}")


if __name__ == "__main__":
    run_command(main)
