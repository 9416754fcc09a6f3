"""A report of a run as pages to send around: figures, plots, and the captions to look at, with their pictures.

    clip4dm report output/foil/ViT-B-32-openai/SETTINGS --output report
    clip4dm report scores --output report

RUN is a folder that main.py printed behind "run:", one that --rescore wrote, or the --output of `clip4dm score`. Open
index.html in --output with any browser: no page needs a network, a server or another file than those beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors, tell
from clip4dm.evaluation.options import Whole, arguments
from clip4dm.report.runs import CARDS

if TYPE_CHECKING:
    from clip4dm.report.runs.write import Report

NUMBER_OF_CARDS = Whole(1, 10_000)


def parse_args(argv: list[str] | None = None, program: str | None = None) -> argparse.Namespace:
    """The options; a usage error ends the program with status 2. program: its name in the help (None: the script's).

    >>> parse_args(["scores", "--output", "report"]).cards
    100
    """
    parser = ArgumentParser(program, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="a folder of main.py or `clip4dm score`")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="for the pages")
    parser.add_argument(
        "--img_dir",
        metavar="DIR",
        help="where the pictures are now, or the tars that were scored (default: where they were)",
    )
    parser.add_argument(
        "--cards",
        type=NUMBER_OF_CARDS,
        default=CARDS,
        metavar="N",
        help="captions in a gallery, beside the first of each group (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="take the place of an earlier report")
    add_debug_option(parser)
    args = parser.parse_args(arguments(argv))
    if not args.output:
        parser.error("--output is empty; give a folder's name")
    return args


def main(argv: list[str] | None = None, program: str = "clip4dm report") -> None:
    """Write the report; a line to standard output, what is amiss to standard error. Errors: SystemExit.

    main(["scores", "--output", "report"])
    """
    args = parse_args(argv, program)
    with one_line_errors(program, args.debug):
        check_extra("report", "matplotlib")
        check_extra("eval", "sklearn", "scipy", "tabulate")
        from clip4dm.scoring.sink import SCORE_FILE

        if (Path(args.run) / SCORE_FILE).exists():
            check_extra("score", "pyarrow")
        from clip4dm.report.runs.write import write_report

        report = write_report(
            Path(args.run), Path(args.output), img_dir=args.img_dir, cards=args.cards, overwrite=args.overwrite
        )
        for notice in report.notices:
            tell(f"{program}: note: {notice}")
        print(summary(report))


def summary(report: Report) -> str:
    """What was written, in a line.

    print(summary(write_report(Path("scores"), Path("report"))))  # report of 100 pairs: report/index.html
    """
    skipped = f" and {report.skipped:,} without scores" if report.skipped else ""
    return f"report of {report.scored:,} pairs{skipped}: {report.index}"
