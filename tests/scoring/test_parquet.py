"""Parquet with pictures' bytes, whose row groups may be as large as the file: memory, and what is read of it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import ROOT

from clip4dm.scoring.inputs import parquet
from clip4dm.scoring.inputs.recognise import open_input
from clip4dm.scoring.pairs import ScoringError

PEAK = """
import json, re, sys
from clip4dm.scoring.inputs.recognise import open_input
peaks = []
for path in sys.argv[1:]:
    read = sum(len(pair.image) for shard in open_input([path], shard_size=500).shards() for pair in shard.pairs())
    peaks.append(1024 * int(re.search("VmHWM: *([0-9]+)", open("/proc/self/status").read().replace("\t", " "))[1]))
print(json.dumps([read, peaks]))
"""


def write(path, rows: int, size: int, **options):
    """One row group, unless said; pages of 16 rows."""
    random = Random(rows)
    table = pa.table({
        "image": [random.randbytes(size) for _ in range(rows)], "caption": [f"caption {i}" for i in range(rows)],
        "number": range(rows),
    })  # fmt: skip
    pq.write_table(table, path, **{"row_group_size": rows, "write_batch_size": 16} | options)
    return path


def test_memory_does_not_grow_with_the_row_group(tmp_path):
    """A group of 6 MB, then one of 180 MB, by the same process. (ru_maxrss would be the parent's, if that is larger.)"""
    paths = [write(tmp_path / f"{rows}.parquet", rows, 30_000) for rows in (200, 6000)]
    done = subprocess.run([sys.executable, "-c", PEAK, *paths], capture_output=True, text=True, cwd=ROOT, check=True)
    read, (before, after) = json.loads(done.stdout)
    assert read == 6000 * 30_000
    assert after - before < 60 << 20, f"{(after - before) >> 20} MiB more"


@pytest.fixture
def counted(monkeypatch):
    """Bytes read of files, in a list of one."""
    total = [0]

    class Counted(io.FileIO):
        def read(self, size=-1):
            data = super().read(size)
            total[0] += len(data)
            return data

    monkeypatch.setattr(parquet, "open_binary", Counted)
    return total


@pytest.mark.parametrize("every", [1, 3])
def test_shards_in_order_read_a_row_group_once(every, counted, tmp_path):
    """Those of one process of several too: 40 shards of one group, of which each third is this one's."""
    path = write(tmp_path / "a.parquet", 2000, 3000)
    shards = open_input([str(path)], shard_size=50).shards()[1::every]
    numbers = [pair.carried["number"] for shard in shards for pair in shard.pairs()]
    assert numbers == [i for shard in shards for i in range(shard.start, shard.start + 50)]
    assert 0.9 * path.stat().st_size < counted[0] < 1.5 * path.stat().st_size


def test_rows_in_any_order_of_shards(tmp_path):
    """Also where two are read at once, a shard is left in its midst, groups are empty, or the file is another one."""
    path = tmp_path / "a.parquet"
    with pq.ParquetWriter(
        path, pa.schema([("image", pa.string()), ("caption", pa.string()), ("n", pa.int64())])
    ) as out:
        first = 0
        for rows in (0, 90, 1, 0, 0, 200, 70, 0):
            numbers = list(range(first, first + rows))
            text = [str(n) for n in numbers]
            out.write_table(pa.table({"image": text, "caption": text, "n": numbers}, schema=out.schema))
            first += rows
    shards = open_input([str(path)], shard_size=17).shards()

    def numbers(shard):
        return [pair.carried["n"] for pair in shard.pairs()]

    expected = [list(range(i, min(i + 17, 361))) for i in range(0, 361, 17)]
    assert [numbers(shard) for shard in shards] == expected
    for seed in range(5):
        order = Random(seed).sample(range(len(shards)), len(shards))
        assert [numbers(shards[i]) for i in order] == [expected[i] for i in order]
    both = [[a.carried["n"], b.carried["n"]] for a, b in zip(shards[6].pairs(), shards[7].pairs(), strict=True)]
    assert both == [list(two) for two in zip(expected[6], expected[7], strict=True)]
    next(iter(shards[3].pairs()))
    assert numbers(shards[4]) == expected[4]
    pq.write_table(pq.read_table(path).slice(0, 40), path)
    with pytest.raises(ScoringError, match="a.parquet was changed while its pairs are scored; run again"):
        numbers(shards[5])
    path.write_bytes(b"no parquet")
    with pytest.raises(ScoringError, match="a.parquet is no parquet file, or damaged"):
        numbers(shards[1])
