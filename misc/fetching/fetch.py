"""One file over HTTP, whole or not at all.

The bytes are kept as served, never encoded again. They are written beside their place under a temporary name, proved
whole (the promised length, type, digest, a picture by decoding it once), and only then given their name. A transfer
that is cut goes on where it stopped if the server can do that; what fails for a time is tried again, as late as the
server asks. Every step of an answer has a deadline of twice the time-out: its headers, and each stretch of its body.
"""

from __future__ import annotations

import email.utils
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import httpx
from fetching.checks import check_picture, check_url, file_digest
from fetching.folder import FULL, FetchError
from fetching.transfer import Transfer, content_length
from fetching.watchdog import Watch, Watchdog

PROGRESS = 1 << 16  # bytes beyond the furthest so far: having got them, a transfer may fail as often again
PASSING = {408, 425, 429, 500, 502, 503, 504}  # statuses that may be gone when asked again
REDIRECTS = {301, 302, 303, 307, 308}
MAX_REDIRECTS = 8
PAGES = ("text/", "application/xhtml", "application/json")  # content types of pages that say what went wrong
LONGEST_WAIT = 300.0  # seconds: no Retry-After is obeyed beyond it
SLOWEST = 200  # bytes per second, over a time-out: a server that drips is given up like one that is silent
DEADLINE = 2  # time-outs: so long may a step of an answer take, however many bytes trickle in meanwhile
HOPELESS = 3  # files in a row: after so many a host that cannot be reached is asked once a file, without waiting


class Interrupted(Exception):
    """The whole call is being stopped."""


@dataclass(frozen=True)
class Limits:
    """timeout: seconds without an answer. max_bytes: of one file. retries: in a row without progress."""

    timeout: float = 30.0
    max_bytes: int = 100 << 20
    retries: int = 5
    back_off: float = 1.0  # seconds before the first retry; doubled each time


