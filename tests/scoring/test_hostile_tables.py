"""Tables, folders and tars that are damaged, wrong or meant ill: a row with a reason, or a clear line; the rest is scored."""

from __future__ import annotations

import json
import re
import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn_pairs import write_table
from made_scores import run as choose

from clip4dm.scoring.work import score


def reasons(rows) -> list[str | None]:
    return [row["error"] for row in rows]


def test_captions_of_any_kind(scored, pairs, tmp_path):
    """null, numbers, lists, objects, blanks, half characters, 100 kB: each costs its own row alone."""
    image, caption = pairs[0]
    odd = [caption, None, 7, 2.5, True, ["a", "b"], {"en": "a"}, "", " \n", "a \ud83d cup", caption + " red" * 25_000]
    path = tmp_path / "captions.jsonl"
    path.write_text("".join(json.dumps({"image": image, "caption": one}) + "\n" for one in odd))
    status, rows, said = scored(path)
    assert status == 1 and "9 of 11 pairs could not be scored" in said and "--skip_errors accepts this" in said
    assert [reason and reason[:28] for reason in reasons(rows)] == [
        None,
        "there is no caption",
        "the caption is a number, 7; ",
        "the caption is a number, 2.5",
        "the caption is true or false",
        "the caption is a list, ['a',",
        "the caption is an object, {'",
        "the caption is empty",
        "the caption is empty",
        "the caption is no UTF-8 text",
        None,
    ]
    assert [row["caption"] for row in rows[:7]] == [caption, None, "7", "2.5", "true", '["a", "b"]', '{"en": "a"}']
    assert rows[9]["caption"] == "a ? cup"
    long = rows[10]
    assert long["truncated"] and len(long["words"]) > 25_000 and long["words"][-1]["attribution"] is None
    assert abs(long["words"][0]["attribution"]) > 0
    assert scored(path, "--skip_errors")[0] == 0


def test_captions_without_a_word(scored, pairs, tmp_path):
    """No word of them could be misaligned, so that they would be the best of all."""
    image, caption = pairs[0]
    path = tmp_path / "captions.jsonl"
    odd = ["?", "...", "\u200b", "- , -", caption]
    path.write_text("".join(json.dumps({"image": image, "caption": one}) + "\n" for one in odd))
    status, rows, _ = scored(path)
    assert status == 1 and reasons(rows) == ["the caption has no word to score"] * 4 + [None]
    assert [row["f_clip_score"] for row in rows[:4]] == [None] * 4


