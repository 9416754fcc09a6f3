"""What a report asks of what it reports: pairs one after another, pictures, and lines on what made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from clip4dm.benchmarks.base import Span
from clip4dm.benchmarks.labels import overlaps_any
from clip4dm.detection import Word
from clip4dm.errors import CLIP4DMError
from clip4dm.report.runs.sources.suggested import Suggested
from clip4dm.scores import F_CLIP_SCORE, SortedBy, clip_score

if TYPE_CHECKING:
    from PIL.Image import Image

    from clip4dm.evaluation.metrics.calibration import Words


class ReportError(CLIP4DMError, ValueError):
    """A report that cannot be made or written: of what, why, and what to do."""


@dataclass(frozen=True)
class Label:
    """What people said of a caption. spans: its misaligned characters. text: the label as the benchmark has it.

    hit: whether the words found are the labelled ones; None where that does not count.

    >>> Label(True, ((9, 13),), "coke", hit=True).hit
    True
    """

    misaligned: bool
    spans: tuple[Span, ...]
    text: str
    hit: bool | None


@dataclass(frozen=True)
class Shown:
    """A pair as a card shows it. words: with attributions and verdicts. score: what captions are ordered by.

    label: None where nobody labelled it. rating: people's, where there is one. groups: e.g. {"kind": "colour"}.
    suggested: other words for some of its own.

    >>> words = (Word("a", 0, 1, 2e-4, False), Word("coke", 2, 6, -2e-4, True))
    >>> shown = Shown("1", "cup.jpg", "a coke", words, 0.25, -1.5e-4, -1.5e-4)
    >>> [word.text for word in shown.misaligned], shown.lowest
    (['coke'], -0.0002)
    """

    key: str
    image: str
    caption: str
    words: tuple[Word, ...]
    cosine: float
    f_clip_score: float
    score: float
    truncated: bool = False
    label: Label | None = None
    rating: float | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    suggested: Sequence[Suggested] = ()

    @property
    def misaligned(self) -> tuple[Word, ...]:
        """The words said not to be true of the picture."""
        return tuple(word for word in self.words if word.misaligned)

    @property
    def lowest(self) -> float | None:
        """The lowest attribution; None where no word was scored."""
        return min((word.attribution for word in self.words if word.attribution is not None), default=None)

    @property
    def clip_score(self) -> float:
        """Of the cosine."""
        return clip_score(self.cosine)

    def labelled(self, word: Word) -> bool:
        """Whether a word overlaps what people found wrong."""
        return self.label is not None and overlaps_any((word.start, word.end), self.label.spans)


@dataclass(frozen=True)
class Skipped:
    """A pair without scores, and why.

    >>> Skipped("1", "cup.jpg", "a coke", "no such image file: cup.jpg").key
    '1'
    """

    key: str
    image: str
    caption: str
    reason: str


class Source(Protocol):
    """What is reported."""

    @property
    def title(self) -> str:
        """In a few words."""

    @property
    def model(self) -> str:
        """Backbone and weights, in a few words."""

    @property
    def about(self) -> Sequence[tuple[str, str]]:
        """What made it: (name, value)."""

    @property
    def notices(self) -> Sequence[str]:
        """What is amiss with it."""

    @property
    def labelled(self) -> bool:
        """Whether people said which captions are wrong."""

    @property
    def sorted_by(self) -> SortedBy:
        """The rule by which a word is called misaligned."""

    @property
    def epsilon(self) -> float:
        """Its threshold."""

    @property
    def score_name(self) -> str:
        """Of what captions are ordered by, as it is shown."""

    @property
    def result(self) -> Mapping[str, Any] | None:
        """As in result.json; None where no figures were made."""

    def pairs(self) -> Iterator[Shown | Skipped]:
        """All pairs in order, as often as asked; none is kept."""

    def picture(self, name: str) -> Image:
        """Of that `image`. Errors: ImageError."""

    def words(self) -> Words | None:
        """All scored words as columns, for figures over epsilon; None without labelled words."""


def score_title(name: str) -> str:
    """What a score is called where it is shown.

    >>> score_title("f_clip_score"), score_title("additive_sum")
    ('F-CLIPScore', 'additive sum')
    """
    return "F-CLIPScore" if name == F_CLIP_SCORE else name.replace("_", " ")
