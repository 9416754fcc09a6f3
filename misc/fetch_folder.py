"""Many files into one folder: names checked, fetched side by side, listed in a manifest; what failed, with its reason.

SAVE_DIR/manifest.jsonl has a line a file: name, url, size, sha256. A second call looks at every file (by its digest,
or by decoding it where the manifest does not know it) and fetches what is missing or damaged. SAVE_DIR/missing.tsv
lists what could not be had; when nothing is missing it is not there.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from misc.fetch import NOTE, PART, Fetcher, FetchError, Interrupted, Limits, check_picture, file_digest

MANIFEST, MISSING = "manifest.jsonl", "missing.tsv"
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')


@dataclass(frozen=True)
class Wanted:
    """A file to have: its name within the folder, as an untrusted file says it, and where it is to be had."""

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Entry:
    """A file that is there: a line of the manifest."""

    name: str
    url: str
    size: int
    sha256: str


@dataclass
class Summary:
    """How a call went. failed: name -> reason."""

    wanted: int = 0
    present: int = 0
    fetched: int = 0
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        return not self.failed and not self.interrupted and self.present + self.fetched == self.wanted

    def line(self, save_dir: Path) -> str:
        text = (f"{self.present + self.fetched} of {self.wanted} files in {save_dir}: {self.present} were there, "
                f"{self.fetched} fetched ({self.bytes / 1e6:.1f} MB)")
        if self.failed:
            text += f"; {len(self.failed)} missing, with their reasons in {save_dir / MISSING}"
        return text + ("; interrupted: the same command goes on" if self.interrupted else "")


def safe_path(save_dir: Path, name: str) -> Path:
    """Where a file of an untrusted name goes: inside save_dir, whatever the name says. Errors: FetchError."""
    pure = PurePosixPath(name)
    reserved = name in (MANIFEST, MISSING) or name.endswith((PART, NOTE))
    if (not name or name != str(pure) or pure.is_absolute() or _FORBIDDEN.search(name) or reserved
            or any(part in ("..", ".") or len(part.encode()) > 200 for part in pure.parts)):
        raise FetchError(f"{name!r:.120} is no name of a file inside the folder")
    path = save_dir / pure
    if not path.parent.resolve().is_relative_to(save_dir.resolve()):  # a symbolic link on the way leads out
        raise FetchError(f"{name!r:.120} leads out of {save_dir}")
    return path


def read_manifest(save_dir: Path) -> dict[str, Entry]:
    """name -> entry; the last line of a name counts, a line cut off by a kill does not."""
    entries: dict[str, Entry] = {}
    path = save_dir / MANIFEST
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                entries[row["name"]] = Entry(row["name"], row["url"], int(row["size"]), row["sha256"])
            except (ValueError, KeyError, TypeError):
                continue
    return entries


class Manifest:
    """The manifest while files come in: a line is on disk before the next file is counted."""

    def __init__(self, save_dir: Path) -> None:
        self.path, self.entries = save_dir / MANIFEST, read_manifest(save_dir)
        self.file = open(self.path, "a", encoding="utf-8")
        self.file.write("\n")  # after a line cut off by a kill

    def add(self, entry: Entry) -> None:
        self.entries[entry.name] = entry
        self.file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Write it anew, a line a file, by name."""
        self.file.close()
        lines = (json.dumps(asdict(self.entries[name]), ensure_ascii=False) for name in sorted(self.entries))
        _write_whole(self.path, "".join(line + "\n" for line in lines))


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


def fetch_all(wanted: Iterable[Wanted], save_dir: Path, *, workers: int = 8, limits: Limits | None = None,
              check: Callable[[Path], None] = check_picture, verify: bool = False, quiet: bool = False) -> Summary:
    """Have all wanted files in a folder. verify: look only, fetch nothing. Returns what was done; raises nothing
    that one file's failure causes. Ctrl-C ends it within seconds, and the summary says so.
    """
    if verify and not save_dir.is_dir():
        raise ValueError(f"there is no folder {save_dir} to verify")
    save_dir.mkdir(parents=True, exist_ok=True)
    summary, jobs = Summary(), queue.SimpleQueue()
    number = _enqueue(wanted, save_dir, jobs, summary)
    manifest, done, stop = Manifest(save_dir), queue.SimpleQueue(), threading.Event()
    threads = max(1, min(workers, number))
    with Fetcher(limits, stop, threads, check) as fetcher:
        def work() -> None:
            while not stop.is_set():
                try:
                    path, item = jobs.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put((item.name, *_have(path, item, manifest.entries.get(item.name), fetcher, verify)))
                except Interrupted:
                    return
                except Exception as error:  # a full disk, a folder in the file's place: that file's failure
                    done.put((item.name, "failed", f"{type(error).__name__}: {error}"))

        for _ in range(threads):
            threading.Thread(target=work, daemon=True).start()
        try:
            _gather(number, done, summary, manifest, verify, quiet)
        except KeyboardInterrupt:
            summary.interrupted = True
            stop.set()
            time.sleep(0.5)  # for what is just being renamed
            while not done.empty():
                _count(done.get(), summary, manifest)
    manifest.close()
    if not (verify or summary.interrupted):
        write_missing(save_dir, summary)
    return summary


