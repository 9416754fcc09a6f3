"""How fast `clip4dm score` is on tar shards, and how much memory it takes, however many there are.

    python misc/benchmark_scoring.py                                                    drawn scenes, the demo model
    python misc/benchmark_scoring.py --img_dir val2014 --captions captions.json --pretrained MODEL --pairs 400
    python misc/benchmark_scoring.py --pairs 1000 --per_tar 200 --suggest                   with and without suggestions

For every number of pairs: `clip4dm score` in a fresh process, its pairs/s from the seconds that its shards say they
took (so without starting Python), its peak resident memory. Then, in one process, a shard at a time in turn: clip4dm
score; (a) the detector alone, pictures decoded and in memory; (b) a plain loop of webdataset and open_clip that gives
CLIPScore and nothing else. Ratios are taken within a round, so that a machine whose speed drifts does no harm; the time
of the processors, of all threads, also tells what other programs took away. Prints Markdown. With --suggest the latter
alone, of clip4dm score with suggestions and without; every second drawn caption then has a word exchanged.

Drawn scenes come again, with other captions and under other names, after --distinct of them: drawing would take longer
than scoring. They are decoded and encoded every time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from speed.fresh import run_fresh

from clip4dm.commands.arguments import add_model_options, model_arguments
from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import AT_LEAST_ONE
from clip4dm.suggestion.result import TOP

if TYPE_CHECKING:
    from clip4dm import CLIP4DM

Contender = Callable[[Path], Callable[[], object]]
NAMES = {
    "score": "clip4dm score",
    "a": "(a) the detector alone, on decoded pictures",
    "b": "(b) webdataset and open_clip, CLIPScore alone",
    "c": "clip4dm score --suggest",
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser, "demo")
    parser.add_argument("--img_dir", type=Path, help="a folder of JPEGs (default: drawn pictures)")
    parser.add_argument("--captions", type=Path, help="a COCO captions JSON of these pictures")
    parser.add_argument(
        "--pairs",
        type=AT_LEAST_ONE,
        nargs="+",
        default=[10_000, 100_000],
        metavar="N",
        help="how many, each in a process of its own (default: 10000 and 100000)",
    )
    parser.add_argument("--per_tar", type=AT_LEAST_ONE, default=1000, help="default: %(default)s")
    parser.add_argument("--distinct", type=AT_LEAST_ONE, default=5000, help="drawn pictures (default: %(default)s)")
    parser.add_argument("--rounds", type=AT_LEAST_ONE, default=7, help="default: %(default)s")
    parser.add_argument(
        "--suggest", nargs="?", type=AT_LEAST_ONE, const=TOP, metavar="N", help="words (N, where it is not given: 5)"
    )
    add_debug_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    args.backbone, args.pretrained = model_arguments(args, "demo")  # for the fresh processes too
    with one_line_errors("benchmark_scoring.py", args.debug), tempfile.TemporaryDirectory() as scratch:
        check_extra("score", "pyarrow", "fsspec", "tqdm")
        if find_spec("webdataset") is None:
            raise InputError("this needs webdataset, not installed here: pip install webdataset")
        tars = make_tars(args, Path(scratch))
        rows = []
        for pairs in [] if args.suggest else args.pairs:
            some = tars[: -(-pairs // args.per_tar)]
            rate, peak, cores = fresh_process(args, some, Path(scratch) / f"scores-{pairs}")
            rows.append([f"{pairs:,}", f"{len(some)}", f"{rate:.1f}", f"{cores:.2f}", f"{peak / 2**20:,.0f} MiB"])
            print(json.dumps({"pairs": pairs, "rate": rate, "peak": peak, "cores": cores}), file=sys.stderr, flush=True)
        if rows:
            print(_table(rows, ["pairs", "tars", "pairs/s", "cores used", "peak memory"]) + "\n", flush=True)
        print(side_by_side(args, tars), flush=True)


def make_tars(args: argparse.Namespace, scratch: Path) -> list[Path]:
    """The largest load; smaller ones are its first tars. Errors: InputError, BenchmarkError, OSError."""
    from speed import scoring

    if args.img_dir is None:
        samples = scoring.drawn_samples(min(args.distinct, max(args.pairs)), foils=bool(args.suggest))
    elif args.captions is None:
        raise InputError("--img_dir needs --captions, a COCO captions JSON of its pictures")
    else:
        samples = scoring.photographs(args.img_dir, args.captions)
    return scoring.write_tars(scratch / "tars", samples, max(args.pairs), args.per_tar)


def fresh_process(args: argparse.Namespace, tars: list[Path], output: Path) -> tuple[float, int, float]:
    """(pairs/s, peak resident bytes, cores that the whole process used). Errors: InputError where it fails."""
    import pyarrow.parquet as pq

    given = {"backbone": args.backbone, "pretrained": args.pretrained, "device": args.device}
    options = [part for key, value in given.items() if value is not None for part in (f"--{key}", str(value))]
    command = ["-m", "clip4dm", "score", *map(str, tars), "--output", str(output), "--precision", args.precision]
    cost = run_fresh([*command, *options], output.with_suffix(".log"))
    counts = [
        json.loads(pq.read_metadata(path).metadata[b"clip4dm"])["counts"] for path in sorted(output.glob("*.parquet"))
    ]
    rate = sum(one["pairs"] for one in counts) / sum(one["seconds"] for one in counts)
    return rate, cost.peak, cost.processor / cost.seconds


def side_by_side(args: argparse.Namespace, tars: list[Path]) -> str:
    """The table of one process: a shard through each in turn, round by round, each round with another first."""
    import torch
    from speed import scoring

    from clip4dm import CLIP4DM

    detector = CLIP4DM.from_pretrained(args.backbone, args.pretrained, args.device, args.precision, batch_size=64)
    if args.suggest:
        contenders = with_suggestions(detector, args.suggest, tars[0])
    else:
        makers = {"score": scoring.score_alone, "a": scoring.detector_alone, "b": scoring.plain_loop}
        contenders = {name: make(detector) for name, make in makers.items()}
    names, seconds, processors = list(contenders), *({name: list[float]() for name in contenders} for _ in "ab")
    for number in range(-1, args.rounds):  # round -1 warms up
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            run = contenders[name](tars[number % len(tars)])
            wall, processor = time.perf_counter(), time.process_time()
            run()
            if number >= 0:
                seconds[name].append(time.perf_counter() - wall)
                processors[name].append(time.process_time() - processor)
    pairs = min(args.per_tar, max(args.pairs))
    rows = []
    for name in names:
        ratios = [
            [theirs / ours for theirs, ours in zip(kind[name], kind["score"], strict=True)]
            for kind in (seconds, processors)
        ]
        beside = ["", ""] if name == "score" else [_spread(values, ".2f") for values in ratios]
        cpu = f"{1000 * statistics.median(processors[name]) / pairs:.2f}"
        rows.append(
            [NAMES[name], _spread([pairs / value for value in seconds[name]], ".1f"), beside[0], cpu, beside[1]]
        )
    of = f"{detector.model.backbone}, {torch.get_num_threads()} threads, {pairs} pairs a round, {args.rounds} rounds"
    return _table(rows, [of, "pairs/s", "clip4dm score is faster by, times", "CPU ms a pair", "by CPU time"])


def with_suggestions(detector: CLIP4DM, top: int, tar: Path) -> dict[str, Contender]:
    """clip4dm score without and with suggestions; says how many words of a tar they are for."""
    from speed import scoring

    from clip4dm.calibration.shelf import shipped_calibration
    from clip4dm.scoring.inputs.recognise import open_input
    from clip4dm.scoring.suggestions import SuggestionSettings
    from clip4dm.scoring.work import score

    calibration = shipped_calibration(detector.attributed_by())
    detector = detector.calibrated(calibration) if calibration else detector
    rows = list(score(open_input([str(tar)]).shards()[0].pairs(), detector))
    print(f"{sum(len(row['misaligned'] or []) for row in rows)} misaligned words in the first {len(rows)} pairs\n")
    suggest = SuggestionSettings.of(top)
    return {"score": scoring.score_alone(detector), "c": scoring.score_alone(detector, suggest)}


def _table(rows: list[list[str]], head: list[str]) -> str:
    from clip4dm.evaluation.tables import markdown_table

    return markdown_table(rows, head)


def _spread(values: list[float], style: str) -> str:
    return f"{statistics.median(values):{style}} [{min(values):{style}}, {max(values):{style}}]"


if __name__ == "__main__":
    run_command(main)
