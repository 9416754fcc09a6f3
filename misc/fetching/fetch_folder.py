"""Many files into one folder: names checked, fetched side by side, listed in a manifest; what failed, with its reason.

SAVE_DIR/manifest.jsonl has a line a file: name, url, size, sha256. A second call looks at every file (by its digest,
or by decoding it where the manifest does not know it) and fetches what is missing or damaged. SAVE_DIR/missing.tsv
lists what could not be had; when nothing is missing it is not there.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fetching.checks import check_picture, file_digest
from fetching.fetch import Fetcher, Interrupted, Limits
from fetching.folder import (
    FULL,
    MISSING,
    NOTE,
    PART,
    FetchError,
    locked,
    printable,
    reason_of,
    safe_path,
    tells_case_apart,
    write_whole,
)
from fetching.manifest import Entry, Manifest
from tqdm import tqdm

from clip4dm.commands.cli import signal_of
from clip4dm.errors import InputError

tqdm.get_lock()  # imports multiprocessing now: a signal that meets an import ends a script at once, with nothing told


@dataclass(frozen=True)
class Wanted:
    """A file to have: its name within the folder, as an untrusted file says it, and where it is to be had."""

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None


@dataclass
class Summary:
    """How a call went. failed: name -> reason."""

    wanted: int = 0
    present: int = 0
    fetched: int = 0
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: int = 0  # by which signal
    stopped: str = ""  # why the rest was not tried: a full disk

    @property
    def complete(self) -> bool:
        return not (self.failed or self.interrupted or self.stopped) and self.present + self.fetched == self.wanted

    def line(self, save_dir: Path) -> str:
        text = (
            f"{self.present + self.fetched} of {self.wanted} files in {save_dir}: {self.present} were there, "
            f"{self.fetched} fetched ({self.bytes / 1e6:.1f} MB)"
        )
        if self.failed:
            text += f"; {len(self.failed)} missing, with their reasons in {save_dir / MISSING}"
        if self.stopped:
            text += f"; stopped ({self.stopped}): once there is room, the same command goes on"
        return text + ("; interrupted: the same command goes on" if self.interrupted else "")


def look_at(path: Path, wanted: Wanted, entry: Entry | None, check: Callable[[Path], None]) -> Entry | str:
    """The file's entry if it is there and whole, else what is wrong with it."""
    if not path.is_file():
        return "missing"
    size, digest = path.stat().st_size, file_digest(path)
    if wanted.size not in (None, size) or wanted.sha256 not in (None, digest):
        return "not the size or the SHA-256 it should be"
    if entry is not None and (entry.size, entry.sha256) != (size, digest):
        return "changed since it was fetched"
    if entry is None:
        try:
            check(path)
        except FetchError as error:
            return str(error)
    return Entry(wanted.name, wanted.url, size, digest)


def fetch_all(
    wanted: Iterable[Wanted],
    save_dir: Path,
    *,
    workers: int = 8,
    limits: Limits | None = None,
    check: Callable[[Path], None] = check_picture,
    verify: bool = False,
    quiet: bool = False,
) -> Summary:
    """Have all wanted files in a folder. verify: look only, write nothing. Returns what was done; raises nothing
    that one file's failure causes. Ctrl-C ends it within seconds, and the summary says so; so does a full disk.
    Errors: ValueError if another call writes into the folder, OSError if its lists cannot be written.
    """
    if verify and not save_dir.is_dir():
        raise InputError(f"there is no folder {save_dir} to verify")
    if not verify:
        save_dir.mkdir(parents=True, exist_ok=True)
    summary, jobs = Summary(), queue.SimpleQueue()
    with contextlib.nullcontext() if verify else locked(save_dir):
        manifest = Manifest(save_dir, writing=not verify)
        number = _enqueue(wanted, save_dir, jobs, summary)
        try:
            with Fetcher(limits, check=check) as fetcher:
                _work_off(jobs, number, min(workers, number), fetcher, summary, manifest, verify, quiet)
        finally:
            with _room(summary):
                manifest.close()
        if not (verify or summary.interrupted):
            with _room(summary):
                write_missing(save_dir, summary)
    return summary


