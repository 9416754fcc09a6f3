"""Annotation files that are wrong, in every way: the error names the file, the row and what was expected."""

from __future__ import annotations

import json
import os
import re
import resource
import struct
from pathlib import Path

import pytest
from annotation_files import FILES, FOIL, SEETRUE, write

from clip4dm.benchmarks import BenchmarkError, get_benchmark, read_benchmark
from clip4dm.benchmarks.tfrecord import TFRecordError, _masked, read_examples, write_examples


def test_tfrecord_values_come_back_and_damage_names_the_record(tmp_path):
    path = tmp_path / "x.tfrecord"
    rows = [{"a": [b"1", b"\xff"], "f": [0.5, -2.0], "i": [3, -4]}, {"a": [b"2"]}, {"a": [b"3" * 300]}]
    write_examples(path, rows)
    assert list(read_examples(path)) == rows
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:cut])
        try:
            read = list(read_examples(path))
        except TFRecordError as error:
            assert "record" in str(error) and str(path) in str(error)
        else:
            assert read == rows[: len(read)] and len(read) < 3  # cut between two records
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(TFRecordError, match="record [012]"):
            list(read_examples(path))


def test_a_record_that_is_whole_but_no_example(tmp_path):
    path, junk = tmp_path / "junk.tfrecord", b"\xff\xff\xff\x01junk"
    length = struct.pack("<Q", len(junk))
    path.write_bytes(length + _masked(length) + junk + _masked(junk))
    with pytest.raises(TFRecordError, match="junk.tfrecord, record 0: not a tf.train.Example"):
        list(read_examples(path))


def test_a_damaged_tfrecord_is_an_error_of_the_reader(tmp_path):
    path = tmp_path / "x.tfrecord"
    write_examples(
        path,
        [
            {
                "filename": [b"x.png"],
                "misalignment_score": [0.1],
                "prompt": [b"a b"],
                "prompt_misalignment_label": [b"1 1"],
            }
        ]
        * 2,
    )
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(BenchmarkError, match="record 1: its data are cut short"):
        read_benchmark(path)


@pytest.mark.parametrize(
    "image", ["../x.jpg", "/etc/passwd", "a/../../x.jpg", "C:\\x.jpg", "..\\x.jpg", "", "\\\\host\\x", "a\0b"]
)
@pytest.mark.parametrize("name", FILES)
def test_paths_that_climb_out_are_refused(tmp_path, name, image):
    content = json.loads(json.dumps(FILES[name]))
    if name == "foil":
        content["images"][0]["file_name"] = image
    else:
        content[0]["image_path" if name in ("nocaps", "hat") else "image"] = image
        content[0]["filename"] = content[0]["image_name"] = image
    with pytest.raises(BenchmarkError, match="does not stay inside the image folder"):
        read_benchmark(write(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("foil", lambda c: c["annotations"][1].pop("caption"), r"annotations\[1\] has no field 'caption'; it has: id"),
        (
            "foil",
            lambda c: c["annotations"][1].update(image_id=99),
            r"annotations\[1\]: image_id 99 is none of the file's 1 images",
        ),
        ("foil", lambda c: c["images"][0].update(file_name=3), r"images\[0\]: field 'file_name' is 3, not a string"),
        ("nocaps", lambda c: c[0].pop("domain"), "row 0 has no field 'domain'"),
        ("nocaps", lambda c: c[0].update(replacement=["x"]), r"row 0: replacement is \['x'\], not \[original, foil\]"),
        ("hat", lambda c: c[0]["grounding"].pop(), "row 0: the grounding's words are not those of the caption"),
        ("hat", lambda c: c.append(c[0]), "sample id 's1' occurs twice"),
        ("hat", lambda c: c.append(5), "row 1 is a int, not an object"),
        ("richhf", lambda c: c[0].update(labels=[1, 2]), "row 0: a label .* is 2, not true, false, 1 or 0"),
        ("richhf", lambda c: c[0].update(misalignment_score="x"), "field 'misalignment_score' is 'x', not a number"),
        (
            "seetrue",
            lambda c: c.append({**c[0], "id": "r1", "image_caption": None}),
            "row 1: field 'image_caption' is None",
        ),
    ],
)
def test_rows_that_are_wrong_are_named(tmp_path, name, spoil, message):
    content = json.loads(json.dumps(FILES[name]))
    spoil(content)
    with pytest.raises(BenchmarkError, match=message):
        read_benchmark(write(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', "is no JSON: .*is the file whole"),
        ("", "is empty"),
        ("[]", "an empty list"),
        ('{"a": 1}', "an object of a"),
        ("[1, 2]", "a list of int"),
        ("a,b\n1,2\n", "rows of a, b"),
        ("image_caption,caption_misalignment,dataset_source\nx\n", "row 0 has not as many cells"),
        ('{"images": [], "annotations": []}', "no annotation file of a known benchmark"),
    ],
)
def test_files_that_are_nothing(tmp_path, content, message):
    with pytest.raises(BenchmarkError, match=message):
        read_benchmark(write(tmp_path, content))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(BenchmarkError, match="no such annotation file"):
        read_benchmark(tmp_path / "none.json")
    with pytest.raises(BenchmarkError, match="is a folder"):
        read_benchmark(tmp_path)
    with pytest.raises(BenchmarkError, match="unknown benchmark 'nocap'; there are: .*Did you mean 'nocaps'"):
        get_benchmark("nocap")
    (tmp_path / "x.bin").write_bytes(b"\x89\xfe" * 20)
    with pytest.raises(BenchmarkError, match="neither text"):
        read_benchmark(tmp_path / "x.bin")


