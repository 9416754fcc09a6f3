"""Evaluate CLIP4DM on FOIL, nocaps-FOIL, HAT, Rich-HF, SeeTRUE-Feedback, Flickr8k-Expert or Flickr8k-CF.

    python main.py --data_path ./data/nocaps_val.json --img_dir ./data/nocaps/
    torchrun --nproc_per_node 4 main.py --data_path ... --img_dir ...
    python main.py --rescore output/nocaps/ViT-B-32-openai/SETTINGS --epsilon -1e-5

Writes samples.jsonl (a line a sample) and result.json under --output, and prints a table. An interrupted run is
taken up where it stopped by the same command.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from clip4dm.benchmarks import BENCHMARKS
from clip4dm.captions.sentences import CUT
from clip4dm.commands.arguments import (
    EPSILON_HELP,
    add_method_options,
    add_model_options,
    add_score_options,
    model_arguments,
)
from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors, tell
from clip4dm.errors import InputError
from clip4dm.evaluation.metrics.nli import DEFAULT_NLI_MODEL
from clip4dm.evaluation.options import (
    AT_LEAST_ONE,
    EPSILON_OR_FILE,
    IMAGES_PER_BLOCK,
    PROCESSES,
    SEED,
    arguments,
    batch_size,
    boolean,
)
from clip4dm.models.names import DEFAULT_BACKBONE
from clip4dm.scores import CLIP4DM_METHOD, F_CLIP_SCORE, SORTED_BY

if TYPE_CHECKING:
    from clip4dm.evaluation.run import Outcome


def parse_args(argv: list[str] | None = None, program: str | None = None) -> argparse.Namespace:
    """The options; a usage error ends the program with status 2. program: its name in the help (None: the script's).

    >>> args = parse_args(["--data_path", "foil.json", "--limit", "100"])
    >>> args.data_path, args.limit, args.sorted_by
    ('foil.json', 100, None)
    """
    parser = ArgumentParser(program, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _add_data_options(parser)
    add_model_options(parser, DEFAULT_BACKBONE)
    _add_figure_options(parser)
    _add_run_options(parser)
    add_debug_option(parser)
    return parser.parse_args(arguments(argv))


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data_path",
        default="./data/nocaps_val.json",
        metavar="FILE",
        help="annotations: JSON, CSV, tfrecord or a dataset folder (default: %(default)s)",
    )
    data.add_argument("--img_dir", default="./data/nocaps", metavar="DIR", help="pictures (default: %(default)s)")
    data.add_argument("--benchmark", choices=tuple(BENCHMARKS), help="default: recognised from the file's structure")
    data.add_argument(
        "--reference_path",
        metavar="FILE",
        help="references: COCO captions JSON for FOIL, JSON of {picture: captions} for Flickr8k",
    )
    data.add_argument("--limit", type=AT_LEAST_ONE, metavar="N", help="only the first N samples")
    data.add_argument("--skip_missing", action="store_true", help="score the rest if pictures are missing or damaged")


def _add_figure_options(parser: argparse.ArgumentParser) -> None:
    method = add_method_options(parser)
    method.add_argument(
        "--sorted_by",
        choices=SORTED_BY,
        help="default: the benchmark's (most_negative for FOIL and nocaps, else threshold)",
    )
    method.add_argument(
        "--epsilon",
        type=EPSILON_OR_FILE,
        metavar="X",
        help=f"a number; {EPSILON_HELP} (default: the benchmark's, -1e-5 for Rich-HF, else -5e-5)",
    )
    add_score_options(method)
    # not given: the re-scored run's, or the usual
    parser.set_defaults(method=None, score=None, image_masks=None, long=None)
    method.add_argument(
        "--get_refclipscore",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        metavar="BOOL",
        help="RefCLIPScore too, where there are references (default: %(default)s)",
    )
    method.add_argument(
        "--caption_metrics",
        action="store_true",
        help="BLEU, METEOR, ROUGE-L, CIDEr (and SPICE, if its models are there) against the references too; needs Java",
    )
    method.add_argument(
        "--as_published",
        action="store_true",
        help="also the figures with the published code's "
        "quirks: fp16 numbers, the lowest word for the sum, matching by one word or substring",
    )
    method.add_argument(
        "--expect",
        action="store_true",
        help="exit status 1 if a published figure lies outside our interval, 2 if none is published for such a run",
    )
    _add_suggestion_options(method)
    method.add_argument(
        "--nli_model",
        default=DEFAULT_NLI_MODEL,
        metavar="NAME",
        help="SeeTRUE's entailment model, a hub name or a folder (default: %(default)s)",
    )


def _add_suggestion_options(method: argparse._ArgumentGroup) -> None:
    method.add_argument(
        "--suggest",
        action="store_true",
        help="also how often the right word is put in a foil word's place, among the words that the file exchanges and "
        "of --vocabulary; for foils beside their originals",
    )
    method.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="the words to choose from with --suggest: a file of them; clip: all whole words of the tokenizer "
        "(default: the list that comes along)",
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("run")
    run.add_argument("--output", default="./output", metavar="DIR", help="default: %(default)s")
    run.add_argument(
        "--batch_size",
        type=batch_size,
        metavar="N",
        help="captions a pass; auto halves it when memory runs out (default: auto)",
    )
    run.add_argument(
        "--num_workers", type=PROCESSES, metavar="N", help="processes that decode pictures (default: one a core)"
    )
    run.add_argument(
        "--images_per_block",
        type=AT_LEAST_ONE,
        default=IMAGES_PER_BLOCK,
        metavar="N",
        help="images a block: what an interruption may cost (default: %(default)s)",
    )
    run.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with an interrupted run of the same settings (default: yes)",
    )
    run.add_argument("--overwrite", action="store_true", help="start anew, dropping what the run's folder holds")
    run.add_argument("--seed", type=SEED, default=0, help="of the bootstrap intervals (default: %(default)s)")
    run.add_argument(
        "--rescore",
        metavar="RUN_FOLDER",
        help="no model: every metric anew from a finished run's "
        "samples.jsonl, under --sorted_by, --epsilon, --start_layer_text, --score",
    )


def main(argv: list[str] | None = None, program: str = "main.py") -> None:
    """Evaluate or re-score, print the table. Errors: SystemExit, 2 after an error, 1 where samples were left out or
    --expect found a published figure outside.

    main(["--data_path", "data/foil.json", "--img_dir", "data/val2014", "--limit", "100"])
    """
    args = parse_args(argv, program)
    with one_line_errors(program, args.debug):
        check_extra("eval", "sklearn", "scipy", "filelock", "tabulate", "tqdm")
        if args.rescore and args.suggest:
            raise InputError("--suggest asks the model, and --rescore has none: give it to the run itself")
        outcome = rescore(args) if args.rescore else evaluate(args)
        if outcome is None:
            return
        from clip4dm.evaluation.verdicts import unexpected, verdict_lines

        print("\n".join([outcome.table, *verdict_lines(outcome.result)]))
        print(f"result: {outcome.folder / 'result.json'}")
        left_out = outcome.skipped and not args.rescore and not args.skip_missing
        outside = unexpected(outcome.result) if args.expect and not left_out else []
    if outside:
        lines = "; ".join(verdict.line() for verdict in outside)
        tell(f"{program}: error: published figures lie outside our intervals: {lines}")
    if left_out:
        first = "; ".join(f"{name}: {reason}" for name, reason in list(outcome.skipped.items())[:10])
        tell(
            f"{program}: error: {len(outcome.skipped)} samples were left out for want of a readable picture "
            f"({first}). All others are stored: fetch those pictures again and run the same command, or give "
            "--skip_missing to accept this."
        )
    if outside or left_out:
        raise SystemExit(1)


def rescore(args: argparse.Namespace) -> Outcome:
    """`evaluation.run.rescore` with the command line's options.

    rescore(parse_args(["--rescore", "output/foil/ViT-B-32-openai/SETTINGS", "--epsilon", "-1e-5"])).table
    """
    from pathlib import Path

    from clip4dm.evaluation.run import rescore

    return rescore(
        Path(args.rescore),
        sorted_by=args.sorted_by,
        epsilon=args.epsilon,
        start_layer_text=args.start_layer_text,
        method=args.method,
        margin=args.margin,
        steps=args.steps,
        image_masks=args.image_masks,
        long=args.long,
        score=args.score,
        score_weight=args.score_weight,
        seed=args.seed,
        nli_model=args.nli_model,
        as_published=args.as_published,
        say=_say,
    )


def evaluate(args: argparse.Namespace) -> Outcome | None:
    """`evaluation.run.evaluate` with the command line's options; None in all but torchrun's first process.

    evaluate(parse_args(["--data_path", "data/foil.json", "--img_dir", "data/val2014"])).table
    """
    from clip4dm.evaluation.run import Options, evaluate

    given = {name: value for name, value in vars(args).items() if name not in ("rescore", "debug")}
    given["score"], given["image_masks"] = args.score or F_CLIP_SCORE, args.image_masks or 0
    given["method"], given["long"] = args.method or CLIP4DM_METHOD, args.long or CUT
    given["backbone"], given["pretrained"] = model_arguments(args, DEFAULT_BACKBONE)
    return evaluate(Options(**given), say=_say)


def _say(line: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(line, flush=True)
