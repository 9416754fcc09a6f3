"""What `clip4dm filter` refuses, and how: expressions, columns, outputs that cannot be written, damaged scores; --help."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from made_scores import fails, random_rows, row, run, store
from places import ROOT

from clip4dm.commands import filter as command
from clip4dm.commands import score
from clip4dm.errors import InputError
from clip4dm.scoring.filtering.selection import Rules


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("true) or (true", "is no condition in SQL"),
        ("1=1; copy scores to 'stolen.csv'", "is no condition in SQL"),
        ("exists (select * from read_csv('/etc/passwd'))", "disabled by configuration"),
        ("exists (select * from read_text('secret.txt'))", "disabled by configuration"),
        ("exists (select * from '/etc/passwd')", "does not exist"),
        ("exists (select * from rows)", "does not exist"),
        ("no_such_column > 1", "no_such_column.*the columns are: key, image, caption"),
        ("avg(cosine) > 1", "aggregate"),
        ("caption", "caption.*BOOL"),
        ("", "is no condition in SQL"),
        ("cosine > 1, true", "is no condition in SQL"),
    ],
)
def test_an_expression_does_no_more_than_choose(expression, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.txt").write_text("secret")
    scores = store(tmp_path / "scores", [[row("a", -0.1)]])
    error = fails(scores, "--expr", expression, "--output", tmp_path / "kept.txt", capsys=capsys)
    assert re.search(message, error, re.DOTALL) and error.startswith("clip4dm filter: error: "), error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores", "secret.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "kept.npy"], "the key 'a' is not 32 hexadecimal digits.*--key"),
        (["--output", "kept.txt", "--key", "uid"], "no column 'uid'; there are: key, image"),
        (["--output", "kept.txt", "--by", "quality"], "no column 'quality'; there are: key, image"),
        (["--output", "kept.txt", "--by", "caption"], "chosen from by caption: .*Could not convert.*the columns are"),
        (["--output", "nowhere/kept.txt"], "nowhere/kept.txt cannot be written: No such file or directory"),
        (["--output", "kept"], "holds scores of csv, not of tars"),
    ],
)
def test_what_cannot_be_written(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "scores", [[row("a", -0.1)]])
    assert re.search(message, fails("scores", *options, capsys=capsys))
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--output", "pipe.txt", "pipe.txt is a pipe, and a file cannot be put in its place"),
        ("--output", "link.txt", "link.txt is a pipe, and a file cannot be put in its place"),
        ("--output", "pipe", "pipe is there already and is no folder"),
        ("--histogram", "pipe.png", "pipe.png is a pipe, and a file cannot be put in its place"),
    ],
)
def test_what_is_no_file_stays_what_it_is(option, name, message, tmp_path, capsys):
    """As /dev/null is none."""
    scores = store(tmp_path / "scores", [[row("a", -0.1)]])
    pipe = tmp_path / ("pipe.txt" if name == "link.txt" else name)
    os.mkfifo(pipe)
    if name == "link.txt":
        (tmp_path / name).symlink_to(pipe)
    before = sorted(tmp_path.iterdir())
    more = [] if option == "--output" else ["--output", tmp_path / "kept.txt"]
    error = fails(scores, option, tmp_path / name, *more, capsys=capsys)
    assert message in error and error.count("clip4dm filter: error: ") == 1
    assert pipe.is_fifo() and sorted({*tmp_path.iterdir()} - {tmp_path / "kept.txt"}) == before


def test_a_link_is_written_through(tmp_path, capsys):
    scores = store(tmp_path / "scores", [[row("a", -0.1)]])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "kept.txt").symlink_to("elsewhere/kept.txt")
    run(scores, "--output", tmp_path / "kept.txt", capsys=capsys)
    assert (tmp_path / "kept.txt").is_symlink() and (tmp_path / "elsewhere" / "kept.txt").read_text() == "a\n"


def test_a_key_with_a_line_break(tmp_path, capsys):
    scores = store(tmp_path / "scores", [[row("a\nb", -0.1)]])
    assert "has a line break in it" in fails(scores, "--output", tmp_path / "kept.txt", capsys=capsys)
    run(scores, "--output", tmp_path / "kept.parquet", capsys=capsys)
    assert pq.read_table(tmp_path / "kept.parquet")["key"].to_pylist() == ["a\nb"]


@pytest.mark.parametrize("output", ["scores/kept.parquet", "scores/", "scores", "./scores/deep/kept.txt", "link/kept/"])
def test_the_scores_folder_takes_no_output(output, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scores = store(tmp_path / "scores", [[row("a", -0.1)]])
    (tmp_path / "link").symlink_to(scores)
    before = sorted(scores.iterdir())
    assert f"--output {output} lies in scores, where the scores are" in fails(
        "scores", "--output", output, capsys=capsys
    )
    assert sorted(scores.iterdir()) == before


@pytest.mark.parametrize("of", [command, score])
def test_an_output_without_a_name(of, capsys):
    with pytest.raises(SystemExit) as stop:
        of.parse_args(["scores", "--output", ""])
    assert stop.value.code == 2 and "--output is empty; give a" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", ["--keep_fraction 1.5", "--f_clip_score_above nan", "--best_of word", "--output a.csv"]
)
def test_usage(options, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        command.parse_args(["scores", "--output", "kept.txt", *options.split()])
    assert stop.value.code == 2 and options.split()[0] in capsys.readouterr().err


def test_what_was_there_stays_until_the_new_one_is_whole(tmp_path, capsys):
    scores = store(tmp_path / "scores", [[row("a" * 32, -0.1), row("b" * 32, -0.3)], [row("no hex", -0.1)]])
    output = tmp_path / "kept.npy"
    output.write_bytes(b"before")
    fails(scores, "--output", output, capsys=capsys)  # found out in the second shard
    assert output.read_bytes() == b"before" and sorted(p.name for p in tmp_path.iterdir()) == ["kept.npy", "scores"]


def test_scores_damaged_in_the_middle(tmp_path, capsys):
    """Their footer is whole, so that they count as scored."""
    scores = store(tmp_path / "scores", [random_rows(500)])
    (path,) = scores.glob("*.parquet")
    content = bytearray(path.read_bytes())
    content[200:3000] = b"\xff" * 2800
    path.write_bytes(content)
    error = fails(scores, "--output", tmp_path / "kept.txt", capsys=capsys)
    assert "the scores cannot be chosen from by f_clip_score: " in error and error.count("\n") == 1


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_scores_that_are_all_damaged(suffix, tmp_path, capsys):
    scores = store(tmp_path / "scores", [[row("a", -0.1)], [row("b", -0.2)]], output_format=suffix)
    for path in scores.glob(f"0*.{suffix}"):
        path.write_bytes(b"damaged")
    error = fails(scores, "--partial", "--output", tmp_path / "kept.txt", capsys=capsys)
    assert "2 files are damaged" in error and "there is nothing to take" in error and error.count("\n") == 1


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit on a file's size")
@pytest.mark.parametrize("suffix", [".txt", ".npy", ".parquet"])
def test_a_disk_that_is_full(suffix, tmp_path):
    scores = store(tmp_path / "scores", [[row(f"{i:032x}", -0.1, image="%x" % i**20) for i in range(5000)]])
    output = tmp_path / f"kept{suffix}"
    output.write_bytes(b"before")
    code = (
        "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        f"from clip4dm.commands.filter import main\nmain([{str(scores)!r}, '--output', {str(output)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and re.search(rf"kept{suffix} cannot be written: .*\n$", done.stderr), done.stderr
    assert output.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == [output.name, "scores"]


def test_the_docs_commands_are_commands():
    """Of docs/filtering.md and of --help."""
    lines = (ROOT / "docs" / "filtering.md").read_text(encoding="utf-8") + (command.__doc__ or "")
    found = re.findall(r"^ *clip4dm (filter .*?)(?:  +.*)?$", lines, re.MULTILINE)
    assert len(found) == 9
    for one in found:
        name, *options = shlex.split(one)
        assert name == "filter" and command.parse_args(options).folder == "scores"


def test_help_waits_for_nothing():
    code = (
        "import sys\nfrom clip4dm.commands.filter import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'pyarrow', 'duckdb', 'numpy', 'matplotlib'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "--keep_fraction" in done.stdout, done.stderr


def test_rules_say_what_they_may_be():
    for wrong in ({"keep_fraction": -0.1}, {"above": float("nan")}, {"best_of": "word"}):
        with pytest.raises(InputError):
            Rules(**wrong)
