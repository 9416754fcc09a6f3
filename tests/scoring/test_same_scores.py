"""The same pairs in every form that is read: the same scores, those of `CLIP4DM.detect`."""

from __future__ import annotations

import contract
import pytest
from drawn_pairs import numbers, read_rows, write_folder, write_parquet_of_bytes, write_table, write_tars

from clip4dm.scoring.pairs import Pair
from clip4dm.scoring.schema import row
from clip4dm.scoring.work import score

FORMS = ("csv", "jsonl", "json", "parquet", "bytes", "folder", "tar", "tar of json")


@pytest.fixture(scope="module")
def expected(demo, pictures, pairs):
    """What `detect` says of each pair alone."""
    return [demo.detect(str(pictures / image), caption)[0] for image, caption in pairs]


def written(form, folder, pictures, pairs) -> list:
    """The pairs in a form, as the words of a command line."""
    if form == "bytes":
        return [write_parquet_of_bytes(folder / "bytes.parquet", pictures, pairs)]
    if form == "folder":
        return [write_folder(folder / "folder", pictures, pairs)]
    if form.startswith("tar"):
        return [write_tars(folder / "tars", pictures, pairs, per_tar=7, as_json=form != "tar")]
    return [write_table(folder / f"captions.{form}", pairs), "--img_dir", pictures]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_scores_of_detect(form, command, expected, pictures, pairs, tmp_path):
    source = written(form, tmp_path, pictures, pairs)
    output = tmp_path / "scores"
    assert command(*source, "--output", output, "--shard_size", 7) == 0
    rows = read_rows(output)
    assert len(list(output.glob("*.parquet"))) == 3
    assert [one["caption"] for one in rows] == [caption for _, caption in pairs]
    for scored, detection in zip(rows, expected, strict=True):
        assert scored["error"] is None and scored["truncated"] is False
        assert abs(scored["cosine"] - detection.cosine) <= contract.COSINE
        assert abs(scored["clip_score"] - detection.clip_score) <= 2.5 * contract.COSINE
        largest = abs(detection.layer_attributions).max()
        allowed = len(detection.words) * 2 * contract.attribution_tolerance(largest)
        assert abs(scored["f_clip_score"] - detection.f_clip_score) <= allowed
        for name, words in (("words", detection.words), ("misaligned", detection.misaligned)):
            assert [(w["text"], w["start"], w["end"]) for w in scored[name]] == [
                (w.text, w.start, w.end) for w in words
            ]
            contract.assert_attributions(
                [w["attribution"] for w in scored[name]], [w.attribution for w in words], largest
            )


def test_the_forms_agree_to_the_bit(command, pictures, pairs, tmp_path):
    """The same shards in the same batches: what a picture came in changes nothing."""
    seen = []
    for form in ("csv", "bytes", "folder", "tar"):
        folder = tmp_path / form
        folder.mkdir()
        source = written(form, folder, pictures, pairs)
        command(*source, "--output", folder / "scores", "--shard_size", 7)
        seen.append([numbers(one) for one in read_rows(folder / "scores")])
    assert len(seen[0]) == len(pairs) and all(rows == seen[0] for rows in seen)


@pytest.mark.parametrize(
    ("form", "carried", "keys", "image"),
    [
        ("csv", {"number": "3"}, "00000003", "{image}"),
        ("jsonl", {"number": 3}, "00000003", "{image}"),
        ("parquet", {"number": 3}, "00000003", "{image}"),
        ("folder", {}, "000003", "000003{suffix}"),
        ("tar", {"json": None}, "000003", "00000.tar/000003{suffix}"),
        ("tar of json", {"json": '{{"caption": "{caption}", "uid": 3}}'}, "000003", "00000.tar/000003{suffix}"),
    ],
)
def test_where_a_row_came_from(form, carried, keys, image, command, pictures, pairs, tmp_path):
    source = written(form, tmp_path, pictures, pairs)
    command(*source, "--output", tmp_path / "scores", "--shard_size", 7)
    scored, (name, caption) = read_rows(tmp_path / "scores")[3], pairs[3]
    said = {"image": name, "suffix": name[name.index(".") :], "caption": caption}
    assert scored["key"] == keys and scored["image"] == image.format(**said)
    others = {k: v.format(**said) if k == "json" and v else v for k, v in carried.items()}
    assert {name: scored[name] for name in list(scored)[list(scored).index("error") + 1 :]} == others


def test_from_python_rows_stream(demo, pictures, pairs):
    """The first rows are there before the last pair was asked for, and their words are those of the command."""
    asked = 0

    def given():
        nonlocal asked
        for image, caption in pairs * 20:
            asked += 1
            yield pictures / image, caption

    rows = score(given(), demo, workers=1)
    first = next(rows)
    assert 0 < asked < 100 < len(pairs) * 20
    assert first["key"] == "00000000" and first["error"] is None
    rows.close()


def test_neighbours_share_pictures_and_captions(demo, pictures, pairs, monkeypatch):
    """A picture is decoded once for all its captions, a caption tokenised once for all its pictures."""
    from clip4dm.scoring import work

    decoded, encoded = [], []
    load, encode = work.load_image, type(demo).encode_captions
    monkeypatch.setattr(work, "load_image", lambda image: decoded.append(image) or load(image))
    monkeypatch.setattr(
        type(demo), "encode_captions", lambda self, captions: encoded.extend(captions) or encode(self, captions)
    )
    names = [str(pictures / image) for image in dict.fromkeys(image for image, _ in pairs)][:4]
    captions = [caption for _, caption in pairs][:10]
    rows = list(score([(name, caption) for name in names for caption in captions], demo))
    assert len(rows) == 40 and all(one["error"] is None for one in rows)
    assert decoded == names and encoded == captions


def test_a_row_of_a_detection(demo, pictures, pairs):
    """The row's score is the detection's: of --score."""
    image, caption = pairs[1]
    (detection,) = demo.detect(str(pictures / image), caption)
    other = detection.with_settings(score="additive", score_weight=100.0)
    rows = [row(Pair("7", None, image, caption, {"key": 1}), one) for one in (detection, other)]
    assert rows[0]["score"] == detection.f_clip_score and rows[1]["score"] == other.score != detection.f_clip_score
    assert rows[0]["key"] == "7" and rows[0]["input_key"] == 1
