"""Whether a line of samples.jsonl is a record that figures can be made of: every field that is read, and its type."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import numpy as np

from clip4dm.files.reading import is_number

Fields = dict[str, tuple[Callable[[Any], bool], str]]  # name: (whether a value fits, what would)


def check_record(record: Any, layers: int) -> str | None:
    """What is wrong with a record, in a few words, or None. layers: whose attributions it should hold.

    >>> check_record({"id": "a", "image": 5, "skipped": "no such file"}, layers=12)
    "field 'image' is 5, not a string"
    """
    if not isinstance(record, dict):
        return f"a sample is an object with named fields, and this is a {type(record).__name__}"
    fields = _SKIPPED if "skipped" in record else _FIELDS
    wrong = _wrong(record, fields, "")
    if wrong or "skipped" in record:
        return wrong
    label = _LABEL | _RATED if "ratings" in record["label"] else _LABEL
    return _wrong(record["label"], label, "label.") or _wrong_spans(record) or _wrong_attributions(record, layers)


def _wrong(content: dict[str, Any], fields: Fields, prefix: str) -> str | None:
    for name, (fits, wanted) in fields.items():
        if name not in content:
            return f"there is no field {prefix + name!r}"
        if not fits(content[name]):
            return f"field {prefix + name!r} is {_shown(content[name])}, not {wanted}"
    return None


def _wrong_spans(record: dict[str, Any]) -> str | None:
    length, label = len(record["caption"]), record["label"]
    spans = [*label["spans"], *label["tokens"], *(unit[:2] for unit in record["units"])]
    if not all(0 <= start <= end <= length for start, end in spans):
        return f"a span lies outside its caption of {length} characters"
    if len(label["tokens"]) != len(label["token_labels"]):
        return "there are not as many label.token_labels as label.tokens"
    return None


def _wrong_attributions(record: dict[str, Any], layers: int) -> str | None:
    try:
        data = base64.b64decode(record["layer_attributions"], validate=True)
    except (binascii.Error, ValueError):
        return "field 'layer_attributions' is no base64"
    if len(data) != 4 * layers * len(record["units"]):
        return (
            f"field 'layer_attributions' has {len(data)} bytes, not four for each of {layers} layers of "
            f"{len(record['units'])} units"
        )
    if not np.isfinite(np.frombuffer(data, dtype="<f4")).all():
        return "an attribution is no finite number"
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number_or_none(value: Any) -> bool:
    return value is None or is_number(value)


def _are_spans(value: Any) -> bool:
    return isinstance(value, list) and all(_are_ints(pair, 2) for pair in value)


def _are_units(value: Any) -> bool:
    return isinstance(value, list) and all(_are_ints(unit, 4) for unit in value)


def _are_ints(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(type(number) is int for number in value)


def _are_groups(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:60] + "..."


_TEXT, _NUMBER = (_is_text, "a string"), (is_number, "a finite number")
_SKIPPED: Fields = {"id": _TEXT, "image": _TEXT, "skipped": _TEXT}
_FIELDS: Fields = {
    "id": _TEXT,
    "image": _TEXT,
    "image_id": _TEXT,
    "caption": _TEXT,
    "GT_foil_word": _TEXT,
    "cosine": _NUMBER,
    "truncated": (_is_flag, "true or false"),
    "ref_clipscore": (_is_number_or_none, "a finite number or null"),
    "nli_score": (_is_number_or_none, "a finite number or null"),
    "groupby": (_are_groups, "names and strings"),
    "label": (lambda value: isinstance(value, dict), "an object"),
    "units": (_are_units, "a list of [start, end, kind, scored]"),
    "layer_attributions": _TEXT,
}
_LABEL: Fields = {
    "misaligned": (_is_flag, "true or false"),
    "spans": (_are_spans, "a list of [start, end]"),
    "tokens": (_are_spans, "a list of [start, end]"),
    "token_labels": (lambda value: isinstance(value, list) and all(map(_is_flag, value)), "a list of true and false"),
    "gt_score": (_is_number_or_none, "a finite number or null"),
}
_RATED: Fields = {
    "ratings": (lambda value: isinstance(value, list) and all(map(is_number, value)), "a list of finite numbers")
}
