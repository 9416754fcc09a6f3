"""Whether a run may write to a folder: other runs' samples, strange files, a config.json that was damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from stored_blocks import BLOCKS, CONFIG, WHOLE, finished, lines_of

from clip4dm.evaluation.store.lock import locked
from clip4dm.evaluation.store.runfiles import SAMPLES, SUMS, RunError
from clip4dm.evaluation.store.runstore import RunStore


def test_samples_without_checksums_are_an_earlier_versions(tmp_path):
    store = finished(tmp_path / "run", damage=lambda folder: (folder / SUMS).unlink())
    with pytest.raises(RunError, match="without checksums .samples.sums.*Give --overwrite"):
        store.begin(CONFIG)
    assert (tmp_path / "run" / SAMPLES).read_bytes() == WHOLE
    store.begin(CONFIG, overwrite=True)
    assert store.missing() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", [SAMPLES, SUMS, "config.json", "result.json", "timing.json", "samples.part-0.jsonl"])
@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a link to nothing"])
def test_what_stands_in_a_files_place_is_named(tmp_path, name, kind):
    make = {"a folder": Path.mkdir, "a pipe": os.mkfifo, "a link to nothing": lambda path: path.symlink_to("nowhere")}
    make[kind](tmp_path / name)
    for overwrite in (False, True):
        with pytest.raises(RunError, match=f"{name} is {kind}, where a run has a file: remove it"):
            RunStore(tmp_path, BLOCKS).begin(CONFIG, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    for action in (lambda run: RunStore(run, BLOCKS).begin(CONFIG), lambda run: locked(run).__enter__()):
        with pytest.raises(RunError, match="file/run cannot be written: Not a directory"):
            action(tmp_path / "file" / "run")


def test_another_runs_samples_are_never_mixed_in(tmp_path):
    store = RunStore(tmp_path, BLOCKS)
    store.begin(CONFIG)
    store.append(0, lines_of(0), to_part=False)
    with pytest.raises(RunError, match="other settings, weights, data or versions.*--overwrite"):
        RunStore(tmp_path, BLOCKS).begin({"fingerprint": "124"})
    with pytest.raises(RunError, match="already holds samples"):
        RunStore(tmp_path, BLOCKS).begin(CONFIG, resume=False)
    assert (tmp_path / SAMPLES).read_bytes() == b"".join(lines_of(0))  # refusing lost nothing
    store = RunStore(tmp_path, BLOCKS)
    store.begin({"fingerprint": "124"}, overwrite=True)
    assert store.missing() == [0, 1, 2, 3]


def test_samples_without_a_config_are_not_trusted(tmp_path):
    (tmp_path / SAMPLES).write_bytes(WHOLE)
    with pytest.raises(RunError, match="no config.json"):
        RunStore(tmp_path, BLOCKS).begin(CONFIG)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"fingerprint": ', "is no JSON"),
        ("", "is empty"),
        ("[]", "is JSON, but no object"),
        ("7", "no object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"fingerprint": NaN}', "NaN is no finite"),
        ("{}", "fingerprint None, not 123"),
        ("\0" * 10, "zero byte"),
    ],
)
def test_a_broken_config_is_one_clear_error(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunError, match=f"{message}.*--overwrite"):
        RunStore(tmp_path, BLOCKS).begin(CONFIG)
