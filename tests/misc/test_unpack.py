"""misc/fetching/unpack.py: what a zip from anywhere may hold. Whatever it is, it is named, and the rest is unpacked."""

import io
import os
import signal
import struct
import subprocess
import sys
import time
import zipfile

import download_coco_image
import pytest
from badserver import jpeg, serving, started
from fetching.folder import MISSING
from PIL import Image
from places import ROOT

GOOD = [f"COCO_val2014_{i:012d}.jpg" for i in range(1, 4)]


@pytest.fixture
def server():
    with serving() as running:
        yield running


def zipped(*members, method=zipfile.ZIP_DEFLATED):
    """A zip of the good pictures around the given (name, bytes)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in (
            (f"val2014/{GOOD[0]}", jpeg(0)),
            *members,
            (f"val2014/{GOOD[1]}", jpeg(1)),
            (f"val2014/{GOOD[2]}", jpeg(2)),
        ):
            archive.writestr(name, data)
    return bytearray(file.getvalue())


def headers(data, name):
    """Where a member's local header and its entry in the directory begin."""
    local = data.index(b"PK\x03\x04", data.index(name.encode()) - 60)
    entry = next(
        place
        for place in range(len(data))
        if data[place : place + 4] == b"PK\x01\x02" and data[place + 46 : place + 46 + len(name)] == name.encode()
    )
    return local, entry


def unpack(server, folder, data, kind="ok"):
    server.bodies["val2014.zip"] = bytes(data)
    return download_coco_image.main(
        [
            "--zip",
            "--zip_url",
            f"{server.url}/{kind}/val2014.zip",
            "--save_dir",
            str(folder),
            "--max_bytes",
            "1000000",
            "--retries",
            "1",
        ]
    )


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def damaged(how):
    """A zip whose member bad.jpg is damaged."""
    if how in ("lzma", "bzip2"):
        data = zipped(("bad.jpg", jpeg(9)), method={"lzma": zipfile.ZIP_LZMA, "bzip2": zipfile.ZIP_BZIP2}[how])
    else:
        data = zipped(("bad.jpg", jpeg(9)))
    local, entry = headers(data, "bad.jpg")
    if how == "checksum":
        data[entry + 16 : entry + 20] = data[local + 14 : local + 18] = b"\1\2\3\4"
    elif how == "method":
        data[entry + 10 : entry + 12] = data[local + 8 : local + 10] = struct.pack("<H", 77)
    elif how == "encrypted":
        data[entry + 8] |= 1
        data[local + 6] |= 1
    elif how == "offset":
        data[entry + 42 : entry + 46] = struct.pack("<I", len(data) * 2)
    elif how == "name":
        data[local + 30 : local + 37] = b"bud.jpg"
    else:  # deflate, lzma, bzip2: the compressed bytes
        data[local + 60 : local + 90] = b"\xff" * 30
    return data


@pytest.mark.parametrize(
    "how, said",
    [
        ("checksum", "Bad CRC-32"),
        ("method", "compression method"),
        ("encrypted", "encrypted"),
        ("offset", "bad.jpg: "),
        ("name", "differ"),
        ("deflate", "damaged: "),
        ("lzma", "damaged: "),
        ("bzip2", "damaged: "),
    ],
)
def test_a_damaged_member_is_named_and_the_rest_unpacked(server, tmp_path, capsys, how, said):
    with pytest.raises(SystemExit) as stopped:
        unpack(server, tmp_path, damaged(how))
    assert stopped.value.code == 1
    captured = capsys.readouterr()
    assert "3 of 4 files" in captured.out
    assert said in captured.err and "bad.jpg: " in captured.err
    assert "val2014.zip is kept" in captured.err
    assert names(tmp_path) == {*GOOD, MISSING, ".zip/val2014.zip", ".zip/manifest.jsonl"}
    assert (tmp_path / MISSING).read_text().startswith("bad.jpg\t")
    assert all((tmp_path / name).read_bytes() == jpeg(i) for i, name in enumerate(GOOD))


