"""A detector, drawn pairs, and the command as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from drawn_pairs import draw_pairs, read_rows, write_table

from clip4dm import CLIP4DM
from clip4dm.commands import score


@pytest.fixture(scope="session")
def demo() -> CLIP4DM:
    return CLIP4DM.from_pretrained("demo", device="cpu", batch_size=8)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("drawn") / "pictures"


@pytest.fixture(scope="session")
def pairs(pictures) -> list[tuple[str, str]]:
    return draw_pairs(pictures, 20)


@pytest.fixture
def command(demo, monkeypatch) -> Callable[..., int]:
    """`clip4dm score` with the demo model -> its exit status. The model is loaded once for all tests; options that a
    detector of its own is needed for come with `own=True`."""

    def run(*options: object, own: bool = False) -> int:
        with monkeypatch.context() as patch:
            if not own:
                patch.setattr(score, "make_detector", lambda args: demo)
            try:
                score.main(["--epsilon=-5e-5", *map(str, options), "--backbone", "demo", "--device", "cpu"])
            except SystemExit as stop:
                return int(stop.code or 0)
        return 0

    return run


@pytest.fixture
def scored(command, pictures, tmp_path, capsys):
    """Score an input -> (exit status, rows, what was said on standard error)."""

    def run(source, *options, output="scores"):
        below = ["--img_dir", pictures] if source.suffix in (".csv", ".jsonl", ".parquet") else []
        status = command(source, "--output", tmp_path / output, *below, *options)
        return status, read_rows(tmp_path / output), capsys.readouterr().err

    return run


@pytest.fixture
def table(pictures, pairs, tmp_path):
    return write_table(tmp_path / "captions.csv", [(str(pictures / image), caption) for image, caption in pairs])


@pytest.fixture
def run(command, table, tmp_path, capsys):
    """Score the table in five shards -> (exit status, standard output, standard error)."""

    def run(*options, output=tmp_path / "scores", source=table, own=False):
        status = command(source, "--output", output, "--shard_size", 4, *options, own=own)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run
