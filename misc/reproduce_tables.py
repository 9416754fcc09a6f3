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
import csv
from pathlib import Path

from clip4dm.commands.cli import one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import AT_LEAST_ONE

FILES = {  # name: annotations, pictures, references, under --data_dir, as data/README.md fetches them
    "foil": ("foilv1.0_test_2017.json", "coco/val2014", "coco/annotations/captions_val2014.json"),
    "nocaps": ("nocaps-val-foil.json", "nocaps", None),
    "hat": ("hat-test.json", "coco/val2014", None),
    "seetrue": ("seetrue.json", "seetrue", None),
    "richhf": ("richhf/test.json", "richhf/test", None),
}
COLUMNS = (
    "row",
    "model",
    "data",
    "figure",
    "ours",
    "low",
    "high",
    "n",
    "as_published",
    "paper",
    "difference",
    "paper_within_interval",
    "remark",
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    model.add_argument(
        "--precision", choices=("fp32", "bf16", "fp16"), help="default: fp32; fp16 on a GPU with --as_published"
    )
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR", help="default: %(default)s")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)

    with one_line_errors("reproduce_tables.py"):
        from reproducing.paper_tables import TABLES

        if args.list:
            for table in TABLES.values():
                print(f"{table.name:20} {table.title}")
            return
        unknown = set(args.table or ()) - set(TABLES)
        if unknown:
            raise InputError(f"no table {', '.join(sorted(unknown))}; there are: {', '.join(TABLES)}")
        study = make_study(args)
        names = [name for name in TABLES if not args.table or name in args.table]
        if args.dry_run:
            plan(study, names)
            return
        for name in names:
            print(f"\n{write_table(study, name, args.output / 'tables')}", flush=True)


def make_study(args: argparse.Namespace):
    """What --demo, --pretrained and --data make of the paper's models and data. Errors: ValueError."""
    from reproducing.paper_tables import SHAPES_PARTS, TABLES, Model
    from reproducing.study import Data, Study

    data = {
        name: Data(name, args.data_dir / file, args.data_dir / images, references and args.data_dir / references)
        for name, (file, images, references) in FILES.items()
    }
    for given in args.data:
        name, _, paths = given.partition("=")
        parts = [Path(part) for part in paths.split(",") if part]
        if name not in FILES or len(parts) not in (2, 3):
            raise InputError(f"--data {given!r} is not NAME=FILE,IMG_DIR[,REFERENCES]; NAME: {', '.join(FILES)}")
        data[name] = Data(name, *parts)
    tables, data_of, model_of = dict(TABLES), str, lambda model: model
    if args.demo:
        data["shapes"] = _shapes(args, Data)
        tables["part_of_speech"] = SHAPES_PARTS
        data_of = {"foil": "shapes", "nocaps": "shapes"}.get
        model_of = lambda _: Model("demo", None)  # noqa: E731
    elif args.backbone or args.pretrained:
        model_of = lambda _: Model(args.backbone, args.pretrained)  # noqa: E731
    options = {
        "limit": args.limit,
        "device": args.device,
        "precision": _precision(args),
        "skip_missing": args.skip_missing,
    }
    return Study(
        tables,
        data,
        model_of,
        lambda name: data_of(name) or name,
        options,
        args.output,
        args.as_published,
        args.caption_metrics,
        args.tagger,
    )


def _precision(args: argparse.Namespace) -> str:
    if args.precision or not args.as_published:
        return args.precision or "fp32"
    from clip4dm.models.load import pick_device

    return "fp16" if pick_device(args.device).type == "cuda" else "fp32"


def _shapes(args: argparse.Namespace, data_class):
    from make_shapes_benchmark import make_benchmark

    folder = args.data_dir / f"shapes{args.pairs}"
    path = folder / "shapes_foil.json"
    if not path.is_file() and not args.dry_run:
        make_benchmark(folder, args.pairs)
    return data_class("shapes", path, folder / "images")


def plan(study, names: list[str]) -> None:
    """Print what each table needs: data, weights, finished runs, estimated time."""
    from reproducing.study import Missing, passes

    from clip4dm.models.hub import weights_at_hand

    total, seen = 0.0, set()
    for name in names:
        print(f"{name}: {study.tables[name].title}")
        for need in passes(study.lines(name)):
            data, model, ablation = need
            what = f"  {data}, {model}" + (", signs of the gradient" if ablation else "")
            at_hand = (
                "weights at hand" if weights_at_hand(model.backbone, model.pretrained) else "weights to be downloaded"
            )
            try:
                pairs, finished = study.pairs(data), None if ablation else study.finished(data, model)
            except Missing as error:
                print(f"{what}: {error}; {at_hand}")
                continue
            if need in seen:
                print(f"{what}: as above")
                continue
            seen.add(need)
            if finished:
                print(f"{what}: finished, {finished}")
                continue
            rate, measured = study.pairs_per_second(model)
            total += pairs / rate
            print(
                f"{what}: {pairs} pairs, about {_duration(pairs / rate)} "
                f"({'as an earlier run' if measured else 'at the pace of the paper, on its GPU'}), {at_hand}"
            )
    print(f"in all about {_duration(total)}")


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


def write_table(study, name: str, folder: Path) -> str:
    """Compute a table, write NAME.md and NAME.csv (and layers.png), return the Markdown."""
    from reproducing.study import Missing

    rows = []
    for line in study.lines(name):
        row = {"row": line.row, "model": str(line.model), "data": line.data, "figure": line.figure, "paper": line.paper}
        try:
            ours, published = study.figure(line)
        except Missing as error:
            rows.append(row | {"remark": str(error)})
            continue
        row |= {
            "ours": ours.value,
            "low": ours.low,
            "high": ours.high,
            "n": ours.n,
            "remark": ours.reason or "",
            "as_published": published.value if published else None,
        }
        if line.paper is not None and ours.value is not None:
            row["difference"] = ours.value - line.paper
            if ours.low is not None:
                row["paper_within_interval"] = ours.low <= line.paper <= ours.high
        rows.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    text = markdown(study, name, rows)
    (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    if name == "layers" and any("ours" in row for row in rows):
        from reproducing.plots import layer_figure

        layer_figure(rows, folder / "layers.png")
    return text


def markdown(study, name: str, rows: list[dict]) -> str:
    """The table, with what could not be had below it, by reason."""
    table = study.tables[name]
    notes = [table.note] if table.note else []
    notes += [
        f"{model} has random weights: its figures are those of chance and mean nothing."
        for model in sorted({row["model"] for row in rows} & study.random_weights)
    ]
    if study.options.get("limit"):
        notes.append(f"Only the first {study.options['limit']} samples of each benchmark.")
    columns = ["figure", "ours", "95 % interval", "n", "as published", "paper", "difference", "paper within"]
    if not study.as_published:
        columns.remove("as published")
    lines = [
        f"### {table.title}",
        "",
        "| of | model, data | " + " | ".join(columns) + " |",
        "| --- " * (len(columns) + 2) + "|",
    ]
    for row in (row for row in rows if "ours" in row):
        within = row.get("paper_within_interval")
        cells = {
            "figure": row["figure"],
            "ours": _number(row["ours"]),
            "n": str(row["n"]),
            "95 % interval": "—" if row["low"] is None else f"[{row['low']:.3f}, {row['high']:.3f}]",
            "as published": _number(row["as_published"]),
            "paper": _number(row["paper"]),
            "difference": _number(row.get("difference"), "+.3f"),
            "paper within": {None: "—", True: "yes", False: "no"}[within],
        }
        lines.append(
            f"| {row['row']} | {row['model']}, {row['data']} | "
            + " | ".join(cells[column] for column in columns)
            + " |"
        )
    if len(lines) == 4:
        lines[2:] = ["Nothing could be computed."]
    notes += [
        f"No value ({row['model']}, {row['data']}, {row['figure']}): {row['remark']}."
        for row in rows
        if "ours" in row and row["ours"] is None
    ]
    absent: dict[tuple[str, ...], list[str]] = {}
    for row in (row for row in rows if "ours" not in row):
        absent.setdefault((row["model"], row["data"], row["remark"]), []).append(row["row"])
    notes += [
        f"Left out ({model}, {data}): {', '.join(dict.fromkeys(of))}: {reason}."
        for (model, data, reason), of in absent.items()
    ]
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def _number(value: float | None, style: str = ".3f") -> str:
    return "—" if value is None else f"{value:{style}}"


if __name__ == "__main__":
    run_command(main)
