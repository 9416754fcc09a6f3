"""Shared fixtures: tiny random models and the folder of published outputs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from making import make_tiny_clip
from places import SHARED

# A shell has what it runs in the background ignore Ctrl-C, and nohup SIGHUP; the programs that tests start would too.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    return make_tiny_clip(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def detector(tiny_folder):
    from clip4dm import CLIP4DM

    return CLIP4DM.from_pretrained(pretrained=str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def tokenizer():
    import open_clip

    return open_clip.get_tokenizer("ViT-B-32")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published outputs and real data beside the project, where there is one."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared: the published implementation's outputs and the real data are not here")
    return SHARED
