"""What each way to attribute costs, in times the paper's method: processor time of the text side alone.

    python misc/benchmark_methods.py                     # ViT-B-32 with random weights
    python misc/benchmark_methods.py --pretrained FOLDER --methods gradient_value:0 occlusion

Captions of so many words, features of pictures drawn by chance; one thread. In each round every row runs once, in turn,
and ratios are taken within a round: a machine whose speed drifts does no harm. A text pass is a caption's own, batched
as the methods batch; occlusion should cost as many as a caption has words, and one more. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from comparing.rows import Row, row

from clip4dm.commands.arguments import add_model_options, model_arguments
from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE
from clip4dm.models.names import DEFAULT_BACKBONE
from clip4dm.scores import CLIP4DM_METHOD

ROWS = ("clip4dm:-3", "clip4dm:0", "gradient_value:-3", "gradient_value:0", "grad_eclip", "occlusion")
WORDS = "dog cat man woman street table red blue small large runs sits under beside water snow ball tree".split()
PASS = "a text pass"
COLUMNS = ("row", "ms a caption", "times the first row", "least", "most", "text passes")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser, DEFAULT_BACKBONE)
    parser.add_argument(
        "--methods",
        nargs="+",
        type=row,
        default=[row(text) for text in ROWS],
        metavar="NAME[:N]",
        help=f"the first is what the others are compared with (default: {' '.join(ROWS)})",
    )
    parser.add_argument("--captions", type=AT_LEAST_ONE, default=64, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--words", type=AT_LEAST_ONE, default=10, metavar="N", help="a caption (default: %(default)s)")
    parser.add_argument("--rounds", type=AT_LEAST_ONE, default=7, metavar="N", help="(default: %(default)s)")
    add_debug_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors("benchmark_methods.py", args.debug):
        from clip4dm.evaluation.tables import markdown_table

        print(markdown_table(measured(args), COLUMNS))


def measured(args: argparse.Namespace) -> list[list[str]]:
    """A row of COLUMNS for each method, and one for a text pass. Errors: CLIP4DMError, OSError."""
    import torch

    from clip4dm import CLIP4DM

    torch.set_num_threads(1)
    backbone, pretrained = model_arguments(args, DEFAULT_BACKBONE)
    with tempfile.TemporaryDirectory() as scratch:
        if pretrained is None:
            from speed.random_model import make_random_model

            pretrained = str(make_random_model(Path(scratch) / "random", backbone))
        first = CLIP4DM.from_pretrained(backbone, pretrained, "cpu", args.precision, method=CLIP4DM_METHOD)
    random = Random(0)
    captions = first.encode_captions([" ".join(random.choices(WORDS, k=args.words)) for _ in range(args.captions)])
    features = torch.nn.functional.normalize(
        torch.randn(args.captions, first.model.tower.features, generator=torch.Generator().manual_seed(0))
    )
    timed: dict[str, Callable[[], object]] = {PASS: lambda: first.model.tower.encode(captions)}
    for one in args.methods:
        timed[one.name] = _detecting(first.model, one, features, captions)
    seconds = processor_seconds(timed, args.rounds)
    reference = seconds[args.methods[0].name]
    return [_shown(name, took, reference, seconds[PASS], args.captions) for name, took in seconds.items()]


def processor_seconds(timed: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Of each, of every round but a first one that warms up.

    >>> sorted(processor_seconds({"nothing": lambda: None}, 2)) , len(processor_seconds({"a": list}, 2)["a"])
    (['nothing'], 2)
    """
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(rounds + 1):
        for name, call in timed.items():
            begun = time.process_time()
            call()
            if number:
                seconds[name].append(time.process_time() - begun)
    return seconds


def _detecting(model, one: Row, features, captions) -> Callable[[], object]:
    from clip4dm import CLIP4DM

    detector = CLIP4DM(model, method=one.method, start_layer_text=one.start)
    return lambda: detector.detect_encoded(features, captions)


def _shown(name: str, took: list[float], reference: list[float], passes: list[float], captions: int) -> list[str]:
    ratios = [mine / theirs for mine, theirs in zip(took, reference, strict=True)]
    in_passes = statistics.median(mine / theirs for mine, theirs in zip(took, passes, strict=True))
    shown = (statistics.median(ratios), min(ratios), max(ratios), in_passes)
    return [name, f"{1000 * statistics.median(took) / captions:.2f}", *(f"{value:.2f}" for value in shown)]


if __name__ == "__main__":
    run_command(main)
