"""What the download scripts share on the command line: options, summaries, errors as a line, an end that is clean."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from clip4dm.commands.cli import add_debug_option, one_line_errors, signal_of, tell
from clip4dm.evaluation.options import Finite, Whole

if TYPE_CHECKING:  # imported while a script runs, where Ctrl-C is a line; and --help is quick
    from fetching.fetch import Limits
    from fetching.fetch_folder import Summary, Wanted

WORKERS, RETRIES, BYTES = Whole(1, 256), Whole(0, 1000), Whole(1, 1 << 50)
SECONDS = Finite("30", lowest=0.01, highest=86400, what="a number of seconds")


@contextlib.contextmanager
def script(program: str, debug: bool = False) -> Iterator[None]:
    """Expected errors end a script with one line and status 2; an interruption says that the same command goes on.

    debug: errors with their traceback instead. The rest of how it ends is `clip4dm.commands.cli.run_command`'s.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding does not have
    try:
        with one_line_errors(program, debug):
            yield
    except KeyboardInterrupt as error:
        tell(f"\n{program}: interrupted: the same command goes on")
        raise SystemExit(128 + signal_of(error)) from None


def json_beside(save_dir: Path) -> Path:
    """SAVE_DIR.json, also of "." and "..": what main.py reads of the pictures in a folder."""
    named = save_dir if save_dir.name not in ("", "..") else save_dir.resolve()
    return named.parent / (named.name + ".json")


def url_below(base_url: str, name: str) -> str:
    """Where a file of a name lies under a base URL."""
    return base_url + quote(name, errors="replace")


def add_fetch_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("fetching")
    group.add_argument("--workers", type=WORKERS, default=8, help="files side by side (default: %(default)s)")
    group.add_argument("--retries", type=RETRIES, default=5, help="in a row, without progress (default: %(default)s)")
    group.add_argument(
        "--timeout",
        type=SECONDS,
        default=30.0,
        help="seconds without an answer; twice that for its headers (default: %(default)s)",
    )
    group.add_argument("--max_bytes", type=BYTES, default=100 << 20, help="of one file (default: %(default)s)")
    add_verify_option(group)
    add_debug_option(parser)


def add_verify_option(group: argparse._ActionsContainer) -> None:
    group.add_argument("--verify", action="store_true", help="fetch nothing: look whether every file is there, whole")


def limits_of(args: argparse.Namespace, max_bytes: int | None = None) -> Limits:
    from fetching.fetch import Limits

    return Limits(args.timeout, max_bytes or args.max_bytes, args.retries)


def run(program: str, wanted: Sequence[Wanted], save_dir: Path, args: argparse.Namespace) -> None:
    """Fetch or verify as the command line says, print the summary, and end with status 1 if anything is missing."""
    from fetching.fetch_folder import fetch_all

    summary = fetch_all(wanted, save_dir, workers=args.workers, limits=limits_of(args), verify=args.verify)
    finish(program, summary, save_dir, args.verify)


def finish(program: str, summary: Summary, save_dir: Path, verify: bool) -> None:
    """Print a summary; status 0 if complete, 128 + the signal if interrupted, else 1."""
    from fetching.folder import printable

    if verify:
        print(f"{summary.present} of {summary.wanted} files in {save_dir} are there and whole")
    else:
        print(summary.line(save_dir))
    for name, reason in list(summary.failed.items())[:10]:
        print(f"{program}: {printable(name[:120])}: {printable(reason)}", file=sys.stderr)
    if len(summary.failed) > 10:
        print(f"{program}: ... and {len(summary.failed) - 10} more", file=sys.stderr)
    if summary.interrupted:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(128 + summary.interrupted)  # a thread may still wait for a name server that does not answer
    if not summary.complete:
        raise SystemExit(1)
