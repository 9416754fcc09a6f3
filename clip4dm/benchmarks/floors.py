"""What location accuracy would be without looking at the picture: floors to read LA against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clip4dm.benchmarks.base import Benchmark, Sample, ScoredWord


@dataclass(frozen=True)
class _Chosen:
    """A word with a made-up attribution: -1 for the one that is chosen, 0 for all others."""

    text: str
    start: int
    end: int
    attribution: float


def floors(sample: Sample, words: Sequence[ScoredWord], benchmark: Benchmark) -> tuple[float | None, float | None]:
    """(chance, longest): how often a word drawn at random is a hit, and whether the longest word is one.

    words: the sample's, as the benchmark's rule takes them. Of equally long words the last counts, since nouns end
    their phrases. None where a hit does not count, as in a caption that is true.

    >>> from clip4dm.benchmarks.foil import FOIL
    >>> sample = Sample("1", "cup.jpg", "cup", "a cup of coke", True, ((9, 13),), "coke")
    >>> words = [_Chosen(text, 0, 0, 0.0) for text in sample.caption.split()]
    >>> floors(sample, words, FOIL)
    (0.25, 1.0)
    """

    def hit(chosen: int) -> bool | None:
        made_up = [_Chosen(word.text, word.start, word.end, -float(i == chosen)) for i, word in enumerate(words)]
        return benchmark.judge(sample, made_up, "most_negative", 0.0).hit

    if not benchmark.has_location or not sample.misaligned:
        return None, None
    if not words:
        return 0.0, 0.0
    hits = [bool(hit(i)) for i in range(len(words))]
    longest = max(range(len(words)), key=lambda i: (len(words[i].text), i))
    return sum(hits) / len(hits), float(hits[longest])
