"""Files that are none: pipes, devices, folders, sparse files of zeros, JSON that is no JSON."""

from __future__ import annotations

import json
import os
import socket

import pytest

from clip4dm.files.reading import FileError, check_regular, is_number, parse_json, read_json, read_text


def test_only_regular_files_are_read_and_nothing_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
        cases = {
            tmp_path / "pipe": "is a pipe, as <.* makes one, and can be read only once",
            tmp_path: "is a folder",
            "/dev/zero": "is a device",
            tmp_path / "socket": "is a socket",
            tmp_path / "link": "is a link to nothing",
            tmp_path / "none": "no such file",
            tmp_path / ("n" * 300): "File name too long",
            "a\0b": "null byte",
        }
        for path, message in cases.items():
            for read in (check_regular, read_text, read_json):
                with pytest.raises(FileError, match=message):
                    read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\0" * 9, "begins with a zero byte"),
        (b"{", "line 1 column 2"),
        ("[1]".encode("utf-16"), "is UTF-16 text"),
        (b'["\xff"]', "byte 2 is 0xff"),
        (b"[NaN]", "NaN is no finite number"),
        (b"[-Infinity]", "-Infinity is no finite number"),
        (b"[1e999]", "1e999 is no finite number"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"9" * 5000, "is no JSON"),
    ],
)
def test_what_is_no_json_is_one_line(tmp_path, content, message):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_sparse_file_of_zeros_costs_no_memory(tmp_path):
    import resource

    path = tmp_path / "zeros.json"
    with open(path, "wb") as file:
        file.truncate(3 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileError, match="has 3221225472 bytes, more than any such file"):
        read_json(path)
    os.truncate(path, 1 << 30)
    with pytest.raises(FileError, match="zero byte"):
        read_json(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_json_that_is_json_is_the_standard_librarys(tmp_path):
    content = {"a": [1, -2.5e-300, "\ud800 ü", None, True], "": {}}
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    assert read_json(tmp_path / "x.json") == content == parse_json(json.dumps(content))
    assert [is_number(v) for v in (1, -2.5, True, "1", None, float("nan"), float("inf"), 10**400)] == [
        True,
        True,
        *[False] * 6,
    ]
