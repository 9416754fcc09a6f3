"""misc/fetching/folder.py and fetch_folder.py: no name and no link leads out; a bad name, list or disk costs itself alone."""

import errno
import json
import os
import subprocess
import sys

import pytest
from badserver import jpeg, serving
from fetching.fetch import Limits
from fetching.fetch_folder import Wanted, fetch_all
from fetching.folder import MANIFEST, MISSING
from fetching.manifest import read_manifest
from places import ROOT

QUICK = Limits(timeout=2.0, retries=0, back_off=0.01)
WITH_MISC = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "misc")])}


@pytest.fixture
def server():
    with serving() as running:
        yield running


def fetch(folder, *items, **options):
    return fetch_all([Wanted(name, url) for name, url in items], folder, limits=QUICK, quiet=True, **options)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


# Names

IMPOSSIBLE = {
    "lone surrogate": ("a\ud800.jpg", "'\\ud800' is not allowed"),
    "lone byte": ("a\udcff.jpg", "is not allowed"),
    "letters": ("x" * 250 + ".jpg", "254 bytes"),
    "bytes": ("é" * 120 + ".jpg", "244 bytes"),
    "path": ("/".join(["y" * 190] * 25) + "/a.jpg", "more than 4096"),
    "deep": ("d/" * 2000 + "a.jpg", "2001 folders deep"),
    "nul": ("a\0.jpg", "'\\x00' is not allowed"),
    "line": ("a\u2028b.jpg", "'\\u2028' is not allowed"),
    "next line": ("a\x85b.jpg", "is not allowed"),
    "escape": ("a\x9b31m.jpg", "is not allowed"),
    "newline": ("a\nb.jpg", "is not"),
    "manifest": ("MANIFEST.jsonl", "for themselves"),
    "source": ("source.json", "for themselves"),
    "prompts": ("prompts.jsonl", "for themselves"),
    "archive": (".zip/val2014.zip", "for themselves"),
    "metadata": ("metadata.json", "for themselves"),
    "part": ("a.jpg.Part", "for themselves"),
    "empty": ("", "is empty"),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_an_impossible_name_costs_that_name(server, tmp_path, kind):
    name, reason = IMPOSSIBLE[kind]
    folder = tmp_path / "in"
    summary = fetch(
        folder, ("a.jpg", f"{server.url}/ok/a"), (name, f"{server.url}/ok/b"), ("c.jpg", f"{server.url}/ok/c")
    )
    assert (summary.fetched, list(summary.failed)) == (2, [name])
    assert reason in summary.failed[name]
    assert files(tmp_path) == {"in/a.jpg", "in/c.jpg", f"in/{MANIFEST}", f"in/{MISSING}"}
    (line,) = (folder / MISSING).read_text(encoding="utf-8").split("\n")[:-1]
    assert len(line.split("\t")) == 2


def test_names_that_get_in_each_others_way_cost_one_of_them(server, tmp_path):
    fetch(tmp_path, ("a.jpg", f"{server.url}/ok/a"))
    summary = fetch(
        tmp_path,
        ("a.jpg", f"{server.url}/ok/a"),
        ("a.jpg/b.jpg", f"{server.url}/ok/b"),
        ("c.jpg", f"{server.url}/ok/c"),
    )
    assert (summary.present, summary.fetched, list(summary.failed)) == (1, 1, ["a.jpg/b.jpg"])
    assert "File exists" in summary.failed["a.jpg/b.jpg"] or "Not a directory" in summary.failed["a.jpg/b.jpg"]


@pytest.mark.parametrize("other", ["A.JPG", "a\u0308.jpg"])
def test_names_that_the_folder_does_not_tell_apart(server, tmp_path, monkeypatch, other):
    """As on a Mac or Windows, whose answer alone is made up here. Elsewhere they are two files."""
    items = [("a.jpg", f"{server.url}/ok/a"), ("\u00e4.jpg", f"{server.url}/ok/b"), (other, f"{server.url}/ok/c")]
    assert fetch(tmp_path / "apart", *items).fetched == 3
    monkeypatch.setattr("fetching.fetch_folder.tells_case_apart", lambda folder: False)
    summary = fetch(tmp_path / "folded", *items)
    assert (summary.fetched, list(summary.failed)) == (2, [other])
    assert "does not tell it apart from" in summary.failed[other]


def test_odd_names_are_printed_whatever_the_terminal_can_show(server, tmp_path):
    names = ["a\ud800.jpg", "x" * 250, "\x1b[31mred.jpg", "é€.jpg", "a\u202eb.jpg"]
    (tmp_path / "meta.json").write_text(
        json.dumps(
            {
                "images": [
                    {"file_name": name, "coco_url": f"{server.url}/missing/{number}"}
                    for number, name in enumerate(names)
                ]
            }
        )
    )
    (tmp_path / "foil.json").write_text(json.dumps([{"image_path": name} for name in names]))
    folder = tmp_path / "bilder-é"
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "misc" / "download_nocaps_image.py"),
            "--foil_path",
            str(tmp_path / "foil.json"),
            "--meta_path",
            str(tmp_path / "meta.json"),
            "--save_dir",
            str(folder),
        ],
        capture_output=True,
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"},
    )
    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"0 of 5 files in " in done.stdout
    assert b"\x1b" not in done.stderr
    assert rb"\xe9\u20ac.jpg" in done.stderr
    listed = (folder / MISSING).read_text(encoding="utf-8")
    assert len(listed.splitlines()) == 5
    assert "\x1b" not in listed and "\u202e" not in listed and "é€.jpg" in listed


