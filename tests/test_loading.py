"""Decoding processes that cannot be started."""

from __future__ import annotations

import errno
import os

import pytest

from clip4dm.loading import load_blocks, plan_blocks
from clip4dm.runstore import RunError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # PyTorch's loader, half-built
@pytest.mark.parametrize("possible", [0, 1])
def test_no_more_processes_are_to_be_had(tmp_path, monkeypatch, possible):
    from types import SimpleNamespace

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
