"""Shards one after another, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from clip4dm.scoring.sink import Sink
from clip4dm.scoring.work import score_shard
from clip4dm.scoring.writers import Summary

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM
    from clip4dm.scoring.inputs.base import Shard


def run(
    shards: Sequence[Shard],
    detector: CLIP4DM,
    sink: Sink,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda pairs: None,
) -> Iterator[Summary]:
    """Score shards, a summary each as it is done. What every engine has: shards, what makes rows of them, the sink.

    for summary in run(shards, detector, sink):
        print(summary.shard, summary.pairs, summary.errors)
    """
    for shard in shards:
        yield score_shard(shard, detector, sink, workers, progress)
