"""Flickr8k's ratings: what is read of a row, which rows are left out, which captions are references; wrong files."""

from __future__ import annotations

import json

import pytest
from annotation_files import CROWD, EXPERT, FOIL, write

from clip4dm.benchmarks import BenchmarkError, read_benchmark

REFERENCES = {
    "p.jpg": ["A cat sleeps .", "A cat on a  sofa .", "A sofa .", "A grey cat .", "The cat sleeps ."],
    "q.jpg": ["A dog .", "Dogs ."],
}


def rows(first, *changes):
    """Rows like the first, each with a caption id of its own."""
    return [{**first, "caption_id": f"s.jpg#{number}", **change} for number, change in enumerate(changes)]


def test_each_expert_is_a_rating_and_the_score_their_mean(tmp_path):
    benchmark, reading = read_benchmark(write(tmp_path, EXPERT))
    (sample,) = reading.samples
    assert (benchmark.name, benchmark.kendall, benchmark.positive) == ("expert", "c", None)
    assert sample.ratings == (1.0, 1.0, 2.0) and sample.gt_score == 4 / 3
    assert (sample.image, sample.image_id, sample.id) == ("p.jpg", "p", "p.jpg:q.jpg#2")
    assert sample.references == sample.spans == () and not sample.misaligned and sample.label == ""
    assert reading.describe() == {"samples": 1, "images": 1, "ratings": 3, "not located": {}, "left out": {}}


def test_the_crowds_one_rating_is_its_share_of_yes(tmp_path):
    content = rows(CROWD[0], {}, {"yes": 3, "no": 0}, {"yes": 0, "no": 5}, {"yes": 0, "no": 0})
    benchmark, reading = read_benchmark(write(tmp_path, content))
    assert (benchmark.name, benchmark.kendall) == ("crowd", "b")
    assert [sample.ratings for sample in reading.samples] == [(1 / 3,), (1.0,), (0.0,)]
    assert [sample.gt_score for sample in reading.samples] == [1 / 3, 1.0, 0.0]
    assert reading.left_out == {"nobody rated it": 1}


def test_an_experts_pair_with_the_pictures_own_caption_is_left_out(tmp_path):
    content = rows(
        EXPERT[0],
        {"caption_id": "p.jpg#0", "caption": "A cat sleeps ."},  # by its id, and by its text
        {"caption": "A cat on a sofa ."},  # by its text: another picture has the very caption
        {"caption": "A dog ."},
        {"image": "q.jpg", "caption": "A cat sleeps ."},
    )
    references = write(tmp_path, REFERENCES, "captions.json")
    _, reading = read_benchmark(write(tmp_path, content), reference_path=references)
    assert reading.left_out == {"the caption is the picture's own": 2}
    assert [(sample.image, sample.references) for sample in reading.samples] == [
        (image, tuple(REFERENCES[image])) for image in ("p.jpg", "q.jpg")
    ]
    _, without = read_benchmark(write(tmp_path, content))
    assert without.left_out == {"the caption is the picture's own": 1}  # whose id says so
    assert all(sample.references == () for sample in without.samples)


def test_what_the_crowd_judges_is_no_reference_of_that_picture(tmp_path):
    content = rows(
        CROWD[0],
        {"caption": "A dog ."},
        {"caption_id": "p.jpg#1", "caption": "A cat on a sofa ."},
        {"image": "q.jpg", "caption": "A sofa ."},
    )
    references = write(tmp_path, REFERENCES, "captions.json")
    _, reading = read_benchmark(write(tmp_path, content), reference_path=references)
    assert reading.left_out == {}
    left = ("A cat sleeps .", "A sofa .", "A grey cat .", "The cat sleeps .")
    assert [sample.references for sample in reading.samples] == [left, left, ("A dog .", "Dogs .")]


def test_rows_without_caption_ratings_or_references_are_counted(tmp_path):
    content = rows(EXPERT[0], {"caption": None}, {"caption": "  "}, {"ratings": []}, {"image": "r.jpg"}, {})
    references = write(tmp_path, REFERENCES, "captions.json")
    _, reading = read_benchmark(write(tmp_path, content), reference_path=references)
    assert [sample.id for sample in reading.samples] == ["p.jpg:s.jpg#4"]
    assert reading.left_out == {
        "there is no caption": 2,
        "nobody rated it": 1,
        "the references have no captions of its picture": 1,
    }


@pytest.mark.parametrize(
    ("first", "change", "message"),
    [
        (EXPERT, {"ratings": [1, "2"]}, "field 'ratings' is a list of finite numbers, and '2' is none"),
        (EXPERT, {"ratings": [1, True]}, "field 'ratings' is a list of finite numbers, and True is none"),
        (EXPERT, {"ratings": [1, None]}, "field 'ratings' is a list of finite numbers, and None is none"),
        (EXPERT, {"ratings": 2}, "field 'ratings' is 2, not a list"),
        (EXPERT, {"caption": 5}, "field 'caption' is 5, not a string"),
        (EXPERT, {"caption_id": None}, "field 'caption_id' is None, not a string"),
        (EXPERT, {"caption_id": "q.jpg#2"}, "sample id 'p.jpg:q.jpg#2' occurs twice, first in .*row 0"),
        (CROWD, {"yes": 1.5}, "field 'yes' is 1.5, not a number"),
        (CROWD, {"no": True}, "field 'no' is True, not a number"),
        (CROWD, {"no": -1}, "field 'no' is -1; a count is 0 or more"),
    ],
)
def test_rows_that_are_wrong_are_named_in_one_line(tmp_path, first, change, message):
    path = write(tmp_path, [*first, {**first[0], "caption_id": "q.jpg#3", **change}])
    with pytest.raises(BenchmarkError, match=f"row 1: {message}") as caught:
        read_benchmark(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("first", [EXPERT, CROWD])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (FOIL, r"which should be {picture: \[caption, ...\]}: field 'images' is a list of strings, and .* is none"),
        ([REFERENCES], r"is a list, not Flickr8k's {picture: \[caption, ...\]}"),
        ({"p.jpg": "A cat ."}, "field 'p.jpg' is 'A cat .', not a list"),
        ({"p.jpg": ["A cat .", 3]}, "field 'p.jpg' is a list of strings, and 3 is none"),
        ('{"p.jpg": [', "is no JSON"),
    ],
)
def test_references_that_are_none(tmp_path, first, content, message):
    references = write(tmp_path, content, "captions.json")
    with pytest.raises(BenchmarkError, match=message) as caught:
        read_benchmark(write(tmp_path, first), reference_path=references)
    assert str(references) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("file", "pairs", "ratings"), [("expert", 5664, 16992), ("crowd", 47288, 47288)])
def test_the_real_files(shared, file, pairs, ratings):
    folder = shared / "data" / "flickr8k"
    if not folder.is_dir():
        pytest.skip("Flickr8k is not in ../shared")
    benchmark, reading = read_benchmark(folder / f"{file}.json", reference_path=folder / "captions.json")
    counts = reading.describe()
    assert (benchmark.name, counts["samples"], counts["ratings"]) == (file, pairs, ratings)
    assert counts["left out"] == ({"the caption is the picture's own": 158} if file == "expert" else {})
    captions = json.loads((folder / "captions.json").read_text())
    for sample in reading.samples:
        assert sample.caption not in sample.references
        assert set(sample.references) <= set(captions[sample.image]) and len(sample.references) >= 3
