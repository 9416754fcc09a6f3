"""misc/fetching/script.py: the download scripts as a shell sees them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from badserver import serving, started
from places import ROOT

SCRIPTS = ("coco", "nocaps", "richhf", "seetrue")


@pytest.fixture
def server():
    with serving() as running:
        yield running


def nocaps(folder, url, number, kind="ok"):
    """The command that fetches so many pictures, without its program; and their names."""
    names = [f"{i:04d}.jpg" for i in range(number)]
    (folder / "meta.json").write_text(
        json.dumps({"images": [{"file_name": name, "coco_url": f"{url}/{kind}/{name}"} for name in names]})
    )
    (folder / "foil.json").write_text(json.dumps([{"image_path": name} for name in names]))
    return [
        str(ROOT / "misc" / "download_nocaps_image.py"),
        "--foil_path",
        str(folder / "foil.json"),
        "--meta_path",
        str(folder / "meta.json"),
        "--save_dir",
        str(folder / "pictures"),
    ], names


def shell(text, *arguments):
    """Run a command of bash, "$@" being the script and its arguments."""
    return subprocess.run(
        ["bash", "-c", text, "bash", sys.executable, *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "option, value, said",
    [
        ("--workers", "0", "not a whole number from 1 to 256"),
        ("--workers", "-3", "not a whole number"),
        ("--workers", "100000", "not a whole number"),
        ("--workers", "2.5", "not a whole number"),
        ("--workers", "x", "not a whole"),
        ("--workers", "9" * 5000, "not a whole"),
        ("--retries", "-1", "not a whole number from 0"),
        ("--retries", "nan", "not a whole number"),
        ("--timeout", "nan", "not a number of seconds"),
        ("--timeout", "-1", "not a number of seconds"),
        ("--timeout", "0", "not a number of seconds"),
        ("--timeout", "inf", "not a number of seconds"),
        ("--timeout", "1e300", "not a number of seconds"),
        ("--timeout", "soon", "not a number of seconds"),
        ("--max_bytes", "0", "not a whole number"),
        ("--max_bytes", "1e9", "not a whole number"),
    ],
)
def test_nonsense_is_refused_before_anything_is_done(tmp_path, capsys, option, value, said):
    import download_coco_image

    with pytest.raises(SystemExit) as stopped:
        download_coco_image.main(
            ["--zip", "--zip_url", "http://127.0.0.1:9/", "--save_dir", str(tmp_path / "in"), f"{option}={value}"]
        )
    assert stopped.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {option}: '{value[:50]}" in last and said in last
    assert not (tmp_path / "in").exists()


def test_a_closed_output_is_no_output(server, tmp_path):
    arguments, names = nocaps(tmp_path, server.url, 5)
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        done = shell(f'"$@" {closed}', *arguments)
        assert (done.returncode, done.stderr) == (0, ""), closed
        assert all((tmp_path / "pictures" / name).read_bytes() == server.body(name) for name in names)
        for name in names:
            (tmp_path / "pictures" / name).unlink()
    done = shell('"$@" >&-', *arguments, "--verify")
    assert done.returncode == 1
    assert "0000.jpg: missing" in done.stderr and "Traceback" not in done.stderr


def test_a_reader_that_goes_ends_the_script_quietly(server, tmp_path):
    arguments, names = nocaps(tmp_path, server.url, 5, "missing")
    for ending in ("| true", "2>&1 | true", "2>&1 >/dev/null | head -1 >/dev/null"):
        done = shell(f'"$@" {ending}; exit ${{PIPESTATUS[0]}}', *arguments)
        assert done.returncode in (141, 1)  # 1: what is missing, where the reader was still there to be told
        assert (
            done.stderr.count("\n") <= len(names) and "BrokenPipe" not in done.stderr and "Exception" not in done.stderr
        )
    for script in SCRIPTS:
        done = shell('"$@" --help | head -1; exit ${PIPESTATUS[0]}', str(ROOT / "misc" / f"download_{script}_image.py"))
        assert done.returncode in (0, 141)
        assert done.stdout.startswith("usage: ") and done.stderr == ""


def test_an_output_that_cannot_be_written_is_told(server, tmp_path):
    arguments, names = nocaps(tmp_path, server.url, 3)
    done = shell('"$@" > /dev/full', *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "No space left on device" in done.stderr
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 3


def test_without_a_terminal_there_is_no_progress_bar(server, tmp_path):
    arguments, _ = nocaps(tmp_path, server.url, 5)
    done = shell('"$@"', *arguments)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1 and "5 of 5 files" in done.stdout


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("kind", ["slow", "hang", "slowheaders", "alwayscut"])
def test_a_signal_ends_it_and_leaves_nothing_half_written(server, tmp_path, how, kind):
    arguments, _ = nocaps(tmp_path, server.url, 300, kind)
    with started([sys.executable, *arguments, "--timeout", "60"]) as process:
        while sum(server.counts.values()) < 8:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.send_signal(how)
        out, error = process.communicate(timeout=20)
    assert process.returncode == 128 + how
    assert "interrupted: the same command goes on" in out, error
    assert error == ""
    there = {path.name: path.read_bytes() for path in (tmp_path / "pictures").iterdir()}
    there.pop("manifest.jsonl")
    assert all(data == server.body(name) for name, data in there.items())  # no .part, no list of what is missing


def test_nohup_stays_in_force(server, tmp_path):
    arguments, names = nocaps(tmp_path, server.url, 40, "slow")
    with started(
        [sys.executable, *arguments], preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ) as process:
        while sum(server.counts.values()) < 8:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "40 of 40 files" in out


def test_killed_at_any_moment_and_started_again(server, tmp_path):
    """Eight times SIGKILL, later and later; then all is there, and nothing else."""
    arguments, names = nocaps(tmp_path, server.url, 120, "slow")
    folder = tmp_path / "pictures"
    for number in range(8):
        process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = len(list(folder.glob("*.jpg"))) if folder.exists() else 0
        while process.poll() is None and (not folder.exists() or len(list(folder.glob("*.jpg"))) < before + number):
            time.sleep(0.002)
        process.kill()
        process.wait()
        assert all(path.read_bytes() == server.body(path.name) for path in folder.glob("*.jpg"))
    done = shell('"$@"', *arguments)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == {*names, "manifest.jsonl"}
    assert [json.loads(line)["name"] for line in (folder / "manifest.jsonl").read_text().splitlines()] == names


JSONS = {
    "deep": "[" * 200_000,
    "cut": '[{"image_path": "a.jpg"',
    "text": "not JSON",
    "binary": "\xff\xfe\x00",
    "null": "null",
    "number": "5",
    "list of lists": "[[]]",
    "number as name": '[{"image_path": 5}]',
    "empty": "",
}


@pytest.mark.parametrize("kind", JSONS)
def test_an_annotation_file_of_anything_is_one_line(tmp_path, kind):
    path = tmp_path / "foil.json"
    path.write_bytes(JSONS[kind].encode("latin-1"))
    good = tmp_path / "good.json"
    good.write_text(json.dumps({"images": [{"file_name": "a.jpg"}]}))
    for script, arguments in (
        ("nocaps", ["--foil_path", str(path), "--meta_path", str(good)]),
        ("nocaps", ["--foil_path", str(good), "--meta_path", str(path)]),
        ("coco", ["--data_path", str(path)]),
        ("richhf", ["--foil_path", str(path), "--dataset", "x/y"]),
        ("seetrue", ["--json_path", str(path), "--verify"]),
    ):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        done = shell(
            '"$@"',
            str(ROOT / "misc" / f"download_{script}_image.py"),
            *arguments,
            "--save_dir",
            str(tmp_path / "pictures"),
        )
        assert done.returncode == 2, (script, done)
        assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"download_{script}_image.py: error: "), (
            script,
            done,
        )
        assert os.listdir(tmp_path / "pictures") == []
