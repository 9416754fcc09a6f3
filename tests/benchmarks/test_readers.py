"""Annotation files: small ones made here, and the real ones where they are."""

from __future__ import annotations

import csv
import json

import pytest
from annotation_files import FILES, FOIL, HAT, NOCAPS, RICHHF, texts, write

from clip4dm.benchmarks import BENCHMARKS, BenchmarkError, get_benchmark, read_benchmark
from clip4dm.benchmarks.tfrecord import write_examples


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
    coco = {
        "annotations": [
            {"id": 1, "image_id": 7, "caption": "a dog near a hot dog."},
            {"id": 2, "image_id": 7, "caption": "dogs"},
            {"id": 3, "image_id": 8, "caption": "other"},
        ]
    }
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
    (sample,) = reading.samples
    assert (
        texts(sample) == ["different", "directions."] and sample.label == "different directions" and sample.misaligned
    )


def test_richhf_json_and_tfrecord(tmp_path):
    rows = [
        {
            "filename": [b"x.png"],
            "misalignment_score": [0.25],
            "artifact_score": [0.5],
            "prompt_misalignment_label": [b"1 0 1 0 1"],
        }
    ]
    write_examples(tmp_path / "test.tfrecord", rows)
    with pytest.raises(BenchmarkError, match="holds no prompts.*metadata.json is not there"):
        read_benchmark(tmp_path / "test.tfrecord", img_dir=tmp_path)
    write(tmp_path, {"x.png": RICHHF[0]["prompt"]}, "metadata.json")
    from_record = read_benchmark(tmp_path / "test.tfrecord", img_dir=tmp_path)[1]
    from_json = read_benchmark(write(tmp_path, RICHHF), img_dir=tmp_path)[1]
    assert from_record.samples == from_json.samples
    (sample,) = from_json.samples
    assert [sample.caption[a:b] for a, b in sample.tokens] == ["a", "cat", "two", "dogs", "no"]
    assert sample.token_labels == (False, True, False, True, False) and sample.gt_score == 0.25
    assert texts(sample) == ["cat", "dogs"]


def test_richhf_rows_with_another_number_of_labels_are_left_out_and_counted(tmp_path):
    rows = [RICHHF[0], {**RICHHF[0], "filename": "y.png", "image": "y.png", "labels": [1, 0]}]
    _, reading = read_benchmark(write(tmp_path, rows))
    assert len(reading.samples) == 1
    assert reading.left_out == {"the prompt has another number of tokens than there are labels": 1}


def test_seetrue_csv_json_and_saved_dataset(tmp_path):
    columns = ["", "image_caption", "image_name", "dataset_source", "caption_misalignment"]
    rows = [
        ["0", '"A blue shirt, two dogs"', "p.jpg", "cococon", "Blue  shirt."],
        ["1", "a cat", "q.jpg", "drawbench", "a dog"],
    ]
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


@pytest.mark.parametrize("labels", [[True, False, True, False, True], [1, 0, 1, 0, 1], "1 0 1 0 1"])
def test_labels_may_be_true_and_false_or_1_and_0(tmp_path, labels):
    _, reading = read_benchmark(write(tmp_path, [{**RICHHF[0], "labels": labels}]))
    assert reading.samples[0].token_labels == (False, True, False, True, False)
    words = [[word, int(label) if isinstance(labels[0], int) else label] for word, label in HAT[0]["grounding"]]
    _, reading = read_benchmark(write(tmp_path, [{**HAT[0], "grounding": words}]))
    assert texts(reading.samples[0]) == ["different", "directions."]


@pytest.mark.parametrize(
    ("file", "name", "samples", "misaligned", "unlocated"),
    [
        ("foil/foil_valse_nouns.json", "foil", 136, 68, 0),
        ("foil/foil_sugarcrepe_replace.json", "foil", 1764, 882, 0),
        ("nocaps/nocaps-val-foil.json", "nocaps", 5000, 2500, 0),
        ("hat/hat-trainval.json", "hat", 400, 135, 0),
        ("seetrue/SeeTRUE_Feedback.csv", "seetrue", 2008, 2008, 204),
    ],
)
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
