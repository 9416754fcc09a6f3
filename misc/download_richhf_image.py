"""Fetch the pictures and prompts of RichHF-18K: they are in Pick-a-Pic v1, by the file names of its tfrecords.

    python misc/download_richhf_image.py --foil_path test.tfrecord --save_dir ./data/richhf/test

Pick-a-Pic is very large: it is streamed, nothing of it is kept but the pictures wanted, and the stream ends when all
are found. An interrupted call is taken up where it stopped. Writes the pictures, and beside the folder the JSON that
main.py reads (./data/richhf/test.json: prompt, tokens, labels, scores, image). Needs: pip install datasets.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import warnings
from pathlib import Path, PurePosixPath

from fetching.script import add_verify_option, finish, json_beside, script

from clip4dm.commands.cli import ArgumentParser, add_debug_option, run_command, signal_of
from clip4dm.errors import InputError

PROGRAM = "download_richhf_image.py"
DATASET = "yuvalkirstain/pickapic_v1"
SPLITS = ("test", "validation", "train")  # the small ones first: the stream ends when all is found
COLUMNS = ("caption", "image_0_uid", "jpg_0", "image_1_uid", "jpg_1")
SCORES = ("misalignment_score", "artifact_score", "aesthetics_score", "overall_score")
SAVE_STATE_EVERY = 2000  # rows


def labelled_rows(tfrecord: Path) -> list[dict]:
    """RichHF's labels, without prompt or picture: filename, labels, and the four scores. Errors: BenchmarkError."""
    from clip4dm.benchmarks import BenchmarkError
    from clip4dm.benchmarks.tfrecord import TFRecordError, read_examples

    rows = []
    try:
        for number, example in enumerate(read_examples(tfrecord)):
            try:
                row = {
                    "filename": example["filename"][0].decode("utf-8", "surrogateescape"),
                    "labels": [int(label) for label in example["prompt_misalignment_label"][0].split()],
                    **{name: float(example[name][0]) for name in SCORES if example.get(name)},
                }
            except (KeyError, IndexError, ValueError, AttributeError) as error:
                raise BenchmarkError(
                    f"{tfrecord}, record {number} is not RichHF's (filename, "
                    f"prompt_misalignment_label): {type(error).__name__} {error}"
                ) from error
            rows.append(row)
    except TFRecordError as error:
        raise BenchmarkError(str(error)) from error
    if not rows:
        raise BenchmarkError(f"{tfrecord} has no record in it")
    return rows


def find_pictures(
    wanted: dict[str, list[str]], save_dir: Path, dataset: str, splits: tuple[str, ...], revision: str | None, store
) -> dict[str, str]:
    """Stream a Pick-a-Pic until every wanted picture is stored. wanted: uid -> file names. Returns uid -> prompt.

    What is found is on disk at once, and every few thousand rows the place in the stream, so that a later call goes
    on from there (unless a picture from before it has since been lost or damaged).
    """
    from fetching.folder import PROMPTS, STATE, JsonLines
    from fetching.hub_rows import local_files, picture_bytes
    from tqdm import tqdm

    prompts = read_prompts(save_dir)
    missing = {uid for uid, names in wanted.items() if uid not in prompts or not all(store.has(name) for name in names)}
    splits = ("train",) if local_files(dataset) else splits
    place = _Place(save_dir / STATE, dataset, revision)
    start = place.resume(missing, splits)
    lines = JsonLines(save_dir / PROMPTS, ({"uid": uid, "prompt": prompt} for uid, prompt in prompts.items()))
    with contextlib.closing(lines), tqdm(desc="searching", unit="row", disable=None if missing else True) as bar:
        for split in splits[splits.index(start["split"]) if start else 0 :]:
            if not missing:
                break
            state = start["state"] if start and start["split"] == split else None
            stream, stream_rows = _open_at(state, dataset, split, revision)
            for number, row in enumerate(stream_rows, 1):
                for uid, data in ((row["image_0_uid"], row["jpg_0"]), (row["image_1_uid"], row["jpg_1"])):
                    if not isinstance(uid, str) or uid not in missing or not isinstance(row["caption"], str):
                        continue
                    # A picture may be there without its prompt: a call was killed between the two.
                    if all([store.has(name) or store.put(name, picture_bytes(data)) for name in wanted[uid]]):
                        prompts[uid] = row["caption"]
                        lines.add({"uid": uid, "prompt": row["caption"]})
                        missing.discard(uid)
                bar.update()
                if number % SAVE_STATE_EVERY == 0:
                    place.save(split, stream.state_dict(), missing)
                    bar.set_postfix(found=len(wanted) - len(missing), wanted=len(wanted))
                if not missing:
                    break
    place.forget()
    return prompts


def _open_at(state: dict | None, dataset: str, split: str, revision: str | None):
    """A stream and its rows, from a recorded place on; from the beginning if that place cannot be found again."""
    from fetching.hub_rows import open_stream, rows_of

    if state is not None:
        stream = open_stream(dataset, split, revision, COLUMNS)
        rows = rows_of(stream, dataset)
        try:
            stream.load_state_dict(state)
            return stream, itertools.chain([next(rows)], rows)
        except StopIteration:
            return stream, iter(())
        except Exception as error:  # of a damaged state the library raises anything
            warnings.warn(f"the search begins anew, for its place is lost: {error}", stacklevel=2)
    stream = open_stream(dataset, split, revision, COLUMNS)
    return stream, rows_of(stream, dataset)


