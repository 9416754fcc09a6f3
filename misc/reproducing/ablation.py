"""The paper's ablations on a benchmark: signs of the gradient, numbers of layers, mean or product over layers.

Every pair is passed once, and every variant is read from the same attention maps and gradients.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from clip4dm.attribution.variants import Variant
from clip4dm.benchmarks.base import Benchmark, Sample
from clip4dm.detector import CLIP4DM
from clip4dm.evaluation.ablation import detect_variants
from clip4dm.evaluation.records import Settings, score_detection
from clip4dm.evaluation.report import Columns, flatten, summarise
from clip4dm.evaluation.tables import cell, markdown_table
from clip4dm.files.streams import batches

PAIRS_AT_ONCE = 64
COLUMNS = ("LA", "LA_span", "AP/F-CLIPScore", "AP/misaligned_sum", "AP/CLIPScore")
Results = Mapping[Variant, Mapping[str, Any]]  # a variant's figures, nested as in result.json


def paper_variants(layers: int, usual: int) -> list[Variant]:
    """The rows of the paper's ablations: every number of layers, then at the usual one signs and aggregations.

    >>> [str(variant) for variant in paper_variants(2, 2)][:3]
    ['both, mean, 1 layer', 'both, mean, 2 layers', 'negative_per_head, mean, 2 layers']
    """
    numbers = sorted({*range(1, min(layers, 4) + 1), 6, 8, 12, usual, layers} & set(range(1, layers + 1)))
    return [
        *(Variant(layers=number) for number in numbers),
        *(Variant(sign, layers=usual) for sign in ("negative_per_head", "negative_per_layer", "positive")),
        Variant("both", "rollout", usual),
        Variant("positive", "rollout", usual),
    ]


def figures_of_variants(
    detector: CLIP4DM,
    benchmark: Benchmark,
    samples: Sequence[Sample],
    img_dir: Path,
    variants: Iterable[Variant],
    settings: Settings,
) -> dict[Variant, dict[str, Any]]:
    """Every variant's figures, as in result.json. settings: of sorted_by and epsilon.

    The reference points CLIPScore and the floors are the same in all. Errors: ImageError, CaptionError.
    """
    variants = list(variants)
    columns = {variant: Columns() for variant in variants}
    with tqdm(total=len(samples), unit="pair") as bar:
        for part in batches(samples, PAIRS_AT_ONCE):
            pictures = list(dict.fromkeys(sample.image for sample in part))
            features = detector.encode_images([img_dir / name for name in pictures])
            rows = features[[pictures.index(sample.image) for sample in part]]
            captions = detector.encode_captions([sample.caption for sample in part])
            for sample, found in zip(part, detect_variants(detector, rows, captions, variants), strict=True):
                for variant, detection in found.items():
                    under = detection.with_settings(sorted_by=settings.sorted_by, epsilon=settings.epsilon)
                    record = {"truncated": under.truncated, "ref_clipscore": None, "nli_score": None}
                    columns[variant].add(sample, record, score_detection(under, sample, benchmark), benchmark)
            bar.update(len(part))
    return {
        variant: summarise(column, benchmark, nli_reason="not part of the ablation")
        for variant, column in columns.items()
    }


def markdown(results: Results) -> str:
    """The table: a row a variant, each figure with its interval."""
    figures = {variant: dict(flatten(result)) for variant, result in results.items()}
    names = [name for name in COLUMNS if any(name in row for row in figures.values())]
    rows = [[str(variant), *(cell(row.get(name)) for name in names)] for variant, row in figures.items()]
    return markdown_table(rows, ["variant", *names])


def write_csv(path: Path, results: Results) -> None:
    """Every figure of every variant with its interval, a line each. Errors: OSError."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sign", "aggregation", "layers", "figure", "value", "low", "high", "n"])
        for variant, result in results.items():
            for name, figure in flatten(result):
                numbers = (figure.value, figure.low, figure.high, figure.n)
                writer.writerow([variant.sign, variant.aggregation, variant.layers, name, *numbers])
