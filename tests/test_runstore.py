"""A run's folder after every way of being interrupted."""

from __future__ import annotations

import json

import pytest

from clip4dm.runstore import SAMPLES, RunError, RunStore, write_json

BLOCKS = [["a", "b"], ["c"], ["d", "é f", "g"], ["h"]]
CONFIG = {"fingerprint": "123"}


def lines_of(block: int) -> list[bytes]:
    rows = [{"id": sample, "text": "ü" * 3} for sample in BLOCKS[block]]
    return [(json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows]


WHOLE = b"".join(line for block in range(len(BLOCKS)) for line in lines_of(block))


def test_every_possible_cut_is_resumed_to_the_same_bytes(tmp_path):
    for cut in range(len(WHOLE) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        write_json(folder / "config.json", CONFIG)
        (folder / SAMPLES).write_bytes(WHOLE[:cut])
        store = RunStore(folder, BLOCKS)
        store.begin(CONFIG)
        whole_blocks = [b for b in range(len(BLOCKS)) if sum(len(x) for c in range(b + 1) for x in lines_of(c)) <= cut]
        assert store.missing() == [b for b in range(len(BLOCKS)) if b not in whole_blocks]
        for block in store.missing():
            store.append(block, lines_of(block), to_part=False)
        store.finish()
        assert (folder / SAMPLES).read_bytes() == WHOLE


@pytest.mark.parametrize("kept", [(), (0,), (1, 3), (0, 1, 2, 3), (3,)])
def test_parts_of_several_processes_and_a_later_single_one(tmp_path, kept):
    for rank in (0, 1):
        store = RunStore(tmp_path, BLOCKS, rank)
        if rank == 0:
            store.begin(CONFIG)
        for block in kept:
            if block % 2 == rank:
                store.append(block, lines_of(block), to_part=True)
    part = tmp_path / "samples.part-1.jsonl"
    part.write_bytes((part.read_bytes() if part.exists() else b"") + b'{"id": "d", "te')
    store = RunStore(tmp_path, BLOCKS)
    store.begin(CONFIG)
    assert store.missing() == [b for b in range(len(BLOCKS)) if b not in kept]
    assert store.samples_done() == sum(len(BLOCKS[b]) for b in kept)
    for block in store.missing():
        store.append(block, lines_of(block), to_part=False)
    store.finish()
    assert (tmp_path / SAMPLES).read_bytes() == WHOLE
    assert not list(tmp_path.glob("samples.part-*"))


def test_a_merge_that_was_interrupted_goes_on(tmp_path):
    store = RunStore(tmp_path, BLOCKS)
    store.begin(CONFIG)
    for block in range(len(BLOCKS)):
        store.append(block, lines_of(block), to_part=True)
    (tmp_path / SAMPLES).write_bytes(WHOLE[:len(WHOLE) // 2])  # half merged when the power went
    store = RunStore(tmp_path, BLOCKS)
    store.begin(CONFIG)
    assert store.missing() == []
    store.finish()
    assert (tmp_path / SAMPLES).read_bytes() == WHOLE


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


def test_a_broken_config_is_one_clear_error(tmp_path):
    (tmp_path / "config.json").write_text('{"fingerprint": ')
    with pytest.raises(RunError, match="config.json cannot be read"):
        RunStore(tmp_path, BLOCKS).begin(CONFIG)


def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    with RunStore(tmp_path, BLOCKS).locked():
        with pytest.raises(RunError, match="another run is writing"):
            with RunStore(tmp_path, BLOCKS).locked():
                pass


def test_blocks_out_of_order_and_unfinished_runs_are_errors(tmp_path):
    store = RunStore(tmp_path, BLOCKS)
    store.begin(CONFIG)
    with pytest.raises(RunError, match="in order"):
        store.append(1, lines_of(1), to_part=False)
    with pytest.raises(RunError, match="block 0 of 4 is missing"):
        store.finish()


def test_json_is_written_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "result.json", {"value": 1})
    with pytest.raises(ValueError):
        write_json(tmp_path / "result.json", {"value": float("nan")})
    assert json.loads((tmp_path / "result.json").read_text()) == {"value": 1}
