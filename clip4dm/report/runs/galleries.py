"""Which pairs a report shows: one pass over all of them, which keeps numbers and the best few places, not the pairs.

A gallery has the first pairs of all by its order, and beside them the first of each group, so that none is empty when
the reader asks for a group.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from clip4dm.report.runs.sources.base import Shown, Skipped, Source
from clip4dm.report.runs.wordcounts import WordCounts

Rank = tuple[float, ...]  # the lower, the earlier
GROUPS_FIRST = 8  # of each group in a gallery, whatever their place among all
SKIPPED = 200  # pairs without scores that are listed; all are counted
MOST_GROUPS = 60  # groups that have pairs of their own and can be chosen


@dataclass(frozen=True)
class Gallery:
    """Pairs of one kind. name: of its pages. what: its order in a sentence. rank: None for a pair of another kind.

    >>> [gallery.name for gallery in LABELLED]
    ['hits', 'misses', 'alarms']
    """

    name: str
    title: str
    what: str
    rank: Callable[[Shown], Rank | None]


def _hit(pair: Shown) -> Rank | None:
    if pair.label is None or not pair.label.misaligned or not pair.label.hit:
        return None
    found = [word.attribution for word in pair.misaligned if word.attribution is not None and pair.labelled(word)]
    return (min(found, default=0.0),)


def _miss(pair: Shown) -> Rank | None:
    if pair.label is None or not pair.label.misaligned or pair.label.hit is not False:
        return None
    labelled = [word.attribution for word in pair.words if word.attribution is not None and pair.labelled(word)]
    return (-min(labelled, default=0.0),)


def _alarm(pair: Shown) -> Rank | None:
    return (pair.f_clip_score,) if pair.label is not None and not pair.label.misaligned and pair.f_clip_score else None


def _low(pair: Shown) -> Rank | None:
    return (pair.score,) if pair.misaligned or pair.f_clip_score else None


def _many(pair: Shown) -> Rank | None:
    count = len(pair.misaligned)
    return (-count, pair.score) if count > 1 else None


LABELLED = (
    Gallery(
        "hits",
        "Surest hits",
        "Misaligned captions whose labelled word was found; the lowest attribution of such a word comes first.",
        _hit,
    ),
    Gallery(
        "misses",
        "Worst misses",
        "Misaligned captions whose labelled word was not found; first the one whose labelled word seems to fit best.",
        _miss,
    ),
    Gallery(
        "alarms",
        "False alarms",
        "True captions that have words below epsilon all the same; the lowest F-CLIPScore comes first.",
        _alarm,
    ),
)
UNLABELLED = (
    Gallery("lowest", "Lowest scores", "The pairs that fit worst, the worst first.", _low),
    Gallery("many", "Most misaligned words", "Captions with several misaligned words, those with most first.", _many),
)


def galleries_of(source: Source) -> tuple[Gallery, ...]:
    """Those that make sense of it.

    [gallery.title for gallery in galleries_of(source)]
    """
    return LABELLED if source.labelled else UNLABELLED


class First:
    """The first few of many places by their ranks; of equal ranks those that came first.

    >>> first = First(2)
    >>> for place, rank in enumerate([3.0, 1.0, 2.0, 1.0]):
    ...     first.add((rank,), place)
    >>> first.places()
    [1, 3]
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: list[tuple[Rank, int]] = []

    def add(self, rank: Rank, place: int) -> None:
        """Places come in ascending order."""
        self._kept.append((rank, place))
        if len(self._kept) > 2 * self.most + 100:
            self._kept = sorted(self._kept)[: self.most]

    def ranked(self) -> list[tuple[Rank, int]]:
        """In order, with their ranks."""
        return sorted(self._kept)[: self.most]

    def places(self) -> list[int]:
        """In order."""
        return [place for _, place in self.ranked()]


