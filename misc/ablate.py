"""The paper's ablations on a benchmark, in one table: gradient signs, numbers of layers, mean or product over layers.

    python misc/ablate.py --data_path data/shapes/shapes_foil.json --img_dir data/shapes/images --backbone demo

Every pair is passed once, and every variant is read from the same attention maps and gradients. AP columns: of
CLIPScore (the score alone), of the sum of misaligned words' attributions alone, and of F-CLIPScore, their product.
Intervals: 95 %, by bootstrap over images. Prints Markdown; --csv writes every figure with its interval.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clip4dm.commands.cli import add_model_options, model_arguments, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, EPSILON, arguments

PAIRS_AT_ONCE = 64
COLUMNS = ("LA", "LA_span", "AP/F-CLIPScore", "AP/misaligned_sum", "AP/CLIPScore")


def paper_variants(layers: int, usual: int) -> list:
    """The rows of the paper's ablations: every number of layers, then at the usual one signs and aggregations."""
    from clip4dm.attribution.variants import Variant

    numbers = sorted({*range(1, min(layers, 4) + 1), 6, 8, 12, usual, layers} & set(range(1, layers + 1)))
    return [
        *(Variant(layers=number) for number in numbers),
        *(Variant(sign, layers=usual) for sign in ("negative_per_head", "negative_per_layer", "positive")),
        Variant("both", "rollout", usual),
        Variant("positive", "rollout", usual),
    ]


def run(detector, benchmark, samples, img_dir: Path, variants, settings) -> dict[Any, Mapping[str, Any]]:
    """Every variant's figures, as in result.json. settings: of sorted_by and epsilon.

    The reference points CLIPScore and the floors are the same in all. Errors: ImageError, ValueError.
    """
    import dataclasses

    from tqdm import tqdm

    from clip4dm.evaluation.ablation import detect_variants
    from clip4dm.evaluation.records import score_record, stored_fields
    from clip4dm.evaluation.report import Columns, summarise

    columns = {variant: Columns() for variant in variants}
    alone = dataclasses.replace(settings, start_layer_text=-1, layers=1)
    with tqdm(total=len(samples), unit="pair") as bar:
        for part in _parts(samples, PAIRS_AT_ONCE):
            pictures = list(dict.fromkeys(sample.image for sample in part))
            features = detector.encode_images([img_dir / name for name in pictures])
            rows = features[[pictures.index(sample.image) for sample in part]]
            captions = detector.encode_captions([sample.caption for sample in part])
            for sample, found in zip(part, detect_variants(detector, rows, captions, variants), strict=True):
                for variant, detection in found.items():
                    record = stored_fields(detection) | {"ref_clipscore": None, "nli_score": None}
                    columns[variant].add(sample, record, score_record(record, sample, benchmark, alone), benchmark)
            bar.update(len(part))
    return {
        variant: summarise(column, benchmark, nli_reason="not part of the ablation")
        for variant, column in columns.items()
    }


def _parts(items, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def markdown(results: Mapping[Any, Mapping[str, Any]]) -> str:
    """The table: a row a variant, each figure with its interval."""
    from clip4dm.evaluation.paper import cell
    from clip4dm.evaluation.report import flatten

    figures = {variant: dict(flatten(result)) for variant, result in results.items()}
    names = [name for name in COLUMNS if any(name in row for row in figures.values())]
    lines = ["| variant | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for variant, row in figures.items():
        lines.append(f"| {variant} | " + " | ".join(cell(row.get(name)) for name in names) + " |")
    return "\n".join(lines)


def write_csv(path: Path, results: Mapping[Any, Mapping[str, Any]]) -> None:
    from clip4dm.evaluation.report import flatten

    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sign", "aggregation", "layers", "figure", "value", "low", "high", "n"])
        for variant, result in results.items():
            for name, figure in flatten(result):
                writer.writerow(
                    [
                        variant.sign,
                        variant.aggregation,
                        variant.layers,
                        name,
                        figure.value,
                        figure.low,
                        figure.high,
                        figure.n,
                    ]
                )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", type=Path, required=True, metavar="FILE", help="annotations, as for main.py")
    parser.add_argument("--img_dir", type=Path, required=True, metavar="DIR", help="pictures")
    parser.add_argument("--limit", type=AT_LEAST_ONE, metavar="N", help="only the first N samples")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="every figure with its interval")
    parser.add_argument("--epsilon", type=EPSILON, help="default: the benchmark's")
    add_model_options(parser, "demo")
    args = parser.parse_args(arguments(argv))
    with one_line_errors("ablate.py"):
        from clip4dm import CLIP4DM
        from clip4dm.benchmarks import read_benchmark
        from clip4dm.evaluation.records import Settings

        benchmark, reading = read_benchmark(args.data_path, img_dir=args.img_dir)
        detector = CLIP4DM.from_pretrained(*model_arguments(args, "demo"), device=args.device, precision=args.precision)
        epsilon = benchmark.epsilon if args.epsilon is None else args.epsilon
        layers = detector.model.tower.layers
        settings = Settings(benchmark.sorted_by, epsilon, detector.start_layer_text, layers)
        variants = paper_variants(layers, min(3, layers))
        results = run(detector, benchmark, reading.samples[: args.limit], args.img_dir, variants, settings)
        print(markdown(results), flush=True)  # first: it is there even where the CSV cannot be written
        if args.csv:
            write_csv(args.csv, results)


if __name__ == "__main__":
    run_command(main)