# Links


@pytest.fixture
def outside(tmp_path):
    """A folder with a file that nothing may touch; checked at the end."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("as it was")
    yield folder
    assert files(folder) == {"precious"}
    assert (folder / "precious").read_text() == "as it was"


@pytest.mark.parametrize("hard", [False, True], ids=["symbolic", "hard"])
@pytest.mark.parametrize(
    "place",
    [
        "a.jpg",
        "a.jpg.part",
        "a.jpg.part.json",
        "b.jpg",
        "b.jpg.part",
        MANIFEST,
        MISSING,
        f"{MANIFEST}.part",
        f"{MISSING}.part",
    ],
)
def test_a_link_in_the_folder_is_not_written_through(server, tmp_path, outside, place, hard):
    folder = tmp_path / "in"
    folder.mkdir()
    if hard:
        os.link(outside / "precious", folder / place)
    else:
        (folder / place).symlink_to(outside / "precious")
    summary = fetch(folder, ("a.jpg", f"{server.url}/ok/a"), ("b.jpg", f"{server.url}/missing/b"))
    assert (summary.fetched, list(summary.failed)) == (1, ["b.jpg"])
    assert (folder / "a.jpg").read_bytes() == server.body("a")
    assert not any((folder / name).is_symlink() for name in ("a.jpg", MANIFEST, MISSING))
    assert set(read_manifest(folder)) == {"a.jpg"}


def test_a_part_that_is_a_link_is_not_gone_on_with(server, tmp_path, outside):
    folder, url = tmp_path / "in", f"{server.url}/etag/a"
    folder.mkdir()
    for make in (
        lambda: (folder / "a.jpg.part").symlink_to(outside / "precious"),
        lambda: os.link(outside / "precious", folder / "a.jpg.part"),
    ):
        make()
        (folder / "a.jpg.part.json").write_text(
            json.dumps({"url": url, "validator": '"v1"', "total": len(server.body("a"))})
        )
        assert fetch(folder, ("a.jpg", url)).fetched == 1
        assert (folder / "a.jpg").read_bytes() == server.body("a")
        (folder / "a.jpg").unlink()


@pytest.mark.parametrize("leads", ["outside", "nowhere", "circle"])
def test_a_link_on_the_way_is_not_followed(server, tmp_path, outside, leads):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "sub").symlink_to({"outside": outside, "nowhere": tmp_path / "nowhere", "circle": "sub"}[leads])
    summary = fetch(folder, ("deep/sub/x/a.jpg", f"{server.url}/ok/a"), ("b.jpg", f"{server.url}/ok/b"))
    assert (summary.fetched, list(summary.failed)) == (1, ["deep/sub/x/a.jpg"])
    assert files(tmp_path) == {"in/b.jpg", f"in/{MANIFEST}", f"in/{MISSING}", "outside/precious", "in/deep/sub"}


def test_the_folder_itself_may_be_a_link_and_a_linked_picture_is_there(server, tmp_path):
    """The user placed them; nothing is written to what they lead to."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "in").symlink_to("disk")
    (tmp_path / "picture").write_bytes(jpeg(3))
    (tmp_path / "disk" / "a.jpg").symlink_to(tmp_path / "picture")
    summary = fetch(tmp_path / "in", ("a.jpg", f"{server.url}/ok/a"), ("b.jpg", f"{server.url}/ok/b"))
    assert (summary.present, summary.fetched) == (1, 1)
    assert files(tmp_path / "disk") == {"a.jpg", "b.jpg", MANIFEST}
    assert (tmp_path / "disk" / "a.jpg").is_symlink()