@dataclass
class Tally:
    """All pairs in numbers. scores: of captions that are true, or not labelled, and of others; lengths are the counts.

    members: how many pairs each gallery has in all, shown or not. groups: pairs a (key, value).

    tally = tally_of(source, cards=100)
    tally.chosen["hits"], tally.members["hits"]
    """

    scores: array[float] = field(default_factory=lambda: array("d"))
    foiled_scores: array[float] = field(default_factory=lambda: array("d"))
    cosines: array[float] = field(default_factory=lambda: array("d"))
    skipped: list[Skipped] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    unscored: int = 0
    with_misaligned: int = 0
    not_located: int = 0
    groups: Counter[tuple[str, str]] = field(default_factory=Counter)
    members: Counter[str] = field(default_factory=Counter)
    chosen: dict[str, list[int]] = field(default_factory=dict)
    words: WordCounts = field(default_factory=WordCounts)

    @property
    def scored(self) -> int:
        """Pairs with scores."""
        return len(self.scores) + len(self.foiled_scores)

    def add(self, pair: Shown, place: int) -> None:
        """A scored pair's numbers."""
        wrong = pair.label is not None and pair.label.misaligned
        (self.foiled_scores if wrong else self.scores).append(pair.score)
        self.cosines.append(pair.cosine)
        self.truncated += pair.truncated
        self.unscored += pair.lowest is None
        self.with_misaligned += bool(pair.misaligned)
        self.not_located += wrong and pair.label is not None and not pair.label.spans
        self.groups.update(pair.groups.items())
        self.words.add(pair, place)

    def skip(self, pair: Skipped) -> None:
        """A pair without scores; of very many alone the count."""
        self.reasons[kind_of_reason(pair)] += 1
        if len(self.skipped) < SKIPPED:
            self.skipped.append(pair)


def tally_of(source: Source, cards: int) -> Tally:
    """Go through all pairs once. cards: how many a gallery shows of all; of each group up to GROUPS_FIRST beside.

    tally_of(source, cards=100).chosen["hits"]
    """
    tally = Tally()
    galleries = galleries_of(source)
    first = {gallery.name: First(cards) for gallery in galleries}
    of_groups: dict[str, dict[tuple[str, str], First]] = {gallery.name: {} for gallery in galleries}
    for place, pair in enumerate(source.pairs()):
        if isinstance(pair, Skipped):
            tally.skip(pair)
            continue
        tally.add(pair, place)
        for gallery in galleries:
            rank = gallery.rank(pair)
            if rank is None:
                continue
            tally.members[gallery.name] += 1
            first[gallery.name].add(rank, place)
            _add_to_groups(of_groups[gallery.name], pair.groups, rank, place, min(cards, GROUPS_FIRST))
    for name, all_of_it in first.items():
        ranked = dict.fromkeys(
            [*all_of_it.ranked(), *(one for few in of_groups[name].values() for one in few.ranked())]
        )
        tally.chosen[name] = [place for _, place in sorted(ranked)]
    return tally


def _add_to_groups(
    of_groups: dict[tuple[str, str], First], groups: Mapping[str, str], rank: Rank, place: int, most: int
) -> None:
    for group in groups.items():
        if group not in of_groups and len(of_groups) < MOST_GROUPS:
            of_groups[group] = First(most)
        if group in of_groups:
            of_groups[group].add(rank, place)


def fetch(source: Source, places: Iterable[int]) -> dict[int, Shown]:
    """The pairs at these places, by a second pass.

    fetch(source, tally.chosen["hits"])
    """
    wanted = set(places)
    last = max(wanted, default=-1)
    found: dict[int, Shown] = {}
    for place, pair in enumerate(source.pairs()):
        if place > last:
            break
        if place in wanted and isinstance(pair, Shown):
            found[place] = pair
    return found


def kind_of_reason(pair: Skipped) -> str:
    """A reason without the picture's name, so that alike ones count together.

    >>> kind_of_reason(Skipped("1", "cup.jpg", "a coke", "no such image file: photos/cup.jpg"))
    'no such image file'
    """
    reason = pair.reason
    for name in (pair.image, pair.key):
        reason = reason.replace(name, "...") if name else reason
    before, colon, _ = reason.partition(": ")
    return (before if colon and len(before) > 8 else reason)[:160]
