"""Where does a run on foils go wrong? Counts, and the worst cases in words, from a finished run without the model.

    python misc/count_errors.py output/foil/photo-clip-folder/SETTINGS --worst 100

For a run whose file has each foil beside its original (FOIL and what is made in its shape). A foil is located where its
lowest word, punctuation none, is the exchanged one. Of all foils, of those located, of the misses and of the worst
misses (those with the lowest word of all): in how many the word that is named is the lowest of the true caption too, so
that the miss is the model's view of the picture and not of the foil; in how many the cosine does not fall from the
original to the foil, so that no attribution can tell; in how many the exchanged word is below 0, or the second lowest.
Then the worst misses themselves, and the true captions with the lowest words.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import AT_LEAST_ONE


@dataclass(frozen=True)
class Case:
    """A pair. word: its lowest, at lowest. false: the lowest attribution of the exchanged word, None in an original.

    rank: how many words lie below the exchanged one. original: of a foil the pair that it was made of.
    """

    image: str
    caption: str
    cosine: float
    word: str
    lowest: float
    false: float | None = None
    rank: int | None = None
    original: Case | None = None


def read_cases(folder: Path) -> list[Case]:
    """Every pair of a run that has a scored word, originals first. Errors: RunError, DamagedRun, InputError."""
    from clip4dm.benchmarks.labels import overlaps_any
    from clip4dm.evaluation.records import detection_of, sample_of
    from clip4dm.evaluation.store.finished import open_run, stored_records

    run = open_run(folder)
    originals: dict[str, Case] = {}
    foils = []
    for record in stored_records(run.samples, run.settings.layers):
        detection = None if "skipped" in record else detection_of(record, record["caption"], run.settings)
        words = [word for word in detection.words if word.attribution is not None] if detection else []
        if not words:
            continue
        sample, values = sample_of(record), [word.attribution or 0.0 for word in words]
        first = values.index(min(values))
        case = (sample.image, sample.caption, record["cosine"], words[first].text, values[first])
        pair = sample.id.split("-")[1]  # CAPTION-PAIR-foil
        false = [v for word, v in zip(words, values, strict=True) if overlaps_any((word.start, word.end), sample.spans)]
        if not sample.misaligned:
            originals[pair] = Case(*case)
        elif false:
            foils.append((pair, case, min(false), sum(value < min(false) for value in values)))
    if run.config["benchmark"] != "foil" or not foils:
        raise InputError(f"{folder} is not of foils beside their originals, in FOIL's format")
    return [*originals.values(), *(Case(*case, *known, originals.get(pair)) for pair, case, *known in foils)]


def counts(foils: Sequence[Case]) -> list[int]:
    """How many; with the same lowest word in the true caption; whose cosine does not fall; false word < 0; second."""
    beside = [(foil, foil.original) for foil in foils if foil.original]
    return [
        len(foils),
        sum(foil.word == original.word for foil, original in beside),
        sum(foil.cosine >= original.cosine for foil, original in beside),
        sum(foil.false is not None and foil.false < 0 for foil in foils),
        sum(foil.rank == 1 for foil in foils),
    ]


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_folder", type=Path, help='as main.py printed it behind "run:"')
    parser.add_argument("--worst", type=AT_LEAST_ONE, default=20, metavar="N", help="default: %(default)s")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("count_errors.py", args.debug):
        from clip4dm.evaluation.tables import markdown_table

        cases = sorted(read_cases(args.run_folder), key=lambda case: case.lowest)
        foils = [case for case in cases if case.false is not None]
        misses = [foil for foil in foils if foil.rank]
        groups = {"all foils": foils, "located": [foil for foil in foils if not foil.rank], "missed": misses}
        rows = [[name, *map(str, counts(chosen))] for name, chosen in groups.items()]
        rows.append([f"the {args.worst} worst", *map(str, counts(misses[: args.worst]))])
        titles = [
            "",
            "foils",
            "named in the original too",
            "cosine does not fall",
            "false word below 0",
            "it is second",
        ]
        print(markdown_table(rows, titles))
        shown = misses[: args.worst], [case for case in cases if case.false is None][: args.worst]
        for title, chosen in zip(("Worst misses", "Lowest words of true captions"), shown, strict=True):
            lines = [[f"{case.lowest:.3g}", case.word, case.image, case.caption] for case in chosen]
            print(f"\n{title}:\n\n{markdown_table(lines, ['lowest', 'word', 'picture', 'caption'])}")


if __name__ == "__main__":
    run_command(main)