def _enqueue(wanted: Iterable[Wanted], save_dir: Path, jobs: queue.SimpleQueue, summary: Summary) -> int:
    """Queue every name once; a name asked for with two URLs, or one that leads elsewhere, fails."""
    urls: dict[str, str] = {}
    number = 0
    for item in wanted:
        if item.name in urls:
            if urls[item.name] != item.url:
                summary.failed[f"{item.name} (again)"] = f"asked for with two URLs: {urls[item.name]}, {item.url}"
                summary.wanted += 1
            continue
        urls[item.name] = item.url
        summary.wanted += 1
        try:
            jobs.put((safe_path(save_dir, item.name), item))
            number += 1
        except FetchError as error:
            summary.failed[item.name] = str(error)
    return number


def _have(path: Path, item: Wanted, entry: Entry | None, fetcher: Fetcher, verify: bool) -> tuple[str, object]:
    found = look_at(path, item, entry, fetcher.check)
    if isinstance(found, Entry):
        return "present", found
    if verify:
        return "failed", found
    try:
        fetcher.fetch(item.url, path, item.size, item.sha256)
    except FetchError as error:
        return "failed", f"{item.url}: {error}"
    return "fetched", Entry(item.name, item.url, path.stat().st_size, file_digest(path))


def _gather(number: int, done: queue.SimpleQueue, summary: Summary, manifest: Manifest, verify: bool,
            quiet: bool) -> None:
    from tqdm import tqdm

    with tqdm(total=number, desc="checking" if verify else "fetching", unit="file", disable=quiet) as bar:
        for _ in range(number):
            _count(done.get(), summary, manifest)
            bar.update()
            if summary.failed:
                bar.set_postfix(missing=len(summary.failed))


def _count(result: tuple[str, str, object], summary: Summary, manifest: Manifest) -> None:
    name, state, value = result
    if state == "failed":
        summary.failed[name] = str(value)
        return
    if manifest.entries.get(name) != value:
        manifest.add(value)
    if state == "fetched":
        summary.fetched += 1
        summary.bytes += value.size
    else:
        summary.present += 1


def write_missing(save_dir: Path, summary: Summary) -> None:
    """List what failed in missing.tsv; nothing failed: the list goes."""
    path = save_dir / MISSING
    if summary.failed:
        rows = (f"{name}\t{' '.join(reason.split())}\n" for name, reason in sorted(summary.failed.items()))
        _write_whole(path, "".join(rows))
    else:
        path.unlink(missing_ok=True)


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(path.name + PART)
    partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    partial.replace(path)


def add_fetch_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("fetching")
    group.add_argument("--workers", type=_positive, default=8, help="files side by side (default: %(default)s)")
    group.add_argument("--retries", type=int, default=5, help="in a row, without progress (default: %(default)s)")
    group.add_argument("--timeout", type=float, default=30.0, help="seconds without an answer (default: %(default)s)")
    group.add_argument("--max_bytes", type=_positive, default=100 << 20, help="of one file (default: %(default)s)")
    group.add_argument("--verify", action="store_true", help="fetch nothing: look whether every file is there, whole")


def run(program: str, wanted: Sequence[Wanted], save_dir: Path, args: argparse.Namespace,
        check: Callable[[Path], None] = check_picture) -> None:
    """Fetch or verify as the command line says, print the summary, and end with status 1 if anything is missing."""
    limits = Limits(args.timeout, args.max_bytes, args.retries)
    finish(program, fetch_all(wanted, save_dir, workers=args.workers, limits=limits, check=check,
                              verify=args.verify), save_dir, args.verify)


def finish(program: str, summary: Summary, save_dir: Path, verify: bool) -> None:
    """Print a summary; status 0 if complete, 130 if interrupted, else 1."""
    if verify:
        print(f"{summary.present} of {summary.wanted} files in {save_dir} are there and whole")
    else:
        print(summary.line(save_dir))
    for name, reason in list(summary.failed.items())[:10]:
        print(f"{program}: {name}: {reason}", file=sys.stderr)
    if len(summary.failed) > 10:
        print(f"{program}: ... and {len(summary.failed) - 10} more", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    if summary.interrupted:
        os._exit(130)  # a thread may still wait for a server that does not answer
    if not summary.complete:
        raise SystemExit(1)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value
