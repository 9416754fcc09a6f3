"""The paper's ablations on a benchmark, in one table: gradient signs, numbers of layers, mean or product over layers.

    python misc/ablate.py --data_path data/shapes/shapes_foil.json --img_dir data/shapes/images --backbone demo

Every pair is passed once, and every variant is read from the same attention maps and gradients. AP columns: of
CLIPScore (the score alone), of the sum of misaligned words' attributions alone, and of F-CLIPScore, their product.
Intervals: 95 %, by bootstrap over images. Prints Markdown; --csv writes every figure with its interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from clip4dm.commands.arguments import add_model_options, model_arguments
from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, EPSILON, arguments


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", type=Path, required=True, metavar="FILE", help="annotations, as for main.py")
    parser.add_argument("--img_dir", type=Path, required=True, metavar="DIR", help="pictures")
    parser.add_argument("--limit", type=AT_LEAST_ONE, metavar="N", help="only the first N samples")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="every figure with its interval")
    parser.add_argument(
        "--layers",
        type=AT_LEAST_ONE,
        metavar="N",
        help="the last N, of signs and products (default: 3, or all of fewer)",
    )
    parser.add_argument("--epsilon", type=EPSILON, help="default: the benchmark's")
    add_model_options(parser, "demo")
    add_debug_option(parser)
    args = parser.parse_args(arguments(argv))
    with one_line_errors("ablate.py", args.debug):
        from reproducing.ablation import figures_of_variants, markdown, paper_variants, write_csv

        from clip4dm import CLIP4DM
        from clip4dm.benchmarks import read_benchmark
        from clip4dm.evaluation.records import Settings
        from clip4dm.scores import CLIP4DM_METHOD, last_layers

        benchmark, reading = read_benchmark(args.data_path, img_dir=args.img_dir)
        detector = CLIP4DM.from_pretrained(
            *model_arguments(args, "demo"), args.device, args.precision, method=CLIP4DM_METHOD
        )
        epsilon = benchmark.epsilon if args.epsilon is None else args.epsilon
        layers = detector.model.tower.layers
        settings = Settings(benchmark.sorted_by, epsilon, detector.start_layer_text, layers)
        usual = last_layers(-args.layers if args.layers else detector.start_layer_text, layers)
        variants = paper_variants(layers, usual)
        results = figures_of_variants(
            detector, benchmark, reading.samples[: args.limit], args.img_dir, variants, settings
        )
        print(markdown(results), flush=True)  # first: it is there even where the CSV cannot be written
        if args.csv:
            write_csv(args.csv, results)


if __name__ == "__main__":
    run_command(main)
