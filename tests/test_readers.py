"""Annotation files: small ones made here, the real ones where they are, and every broken kind."""

from __future__ import annotations

import csv
import json

import pytest

from clip4dm.benchmarks import BENCHMARKS, BenchmarkError, get_benchmark, read_benchmark
from clip4dm.benchmarks.tfrecord import TFRecordError, read_examples, write_examples

FOIL = {"images": [{"id": 7, "file_name": "COCO_val2014_000000000007.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 7, "caption": "a dog near a hot dog.", "foil": False, "foil_id": 10, "foil_word": "ORIG",
             "target_word": "ORIG"},
            {"id": 1, "image_id": 7, "caption": "a dog near a hot cat.", "foil": True, "foil_id": 10, "foil_word": "cat",
             "target_word": "dog"}]}
NOCAPS = [{"image_path": "a.jpg", "references": ["one ref"], "baseline": "A TREE, a tree. ", "foil": "A TOWER, a tower. ",
           "replacement": ["tree", "tower"], "domain": "in-domain"}]
HAT = [{"sample_id": "s1", "caption": "A  sign in different directions.", "image_path": "COCO_val2014_000000000009.jpg",
        "grounding": [["A", False], ["sign", False], ["in", False], ["different", True], ["directions.", True]],
        "references": ["a sign"]}]
RICHHF = [{"filename": "x.png", "image": "x.png", "prompt": "a cat; \"two\" dogs?! no", "tokens": [], "labels": [1, 0, 1, 0, 1],
           "misalignment_score": 0.25}]
SEETRUE = [{"id": "r0", "image": "p.jpg", "image_caption": '"A blue shirt, two dogs"', "dataset_source": "cococon",
            "caption_misalignment": "Blue  shirt."}]
FILES = {"foil": FOIL, "nocaps": NOCAPS, "hat": HAT, "richhf": RICHHF, "seetrue": SEETRUE}


def write(folder, content, name="data.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def texts(sample):
    return [sample.caption[a:b] for a, b in sample.spans]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_known_by_its_structure_never_by_its_path(tmp_path, name):
    for folder in ("chat", "nocaps_foil_hat_richhf_seetrue"):  # published code takes these for HAT
        (tmp_path / folder).mkdir()
        benchmark, reading = read_benchmark(write(tmp_path / folder, FILES[name]))
        assert benchmark is BENCHMARKS[name] is get_benchmark(name)
        assert read_benchmark(write(tmp_path / folder, FILES[name]), name)[1] == reading
        assert reading.describe()["not located"] == {} and reading.describe()["left out"] == {}


@pytest.mark.parametrize("asked", FILES)
@pytest.mark.parametrize("given", FILES)
def test_another_benchmarks_file_is_named(tmp_path, asked, given):
    if asked != given:
        with pytest.raises(BenchmarkError, match=f"no annotation file of {asked}; it looks like {given}'s. Expected"):
            read_benchmark(write(tmp_path, FILES[given]), asked)


def test_foil(tmp_path):
    coco = {"annotations": [{"id": 1, "image_id": 7, "caption": "a dog near a hot dog."},
                            {"id": 2, "image_id": 7, "caption": "dogs"}, {"id": 3, "image_id": 8, "caption": "other"}]}
    _, reading = read_benchmark(write(tmp_path, FOIL), reference_path=write(tmp_path, coco, "coco.json"))
    original, foil = reading.samples
    assert not original.misaligned and original.label == "ORIG" and original.spans == ()
    assert foil.label == "cat" and foil.spans == ((17, 20),) and texts(foil) == ["cat"]
    assert original.references == foil.references == ("dogs",)  # itself left out by id
    assert foil.image == "COCO_val2014_000000000007.jpg" and original.id != foil.id


def test_foil_words_that_stand_twice_or_inside_others():
    from clip4dm.benchmarks.foil import locate

    assert locate("a dog by a dog", "dog", "a dog by a cat") == ((11, 14),)
    assert locate("a baseball ball", "ball", "a basebat bat") == ((11, 15),)
    assert locate("the snowboarder", "snowboard", "the skier") == ((4, 13),)
    assert locate("a dog by a dog", "dog", None) == ((2, 5),)
    assert locate("a dog", "zebra", None) == ()


def test_nocaps(tmp_path):
    _, reading = read_benchmark(write(tmp_path, NOCAPS))
    baseline, foil = reading.samples
    assert (baseline.id, foil.id) == ("0-baseline", "0-foil")
    assert texts(foil) == ["TOWER", "tower"] and foil.label == "tower" and foil.groups == {"domain": "in-domain"}
    assert foil.caption == "A TOWER, a tower. " and foil.references == ("one ref",)


def test_hat(tmp_path):
    _, reading = read_benchmark(write(tmp_path, HAT))
    sample, = reading.samples
    assert texts(sample) == ["different", "directions."] and sample.label == "different directions" and sample.misaligned


def test_richhf_json_and_tfrecord(tmp_path):
    rows = [{"filename": [b"x.png"], "misalignment_score": [0.25], "artifact_score": [0.5],
             "prompt_misalignment_label": [b"1 0 1 0 1"]}]
    write_examples(tmp_path / "test.tfrecord", rows)
    with pytest.raises(BenchmarkError, match="holds no prompts.*metadata.json is not there"):
        read_benchmark(tmp_path / "test.tfrecord", img_dir=tmp_path)
    write(tmp_path, {"x.png": RICHHF[0]["prompt"]}, "metadata.json")
    from_record = read_benchmark(tmp_path / "test.tfrecord", img_dir=tmp_path)[1]
    from_json = read_benchmark(write(tmp_path, RICHHF), img_dir=tmp_path)[1]
    assert from_record.samples == from_json.samples
    sample, = from_json.samples
    assert [sample.caption[a:b] for a, b in sample.tokens] == ["a", "cat", "two", "dogs", "no"]
    assert sample.token_labels == (False, True, False, True, False) and sample.gt_score == 0.25
    assert texts(sample) == ["cat", "dogs"]


def test_richhf_rows_with_another_number_of_labels_are_left_out_and_counted(tmp_path):
    rows = [RICHHF[0], {**RICHHF[0], "filename": "y.png", "image": "y.png", "labels": [1, 0]}]
    _, reading = read_benchmark(write(tmp_path, rows))
    assert len(reading.samples) == 1
    assert reading.left_out == {"the prompt has another number of tokens than there are labels": 1}


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
            assert read == rows[:len(read)] and len(read) < 3  # cut between two records
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1:])
        with pytest.raises(TFRecordError, match="record [012]"):
            list(read_examples(path))


