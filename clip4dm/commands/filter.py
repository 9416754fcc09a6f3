"""Keep some of the pairs that `clip4dm score` has scored: the best of each picture or prompt, a share, what fits.

    clip4dm filter scores --keep_fraction 0.7 --output kept.txt
    clip4dm filter scores --best_of caption --output best.parquet            the best picture of each prompt
    clip4dm filter scores --expr "clip_score > 0.6 and len(misaligned) < 2" --output kept/     tar shards

What is asked for is done in this order: --expr, --no_misaligned and --f_clip_score_above look at each pair by itself;
--best_of takes the best of those left; --keep_fraction the best share of those left then. Of equal scores the higher
cosine is better, then the first in order. Pairs that could not be scored are never kept. docs/filtering.md says more.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors, tell
from clip4dm.evaluation.options import Finite, arguments
from clip4dm.scores import F_CLIP_SCORE
from clip4dm.scoring.filtering.selection import BEST_OF
from clip4dm.scoring.formats import LIST_SUFFIXES

if TYPE_CHECKING:
    from clip4dm.scoring.filtering.selection import Rules, Selection
    from clip4dm.scoring.filtering.stored import Scores

SHARE = Finite("0.7", lowest=0, highest=1)
SCORE = Finite("-0.01")


def parse_args(argv: list[str] | None = None, program: str | None = None) -> argparse.Namespace:
    """The options; a usage error ends the program with status 2. program: its name in the help (None: the script's).

    >>> parse_args(["scores", "--keep_fraction", "0.7", "--output", "kept.txt"]).keep_fraction
    0.7
    """
    parser = ArgumentParser(program, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="the --output of `clip4dm score`")
    _add_rules(parser)
    _add_outputs(parser)
    add_debug_option(parser)
    args = parser.parse_args(arguments(argv))
    for name in args.output:
        if not name:
            parser.error("--output is empty; give a file's or a folder's name")
        if Path(args.folder).resolve() in (Path(name).resolve(), *Path(name).resolve().parents):
            parser.error(f"--output {name} lies in {args.folder}, where the scores are; give another place")
        if not is_folder(name) and Path(name).suffix.lower() not in LIST_SUFFIXES:
            parser.error(
                f"--output {name}: its suffix is none of {', '.join(LIST_SUFFIXES)}, nor is it a folder's name"
            )
        if is_folder(name) and Path(name).exists() and not Path(name).is_dir():
            parser.error(f"--output {name} is there already and is no folder; a name without suffix is a folder's")
    if args.histogram and Path(args.histogram).suffix.lower() != ".png":
        parser.error(f"--histogram {args.histogram}: its name ends in .png")
    return args


def _add_rules(parser: argparse.ArgumentParser) -> None:
    rules = parser.add_argument_group("what to keep")
    rules.add_argument(
        "--expr",
        metavar="SQL",
        help="a condition on the scores' columns, in DuckDB's SQL; it reaches no file and no network",
    )
    rules.add_argument("--no_misaligned", action="store_true", help="pairs of which no word is misaligned")
    rules.add_argument(
        "--f_clip_score_above", type=SCORE, metavar="X", help="pairs with a higher F-CLIPScore, which is 0 at best"
    )
    rules.add_argument("--best_of", choices=BEST_OF, help="one pair of each: a picture's best caption, or the reverse")
    rules.add_argument("--keep_fraction", type=SHARE, metavar="F", help="this share of the pairs, the best first")
    rules.add_argument(
        "--by",
        default=F_CLIP_SCORE,
        metavar="COLUMN",
        help="the score by which --best_of and --keep_fraction find the better pair (default: %(default)s)",
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        action="append",
        required=True,
        metavar="FILE",
        help=".txt: a key a line; .parquet: the rows, all columns; .npy: DataComp's list of uids; a name without "
        "suffix, or with / behind it: a folder for tar shards with the kept pairs alone. May be given several times",
    )
    output.add_argument(
        "--key",
        default="key",
        metavar="COLUMN",
        help="the column, or the key in the json files of tar shards, that is written to .txt and .npy "
        "(default: %(default)s; DataComp: uid)",
    )
    output.add_argument("--histogram", metavar="FILE.png", help="draw the scores' distribution, and the cut in it")
    output.add_argument(
        "--input", nargs="+", metavar="TAR", help="where the tars lie that were scored (default: where they lay then)"
    )
    output.add_argument(
        "--partial", action="store_true", help="take the scores there are, where scoring has not finished"
    )


def is_folder(name: str) -> bool:
    """Whether an output is a folder for tar shards: there, or to be made.

    >>> is_folder("kept"), is_folder("kept-0.7/"), is_folder("kept.txt")
    (True, True, False)
    """
    return name.endswith("/") or not Path(name).suffix or Path(name).is_dir()


def main(argv: list[str] | None = None, program: str = "clip4dm filter") -> None:
    """Choose and write; a line to standard output, and to standard error if nothing is kept. Errors: SystemExit.

    main(["scores", "--keep_fraction", "0.7", "--output", "kept.txt"])
    """
    args = parse_args(argv, program)
    with one_line_errors(program, args.debug):
        check_extra("score", "duckdb", "pyarrow")
        if args.histogram:
            check_extra("report", "matplotlib")
        from clip4dm.scoring.filtering.selection import Rules, select
        from clip4dm.scoring.filtering.stored import read_scores

        rules = Rules(
            expr=args.expr,
            no_misaligned=args.no_misaligned,
            above=args.f_clip_score_above,
            best_of=args.best_of,
            keep_fraction=args.keep_fraction,
            by=args.by,
        )
        scores = read_scores(Path(args.folder), args.partial)
        for remark in scores.remarks:
            tell(f"{program}: note: {remark}")
        selection = select(scores.dataset(), rules)
        write(args, scores, selection, rules, program)
        print(summary(selection, rules, args.output))
        if not len(selection.places):
            tell(f"{program}: note: no pair is kept; what was written is empty")


def write(args: argparse.Namespace, scores: Scores, selection: Selection, rules: Rules, program: str) -> None:
    """Write every --output, and the --histogram.

    write(args, scores, select(scores.dataset(), rules), rules, "clip4dm filter")
    """
    from clip4dm.scoring.filtering.histogram import draw_histogram
    from clip4dm.scoring.filtering.lists import write_list
    from clip4dm.scoring.filtering.tars import write_tars

    for name in args.output:
        path = Path(name)
        if is_folder(name):
            write_tars(
                path, scores, selection.places, asdict(rules), args.input, lambda line: tell(f"{program}: note: {line}")
            )
        else:
            write_list(path, scores, selection.places, args.key, asdict(rules))
    if args.histogram:
        draw_histogram(Path(args.histogram), selection, rules)


def summary(selection: Selection, rules: Rules, outputs: list[str]) -> str:
    """What was kept, in a line.

    print(summary(selection, rules, ["kept.txt"]))  # kept 70 of 100 pairs ...
    """
    kept, unscored = len(selection.places), selection.rows - selection.scored
    share = f", {100 * kept / selection.rows:.1f} %" if selection.rows else ""
    without = f", {unscored} could not be scored" if unscored else ""
    lowest = f"; the lowest {rules.by} kept is {selection.cut:.6g}" if selection.cut is not None else ""
    return f"kept {kept} of {selection.rows} pairs{share}{without}{lowest}: {', '.join(outputs)}"
