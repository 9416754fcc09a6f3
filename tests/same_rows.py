"""When two folders of scores hold the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import contract
from drawn_pairs import read_rows

EXACT = ("key", "image", "caption", "truncated", "error")
WORDS = ("words", "misaligned")


def assert_same_rows(ours: Path, theirs: Path) -> None:
    """Every pair once, in the same files; numbers within the contract, all else the same."""
    assert sorted(path.name for path in ours.iterdir()) == sorted(path.name for path in theirs.iterdir())
    for mine, other in zip(read_rows(ours), read_rows(theirs), strict=True):
        assert {name: mine[name] for name in EXACT} == {name: other[name] for name in EXACT}
        assert_same_numbers(mine, other)


def assert_same_numbers(mine: dict[str, Any], other: dict[str, Any]) -> None:
    """What the model made of a scored pair: the same words, numbers within the contract."""
    assert abs(mine["cosine"] - other["cosine"]) <= contract.COSINE
    assert abs(mine["clip_score"] - other["clip_score"]) <= 2.5 * contract.COSINE
    largest = max(abs(word["attribution"] or 0) for word in other["words"])
    terms = 2 * len(other["words"]) * contract.attribution_tolerance(largest)
    assert abs(mine["f_clip_score"] - other["f_clip_score"]) <= terms + 2.5 * contract.COSINE
    for name in WORDS:
        spans = [[(w["text"], w["start"], w["end"]) for w in one[name]] for one in (mine, other)]
        assert spans[0] == spans[1]
        values = [[w["attribution"] for w in one[name] if w["attribution"] is not None] for one in (mine, other)]
        contract.assert_attributions(*values, largest)
