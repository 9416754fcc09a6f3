"""Items in a stream: loaded ahead in threads, while the towers work on those before them, and cut into batches."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_workers() -> int:
    """Workers for decoding: one for each core that this process may use, at most eight.

    >>> 1 <= default_workers() <= 8
    True
    """
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def ahead(
    load: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None, held: int | None = None
) -> Iterator[Result]:
    """load(item) of each item, in order, some items ahead; an item's error is raised in its place.

    threads: None for one a core; Pillow and PyTorch let go of Python's lock while they decode and resize. held:
    so many items at most are loaded and not yet taken (None: four a thread), however many there are.

    >>> list(ahead(str.upper, "abc", threads=2))
    ['A', 'B', 'C']
    """
    threads = threads or default_workers()
    held = held or 4 * threads
    remaining = iter(items)
    first = list(islice(remaining, 2))
    if len(first) < 2:  # nothing to be ahead of
        yield from map(load, first)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting = deque(pool.submit(load, item) for item in first)
        try:
            for item in islice(remaining, max(0, held - 2)):
                waiting.append(pool.submit(load, item))
            while waiting:
                yield waiting.popleft().result()
                for item in islice(remaining, 1):
                    waiting.append(pool.submit(load, item))
        finally:  # an error, or a caller that wants no more
            for future in waiting:
                future.cancel()


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items each, in order; the last may be shorter.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def distinct_paths(items: Iterable[Item], rows: list[int]) -> Iterator[Item]:
    """The items, a path's first appearance alone; appends to rows, for each item, its place among these.

    >>> rows: list[int] = []
    >>> list(distinct_paths(["a.jpg", "b.jpg", "a.jpg"], rows)), rows
    (['a.jpg', 'b.jpg'], [0, 1, 0])
    """
    places: dict[str, int] = {}
    count = 0
    for item in items:
        given: object = item
        name = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
        if name in places:
            rows.append(places[name])
            continue
        if name is not None:
            places[name] = count
        rows.append(count)
        count += 1
        yield item
