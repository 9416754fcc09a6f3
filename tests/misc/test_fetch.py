"""misc/fetching/fetch.py and misc/fetching/fetch_folder.py against a real server that misbehaves.

After every case: no bad file, no temporary file, everything good kept, and the summary true.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from badserver import jpeg, serving
from fetching.fetch import Fetcher, FetchError, Interrupted, Limits, check_url
from fetching.fetch_folder import Wanted, fetch_all
from fetching.folder import MANIFEST, MISSING, safe_path
from fetching.manifest import read_manifest
from fetching.transfer import NOTE_FROM
from places import ROOT

QUICK = Limits(timeout=1.0, retries=2, back_off=0.01, max_bytes=1 << 20)


@pytest.fixture
def server():
    with serving() as running:
        yield running


def fetch(folder, *items, limits=QUICK, **options):
    return fetch_all([Wanted(name, url) for name, url in items], folder, limits=limits, quiet=True, **options)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def check_folder(folder, server, good, bad):
    """good: name -> the server's body; bad: name -> what its reason says."""
    assert files(folder) == {*good, MANIFEST} | ({MISSING} if bad else set())
    manifest = read_manifest(folder)
    assert set(manifest) == set(good)
    for name, body in good.items():
        data = (folder / name).read_bytes()
        assert data == server.body(body)
        assert manifest[name].size == len(data)
        assert manifest[name].sha256 == hashlib.sha256(data).hexdigest()
    if bad:
        listed = dict(line.split("\t") for line in (folder / MISSING).read_text().splitlines())
        assert set(listed) == set(bad)
        for name, reason in bad.items():
            assert reason in listed[name], (name, listed[name])


# how the server behaves -> requests a fetch takes
RECOVERS = {"ok": 1, "twice500": 3, "busy": 2, "cut": 2, "changed": 2, "noranges": 2, "liar": 3, "moved": 1}


@pytest.mark.parametrize("kind", RECOVERS)
def test_what_passes_is_fetched_whole(server, tmp_path, kind):
    summary = fetch(tmp_path, ("a.jpg", f"{server.url}/ok/a"), ("b.jpg", f"{server.url}/{kind}/b"))
    assert (summary.fetched, summary.present, summary.wanted, summary.failed) == (2, 0, 2, {})
    assert summary.complete
    check_folder(tmp_path, server, {"a.jpg": "a", "b.jpg": "b"}, {})
    assert server.counts[f"/{kind}/b"] == RECOVERS[kind]


def test_a_cut_transfer_asks_for_the_rest_alone(server, tmp_path):
    fetch(tmp_path, ("b.jpg", f"{server.url}/cut/b"))
    assert server.ranges == [None, f"bytes={len(server.body('b')) // 2}-"]


FAILS = {
    "missing": "HTTP 404",
    "always500": "HTTP 500",
    "alwayscut": "tried",
    "html": "not the file but text/html",
    "disguised": "a page of text, not a picture",
    "truncated": "not a whole picture",
    "empty": "an empty answer",
    "loop": "more than 8 redirects",
    "tofile": "neither http nor https",
    "hang": "ReadTimeout",
    "drip": "too slow",
    "huge": "larger than the limit",
    "gzip": "an encoding that was not asked for",
}


@pytest.mark.parametrize("kind", FAILS)
def test_what_cannot_be_had_leaves_nothing_but_its_reason(server, tmp_path, kind):
    summary = fetch(
        tmp_path, ("a.jpg", f"{server.url}/ok/a"), ("b.jpg", f"{server.url}/{kind}/b"), ("c.jpg", f"{server.url}/ok/c")
    )
    assert (summary.fetched, summary.wanted, set(summary.failed)) == (2, 3, {"b.jpg"})
    assert not summary.complete
    check_folder(tmp_path, server, {"a.jpg": "a", "c.jpg": "c"}, {"b.jpg": FAILS[kind]})


def test_statuses_that_do_not_pass_are_asked_once_and_others_as_often_as_said(server, tmp_path):
    fetch(tmp_path, ("a.jpg", f"{server.url}/missing/a"), ("b.jpg", f"{server.url}/always500/b"))
    assert server.counts["/missing/a"] == 1
    assert server.counts["/always500/b"] == 1 + QUICK.retries


