"""A run on drawn scenes by the demo model, with hostile captions, file names and groups among its samples."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from browser import chromium  # noqa: F401  (once for all tests of pages)
from hostile_run import HOSTILE_GROUP, HOSTILE_NAME, PAIRS
from html_reading import HOSTILE

from clip4dm.benchmarks.shapes.benchmark import make_benchmark
from clip4dm.evaluation.run import Options, evaluate


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A benchmark of PAIRS pairs: path of its annotations, folder of its pictures."""
    folder = tmp_path_factory.mktemp("shapes")
    path = make_benchmark(folder, PAIRS, 64, 7_000_000, None)
    content = json.loads(path.read_text())
    first = content["images"][0]
    (folder / "images" / first["file_name"]).rename(folder / "images" / HOSTILE_NAME)
    first["file_name"] = HOSTILE_NAME
    for row in content["annotations"][:4]:
        row["caption"] += f" {HOSTILE}"
    for row in content["annotations"][:16]:  # so many that some of their foils are found
        row["kind"] = HOSTILE_GROUP
    content["annotations"][5]["caption"] += " on sand" * 50  # beyond CLIP's context
    path.write_text(json.dumps(content))
    return SimpleNamespace(path=path, images=folder / "images")


@pytest.fixture(scope="session")
def make_run(shapes, tmp_path_factory):
    """Evaluates the benchmark by the demo model: options -> outcome."""

    def run(**options):
        usual = {"data_path": str(shapes.path), "img_dir": str(shapes.images), "backbone": "demo", "device": "cpu"}
        options = {**usual, "num_workers": 0, "output": str(tmp_path_factory.mktemp("output")), **options}
        return evaluate(Options(**options), say=lambda line: None)

    return run


@pytest.fixture(scope="session")
def shapes_run(make_run):
    return make_run()


@pytest.fixture(scope="session")
def records(shapes_run):
    """The run's lines, read with no code of ours."""
    return [json.loads(line) for line in open(shapes_run.folder / "samples.jsonl", encoding="utf-8")]
