"""misc/fetching/transfer.py: what a server promised is what a file must be, whatever its later answers say.

Nothing here looks into the files (check: nothing), so that the protocol alone tells a whole file from a cut one.
"""

import json
import threading

import pytest
from badserver import jpeg, serving
from fetching.fetch import Fetcher, FetchError, Interrupted, Limits
from fetching.transfer import NOTE_FROM

QUICK = Limits(timeout=1.0, retries=1, back_off=0.01, max_bytes=8 << 20)


@pytest.fixture
def server():
    with serving() as running:
        yield running


def fetch(url, path, limits=QUICK, **options):
    with Fetcher(limits, check=lambda path: None, **options) as fetcher:
        fetcher.fetch(url, path)


def left(folder):
    return {path.name for path in folder.iterdir()}


LIES = {
    "short": "was to have .* bytes and is now to have",
    "long": "was to have .* bytes and is now to have",
    "nothing": "does not say of what",
    "words": "'bytes all of it'",
    "backwards": "does not fit",
    "beyond": "does not fit",
    "elsewhere": "answers from",
    "version": "another version",
    "huge": "HTTP 206 of",
    "more": "bytes came where",
}


@pytest.mark.parametrize("how", LIES)
def test_a_part_that_does_not_fit_what_was_promised_is_refused(server, tmp_path, how):
    with pytest.raises(FetchError, match=LIES[how]):
        fetch(f"{server.url}/lie/{how}.a", tmp_path / "a")
    assert left(tmp_path) == set()


def test_a_part_in_chunks_that_ends_early_is_a_cut(server, tmp_path):
    with pytest.raises(FetchError, match="cut short"):
        fetch(f"{server.url}/lie/fewer.a", tmp_path / "a", Limits(timeout=1.0, retries=1, back_off=0.01))
    assert left(tmp_path) == set()


def test_a_body_in_chunks_needs_its_last_chunk(server, tmp_path):
    fetch(f"{server.url}/chunked/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == server.body("a")
    with pytest.raises(FetchError, match="RemoteProtocolError"):
        fetch(f"{server.url}/chunkedcut/b", tmp_path / "b")
    assert left(tmp_path) == {"a"}


def test_a_range_may_come_in_pieces(server, tmp_path):
    fetch(f"{server.url}/pieces/a", tmp_path / "a", Limits(timeout=1.0, retries=5, back_off=0.01))
    assert (tmp_path / "a").read_bytes() == server.body("a")
    half = len(server.body("a")) // 2
    assert server.ranges == [None, f"bytes={half}-", f"bytes={half + 500}-"]


@pytest.mark.parametrize("kind", ["oddtag", "oddwait"])
def test_headers_of_any_bytes_do_not_end_a_transfer(server, tmp_path, kind):
    class Hurried(threading.Event):
        def wait(self, timeout=None):
            return False

    fetch(f"{server.url}/{kind}/a", tmp_path / "a", Limits(timeout=1.0, retries=5, back_off=0.01), stop=Hurried())
    assert (tmp_path / "a").read_bytes() == server.body("a")
    assert set(server.ranges) == {None}


def interrupted(server, path, name="big"):
    """Stop a transfer of more than NOTE_FROM bytes under way; how much of it is there."""
    body = server.bodies[name] = jpeg(5, side=1600)
    assert len(body) > 2 * NOTE_FROM
    stop, note = threading.Event(), path.with_name(path.name + ".part.json")
    with pytest.raises(Interrupted):
        fetch(f"{server.url}/etag/{name}", path, stop=stop, progress=lambda _: note.exists() and stop.set())
    return path.with_name(path.name + ".part").stat().st_size


def test_the_promised_length_is_kept_for_the_next_call(server, tmp_path):
    have = interrupted(server, tmp_path / "a")
    assert json.loads((tmp_path / "a.part.json").read_text())["total"] == len(server.body("big"))
    server.bodies["big"] = server.body("big")[:-1000]  # the same validator, and a shorter file
    with pytest.raises(FetchError, match="cut|was to have"):
        fetch(f"{server.url}/etag/big", tmp_path / "a", Limits(timeout=1.0, retries=0, back_off=0.01))
    assert server.ranges[1] == f"bytes={have}-"
    assert left(tmp_path) == set()


def test_what_came_whole_before_the_interruption_is_not_asked_for_again(server, tmp_path):
    interrupted(server, tmp_path / "a")
    (tmp_path / "a.part").write_bytes(server.body("big"))
    fetch(f"{server.url}/etag/big", tmp_path / "a")
    assert len(server.ranges) == 1
    assert (tmp_path / "a").read_bytes() == server.body("big")
    assert left(tmp_path) == {"a"}


NOTES = [
    "",
    "[",
    "[]",
    "null",
    "NaN",
    '"x"',
    "[" * 100_000,
    '{"url": 5}',
    "\xff\x00",
    '{"total": 1e999}',
    '{"url": URL, "validator": 7, "total": 10}',
    '{"url": URL, "validator": "\\"v1\\"", "total": "9"}',
    '{"url": URL, "validator": "\\"v1\\"", "total": NaN}',
    '{"url": URL, "validator": "\\"v1\\"", "total": -1}',
    '{"url": URL, "validator": "\\"v1\\"", "total": true}',
    '{"url": URL, "validator": "\\"v1\\"", "total": 3}',
    '{"url": URL, "validator": "a\\r\\nX-Evil: 1", "total": null}',
    '{"url": URL, "validator": "\\u00e9"}',
    '{"url": URL, "validator": "\\ud800", "total": null}',
    '{"url": "http://other/", "validator": "\\"v1\\""}',
]


@pytest.mark.parametrize("note", NOTES, ids=range(len(NOTES)))
def test_a_note_that_is_damaged_costs_the_part_alone(server, tmp_path, note):
    url = f"{server.url}/etag/a"
    (tmp_path / "a.part").write_bytes(b"something else")
    (tmp_path / "a.part.json").write_bytes(note.replace("URL", json.dumps(url)).encode("latin-1"))
    fetch(url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == server.body("a")
    assert server.ranges == [None]
    assert left(tmp_path) == {"a"}


def test_a_server_that_fails_for_a_time_does_not_cost_what_has_come_of_a_large_file(server, tmp_path):
    have = interrupted(server, tmp_path / "a")
    server.shutdown()
    server.server_close()
    with pytest.raises(FetchError, match="ConnectError"):
        fetch(f"{server.url}/etag/big", tmp_path / "a")
    assert (tmp_path / "a.part").stat().st_size == have
    assert left(tmp_path) == {"a.part", "a.part.json"}
