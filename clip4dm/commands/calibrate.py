"""An epsilon with a guarantee, from pairs whose wrong words are known; and how likely each word is wrong.

    clip4dm calibrate output/foil/ViT-B-32-openai/SETTINGS --control fdr --alpha 0.2 --delta 0.1
    clip4dm infer --image photo.jpg --text "a red car" --epsilon auto

RUN is a run of main.py on a benchmark that labels words, or a folder that `clip4dm score` wrote, whose input had a
column of labels. With confidence 1 - delta over the choice of pictures,

    fdr       of the words called misaligned in a picture in which some are, the share that is true
    fpr       of a picture's true words, the share that is called misaligned
    recall    of a picture's wrong words, the share that is missed (1 - recall)

is at most alpha on average over pictures like these. Half of the pictures decide, and the others show what came of it.
Of a run with --suggest also: the least gain of the cosine from which another word is suggested, so that of a picture's
suggestions at most a share --suggestion_alpha does not restore the caption. No model is needed. docs/calibration.md
says more. Exit status: 0, or 2 where no epsilon gives it, with what can be had.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.calibration.names import CONTROLS, GUARANTEES, LABELS, CalibrationError
from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors, tell
from clip4dm.errors import InputError
from clip4dm.evaluation.options import SEED, Finite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clip4dm.calibration.stored import Calibration, Figures
    from clip4dm.calibration.study import Source
    from clip4dm.calibration.suggestions import Suggested

RISK = Finite("0.2", lowest=0.001, highest=0.999)
SHARE = Finite("0.5", lowest=0, highest=0.95)
HEAD = ["on the other images", "value", "95 % interval", "n"]


def parse_args(argv: list[str] | None = None, program: str | None = None) -> argparse.Namespace:
    """The options; a usage error ends the program with status 2. program: its name in the help (None: the script's).

    >>> args = parse_args(["output/foil/ViT-B-32-openai/SETTINGS"])
    >>> args.control, args.alpha, args.delta
    ('fdr', 0.2, 0.1)
    """
    parser = ArgumentParser(program, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder, or one of scores")
    rule = parser.add_argument_group("what is promised")
    rule.add_argument("--control", default=CONTROLS[0], choices=CONTROLS, help="the risk (default: %(default)s)")
    rule.add_argument(
        "--alpha", type=RISK, default=0.2, metavar="X", help="the risk is at most this (default: %(default)s)"
    )
    rule.add_argument(
        "--delta",
        type=RISK,
        default=0.1,
        metavar="X",
        help="of so many calibrations, not more fail (default: %(default)s)",
    )
    rule.add_argument(
        "--guarantee",
        default=GUARANTEES[0],
        choices=GUARANTEES,
        help="confidence: all but a share delta of calibrations hold; expectation: they hold on average, which is less "
        "and needs fewer pictures, of fpr and recall alone (default: %(default)s)",
    )
    rule.add_argument(
        "--suggestion_alpha",
        type=RISK,
        default=0.2,
        metavar="X",
        help="of a picture's suggestions at most this share does not restore the caption; of a run with --suggest "
        "(default: %(default)s)",
    )
    _add_data_options(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the calibration, to be given as --epsilon (default: one in the folder where --epsilon auto looks)",
    )
    add_debug_option(parser)
    return parser.parse_args(argv)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument("--start_layer_text", type=int, metavar="N", help="of a run; default: the run's")
    data.add_argument(
        "--labels", metavar="COLUMN", help=f"of scores, the column of lists of wrong words (default: {LABELS})"
    )
    data.add_argument(
        "--holdout",
        type=SHARE,
        default=0.5,
        metavar="X",
        help="the share of pictures that has no part in it and shows what came of it (default: %(default)s)",
    )
    data.add_argument("--seed", type=SEED, default=0, help="of which pictures these are (default: %(default)s)")


def main(argv: list[str] | None = None, program: str = "clip4dm calibrate") -> None:
    """Calibrate, write the file, print what it promises and what came of it. Errors: SystemExit.

    main(["output/foil/ViT-B-32-openai/SETTINGS", "--output", "fdr.json"])
    """
    args = parse_args(argv, program)
    with one_line_errors(program, args.debug):
        check_extra("eval", "sklearn", "scipy", "tabulate")
        from clip4dm.calibration.stored import Rule, write_calibration
        from clip4dm.calibration.study import calibrate
        from clip4dm.files.provenance import versions

        source = read_source(args)
        rule = Rule(args.control, args.alpha, args.delta, args.guarantee, args.holdout, args.seed)
        calibration = calibrate(source, rule, versions("scikit-learn", "scipy"))
        if source.suggested is not None:
            calibration = suggestions_too(calibration, source.suggested, args.suggestion_alpha)
        path = args.output or default_output(calibration)
        write_calibration(path, calibration)
        print(summary(calibration))
        print(f"calibration: {path}")


def suggestions_too(calibration: Calibration, suggested: Suggested, alpha: float) -> Calibration:
    """With the least gain of suggestions, where one keeps the promise; where none does, that is said.

    suggestions_too(calibration, source.suggested, alpha=0.2).suggestions
    """
    from clip4dm.calibration.suggestions import with_suggestions

    try:
        return with_suggestions(calibration, suggested, alpha)
    except CalibrationError as refused:
        tell(f"note: no least gain for suggestions: {refused}")
        return calibration


def read_source(args: argparse.Namespace) -> Source:
    """The labelled words of RUN, whichever it is. Errors: InputError and its like.

    read_source(parse_args(["output/foil/ViT-B-32-openai/SETTINGS"])).words.images
    """
    from clip4dm.scoring.sink import SCORE_FILE

    if (args.run_folder / SCORE_FILE).exists():
        if args.start_layer_text is not None:
            raise InputError("--start_layer_text is for a run of main.py: scores hold the mean over their layers alone")
        check_extra("score", "pyarrow")
        from clip4dm.scoring.labelled import source_of_scores

        return source_of_scores(args.run_folder, args.labels or LABELS)
    if args.labels is not None:
        raise InputError("--labels is for scores: a run of main.py has its benchmark's labels")
    from clip4dm.evaluation.labelled import source_of_run

    return source_of_run(args.run_folder, args.start_layer_text)


def default_output(calibration: Calibration) -> Path:
    """A name of its own in the user's folder.

    default_output(calibration)  # ~/.config/clip4dm/calibrations/demo-scenes-clip4dm-fdr-0.2.json
    """
    from clip4dm.calibration.shelf import user_folder

    by, rule = calibration.attributed_by, calibration.rule
    name = f"{by.backbone}-{by.pretrained}-{by.method}-{rule.control}-{rule.alpha:g}"
    return user_folder() / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('-.')[:200]}.json"


def summary(calibration: Calibration) -> str:
    """What is promised, by how many images, and the figures on the others, for people.

    print(summary(calibration))
    """
    from clip4dm.evaluation.tables import markdown_table

    data, rule = calibration.data, calibration.rule
    lines = [
        f"epsilon {calibration.epsilon:g}: {rule.promise()}",
        f"decided by {data.images:,} images with {data.words:,} words, {data.wrong_words:,} of them wrong; "
        f"the risk there is {data.risk:.3f}",
    ]
    if data.split:
        lines.append("captions beyond the context were read in parts (--long split)")
    if calibration.held_out:
        shown = {"ece": "ECE of the probabilities", "called": "share of words called"}
        shown["risk"] = "an image's share missed" if rule.control == "recall" else f"an image's {rule.control}"
        lines += ["", markdown_table(_rows(calibration.held_out, shown), HEAD), ""]
    suggestions = calibration.suggestions
    if suggestions:
        lines += [
            f"suggestions from a gain of {suggestions.min_gain:g}: {suggestions.promise()}",
            f"decided by {suggestions.images:,} other images with suggestions, from the words "
            f"{suggestions.vocabulary!r}; the share restored there is {suggestions.restored:.3f}",
        ]
    if suggestions and suggestions.held_out:
        shown = {
            "restored": "an image's share restored",
            "restored_at_any_gain": "the same without a least gain",
            "shown": "share of suggestions shown",
            "ece": "ECE of their probabilities",
        }
        lines += ["", markdown_table(_rows(suggestions.held_out, shown), HEAD), ""]
    return "\n".join(lines)


def _rows(figures: Figures, shown: Mapping[str, str]) -> list[list[str]]:
    rows = []
    for name, figure in figures.items():
        value, low, high = (figure[part] for part in ("value", "low", "high"))
        interval = "" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"
        rows.append([shown.get(name, name), "" if value is None else f"{value:.3f}", interval, str(figure["n"])])
    return rows
