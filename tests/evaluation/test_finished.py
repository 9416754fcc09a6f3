"""A finished run whose files were damaged: every reader says so in one line, and makes no figure of it."""

from __future__ import annotations

import base64
import hashlib
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
from making import make_foil, make_pictures, make_tiny_clip
from places import ROOT

from clip4dm.benchmarks import get_benchmark
from clip4dm.commands import evaluate as main_script
from clip4dm.evaluation import report
from clip4dm.evaluation.records import Settings, from_line
from clip4dm.evaluation.run import Options, evaluate, rescore
from clip4dm.evaluation.store.checksums import BlockSum
from clip4dm.evaluation.store.finished import open_run, read_caption_metrics, stored_lines, stored_records
from clip4dm.evaluation.store.runfiles import DamagedRun, RunError, read_sealed, write_sealed

IMAGES, PER_BLOCK = 8, 2


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


def edited(change):
    """Damage: samples.jsonl with `change` applied to its lines."""

    def damage(run):
        lines = (run / "samples.jsonl").read_bytes().splitlines(keepends=True)
        (run / "samples.jsonl").write_bytes(b"".join(change(lines)))

    return damage


def digit_changed(lines):
    """One digit of line 7's cosine, as an editor would."""
    line = from_line(lines[6])
    old = f'"cosine":{line["cosine"]!r}'.encode()
    assert old in lines[6]
    other = b"1" if old.endswith(b"0") else b"0"
    return [*lines[:6], lines[6].replace(old, old[:-1] + other), *lines[7:]]


def with_sums(change):
    """Damage by someone who also wrote the checksums anew: line 7 as `change` makes it of its record."""

    def damage(run):
        lines = (run / "samples.jsonl").read_bytes().splitlines(keepends=True)
        record = json.loads(lines[6])
        made = change(record)
        lines[6] = (made if isinstance(made, bytes) else json.dumps(record).encode()) + b"\n"
        write_with_sums(run, lines)

    return damage


def write_with_sums(run, lines, per_block=2 * PER_BLOCK):
    blocks = [b"".join(lines[i : i + per_block]) for i in range(0, len(lines), per_block)]
    (run / "samples.jsonl").write_bytes(b"".join(lines))
    (run / "samples.sums").write_bytes(b"".join(BlockSum.of(i, b).to_line() for i, b in enumerate(blocks)))
    result = json.loads((run / "result.json").read_text())
    result["samples"] = {"lines": len(lines), "sha256": hashlib.sha256(b"".join(lines)).hexdigest()}
    (run / "result.json").write_text(json.dumps(result))