class Clock(threading.Event):
    """An event whose waiting takes no time, and is written down."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        return False


def test_retry_after_is_obeyed(server, tmp_path):
    clock = Clock()
    with Fetcher(QUICK, clock) as fetcher:
        fetcher.fetch(f"{server.url}/busy/b", tmp_path / "b.jpg")
    assert clock.waits == [1.0]  # what the server asked for; the own back-off is a hundredth


def test_back_off_doubles(server, tmp_path):
    clock = Clock()
    with Fetcher(Limits(retries=5, back_off=1.0), clock) as fetcher, pytest.raises(FetchError, match="tried 6 times"):
        fetcher.fetch(f"{server.url}/always500/b", tmp_path / "b.jpg")
    assert len(clock.waits) == 5
    for wait, middle in zip(clock.waits, (1, 2, 4, 8, 16), strict=True):
        assert 0.75 * middle <= wait <= 1.25 * middle


def test_a_large_file_goes_on_in_the_next_call_from_where_it_was_interrupted(server, tmp_path):
    body = server.bodies["big"] = jpeg(5, side=1600)
    assert len(body) > 2 * NOTE_FROM
    stop = threading.Event()
    note = tmp_path / "big.jpg.part.json"
    with Fetcher(Limits(), stop, progress=lambda _: note.exists() and stop.set()) as fetcher:
        with pytest.raises(Interrupted):
            fetcher.fetch(f"{server.url}/etag/big", tmp_path / "big.jpg")
    have = (tmp_path / "big.jpg.part").stat().st_size
    assert NOTE_FROM <= have < len(body)
    summary = fetch(tmp_path, ("big.jpg", f"{server.url}/etag/big"), limits=Limits())
    assert summary.fetched == 1
    assert server.ranges == [None, f"bytes={have}-"]
    check_folder(tmp_path, server, {"big.jpg": "big"}, {})


@pytest.mark.parametrize(
    "name",
    [
        "../../x.jpg",
        "/x.jpg",
        "a/../../x.jpg",
        "..",
        "",
        "a\\..\\x.jpg",
        "C:x.jpg",
        "x\0.jpg",
        "a//b.jpg",
        "./x.jpg",
        "a/",
        "manifest.jsonl",
        "missing.tsv",
        "x.jpg.part",
        "x" * 300,
    ],
)
def test_names_that_lead_out_are_refused(server, tmp_path, name):
    folder = tmp_path / "in" / "side"
    summary = fetch(folder, (name, f"{server.url}/ok/evil"), ("a.jpg", f"{server.url}/ok/a"))
    assert set(summary.failed) == {name}
    assert server.counts["/ok/evil"] == 0
    assert files(tmp_path) == {f"in/side/{x}" for x in ("a.jpg", MANIFEST, MISSING)}


def test_a_symbolic_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(FetchError, match="leads out of"):
        safe_path(tmp_path / "in", "link/x.jpg")
    assert safe_path(tmp_path / "in", "sub/x.jpg") == tmp_path / "in" / "sub" / "x.jpg"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/x",
        "data:image/png;base64,AA",
        "x.jpg",
        "",
        "http://",
        "javascript:alert(1)",
        "http://[::1",
    ],
)
def test_only_http_and_https(tmp_path, url):
    summary = fetch(tmp_path, ("a.jpg", url))
    assert set(summary.failed) == {"a.jpg"}
    assert files(tmp_path) == {MANIFEST, MISSING}


@pytest.mark.parametrize(
    "url, said",
    [
        ("http://a..b/", "no URL"),
        ("http://" + "a" * 70 + "/", "no URL"),
        ("http://h/\ud800", "no URL"),
        ("http://h/\0", "no URL"),
        ("http://xn--a/", "no URL"),
        ("http://[zz]/", "no URL"),
        ("http://h:x/", "no URL"),
        ("http:///x", "names no host"),
        ("http://u:p@/", "names no host"),
        (5, "it is no text"),
        (None, "it is no text"),
        ([], "it is no text"),
    ],
)
def test_what_is_no_url_is_told_in_a_sentence(tmp_path, url, said):
    summary = fetch(tmp_path, ("a.jpg", url))
    assert said in summary.failed["a.jpg"]
    assert "InvalidURL" not in summary.failed["a.jpg"] and "tried" not in summary.failed["a.jpg"]


@pytest.mark.parametrize("number", [0, 5, 6, 7, 9, 10, 11])
def test_a_redirect_to_no_url_is_told_and_not_tried_again(server, tmp_path, number):
    summary = fetch(tmp_path, ("a.jpg", f"{server.url}/to/{number}"))
    assert "no URL" in summary.failed["a.jpg"]
    assert "InvalidURL" not in summary.failed["a.jpg"]
    assert server.counts[f"/to/{number}"] == 1


def test_a_redirect_may_become_safer_but_not_less_safe():
    assert check_url("https://a/b", before="http://a/b") == "https://a/b"
    with pytest.raises(FetchError, match="redirected from https"):
        check_url("http://a/b", before="https://a/b")


def test_duplicates_are_fetched_once_and_contradictions_told(server, tmp_path):
    summary = fetch(
        tmp_path,
        ("a.jpg", f"{server.url}/ok/a"),
        ("a.jpg", f"{server.url}/ok/a"),
        ("a.jpg", f"{server.url}/ok/other"),
        workers=4,
    )
    assert server.counts["/ok/a"] == 1
    assert server.counts["/ok/other"] == 0
    assert (summary.fetched, summary.wanted) == (1, 2)
    assert list(summary.failed) == ["a.jpg (again)"]


def test_a_second_call_fetches_only_what_is_missing_or_damaged(server, tmp_path):
    wanted = [(f"{name}.jpg", f"{server.url}/ok/{name}") for name in "abcd"]
    fetch(tmp_path, *wanted)
    (tmp_path / "b.jpg").unlink()
    (tmp_path / "c.jpg").write_bytes(jpeg(7))  # whole, but another than was fetched
    (tmp_path / "d.jpg").write_bytes(server.body("d")[:500])
    server.counts.clear()
    summary = fetch(tmp_path, *wanted)
    assert dict(server.counts) == {"/ok/b": 1, "/ok/c": 1, "/ok/d": 1}
    assert (summary.present, summary.fetched) == (1, 3)
    check_folder(tmp_path, server, {f"{name}.jpg": name for name in "abcd"}, {})


def test_pictures_put_there_by_hand_are_decoded_and_kept(server, tmp_path):
    (tmp_path / "a.jpg").write_bytes(server.body("a"))
    (tmp_path / "b.jpg").write_bytes(server.body("b")[:600])
    summary = fetch(tmp_path, ("a.jpg", f"{server.url}/ok/a"), ("b.jpg", f"{server.url}/ok/b"))
    assert (summary.present, summary.fetched) == (1, 1)
    check_folder(tmp_path, server, {"a.jpg": "a", "b.jpg": "b"}, {})


def test_what_failed_leaves_the_list_once_it_is_there(server, tmp_path):
    fetch(tmp_path, ("a.jpg", f"{server.url}/missing/a"))
    assert (tmp_path / MISSING).exists()
    fetch(tmp_path, ("a.jpg", f"{server.url}/ok/a"))
    assert not (tmp_path / MISSING).exists()


def test_verify_fetches_nothing_and_tells_what_is_wrong(server, tmp_path):
    wanted = [(f"{name}.jpg", f"{server.url}/ok/{name}") for name in "abc"]
    fetch(tmp_path, *wanted[:2])
    (tmp_path / "a.jpg").write_bytes(b"broken")
    server.counts.clear()
    summary = fetch(tmp_path, *wanted, verify=True)
    assert not server.counts
    assert summary.failed == {"a.jpg": "changed since it was fetched", "c.jpg": "missing"}
    assert summary.present == 1
    with pytest.raises(ValueError, match="no folder"):
        fetch(tmp_path / "nowhere", *wanted, verify=True)


def test_known_sizes_and_digests_are_proved(server, tmp_path):
    body = server.body("a")
    good = Wanted("a.jpg", f"{server.url}/ok/a", len(body), hashlib.sha256(body).hexdigest())
    short = Wanted("b.jpg", f"{server.url}/ok/a", len(body) + 1)
    other = Wanted("c.jpg", f"{server.url}/ok/a", None, "0" * 64)
    summary = fetch_all([good, short, other], tmp_path, limits=QUICK, quiet=True)
    assert set(summary.failed) == {"b.jpg", "c.jpg"}
    assert "were expected" in summary.failed["b.jpg"]
    assert "another SHA-256" in summary.failed["c.jpg"]
    assert (tmp_path / "a.jpg").read_bytes() == body


def test_a_host_that_cannot_be_reached_is_not_waited_for_file_by_file(tmp_path):
    clock = Clock()
    with Fetcher(Limits(retries=2), clock) as fetcher:
        for i in range(50):
            with pytest.raises(FetchError, match="ConnectError"):
                fetcher.fetch(f"http://127.0.0.1:9/{i}", tmp_path / f"{i}.jpg")
    assert len(clock.waits) == 3 * 2  # for the first three files alone
    assert not files(tmp_path)


def test_a_manifest_cut_off_by_a_kill_is_read_up_to_there(server, tmp_path):
    fetch(tmp_path, ("a.jpg", f"{server.url}/ok/a"))
    with open(tmp_path / MANIFEST, "a") as file:
        file.write('{"name": "b.jpg", "ur')
    summary = fetch(tmp_path, ("a.jpg", f"{server.url}/ok/a"), ("b.jpg", f"{server.url}/ok/b"))
    assert (summary.present, summary.fetched) == (1, 1)
    assert [json.loads(line)["name"] for line in (tmp_path / MANIFEST).read_text().splitlines()] == ["a.jpg", "b.jpg"]


def nocaps_files(folder, url, number, kind="slow"):
    names = [f"{i:04d}.jpg" for i in range(number)]
    folder.mkdir(exist_ok=True)
    (folder / "meta.json").write_text(
        json.dumps({"images": [{"file_name": name, "coco_url": f"{url}/{kind}/{name}"} for name in names]})
    )
    (folder / "foil.json").write_text(json.dumps([{"image_path": name} for name in names]))
    return [
        sys.executable,
        str(ROOT / "misc" / "download_nocaps_image.py"),
        "--foil_path",
        str(folder / "foil.json"),
        "--meta_path",
        str(folder / "meta.json"),
        "--save_dir",
        str(folder / "pictures"),
        "--workers",
        "4",
    ], names


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_and_started_again(server, tmp_path, how):
    command, names = nocaps_files(tmp_path, server.url, 60)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(list((tmp_path / "pictures").glob("*.jpg"))) < 12:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, how)
    out, err = process.communicate(timeout=30)
    if how == signal.SIGINT:
        assert process.returncode == 130, err
        assert "interrupted: the same command goes on" in out
        assert not list((tmp_path / "pictures").glob("*.part*"))
    there = {path.name: path.read_bytes() for path in (tmp_path / "pictures").glob("*.jpg")}
    assert 12 <= len(there) < 60
    assert all(data == server.body(name) for name, data in there.items())
    server.counts.clear()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (
        f"60 of 60 files in {tmp_path / 'pictures'}: {len(there)} were there, {60 - len(there)} fetched" in done.stdout
    )
    assert set(server.counts) == {f"/slow/{name}" for name in names if name not in there}
    assert set(server.counts.values()) == {1}
    check_folder(tmp_path / "pictures", server, {name: name for name in names}, {})


def test_the_command_ends_with_1_if_anything_is_missing(server, tmp_path):
    command, _ = nocaps_files(tmp_path, server.url, 3, kind="missing")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "0 of 3 files" in done.stdout
    assert "HTTP 404" in done.stderr
    assert len((tmp_path / "pictures" / MISSING).read_text().splitlines()) == 3
