"""Decoding processes that cannot be started, or are killed."""

from __future__ import annotations

import errno
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

from clip4dm.evaluation import loading
from clip4dm.evaluation.loading import load_blocks
from clip4dm.evaluation.plan import plan_blocks
from clip4dm.evaluation.store.runfiles import RunError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # PyTorch's loader, half-built
@pytest.mark.parametrize("possible", [0, 1])
def test_no_more_processes_are_to_be_had(tmp_path, monkeypatch, possible):
    fork, forks = os.fork, []

    def failing_fork():
        forks.append(1)
        if len(forks) > possible:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()

    monkeypatch.setattr(os, "fork", failing_fork)
    blocks = plan_blocks([SimpleNamespace(image=name) for name in "abc"], 1)
    with pytest.raises(RunError, match="2 processes that decode pictures cannot be started .Resource temporarily"):
        list(load_blocks(blocks, tmp_path, lambda picture: picture, workers=2))


class Large:
    """A preprocessed picture of 40 MB, which no pipe holds."""

    def __init__(self, *_):
        pass

    def numpy(self):
        return np.zeros((3, 1826, 1826), np.float32)


def test_a_worker_killed_half_way_through_a_picture_is_not_waited_for(tmp_path, monkeypatch):
    import multiprocessing

    monkeypatch.setattr(loading, "load_image", lambda path: path)
    before = signal.getsignal(signal.SIGCHLD)
    blocks = plan_blocks([SimpleNamespace(image=str(name)) for name in range(20)], 1)
    others = set(multiprocessing.active_children())
    loaded = load_blocks(blocks, tmp_path, Large, workers=1)
    _, (picture,) = next(loaded)
    assert picture.shape == (3, 1826, 1826)
    (worker,) = set(multiprocessing.active_children()) - others
    time.sleep(0.5)  # it has begun to send the next one
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(RunError, match="a process that decodes pictures has ended .SIGKILL.*run again to resume"):
        list(loaded)
    assert signal.getsignal(signal.SIGCHLD) == before
