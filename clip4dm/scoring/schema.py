"""The columns of the scores: names and types as docs/scoring.md lists them, and a Detection as a row of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from clip4dm.scoring.pairs import Pair

if TYPE_CHECKING:
    import pyarrow as pa

    from clip4dm.detection import Detection, Word

METADATA_KEY = b"clip4dm"  # of a parquet file's metadata: JSON, see `sink`
Kind: TypeAlias = "str | tuple[tuple[str, Kind], ...]"  # a type's name; of a list of structs its fields
WORD: Kind = (("text", "string"), ("start", "int32"), ("end", "int32"), ("attribution", "float64"))
COLUMNS: tuple[tuple[str, Kind], ...] = (
    ("key", "string"),
    ("image", "string"),
    ("caption", "string"),
    ("cosine", "float64"),
    ("clip_score", "float64"),
    ("f_clip_score", "float64"),
    ("score", "float64"),
    ("misaligned", WORD),
    ("words", WORD),
    ("truncated", "bool"),
    ("error", "string"),
)
NAMES = tuple(name for name, _ in COLUMNS)
PROBABILITIES, SUGGESTIONS = "probabilities", "suggestions"
REPLACEMENT: Kind = (
    ("word", "string"), ("caption", "string"), ("gain", "float64"), ("fits", "bool"),
)  # fmt: skip
SUGGESTION: Kind = (
    ("word", "string"),
    ("start", "int32"),
    ("end", "int32"),
    ("replacements", REPLACEMENT),
    ("leave_out", "float64"),
    ("reason", "string"),
)
FURTHER: dict[str, Kind] = {PROBABILITIES: "float64s", SUGGESTIONS: SUGGESTION}
_ASKED_BY = {PROBABILITIES: "calibration", SUGGESTIONS: "suggest"}  # a setting that is there where it was asked for


def further_columns(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns behind the usual ones that a folder of these settings has, and no other folder.

    >>> further_columns({"epsilon": -5e-5}), further_columns({"suggest": 5})
    ((), ('suggestions',))
    """
    return tuple(name for name in FURTHER if _ASKED_BY[name] in settings)


def schema(carried: pa.Schema | None = None, further: Sequence[str] = ()) -> pa.Schema:
    """The scores' columns, then the carried ones. A carried name that is taken gets "input_" before it.

    further: of FURTHER. Without, the schema is what it was before there were any, so that shards of one folder are
    alike whichever version wrote them.

    >>> import pyarrow
    >>> schema(pyarrow.schema([("caption", pyarrow.string()), ("id", pyarrow.int64())])).names[-3:]
    ['error', 'input_caption', 'id']
    """
    import pyarrow as pa

    own = [pa.field(name, _type(kind)) for name, kind in COLUMNS]
    own += [pa.field(name, _type(FURTHER[name])) for name in further]
    others = [] if carried is None else list(carried)
    names = carried_names([one.name for one in others], further)
    return pa.schema(own + [pa.field(names[one.name], one.type) for one in others])


def carried_names(names: Sequence[str], further: Sequence[str] = ()) -> dict[str, str]:
    """What each carried column is called in the output, where no two differ in case alone: SQL takes these for one.

    >>> carried_names(["Caption", "id", "input_caption"])
    {'Caption': 'input_input_Caption', 'id': 'id', 'input_caption': 'input_caption'}
    >>> carried_names(["id", "ID"])
    {'id': 'input_id', 'ID': 'ID'}
    """
    given, taken = {name.casefold() for name in names}, {*NAMES, *further}
    renamed: dict[str, str] = {}
    for name in sorted(names):  # whatever order a row has them in
        new = name
        while new.casefold() in taken or (new != name and new.casefold() in given):
            new = f"input_{new}"
        taken.add(new.casefold())
        renamed[name] = new
    return {name: renamed[name] for name in names}


def row(
    pair: Pair, detection: Detection | None, error: str | None = None, further: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A pair's row: of its detection, or of the reason why there is none. further: those columns' values.

    >>> unscored = row(Pair("7", None, "photo.jpg", 12), None, "the caption is a number")
    >>> unscored["caption"], unscored["cosine"], unscored["error"]
    ('12', None, 'the caption is a number')
    """
    names = carried_names(list(pair.carried), list(further or ()))
    values: dict[str, Any] = {
        "key": clean(pair.key),
        "image": clean(pair.image_id),
        "caption": _as_text(pair.caption),
        "cosine": None,
        "clip_score": None,
        "f_clip_score": None,
        "score": None,
        "misaligned": None,
        "words": None,
        "truncated": None,
        "error": None if error is None else clean(error),
        **(further or {}),
    }
    if detection is not None:
        values |= {
            "cosine": detection.cosine,
            "clip_score": detection.clip_score,
            "f_clip_score": detection.f_clip_score,
            "score": detection.score,
            "misaligned": [_word(word) for word in detection.misaligned],
            "words": [_word(word) for word in detection.words],
            "truncated": detection.truncated,
        }
    carried = {names[name]: clean(value) if isinstance(value, str) else value for name, value in pair.carried.items()}
    return values | carried


def clean(text: str) -> str:
    """Text that UTF-8 can hold: halves of characters, which a JSON file may hold, as question marks.

    >>> clean("a \\ud83d cup")
    'a ? cup'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def _word(word: Word) -> dict[str, Any]:
    return {"text": clean(word.text), "start": word.start, "end": word.end, "attribution": word.attribution}


def _as_text(caption: object) -> str | None:
    if caption is None or isinstance(caption, str):
        return None if caption is None else clean(caption)
    return clean(json.dumps(caption, ensure_ascii=False, default=str))


def _type(kind: Kind) -> pa.DataType:
    import pyarrow as pa

    if isinstance(kind, str):
        own = {"string": pa.string(), "float64": pa.float64(), "int32": pa.int32(), "bool": pa.bool_()}
        return pa.list_(own["float64"]) if kind == "float64s" else own[kind]
    return pa.list_(pa.struct([pa.field(name, _type(inner)) for name, inner in kind]))


def jsonable(values: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON takes it: NaN, which carried columns may hold, as null; bytes and times as text.

    >>> jsonable({"weight": float("nan"), "key": "7"})
    {'weight': None, 'key': '7'}
    """
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
