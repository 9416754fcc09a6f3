"""How often each word is called misaligned, and how often rightly, over many captions."""

from __future__ import annotations

from dataclasses import dataclass

from clip4dm.report.runs.sources.base import Shown

LONGEST = 60  # characters by which words are told apart


@dataclass
class Count:
    """Of a word, in lower case: captions' words, those called misaligned, of these the labelled ones, and those in
    captions that are true. lowest, place: its lowest attribution when it was called misaligned, and of which pair.

    >>> Count("coke", there=10, called=4, right=3).share
    0.4
    """

    word: str
    there: int = 0
    called: int = 0
    right: int = 0
    on_true: int = 0
    lowest: float = 0.0
    place: int = -1

    @property
    def share(self) -> float:
        """Called misaligned, of all."""
        return self.called / self.there


class WordCounts:
    """Counts of all words that were scored.

    counts = WordCounts()
    counts.add(pair, place=0)
    [count.word for count in counts.most_called(10)]
    """

    def __init__(self) -> None:
        self._counts: dict[str, Count] = {}

    def add(self, pair: Shown, place: int) -> None:
        """place: of the pair among all."""
        true = pair.label is not None and not pair.label.misaligned
        for word in pair.words:
            if word.attribution is None:
                continue
            name = word.text.lower()[:LONGEST]
            count = self._counts.get(name)
            if count is None:
                count = self._counts[name] = Count(name)
            count.there += 1
            if word.misaligned:
                count.called += 1
                count.right += pair.labelled(word)
                count.on_true += true
                if count.place < 0 or word.attribution < count.lowest:
                    count.lowest, count.place = word.attribution, place

    def most_called(self, most: int) -> list[Count]:
        """Words called misaligned, the most often called first; of equal ones by the alphabet."""
        called = [count for count in self._counts.values() if count.called]
        return sorted(called, key=lambda count: (-count.called, count.word))[:most]