# Lists

LINES = [
    "",
    "{",
    "[]",
    "null",
    "5",
    '"name"',
    "[" * 200_000,
    '{"a":' * 50_000,
    "\x00\x01\xff",
    "9" * 5000,
    '{"name": "b.jpg"}',
    '{"name": 5, "url": "", "size": 1, "sha256": ""}',
    '{"name": ["b"], "url": "", "size": 1, "sha256": ""}',
    '{"name": "b.jpg", "url": "", "size": NaN, "sha256": ""}',
    '{"name": "b.jpg", "url": "", "size": 1e999, "sha256": ""}',
    '{"name": "b.jpg", "url": "", "size": true, "sha256": ""}',
    '{"name": "b.jpg", "url": null, "size": 1, "sha256": []}',
    '{"name": "../../etc/passwd", "url": "", "size": 1, "sha256": ""}',
    '{"name": "\\ud800", "url": "\\udfff", "size": 1, "sha256": ""}',
]


def test_a_manifest_of_anything_is_read_as_far_as_it_is_one(server, tmp_path):
    good = ("a.jpg", f"{server.url}/ok/a")
    fetch(tmp_path, good)
    line = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_bytes("\n".join([*LINES, line, *LINES]).encode("utf-8", "surrogatepass"))
    summary = fetch(tmp_path, good, ("b.jpg", f"{server.url}/ok/b"))
    assert (summary.present, summary.fetched, summary.failed) == (1, 1, {})
    rows = [json.loads(line) for line in (tmp_path / MANIFEST).read_text(encoding="utf-8").split("\n")[:-1]]
    assert [row["name"] for row in rows] == ["../../etc/passwd", "a.jpg", "b.jpg", "\ud800"]
    assert all(type(row["size"]) is int and isinstance(row["sha256"], str) for row in rows)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_a_manifest_that_is_no_file(server, tmp_path, kind):
    folder = tmp_path / "in"
    folder.mkdir()
    if kind == "pipe":
        os.mkfifo(folder / MANIFEST)
    elif kind == "folder":
        (folder / MANIFEST).mkdir()
    else:
        (folder / MANIFEST).symlink_to("/dev/zero")
    if kind == "folder":
        with pytest.raises(OSError, match="manifest.jsonl"):
            fetch(folder, ("a.jpg", f"{server.url}/ok/a"))
        assert files(folder) == set()
    else:
        assert fetch(folder, ("a.jpg", f"{server.url}/ok/a")).complete
        assert files(folder) == {"a.jpg", MANIFEST}