WRONG = {
    "not a picture": b"#!/bin/sh\n" * 50,
    "a page": b"<!DOCTYPE html><p>no",
    "empty": b"",
    "cut": jpeg(9)[:2000],
    "a bomb": b"\0" * 5_000_000,
}
SAID = {
    "not a picture": "does not begin as one",
    "a page": "a page of text",
    "empty": "does not begin as one",
    "cut": "not a whole picture",
    "a bomb": "over the limit of 1000000",
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_a_picture_by_name_alone_is_named(server, tmp_path, capsys, kind):
    with pytest.raises(SystemExit):
        unpack(server, tmp_path, zipped(("val2014/bad.jpg", WRONG[kind])))
    assert SAID[kind] in capsys.readouterr().err
    assert names(tmp_path) == {*GOOD, MISSING, ".zip/val2014.zip", ".zip/manifest.jsonl"}


def test_names_that_lead_out_or_cannot_be(server, tmp_path, capsys):
    folder, odd = tmp_path / "in", ["x" * 260 + ".jpg", "..\\..\\evil.jpg", "a\x1b[31m.jpg"]
    with pytest.raises(SystemExit):
        unpack(server, folder, zipped(("folder.jpg/", b""), *((name, jpeg(9)) for name in odd)))
    error = capsys.readouterr().err
    assert error.count("is no name of a file inside the folder") == 3
    assert "\x1b" not in error
    assert names(tmp_path) == {f"in/{name}" for name in (*GOOD, MISSING, ".zip/val2014.zip", ".zip/manifest.jsonl")}


def test_two_members_of_one_name(server, tmp_path, capsys):
    """The same picture twice is one picture; another of that name is named, and the first is kept."""
    unpack(server, tmp_path / "same", zipped((f"copy/{GOOD[0]}", jpeg(0))))
    assert names(tmp_path / "same") == set(GOOD)
    with pytest.raises(SystemExit):
        unpack(server, tmp_path / "other", zipped((f"other/{GOOD[0]}", jpeg(7))))
    assert (
        f"other/{GOOD[0]}: another picture called {GOOD[0]} came before it, 'val2014/{GOOD[0]}'"
        in capsys.readouterr().err
    )
    assert (tmp_path / "other" / GOOD[0]).read_bytes() == jpeg(0)
    assert (tmp_path / "other" / ".zip" / "val2014.zip").exists()


@pytest.mark.parametrize("kind", ["empty", "no picture", "no zip", "cut", "damaged directory"])
def test_an_archive_without_pictures_is_an_error(server, tmp_path, capsys, kind):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        if kind != "empty":
            archive.writestr("readme.txt", "no picture")
    data = bytearray(file.getvalue())
    if kind == "no zip":
        data = bytearray(b"\x1f\x8b" + b"x" * 1000)
    elif kind == "cut":
        data = zipped()[:-200]
    elif kind == "damaged directory":
        data = zipped()
        entry = headers(data, f"val2014/{GOOD[1]}")[1]
        data[entry : entry + 4] = b"XXXX"
    with pytest.raises(SystemExit) as stopped:
        unpack(server, tmp_path, data)
    captured = capsys.readouterr()
    assert "unpacked" not in captured.out
    assert not list(tmp_path.rglob("*.part*"))
    if kind in ("empty", "no picture"):
        assert stopped.value.code == 2
        assert "has no picture in it" in captured.err
        assert (tmp_path / ".zip" / "val2014.zip").exists()
    else:
        assert stopped.value.code == 1
        assert "not a whole zip file" in captured.err
        assert sum(server.counts.values()) == 1  # it came as it was promised: it is not asked for again


def test_what_is_there_is_kept_if_it_is_the_zips(server, tmp_path, capsys):
    kept, stale = tmp_path / GOOD[0], tmp_path / GOOD[1]
    kept.write_bytes(jpeg(0))
    stale.write_bytes(bytes(len(jpeg(1))))  # of the right size
    before = kept.stat().st_mtime_ns
    unpack(server, tmp_path, zipped())
    assert "2 pictures unpacked" in capsys.readouterr().out
    assert kept.stat().st_mtime_ns == before
    assert stale.read_bytes() == jpeg(1)
    assert names(tmp_path) == set(GOOD)


@pytest.mark.parametrize("place", [".zip", GOOD[0], GOOD[0] + ".part", MISSING + ".part"])
def test_a_link_is_not_written_through(server, tmp_path, capsys, place):
    folder, outside = tmp_path / "in", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "precious").write_text("as it was")
    (folder / place).symlink_to(outside if place == ".zip" else outside / "precious")
    if place == ".zip":
        with pytest.raises(SystemExit) as stopped:
            unpack(server, folder, zipped())
        assert stopped.value.code == 2
        assert ".zip is a link" in capsys.readouterr().err
    else:
        with pytest.raises(SystemExit):
            unpack(server, folder, zipped(("bad.jpg", b"")))
        assert (folder / GOOD[0]).read_bytes() == jpeg(0)
    assert names(outside) == {"precious"}
    assert (outside / "precious").read_text() == "as it was"


def test_a_full_disk_keeps_the_archive_and_what_was_unpacked(server, tmp_path, capsys, monkeypatch):
    from fetching import folder as module

    inner, made = module.create, []

    def create(path):
        made.extend([path] if path.name.startswith("COCO") else [])
        return open("/dev/full", "wb") if len(made) > 1 else inner(path)

    monkeypatch.setattr(module, "create", create)
    with pytest.raises(SystemExit) as stopped:
        unpack(server, tmp_path, zipped())
    assert stopped.value.code == 1
    captured = capsys.readouterr()
    assert "1 fetched" in captured.out and "No space left on device" in captured.out
    assert names(tmp_path) == {GOOD[0], ".zip/val2014.zip", ".zip/manifest.jsonl"}
    monkeypatch.setattr(module, "create", inner)
    unpack(server, tmp_path, zipped())
    assert names(tmp_path) == set(GOOD)
    assert "2 pictures unpacked into" in capsys.readouterr().out
    assert server.counts["/ok/val2014.zip"] == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_unpacking_is_taken_up_where_it_was_interrupted(server, tmp_path, how):
    picture = io.BytesIO()
    Image.new("RGB", (400, 300), (9, 99, 199)).save(picture, "PNG", compress_level=0)
    many = [(f"{i:04d}.png", picture.getvalue()) for i in range(400)]
    server.bodies["val2014.zip"] = bytes(zipped(*many))
    command = [
        sys.executable,
        str(ROOT / "misc" / "download_coco_image.py"),
        "--zip",
        "--zip_url",
        f"{server.url}/ok/val2014.zip",
        "--save_dir",
        str(tmp_path),
    ]
    with started(command) as process:
        while len(list(tmp_path.glob("*.png"))) < 30:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        os.kill(process.pid, how)
        _, error = process.communicate(timeout=30)
    assert process.returncode == (-9 if how == signal.SIGKILL else 128 + how), error
    assert "Traceback" not in error
    there = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    assert 30 <= len(there) < 400
    assert all(path.read_bytes() == picture.getvalue() for path in there)
    if how != signal.SIGKILL:
        assert not list(tmp_path.glob("*.part"))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{403 - len(there) - 1} pictures unpacked" in done.stdout
    assert names(tmp_path) == {*GOOD, *(name for name, _ in many)}
    assert all(path.stat().st_mtime_ns == when for path, when in there.items())
    assert server.counts["/ok/val2014.zip"] == 1