class Fetcher:
    """Fetches files into place, from any number of threads. stop: set it, and every transfer ends soon."""

    def __init__(
        self,
        limits: Limits | None = None,
        stop: threading.Event | None = None,
        check: Callable[[Path], None] = check_picture,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.limits, self.check, self.progress = limits or Limits(), check, progress or (lambda _: None)
        self.stop = stop or threading.Event()
        self.unreachable: dict[str, int] = {}  # host -> files in a row for which it could not be reached at all
        self.deadline = DEADLINE * self.limits.timeout  # seconds
        self.watchdog, self.local, self.clients = Watchdog(self.deadline), threading.local(), []
        self.tls = httpx.create_ssl_context()

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_) -> None:
        self.watchdog.close()
        for client in self.clients:
            client.close()

    def interrupt(self) -> None:
        """End all transfers now, also those that wait for a silent server."""
        self.stop.set()
        self.watchdog.cut_all()

    def _mine(self) -> tuple[httpx.Client, Watch]:
        """This thread's client, which has one request at a time, and what looks after its connections."""
        if not hasattr(self.local, "client"):
            self.local.watch = self.watchdog.watch()
            self.local.client = httpx.Client(
                timeout=self.limits.timeout,
                follow_redirects=False,
                verify=self.tls,
                headers={"User-Agent": "clip4dm-data/1.0", "Accept-Encoding": "identity"},
            )
            self.clients.append(self.local.client)
        return self.local.client, self.local.watch

    def fetch(self, url: str, path: Path, size: int | None = None, sha256: str | None = None) -> None:
        """Bring a URL to a path. size, sha256: what it must be, if known. Errors: FetchError, Interrupted, OSError.

        Whatever happens, `path` is either as it was or whole. What has come of a large file when the call is
        interrupted, the server fails for a time or the disk is full stays for the next call to go on from; nothing
        else stays.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        transfer = Transfer(url, path)
        try:
            self._with_retries(transfer, size, sha256)
        except BaseException as error:
            goes_on = (
                isinstance(error, Interrupted)
                or isinstance(error, FetchError)
                and error.passing
                or isinstance(error, OSError)
                and error.errno in FULL
            )
            if not (goes_on and transfer.noted):
                transfer.start_again()
            raise

    def _with_retries(self, transfer: Transfer, size: int | None, sha256: str | None) -> None:
        tries, furthest = 0, transfer.have
        while True:
            if self.stop.is_set():
                raise Interrupted
            try:
                if not transfer.all_here:
                    self._receive(transfer)
                self._prove(transfer, size, sha256)
                transfer.finish()
                return
            except FetchError as error:
                failure = error
            if self.stop.is_set():
                raise Interrupted
            if not failure.passing:
                raise failure
            tries = 0 if transfer.have >= furthest + PROGRESS else tries + 1
            furthest = max(furthest, transfer.have)
            if tries > self.limits.retries or self._given_up(transfer.url):
                self._count_unreachable(transfer.url, failure)
                raise FetchError(f"{failure} (tried {tries} times)", passing=True)
            wait = self.limits.back_off * 2 ** min(max(0, tries - 1), 20) * (0.75 + random.random() / 2)
            if failure.wait is not None:
                wait = max(wait, failure.wait)
            if self.stop.wait(min(wait, LONGEST_WAIT)):
                raise Interrupted

    def _given_up(self, url: str) -> bool:
        return self.unreachable.get(urlsplit(url).netloc, 0) >= HOPELESS

    def _count_unreachable(self, url: str, failure: FetchError) -> None:
        host = urlsplit(url).netloc
        self.unreachable[host] = self.unreachable.get(host, 0) + 1 if failure.unreachable else 0

    def _receive(self, transfer: Transfer) -> None:
        """One try: follow redirects, read the answer. Errors: FetchError."""
        url, before = transfer.url, None
        client, watch = self._mine()
        client.cookies.clear()  # a server could give any number of them
        try:
            for _ in range(MAX_REDIRECTS + 1):
                check_url(url, before)
                watch.begin()
                with client.stream("GET", url, headers=transfer.headers(), extensions={"trace": watch.trace}) as answer:
                    if answer.status_code not in REDIRECTS or "location" not in answer.headers:
                        self._read_answer(answer, transfer, watch)
                        return
                    url, before = _redirected(answer), url
        except (httpx.RequestError, httpx.StreamError) as error:
            if "location header" in str(error):  # httpx reads where a redirect leads, followed or not
                raise FetchError(f"{url!r:.120} redirects to what is no URL ({str(error)[:160]})") from None
            said = f"{type(error).__name__}: {str(error) or 'no answer'}"[:160]
            if watch.was_cut:
                said = f"the server took longer than {self.deadline:g} seconds over what it answers"
            failure = FetchError(said, passing=True)
            failure.unreachable = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
            raise failure from None
        except (httpx.InvalidURL, UnicodeError) as error:
            raise FetchError(f"{url!r:.120} is, or redirects to, what is no URL ({error})") from None
        finally:
            watch.end()
        raise FetchError(f"more than {MAX_REDIRECTS} redirects, the last to {url!r:.120}")

    def _read_answer(self, answer: httpx.Response, transfer: Transfer, watch: Watch) -> None:
        status = answer.status_code
        if status == 416:
            transfer.start_again()
            raise FetchError("the server could not go on where the transfer stopped", passing=True)
        if status not in (200, 206):
            raise FetchError(f"HTTP {status} {answer.reason_phrase}".strip(), status in PASSING, _retry_after(answer))
        if answer.headers.get("content-type", "").lower().startswith(PAGES):
            raise FetchError(f"not the file but {answer.headers['content-type']:.60}")
        if answer.headers.get("content-encoding", "identity") not in ("identity", ""):
            raise FetchError(f"served in an encoding that was not asked for: {answer.headers['content-encoding']:.60}")
        with transfer.open(answer) as file:
            self._check_size(transfer.total or transfer.have + (content_length(answer) or 0))
            self._read_body(answer, transfer, file, watch)

    def _read_body(self, answer: httpx.Response, transfer: Transfer, file: IO[bytes], watch: Watch) -> None:
        began, stretch, received = time.monotonic(), 0, 0
        watch.begin()
        for chunk in answer.iter_raw():
            file.write(chunk)
            transfer.have += len(chunk)
            received += len(chunk)
            stretch += len(chunk)
            self.progress(len(chunk))
            self._check_size(transfer.have)
            transfer.take_note()
            if self.stop.is_set():
                raise Interrupted
            elapsed = time.monotonic() - began
            if elapsed > self.limits.timeout:
                if stretch < SLOWEST * elapsed:
                    raise FetchError(f"{stretch} bytes in {elapsed:.0f} seconds: too slow", passing=True)
                began, stretch = time.monotonic(), 0
                watch.begin()
        transfer.close(received)

    def _check_size(self, size: int) -> None:
        if size > self.limits.max_bytes:
            raise FetchError(f"larger than the limit of {self.limits.max_bytes} bytes (--max_bytes)")

    def _prove(self, transfer: Transfer, size: int | None, sha256: str | None) -> None:
        """The whole body is here; is it the file? If not, it was not a cut: the next try starts from nothing."""
        try:
            if size is not None and transfer.have != size:
                raise FetchError(f"{transfer.have} bytes, where {size} were expected", passing=True)
            if sha256 is not None and file_digest(transfer.part) != sha256:
                raise FetchError("another SHA-256 than expected", passing=True)
            self.check(transfer.part)
        except FetchError:
            transfer.start_again()
            raise


def _redirected(answer: httpx.Response) -> str:
    said = answer.headers["location"]
    try:
        return str(answer.url.join(said))
    except (httpx.InvalidURL, ValueError):
        raise FetchError(f"redirected to {said!r:.120}, which is no URL") from None


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds, from a number or a date; None for anything else."""
    given = answer.headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit():
        return float(given[:12])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(given).timestamp() - time.time()) if given else None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
