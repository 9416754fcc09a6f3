"""Score any pairs of pictures and captions: a table, a folder, webdataset's tar shards.

    clip4dm score captions.csv --output scores
    clip4dm score photos/ --output scores                        photos/a.jpg with its caption in photos/a.txt
    clip4dm score 'shards/{00000..00099}.tar' --output scores --shard 3/16

Writes a parquet file a shard, a row a pair. Ended by whatever, the same command goes on with the shards that are missing.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.commands.arguments import add_method_options, add_model_options, add_score_options, model_arguments
from clip4dm.commands.cli import add_debug_option, check_extra, one_line_errors
from clip4dm.evaluation.options import AT_LEAST_ONE, EPSILON, PROCESSES, arguments
from clip4dm.models.names import DEFAULT_BACKBONE
from clip4dm.scores import EPSILON as USUAL_EPSILON
from clip4dm.scores import SORTED_BY

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM
    from clip4dm.scoring.inputs.base import Input
    from clip4dm.scoring.sink import Sink

ENGINES = ("local",)
FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "folder", "tar")
OUTPUT_FORMATS = ("parquet", "jsonl")


def parse_args(argv: list[str] | None = None, program: str | None = None) -> argparse.Namespace:
    """The options; a usage error ends the program with status 2. program: its name in the help (None: the script's).

    >>> parse_args(["photos", "--output", "scores", "--shard", "3/16"]).shard
    (3, 16)
    """
    parser = argparse.ArgumentParser(program, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _add_input_options(parser)
    _add_output_options(parser)
    add_model_options(parser, DEFAULT_BACKBONE)
    method = add_method_options(parser)
    method.add_argument(
        "--sorted_by",
        default="threshold",
        choices=SORTED_BY,
        help="threshold: the words below epsilon; most_negative: the lowest one (default: %(default)s)",
    )
    method.add_argument(
        "--epsilon", type=EPSILON, default=USUAL_EPSILON, help="a word is misaligned below it (default: %(default)s)"
    )
    add_score_options(method)
    add_debug_option(parser)
    return parser.parse_args(arguments(argv))


def _add_input_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("input")
    group.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="a table or several, a folder, or tar files; with wildcards and {00000..00099}; any fsspec path",
    )
    group.add_argument("--input_format", choices=FORMATS, help="default: by the names of the files")
    group.add_argument(
        "--image_key", metavar="COLUMN", help="the column of pictures: paths, or files' bytes (default: a usual name)"
    )
    group.add_argument(
        "--caption_key",
        metavar="COLUMN",
        help="the column of captions, or their key in the json files of a tar (default: a usual name; of tars, txt)",
    )
    group.add_argument(
        "--pair_key",
        metavar="COLUMN",
        help="the column of the pairs' keys, no two alike (default: key or uid if there is one, else the row's number)",
    )
    group.add_argument("--img_dir", metavar="DIR", help="where the table's paths begin (default: the table's folder)")
    group.add_argument(
        "--shard_size",
        type=AT_LEAST_ONE,
        default=1000,
        metavar="N",
        help="pairs a shard, of tables and folders; an interruption may cost as many (default: %(default)s)",
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--output", required=True, metavar="FOLDER", help="where the scores go")
    group.add_argument("--output_format", default="parquet", choices=OUTPUT_FORMATS, help="default: %(default)s")
    group.add_argument("--overwrite", action="store_true", help="remove scores of other settings that FOLDER holds")
    group.add_argument(
        "--skip_errors", action="store_true", help="exit status 0 even if some pairs could not be scored"
    )
    group.add_argument("--dry_run", action="store_true", help="say what there is to do, and what is done already")
    run = parser.add_argument_group("run")
    run.add_argument("--engine", default="local", choices=ENGINES, help="local: this process (default)")
    run.add_argument(
        "--shard",
        type=_share,
        default=(0, 1),
        metavar="I/N",
        help="only every N-th shard, from number I on, 0 <= I < N: for N processes at once, a SLURM array for one",
    )
    run.add_argument(
        "--num_workers", type=PROCESSES, metavar="N", help="threads that decode pictures (default: one a core)"
    )
    run.add_argument(
        "--batch_size",
        type=AT_LEAST_ONE,
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
        from clip4dm.scoring.engines import local
        from clip4dm.scoring.inputs.recognise import open_input

        found = open_input(
            args.input,
            args.input_format,
            image_key=args.image_key,
            caption_key=args.caption_key,
            pair_key=args.pair_key,
            img_dir=args.img_dir,
            shard_size=args.shard_size,
        )
        detector = make_detector(args)
        sink = make_sink(args, found, detector)
        shards = found.shards()[args.shard[0] :: args.shard[1]]
        sink.prepare(args.overwrite)
        missing = [shard for shard in shards if sink.done(shard) is None]
        for summary in local.run(missing, detector, sink, args.num_workers):
            print(summary)


def make_detector(args: argparse.Namespace) -> CLIP4DM:
    """The detector that the options ask for. Errors: ModelError, InputError.

    make_detector(parse_args(["photos", "--output", "scores", "--backbone", "demo"])).method.name  # "clip4dm"
    """
    from clip4dm import CLIP4DM

    return CLIP4DM.from_pretrained(
        *model_arguments(args, DEFAULT_BACKBONE),
        device=args.device,
        precision=args.precision,
        template=args.template,
        method=args.method,
        margin=args.margin,
        start_layer_text=args.start_layer_text,
        sorted_by=args.sorted_by,
        epsilon=args.epsilon,
        score=args.score,
        score_weight=args.score_weight,
        batch_size=args.batch_size,
    )


def make_sink(args: argparse.Namespace, found: Input, detector: CLIP4DM) -> Sink:
    """The folder under the detector's settings.

    make_sink(args, found, detector).prepare()
    """
    from clip4dm.scoring.work import open_sink

    return open_sink(Path(args.output), found, detector, args.output_format)
