"""The run's pictures, decoded and resized in worker processes, one by one, a few ahead of the model."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from clip4dm.evaluation.plan import Block
from clip4dm.evaluation.processes import end_with_parent
from clip4dm.evaluation.store.runfiles import RunError
from clip4dm.files.images import ImageError, load_image

Preprocess = Callable[[Image.Image], Tensor]  # RGB picture -> (3, size, size)
Answer = NDArray[np.float32] | str  # a worker's: the preprocessed picture, or why there is none
Item = TypeVar("Item")


class _Pictures(Dataset[Answer]):
    """A map-style dataset: path -> preprocessed (3, size, size) array, or the reason why there is none.

    Arrays, not tensors: they come through a pipe, and need neither shared memory nor its file descriptors.
    """

    def __init__(self, paths: Sequence[Path], preprocess: Preprocess) -> None:
        self.paths, self.preprocess = paths, preprocess

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Answer:
        try:
            picture: NDArray[np.float32] = self.preprocess(load_image(self.paths[index])).numpy()
            return picture
        except ImageError as error:
            return str(error)


def _as_it_is(item: Item) -> Item:
    return item


def _start_worker(_: int) -> None:
    """Ctrl-C and a closed terminal, which all processes are told of, are the run's to handle; a worker ends with it."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    end_with_parent()


def load_blocks(
    blocks: Sequence[Block], img_dir: Path, preprocess: Preprocess, workers: int
) -> Iterator[tuple[Block, list[Tensor | str]]]:
    """(block, pictures): for each of the block's images a (3, size, size) tensor, or a string saying why not.

    Pictures come one by one from the workers, a few ahead, so that memory depends on neither block nor data set.
    Errors: RunError if they cannot be started, or are killed.

        for block, pictures in load_blocks(plan_blocks(samples, 32), Path("data/val2014"), model.preprocess, workers=4):
            readable = [picture for picture in pictures if not isinstance(picture, str)]
    """
    paths = [img_dir / image for block in blocks for image in block.images]
    loader: DataLoader[Answer] = DataLoader(
        _Pictures(paths, preprocess),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=min(workers, len(paths)),
        worker_init_fn=_start_worker,
        prefetch_factor=8 if workers and paths else None,
    )
    others = set(multiprocessing.active_children())
    try:
        with _on_sigchld(None):  # PyTorch's own way to tell of deaths does not stay
            pictures = iter(loader)
    except OSError as error:  # no more processes, or no semaphores, are to be had
        raise RunError(
            f"{workers} processes that decode pictures cannot be started ({error.strerror or error}): give "
            "fewer --num_workers (0: none)"
        ) from None
    processes = set(multiprocessing.active_children()) - others
    for block in blocks:
        with _on_sigchld(lambda *_: _check(processes)):
            try:
                _check(processes)
                found = [next(pictures) for _ in block.images]
            except RuntimeError:  # PyTorch may have noticed first
                _check(processes)
                raise
        yield block, [picture if isinstance(picture, str) else torch.from_numpy(picture) for picture in found]


def _check(processes: Iterable[BaseProcess]) -> None:
    """RunError if one of the workers has been killed."""
    for process in processes:
        if process.exitcode:  # None: at work; 0: done
            how = signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"status {process.exitcode}"
            raise RunError(
                f"a process that decodes pictures has ended ({how}), for want of memory perhaps. All blocks "
                "before are stored: run again to resume, with fewer --num_workers if need be (0: none)"
            )


@contextlib.contextmanager
def _on_sigchld(handler: Callable[[int, FrameType | None], None] | None) -> Iterator[None]:
    """In here the handler (None: any that is set in here) is called when a child ends; afterwards the one before.

    A worker killed half-way through a picture would be waited for for ever, so its death must be raised in the main
    thread; but only while that waits: PyTorch's handler raises anywhere, be it in an import, in C++ or in __del__.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    if handler is not None:
        signal.signal(signal.SIGCHLD, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
