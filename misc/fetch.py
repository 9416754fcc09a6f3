"""One file over HTTP, whole or not at all.

The bytes are kept as served, never encoded again. They are written beside their place under a temporary name, proved
whole (length, type, digest, a picture by decoding it once), and only then given their name. A transfer that is cut
goes on where it stopped if the server can do that; what fails for a time is tried again, as late as the server asks.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import random
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

PART, NOTE = ".part", ".part.json"  # what has come so far, and from which version of what
PROGRESS = 1 << 16  # bytes beyond the furthest so far: having got them, a transfer may fail as often again
NOTE_FROM = 1 << 20  # bytes: below this an interrupted file is simply fetched again by the next call
PASSING = {408, 425, 429, 500, 502, 503, 504}  # statuses that may be gone when asked again
REDIRECTS = {301, 302, 303, 307, 308}
MAX_REDIRECTS = 8
PAGES = ("text/", "application/xhtml", "application/json")  # content types of pages that say what went wrong
LONGEST_WAIT = 300.0  # seconds: no Retry-After is obeyed beyond it
SLOWEST = 200  # bytes per second, over a time-out: a server that drips is given up like one that is silent
HOPELESS = 3  # files in a row: after so many a host that cannot be reached is asked once a file, without waiting
PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO")


class FetchError(Exception):
    """A file that could not be had: the reason, in a line. passing: asking again may help. wait: seconds, if asked."""

    def __init__(self, reason: str, passing: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.passing, self.wait, self.unreachable = passing, wait, False


class Interrupted(Exception):
    """The whole call is being stopped."""


@dataclass(frozen=True)
class Limits:
    """timeout: seconds without an answer. max_bytes: of one file. retries: in a row without progress."""

    timeout: float = 30.0
    max_bytes: int = 100 << 20
    retries: int = 5
    back_off: float = 1.0  # seconds before the first retry; doubled each time


def check_url(url: str, before: str | None = None) -> str:
    """The URL, if it may be asked. before: the one that redirected here. Errors: FetchError.

    http and https alone; a redirect may go from http to https, and otherwise keeps its scheme.
    """
    try:
        scheme, host = urlsplit(url).scheme.lower(), urlsplit(url).hostname
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise FetchError(f"not a URL: {url!r:.120} ({error})") from None
    if scheme not in ("http", "https") or not host:
        raise FetchError(f"{'redirected to' if before else 'only http and https URLs are fetched, not'} {url!r:.120}"
                         f"{', which is neither http nor https' if before else ''}")
    if before and (urlsplit(before).scheme.lower(), scheme) == ("https", "http"):
        raise FetchError(f"redirected from https to {url!r:.120}")
    return url


def check_picture(path: Path) -> None:
    """Decode a picture to its last line. Errors: FetchError, saying what is wrong with it."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=PICTURE_FORMATS) as picture:
                picture.load()
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        with open(path, "rb") as file:
            head = file.read(512).lstrip().lower()
        if head.startswith((b"<!doctype", b"<html", b"<?xml")):
            raise FetchError("a page of text, not a picture") from None
        raise FetchError(f"not a whole picture ({type(error).__name__}: {str(error)[:100]})", passing=True) from None


