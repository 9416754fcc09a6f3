"""The calibrations of the demo model that come along, anew: after its weights have changed, or the method.

    python misc/make_demo_calibration.py

Draws scenes that neither training nor the benchmark of make_shapes_benchmark.py has, runs main.py's evaluation on them
by each method below, and calibrates as `clip4dm calibrate` does. The least gain of suggestions comes from further
scenes: the words below epsilon are asked for there, from the list that comes along. Some ten minutes on a core, most
of them for these (--suggestion_pairs 0: none); the same weights give the same figures, but for the rounding of another
processor. Whoever changes that list makes them anew too: a least gain is for the words it was made with.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, Whole
from clip4dm.models.names import DEMO
from clip4dm.scores import CLIP4DM_METHOD

if TYPE_CHECKING:
    from clip4dm.calibration.stored import Calibration
    from clip4dm.calibration.study import Source

CALIBRATION_SEED = 5_000_000  # the first scene: training has those below 100,000, the benchmarks from 1,000,000 on
SUGGESTION_SEED = 5_500_000
METHODS = (CLIP4DM_METHOD, "gradient_value")
ALPHA, DELTA = 0.2, 0.1  # of words, and of suggestions


def make(folder: Path, pairs: int, suggestion_pairs: int) -> list[Path]:
    """Write a file a method into folder, in the place of an older one; their paths."""
    from clip4dm.benchmarks.shapes.benchmark import make_benchmark
    from clip4dm.calibration.stored import Rule, write_calibration
    from clip4dm.calibration.study import calibrate
    from clip4dm.commands.calibrate import summary
    from clip4dm.files.provenance import versions

    made = []
    with tempfile.TemporaryDirectory(prefix="clip4dm-calibration-") as scratch:
        data = make_benchmark(Path(scratch) / "words", pairs, first_seed=CALIBRATION_SEED)
        others = None
        if suggestion_pairs:
            others = make_benchmark(Path(scratch) / "suggestions", suggestion_pairs, first_seed=SUGGESTION_SEED)
        for method in METHODS:
            rule = Rule("fdr", ALPHA, DELTA, "confidence", 0.5, 0)
            calibration = calibrate(_source(data, method), rule, versions("scikit-learn", "scipy"))
            if others:
                calibration = _with_suggestions(calibration, others, method)
            path = folder / f"{DEMO}-{method}.json"
            write_calibration(path, calibration)
            print(f"{path}\n{summary(calibration)}", flush=True)
            made.append(path)
    return made


def _source(data: Path, method: str, **more: Any) -> Source:
    """What a run of main.py on it gives to learn from."""
    from clip4dm.evaluation.labelled import source_of_run
    from clip4dm.evaluation.run import Options, evaluate

    folders = str(data.parent / "images"), str(data.parent / "out")
    options = Options(str(data), *folders, backbone=DEMO, method=method, device="cpu", **more)
    outcome = evaluate(options, say=lambda _: None)
    assert outcome is not None  # a single process
    return source_of_run(outcome.folder)


def _with_suggestions(calibration: Calibration, others: Path, method: str) -> Calibration:
    """Without them, and a line, where no gain keeps the promise."""
    from clip4dm.calibration.names import CalibrationError
    from clip4dm.calibration.suggestions import with_suggestions

    source = _source(others, method, sorted_by="threshold", epsilon=calibration.epsilon, suggest=True)
    assert source.suggested is not None
    try:
        return with_suggestions(calibration, source.suggested, ALPHA, all_images=True)
    except CalibrationError as refused:
        print(f"no least gain for suggestions: {refused}")
        return calibration


def main(argv: list[str] | None = None) -> None:
    from clip4dm.calibration.shelf import SHIPPED

    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=AT_LEAST_ONE, default=2000, help="of scenes (default: %(default)s)")
    parser.add_argument(
        "--suggestion_pairs",
        type=Whole(0, 100_000),
        default=1000,
        metavar="PAIRS",
        help="of scenes (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, default=SHIPPED, metavar="DIR", help="default: where they come along")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("make_demo_calibration.py", args.debug):
        check_extra("eval", "sklearn", "scipy", "tabulate")
        make(args.output, args.pairs, args.suggestion_pairs)


if __name__ == "__main__":
    run_command(main)
