"""A finished run whose files were damaged: every reader says so in one line, and makes no figure of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import epsilon_study
import pytest
import reproduce_tables
from damages import DAMAGES, IMAGES, PER_BLOCK
from making import make_foil, make_pictures, make_tiny_clip
from places import ROOT

from clip4dm.benchmarks import get_benchmark
from clip4dm.commands import evaluate as main_script
from clip4dm.evaluation import report
from clip4dm.evaluation.records import Settings
from clip4dm.evaluation.run import Options, evaluate, rescore
from clip4dm.evaluation.store.finished import open_run, read_caption_metrics, stored_lines, stored_records
from clip4dm.evaluation.store.runfiles import DamagedRun, RunError, read_sealed, write_sealed


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(options, folder) of a run of 8 pictures, 16 captions, in 4 blocks."""
    folder = tmp_path_factory.mktemp("finished")
    names = make_pictures(folder / "images", IMAGES)
    options = Options(
        str(make_foil(folder / "foil.json", names)),
        str(folder / "images"),
        str(folder / "out"),
        backbone=None,
        pretrained=str(make_tiny_clip(folder / "tiny")),
        device="cpu",
        method="clip4dm",
        start_layer_text=-3,
        num_workers=0,
        images_per_block=PER_BLOCK,
    )
    return options, evaluate(options, say=lambda line: None).folder


@pytest.fixture
def run(made, tmp_path):
    """A copy of the run, to be damaged."""
    folder = tmp_path / "out" / "foil" / made[1].parent.name / made[1].name
    shutil.copytree(made[1], folder)
    return folder


def refuses(script, arguments, capsys, message):
    """One line, exit status 2, no figure. The error alone may stand on stderr."""
    with pytest.raises(SystemExit) as stop:
        script(arguments)
    captured = capsys.readouterr()
    assert stop.value.code == 2 and captured.out == ""
    (line,) = captured.err.splitlines()
    assert re.search(message, line), line
    assert len(line) < 700 and ".py: error: " in line


@pytest.mark.parametrize("name", DAMAGES)
def test_no_reader_makes_figures_of_a_damaged_run(run, tmp_path, capsys, name):
    damage, message = DAMAGES[name]
    damage(run)
    before = sorted(path.name for path in run.iterdir())
    refuses(main_script.main, ["--rescore", str(run), "--epsilon", "-1e-4"], capsys, message)
    refuses(epsilon_study.main, [str(run)], capsys, message)
    assert sorted(path.name for path in run.iterdir()) == before  # no result, no drawing of it either


@pytest.mark.parametrize(
    "name", ["line lost", "digit", "emptied", "no sums", "result cut", "result older", "text cosine"]
)
def test_no_table_is_made_of_a_damaged_run(made, run, tmp_path, capsys, name):
    options, _ = made
    arguments = [
        "--table",
        "foil_nocaps",
        "--data",
        f"foil={options.data_path},{options.img_dir}",
        "--device",
        "cpu",
        "--pretrained",
        options.pretrained,
        "--output",
        str(tmp_path / "out"),
    ]
    config = json.loads((run / "config.json").read_text())
    result = json.loads((run / "result.json").read_text())
    config["args"]["images_per_block"] = result["args"]["images_per_block"] = 32  # not among what a table asks for
    (run / "config.json").write_text(json.dumps(config))
    (run / "result.json").write_text(json.dumps(result))
    damage, message = DAMAGES[name]
    damage(run)
    refuses(reproduce_tables.main, arguments, capsys, message)
    assert not (tmp_path / "out" / "tables").exists()


