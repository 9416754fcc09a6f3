"""Which kind of input the words of a command line mean, and the input opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clip4dm.scoring.formats import INPUT_FORMATS
from clip4dm.scoring.inputs.base import Input
from clip4dm.scoring.inputs.folder import open_folder
from clip4dm.scoring.inputs.opening import expand, kind
from clip4dm.scoring.inputs.table import open_tables
from clip4dm.scoring.inputs.tars import open_tars
from clip4dm.scoring.pairs import ScoringError

_ENDINGS = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".parquet": "parquet",
    ".pq": "parquet", ".tar": "tar", ".tar.gz": "tar", ".tgz": "tar",
}  # fmt: skip

_MEANINGLESS = {"folder": ("image_key", "caption_key", "pair_key", "img_dir"), "tar": ("image_key", "img_dir")}


def open_input(given: Sequence[str], input_format: str | None = None, **options: Any) -> Input:
    """What is to be scored, as shards. given: a table or several, a folder, tar files; with wildcards and {000..099}.

    input_format: of INPUT_FORMATS; None: by the files' names. options: image_key, caption_key, pair_key, img_dir,
    shard_size (see `open_tables`). Errors: ScoringError.

        open_input(["shards/{00000..00099}.tar"]).shards()
    """
    paths = expand(given)
    form = input_format or recognised(paths)
    for name in _MEANINGLESS.get(form, ()):
        if options.get(name) is not None:
            raise ScoringError(f"--{name} means nothing to an input of the kind {form}; leave it away")
    if form == "folder":
        return open_folder(paths, given, **options)
    if form == "tar":
        return open_tars(paths, given, **options)
    return open_tables(paths, form, given, **options)


def recognised(paths: Sequence[str]) -> str:
    """One of INPUT_FORMATS. Errors: ScoringError where the names do not say, or say different ones.

    >>> recognised(["a/00000.tar", "a/00001.tar"]), recognised(["captions.tsv"])
    ('tar', 'tsv')
    """
    kinds = {path: _kind(path) for path in paths}
    if not kinds:
        raise ScoringError("no input was given")
    first, *others = set(kinds.values())
    if others:
        raise ScoringError(f"inputs of several kinds ({', '.join(sorted({first, *others}))}): score them one by one")
    return first


def _kind(path: str) -> str:
    for ending, form in _ENDINGS.items():
        if path.lower().endswith(ending):
            return form
    found = kind(path)
    if found == "folder":
        return "folder"
    if found is None:
        raise ScoringError(f"no such file or folder: {path}")
    raise ScoringError(
        f"{path}: its name does not say what it is; say so by --input_format: {', '.join(INPUT_FORMATS)}"
    )