def content(name, text):
    return lambda run: (run / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def replaced(name, old, new):
    def damage(run):
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return damage


DAMAGES = {
    "line lost": (edited(lambda lines: lines[:5] + lines[6:]), "samples.jsonl, lines 5 to 8: not what was stored"),
    "first line lost": (edited(lambda lines: lines[1:]), "samples.jsonl, lines 1 to 4: not what was stored"),
    "last line lost": (edited(lambda lines: lines[:-1]), "samples.jsonl, lines 13 to 16: not what was stored"),
    "last block lost": (edited(lambda lines: lines[:-4]), "samples.jsonl, line 13: the file ends here, before block 3"),
    "doubled": (edited(lambda lines: lines[:6] + lines[5:]), "samples.jsonl, lines 5 to 8: not what was stored"),
    "last doubled": (
        edited(lambda lines: lines + lines[-1:]),
        "samples.jsonl, line 17: the run has 16 samples, and some",
    ),
    "swapped": (edited(lambda lines: [*lines[:9], lines[10], lines[9], *lines[11:]]), "lines 9 to 12: not what"),
    "blocks swapped": (edited(lambda lines: lines[4:8] + lines[:4] + lines[8:]), "lines 1 to 4: not what was stored"),
    "emptied": (edited(lambda lines: []), "samples.jsonl, line 1: the file ends here, before block 0 of 4"),
    "garbage": (edited(lambda lines: [*lines, b"x"]), "samples.jsonl, line 17: the run has 16 samples, and something"),
    "NUL bytes": (
        edited(lambda lines: [*lines[:6], b"\0" * (len(lines[6]) - 1) + b"\n", *lines[7:]]),
        "samples.jsonl, line 7: not what",
    ),
    "cut": (edited(lambda lines: [*lines[:-1], lines[-1][:-9]]), "samples.jsonl, line 16: not what was stored"),
    "digit": (edited(digit_changed), "samples.jsonl, lines 5 to 8: not what was stored .the checksum of block 1"),
    "no samples": (lambda run: (run / "samples.jsonl").unlink(), "no such file: .*samples.jsonl"),
    "no sums": (lambda run: (run / "samples.sums").unlink(), "samples.sums is not there.*earlier version.*--overwrite"),
    "sums cut": (lambda run: os.truncate(run / "samples.sums", 100), "samples.sums, line 2 is cut short"),
    "sums emptied": (content("samples.sums", ""), "samples.jsonl, line 1: the run has 0 samples, and something"),
    "sums garbage": (
        replaced("samples.sums", "\n1 4 ", "\n1 x "),
        "samples.sums, line 2 is not the checksum of block 1",
    ),
    "sums order": (replaced("samples.sums", "\n1 4 ", "\n2 4 "), "samples.sums, line 2 is not the checksum of block 1"),
    "sums digit": (replaced("samples.sums", "\n2 4 ", "\n2 5 "), "lines 9 to 13: not what was stored"),
    "both cut": (lambda run: write_without_result(run), "result.json is of other samples than samples.jsonl holds"),
    "result cut": (lambda run: os.truncate(run / "result.json", 300), "result.json is no JSON"),
    "result empty": (content("result.json", ""), "result.json is empty"),
    "result other": (content("result.json", "[1]"), "result.json is JSON, but no object"),
    "result deep": (content("result.json", "[" * 100_000), "result.json is no JSON: it is nested too deeply"),
    "result NaN": (replaced("result.json", '"n": 16', '"n": NaN'), "result.json is no JSON: NaN is no finite number"),
    "result older": (replaced("result.json", '"samples"', '"other"'), "result.json does not say how many.*--overwrite"),
    "result wrong": (replaced("result.json", '"lines": 16', '"lines": "16"'), "result.json is of other samples"),
    "config digit": (replaced("config.json", "-5e-05", "-6e-05"), "config.json say different things of 'settings'"),
    "config cut": (lambda run: os.truncate(run / "config.json", 50), "config.json is no JSON"),
    "config deep": (content("config.json", '{"a":' * 100_000), "config.json is no JSON: it is nested too deeply"),
    "config empty": (content("config.json", "{}"), "config.json has no benchmark that could be"),
    "config type": (replaced("config.json", '"layers": 4', '"layers": "4"'), "config.json has no settings.layers that"),
    "config flag": (replaced("config.json", '"seed": 0', '"seed": true'), "config.json has no args.seed that could be"),
    "config name": (replaced("config.json", '"foil"', '"soil"'), "config.json has settings or a benchmark that cannot"),
    "not JSON, sums anew": (with_sums(lambda r: b"{"), "samples.jsonl, line 7 is no JSON"),
    "deep, sums anew": (
        with_sums(lambda r: b"[" * 100_000),
        "samples.jsonl, line 7 is no JSON: it is nested too deeply",
    ),
    "NaN, sums anew": (
        with_sums(lambda r: r.update(cosine=float("nan"))),
        "samples.jsonl, line 7 is no JSON: NaN is no",
    ),
    "list, sums anew": (with_sums(lambda r: b"[]"), "line 7: a sample is an object with named fields, .* a list"),
    "no caption": (with_sums(lambda r: r.pop("caption")), "line 7: there is no field 'caption'"),
    "no label": (with_sums(lambda r: r["label"].pop("spans")), "line 7: there is no field 'label.spans'"),
    "text cosine": (
        with_sums(lambda r: r.update(cosine="0.1")),
        "line 7: field 'cosine' is '0.1', not a finite number",
    ),
    "huge cosine": (
        with_sums(lambda r: r.update(cosine=10**400)),
        "line 7: field 'cosine' is 1000.*, not a finite number",
    ),
    "null label": (with_sums(lambda r: r.update(label=None)), "line 7: field 'label' is None, not an object"),
    "text flag": (
        with_sums(lambda r: r["label"].update(misaligned="0")),
        "field 'label.misaligned' is '0', not true or",
    ),
    "units": (with_sums(lambda r: r["units"][0].__setitem__(0, None)), r"field 'units' is \[\[None.*, not a list of"),
    "span": (with_sums(lambda r: r["units"][0].__setitem__(1, 10**9)), "line 7: a span lies outside its caption"),
    "base64": (
        with_sums(lambda r: r.update(layer_attributions="?")),
        "line 7: field 'layer_attributions' is no base64",
    ),
    "too few": (
        with_sums(lambda r: r.update(layer_attributions="")),
        "field 'layer_attributions' has 0 bytes, not four",
    ),
    "NaN inside": (
        with_sums(lambda r: r.update(layer_attributions=nan_in(r))),
        "line 7: an attribution is no finite number",
    ),
    "skipped": (with_sums(lambda r: r.update(skipped=5)), "line 7: field 'skipped' is 5, not a string"),
}


def nan_in(record):
    data = base64.b64decode(record["layer_attributions"])
    return base64.b64encode(b"\x00\x00\xc0\x7f" + data[4:]).decode()


def write_without_result(run):
    result = (run / "result.json").read_bytes()
    write_with_sums(run, (run / "samples.jsonl").read_bytes().splitlines(keepends=True)[:12])
    (run / "result.json").write_bytes(result)


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
