"""misc/fetching/watchdog.py: an answer that never ends is ended, and its connection with it."""

import threading
import time

import pytest
from badserver import serving
from fetching.fetch import Fetcher, FetchError, Interrupted, Limits
from fetching.fetch_folder import Wanted, fetch_all

ENDLESS = ("slowheaders", "slowstatus", "continue", "hints", "slowchunk", "slowtrailer", "manyheaders")


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_answer_ends_at_a_deadline(server, tmp_path, kind):
    """In a thread, so that a fetch that never ends fails the test in place of stopping all of them."""
    ended = []

    def work():
        with Fetcher(Limits(timeout=0.3, retries=1, back_off=0.01), check=lambda path: None) as fetcher:
            try:
                fetcher.fetch(f"{server.url}/{kind}/a", tmp_path / "a")
            except FetchError as error:
                ended.append(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert len(ended) == 1
    assert "longer than 0.6 seconds" in ended[0] or kind == "manyheaders"  # h11 refuses more than 100 kB of headers
    assert "(tried 2 times)" in ended[0]
    assert server.counts[f"/{kind}/a"] == 2
    assert list(tmp_path.iterdir()) == []
    for _ in range(100):
        if server.gone == 2:
            break
        time.sleep(0.05)
    assert server.gone == 2  # the connections are closed, not left to themselves


def test_a_slow_server_that_gets_there_is_waited_for(server, tmp_path):
    """Its body takes longer than the deadline of a step, but moves."""
    server.bodies["a"] = bytes(2048 * 150)  # 0.01 s and more a piece
    with Fetcher(Limits(timeout=0.3, retries=0), check=lambda path: None) as fetcher:
        fetcher.fetch(f"{server.url}/slow/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == server.bodies["a"]


def test_one_endless_answer_does_not_cost_the_others(server, tmp_path):
    wanted = [Wanted(f"{i}.jpg", f"{server.url}/{'slowheaders' if i == 3 else 'ok'}/{i}") for i in range(12)]
    patience = threading.Timer(15, server.release.set)  # without a deadline this would not end
    patience.start()
    summary = fetch_all(wanted, tmp_path, limits=Limits(timeout=0.3, retries=0), quiet=True)
    patience.cancel()
    assert not server.release.is_set()
    assert (summary.fetched, set(summary.failed)) == (11, {"3.jpg"})


def test_an_interruption_does_not_wait_for_a_silent_server(server, tmp_path):
    fetcher, ended = Fetcher(Limits(timeout=60.0)), []

    def work():
        try:
            fetcher.fetch(f"{server.url}/hang/a", tmp_path / "a")
        except Interrupted:
            ended.append(True)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while not server.counts["/hang/a"]:
        time.sleep(0.01)
    fetcher.interrupt()
    thread.join(10)
    assert ended == [True]
    assert list(tmp_path.iterdir()) == []
