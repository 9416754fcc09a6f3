"""Figures as a function of epsilon, and which weight? From a finished run, without the model.

    python misc/epsilon_study.py output/foil/ViT-B-32-openai/SETTINGS

Writes epsilon.csv and epsilon.png into the run's folder (or --out), and prints the epsilon of the best F1 on a
calibration half of the images, with its figures on the other half beside those of the run's own epsilon. It promises
nothing: `clip4dm calibrate` finds an epsilon whose risk is bounded. Then the weights of the additive scores
(--score_weight of main.py and infer.py), fitted on the same half by average precision, and what they give on the other
beside CLIPScore.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import AT_LEAST_ONE
from clip4dm.scores import F_CLIP_SCORE, SCORES

FIGURES = ("LA", "f1", "precision", "recall", "AP")
ADDITIVE = tuple(score for score in SCORES if score != F_CLIP_SCORE)


def study(folder: Path, out: Path, start_layer_text: int | None = None, count: int = 25, seed: int = 0) -> dict:
    """Write epsilon.csv and epsilon.png. -> {"suggested", "usual": epsilons, "held_out": {epsilon: {name: Figure}}}.

    Errors: RunError, DamagedRun, InputError, OSError.
    """
    import dataclasses

    from reproducing.plots import epsilon_plot
    from tqdm import tqdm

    from clip4dm.benchmarks import get_benchmark
    from clip4dm.evaluation.metrics.calibration import epsilon_grid, figures_at, for_calibration, read_words, suggest
    from clip4dm.evaluation.metrics.metrics import Bootstrap
    from clip4dm.evaluation.store.finished import open_run
    from clip4dm.scores import last_layers

    run = open_run(folder)
    benchmark, settings = get_benchmark(run.config["benchmark"]), run.settings
    if start_layer_text is not None:
        last_layers(start_layer_text, settings.layers)
        settings = dataclasses.replace(settings, start_layer_text=start_layer_text)
    usual = settings.epsilon
    grid = epsilon_grid(read_words(run.samples, benchmark, settings, ()).attribution, count)
    epsilons = sorted({*grid, usual})
    words = read_words(run.samples, benchmark, settings, epsilons)
    rows = [
        {name: figure.value for name, figure in figures_at(words, epsilon).items()}
        for epsilon in tqdm(epsilons, desc="epsilons")
    ]
    calibrating = [for_calibration(image) for image in words.image]
    suggested = suggest(words.of_images(calibrating), epsilons)
    rest = words.of_images([not chosen for chosen in calibrating])
    if not rest.image:
        raise InputError("all images fell into the calibration half: too few images")
    bootstrap = Bootstrap(rest.image, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    _write_csv(out / "epsilon.csv", epsilons, rows)
    epsilon_plot(
        epsilons,
        {name: [row.get(name) for row in rows] for name in ("LA", "f1", "AP")},
        {"the run's": usual, "suggested": suggested},
        out / "epsilon.png",
    )
    return {
        "suggested": suggested,
        "usual": usual,
        "held_out": {epsilon: figures_at(rest, epsilon, bootstrap) for epsilon in (usual, suggested)},
    }


def weights(folder: Path, start_layer_text: int | None = None, seed: int = 0) -> dict:
    """{score: Fitted, or None where no weight can be fitted}, at the run's epsilon; "CLIPScore": its Figure there.

    Errors: RunError, DamagedRun, InputError.
    """
    import dataclasses

    from clip4dm.benchmarks import get_benchmark
    from clip4dm.evaluation.metrics.calibration import for_calibration, read_words
    from clip4dm.evaluation.metrics.metrics import Bootstrap, average_precision
    from clip4dm.evaluation.metrics.weights import fit_and_show
    from clip4dm.evaluation.store.finished import open_run

    run = open_run(folder)
    settings = run.settings
    if start_layer_text is not None:
        settings = dataclasses.replace(settings, start_layer_text=start_layer_text)
    words = read_words(run.samples, get_benchmark(run.config["benchmark"]), settings, ())
    shown = words.of_images([not for_calibration(image) for image in words.image])
    labels, bootstrap = (~shown.misaligned).tolist(), Bootstrap(shown.image, seed=seed)
    found: dict = {score: fit_and_show(words, score, settings.epsilon, seed=seed) for score in ADDITIVE}
    return {"CLIPScore": average_precision(labels, shown.cosine.tolist(), bootstrap), **found}


def weights_table(found: dict) -> str:
    """What `weights` found, in Markdown."""
    from clip4dm.evaluation.tables import NOTHING, cell, markdown_table

    rows = [["CLIPScore", NOTHING, cell(found["CLIPScore"]), NOTHING]]
    for score in ADDITIVE:
        fitted = found[score]
        if fitted is None:
            rows.append([score, "none can be fitted", NOTHING, NOTHING])
        else:
            rows.append([score, f"{fitted.weight:g}", cell(fitted.precision), cell(fitted.gain)])
    return markdown_table(rows, ["--score", "--score_weight", "AP", "less CLIPScore's"])


def _write_csv(path: Path, epsilons: Sequence[float], rows: Sequence[Mapping[str, float | None]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("epsilon", *FIGURES), restval="")
        writer.writeheader()
        writer.writerows({"epsilon": epsilon, **row} for epsilon, row in zip(epsilons, rows, strict=True))


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_folder", type=Path, help='as main.py printed it behind "run:"')
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the run's folder")
    parser.add_argument("--start_layer_text", type=int, metavar="N", help="default: the run's")
    parser.add_argument("--count", type=AT_LEAST_ONE, default=25, help="epsilons to try (default: %(default)s)")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("epsilon_study.py", args.debug):
        from clip4dm.evaluation.tables import cell, markdown_table

        found = study(args.run_folder, args.out or args.run_folder, args.start_layer_text, args.count)
        rows = []
        for name, epsilon in (("the run's", found["usual"]), ("suggested", found["suggested"])):
            figures = found["held_out"][epsilon]
            rows.append([f"{epsilon:g} ({name})", *(cell(figures.get(figure)) for figure in FIGURES)])
        table = markdown_table(rows, ["epsilon", *FIGURES])
        print(
            f"suggested epsilon: {found['suggested']:g} (best F1 of words on the calibration half of the images)\n\n"
            f"On the other half:\n\n{table}\n\nAn epsilon with a guarantee: clip4dm calibrate {args.run_folder}"
        )
        weighed = weights_table(weights(args.run_folder, args.start_layer_text))
        print(
            "\nWeights of this model, method and layers (best AP on the calibration half; additive_sum's at the run's "
            f"epsilon {found['usual']:g}).\nOn the other half:\n\n{weighed}"
        )


if __name__ == "__main__":
    run_command(main)
