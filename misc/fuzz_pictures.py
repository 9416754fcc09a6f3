"""Does load_image hold against damaged and hostile files? Valid files of many formats, changed at random, and read.

    python misc/fuzz_pictures.py --count 20000 --seed 0

File number n is made from seed + n alone: a file that failed is made again with --seed ITS_SEED --count 1 --keep DIR.
Every file must give an eight-bit picture, or one ImageError that names it in one line; nothing may be printed, warned,
left open or started. Exits with 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from fuzzing.picture_checks import SLOW, fuzz
from fuzzing.pictures import valid_files

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, SEED


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=AT_LEAST_ONE, default=20_000, metavar="N", help="files (default: %(default)s)")
    parser.add_argument("--seed", type=SEED, default=0, metavar="N", help="of the first file (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the files that failed here")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("fuzz_pictures.py", args.debug), tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        begun = time.monotonic()
        figures = fuzz(args.count, args.seed, folder, progress=True)
        other = {name: n for name, n in figures.results.items() if name not in ("read", "refused")}
        print(
            f"files      {args.count}, seeds {args.seed} to {args.seed + args.count - 1}, "
            f"made from {len(valid_files())} valid ones, in {time.monotonic() - begun:.0f} s\n"
            f"read       {figures.results['read']}\nrefused    {figures.results['refused']}\n"
            f"other      {sum(other.values())} {other or ''}\nslowest    {figures.slowest:.2f} s, "
            f"over {SLOW:g} s: {[outcome.seed for outcome in figures.slow] or 'none'}\n"
            f"memory     {figures.memory / 2**20:.0f} MiB at most\nfailures   {len(figures.failures)}"
        )
        for outcome in figures.failures:
            print(f"  --seed {outcome.seed} --count 1: {'; '.join(outcome.problems)[:300]}")
    raise SystemExit(1 if figures.failures else 0)


if __name__ == "__main__":
    run_command(main)
