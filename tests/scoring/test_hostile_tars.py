"""Tar shards that are cut, damaged or meant ill: what is whole is scored, what is not has a row that says why."""

from __future__ import annotations

import io
import re
import tarfile

import contract
import pytest
from drawn_pairs import write_tars


@pytest.fixture
def tar(pictures, pairs, tmp_path):
    """A whole tar of seven pairs, and its members, without their extended headers, as (header, content) in bytes."""
    write_tars(tmp_path / "tars", pictures, pairs[:7], per_tar=7)
    path = tmp_path / "tars" / "00000.tar"
    with tarfile.open(path) as file:
        return path, {member.name: (member.offset_data - 512, member.offset_data) for member in file}


def assert_as_before(rows, before):
    assert [row["key"] for row in rows] == [row["key"] for row in before]
    for now, then in zip(rows, before, strict=True):
        assert now["error"] is None and abs(now["cosine"] - then["cosine"]) <= contract.COSINE


CUT = r"the tar is cut short or damaged here \(ReadError: unexpected end of data\)"
ENDS = "the tar is damaged: it ends without the mark that ends a tar"


@pytest.mark.parametrize(
    ("member", "more", "scored_pairs", "expected"),
    [
        ("000004.png", 700, 4, {"000004": CUT}),
        ("000004.png", 512, 4, {"000004": CUT}),
        ("000004.png", 100, 4, {"(damaged)": "is damaged .truncated header"}),
        ("000004.png", -1024, 4, {"(damaged)": ENDS}),  # between two pairs, before the extended header
        ("000004.txt", 520, 4, {"000004": CUT}),
        ("000004.txt", -1024, 4, {"000004": "there is no caption", "(damaged)": ENDS}),
        ("000000.txt", -1024, 0, {"(damaged)": "ReadError: empty file"}),
    ],
)
def test_a_tar_cut_in_the_middle(scored, tar, member, more, scored_pairs, expected):
    """What lies before the cut is scored as if nothing were; what was cut has a row that says so."""
    path, places = tar
    _, before, _ = scored(path)
    path.write_bytes(path.read_bytes()[: places[member][0] + more])
    status, rows, said = scored(path)
    assert status == 1 and "could not be scored" in said
    assert_as_before(rows[:scored_pairs], before[:scored_pairs])
    wrong = {row["key"]: row["error"] for row in rows[scored_pairs:]}
    assert wrong.keys() == expected.keys()
    assert all(re.search(expected[key], reason) for key, reason in wrong.items()), wrong


def test_a_tar_with_a_damaged_header_goes_on_behind_it(scored, tar):
    path, places = tar
    _, before, _ = scored(path)
    data = bytearray(path.read_bytes())
    data[places["000003.jpg"][0] + 200] ^= 255  # of a pair's picture
    path.write_bytes(bytes(data))
    _, rows, _ = scored(path, output="again")
    by_key = {row["key"]: row for row in rows}
    assert_as_before([by_key[row["key"]] for row in before if row["key"] != "000003"], before[:3] + before[4:])
    assert by_key["000003"]["error"].startswith("there is no picture")
    assert re.search(r"the tar is damaged: the header at byte \d+ is damaged", by_key["(damaged)"]["error"])


def test_tars_whose_names_lead_outside(scored, pictures, pairs, tmp_path):
    """Nothing is ever unpacked, and such a pair is not scored: what reads it later might unpack."""
    image, caption = pairs[0]
    data = (pictures / image).read_bytes()
    ending = image.rpartition(".")[2]
    path = tmp_path / "odd.tar"
    with tarfile.open(path, "w") as tar:
        for stem in ("../up", "/root/absolute", "a/../../up", "fine", "deep/er"):
            for name, content in ((f"{stem}.{ending}", data), (f"{stem}.txt", caption.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        for name, kind in ((f"link.{ending}", tarfile.SYMTYPE), (f"pipe.{ending}", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    _, rows, _ = scored(path)
    assert [(row["key"], row["error"] and row["error"].partition("' ")[2]) for row in rows] == [
        ("../up", "leads out of the tar"),
        ("/root/absolute", "leads out of the tar"),
        ("a/../../up", "leads out of the tar"),
        ("fine", None),
        ("deep/er", None),
        ("link", "is no regular file"),
        ("pipe", "is no regular file"),
    ]
    assert {path for path in tmp_path.rglob("*") if path not in before} == {
        tmp_path / "scores",
        *tmp_path.glob("scores/*"),
    }


def test_a_tar_with_parts_missing_and_names_twice(scored, pictures, pairs, tmp_path):
    image, caption = pairs[0]
    data, ending = (pictures / image).read_bytes(), image.rpartition(".")[2]
    path = tmp_path / "odd.tar"
    members = [
        (f"bare.{ending}", data),
        ("words.txt", caption.encode()),
        (f"twice.{ending}", data), ("twice.txt", caption.encode()),
        (f"twice.{ending}", data), ("twice.txt", b"another"),
        (f"several.0.{ending}", data), (f"several.1.{ending}", data), ("several.txt", caption.encode()),
        (f"number.{ending}", data), ("number.json", b'{"caption": 7}'),
        (f"broken.{ending}", data), ("broken.json", b"{"),
        (f"listed.{ending}", data), ("listed.json", b'{"caption": ["a", "b"]}'),
        ("readme.md", b"no sample"),
    ]  # fmt: skip
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    _, rows, _ = scored(path, "--input_format", "tar")
    assert [(row["key"], row["error"] and row["error"][:38]) for row in rows] == [
        ("bare", "there is no caption: no bare.txt or ba"),
        ("words", "there is no picture: jpg, jpeg, png, w"),
        ("twice", None),
        ("twice", "the key 'twice' came before in this sh"),
        (f"several.0.{ending}", None),
        (f"several.1.{ending}", None),
        ("number", "the caption is a number, 7; a caption "),
        ("broken", "its json file is no JSON: Expecting pr"),
        ("listed", "the caption is a list, ['a', 'b']; a c"),
    ]
