"""Files are put in place of files alone: links are followed, and what is no file stays what it is."""

from __future__ import annotations

import os
import stat

import pytest

from clip4dm.files.reading import FileError
from clip4dm.files.writing import replace_file


@pytest.mark.parametrize("there", [b"old", None], ids=["file", "nothing yet"])
def test_a_link_stays_and_what_it_leads_to_is_written(there, tmp_path):
    kept, link = tmp_path / "elsewhere" / "kept.txt", tmp_path / "link.txt"
    kept.parent.mkdir()
    if there is not None:
        kept.write_bytes(there)
    link.symlink_to("hop")
    (tmp_path / "hop").symlink_to("elsewhere/kept.txt")
    replace_file(link, b"new")
    assert os.readlink(link) == "hop" and os.readlink(tmp_path / "hop") == "elsewhere/kept.txt"
    assert kept.read_bytes() == b"new" and [path.name for path in kept.parent.iterdir()] == ["kept.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "hop", "link.txt"]


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_stays_what_it_is(linked, tmp_path):
    pipe, asked = tmp_path / "pipe", tmp_path / ("link" if linked else "pipe")
    os.mkfifo(pipe)
    if linked:
        asked.symlink_to(pipe)
    with pytest.raises(FileError, match=f"{asked} is a pipe, and a file cannot be put in its place"):
        replace_file(asked, b"new")
    assert stat.S_ISFIFO(pipe.stat().st_mode) and asked.is_symlink() is linked
    with pytest.raises(FileError, match="is a folder, and"):
        replace_file(tmp_path, b"new")
