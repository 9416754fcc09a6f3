"""infer.py and main.py as a shell runs them: signals at chosen moments, closed and full outputs, pipes, logs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from making import make_foil, make_pictures
from places import ROOT
from signal_at import AT


@pytest.fixture(scope="module")
def options(tmp_path_factory, tiny_folder):
    """Of a small run of main.py with decoding workers, without its --output."""
    folder = tmp_path_factory.mktemp("commands")
    foil = make_foil(folder / "foil.json", make_pictures(folder / "images", 6))
    return [
        "--data_path",
        str(foil),
        "--img_dir",
        str(folder / "images"),
        "--pretrained",
        str(tiny_folder),
        "--device",
        "cpu",
        "--num_workers",
        "2",
        "--images_per_block",
        "2",
    ]


@pytest.fixture(scope="module")
def finished(options, tmp_path_factory):
    """The same run, left alone."""
    output = tmp_path_factory.mktemp("finished")
    shell(f"{main_py(options, output)}", check=True)
    return files_of(output)


def files_of(output: Path) -> dict[str, bytes]:
    return {name: next(output.rglob(name)).read_bytes() for name in ("samples.jsonl", "result.json")}


def quoted(*words: object) -> str:
    return " ".join(f"'{word}'" for word in words)


def main_py(options, output: Path) -> str:
    return quoted(sys.executable, ROOT / "main.py", *options, "--output", output)


def infer_py(tiny_folder) -> str:
    return quoted(sys.executable, ROOT / "infer.py", "--pretrained", tiny_folder, "--device", "cpu")


def shell(line: str, check: bool = False, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        timeout=500,
        cwd=ROOT,
        check=check,
        env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
    )


@pytest.mark.parametrize(
    ("event", "text", "number"),
    [
        ("import", "'clip4dm.evaluation.store.runstore'", signal.SIGINT),
        ("import", "'torch.nn'", signal.SIGTERM),
        ("os.fork", "", signal.SIGTERM),  # the first worker
        ("os.rename", "result.json", signal.SIGINT),
        ("os.rename", "result.json", signal.SIGHUP),
    ],
)
def test_a_signal_at_any_moment_ends_with_one_line(options, finished, tmp_path, event, text, number):
    (tmp_path / "sitecustomize.py").write_text(AT)
    line = main_py(options, tmp_path / "out")
    done = shell(line, SIGNAL_AT=f"{event}|{text}|{int(number)}", PYTHONPATH=str(tmp_path))
    assert done.returncode == 128 + number, done
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}[number]
    assert [said for said in done.stderr.splitlines() if said and "pair" not in said] == [f"main.py: {word}"]
    if event.startswith("os.") and number != signal.SIGHUP:
        shell(line, check=True)
        assert files_of(tmp_path / "out") == finished


LOCKED = """
    import ctypes
    mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    lock(mutex)  # waits for ever, in C
"""
SWALLOWED = """
    while True:
        try:
            time.sleep(100)
        except:
            pass
"""
LOST = """
    class Late:
        def __del__(self):
            time.sleep(100)
    late = Late()
    del late
    time.sleep(100)
