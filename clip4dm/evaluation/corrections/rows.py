"""What was suggested for the words of a run: rows, one a word and list of candidates, and their files.

given: the word is the foil word, which the task tells. called: the detector calls it misaligned by itself. Both may be
so of one word. A list is "kind", the words that the file exchanges with it; "originals", all words that were an
original; or the vocabulary, by its name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

KIND, ORIGINALS = "kind", "originals"
CORRECTIONS, PART = "corrections.json", "suggestions.part.jsonl"


@dataclass(frozen=True)
class Row:
    """A word, a list, and what came of it. start, end: of the word in the caption. candidates: that were read.

    attribution: of the word, by which it is called or not.
    top: (word, gain) of the best. rank: of the original among all, from 1 on; None where it is not among them.
    restored: the best one is the original; same_meaning: or says the same. random, frequent: how often a random
    candidate, and whether the one that is most often an original, says the same as the original.

    >>> top, flags = (("coffee", 0.04), ("tea", 0.02)), {"given": True, "called": True}
    >>> Row("7-foil", "7.jpg", True, "coke", 9, 13, -2e-4, **flags, list="kind", candidates=2, top=top, rank=1,
    ...     restored=True, same_meaning=True).as_dict()["top"][0]
    ('coffee', 0.04)
    """

    id: str
    image: str
    misaligned: bool
    word: str
    start: int
    end: int
    attribution: float
    given: bool
    called: bool
    list: str
    candidates: int
    top: tuple[tuple[str, float], ...]
    rank: int | None
    restored: bool
    same_meaning: bool
    random: float | None = None
    frequent: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """For suggestions.jsonl."""
        return asdict(self)