def test_a_url_of_lone_surrogates_is_written_down_as_it_is(server, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    summary = fetch(tmp_path, ("a.jpg", "http://127.0.0.1/\ud800\u2028"))
    assert summary.present == 1
    assert read_manifest(tmp_path)["a.jpg"].url == "http://127.0.0.1/\ud800\u2028"


def test_verify_writes_nothing(server, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    summary = fetch(tmp_path, ("a.jpg", f"{server.url}/ok/a"), ("b.jpg", f"{server.url}/ok/b"), verify=True)
    assert (summary.present, summary.failed) == (1, {"b.jpg": "missing"})
    assert files(tmp_path) == {"a.jpg"}


# One at a time


def test_two_calls_do_not_write_into_one_folder(server, tmp_path):
    command = [
        sys.executable,
        "-c",
        "import sys\nfrom pathlib import Path\nfrom fetching.fetch_folder import Wanted, fetch_all\n"
        "fetch_all([Wanted('a.jpg', sys.argv[2])], Path(sys.argv[1]), quiet=True)",
        str(tmp_path),
        f"{server.url}/hang/a",
    ]
    process = subprocess.Popen(command, env=WITH_MISC)
    try:
        while not server.counts["/hang/a"]:
            assert process.poll() is None
        with pytest.raises(ValueError, match="another download is writing into"):
            fetch(tmp_path, ("b.jpg", f"{server.url}/ok/b"))
    finally:
        process.kill()
        process.wait()
    assert fetch(tmp_path, ("b.jpg", f"{server.url}/ok/b")).complete


# A full disk: /dev/full, where every write fails as there


def test_a_full_disk_stops_the_call_in_a_line(server, tmp_path, monkeypatch):
    from fetching import transfer

    made = []

    def create(path):
        made.append(path)
        return open("/dev/full", "wb") if len(made) > 3 else inner(path)

    inner = transfer.create
    wanted = [(f"{i:03d}.jpg", f"{server.url}/ok/{i}") for i in range(200)]
    monkeypatch.setattr(transfer, "create", create)
    summary = fetch(tmp_path, *wanted, workers=1)
    assert summary.fetched == 3
    assert set(summary.failed.values()) == {"No space left on device"}
    assert sum(server.counts.values()) == 4  # the rest was not tried
    assert "stopped (No space left on device): once there is room, the same command goes on" in summary.line(tmp_path)
    assert not summary.complete
    assert files(tmp_path) == {"000.jpg", "001.jpg", "002.jpg", MANIFEST, MISSING}
    monkeypatch.setattr(transfer, "create", inner)
    summary = fetch(tmp_path, *wanted)
    assert (summary.present, summary.fetched) == (3, 197)
    assert files(tmp_path) == {*(name for name, _ in wanted), MANIFEST}


def test_a_manifest_that_the_disk_has_no_room_for(server, tmp_path, monkeypatch):
    from fetching import folder

    monkeypatch.setattr(folder, "append", lambda path: open("/dev/full", "ab"))
    summary = fetch(tmp_path, *((f"{i}.jpg", f"{server.url}/ok/{i}") for i in range(50)), workers=2)
    assert summary.stopped == os.strerror(errno.ENOSPC)
    assert not summary.complete and not summary.failed
    assert not list(tmp_path.glob("*.part*"))


def test_a_file_larger_than_the_system_allows_fails_alone(server, tmp_path):
    """RLIMIT_FSIZE: the kernel's own refusal, of one file."""
    server.bodies["big"] = jpeg(5, side=1000)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import resource, sys\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))\n"
            "from pathlib import Path\nfrom fetching.fetch_folder import Wanted, fetch_all\n"
            "summary = fetch_all([Wanted(name + '.jpg', sys.argv[2] + name) for name in ('a', 'big', 'c')], Path(sys.argv[1]), "
            "quiet=True)\nprint(summary.fetched, summary.failed)",
            str(tmp_path),
            f"{server.url}/ok/",
        ],
        capture_output=True,
        text=True,
        check=True,
        env=WITH_MISC,
    )
    assert done.stdout == "2 {'big.jpg': 'File too large'}\n"
    assert files(tmp_path) == {"a.jpg", "c.jpg", MANIFEST, MISSING}
