"""Fetch the pictures of nocaps-FOIL: Open Images validation pictures, as nocaps serves them.

    python misc/download_nocaps_image.py --foil_path nocaps-val-foil.json --meta_path nocaps_val_4500_captions.json \\
        --save_dir ./data/nocaps

foil_path: ALOHa's file, whose image_path names the pictures wanted. meta_path: nocaps' validation file, whose images
give the URL of every file_name. A second call fetches only what is missing or damaged; --verify only looks.
"""

from __future__ import annotations

import argparse
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fetching.script import add_fetch_options, run, script, url_below

from clip4dm.commands.cli import ArgumentParser, run_command

if TYPE_CHECKING:
    from fetching.fetch_folder import Wanted

PROGRAM = "download_nocaps_image.py"
BASE_URL = "https://s3.amazonaws.com/nocaps/val/"


def wanted_pictures(foil_path: Path, meta_path: Path, base_url: str = BASE_URL) -> list[Wanted]:
    """Every picture that the foil file names, with its URL by the meta file. Errors: BenchmarkError.

    base_url: where a picture lies whose row gives no URL.
    """
    from fetching.fetch_folder import Wanted

    from clip4dm.benchmarks import BenchmarkError
    from clip4dm.benchmarks.fields import field, read_annotations

    urls = {}
    for number, row in enumerate(field(read_annotations(meta_path), "images", list, str(meta_path))):
        name = field(row, "file_name", str, f"{meta_path}, images[{number}]")
        urls[name] = row.get("coco_url") or row.get("url") or url_below(base_url, name)
    rows = read_annotations(foil_path)
    if not isinstance(rows, list) or not rows:
        raise BenchmarkError(f"{foil_path} is not nocaps-FOIL's list of {{image_path, baseline, foil, ...}}")
    paths = dict.fromkeys(
        field(row, "image_path", str, f"{foil_path}, row {number}") for number, row in enumerate(rows)
    )
    unknown = [path for path in paths if PurePosixPath(path).name not in urls]
    if unknown:
        raise BenchmarkError(
            f"{len(unknown)} of {len(paths)} pictures of {foil_path} are not among the {len(urls)} "
            f"images of {meta_path} (the first: {unknown[0]!r}); is it nocaps' validation file?"
        )
    return [Wanted(path, urls[PurePosixPath(path).name]) for path in paths]


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foil_path", type=Path, required=True, metavar="FILE", help="nocaps-val-foil.json")
    parser.add_argument("--meta_path", type=Path, required=True, metavar="FILE", help="nocaps_val_4500_captions.json")
    parser.add_argument("--save_dir", type=Path, default=Path("./data/nocaps"), help="default: %(default)s")
    parser.add_argument("--base_url", default=BASE_URL, help="of pictures without a URL (default: %(default)s)")
    add_fetch_options(parser)
    args = parser.parse_args(argv)
    with script(PROGRAM, args.debug):
        run(PROGRAM, wanted_pictures(args.foil_path, args.meta_path, args.base_url), args.save_dir, args)


if __name__ == "__main__":
    run_command(main)
