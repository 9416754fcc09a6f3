"""How nearly integrated gradients sum to what the words change in the cosine, by their steps.

    python misc/measure_completeness.py --data_path foils.json --img_dir images --steps 4 16 64 --limit 500

The sum over a caption's tokens should be s(caption) - s(baseline), the caption with its end's embedding for each word's
(clip4dm/attribution/embeddings.py). A row a number of steps, of the benchmark's first pairs; the first four columns in
cosines: the mean of what the sum misses, without sign; the largest; the mean of s(caption) - s(baseline), without sign;
the mean over pairs of the largest attribution.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from clip4dm.commands.arguments import add_model_options, model_arguments
from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE
from clip4dm.models.names import DEFAULT_BACKBONE

COLUMNS = ("steps", "missed", "at most", "s(caption) - s(baseline)", "largest attribution", "ms a pair")


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", type=Path, required=True, metavar="FILE", help="annotations, as main.py's")
    parser.add_argument("--img_dir", type=Path, required=True, metavar="DIR", help="pictures")
    parser.add_argument("--limit", type=AT_LEAST_ONE, default=500, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--steps", type=AT_LEAST_ONE, nargs="+", default=[4, 16, 64], metavar="N", help="4 16 64")
    add_model_options(parser, DEFAULT_BACKBONE)
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("measure_completeness.py", args.debug):
        from clip4dm.evaluation.tables import markdown_table

        print(markdown_table(measure(args), COLUMNS))


def measure(args: argparse.Namespace) -> list[list[str]]:
    """A row of COLUMNS for each number of steps. Errors: CLIP4DMError, OSError."""
    import torch

    from clip4dm import CLIP4DM
    from clip4dm.attribution.methods import get_method
    from clip4dm.benchmarks import read_benchmark
    from clip4dm.files.streams import batches

    _, reading = read_benchmark(args.data_path, img_dir=args.img_dir)
    samples = reading.samples[: args.limit]
    detector = CLIP4DM.from_pretrained(*model_arguments(args, DEFAULT_BACKBONE), args.device, args.precision)
    images = detector.encode_images([args.img_dir / sample.image for sample in samples])
    captions = detector.encode_captions([sample.caption for sample in samples])
    rows = []
    for steps in args.steps:
        method, begun = get_method("integrated", steps=steps), time.perf_counter()
        found = []
        for batch in batches(range(len(samples)), detector.batch_size):
            read = [captions[i] for i in batch]
            found.append(method.attribute(detector.model.tower, read, images[list(batch)], range(len(batch)), -1))
        seconds = time.perf_counter() - begun
        missed = torch.cat([part.completeness for part in found])
        changed = torch.cat([part.per_layer.sum((1, 2)) for part in found]) - missed
        largest = torch.cat([part.per_layer.abs().amax((1, 2)) for part in found])
        numbers = (missed.abs().mean(), missed.abs().max(), changed.abs().mean(), largest.mean())
        rows.append([str(steps), *(f"{value.item():.2g}" for value in numbers), f"{1000 * seconds / len(samples):.1f}"])
    return rows


if __name__ == "__main__":
    run_command(main)
