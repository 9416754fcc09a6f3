"""Score any pairs of pictures and captions: a table, a folder, webdataset's tar shards.

    clip4dm score captions.csv --output scores                   columns image (paths, or files' bytes) and caption
    clip4dm score photos/ --output scores                        photos/a.jpg with its caption in photos/a.txt
    clip4dm score 'shards/{00000..00099}.tar' --output scores --shard 3/16

Writes a parquet file a shard, a row a pair: docs/scoring.md lists the columns. Ended by whatever, the same command goes
on with the shards that are missing. Exit status: 0, 1 where some pairs could not be scored, 2 after an error.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.commands import engines
from clip4dm.commands.arguments import (
    add_method_options,
    add_model_options,
    add_score_options,
    add_verdict_options,
    detector_of,
    maker_of,
    recipe_of,
)
from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors, tell
from clip4dm.commands.suggesting import add_suggestion_options, words_of
from clip4dm.evaluation import options
from clip4dm.models.names import DEFAULT_BACKBONE
from clip4dm.scoring.formats import INPUT_FORMATS, OUTPUT_FORMATS

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM
    from clip4dm.scoring.inputs.base import Input, Shard
    from clip4dm.scoring.maker import Maker
    from clip4dm.scoring.sink import Sink
    from clip4dm.scoring.suggestions import SuggestionSettings
    from clip4dm.scoring.writers import Summary


def parse_args(argv: list[str] | None = None, program: str | None = None) -> argparse.Namespace:
    """The options; a usage error ends the program with status 2. program: its name in the help (None: the script's).

    >>> parse_args(["photos", "--output", "scores", "--shard", "3/16"]).shard
    (3, 16)
    """
    parser = ArgumentParser(program, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _add_input_options(parser)
    _add_output_options(parser)
    add_model_options(parser, DEFAULT_BACKBONE)
    method = add_method_options(parser)
    add_verdict_options(method)
    add_score_options(method)
    add_suggestion_options(parser)
    _add_run_options(parser)
    add_debug_option(parser)
    args = parser.parse_args(options.arguments(argv))
    if not args.output:
        parser.error("--output is empty; give a folder's name")
    return args


def _add_input_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("input")
    group.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="a table or several, a folder, or tar files; with wildcards and ranges such as {00000..00099}; on this "
        "machine, or wherever fsspec has a protocol for",
    )
    group.add_argument("--input_format", choices=INPUT_FORMATS, help="default: by the files' names")
    group.add_argument("--image_key", metavar="COLUMN", help="the column of pictures (default: one of a usual name)")
    group.add_argument(
        "--caption_key",
        metavar="COLUMN",
        help="the column of captions, or their key in a tar's json files (default: one of a usual name; in a tar, txt)",
    )
    group.add_argument(
        "--pair_key",
        metavar="COLUMN",
        help="the column that names the pairs, no two alike, or its key in a tar's json files (default: key or uid, "
        "else a row's number, for which row_number asks; in a tar, the sample's name)",
    )
    group.add_argument("--img_dir", metavar="DIR", help="where a table's paths begin (default: the table's folder)")
    group.add_argument(
        "--shard_size",
        type=options.AT_LEAST_ONE,
        default=1000,
        metavar="N",
        help="pairs a shard, of tables and folders: as many as an interruption may cost (default: %(default)s)",
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--output", required=True, metavar="FOLDER", help="where the scores go, a file a shard")
    group.add_argument("--output_format", default="parquet", choices=OUTPUT_FORMATS, help="default: %(default)s")
    group.add_argument("--overwrite", action="store_true", help="remove scores of other settings that FOLDER holds")
    group.add_argument("--retry_errors", action="store_true", help="score shards again that have pairs without scores")
    group.add_argument("--skip_errors", action="store_true", help="exit status 0 though pairs could not be scored")
    group.add_argument("--dry_run", action="store_true", help="only say what there is to do, and what is done already")


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    engines.add_options(group)
    group.add_argument(
        "--shard",
        type=_share,
        default=(0, 1),
        metavar="I/N",
        help="only every N-th shard from number I on, I from 0 to N - 1: for N processes at once, of a SLURM array say",
    )
    group.add_argument(
        "--num_workers", type=options.THREADS, metavar="N", help="threads that decode pictures (default: one a core)"
    )
    group.add_argument(
        "--batch_size",
        type=options.AT_LEAST_ONE,
        default=64,
        metavar="N",
        help="captions and pictures a pass (default: %(default)s)",
    )


def _share(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not match or not int(match[1]) < int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not I/N with I from 0 to N - 1, such as 0/4")
    return int(match[1]), int(match[2])


def main(argv: list[str] | None = None, program: str = "clip4dm score") -> None:
    """Score and store. Errors: SystemExit, 2 after an error, 1 where pairs could not be scored.

    main(["photos", "--output", "scores"])
    """
    args = parse_args(argv, program)
    with one_line_errors(program, args.debug):
        check_extra("score", "pyarrow", "fsspec", "tqdm")
        from clip4dm.scoring.progress import plan, summed

        engines.check(args)
        suggest = suggestions_of(args)
        found = open_input(args)
        for note in found.notes:
            tell(f"{program}: note: {note}")
        shards = found.shards()[args.shard[0] :: args.shard[1]]
        if args.dry_run:
            print(plan(shards, look(args, found, shards, suggest, program)))
            return
        detector = make_detector(args)
        if suggest:
            suggest.asked(detector, lambda line: tell(f"{program}: note: {line}"))
        sink = make_sink(args, found, detector, suggest)
        sink.prepare(args.overwrite, found.shards())
        stored = score(args, shards, detector, sink)
    print(f"{summed(stored)} in {args.output}")
    wrong = [summary for summary in stored if summary.errors]
    if wrong and not args.skip_errors:
        errors, pairs = sum(one.errors for one in wrong), sum(one.pairs for one in stored)
        tell(
            f"{program}: error: {errors} of {pairs} pairs could not be scored (the first: {wrong[0].first_error}). The "
            "column error says why of each; all others are stored. --retry_errors tries them again, --skip_errors "
            "accepts this."
        )
        raise SystemExit(1)


def open_input(args: argparse.Namespace) -> Input:
    """The input that the options name. Errors: ScoringError.

    open_input(parse_args(["photos", "--output", "scores"])).shards()
    """
    from clip4dm.scoring.inputs.recognise import open_input

    return open_input(
        args.input,
        args.input_format,
        image_key=args.image_key,
        caption_key=args.caption_key,
        pair_key=args.pair_key,
        img_dir=args.img_dir,
        shard_size=args.shard_size,
    )


def make_detector(args: argparse.Namespace) -> CLIP4DM:
    """The detector that the options ask for. Errors: ModelError, InputError.

    make_detector(parse_args(["photos", "--output", "scores", "--backbone", "demo"])).method.name  # "clip4dm"
    """
    return detector_of(args, DEFAULT_BACKBONE, batch_size=args.batch_size)


def suggestions_of(args: argparse.Namespace) -> SuggestionSettings | None:
    """What is to be suggested, the words read; None without --suggest. Errors: VocabularyError, InputError.

    >>> suggestions_of(parse_args(["photos", "--output", "scores", "--suggest", "3"])).top
    3
    """
    words = words_of(args)
    if words is None:
        return None
    from clip4dm.scoring.suggestions import SuggestionSettings

    return SuggestionSettings(words, args.suggest, args.min_gain, distinct=not args.near)


def make_sink(
    args: argparse.Namespace, found: Input, by: CLIP4DM | Maker, suggest: SuggestionSettings | None = None
) -> Sink:
    """The folder for the scores, under the detector's settings. Errors: ScoringError for one that is not a folder here.

    make_sink(args, found, detector).prepare()
    """
    from clip4dm.scoring.sink import open_sink

    return open_sink(args.output, found, by, args.output_format, suggest)


def look(
    args: argparse.Namespace,
    found: Input,
    shards: Sequence[Shard],
    suggest: SuggestionSettings | None = None,
    program: str = "clip4dm score",
) -> list[Summary | None]:
    """What is stored of each shard, without loading the model. Errors: ScoringError, ModelError, InputError.

    look(args, found, found.shards())
    """
    from clip4dm.scoring.maker import NotAtHand

    try:
        sink = make_sink(args, found, maker_of(args, DEFAULT_BACKBONE), suggest)
    except NotAtHand as error:
        if any(Path(args.output).glob("*.*")):
            raise
        tell(f"{program}: note: {error}")
        return [None for _ in shards]
    sink.check(args.overwrite, found.shards())
    done = [sink.done(shard) for shard in shards]
    tell_of_newer([shard for shard, one in zip(shards, done, strict=True) if one is not None], sink)
    return done


def tell_of_newer(stored: Sequence[Shard], sink: Sink) -> None:
    """A note of tars that were written after their scores: whether they hold the same, only reading them would tell.

    tell_of_newer(found.shards(), sink)
    """
    from clip4dm.scoring.inputs.tars import TarShard

    newer = [shard for shard in stored if isinstance(shard, TarShard) and shard.is_newer(sink.path(shard))]
    if newer:
        tell(
            f"note: {len(newer)} tars were copied or changed after they were scored, {newer[0].path} first; of the "
            f"same size and ends, they are taken for the same. Remove {sink.path(newer[0])} to have it scored again"
        )


def score(args: argparse.Namespace, shards: Sequence[Shard], detector: CLIP4DM, sink: Sink) -> list[Summary]:
    """Score what is missing; the summaries of all shards, those stored before too. Errors: ScoringError.

    score(args, found.shards(), detector, sink)
    """
    from clip4dm.scoring.progress import Progress

    before = {shard.name: sink.done(shard) for shard in shards}
    stored = [one for one in before.values() if one is not None and not (args.retry_errors and one.errors)]
    known = {summary.shard for summary in stored}
    missing = [shard for shard in shards if shard.name not in known]
    if stored:
        tell(f"{len(stored)} of {len(shards)} shards are stored already")
        tell_of_newer([shard for shard in shards if shard.name in known], sink)
    if missing:
        recipe = recipe_of(args, DEFAULT_BACKBONE, batch_size=args.batch_size, curve=detector.curve)
        recipe["epsilon"] = detector.epsilon  # a calibration's, where one was asked for
        with Progress(missing) as progress:
            for summary in engines.run(args, missing, recipe, detector, sink, progress.pairs):
                progress.shard(summary)
                stored.append(summary)
    return stored
