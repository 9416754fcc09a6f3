"""Which columns of a table hold pictures, captions and keys, and what a row's values mean."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clip4dm.scoring.inputs.opening import join
from clip4dm.scoring.pairs import Pair, ScoringError

# Usual names, the likelier first.
IMAGE_NAMES = (
    "image", "image_path", "img", "img_path", "path", "image_file", "filepath", "file_path", "filename", "file_name",
    "image_name", "jpg", "png", "webp", "picture",
)  # fmt: skip
CAPTION_NAMES = ("caption", "text", "txt", "prompt", "image_caption", "sentence", "description", "title", "alt_text")
KEY_NAMES = ("key", "__key__", "uid", "pair_id")
ROW_NUMBER = "row_number"  # --pair_key for no column: several rows of a table may share an identifier
URL_NAMES = ("url", "image_url")
DOWNLOAD = (
    "pictures are not fetched from the web here: download them first, with img2dataset for example "
    "(https://github.com/rom1504/img2dataset), whose tar shards are read as they are"
)


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns. key: None where the rows' numbers serve. others: carried through.

    >>> find_columns(["id", "file_name", "text"], "captions.csv")
    Columns(image='file_name', caption='text', key=None, others=('id',))
    """

    image: str
    caption: str
    key: str | None
    others: tuple[str, ...]


def find_columns(
    names: Sequence[str],
    path: str,
    image_key: str | None = None,
    caption_key: str | None = None,
    pair_key: str | None = None,
) -> Columns:
    """Columns by the names given, or else by usual ones. path: for the error. pair_key: ROW_NUMBER for no column.

    Errors: ScoringError, with the names there are.

    >>> find_columns(["a", "b"], "x.csv", image_key="a", caption_key="b").image
    'a'
    >>> find_columns(["uid", "image", "text"], "x.csv", pair_key="row_number").others
    ('uid',)
    """
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ScoringError(f"{path} has several columns named {doubled[0]!r}; rename them")
    image = _pick(names, image_key, IMAGE_NAMES)
    if image is None and image_key is None and _pick(names, None, URL_NAMES):
        raise ScoringError(f"{path} has addresses of pictures, and no pictures: {DOWNLOAD}")
    caption = _pick(names, caption_key, CAPTION_NAMES)
    numbered = pair_key == ROW_NUMBER and pair_key not in names
    key = None if numbered else _pick(names, pair_key, KEY_NAMES)
    for found, option, given in (
        (image, "--image_key", image_key),
        (caption, "--caption_key", caption_key),
        (key or numbered or pair_key is None, "--pair_key", pair_key),
    ):
        if not found:
            wanted = f"no column {given!r}" if given else f"no column that looks like {option[2:-4]}s"
            raise ScoringError(f"{path} has {wanted}; it has {', '.join(map(repr, names))}: name one by {option}")
    assert image is not None and caption is not None
    return Columns(image, caption, key, tuple(name for name in names if name not in (image, caption, key)))


def _pick(names: Sequence[str], given: str | None, usual: Sequence[str]) -> str | None:
    if given is not None:
        return given if given in names else None
    by_lower = {name.strip().lower(): name for name in reversed(names)}
    return next((by_lower[name] for name in usual if name in by_lower), None)


def as_pair(values: Mapping[str, Any], columns: Columns, number: int, img_dir: str) -> Pair:
    """A row as a pair. number: of the row in the whole input, from 0 on. img_dir: where relative paths begin.

    >>> columns = Columns("image", "caption", None, ("id",))
    >>> pair = as_pair({"image": "a.jpg", "caption": "a red car", "id": 3}, columns, 7, "photos")
    >>> pair.key, pair.image, pair.image_id, pair.carried
    ('00000007', 'photos/a.jpg', 'a.jpg', {'id': 3})
    """
    value, key = values.get(columns.image), None if columns.key is None else values.get(columns.key)
    carried = {name: values.get(name) for name in columns.others}
    image: str | bytes | None = None
    image_id, error = "", None
    if isinstance(value, Mapping):  # as the library `datasets` stores pictures: {"bytes": ..., "path": ...}
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) and value:
        image, image_id = value, f"sha256:{hashlib.sha256(value).hexdigest()}"
    elif isinstance(value, str) and value.strip():
        image, image_id, error = join(img_dir, value), value, url_error(value)
    else:
        error = f"the column {columns.image!r} holds no picture: {value!r:.60}"
    return Pair(
        f"{number:08d}" if key in (None, "") else str(key), image, image_id, values.get(columns.caption), carried, error
    )


def url_error(value: str) -> str | None:
    """Why an address of the web is refused; None for what is none.

    >>> url_error("photo.jpg") is None
    True
    """
    return f"{value[:200]} is an address: {DOWNLOAD}" if value.lower().startswith(("http://", "https://")) else None