@contextlib.contextmanager
def _room(summary: Summary) -> Iterator[None]:
    """A list that the disk has no room for: the call is stopped, and says so in its summary."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        summary.stopped = summary.stopped or reason_of(error)


def _work_off(
    jobs: queue.SimpleQueue,
    number: int,
    threads: int,
    fetcher: Fetcher,
    summary: Summary,
    manifest: Manifest,
    verify: bool,
    quiet: bool,
) -> None:
    """Let threads take jobs until there are none, or until the call is to end: then they end first."""
    done: queue.SimpleQueue = queue.SimpleQueue()

    def work() -> None:
        while not fetcher.stop.is_set():
            try:
                path, item = jobs.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((item.name, *_have(path, item, manifest.entries.get(item.name), fetcher, verify)))
            except Interrupted:
                return
            except Exception as error:  # a folder in the file's place, a full disk
                full = isinstance(error, OSError) and error.errno in FULL
                if full:  # before another file is asked for
                    fetcher.stop.set()
                done.put((item.name, "full" if full else "failed", reason_of(error)))

    running = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    try:
        for thread in running:
            thread.start()
        _gather(number, done, summary, manifest, verify, quiet)
    except KeyboardInterrupt as error:
        summary.interrupted = signal_of(error)
    finally:
        fetcher.interrupt()
        until = time.monotonic() + 5
        for thread in running:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        while not done.empty():
            _count(done.get(), summary, manifest)


def _enqueue(wanted: Iterable[Wanted], save_dir: Path, jobs: queue.SimpleQueue, summary: Summary) -> int:
    """Queue every name once; a name asked for with two URLs, or one that leads elsewhere, fails."""
    urls: dict[str, str] = {}
    folded: dict[str, str] = {}  # where the file system does not tell names apart that differ in case or accents' form
    fold, number = not tells_case_apart(save_dir), 0
    for item in wanted:
        if item.name in urls:
            if urls[item.name] != item.url:
                summary.failed[f"{item.name} (again)"] = f"asked for with two URLs: {urls[item.name]}, {item.url}"
                summary.wanted += 1
            continue
        urls[item.name] = item.url
        summary.wanted += 1
        try:
            path = safe_path(save_dir, item.name)
            key = unicodedata.normalize("NFC", item.name).casefold() if fold else item.name
            if folded.setdefault(key, item.name) != item.name:
                raise FetchError(f"this folder does not tell it apart from {folded[key]!r:.120}")
        except FetchError as error:
            summary.failed[item.name] = str(error)
            continue
        jobs.put((path, item))
        number += 1
    return number


def _have(path: Path, item: Wanted, entry: Entry | None, fetcher: Fetcher, verify: bool) -> tuple[str, object]:
    found = look_at(path, item, entry, fetcher.check)
    if isinstance(found, Entry):
        if not verify:
            for ending in (PART, NOTE):  # of a call killed just as it was done
                path.with_name(path.name + ending).unlink(missing_ok=True)
        return "present", found
    if verify:
        return "failed", found
    try:
        fetcher.fetch(item.url, path, item.size, item.sha256)
    except FetchError as error:
        return "failed", f"{item.url!s:.200}: {error}"
    return "fetched", Entry(item.name, item.url, path.stat().st_size, file_digest(path))


def _gather(
    number: int, done: queue.SimpleQueue, summary: Summary, manifest: Manifest, verify: bool, quiet: bool
) -> None:
    with tqdm(total=number, desc="checking" if verify else "fetching", unit="file", disable=quiet or None) as bar:
        for _ in range(number):
            _count(done.get(), summary, manifest)
            bar.update()
            if summary.failed:
                bar.set_postfix(missing=len(summary.failed))
            if summary.stopped:
                return


def _count(result: tuple[str, str, object], summary: Summary, manifest: Manifest) -> None:
    name, state, value = result
    if state in ("failed", "full"):
        summary.failed[name] = str(value)
        summary.stopped = summary.stopped or (str(value) if state == "full" else "")
        return
    if state == "fetched":
        summary.fetched += 1
        summary.bytes += value.size
    else:
        summary.present += 1
    if manifest.entries.get(name) != value:
        with _room(summary):
            manifest.add(value)


def write_missing(save_dir: Path, summary: Summary) -> None:
    """List what failed in missing.tsv; nothing failed: the list goes."""
    if summary.failed:
        rows = (
            f"{printable(name)}\t{printable(' '.join(reason.split()))}\n"
            for name, reason in sorted(summary.failed.items())
        )
        write_whole(save_dir / MISSING, "".join(rows))
    else:
        (save_dir / MISSING).unlink(missing_ok=True)
