"""Parts of a JSON file as the fields of dataclasses: no more of them and no fewer, each of its type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from clip4dm.files.reading import is_number

LARGEST_CURVE = 100_000  # corners


class Damaged(Exception):
    """The name of a field that is missing or cannot be."""


def must(holds: bool, name: str) -> None:
    """Errors: Damaged.

    >>> must(True, "rule.alpha")
    """
    if not holds:
        raise Damaged(name)


def fields_of(
    content: Mapping[str, Any], part: str, kind: type, unsaid: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The fields of a dataclass, of content's part of this name; "a.b" is the part b of what a part a holds.

    unsaid: fields that may be left out. Errors: Damaged.

    >>> from clip4dm.calibration.curve import Curve
    >>> fields_of({"curve": {"attributions": [0.0], "probabilities": [0.5]}}, "curve", Curve)
    Traceback (most recent call last):
    clip4dm.calibration.fields.Damaged: curve.kind
    """
    found = content.get(part.rpartition(".")[2])
    names = {field.name: str(field.type) for field in fields(kind)}
    if not isinstance(found, dict):
        raise Damaged(part)
    for name in sorted(names.keys() ^ found.keys()):
        must(name in names and f"{part}.{name}" in unsaid, f"{part}.{name}")
    for name, value in found.items():
        must(_fits(value, names[name]), f"{part}.{name}")
    return found


def figures_of(content: Any, part: str) -> dict[str, dict[str, float | int | None]]:
    """Figures with their intervals, {name: {value, low, high, n}}. Errors: Damaged.

    >>> figures_of({"risk": {"value": 0.1, "low": None, "high": None, "n": 7}}, "held_out")["risk"]["n"]
    7
    """
    must(isinstance(content, dict), part)
    for name, figure in content.items():
        must(isinstance(figure, dict) and figure.keys() == {"value", "low", "high", "n"}, f"{part}.{name}")
        must(all(value is None or is_number(value) for value in figure.values()), f"{part}.{name}")
    return dict(content)


def _fits(value: Any, kind: str) -> bool:
    """Whether a value of JSON is of a dataclass field's type, by its name; what it holds is looked at later."""
    if kind.endswith(" | None"):
        return value is None or _fits(value, kind.removesuffix(" | None"))
    if kind == "tuple[float, ...]":
        return isinstance(value, list) and 0 < len(value) <= LARGEST_CURVE and all(map(is_number, value))
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    if kind in ("Curve", "Figures"):
        return isinstance(value, dict)
    return is_number(value) if kind == "float" else isinstance(value, str)