def bomb(side: int) -> bytes:
    """A PNG of side x side black pixels, in some kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(b"\0" * (1 + side // 8)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_pictures_of_any_kind(scored, pictures, pairs, tmp_path):
    """Missing, a folder, empty, cut short, a bomb, no picture, none named."""
    good = (pictures / pairs[0][0]).read_bytes()
    made = {
        "bomb.png": bomb(20_000),
        "empty.png": b"",
        "cut.jpg": (pictures / next(image for image, _ in pairs if image.endswith("jpg"))).read_bytes()[:600],
        "text.jpg": b"no picture",
    }
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "good.png").write_bytes(good)
    assert len(made["bomb.png"]) < 1 << 20
    names = [*made, "folder.png", "missing.png", "", "good.png"]
    path = write_table(tmp_path / "captions.csv", [(name, pairs[0][1]) for name in names])
    status, rows, _ = scored(path, "--img_dir", tmp_path)
    assert status == 1
    expected = [
        "bomb.png has too many pixels to be decoded safely",
        "empty.png is empty",
        "cut.jpg is damaged or cut short",
        "text.jpg is not an image of a format that is read",
        "folder.png is a folder",
        "no such image file: .*missing.png",
        "the column 'image' holds no picture: ''",
    ]
    *wrong, right = reasons(rows)
    assert right is None
    for reason, pattern in zip(wrong, expected, strict=True):
        assert re.search(pattern, reason), reason


def test_a_csv_as_spreadsheets_write_it(scored, pairs, tmp_path):
    """A byte order mark, semicolons, quotes and newlines in captions, a blank line, rows too short and too long."""
    image, caption = pairs[0]
    text = (
        f'\ufeffimage;caption;note\r\n{image};"{caption}";a\r\n\r\n{image};"the ""red"" cup;\nsmall";b\r\n'
        f"{image};short\r\n{image};{caption};c;d\r\n"
    )
    path = tmp_path / "captions.csv"
    path.write_text(text, encoding="utf-8", newline="")
    status, rows, _ = scored(path, "--shard_size", 2)  # a shard begins behind a row of two lines
    assert [row["caption"] for row in rows] == [caption, 'the "red" cup;\nsmall', "short", caption]
    assert reasons(rows) == [
        None, None, "the row has 2 fields, and the header 3", "the row has 4 fields, and the header 3",
    ]  # fmt: skip
    assert [row["note"] for row in rows] == ["a", "b", None, "c"] and status == 1


def test_a_csv_in_another_encoding(scored, pairs, tmp_path):
    image, caption = pairs[0]
    path = tmp_path / "captions.csv"
    path.write_bytes(f"image,caption,note\n{image},a café,é\n{image},{caption},é\n".encode("latin-1"))
    _, rows, _ = scored(path)
    assert rows[0]["error"].startswith("the caption is no UTF-8 text: character 5") and rows[1]["error"] is None
    assert [row["note"] for row in rows] == ["?", "?"]
    path.write_bytes(f"image,caption,né\n{image},{caption},1\n".encode("latin-1"))
    assert "has a column whose name is no UTF-8 text: 'n\\udce9'" in scored(path, "--overwrite")[2]
    path.write_bytes("image,caption\n".encode("utf-16"))
    status, _, said = scored(path, "--overwrite")
    assert status == 2 and "captions.csv: it is UTF-16 text; save it as UTF-8" in said


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", "image,caption\n", "there are no rows"),
        (
            "a.csv",
            "photo,words\nx,y\n",
            "no column that looks like images; it has 'photo', 'words': name one by --image",
        ),
        ("a.csv", "image,words\nx,y\n", "no column that looks like captions"),
        ("a.csv", "image,image,caption\nx,y,z\n", "several columns named 'image'"),
        ("a.csv", "url,caption\nhttps://a.b/c.jpg,y\n", "addresses of pictures, and no pictures: .*img2dataset"),
        ("a.json", '{"image": "a"}', "is JSON, but no list of objects"),
        ("a.json", '[{"image": "a"', "is no JSON: .*is the file whole"),
        ("a.parquet", "PAR1", "is no parquet file, or damaged"),
        ("a.txt", "a", "its name does not say what it is; say so by --input_format: csv, tsv"),
        ("none.csv", None, "no such file: .*none.csv"),
        ("folder", None, "no such file or folder"),
    ],
)
def test_what_is_no_input_is_said_in_a_line(scored, tmp_path, name, content, expected):
    if content is not None:
        (tmp_path / name).write_text(content)
    status, rows, said = scored(tmp_path / name)
    assert status == 2 and not rows and len(said.splitlines()) == 1
    assert re.search(expected, said), said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('image,caption\na.png,a cup\nb.png,"a red car\nc.png,a dog\nd.png,a hat\n', 3),
        (
            'image,caption\na.png,"a\ncup"\n"b\n.png","a car\nc.png,a dog',
            5,
        ),  # quotation marks that are closed before it
        ('image,caption\na.png,a cup\nb.png,"', 3),
        ('image,"caption\na.png,a cup\n', 1),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_quotation_mark_that_nothing_closes(scored, tmp_path, text, line, ending):
    """Not the rows after it in silence as part of a caption."""
    path = tmp_path / f"captions.{ending}"
    path.write_text(text if ending == "csv" else text.replace(",", "\t"))
    status, rows, said = scored(path)
    assert status == 2 and not rows and len(said.splitlines()) == 1
    assert f"{path}: the quotation mark that opens in line {line} is closed nowhere" in said


def test_addresses_in_the_image_column(scored, pairs, tmp_path):
    image, caption = pairs[0]
    path = write_table(tmp_path / "captions.csv", [("https://example.org/a.jpg", caption), (image, caption)])
    status, rows, said = scored(path)
    assert status == 1 and "https://example.org/a.jpg is an address: " in said and "img2dataset" in said
    assert rows[1]["error"] is None


def test_numbers_that_are_not_finite_cost_their_own_pairs(demo, pictures, pairs, monkeypatch):
    """Of one picture among others, and of one pair: each is found in its batch, the others are scored."""
    from clip4dm.detection import NotFinite

    encode, detect = demo.encode_images, demo.detect_encoded

    def encode_images(images):
        if any(bool(image[0].max() == image[0].min()) for image in images):
            raise NotFinite("the image tower gives features that are NaN")
        return encode(images)

    def detect_encoded(features, encoded):
        if any(one.caption == pairs[3][1] for one in encoded):
            raise NotFinite("the attributions are not finite numbers")
        return detect(features, encoded)

    monkeypatch.setattr(demo, "encode_images", encode_images)
    monkeypatch.setattr(demo, "detect_encoded", detect_encoded)
    given = [(pictures / image, caption) for image, caption in pairs]
    given[7] = np.zeros((40, 40, 3), dtype=np.uint8), pairs[7][1]
    found = reasons(score(given, demo))
    assert {i: reason for i, reason in enumerate(found) if reason} == {
        3: "the attributions are not finite numbers", 7: "the image tower gives features that are NaN",
    }  # fmt: skip


def test_keys_that_come_twice(scored, pairs, tmp_path):
    """The first is scored: of the others nothing could tell which was meant."""
    path = tmp_path / "captions.jsonl"
    rows = [
        {"key": key, "image": image, "caption": caption} for key, (image, caption) in zip("aab", pairs, strict=False)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, found, _ = scored(path)
    assert [row["key"] for row in found] == ["a", "a", "b"]
    assert [reason is None for reason in reasons(found)] == [True, False, True]
    assert "the key 'a' came before" in found[1]["error"]


@pytest.mark.parametrize("text", ["image,caption\ra.jpg,a car\rb.jpg,a dog\r", "image,caption\na.jpg,a\rcar\n"])
def test_lines_that_end_in_a_carriage_return_alone(text, scored, tmp_path):
    (tmp_path / "captions.csv").write_bytes(text.encode())
    status, rows, error = scored(tmp_path / "captions.csv")
    assert status == 2 and not rows and len(error.splitlines()) == 1
    assert "captions.csv has a carriage return (CR) without a line feed behind it" in error


def test_a_damaged_row_group_costs_its_own_rows(scored, pairs, tmp_path):
    path = write_table(tmp_path / "captions.parquet", pairs)  # row groups of seven
    column = pq.ParquetFile(path).metadata.row_group(1).column(1)
    start = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(bytes(data))
    status, rows, _ = scored(path)
    assert status == 1 and len(rows) == len(pairs) == 20
    assert [reason is None for reason in reasons(rows)] == [True] * 7 + [False] * 7 + [True] * 6
    assert rows[7]["error"].startswith("row group 1 of the table is damaged")


def test_columns_whose_names_are_taken(scored, pairs, tmp_path):
    """A table of an earlier run, scored again: its columns are carried, under other names."""
    table = pa.table({
        "image": [image for image, _ in pairs], "caption": [caption for _, caption in pairs],
        "cosine": [0.5] * len(pairs), "error": ["old"] * len(pairs), "input_error": [1] * len(pairs),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "old.parquet")
    status, rows, _ = scored(tmp_path / "old.parquet")
    assert status == 0 and list(rows[0])[-3:] == ["input_cosine", "input_input_error", "input_error"]
    assert rows[0]["input_cosine"] == 0.5 and rows[0]["input_input_error"] == "old" and rows[0]["input_error"] == 1


def test_columns_that_differ_in_case_alone(scored, pairs, tmp_path, capsys):
    """DuckDB takes them for one."""
    count = range(len(pairs))
    table = pa.table({
        "image": [image for image, _ in pairs], "caption": [caption for _, caption in pairs],
        "F_CLIP_Score": [float(i) for i in count], "ID": list(count), "Id": [-i for i in count],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "own.parquet")
    _, rows, _ = scored(tmp_path / "own.parquet")
    assert list(rows[0])[-3:] == ["input_F_CLIP_Score", "ID", "input_Id"]
    output = tmp_path / "kept.parquet"
    choose(
        tmp_path / "scores",
        "--keep_fraction",
        "0.5",
        "--expr",
        "id - input_id = 2 * id",
        "--output",
        output,
        capsys=capsys,
    )
    kept = sorted(rows, key=lambda one: (-one["f_clip_score"], -one["cosine"]))[: len(rows) // 2]
    assert pq.read_table(output).to_pylist() == sorted(kept, key=lambda one: one["key"])
