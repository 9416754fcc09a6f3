"""Shared fixtures: tiny random models and the folder of published outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from making import make_tiny_clip


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
    folder = Path(__file__).parent.parent.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared: the published implementation's outputs and the real data are not here")
    return folder
