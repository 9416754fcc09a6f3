"""The paper's tables, ours beside theirs: runs what is missing, reuses what is finished, writes Markdown and CSV.

    python misc/reproduce_tables.py --list
    python misc/reproduce_tables.py --dry_run                     # what would run, how long, what is missing
    python misc/reproduce_tables.py --table foil_nocaps --as_published --caption_metrics
    python misc/reproduce_tables.py --demo                        # the demo model on drawn scenes: no download

Every figure has its 95 % interval, the paper's number, the difference, and whether the paper's number lies within the
interval. What lacks data or weights is left out with its reason, all else is done. Into OUTPUT/tables: NAME.md,
NAME.csv, and layers.png. An interrupted call is taken up by the same command.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import AT_LEAST_ONE
from clip4dm.models.names import PRECISIONS

if TYPE_CHECKING:
    from reproducing.study import Study

FILES = {  # name: annotations, pictures, references, under --data_dir, as data/README.md fetches them
    "foil": ("foilv1.0_test_2017.json", "coco/val2014", "coco/annotations/captions_val2014.json"),
    "nocaps": ("nocaps-val-foil.json", "nocaps", None),
    "hat": ("hat-test.json", "coco/val2014", None),
    "seetrue": ("seetrue.json", "seetrue", None),
    "richhf": ("richhf/test.json", "richhf/test", None),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_argument_group("what")
    what.add_argument("--list", action="store_true", help="the tables' names, and nothing else")
    what.add_argument("--table", nargs="+", metavar="NAME", help="only these (default: all)")
    what.add_argument("--dry_run", action="store_true", help="say what would run, how long, and what is missing")
    what.add_argument("--limit", type=AT_LEAST_ONE, metavar="N", help="only the first N samples of each benchmark")
    what.add_argument("--as_published", action="store_true", help="a column with the published code's quirks, together")
    what.add_argument("--caption_metrics", action="store_true", help="BLEU-4, METEOR, ROUGE-L, CIDEr (SPICE); Java")
    data = parser.add_argument_group("data")
    data.add_argument("--data_dir", type=Path, default=Path("data"), metavar="DIR", help="default: %(default)s")
    data.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=FILE,IMG_DIR[,REFERENCES]",
        help=f"a benchmark's files elsewhere; NAME: {', '.join(FILES)}",
    )
    data.add_argument("--skip_missing", action="store_true", help="score the rest if pictures are missing or damaged")
    data.add_argument("--tagger", default="en_core_web_sm", metavar="PIPELINE", help="of spaCy (default: %(default)s)")
    model = parser.add_argument_group("model")
    model.add_argument("--demo", action="store_true", help="the demo model on drawn scenes in all tables that can")
    model.add_argument(
        "--pairs", type=AT_LEAST_ONE, default=2000, help="of drawn scenes, with --demo (default: %(default)s)"
    )
    model.add_argument("--backbone", metavar="NAME", help="this model in all tables, instead of the paper's")
    model.add_argument("--pretrained", metavar="WEIGHTS", help="a tag, a file or a folder, as for main.py")
    model.add_argument("--device", default="auto")
    model.add_argument("--precision", choices=PRECISIONS, help="default: fp32; fp16 on a GPU with --as_published")
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR", help="default: %(default)s")
    add_debug_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors("reproduce_tables.py", args.debug):
        from reproducing.paper_tables import TABLES

        if args.list:
            for table in TABLES.values():
                print(f"{table.name:20} {table.title}")
            return
        unknown = set(args.table or ()) - set(TABLES)
        if unknown:
            raise InputError(f"no table {', '.join(sorted(unknown))}; there are: {', '.join(TABLES)}")
        from reproducing.plan import print_plan
        from reproducing.tables import write_table

        study = make_study(args)
        names = [name for name in TABLES if not args.table or name in args.table]
        if args.dry_run:
            print_plan(study, names)
            return
        for name in names:
            print(f"\n{write_table(study, name, args.output / 'tables')}", flush=True)


def make_study(args: argparse.Namespace) -> Study:
    """What --demo, --pretrained and --data make of the paper's models and data. Errors: InputError, OSError."""
    from reproducing.data import Data
    from reproducing.paper_tables import SHAPES_PARTS, TABLES, Model
    from reproducing.study import Study

    data = {
        name: Data(
            name, args.data_dir / file, args.data_dir / images, args.data_dir / references if references else None
        )
        for name, (file, images, references) in FILES.items()
    }
    for given in args.data:
        name, _, paths = given.partition("=")
        parts = [Path(part) for part in paths.split(",") if part]
        if name not in FILES or len(parts) not in (2, 3):
            raise InputError(f"--data {given!r} is not NAME=FILE,IMG_DIR[,REFERENCES]; NAME: {', '.join(FILES)}")
        data[name] = Data(name, *parts)
    tables, shapes, model = dict(TABLES), dict[str, str](), None
    if args.demo:
        folder = drawn_scenes(args.data_dir / f"shapes{args.pairs}", args.pairs, args.dry_run)
        data["shapes"] = Data("shapes", folder / "shapes_foil.json", folder / "images")
        tables["part_of_speech"] = SHAPES_PARTS
        shapes = {"foil": "shapes", "nocaps": "shapes"}
        model = Model("demo", None)
    elif args.backbone or args.pretrained:
        model = Model(args.backbone, args.pretrained)
    return Study(
        tables,
        data,
        model_of=lambda papers: model or papers,
        data_of=lambda name: shapes.get(name, name),
        options={
            "limit": args.limit,
            "device": args.device,
            "precision": _precision(args),
            "skip_missing": args.skip_missing,
        },
        output=args.output,
        as_published=args.as_published,
        caption_metrics=args.caption_metrics,
        tagger=args.tagger,
    )


def drawn_scenes(folder: Path, pairs: int, only_planned: bool) -> Path:
    """The folder, with so many drawn pairs in it; drawn now where they are not there, unless that is only planned."""
    from clip4dm.benchmarks.shapes.benchmark import make_benchmark

    if not (folder / "shapes_foil.json").is_file() and not only_planned:
        make_benchmark(folder, pairs)
    return folder


def _precision(args: argparse.Namespace) -> str:
    if args.precision or not args.as_published:
        return args.precision or "fp32"
    from clip4dm.models.load import pick_device

    return "fp16" if pick_device(args.device).type == "cuda" else "fp32"


if __name__ == "__main__":
    run_command(main)