def test_a_whole_run_is_opened_and_says_what_sha256sum_says(made):
    _, folder = made
    result = json.loads((folder / "result.json").read_text())
    done = subprocess.run(["sha256sum", "samples.jsonl"], cwd=folder, capture_output=True, text=True, check=True)
    assert result["samples"] == {"lines": 2 * IMAGES, "sha256": done.stdout.split()[0]}
    run = open_run(folder)
    lines = (folder / "samples.jsonl").read_bytes().splitlines()
    assert [line for _, line in stored_lines(run.samples)] == lines
    assert [n for n, _ in stored_lines(run.samples)] == list(range(1, 2 * IMAGES + 1))
    assert list(stored_records(run.samples, 4)) == [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    "name", ["line lost", "digit", "emptied", "NUL bytes", "last doubled", "result cut", "sums garbage"]
)
def test_the_same_command_mends_a_damaged_run(made, run, tmp_path, name, recwarn):
    """What the error says to do: the damaged blocks alone are computed anew, and the end is the same bytes."""
    options, whole = made
    DAMAGES[name][0](run)
    evaluate(Options(**{**vars(options), "output": str(tmp_path / "out")}), say=lambda line: None)
    for file in ("samples.jsonl", "samples.sums", "result.json"):
        assert (run / file).read_bytes() == (whole / file).read_bytes(), file
    said = [str(w.message) for w in recwarn if "computed again" in str(w.message)]
    assert len(said) == (name not in ("result cut", "last doubled"))
    computed = {"line lost": 4, "digit": 4, "emptied": 16, "NUL bytes": 4, "sums garbage": 4}.get(name)
    if computed:
        assert json.loads((run / "timing.json").read_text())["samples_computed"] == computed


def test_readers_from_python_check_too(run):
    with pytest.raises(ValueError, match="--seed is -1; it must be a whole number"):
        rescore(run, seed=-1)
    DAMAGES["digit"][0](run)
    settings = Settings(**json.loads((run / "config.json").read_text())["settings"])
    for read in (
        lambda: report.collect(run / "samples.jsonl", get_benchmark("foil"), settings),
        lambda: report.published_figures(run / "samples.jsonl", get_benchmark("foil"), settings),
    ):
        with pytest.raises(DamagedRun, match="lines 5 to 8"):
            read()


@pytest.mark.parametrize("folder", ["/dev/zero", "/dev/null", "none", "pipe", "empty"])
def test_folders_that_are_no_run(tmp_path, capsys, folder):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    path = str(tmp_path / folder) if not folder.startswith("/") else folder
    refuses(
        main_script.main,
        ["--rescore", path],
        capsys,
        "holds no finished run .config.json, samples.jsonl and result.json",
    )
    refuses(epsilon_study.main, [path], capsys, "holds no finished run")


@pytest.mark.parametrize("name", ["config.json", "result.json", "samples.jsonl", "samples.sums"])
def test_pipes_and_folders_among_the_files_of_a_run(run, capsys, name):
    for make in (os.mkfifo, Path.mkdir):
        (run / name).unlink()
        make(run / name)
        refuses(main_script.main, ["--rescore", str(run)], capsys, "holds no finished run|is a (pipe|folder)")


def test_sealed_files(tmp_path):
    path = tmp_path / "caption_metrics.json"
    assert read_caption_metrics(tmp_path) is None
    write_sealed(path, {"a": {"BLEU-4": 0.5}})
    assert read_caption_metrics(tmp_path) == {"a": {"BLEU-4": 0.5}}
    text = path.read_text()
    for changed in (
        text.replace("0.5", "0.6"),
        text.replace("0.5", "NaN"),
        text[:-9],
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"fingerprint": "", "content": []}',
        '{"a": {"BLEU-4": 0.5}}',
    ):
        path.write_text(changed)
        with pytest.raises(
            RunError, match="caption_metrics.json .*remove that file, and the next call computes it anew"
        ):
            read_sealed(path)
        with pytest.raises(RunError, match="caption_metrics.json"):
            read_caption_metrics(tmp_path)
    write_sealed(path, {"a": {"BLEU-4": "0.5"}})
    with pytest.raises(DamagedRun, match="other things than scores"):
        read_caption_metrics(tmp_path)


def test_a_sparse_file_of_zeros_as_samples(run, capsys):
    os.truncate(run / "samples.jsonl", 3 << 30)
    refuses(
        main_script.main,
        ["--rescore", str(run)],
        capsys,
        "samples.jsonl, line 17: the run has 16 samples, and something",
    )


def test_a_refusal_needs_no_torch():
    """A damaged run is refused at once: before torch is imported."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom clip4dm.evaluation.store.finished import open_run\ntry: open_run(Path('none'))\n"
        "except RuntimeError: pass\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