def file_digest(path: Path) -> str:
    """SHA-256 as hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Fetcher:
    """Fetches files into place, from any number of threads. stop: set it, and every transfer ends soon."""

    def __init__(self, limits: Limits | None = None, stop: threading.Event | None = None, connections: int = 16,
                 check: Callable[[Path], None] = check_picture, progress: Callable[[int], None] | None = None) -> None:
        self.limits, self.check, self.progress = limits or Limits(), check, progress or (lambda _: None)
        self.stop = stop or threading.Event()
        self.unreachable: dict[str, int] = {}  # host -> files in a row for which it could not be reached at all
        self.client = httpx.Client(
            timeout=self.limits.timeout, follow_redirects=False,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={"User-Agent": "clip4dm-data/1.0", "Accept-Encoding": "identity"})

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_) -> None:
        self.client.close()

    def fetch(self, url: str, path: Path, size: int | None = None, sha256: str | None = None) -> None:
        """Bring a URL to a path. size, sha256: what it must be, if known. Errors: FetchError, Interrupted, OSError.

        Whatever happens, `path` is either as it was or whole. A failure leaves no temporary file; an interruption
        may leave one, from which the next call goes on.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        transfer = _Transfer(url, path)
        try:
            self._with_retries(transfer, size, sha256)
        except Interrupted:
            if not transfer.noted:
                transfer.forget()
            raise
        except (FetchError, OSError):
            transfer.forget()
            raise

    def _with_retries(self, transfer: _Transfer, size: int | None, sha256: str | None) -> None:
        tries, furthest = 0, transfer.have
        while True:
            if self.stop.is_set():
                raise Interrupted
            try:
                self._receive(transfer)
                self._prove(transfer, size, sha256)
                transfer.finish()
                return
            except (httpx.TransportError, httpx.StreamError) as error:
                failure = FetchError(f"{type(error).__name__}: {str(error) or 'no answer'}"[:160], passing=True)
                failure.unreachable = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
            except FetchError as error:
                failure = error
            if not failure.passing:
                raise failure
            tries = 0 if transfer.have >= furthest + PROGRESS else tries + 1
            furthest = max(furthest, transfer.have)
            if tries > self.limits.retries or self._given_up(transfer.url):
                self._count_unreachable(transfer.url, failure)
                raise FetchError(f"{failure} (tried {tries} times)")
            wait = self.limits.back_off * 2 ** max(0, tries - 1) * (0.75 + random.random() / 2)
            if failure.wait is not None:
                wait = max(wait, failure.wait)
            if self.stop.wait(min(wait, LONGEST_WAIT)):
                raise Interrupted

    def _given_up(self, url: str) -> bool:
        return self.unreachable.get(urlsplit(url).netloc, 0) >= HOPELESS

    def _count_unreachable(self, url: str, failure: FetchError) -> None:
        host = urlsplit(url).netloc
        self.unreachable[host] = self.unreachable.get(host, 0) + 1 if failure.unreachable else 0

    def _receive(self, transfer: _Transfer) -> None:
        url, before = transfer.url, None
        for _ in range(MAX_REDIRECTS + 1):
            headers = transfer.range_headers()
            with self.client.stream("GET", check_url(url, before), headers=headers) as answer:
                if answer.status_code in REDIRECTS and "location" in answer.headers:
                    try:
                        url, before = str(answer.url.join(answer.headers["location"])), url
                    except (httpx.InvalidURL, ValueError):
                        raise FetchError(f"redirected to no URL: {answer.headers['location']!r:.120}") from None
                    continue
                self._read_answer(answer, transfer)
                return
        raise FetchError(f"more than {MAX_REDIRECTS} redirects, the last to {url!r:.120}")

    def _read_answer(self, answer: httpx.Response, transfer: _Transfer) -> None:
        status = answer.status_code
        if status == 416 or (status == 206 and not transfer.continues(answer)):
            transfer.start_again()
            raise FetchError("the server could not go on where the transfer stopped", passing=True)
        if status not in (200, 206):
            raise FetchError(f"HTTP {status} {answer.reason_phrase}".strip(), status in PASSING, _retry_after(answer))
        if answer.headers.get("content-type", "").lower().startswith(PAGES):
            raise FetchError(f"not the file but {answer.headers['content-type']}")
        if answer.headers.get("content-encoding", "identity") not in ("identity", ""):
            raise FetchError(f"served in an encoding that was not asked for: {answer.headers['content-encoding']}")
        if status == 200:
            transfer.start_again()
        transfer.validator = answer.headers.get("etag") or answer.headers.get("last-modified")
        if (transfer.validator or "").startswith("W/"):
            transfer.validator = None  # a weak one does not promise the same bytes
        length = int(answer.headers["content-length"]) if answer.headers.get("content-length", "").isdigit() else 0
        self._check_size(transfer.have + length)
        began, received = time.monotonic(), 0
        with open(transfer.part, "ab") as file:
            for chunk in answer.iter_raw():
                file.write(chunk)
                transfer.have += len(chunk)
                received += len(chunk)
                self.progress(len(chunk))
                self._check_size(transfer.have)
                if transfer.have >= NOTE_FROM:
                    transfer.take_note()
                if self.stop.is_set():
                    raise Interrupted
                elapsed = time.monotonic() - began
                if elapsed > self.limits.timeout:
                    if received < SLOWEST * elapsed:
                        raise FetchError(f"{received} bytes in {elapsed:.0f} seconds: too slow", passing=True)
                    began, received = time.monotonic(), 0
        if transfer.have == 0:
            raise FetchError("an empty answer", passing=True)

    def _check_size(self, size: int) -> None:
        if size > self.limits.max_bytes:
            raise FetchError(f"larger than the limit of {self.limits.max_bytes} bytes (--max_bytes)")

    def _prove(self, transfer: _Transfer, size: int | None, sha256: str | None) -> None:
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


class _Transfer:
    """The temporary file of one download: PATH.part, and once it is worth going on with, PATH.part.json."""

    def __init__(self, url: str, path: Path) -> None:
        self.url, self.path = url, path
        self.part, self.note = path.with_name(path.name + PART), path.with_name(path.name + NOTE)
        self.have, self.validator, self.noted = 0, None, False
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            if note["url"] == url and isinstance(note["validator"], str):
                self.have, self.validator, self.noted = self.part.stat().st_size, note["validator"], True
        except (OSError, ValueError, KeyError, TypeError):
            pass
        if not self.have:
            self.forget()

    def range_headers(self) -> dict[str, str]:
        """Ask for the rest, on condition that the file is still the one that was begun."""
        if not self.have or not self.validator:
            return {}
        return {"Range": f"bytes={self.have}-", "If-Range": self.validator}

    def continues(self, answer: httpx.Response) -> bool:
        return self.have > 0 and answer.headers.get("content-range", "").startswith(f"bytes {self.have}-")

    def start_again(self) -> None:
        self.forget()

    def take_note(self) -> None:
        if self.validator and not self.noted:
            self.note.write_text(json.dumps({"url": self.url, "validator": self.validator}), encoding="utf-8")
            self.noted = True

    def finish(self) -> None:
        self.part.replace(self.path)
        self.note.unlink(missing_ok=True)

    def forget(self) -> None:
        self.have, self.validator, self.noted = 0, None, False
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds, from a number or a date."""
    given = answer.headers.get("retry-after", "").strip()
    if given.isdigit():
        return float(given)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(given).timestamp() - time.time()) if given else None
    except ValueError:
        return None
