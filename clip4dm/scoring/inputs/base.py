"""What every kind of input gives: shards of pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from clip4dm.scoring.pairs import Pair

if TYPE_CHECKING:
    import pyarrow as pa


class Shard(Protocol):
    """The unit of work: some pairs, scored and stored as one. Can be pickled, and opens nothing before `pairs`."""

    @property
    def name(self) -> str:
        """Of its file among the scores; no two shards of an input have the same."""

    @property
    def count(self) -> int | None:
        """How many pairs; None where only reading it all would tell."""

    @property
    def carried(self) -> pa.Schema:
        """The input's other columns."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the shard is, for its fingerprint, ready for JSON."""

    def pairs(self) -> Iterator[Pair]:
        """The pairs in input order, also those that cannot be scored. Errors: ScoringError for what cannot be read."""


@dataclass(frozen=True)
class Input:
    """Shards, and what they were made from. format: of INPUT_FORMATS. given: the command line's words.

    identity: what makes it another input (a table's digest, its columns' names), ready for JSON. notes: what a user
    should know of it, a line each.

        recognise.open_input(["captions.csv"]).shards()[0].count
    """

    format: str
    given: tuple[str, ...]
    identity: Mapping[str, Any]
    parts: Sequence[Shard]
    notes: tuple[str, ...] = ()

    def shards(self) -> list[Shard]:
        """All of them, in order."""
        return list(self.parts)
