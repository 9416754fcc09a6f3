"""Where in a long caption is a false word found? Two finished runs, captions cut and read whole, without the model.

    python misc/make_shapes_benchmark.py data/shapes-long --long --pairs 1000
    DATA="--data_path data/shapes-long/shapes_foil.json --img_dir data/shapes-long/images"
    python main.py $DATA --backbone demo
    python main.py $DATA --backbone demo --long split
    python misc/measure_long_captions.py RUN_CUT RUN_SPLIT

Prints location accuracy by the place of the false word in its caption: LA_span, by the very word, and LA as published,
where another word of the same letters is a hit and a full stop may be the lowest "word". "Within" and "beyond" the
model's context are told by the cut run. Then the average precision, originals against foils, of CLIPScore, F-CLIPScore
and the lowest word's attribution alone. 95 % intervals, paired by image.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip4dm.benchmarks.labels import overlaps_any
from clip4dm.captions.sentences import CUT, SPLIT
from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import AT_LEAST_ONE, SEED

WIDTH = 50


@dataclass(frozen=True)
class Place:
    """A foil in both runs. at: of its false word among the caption's units, from 1. beyond: the cut run's context.

    chance: of a word at random. hits, span_hits: LA's and LA_span's, cut and split.
    """

    image: str
    at: int
    beyond: bool
    chance: float
    hits: tuple[bool, bool]
    span_hits: tuple[bool, bool]


def read(cut: Path, split: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The records of both runs, side by side, with "lowest", the lowest word's attribution.

    Errors: RunError, DamagedRun, InputError.
    """
    from clip4dm.evaluation.records import detection_of
    from clip4dm.evaluation.store.finished import open_run, stored_records

    runs = [open_run(folder) for folder in (cut, split)]
    said = tuple(run.config["args"].get("long", CUT) for run in runs)
    if said != (CUT, SPLIT):
        raise InputError(f"a run with --long {CUT} and one with --long {SPLIT} are needed; these are of {said}")
    same = ("weights_sha256", "data_sha256", "settings")
    if any(runs[0].config[name] != runs[1].config[name] for name in same) or runs[0].method != runs[1].method:
        raise InputError("the two runs are not of the same model, method, settings and samples")
    kept: list[dict[str, dict[str, Any]]] = [{}, {}]
    for run, records in zip(runs, kept, strict=True):
        for record in stored_records(run.samples, run.settings.layers):
            if "skipped" not in record:
                words = detection_of(record, record["caption"], run.settings).words
                lowest = min((word.attribution for word in words if word.attribution is not None), default=0.0)
                records[record["id"]] = {**record, "lowest": lowest}
    ids = [name for name in kept[0] if name in kept[1]]
    return [kept[0][name] for name in ids], [kept[1][name] for name in ids]


def places(cut: Sequence[dict[str, Any]], split: Sequence[dict[str, Any]]) -> list[Place]:
    """Of every foil whose false word is known. Errors: InputError where there is none."""
    found = []
    for short, whole in zip(cut, split, strict=True):
        spans, units = short["label"]["spans"], short["units"]
        mine = [i for i, (start, end, *_) in enumerate(units) if overlaps_any((start, end), spans)]
        if mine:
            hits, span_hits = ((bool(short[name]), bool(whole[name])) for name in ("is_correct", "is_correct_span"))
            words = sum(kind == 0 for _, _, kind, _ in units)
            found.append(Place(short["image"], mine[0] + 1, not units[mine[0]][3], 1 / words, hits, span_hits))
    if not found:
        raise InputError("these runs hold no caption whose false word is known")
    return found


def location_table(found: Sequence[Place], width: int = WIDTH, seed: int = 0) -> str:
    """By place, in Markdown: foils, LA_span cut, split and gained, LA of both, and a word's chance."""
    from clip4dm.evaluation.metrics import metrics
    from clip4dm.evaluation.metrics.differences import location_difference
    from clip4dm.evaluation.metrics.metrics import Bootstrap
    from clip4dm.evaluation.tables import cell, markdown_table, number

    last = max(place.at for place in found)
    ranges: list[tuple[str, Callable[[Place], bool]]] = [
        ("anywhere", lambda place: True),
        ("within the context", lambda place: not place.beyond),
        ("beyond it", lambda place: place.beyond),
        *(
            (f"{first + 1} to {first + width}", lambda place, first=first: first < place.at <= first + width)
            for first in range(0, last, width)
        ),
    ]
    rows = []
    for name, holds in ranges:
        mine = [place for place in found if holds(place)]
        if mine:
            bootstrap = Bootstrap([place.image for place in mine], seed=seed)
            by_span = [[place.span_hits[way] for place in mine] for way in (0, 1)]
            by_word = [[place.hits[way] for place in mine] for way in (0, 1)]
            rows.append(
                [
                    name,
                    str(len(mine)),
                    *(cell(metrics.location_accuracy(hits, bootstrap)) for hits in by_span),
                    cell(location_difference(by_span[1], by_span[0], bootstrap)),
                    *(number(metrics.location_accuracy(hits).value) for hits in by_word),
                    number(sum(place.chance for place in mine) / len(mine)),
                ]
            )
    headers = ["false word", "foils", "LA_span, cut", "LA_span, split", "gain", "LA, cut", "LA, split", "a random word"]
    return markdown_table(rows, headers)


def precision_table(cut: Sequence[dict[str, Any]], split: Sequence[dict[str, Any]], seed: int = 0) -> str:
    """Average precision, originals against foils, in Markdown."""
    from clip4dm.evaluation.metrics.differences import average_precision_difference
    from clip4dm.evaluation.metrics.metrics import Bootstrap, average_precision
    from clip4dm.evaluation.tables import cell, markdown_table

    labels = [not record["label"]["misaligned"] for record in cut]
    bootstrap, rows = Bootstrap([record["image"] for record in cut], seed=seed), []
    for title, name in (("CLIPScore", "pair_score"), ("F-CLIPScore", "f_clip_score"), ("lowest word", "lowest")):
        short, whole = ([record[name] for record in records] for records in (cut, split))
        figures = [average_precision(labels, values, bootstrap) for values in (short, whole)]
        gain = average_precision_difference(labels, whole, short, bootstrap)
        rows.append([title, *map(cell, figures), cell(gain)])
    return markdown_table(rows, ["AP", "cut", "split", "gain"])


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cut", type=Path, help='run of captions cut, as main.py printed it behind "run:"')
    parser.add_argument("split", type=Path, help="run with --long split")
    parser.add_argument(
        "--width", type=AT_LEAST_ONE, default=WIDTH, help="words and full stops a row (default: %(default)s)"
    )
    parser.add_argument("--seed", type=SEED, default=0, help="of the intervals (default: %(default)s)")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("measure_long_captions.py", args.debug):
        cut, split = read(args.cut, args.split)
        print(location_table(places(cut, split), args.width, args.seed))
        print()
        print(precision_table(cut, split, args.seed))


if __name__ == "__main__":
    run_command(main)