def _set(key, value, inside=None):
    def spoil(content):
        row = content[inside][-1] if inside else content[0]
        row[key] = value

    return spoil


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        *[
            (
                "hat",
                lambda c, v=v: c[0]["grounding"][1].__setitem__(1, v),
                f"row 0: a word's label is {v!r}, not true, false, 1 or 0",
            )
            for v in ("0", "false", "", 2, -1, 0.5, None)
        ],
        ("hat", lambda c: c[0]["grounding"][1].__setitem__(1, []), r"row 0: a word's label is \[\], not true"),
        ("hat", _set("references", [{"a": 1}]), "row 0: field 'references' is a list of strings, and .* is none"),
        ("hat", _set("sample_id", True), "row 0: field 'sample_id' is True, not a string or a number"),
        ("hat", _set("sample_id", 1.5), "row 0: field 'sample_id' is 1.5, not a string or a number"),
        ("hat", _set("grounding", "A sign"), "row 0: field 'grounding' is 'A sign', not a list"),
        ("hat", _set("caption", None), "row 0: field 'caption' is None, not a string"),
        (
            "hat",
            lambda c: c.extend([{**c[0], "sample_id": "s2"}, c[0]]),
            "row 2: sample id 's1' occurs twice, first in .*row 0",
        ),
        *[
            ("richhf", _set("labels", v), "row 0: a label .* is .*, not true, false, 1 or 0")
            for v in (["1", "0", "1", "0", "1"], [1, 0, 1, 0, None], [1.5, 0, 1, 0, 1], "1 0 1 0 x", [[1], 0, 1, 0, 1])
        ],
        ("richhf", _set("labels", {"0": 1}), "row 0: field 'labels' is .*, not a list or a string"),
        ("richhf", _set("misalignment_score", True), "row 0: field 'misalignment_score' is True, not a number"),
        ("richhf", _set("misalignment_score", None), "row 0: field 'misalignment_score' is None, not a number"),
        (
            "richhf",
            _set("misalignment_score", 10**400),
            "row 0: field 'misalignment_score' is 1000.*, not a finite number",
        ),
        ("richhf", _set("misalignment_score", float("nan")), "is no JSON: NaN is no finite number"),
        ("richhf", _set("misalignment_score", float("-inf")), "is no JSON: -Infinity is no finite number"),
        ("richhf", _set("image", 5), "row 0: field 'image' is 5, not a string"),
        ("richhf", lambda c: c.append(c[0]), "row 1: sample id 'x.png' occurs twice, first in .*row 0"),
        ("seetrue", _set("id", ["r"]), r"row 0: field 'id' is \['r'\], not a string or a number"),
        ("seetrue", _set("caption_misalignment", 5), "row 0: field 'caption_misalignment' is 5, not a string"),
        ("seetrue", lambda c: c.append(c[0]), "row 1: sample id 'r0' occurs twice, first in .*row 0"),
        ("seetrue", lambda c: c.append({"id": 3}), "row 1 has no field 'image_caption'"),
        ("nocaps", _set("references", ["a", 5]), "row 0: field 'references' is a list of strings, and 5 is none"),
        ("nocaps", _set("references", "a"), "row 0: field 'references' is 'a', not a list"),
        ("nocaps", _set("replacement", None), "row 0: field 'replacement' is None, not a list"),
        (
            "foil",
            _set("foil_id", [1], "annotations"),
            r"annotations\[1\]: field 'foil_id' is \[1\], not a number or a string",
        ),
        (
            "foil",
            lambda c: c["annotations"][0].update(foil_id={}),
            r"annotations\[0\]: field 'foil_id' is .*, not a number",
        ),
        (
            "foil",
            _set("image_id", [7], "annotations"),
            r"annotations\[1\]: field 'image_id' is \[7\], not a number or a string",
        ),
        ("foil", _set("id", False, "annotations"), r"annotations\[1\]: field 'id' is False, not a number or a string"),
        ("foil", lambda c: c["annotations"].append(None), r"annotations\[2\] is a NoneType, not an object"),
        ("foil", lambda c: c.update(images=None), "field 'images' is None, not a list"),
        ("foil", lambda c: c["images"].append([]), r"images\[1\] is a list, not an object"),
    ],
)
def test_values_of_other_kinds_are_named_with_their_row(tmp_path, name, spoil, message):
    content = json.loads(json.dumps(FILES[name]))
    spoil(content)
    path = write(tmp_path, content)
    with pytest.raises(BenchmarkError, match=message) as caught:
        read_benchmark(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_scores_of_a_tfrecord_that_are_no_numbers(tmp_path):
    row = {"filename": [b"x.png"], "prompt": [b"a b"], "prompt_misalignment_label": [b"1 1"]}
    for score, message in (
        ([float("nan")], "is nan, not a finite number"),
        ([float("inf")], "is inf, not a finite number"),
        ([b"0.5"], "is b'0.5', not a number"),
    ):
        write_examples(
            tmp_path / "x.tfrecord",
            [row | {"filename": [b"y.png"], "misalignment_score": [0.5]}, row | {"misalignment_score": score}],
        )
        with pytest.raises(BenchmarkError, match=f"row 1: field 'misalignment_score' {message}"):
            read_benchmark(tmp_path / "x.tfrecord")
    write_examples(tmp_path / "x.tfrecord", [row | {"misalignment_score": [0.5], "prompt": [b"\xff"]}])
    with pytest.raises(BenchmarkError, match="record 0: 'prompt' is no UTF-8 text"):
        read_benchmark(tmp_path / "x.tfrecord")
    write(tmp_path, ["a b"], "metadata.json")
    write_examples(
        tmp_path / "x.tfrecord", [{k: v for k, v in row.items() if k != "prompt"} | {"misalignment_score": [0.5]}]
    )
    with pytest.raises(BenchmarkError, match="metadata.json is a list, not an object of filename: prompt"):
        read_benchmark(tmp_path / "x.tfrecord", img_dir=tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        "pipe",
        "device",
        "empty",
        "UTF-16",
        "UTF-16 csv",
        "zeros",
        "bracket and zeros",
        "csv and zeros",
        "deep list",
        "deep object",
        "link",
    ],
)
def test_files_that_nobody_should_have_to_wait_for(tmp_path, make):
    """As data and as references: one line that names the file, at once, and no memory for three gigabytes of nothing."""
    path = tmp_path / "x.json"
    sparse = {"zeros": b"", "bracket and zeros": b"[", "csv and zeros": b"image_caption,b\n"}
    if make == "pipe":
        os.mkfifo(path)
    elif make == "device":
        path = Path("/dev/zero")
    elif make == "link":
        path.symlink_to("nowhere")
    elif make in sparse:
        with open(path, "wb") as file:
            file.write(sparse[make])
            file.truncate(3 << 30)
    else:
        path.write_bytes(
            {
                "empty": b"",
                "UTF-16": json.dumps(FOIL).encode("utf-16"),
                "UTF-16 csv": "a,b\n".encode("utf-16"),
                "deep list": b"[" * 100_000,
                "deep object": b'{"a":' * 100_000,
            }[make]
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (
        lambda: read_benchmark(path),
        lambda: read_benchmark(write(tmp_path, FOIL, "foil.json"), reference_path=path),
    ):
        with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
            read()
        assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_a_damaged_saved_dataset_is_named(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the saved form is Hugging Face datasets' own")
    datasets.Dataset.from_dict({key: [str(value)] for key, value in SEETRUE[0].items()}).save_to_disk(
        str(tmp_path / "saved")
    )
    (arrow,) = (tmp_path / "saved").glob("*.arrow")
    whole = arrow.read_bytes()
    for changed in (whole[: len(whole) // 2], b"", b"\0" * len(whole)):
        arrow.write_bytes(changed)
        with pytest.raises(BenchmarkError, match="saved"):
            read_benchmark(tmp_path / "saved")
