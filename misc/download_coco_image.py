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
import zipfile
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from misc.fetch import FetchError, Limits
from misc.fetch_folder import Wanted, fetch_all
from misc.folder import safe_path
from misc.script import add_fetch_options, finish, run, script

PROGRAM = "download_coco_image.py"

BASE_URL = "http://images.cocodataset.org/val2014/"
ZIP_URL = "http://images.cocodataset.org/zips/val2014.zip"
ZIP_MAX_BYTES = 10 << 30
_NAME = re.compile(r"COCO_val2014_\d{12}\.jpg")


def wanted_pictures(data_path: Path, base_url: str = BASE_URL) -> list[Wanted]:
    """The COCO pictures that a FOIL, HAT or SeeTRUE file names. Errors: BenchmarkError."""
    from clip4dm.benchmarks import BenchmarkError, read_benchmark

    _, reading = read_benchmark(data_path)
    names = dict.fromkeys(PurePosixPath(sample.image).name for sample in reading.samples)
    coco = [name for name in names if _NAME.fullmatch(name)]
    if not coco:
        raise BenchmarkError(f"{data_path} names no COCO val2014 picture (COCO_val2014_............jpg)")
    if len(coco) < len(names):
        print(f"{len(names) - len(coco)} of {len(names)} pictures are not of COCO val2014 and are left aside")
    return [Wanted(name, base_url + name) for name in coco]


def check_zip(path: Path) -> None:
    """Whether a zip's directory can be read; its members' checksums are proved when they are unpacked."""
    if not zipfile.is_zipfile(path):
        raise FetchError("not a whole zip file", passing=True)


def unpack(archive_path: Path, save_dir: Path, max_bytes: int) -> tuple[int, dict[str, str]]:
    """Unpack the pictures of a zip into a folder, each under a temporary name first. Returns (unpacked, failures).

    Only members that are pictures by name are taken, without their folders; one that is there in full size is kept.
    """
    from tqdm import tqdm

    unpacked, failed = 0, {}
    with zipfile.ZipFile(archive_path) as archive:
        members = [member for member in archive.infolist() if member.filename.lower().endswith((".jpg", ".png"))]
        for member in tqdm(members, "unpacking", unit="file"):
            name = PurePosixPath(member.filename).name
            try:
                path = safe_path(save_dir, name)
                if member.file_size > max_bytes:
                    raise FetchError(f"{member.file_size} bytes, over the limit of {max_bytes} (--max_bytes)")
                if path.is_file() and path.stat().st_size == member.file_size:
                    continue
                partial = path.with_name(path.name + ".part")
                with archive.open(member) as source, open(partial, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)  # raises BadZipFile on a wrong checksum at the end
                partial.replace(path)
                unpacked += 1
            except (FetchError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
                failed[name] = f"{type(error).__name__}: {error}"
                (save_dir / (name + ".part")).unlink(missing_ok=True)
    return unpacked, failed


def fetch_zip(args: argparse.Namespace) -> None:
    """Fetch the zip (from where an interrupted call stopped), unpack it, remove it."""
    name = PurePosixPath(args.zip_url).name
    place = args.save_dir / ".zip"
    limits = Limits(args.timeout, ZIP_MAX_BYTES, args.retries)
    summary = fetch_all([Wanted(name, args.zip_url)], place, workers=1, limits=limits, check=check_zip)
    if not summary.complete:
        finish("download_coco_image.py", summary, place, False)
    unpacked, failed = unpack(place / name, args.save_dir, args.max_bytes)
    print(f"{unpacked} pictures unpacked into {args.save_dir}")
    if failed:
        listed = "; ".join(f"{member}: {reason}" for member, reason in list(failed.items())[:5])
        raise ValueError(f"{len(failed)} members of {place / name} could not be unpacked ({listed}); "
                         "remove it and run the same command to fetch it again")
    shutil.rmtree(place)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", type=Path, metavar="FILE", help="FOIL, HAT or SeeTRUE annotations")
    parser.add_argument("--save_dir", type=Path, default=Path("./data/coco/val2014"), help="default: %(default)s")
    parser.add_argument("--base_url", default=BASE_URL, help="of single pictures (default: %(default)s)")
    parser.add_argument("--zip", action="store_true", help="all of val2014 in one file")
    parser.add_argument("--zip_url", default=ZIP_URL, help="default: %(default)s")
    add_fetch_options(parser)
    with script(PROGRAM):
        args = parser.parse_args(argv)
        if not args.zip and args.data_path is None:
            parser.error("say which pictures: --data_path FILE, or --zip for all of them")
        if args.zip and not args.verify:
            fetch_zip(args)
        if args.data_path is not None:
            run(PROGRAM, wanted_pictures(args.data_path, args.base_url), args.save_dir, args)
        elif args.verify:
            verify_all(args)


def verify_all(args: argparse.Namespace) -> None:
    """Look at every picture in the folder; with no file that names them, none can be known to be missing."""
    names = sorted(path.name for path in args.save_dir.glob("*.jpg"))
    print(f"{len(names)} pictures in {args.save_dir}; whole COCO val2014 has 40504")
    run(PROGRAM, [Wanted(name, args.base_url + name) for name in names], args.save_dir, args)


if __name__ == "__main__":
    main()
