"""How well calibrations keep what they promise, what they find, and whether their probabilities are right.

    python misc/measure_calibration.py output/foil/demo-scenes/CLIP4DM output/foil/demo-scenes/OCCLUSION

Of finished runs of main.py, on the same data: the share of broken promises over random calibration halves, beside the
threshold of the best F1 and on drawn numbers whose risk is known; recall and precision on held-out pictures of each
run, calibrated alike, and the seconds that each run took; the reliability figure of the first run, as PNG.
Printed in Markdown, as docs/calibration.md has it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.calibration.names import CONTROLS
from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE

if TYPE_CHECKING:
    from clip4dm.calibration.curve import Reliability
    from clip4dm.calibration.study import Source

ALPHAS, DELTA = (0.1, 0.2), 0.1
UNSURE = 0.05  # most words are surely true, and would hide the others in a mean
DRAWN_IMAGES = 300  # to calibrate by, of the drawn numbers


def guarantee_rows(source: Source, splits: int) -> Iterator[list[str]]:
    """Rows: risk, alpha, share of broken promises on drawn numbers and on the run, by the best F1 on the run."""
    from calibrating.violations import Population, best_f1, broken, calibrated, splits_of

    for control in CONTROLS:
        for alpha in ALPHAS:
            drawn = broken(Population().draws(splits, DRAWN_IMAGES, control), calibrated, control, alpha, DELTA)
            ours = broken(splits_of(source.words, splits, control), calibrated, control, alpha, DELTA)
            naive = broken(splits_of(source.words, splits, control), best_f1, control, alpha, DELTA)
            cells = [f"{one.share:.3f} ({one.risk:.3f})" for one in (drawn, ours, naive)]
            yield [control, f"{alpha:g}", f"{ours.allowed(DELTA):.3f}", *cells, str(ours.none)]


def power_rows(sources: Mapping[Path, Source]) -> Iterator[list[str]]:
    """Rows: alpha, method, epsilon, the held-out fdr, recall and precision with intervals, the run's seconds."""
    from clip4dm.calibration.names import CalibrationError
    from clip4dm.calibration.stored import Rule
    from clip4dm.calibration.study import calibrate
    from clip4dm.evaluation.metrics.metrics import Figure
    from clip4dm.evaluation.tables import cell

    for alpha in ALPHAS:
        for folder, source in sources.items():
            seconds = seconds_of(folder)
            name = source.attributed_by.method
            try:
                found = calibrate(source, Rule("fdr", alpha, DELTA, "confidence", 0.5, 0), {})
            except CalibrationError:
                yield [f"{alpha:g}", name, "none", "", "", "", seconds]
                continue
            cells = [cell(Figure(**found.held_out[name])) for name in ("risk", "recall", "precision")]
            yield [f"{alpha:g}", name, f"{found.epsilon:g}", *cells, seconds]


def seconds_of(folder: Path) -> str:
    """A run's seconds and pairs/s, as its timing.json has them."""
    timing = json.loads((folder / "timing.json").read_text())
    return f"{timing['seconds']:.1f} ({timing['samples_per_second']:.0f} pairs/s)"


def probabilities(source: Source, path: Path) -> tuple[Reliability, Reliability]:
    """The reliability of one half's curve on the other half's words, drawn to a PNG; and of those not surely true."""
    from calibrating.figure import draw_reliability

    from clip4dm.calibration.curve import fit, reliability
    from clip4dm.calibration.study import split

    deciding, rest = split(source.words, 0.5, 0)
    curve = fit(deciding)
    found = reliability(curve.at(rest.attribution), rest.wrong)
    draw_reliability(found, path)
    unsure = curve.at(rest.attribution) >= UNSURE
    return found, reliability(curve.at(rest.attribution)[unsure], rest.wrong[unsure])


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help='as main.py printed them behind "run:"')
    parser.add_argument("--splits", type=AT_LEAST_ONE, default=200, help="calibrations (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("output"), metavar="DIR", help="of reliability.png (default: %(default)s)"
    )
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("measure_calibration.py", args.debug):
        check_extra("eval", "sklearn", "scipy", "tabulate")
        check_extra("report", "matplotlib")
        from clip4dm.evaluation.labelled import source_of_run
        from clip4dm.evaluation.tables import markdown_table

        sources = {folder: source_of_run(folder) for folder in args.runs}
        first = next(iter(sources.values()))
        head = ["risk", "alpha", "allowed", "drawn numbers", "this run", "best F1, this run", "no threshold"]
        print(f"Broken promises of {args.splits} calibrations (and the mean risk), delta {DELTA:g}:\n")
        print(markdown_table(list(guarantee_rows(first, args.splits)), head))
        head = ["alpha", "method", "epsilon", "fdr", "recall", "precision", "seconds of the run"]
        powers = markdown_table(list(power_rows(sources)), head)
        print(f"\nThe same promise by each run, on held-out pictures:\n\n{powers}")
        args.out.mkdir(parents=True, exist_ok=True)
        found, unsure = probabilities(first, args.out / "reliability.png")
        print(
            f"\nProbabilities on held-out pictures: ECE {found.error:.4f} of {sum(found.words):,} words, "
            f"{unsure.error:.4f} of the {sum(unsure.words):,} with {UNSURE:g} or more"
        )
        print(f"drawn: {args.out / 'reliability.png'}")


if __name__ == "__main__":
    run_command(main)
