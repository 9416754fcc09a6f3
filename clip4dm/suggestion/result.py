"""What is suggested for a word: captions with another word in its place, and without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the programs' options take the numbers below, and `--help` must not wait for numpy
    from clip4dm.detection import Word

TOP = 5  # replacements a word, usually
MIN_GAIN = 0.0  # of a replacement, usually: any gain will do
CLIP = "clip"  # what the tokenizer's own words are called, as a vocabulary (`open_words`)


@dataclass(frozen=True)
class Replacement:
    """A new caption. word: caption[start:end], what stands where the old word stood; "" where it is left out.

    cosine: of the new caption. gain: how much more than the given caption's. misaligned: what is not true of the image
    in the new caption, by the detector's own rule. probability: that a replacement of this gain is what stood in a true
    caption, 0..1; None without a calibration that has seen suggestions.

    >>> Replacement("coffee", "a cup of coffee", 9, 15, cosine=0.31, gain=0.04, misaligned=()).fits
    True
    """

    word: str
    caption: str
    start: int
    end: int
    cosine: float
    gain: float
    misaligned: tuple[Word, ...]
    probability: float | None = None

    @property
    def fits(self) -> bool:
        """Whether the new caption has no misaligned word."""
        return not self.misaligned

    def as_dict(self) -> dict[str, Any]:
        """Ready for json.

        json.dumps(replacement.as_dict(), allow_nan=False)
        """
        return {
            "word": self.word,
            "caption": self.caption,
            "start": self.start,
            "end": self.end,
            "cosine": self.cosine,
            "gain": self.gain,
            "misaligned": [word.text for word in self.misaligned],
            "probability": self.probability,
        }


@dataclass(frozen=True)
class Suggestion:
    """What could stand for a word of a caption. replacements: best first; none where no better word was found.

    cosine: of the caption as given. leave_out: the caption without the word, where that gains. tried: how many
    candidates there were, without those that could not be compared; of a long list not all are read. reason: why none
    could be, or what was not; None where all was as it should. least: what a replacement had to gain.

    >>> from clip4dm.detection import Word
    >>> coke = Word("coke", 9, 13, attribution=-2e-4, misaligned=True)
    >>> coffee = Replacement("coffee", "a cup of coffee", 9, 15, cosine=0.31, gain=0.041, misaligned=())
    >>> Suggestion(coke, 0.269, (coffee,), None, tried=12).line()
    'coke -> coffee +0.041'
    >>> Suggestion(coke, 0.269, (), None, tried=12).line()
    'coke: no better word found among 12'
    """

    word: Word
    cosine: float
    replacements: tuple[Replacement, ...]
    leave_out: Replacement | None
    tried: int
    reason: str | None = None
    least: float = MIN_GAIN

    @property
    def best(self) -> Replacement | None:
        """The replacement that gains most."""
        return self.replacements[0] if self.replacements else None

    def line(self) -> str:
        """For people: the words and what they gain; a "*" where the new caption still has a misaligned word."""
        found = ", ".join(f"{one.word} {one.gain:+.3f}{'' if one.fits else '*'}" for one in self.replacements)
        text = f"{self.word.text} -> {found}" if found else f"{self.word.text}: {self.nothing()}"
        return text + (f"; left out {self.leave_out.gain:+.3f}" if self.leave_out else "")

    def nothing(self) -> str:
        """For people: why there is no replacement, where there is none.

        >>> from clip4dm.detection import Word
        >>> coke = Word("coke", 9, 13, attribution=None, misaligned=False)
        >>> Suggestion(coke, 0.269, (), None, tried=12, least=0.02).nothing()
        'no better word found among 12, by 0.020 or more'
        """
        if self.reason and not self.tried:
            return self.reason
        return f"no better word found among {self.tried}" + (f", by {self.least:.3f} or more" if self.least else "")

    def as_dict(self) -> dict[str, Any]:
        """Ready for json.

        json.dumps(suggestion.as_dict(), allow_nan=False)
        """
        return {
            "word": self.word.text,
            "start": self.word.start,
            "end": self.word.end,
            "cosine": self.cosine,
            "replacements": [one.as_dict() for one in self.replacements],
            "leave_out": self.leave_out.as_dict() if self.leave_out else None,
            "tried": self.tried,
            "reason": self.reason,
        }
