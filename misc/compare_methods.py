"""Ways to attribute, side by side on one benchmark: the paper's, and others of attribution/methods.py.

    python misc/compare_methods.py --data_path data/shapes/shapes_foil.json --img_dir data/shapes/images --backbone demo

Every row is a run of its own under --output, made if it is missing. NAME:N takes a method's layers from N on, so that
`--methods clip4dm clip4dm:0` has the paper's with its usual layers and with all. Figures: LA by the published rule and
by the lowest word, punctuation none; their gains over --reference; LA_span; of pictures that had no part in fitting an
epsilon and a weight: F1 of words; average precision of CLIPScore, of F-CLIPScore at that epsilon (the best for words)
and at one of its own, of the additive score (the cosine plus a weight times the lowest word's), and what they gain over
CLIPScore's. Intervals: 95 %, by bootstrap over images.
Costs: pictures encoded beforehand, all rows in turn. Writes methods.md, methods.csv and methods.png into --tables.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from comparing.rows import Row, row

from clip4dm.attribution.methods import METHODS
from clip4dm.commands.arguments import add_model_options, model_arguments
from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import AT_LEAST_ONE, PROCESSES, SEED, arguments
from clip4dm.models.names import DEFAULT_BACKBONE
from clip4dm.scores import CLIP4DM_METHOD

PAIRS_TIMED = 256


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_argument_group("data")
    data.add_argument("--data_path", required=True, metavar="FILE", help="annotations, as main.py reads them")
    data.add_argument("--img_dir", required=True, metavar="DIR", help="pictures")
    data.add_argument("--limit", type=AT_LEAST_ONE, metavar="N", help="only the first N samples")
    add_model_options(parser, DEFAULT_BACKBONE)
    run = parser.add_argument_group("run")
    run.add_argument(
        "--methods",
        nargs="+",
        type=row,
        default=[Row(name) for name in METHODS],
        metavar="NAME[:N]",
        help=f"default: all, which are {' '.join(METHODS)}; {CLIP4DM_METHOD} is always among them",
    )
    run.add_argument(
        "--reference",
        type=row,
        default=Row(CLIP4DM_METHOD),
        metavar="NAME[:N]",
        help=f"the row that gains are over (default: {CLIP4DM_METHOD})",
    )
    run.add_argument(
        "--start_layer_text",
        type=int,
        metavar="N",
        help="of the rows that have layers and no N (default: each method's)",
    )
    run.add_argument("--output", default="./output", metavar="DIR", help="of the runs (default: %(default)s)")
    run.add_argument("--tables", default="./output/tables", metavar="DIR", help="default: %(default)s")
    run.add_argument("--num_workers", type=PROCESSES, metavar="N", help="processes that decode pictures")
    run.add_argument("--rounds", type=AT_LEAST_ONE, default=5, metavar="N", help="of timing (default: %(default)s)")
    run.add_argument("--seed", type=SEED, default=0, help="of the intervals (default: %(default)s)")
    add_debug_option(parser)
    return parser.parse_args(arguments(argv))


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors("compare_methods.py", args.debug):
        from comparing.shown import markdown, plot, write_csv

        from clip4dm.evaluation.comparison import compare

        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise InputError("one process compares; runs made by torchrun main.py --method are taken up")
        rows = {row.name: row for row in (Row(CLIP4DM_METHOD), args.reference, *args.methods)}
        runs = {name: run(args, row) for name, row in rows.items()}
        found = compare(runs, args.reference.name, seed=args.seed)
        tables = Path(args.tables)
        tables.mkdir(parents=True, exist_ok=True)
        text = markdown(found, costs(args, list(rows.values())))
        (tables / "methods.md").write_text(text, encoding="utf-8")
        write_csv(tables / "methods.csv", found)
        plot(tables / "methods.png", found)
        print(text + f"tables: {tables}")


def start_of(args: argparse.Namespace, row: Row) -> int | None:
    """start_layer_text: the row's own, else the option's where the method has layers; None for the usual one."""
    if row.start is not None or METHODS[row.method].fixed_layers:
        return row.start
    return args.start_layer_text


def run(args: argparse.Namespace, row: Row) -> Path:
    """The folder of a row's finished run."""
    from clip4dm.evaluation.run import Options, evaluate

    backbone, pretrained = model_arguments(args, DEFAULT_BACKBONE)
    options = Options(
        args.data_path,
        args.img_dir,
        output=args.output,
        backbone=backbone,
        pretrained=pretrained,
        device=args.device,
        precision=args.precision,
        method=row.method,
        start_layer_text=start_of(args, row),
        limit=args.limit,
        num_workers=args.num_workers,
        seed=args.seed,
    )
    print(f"== {row.name}", flush=True)
    outcome = evaluate(options)
    assert outcome is not None  # it is None in all but torchrun's first process
    return outcome.folder


def costs(args: argparse.Namespace, rows: list[Row]) -> dict[str, tuple[float, float]]:
    """Of the first pairs of the benchmark."""
    from comparing.costs import milliseconds

    from clip4dm import CLIP4DM
    from clip4dm.benchmarks import read_benchmark

    _, reading = read_benchmark(Path(args.data_path), img_dir=Path(args.img_dir))
    samples = reading.samples[: min(PAIRS_TIMED, args.limit or PAIRS_TIMED)]
    detector = CLIP4DM.from_pretrained(*model_arguments(args, DEFAULT_BACKBONE), args.device, args.precision)
    features = detector.encode_images([Path(args.img_dir) / sample.image for sample in samples])
    captions = detector.encode_captions([sample.caption for sample in samples])
    timed = {row.name: (row.method, start_of(args, row)) for row in rows}
    return milliseconds(detector.model, timed, features, captions, args.rounds)


if __name__ == "__main__":
    run_command(main)
