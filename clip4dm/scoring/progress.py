"""How far a run is: pairs a second, the share done, the time left; and in words, before and after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

from clip4dm.scoring.writers import Summary

if TYPE_CHECKING:
    from clip4dm.scoring.inputs.base import Shard


class Progress:
    """A bar on standard error over the shards that are missing.

    Where the input does not say how many pairs a shard has, the mean of the shards that are done stands for it.

        with Progress(missing) as progress:
            for summary in run(missing, detector, sink, progress=progress.pairs):
                progress.shard(summary)
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        from tqdm import tqdm

        self.counts = {shard.name: shard.count for shard in shards}
        self.done: list[Summary] = []
        self.told = 0  # pairs of shards that are not done yet, as `pairs` heard of them
        self.bar = tqdm(total=self.expected(), unit=" pairs", dynamic_ncols=True)
        self.bar.set_postfix_str(f"shard 0/{len(shards)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def expected(self) -> int | None:
        """How many pairs there will be, as far as can be said; None before anything is known."""
        known = {summary.shard: summary.pairs for summary in self.done}
        counts = [known.get(name, count) for name, count in self.counts.items()]
        unknown = counts.count(None)
        total = sum(count for count in counts if count is not None)
        if unknown and not self.done:
            return None
        return total + (round(unknown * sum(known.values()) / len(known)) if unknown else 0)

    def pairs(self, count: int) -> None:
        """So many more pairs are scored."""
        self.told += count
        self.bar.update(count)

    def shard(self, summary: Summary) -> None:
        """A shard is stored; its pairs count once, whether `pairs` heard of them or not."""
        self.bar.update(max(0, summary.pairs - self.told))
        self.told = max(0, self.told - summary.pairs)
        self.done.append(summary)
        self.bar.total = self.expected()
        errors = sum(one.errors for one in self.done)
        wrong = f", {errors} not scored" if errors else ""
        self.bar.set_postfix_str(f"shard {len(self.done)}/{len(self.counts)}{wrong}")


def plan(shards: Sequence[Shard], done: Sequence[Summary | None]) -> str:
    """What --dry_run prints: shards, pairs where the input says how many, and what is stored already.

    >>> from clip4dm.scoring.inputs.folder import FolderShard
    >>> from clip4dm.scoring.writers import Summary
    >>> shards = [FolderShard("photos", name, (("a", "a.jpg", "a.txt"),)) for name in ("00000", "00001")]
    >>> print(plan(shards, [None, Summary("00001", pairs=1, errors=0, seconds=0.5)]))
    2 shards, 2 pairs
    stored already: 1 pairs in 1 shards
    to be scored: 1 shards, 1 pairs
    """
    there = [one for one in done if one is not None]
    missing = [shard for shard, one in zip(shards, done, strict=True) if one is None]
    return "\n".join([counted(shards), f"stored already: {summed(there)}", f"to be scored: {counted(missing)}"])


def counted(shards: Sequence[Shard]) -> str:
    """How many shards and pairs.

    >>> counted([])
    '0 shards, 0 pairs'
    """
    counts = [shard.count for shard in shards]
    known = "an unknown number of" if None in counts else sum(count for count in counts if count is not None)
    return f"{len(shards)} shards, {known} pairs"


def summed(summaries: Iterable[Summary]) -> str:
    """What is stored, in words.

    >>> from clip4dm.scoring.writers import Summary
    >>> summed([Summary("00000", pairs=9, errors=1, seconds=0.5), Summary("00001", pairs=9, errors=0, seconds=0.5)])
    '18 pairs in 2 shards, 1 of them not scored'
    """
    all_of_them = list(summaries)
    errors = sum(one.errors for one in all_of_them)
    wrong = f", {errors} of them not scored" if errors else ""
    return f"{sum(one.pairs for one in all_of_them)} pairs in {len(all_of_them)} shards{wrong}"
