"""The run's plan and its pictures: blocks of images, decoded and resized in worker processes, one by one."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clip4dm.benchmarks.base import Sample
from clip4dm.evaluation.processes import end_with_parent
from clip4dm.evaluation.store.runfiles import RunError

IMAGES_PER_BLOCK = 32


@dataclass(frozen=True)
class Block:
    """Some images and all their samples: the unit of work, of storage and of resumption."""

    number: int
    images: tuple[str, ...]
    samples: tuple[Sample, ...]


def plan_blocks(samples: Sequence[Sample], images_per_block: int) -> list[Block]:
    """Samples grouped by image, images in order of first appearance: the same plan for every run of these samples."""
    by_image: dict[str, list[Sample]] = {}
    for sample in samples:
        by_image.setdefault(sample.image, []).append(sample)
    images = list(by_image)
    blocks = []
    for number, start in enumerate(range(0, len(images), images_per_block)):
        mine = tuple(images[start : start + images_per_block])
        blocks.append(Block(number, mine, tuple(sample for image in mine for sample in by_image[image])))
    return blocks


def missing_images(samples: Sequence[Sample], img_dir: Path) -> list[str]:
    """The images that are no file in img_dir, each once, in order."""
    return [image for image in dict.fromkeys(sample.image for sample in samples) if not os.path.isfile(img_dir / image)]


class _Pictures:
    """A map-style dataset: path -> preprocessed (3, size, size) array, or the reason why there is none.

    Arrays, not tensors: they come through a pipe, and need neither shared memory nor its file descriptors.
    """

    def __init__(self, paths: Sequence[Path], preprocess: Callable):
        self.paths, self.preprocess = paths, preprocess

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        from clip4dm.files.images import ImageError, load_image

        try:
            return self.preprocess(load_image(self.paths[index])).numpy()
        except ImageError as error:
            return str(error)


def _as_it_is(item):
    return item


def _start_worker(_: int) -> None:
    """Ctrl-C and a closed terminal, which all processes are told of, are the run's to handle; a worker ends with it."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    end_with_parent()


def load_blocks(blocks: Sequence[Block], img_dir: Path, preprocess: Callable, workers: int) -> Iterator[tuple]:
    """(block, pictures): for each of the block's images a (3, size, size) tensor, or a string saying why not.

    Pictures come one by one from the workers, a few ahead, so that memory depends on neither block nor data set.
    Errors: RunError if they cannot be started, or are killed.
    """
    import torch
    from torch.utils.data import DataLoader

    paths = [img_dir / image for block in blocks for image in block.images]
    loader = DataLoader(
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


def _check(processes: Iterable[multiprocessing.Process]) -> None:
    """RunError if one of the workers has been killed."""
    for process in processes:
        if process.exitcode:  # None: at work; 0: done
            how = signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"status {process.exitcode}"
            raise RunError(
                f"a process that decodes pictures has ended ({how}), for want of memory perhaps. All blocks "
                "before are stored: run again to resume, with fewer --num_workers if need be (0: none)"
            )


@contextlib.contextmanager
def _on_sigchld(handler: Callable | None) -> Iterator[None]:
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