"""


@pytest.mark.parametrize("body", [LOCKED, SWALLOWED, LOST], ids=["locked", "swallowed", "lost"])
def test_a_signal_that_cannot_be_raised_ends_the_command_too(body):
    script = (
        "import os, signal, sys, threading, time\n"
        "from clip4dm.commands import cli\n"
        "cli.PATIENCE = 0.1\n"
        "sys.argv = ['waits.py']\n"
        "def main():\n"
        "    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        f"{body}\n"
        "cli.run_command(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 143 and done.stderr == "\nwaits.py: terminated\n", done


def test_nothing_is_raised_into_an_import(tmp_path):
    """C++ code that initialises a module aborts on an exception of another kind than it expects."""
    (tmp_path / "starting.py").write_text(
        "import os, signal, time\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "finally:\n"
        "    print('raised')\n"
    )
    script = (
        f"import sys; from clip4dm.commands.cli import run_command; sys.path.append({str(tmp_path)!r})\n"
        "sys.argv = ['run.py']; run_command(lambda: __import__('starting'))"
    )
    done = shell(f'exec {quoted(sys.executable)} -c "{script}"')
    assert done.returncode == 143 and done.stdout == "" and done.stderr == "\nrun.py: terminated\n"


def test_nohup_keeps_a_closed_terminal_from_ending_a_command():
    script = (
        "import os, signal, sys; from clip4dm.commands.cli import run_command; sys.argv = ['run.py']\n"
        "run_command(lambda: os.kill(os.getpid(), signal.SIGHUP) or print('went on'))"
    )
    ignored = shell(f"trap '' HUP; exec {quoted(sys.executable)} -c \"{script}\"")
    assert ignored.returncode == 0 and ignored.stdout == "went on\n", ignored
    ended = shell(f'exec {quoted(sys.executable)} -c "{script}"')
    assert ended.returncode == 129 and ended.stderr == "\nrun.py: hung up\n"


def test_a_killed_worker_is_one_line_and_the_run_goes_on(options, finished, tmp_path):
    """The first worker is killed as the second picture is read (a worker holds the first)."""
    kill = (
        "import os, signal, sys\n"
        "program = os.getpid()\n"
        "def hook(name, arguments):\n"
        "    if name == 'open' and str(arguments[0]).endswith('000000000003.jpg') and os.getpid() != program:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(kill)
    line = main_py(options, tmp_path / "out")
    done = shell(line, PYTHONPATH=str(tmp_path))
    said = [text for text in done.stderr.splitlines() if text and "pair" not in text]
    assert done.returncode == 2 and len(said) == 1, done
    assert said[0].startswith("main.py: error: a process that decodes pictures has ended (SIGKILL)")
    assert "run again to resume" in said[0]
    shell(line, check=True)
    assert files_of(tmp_path / "out") == finished


@pytest.fixture
def talker(tmp_path) -> str:
    """A command that prints more than any buffer holds."""
    path = tmp_path / "talker.py"
    path.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from clip4dm.commands.cli import one_line_errors, run_command\n"
        "def main():\n"
        "    with one_line_errors('talker.py'):\n"
        "        for line in range(100_000): print(line)\n"
        "run_command(main)\n"
    )
    return quoted(sys.executable, path)


@pytest.mark.parametrize("buffering", ["", "1"], ids=["buffered", "PYTHONUNBUFFERED"])
def test_a_reader_that_has_enough_ends_a_command_quietly(talker, buffering):
    done = shell(f"({talker}; echo $? >&2) | head -1", PYTHONUNBUFFERED=buffering)
    assert done.stdout == "0\n" and done.stderr == "141\n"


def test_a_reader_that_has_enough_of_our_commands(options, tiny_folder, tmp_path):
    for line in (main_py(options, tmp_path), infer_py(tiny_folder)):
        assert shell(f"({line}; echo $? >&2) | true").stderr == "141\n"
    helped = shell(f"({quoted(sys.executable, ROOT / 'main.py')} --help; echo $? >&2) | true")
    assert helped.stderr in ("141\n", "0\n")  # 0: written before its reader had gone


def test_closed_streams_harm_no_run(options, finished, tmp_path):
    """No file gets the number of a closed stream, or what a library's C code prints would be written into it."""
    script = (
        f"from clip4dm.commands.cli import run_command; file = {str(tmp_path / 'file')!r}\n"
        "run_command(lambda: print(open(file, 'w').fileno(), file=open(file, 'w')))"
    )
    shell(f'{quoted(sys.executable)} -c "{script}" <&- >&- 2>&-', check=True)
    assert int((tmp_path / "file").read_text()) > 2
    done = shell(f"{main_py(options, tmp_path)} <&- >&- 2>&-")
    assert done.returncode == 0 and done.stdout == done.stderr == ""
    assert files_of(tmp_path) == finished


def test_closed_streams_and_inference(tiny_folder):
    done = shell(f"{infer_py(tiny_folder)} >&-")
    assert done.returncode == 0 and done.stderr == ""
    done = shell(f"{quoted(sys.executable, ROOT / 'infer.py')} --image none.jpg --text a 2>&-")
    assert done.returncode == 2 and done.stdout == done.stderr == ""


def test_a_full_disk_behind_standard_output_is_one_line(talker, options, tmp_path):
    help_, list_ = (
        quoted(sys.executable, ROOT / name, option)
        for name, option in (("infer.py", "--help"), ("misc/reproduce_tables.py", "--list"))
    )
    for line in (talker, f"PYTHONUNBUFFERED=1 {talker}", main_py(options, tmp_path), help_, list_):
        done = shell(f"{line} > /dev/full")
        assert done.returncode in (1, 2) and len(done.stderr.splitlines()) == 1, done
        assert "error: " in done.stderr and "No space left on device" in done.stderr


def test_a_log_gets_few_progress_lines():
    script = (
        "import sys, time; from clip4dm.commands.cli import run_command; sys.argv = ['loop.py']\n"
        "def main():\n"
        "    from tqdm import tqdm\n"
        "    for _ in tqdm(range(12)): time.sleep(0.15)\n"
        "run_command(main)"
    )
    done = shell(f'{quoted(sys.executable)} -c "{script}"', check=True)
    assert 1 <= done.stderr.count("it/s]") + done.stderr.count("s/it]") <= 2, done.stderr  # the first and the last


@pytest.mark.parametrize(
    "script",
    sorted(
        path.name
        for path in [*ROOT.glob("*.py"), *(ROOT / "misc").glob("*.py")]
        if 'if __name__ == "__main__":' in path.read_text()
    ),
)
def test_every_script_ends_as_a_command(script):
    path = next(iter([*ROOT.glob(script), *(ROOT / "misc").glob(script)]))
    assert path.read_text().endswith('if __name__ == "__main__":\n    run_command(main)\n')
    helped = shell(f"{quoted(sys.executable, path)} --help >&-")
    assert helped.returncode == 0 and helped.stderr == ""


def test_evaluate_without_its_extra_says_what_to_install(monkeypatch, capsys):
    from clip4dm.commands import cli, evaluate

    monkeypatch.setattr(cli, "find_spec", lambda name: None if name in ("sklearn", "filelock") else object())
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(["--data_path", "none.json"], "clip4dm evaluate")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "clip4dm evaluate: error: this needs sklearn, filelock, not installed here: pip install 'clip4dm[eval]'\n"
    )
