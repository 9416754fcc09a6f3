"""Fetch the pictures of SeeTRUE-Feedback, from the gated data set on the Hugging Face hub or by the CSV's URLs.

    hf auth login                                      # once; and accept the terms on the data set's page
    python misc/download_seetrue_image.py --save_dir ./data/seetrue
    python misc/download_seetrue_image.py --csv_path SeeTRUE_Feedback.csv --save_dir ./data/seetrue

Writes the pictures, and beside the folder the JSON that main.py reads (./data/seetrue.json). The data set's commit is
recorded in SAVE_DIR/source.json, and later calls keep to it. Needs: pip install datasets (not with --csv_path).
"""

from __future__ import annotations

import argparse
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fetching.script import add_fetch_options, finish, json_beside, limits_of, script

from clip4dm.commands.cli import ArgumentParser, run_command, signal_of
from clip4dm.errors import InputError

if TYPE_CHECKING:
    from fetching.fetch_folder import Summary

PROGRAM = "download_seetrue_image.py"
DATASET = "mismatch-quest/SeeTRUE-Feedback"
GATED_HELP = (
    f"It is gated: accept its terms at https://huggingface.co/datasets/{DATASET}, make a token with read "
    "access, and give it by `hf auth login` or as HF_TOKEN."
)


def picture_name(row: dict, number: int) -> str:
    """What a row's picture is called: its image_name, else a name of its source and id."""
    if isinstance(row.get("image_name"), str) and row["image_name"]:
        return row["image_name"]
    stored = row["image"].get("path") if isinstance(row.get("image"), dict) else None
    if isinstance(stored, str) and PurePosixPath(stored).name:
        return PurePosixPath(stored).name
    return f"{row.get('dataset_source', 'seetrue')}_{number}.jpg"


def from_hub(args: argparse.Namespace) -> tuple[list[dict], Summary]:
    """Stream the data set into the folder. Returns the rows whose picture is there, and how it went."""
    from fetching.fetch_folder import Summary
    from fetching.hub_rows import PictureStore, open_stream, picture_bytes, pinned_revision, rows_of, write_source
    from tqdm import tqdm

    revision = pinned_revision(args.dataset, args.revision, args.save_dir, GATED_HELP)
    stream = open_stream(args.dataset, args.split, revision, gated_help=GATED_HELP)
    store, summary, rows = PictureStore(args.save_dir, args.dataset), Summary(), []
    write_source(args.save_dir, dataset=args.dataset, revision=revision, split=args.split)
    seen: set[str] = set()
    try:
        for number, row in enumerate(tqdm(rows_of(stream, args.dataset, GATED_HELP), "reading", unit="row")):
            name = picture_name(row, number)
            data = picture_bytes(row.get("image"))
            if name not in seen:
                seen.add(name)
                summary.wanted += 1
                if store.has(name):
                    summary.present += 1
                elif store.put(name, data):
                    summary.fetched, summary.bytes = summary.fetched + 1, summary.bytes + len(data)
            if name not in store.failed:
                rows.append(
                    {
                        "id": number,
                        "image": name,
                        **{key: value for key, value in row.items() if key != "image" and not isinstance(value, bytes)},
                    }
                )
    except KeyboardInterrupt as error:
        summary.interrupted = signal_of(error)
    finally:
        store.close()
    summary.failed = dict(store.failed)
    return rows, summary


def from_csv(args: argparse.Namespace) -> tuple[list[dict], Summary]:
    """Fetch the CSV's pictures by their URLs. Returns as from_hub."""
    from fetching.fetch_folder import Wanted, fetch_all

    from clip4dm.benchmarks.seetrue import read_csv

    rows = read_csv(args.csv_path)
    lacking = {"image_name", "image_url"} - set(rows[0] if rows else ())
    if lacking:
        raise InputError(f"{args.csv_path} has no column {', '.join(sorted(lacking))}; is it SeeTRUE_Feedback.csv?")
    summary = fetch_all(
        [Wanted(row["image_name"], row["image_url"]) for row in rows],
        args.save_dir,
        workers=args.workers,
        limits=limits_of(args),
        verify=args.verify,
    )
    return [
        {"id": number, "image": row["image_name"], **row}
        for number, row in enumerate(rows)
        if row["image_name"] not in summary.failed
    ], summary


def verify_rows(args: argparse.Namespace, json_path: Path) -> Summary:
    """Look whether the pictures of the JSON that an earlier call wrote are there and whole."""
    from fetching.fetch_folder import Wanted, fetch_all

    from clip4dm.benchmarks import BenchmarkError
    from clip4dm.benchmarks.fields import field, read_annotations

    rows = read_annotations(json_path)
    if not isinstance(rows, list):
        raise BenchmarkError(f"{json_path} is no list of rows; the same command without --verify writes it anew")
    names = dict.fromkeys(field(row, "image", str, f"{json_path}, row {number}") for number, row in enumerate(rows))
    return fetch_all([Wanted(name, args.dataset) for name in names], args.save_dir, workers=args.workers, verify=True)


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save_dir", type=Path, default=Path("./data/seetrue"), help="default: %(default)s")
    parser.add_argument("--json_path", type=Path, metavar="FILE", help="default: SAVE_DIR.json")
    parser.add_argument("--csv_path", type=Path, metavar="FILE", help="SeeTRUE_Feedback.csv: fetch by its URLs instead")
    parser.add_argument(
        "--dataset",
        default=DATASET,
        metavar="NAME",
        help="a name on the hub, or parquet files: a file, folder or pattern (default: %(default)s)",
    )
    parser.add_argument("--split", default="test", help="of a hub data set (default: %(default)s)")
    parser.add_argument("--revision", help="of a hub data set (default: the one recorded, else the newest)")
    add_fetch_options(parser)
    args = parser.parse_args(argv)
    with script(PROGRAM, args.debug):
        json_path = args.json_path or json_beside(args.save_dir)
        if args.verify and not args.csv_path:
            finish(PROGRAM, verify_rows(args, json_path), args.save_dir, True)
            return
        rows, summary = from_csv(args) if args.csv_path else from_hub(args)
        if not (args.verify or summary.interrupted):
            from fetching.fetch_folder import write_missing
            from fetching.hub_rows import write_json

            write_json(json_path, rows)
            write_missing(args.save_dir, summary)
            print(f"{len(rows)} rows: {json_path}")
        finish(PROGRAM, summary, args.save_dir, args.verify)


if __name__ == "__main__":
    run_command(main)
