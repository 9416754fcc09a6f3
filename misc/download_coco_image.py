"""Fetch COCO val2014 pictures, for FOIL and HAT: the ones a file names, one by one, or all of them as the zip.

    python misc/download_coco_image.py --data_path hat-test.json --save_dir ./data/coco/val2014
    python misc/download_coco_image.py --zip --save_dir ./data/coco/val2014

One by one pays for HAT's 400; for FOIL take the zip (6.2 GB, 40,504 pictures), which is removed once unpacked. A
second call fetches only what is missing or damaged; --verify only looks.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fetching.script import add_fetch_options, finish, limits_of, run, script

from clip4dm.commands.cli import ArgumentParser, run_command
from clip4dm.errors import InputError

if TYPE_CHECKING:
    from fetching.fetch_folder import Wanted

PROGRAM = "download_coco_image.py"
BASE_URL = "http://images.cocodataset.org/val2014/"
ZIP_URL = "http://images.cocodataset.org/zips/val2014.zip"
ZIP_MAX_BYTES = 10 << 30
_NAME = re.compile(r"COCO_val2014_\d{12}\.jpg")


def wanted_pictures(data_path: Path, base_url: str = BASE_URL) -> list[Wanted]:
    """The COCO pictures that a FOIL, HAT or SeeTRUE file names. Errors: BenchmarkError."""
    from fetching.fetch_folder import Wanted

    from clip4dm.benchmarks import BenchmarkError, read_benchmark

    _, reading = read_benchmark(data_path)
    names = dict.fromkeys(PurePosixPath(sample.image).name for sample in reading.samples)
    coco = [name for name in names if _NAME.fullmatch(name)]
    if not coco:
        raise BenchmarkError(f"{data_path} names no COCO val2014 picture (COCO_val2014_............jpg)")
    if len(coco) < len(names):
        print(f"{len(names) - len(coco)} of {len(names)} pictures are not of COCO val2014 and are left aside")
    return [Wanted(name, base_url + name) for name in coco]


def fetch_zip(args: argparse.Namespace) -> None:
    """Fetch the zip (from where an interrupted call stopped), unpack it, and remove it if all of it was well."""
    from fetching.fetch_folder import Wanted, fetch_all, write_missing
    from fetching.folder import ARCHIVE
    from fetching.unpack import check_zip, unpack

    name = PurePosixPath(urlsplit(args.zip_url).path).name or "pictures.zip"
    place = args.save_dir / ARCHIVE
    if place.is_symlink():
        raise InputError(f"{place} is a link, and nothing is written where it leads; remove it")
    summary = fetch_all(
        [Wanted(name, args.zip_url)], place, workers=1, limits=limits_of(args, ZIP_MAX_BYTES), check=check_zip
    )
    if not summary.complete:
        finish(PROGRAM, summary, place, False)
    summary = unpack(place / name, args.save_dir, args.max_bytes)
    if not summary.complete:
        print(
            f"{PROGRAM}: {place / name} is kept: the same command takes from it what is not there yet; if it is "
            "damaged, remove it first, and it is fetched again",
            file=sys.stderr,
        )
        if not summary.stopped:
            write_missing(args.save_dir, summary)
        finish(PROGRAM, summary, args.save_dir, False)
    print(f"{summary.fetched} pictures unpacked into {args.save_dir}, {summary.present} were there")
    write_missing(args.save_dir, summary)
    shutil.rmtree(place)


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", type=Path, metavar="FILE", help="FOIL, HAT or SeeTRUE annotations")
    parser.add_argument("--save_dir", type=Path, default=Path("./data/coco/val2014"), help="default: %(default)s")
    parser.add_argument("--base_url", default=BASE_URL, help="of single pictures (default: %(default)s)")
    parser.add_argument("--zip", action="store_true", help="all of val2014 in one file")
    parser.add_argument("--zip_url", default=ZIP_URL, help="default: %(default)s")
    add_fetch_options(parser)
    args = parser.parse_args(argv)
    if not args.zip and args.data_path is None:
        parser.error("say which pictures: --data_path FILE, or --zip for all of them")
    with script(PROGRAM, args.debug):
        if args.zip and not args.verify:
            fetch_zip(args)
        if args.data_path is not None:
            run(PROGRAM, wanted_pictures(args.data_path, args.base_url), args.save_dir, args)
        elif args.verify:
            verify_all(args)


def verify_all(args: argparse.Namespace) -> None:
    """Look at every picture in the folder; with no file that names them, none can be known to be missing."""
    from fetching.fetch_folder import Wanted

    names = sorted(path.name for path in args.save_dir.glob("*.jpg"))
    print(f"{len(names)} pictures in {args.save_dir}; whole COCO val2014 has 40504")
    run(PROGRAM, [Wanted(name, args.base_url + name) for name in names], args.save_dir, args)


if __name__ == "__main__":
    run_command(main)
