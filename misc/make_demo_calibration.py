"""The calibrations of the demo model that come along, anew: after its weights have changed, or the method.

    python misc/make_demo_calibration.py

Draws scenes that neither training nor the benchmark of make_shapes_benchmark.py has, runs main.py's evaluation on them
by each method below, and calibrates as `clip4dm calibrate` does. A minute or two; the same weights give the same
epsilon, but for the rounding of another processor.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE
from clip4dm.models.names import DEMO
from clip4dm.scores import CLIP4DM_METHOD, GRADIENT_VALUE_METHOD

CALIBRATION_SEED = 5_000_000  # the first scene: training has those below 100,000, the benchmarks from 1,000,000 on
METHODS = (GRADIENT_VALUE_METHOD, CLIP4DM_METHOD)  # its usual one, and the paper's
ALPHA, DELTA = 0.2, 0.1


def make(folder: Path, pairs: int) -> list[Path]:
    """Write a file a method into folder, in the place of an older one; their paths."""
    from clip4dm.benchmarks.shapes.benchmark import make_benchmark
    from clip4dm.calibration.stored import Rule, write_calibration
    from clip4dm.calibration.study import calibrate
    from clip4dm.commands.calibrate import summary
    from clip4dm.evaluation.labelled import source_of_run
    from clip4dm.evaluation.run import Options, evaluate
    from clip4dm.files.provenance import versions

    made = []
    with tempfile.TemporaryDirectory(prefix="clip4dm-calibration-") as scratch:
        data = make_benchmark(Path(scratch), pairs, first_seed=CALIBRATION_SEED)
        for method in METHODS:
            options = Options(
                str(data), f"{scratch}/images", f"{scratch}/out", backbone=DEMO, method=method, device="cpu"
            )
            outcome = evaluate(options, say=lambda _: None)
            assert outcome is not None  # a single process
            rule = Rule("fdr", ALPHA, DELTA, "confidence", 0.5, 0)
            calibration = calibrate(source_of_run(outcome.folder), rule, versions("scikit-learn", "scipy"))
            path = folder / f"{DEMO}-{method}.json"
            write_calibration(path, calibration)
            print(f"{path}\n{summary(calibration)}")
            made.append(path)
    return made


def main(argv: list[str] | None = None) -> None:
    from clip4dm.calibration.shelf import SHIPPED

    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=AT_LEAST_ONE, default=2000, help="of scenes (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=SHIPPED, metavar="DIR", help="default: where they come along")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("make_demo_calibration.py", args.debug):
        check_extra("eval", "sklearn", "scipy", "tabulate")
        make(args.output, args.pairs)


if __name__ == "__main__":
    run_command(main)
