"""Which margin for this model? Location accuracy as a function of it, from two finished runs, without the model.

    python main.py --data_path foils.json --img_dir images --pretrained photo-clip --method ensemble --margin 0
    python main.py --data_path foils.json --img_dir images --pretrained photo-clip --method ensemble --margin 1
    python misc/fit_margin.py RUN_OF_MARGIN_0 RUN_OF_MARGIN_1

An attribution is linear in the margin (clip4dm/attribution/coalitions.py), so that two runs give all between. Prints
location accuracy for margins from 0 to 1 on the calibration half of the images, the best margin, and its figures on the
other half beside those of margin 0, paired by image. A caption is located where its lowest word is a labelled one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import SEED

MARGINS = tuple(round(0.05 * step, 2) for step in range(21))


def fit(at_0: Path, at_1: Path, seed: int = 0) -> dict:
    """-> {"by_margin": {margin: LA on the calibration half}, "margin": the best, "LA", "LA at 0", "gain": Figures}.

    The figures are of the other half. Of equal margins the lowest. Errors: RunError, DamagedRun, InputError.
    """
    from clip4dm.benchmarks import get_benchmark
    from clip4dm.evaluation.metrics import metrics
    from clip4dm.evaluation.metrics.calibration import for_calibration, read_words
    from clip4dm.evaluation.metrics.differences import location_difference
    from clip4dm.evaluation.metrics.metrics import Bootstrap
    from clip4dm.evaluation.store.finished import open_run

    runs = [open_run(folder) for folder in (at_0, at_1)]
    said = [(run.config["args"].get("method"), run.config["args"].get("margin")) for run in runs]
    if said[0][0] != said[1][0] or [margin for _, margin in said] != [0, 1]:
        raise InputError(f"two runs of one method are needed, of --margin 0 and --margin 1; these are of {said}")
    of_one, other = (read_words(run.samples, get_benchmark(run.config["benchmark"]), run.settings, ()) for run in runs)
    same = ("weights_sha256", "data_sha256", "reference_sha256")
    if any(runs[0].config[name] != runs[1].config[name] for name in same) or of_one.image != other.image:
        raise InputError("the two runs are not of the same model and samples")
    if not of_one.misaligned.any():
        raise InputError("no caption of these runs is labelled misaligned: there is nothing to fit by")
    asked = of_one.attribution - other.attribution  # what a margin of 1 takes from each word

    def hits(margin: float) -> list[bool | None]:
        return replace(of_one, attribution=of_one.attribution - margin * asked).located()

    calibrating = [for_calibration(image) for image in of_one.image]
    by_margin = {margin: metrics.location_accuracy(_kept(hits(margin), calibrating)).value or 0.0 for margin in MARGINS}
    best = max(MARGINS, key=lambda margin: by_margin[margin])
    shown = [not chosen for chosen in calibrating]
    if not any(shown) or not any(calibrating):
        raise InputError("too few images: all fell into one half")
    bootstrap = Bootstrap([image for image, kept in zip(of_one.image, shown, strict=True) if kept], seed=seed)
    ours, plain = _kept(hits(best), shown), _kept(hits(0.0), shown)
    return {
        "by_margin": by_margin,
        "margin": best,
        "LA": metrics.location_accuracy(ours, bootstrap),
        "LA at 0": metrics.location_accuracy(plain, bootstrap),
        "gain": location_difference(ours, plain, bootstrap),
    }


def _kept(values: list, kept: list[bool]) -> list:
    return [value for value, wanted in zip(values, kept, strict=True) if wanted]


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("at_0", type=Path, help='run with --margin 0, as main.py printed it behind "run:"')
    parser.add_argument("at_1", type=Path, help="run with --margin 1")
    parser.add_argument("--seed", type=SEED, default=0, help="of the intervals (default: %(default)s)")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("fit_margin.py", args.debug):
        from clip4dm.evaluation.tables import cell, markdown_table, number

        found = fit(args.at_0, args.at_1, args.seed)
        rows = [[f"{margin:g}", number(value)] for margin, value in found["by_margin"].items()]
        print(markdown_table(rows, ["margin", "LA on the calibration half"]))
        print(
            f"\nsuggested: --margin {found['margin']:g}\nOn the other half: LA {cell(found['LA'])}, at margin 0 "
            f"{cell(found['LA at 0'])}, gain {cell(found['gain'])}"
        )


if __name__ == "__main__":
    run_command(main)
