"""fit_margin.py from two runs, against a third with the margin it suggests."""

from __future__ import annotations

import json
from pathlib import Path

import fit_margin
import pytest

from clip4dm.benchmarks.shapes.benchmark import make_benchmark
from clip4dm.commands import evaluate as main_py
from clip4dm.evaluation.metrics.calibration import for_calibration


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{margin: folder of a run of occlusion on 60 drawn pairs}, and how to make another."""
    folder = tmp_path_factory.mktemp("margin")
    data = make_benchmark(folder / "shapes", 60)
    asked = ["--data_path", str(data), "--img_dir", str(folder / "shapes" / "images"), "--backbone", "demo"]

    def run(margin: float, method: str = "occlusion") -> Path:
        main_py.main(
            [*asked, "--method", method, "--margin", str(margin), "--num_workers", "0", "--output", str(folder / "out")]
        )
        found = folder.glob(f"out/*/*/{method}_*/config.json")
        return next(p.parent for p in found if json.loads(p.read_text())["args"]["margin"] == margin)

    return run


def located(folder: Path, calibrating: bool) -> list[bool]:
    """From samples.jsonl: of each foil of a half whether the lowest word is the exchanged one."""
    found = []
    for line in (folder / "samples.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["label"]["misaligned"] and for_calibration(row["image"]) == calibrating:
            values = [value for _, value in row["word_attributions"]]
            found.append(row["units"][values.index(min(values))][:2] in row["label"]["spans"])
    return found


def test_the_margin_suggested_is_the_best_and_its_figures_are_those_of_a_run_with_it(runs, capsys):
    none, whole = runs(0.0), runs(1.0)
    capsys.readouterr()
    fit_margin.main([str(none), str(whole)])
    printed = capsys.readouterr().out
    found = fit_margin.fit(none, whole)
    assert f"--margin {found['margin']:g}" in printed and 0 < found["margin"] < 1
    assert found["by_margin"][found["margin"]] == max(found["by_margin"].values()) > found["by_margin"][1.0]
    for margin, folder in ((0.0, none), (1.0, whole), (found["margin"], runs(found["margin"]))):
        hits = located(folder, calibrating=True)
        assert found["by_margin"][margin] == pytest.approx(sum(hits) / len(hits))
    hits = located(folder, calibrating=False)
    assert found["LA"].value == pytest.approx(sum(hits) / len(hits)) and found["LA"].n == len(hits)
    assert found["gain"].value == pytest.approx(found["LA"].value - found["LA at 0"].value)


def test_runs_of_two_models_are_one_line(runs, tmp_path, capsys):
    import shutil

    other = shutil.copytree(runs(1.0), tmp_path / "other")
    for name in ("config.json", "result.json"):
        said = json.loads((other / name).read_text())
        if "weights_sha256" in said:
            (other / name).write_text(json.dumps({**said, "weights_sha256": "0" * 64}))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        fit_margin.main([str(runs(0.0)), str(other)])
    assert "not of the same model and samples" in capsys.readouterr().err


def test_runs_that_do_not_go_together_are_one_line(runs, capsys):
    for pair in ((runs(1.0), runs(0.0)), (runs(0.0), runs(1.0, "masking"))):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            fit_margin.main([str(folder) for folder in pair])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and len(error.splitlines()) == 1 and "--margin 0 and --margin 1" in error