def test_a_damaged_tfrecord_is_an_error_of_the_reader(tmp_path):
    path = tmp_path / "x.tfrecord"
    write_examples(path, [{"filename": [b"x.png"], "misalignment_score": [0.1], "prompt": [b"a b"],
                           "prompt_misalignment_label": [b"1 1"]}] * 2)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(BenchmarkError, match="record 1: its data are cut short"):
        read_benchmark(path)


def test_seetrue_csv_json_and_saved_dataset(tmp_path):
    columns = ["", "image_caption", "image_name", "dataset_source", "caption_misalignment"]
    rows = [["0", '"A blue shirt, two dogs"', "p.jpg", "cococon", "Blue  shirt."], ["1", "a cat", "q.jpg", "drawbench", "a dog"]]
    with open(tmp_path / "s.csv", "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    _, reading = read_benchmark(tmp_path / "s.csv")
    first, second = reading.samples
    assert first.caption == "A blue shirt, two dogs" and texts(first) == ["blue shirt"]
    assert first.groups == {"source": "cococon"} and first.misaligned and second.spans == ()
    assert reading.describe()["not located"] == {"the label does not stand in the caption": 1}
    datasets = pytest.importorskip("datasets", reason="the saved form is Hugging Face datasets' own")
    table = {name: [row[i] for row in rows] for i, name in enumerate(columns) if name}
    datasets.Dataset.from_dict(table).save_to_disk(str(tmp_path / "saved"))
    assert read_benchmark(tmp_path / "saved")[1].samples == reading.samples
    datasets.DatasetDict({"test": datasets.Dataset.from_dict(table)}).save_to_disk(str(tmp_path / "saved_dict"))
    assert read_benchmark(tmp_path / "saved_dict")[1].samples == reading.samples


@pytest.mark.parametrize("image", ["../x.jpg", "/etc/passwd", "a/../../x.jpg", "C:\\x.jpg", "..\\x.jpg", "", "\\\\host\\x", "a\0b"])
@pytest.mark.parametrize("name", FILES)
def test_paths_that_climb_out_are_refused(tmp_path, name, image):
    content = json.loads(json.dumps(FILES[name]))
    if name == "foil":
        content["images"][0]["file_name"] = image
    else:
        content[0]["image" if name in ("richhf", "seetrue") else "image_path"] = image
        content[0]["filename"] = content[0]["image_name"] = image
    with pytest.raises(BenchmarkError, match="does not stay inside the image folder"):
        read_benchmark(write(tmp_path, content))


@pytest.mark.parametrize(("name", "spoil", "message"), [
    ("foil", lambda c: c["annotations"][1].pop("caption"), r"annotations\[1\] has no field 'caption'; it has: id"),
    ("foil", lambda c: c["annotations"][1].update(image_id=99), r"annotations\[1\]: image_id 99 is none of the file's 1 images"),
    ("foil", lambda c: c["images"][0].update(file_name=3), r"images\[0\]: field 'file_name' is 3, not a string"),
    ("nocaps", lambda c: c[0].pop("domain"), "row 0 has no field 'domain'"),
    ("nocaps", lambda c: c[0].update(replacement=["x"]), r"row 0: replacement is \['x'\], not \[original, foil\]"),
    ("hat", lambda c: c[0]["grounding"].pop(), "row 0: the grounding's words are not those of the caption"),
    ("hat", lambda c: c.append(c[0]), "sample id 's1' occurs twice"),
    ("hat", lambda c: c.append(5), "row 1 is a int, not an object"),
    ("richhf", lambda c: c[0].update(labels=[1, 2]), "row 0: labels are .* not 0 .misaligned. and 1 alone"),
    ("richhf", lambda c: c[0].update(misalignment_score="x"), "field 'misalignment_score' is 'x', not a number"),
    ("seetrue", lambda c: c.append({**c[0], "id": "r1", "image_caption": None}), "row 1: field 'image_caption' is None"),
])
def test_rows_that_are_wrong_are_named(tmp_path, name, spoil, message):
    content = json.loads(json.dumps(FILES[name]))
    spoil(content)
    with pytest.raises(BenchmarkError, match=message):
        read_benchmark(write(tmp_path, content))


@pytest.mark.parametrize(("content", "message"), [
    ('{"images": [', "is no JSON: .*Is the file whole"), ("", "is empty"), ("[]", "an empty list"),
    ('{"a": 1}', "an object of a"), ("[1, 2]", "a list of int"), ("a,b\n1,2\n", "rows of a, b"),
    ("image_caption,caption_misalignment,dataset_source\nx\n", "row 0 has not as many cells"),
    ('{"images": [], "annotations": []}', "no annotation file of a known benchmark")])
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
    (tmp_path / "x.bin").write_bytes(b"\xff\xfe" * 20)
    with pytest.raises(BenchmarkError, match="neither text"):
        read_benchmark(tmp_path / "x.bin")


@pytest.mark.parametrize(("file", "name", "samples", "misaligned", "unlocated"), [
    ("foil/foil_valse_nouns.json", "foil", 136, 68, 0), ("foil/foil_sugarcrepe_replace.json", "foil", 1764, 882, 0),
    ("nocaps/nocaps-val-foil.json", "nocaps", 5000, 2500, 0), ("hat/hat-trainval.json", "hat", 400, 135, 0),
    ("seetrue/SeeTRUE_Feedback.csv", "seetrue", 2008, 2008, 204)])
def test_the_real_files_are_read_whole_and_their_labels_located(shared, file, name, samples, misaligned, unlocated):
    benchmark, reading = read_benchmark(shared / "data" / file)
    counts = reading.describe()
    assert (benchmark.name, counts["samples"], counts["misaligned"]) == (name, samples, misaligned)
    assert sum(counts["not located"].values()) == unlocated and counts["left out"] == {}
    if name == "nocaps":
        # Each located span exchanged for the original word gives the baseline back: nothing more, nothing less.
        rows = json.loads((shared / "data" / file).read_text())
        for row, foil in zip(rows, reading.samples[1::2], strict=True):
            text = foil.caption
            for start, end in sorted(foil.spans, reverse=True):
                text = text[:start] + row["replacement"][0] + text[end:]
            assert text.lower().split() == row["baseline"].lower().split()
