"""Batches that are halved where the device's memory is too small for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from clip4dm.files.streams import batches

Item = TypeVar("Item")
T = TypeVar("T")


def in_parts_that_fit(
    run: Callable[[list[Item]], T], batch: list[Item], device: torch.device, size: int
) -> tuple[list[T], int]:
    """run(batch), or of its halves where memory is too small for it whole; and the size that fits, else `size`.

    Errors: torch.OutOfMemoryError where a single item does not fit.

    >>> in_parts_that_fit(sum, [1, 2, 3], torch.device("cpu"), size=64)
    ([6], 64)
    """
    try:
        return [run(batch)], size
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    # Outside the except clause: the error's traceback holds on to the tensors that filled the memory.
    if device.type == "cuda":
        torch.cuda.empty_cache()
    size = half = (len(batch) + 1) // 2
    found: list[T] = []
    for part in batches(batch, half):
        results, size = in_parts_that_fit(run, part, device, size)
        found += results
    return found, size
