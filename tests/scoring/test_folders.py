"""A folder of pictures with captions beside them: what lacks its other half, and captions as they were written."""

from __future__ import annotations

import os
import re

import pytest
from drawn_pairs import write_folder, write_table, write_tars


def test_a_folder_with_parts_missing(scored, pictures, pairs, tmp_path):
    folder = write_folder(tmp_path / "folder", pictures, pairs[:4])
    (folder / "000001.txt").unlink()
    next(path for path in folder.glob("000002.*") if path.suffix != ".txt").unlink()
    (folder / "000003.txt").write_bytes(b"caf\xe9")
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / "readme.TXT").write_text("about")
    status, rows, error = scored(folder)
    assert status == 1 and [row["key"] for row in rows] == ["000000", "000001", "000003"]
    assert rows[0]["error"] is None and re.match("there is no caption: no 000001.txt beside 000001", rows[1]["error"])
    assert rows[2]["error"].startswith("the caption is no UTF-8 text: byte 3 is 0xe9")
    note = "note: 2 .txt files without a picture of their name are left out, 000002.txt first"
    assert error.splitlines()[0] == f"clip4dm score: {note}"


def test_pipes_are_not_waited_for(scored, pictures, pairs, tmp_path):
    """A picture or a caption that is none, and a table: nobody may ever write to it."""
    folder = write_folder(tmp_path / "folder", pictures, pairs[:3])
    for path in (folder / "000001.txt", next(path for path in folder.glob("000002.*") if path.suffix != ".txt")):
        path.unlink()
        os.mkfifo(path)
    status, rows, _ = scored(folder)
    assert status == 1 and rows[0]["error"] is None and all("is a pipe" in row["error"] for row in rows[1:])
    for name in ("captions.csv", "captions.json", "captions.parquet", "00000.tar"):
        os.mkfifo(tmp_path / name)
        status, rows, error = scored(tmp_path / name, output="none")
        assert status == 2 and f"{name} is a pipe" in error and len(error.splitlines()) == 1


def test_a_readme_is_no_caption(scored, pictures, pairs, tmp_path):
    """Nor is it another data set once there is one."""
    folder = write_folder(tmp_path / "folder", pictures, pairs[:4])
    assert scored(folder)[0] == 0
    (folder / "readme.txt").write_text("about")
    status, rows, error = scored(folder)
    assert status == 0 and len(rows) == 4 and "note: 1 .txt files without a picture" in error
    for path in folder.iterdir():
        if path.suffix != ".txt":
            path.unlink()
    status, _, error = scored(folder, output="none")
    assert status == 2 and "has no pictures in it" in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_caption_is_taken_as_given(end, scored, pictures, pairs, tmp_path):
    """But for what ends a text file's last line: white space is the caption's in every form."""
    image, caption = pairs[0][0], "\t a red  circle "
    write_table(tmp_path / "captions.csv", [(image, caption)])
    folder = write_folder(tmp_path / "folder", pictures, [(image, caption)])
    (folder / "000000.txt").write_bytes((caption + end).encode())
    write_tars(tmp_path / "tars", pictures, [(image, caption + end)], per_tar=1)
    for number, source in enumerate((tmp_path / "captions.csv", folder, tmp_path / "tars" / "00000.tar")):
        status, rows, _ = scored(source, output=f"scores{number}")
        assert status == 0 and [row["caption"] for row in rows] == [caption]
        assert [word["text"] for word in rows[0]["words"]] == ["a", "red", "circle"]