def read_prompts(save_dir: Path) -> dict[str, str]:
    """uid -> prompt, as found so far."""
    from fetching.folder import PROMPTS, read_json_lines

    rows = ((row.get("uid"), row.get("prompt")) for row in read_json_lines(save_dir / PROMPTS))
    return {uid: prompt for uid, prompt in rows if isinstance(uid, str) and isinstance(prompt, str)}


class _Place:
    """Where in the stream a search stood, and what it still lacked then."""

    def __init__(self, path: Path, dataset: str, revision: str | None) -> None:
        self.path, self.source = path, {"dataset": dataset, "revision": revision}

    def resume(self, missing: set[str], splits: tuple[str, ...]) -> dict | None:
        """split and state, if they are of this search. What the file says is not believed further than it fits."""
        from fetching.folder import read_json_object

        said = read_json_object(self.path)
        lacked = said.get("missing")
        if (
            said.get("source") == self.source
            and said.get("split") in splits
            and isinstance(said.get("state"), dict)
            and isinstance(lacked, list)
            and missing <= {uid for uid in lacked if isinstance(uid, str)}
        ):
            return said
        return None

    def save(self, split: str, state: dict, missing: set[str]) -> None:
        from fetching.hub_rows import write_json

        write_json(self.path, {"source": self.source, "split": split, "state": state, "missing": sorted(missing)})

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def uid_of(filename: str) -> str:
    """The Pick-a-Pic image uid that a RichHF file name carries ("train/UID.png" -> UID)."""
    return PurePosixPath(filename).stem


def labelled_pair(row: dict, prompt: str) -> dict:
    """A row of RichHF with its picture and prompt, as main.py reads it."""
    from clip4dm.benchmarks.richhf import token_spans

    tokens = [prompt[start:end] for start, end in token_spans(prompt)]
    return {"filename": row["filename"], "image": row["filename"], "prompt": prompt, "tokens": tokens, **row}


def download(args: argparse.Namespace) -> None:
    from fetching.fetch_folder import Summary, write_missing
    from fetching.hub_rows import PictureStore, pinned_revision, write_json, write_source

    rows = labelled_rows(args.foil_path)
    wanted: dict[str, list[str]] = {}
    for row in rows:
        wanted.setdefault(uid_of(row["filename"]), [])
        if row["filename"] not in wanted[uid_of(row["filename"])]:
            wanted[uid_of(row["filename"])].append(row["filename"])
    names = [name for group in wanted.values() for name in group]
    if args.verify and not args.save_dir.is_dir():
        raise InputError(f"there is no folder {args.save_dir} to verify")
    store = PictureStore(args.save_dir, args.dataset, writing=not args.verify)
    summary = Summary(wanted=len(names))
    before = {name for name in names if store.has(name)}
    try:
        if args.verify:
            prompts = read_prompts(args.save_dir)
        else:
            revision = pinned_revision(args.dataset, args.revision, args.save_dir)
            write_source(args.save_dir, dataset=args.dataset, revision=revision)
            prompts = find_pictures(wanted, args.save_dir, args.dataset, tuple(args.splits), revision, store)
    except KeyboardInterrupt as error:
        summary.interrupted, prompts = signal_of(error), {}
    finally:
        store.close()
    there = {name for name in names if uid_of(name) in prompts and store.has(name)}
    summary.present, summary.fetched = len(there & before), len(there - before)
    summary.bytes = sum(store.manifest.entries[name].size for name in there - before)
    if not summary.interrupted:
        summary.failed = {name: store.failed.get(name, "not in the data set") for name in names if name not in there}
    if not (args.verify or summary.interrupted):
        found = [row for row in rows if row["filename"] in there]
        json_path = args.json_path or json_beside(args.save_dir)
        write_json(json_path, [labelled_pair(row, prompts[uid_of(row["filename"])]) for row in found])
        write_missing(args.save_dir, summary)
        print(f"{len(found)} of {len(rows)} rows: {json_path}")
    finish(PROGRAM, summary, args.save_dir, args.verify)


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foil_path", type=Path, required=True, metavar="FILE", help="a tfrecord of RichHF-18K")
    parser.add_argument("--save_dir", type=Path, default=Path("./data/richhf/test"), help="default: %(default)s")
    parser.add_argument("--json_path", type=Path, metavar="FILE", help="default: SAVE_DIR.json")
    parser.add_argument(
        "--dataset",
        default=DATASET,
        metavar="NAME",
        help="Pick-a-Pic v1 on the hub, or its parquet files: a file, folder or pattern (default: %(default)s)",
    )
    parser.add_argument("--splits", nargs="+", default=SPLITS, help="of a hub data set (default: %(default)s)")
    parser.add_argument("--revision", help="of a hub data set (default: the one recorded, else the newest)")
    add_verify_option(parser)
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with script(PROGRAM, args.debug):
        download(args)


if __name__ == "__main__":
    run_command(main)
