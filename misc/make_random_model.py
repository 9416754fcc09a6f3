"""Write a CLIP with random weights as a model folder: it understands nothing, but everything runs with it.

    python misc/make_random_model.py output/random-vit-b-32
    python infer.py --pretrained output/random-vit-b-32

For trying the scripts without a download, and for measuring: its figures are those of chance.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from speed.random_model import make_random_model

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.evaluation.options import SEED
from clip4dm.models.names import DEFAULT_BACKBONE


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write the model")
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE, help="an open_clip backbone (default: %(default)s)")
    parser.add_argument("--seed", type=SEED, default=0)
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("make_random_model.py", args.debug):
        print(f"random {args.backbone} in {make_random_model(args.folder, args.backbone, args.seed)}")


if __name__ == "__main__":
    run_command(main)
