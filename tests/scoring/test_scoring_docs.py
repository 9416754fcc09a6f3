"""What docs/scoring.md says of the scores is so: its table of columns, its lines of Python, each run as they stand there."""

from __future__ import annotations

import re
import shutil

import pyarrow as pa
import pytest
from drawn_pairs import read_rows, write_folder
from places import ROOT

from clip4dm.scoring.schema import schema

PAGE = (ROOT / "docs" / "scoring.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def spelled(kind: pa.DataType) -> str:
    """A type as the page writes it."""
    if pa.types.is_list(kind):
        inner = ", ".join(f"{field.name}: {spelled(field.type)}" for field in kind.value_type)
        return f"list<struct<{inner}>>"
    return str(kind)


def test_the_table_of_columns_is_the_schema():
    table = PAGE.partition("| column | type | what |\n")[2].partition("\n\n")[0].splitlines()[1:]
    said = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in table]
    assert said == [(field.name, spelled(field.type)) for field in schema()]


@pytest.fixture(scope="module")
def scored(demo, pictures, pairs, tmp_path_factory):
    """A folder of scores in which one caption is missing."""
    from clip4dm.scoring.inputs.recognise import open_input
    from clip4dm.scoring.sink import open_sink
    from clip4dm.scoring.work import score_shard

    folder = tmp_path_factory.mktemp("read")
    photos = write_folder(folder / "photos", pictures, pairs)
    (photos / "000005.txt").unlink()
    found = open_input([str(photos)], shard_size=7)
    sink = open_sink(folder / "scores", found, demo)
    sink.prepare()
    for shard in found.shards():
        score_shard(shard, demo, sink)
    return folder


def worst(folder) -> list[tuple[str, float]]:
    rows = [row for row in read_rows(folder / "scores") if row["error"] is None]
    return [(row["key"], row["f_clip_score"]) for row in sorted(rows, key=lambda row: row["f_clip_score"])]


@pytest.mark.parametrize("library", ["pandas", "polars", "datasets"])
def test_read_back_in_three_lines(library, scored, monkeypatch, tmp_path):
    monkeypatch.chdir(scored)
    if library == "datasets":
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    (code,) = [block for block in BLOCKS if block.startswith(f"import {library}\n") and "for " not in block]
    assert len([line for line in code.splitlines() if line]) == 3
    names: dict = {}
    exec(code, names)
    found = names["worst"]
    rows = (
        found.to_dict("records")
        if library == "pandas"
        else list(found.iter_rows(named=True) if library == "polars" else found)
    )
    assert [(row["key"], row["f_clip_score"]) for row in rows] == worst(scored)[:10]
    assert rows[0]["misaligned"][0]["attribution"] < 0


def test_from_a_folder_to_the_pairs_to_look_at(scored, monkeypatch, capsys):
    monkeypatch.chdir(scored)
    exec(BLOCKS[0], {})
    lines = capsys.readouterr().out.splitlines()
    expected = worst(scored)
    assert len(expected) == 19
    for line, (key, _) in zip(lines, expected, strict=False):
        assert line.startswith(f"{key}.")
    assert "there is no caption: no 000005.txt beside 000005" in lines[19]


def test_from_python(demo, pictures, pairs, monkeypatch, tmp_path, capsys):
    from clip4dm import CLIP4DM

    for name in ("a.jpg", "b.jpg"):
        shutil.copy(pictures / next(image for image, _ in pairs if image.endswith("jpg")), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CLIP4DM, "from_pretrained", lambda name: demo)
    exec(BLOCKS[-1], {})
    assert len(re.findall(r"^-?[\d.e-]+ \[.*\] None$", capsys.readouterr().out, re.MULTILINE)) == 2
