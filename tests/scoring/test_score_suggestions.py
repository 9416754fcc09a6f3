"""`clip4dm score --suggest`: the column, what tells such folders from others, and that nothing else is changed by it."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace

import contract
import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn_pairs import files, read_rows, write_tars
from places import ROOT
from same_rows import assert_same_rows

from clip4dm import CLIP4DM, score
from clip4dm.benchmarks.shapes import lexicon
from clip4dm.calibration.shelf import shipped_calibration
from clip4dm.commands import filter as filter_command
from clip4dm.detection import NotFinite
from clip4dm.scoring import suggestions as module
from clip4dm.scoring.engines.ray import Scorer
from clip4dm.scoring.inputs.recognise import open_input
from clip4dm.scoring.maker import Maker
from clip4dm.scoring.schema import schema
from clip4dm.scoring.sink import open_sink
from clip4dm.scoring.suggestions import SuggestionSettings
from clip4dm.suggestion import vocabulary
from clip4dm.suggestion.vocabulary import Vocabulary, packaged_vocabulary

PAGE = (ROOT / "docs" / "scoring.md").read_text(encoding="utf-8")
COLUMN = (
    "list<struct<word: string, start: int32, end: int32, replacements: list<struct<word: string, caption: string, "
    "gain: double, fits: bool>>, leave_out: double, reason: string>>"
)
KNOWN = {"shape": lexicon.SHAPES, "colour": lexicon.COLOURS, "ground": lexicon.BACKGROUNDS}  # to the demo model
SHAPES = Vocabulary("shapes", {group: tuple((names[0],) for names in of.values()) for group, of in KNOWN.items()})


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words.txt"
    groups = (f"[{name}]\n{', '.join(word for (word,) in entries)}\n" for name, entries in SHAPES.groups.items())
    path.write_text("".join(groups))
    return path


@pytest.fixture
def suggested(run, words, tmp_path):
    """The table scored with three words each -> its folder."""
    assert run("--suggest", 3, "--vocabulary", words)[0] == 0
    return tmp_path / "scores"


def spelled(kind):
    if pa.types.is_list(kind):
        return f"list<{spelled(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {spelled(field.type)}' for field in kind)}>"
    return str(kind)


def test_what_is_suggested_is_what_the_detector_suggests(suggested, demo, pictures, pairs):
    rows = read_rows(suggested)
    assert sum(bool(row["misaligned"]) for row in rows) > 5
    seen = 0
    for row in rows:
        expected = demo.suggest(row["image"], row["caption"], top=3, vocabulary=SHAPES)
        assert [(one["word"], one["start"], one["end"]) for one in row["suggestions"]] == [
            (word["text"], word["start"], word["end"]) for word in row["misaligned"]
        ]
        for mine, theirs in zip(row["suggestions"], expected, strict=True):
            assert [(one["word"], one["caption"], one["fits"]) for one in mine["replacements"]] == [
                (one.word, one.caption, one.fits) for one in theirs.replacements
            ]
            gains = [one.gain for one in theirs.replacements] + [theirs.leave_out.gain if theirs.leave_out else 0]
            found = [one["gain"] for one in mine["replacements"]] + [mine["leave_out"] or 0]
            assert found == pytest.approx(gains, abs=2 * contract.COSINE)
            assert mine["reason"] == theirs.reason
            seen += len(theirs.replacements)
    assert seen > 10


def test_a_new_captions_cosine_is_the_old_one_and_the_gain(suggested, demo):
    """By scores of the new captions, made anew."""
    rows = [row for row in read_rows(suggested) if row["suggestions"]]
    asked = [(row, one) for row in rows for word in row["suggestions"] for one in word["replacements"]]
    again = list(score([(row["image"], one["caption"]) for row, one in asked], demo))
    assert len(again) > 10
    for (row, one), new in zip(asked, again, strict=True):
        assert new["cosine"] - row["cosine"] == pytest.approx(one["gain"], abs=2 * contract.COSINE)
        assert one["fits"] == (not new["misaligned"])


def test_without_the_option_nothing_is_changed(run, suggested, demo, tmp_path):
    """Neither settings nor columns; with it, nothing but the one column and its settings."""
    assert run(output=tmp_path / "plain")[0] == 0
    plain, with_it = (json.loads((tmp_path / name / "_score.json").read_text()) for name in ("plain", "scores"))
    added = {name: with_it["settings"].pop(name) for name in ("suggest", "vocabulary", "min_gain", "near")}
    assert added == SuggestionSettings(SHAPES, 3).identity() and with_it["settings"] == plain["settings"]
    assert Maker.of(demo).suggesting(None) == Maker.of(demo)
    columns = [pq.read_schema(tmp_path / name / "00000.parquet") for name in ("plain", "scores")]
    assert columns[0].names == [*schema().names, "number"]
    assert columns[1].names == [*schema().names, "suggestions", "number"]
    assert spelled(columns[1].field("suggestions").type) == COLUMN
    rows = read_rows(suggested)
    for row in rows:
        del row["suggestions"]
    assert rows == read_rows(tmp_path / "plain")


def test_a_folder_keeps_to_its_suggestions(run, suggested, words, tmp_path):
    before = files(suggested)
    other = tmp_path / "other.txt"
    other.write_text(words.read_text() + "[more]\noval\n")
    mine = ("--vocabulary", words)
    for options, said in (
        (("--suggest", 4, *mine), "suggest 3, now 4"),
        (("--suggest", 3), "vocabulary '"),
        (("--suggest", 3, "--vocabulary", other), "vocabulary '"),
        (("--suggest", 3, "--vocabulary", "clip"), "now 'clip'"),
        (("--suggest", 3, *mine, "--min_gain", "0.5"), "min_gain 0.0, now 0.5"),
        (("--suggest", 3, *mine, "--near"), "near False, now True"),
        ((), "suggest 3, now None"),
    ):
        for more in ([], ["--dry_run"]):
            status, _, error = run(*options, *more)
            assert status == 2 and said in error and len(error.splitlines()) == 1 and "--overwrite" in error
    assert files(suggested) == before
    words.rename(tmp_path / "same.txt")
    assert run("--suggest", 3, "--vocabulary", tmp_path / "same.txt")[0] == 0 and files(suggested) == before
    assert run(output=tmp_path / "plain")[0] == 0
    status, _, error = run("--suggest", 3, output=tmp_path / "plain")
    assert status == 2 and "suggest None, now 3" in error


def test_what_is_missing_is_done_and_nothing_else(run, suggested, words):
    before = files(suggested)
    (suggested / "00001.parquet").unlink()
    (suggested / "00003.parquet").write_bytes(before["00003.parquet"][1][:-100])
    rows = [row for name in ("00001", "00003") for row in read_rows_of(before[f"{name}.parquet"][1])]
    options = ("--suggest", 3, "--vocabulary", words)
    assert run("--dry_run", *options)[1].splitlines()[1] == "stored already: 12 pairs in 3 shards"
    assert run("--shard", "1/2", *options)[0] == 0
    after = files(suggested)
    assert {name for name in after if after[name] != before[name]} == {"00001.parquet", "00003.parquet"}
    assert [row for name in ("00001", "00003") for row in read_rows_of(after[f"{name}.parquet"][1])] == rows


def assert_same_suggestions(mine, other):
    assert len(mine) == len(other)
    for ours, theirs in zip(mine, other, strict=True):
        pairs = list(zip(ours.pop("replacements"), theirs.pop("replacements"), strict=True))
        gains = [(ours.pop("leave_out") or 0, theirs.pop("leave_out") or 0)]
        gains += [(one.pop("gain"), same.pop("gain")) for one, same in pairs]
        assert ours == theirs and all(one == same for one, same in pairs)
        assert all(one == pytest.approx(same, abs=2 * contract.COSINE) for one, same in gains)


def read_rows_of(data):
    return pq.read_table(pa.BufferReader(data)).to_pylist()


def test_options_that_mean_nothing_alone_and_vocabularies_that_are_none(run, tmp_path):
    (tmp_path / "empty.txt").write_text("# nothing\n")
    for options, said in (
        (["--min_gain", "0.1"], "--min_gain means nothing without --suggest"),
        (["--suggest", "--vocabulary", tmp_path / "empty.txt"], "empty.txt has no word in it"),
        (["--suggest", "--vocabulary", tmp_path / "none.txt"], "no such file"),
        (["--suggest", "0"], "0"),
    ):
        status, _, error = run(*options)
        assert status == 2 and said in error and "Traceback" not in error
    assert not (tmp_path / "scores").exists()


def test_what_cannot_be_suggested_costs_the_suggestion_alone(demo, pictures, pairs, monkeypatch):
    """A word that fails has the reason; the pair its scores, its other words their suggestions."""
    caption = "a purple cross and a brown moon on bricks"
    usual, broken = module.suggest, []
    plain = {row["image"]: row for row in score([(pictures / image, caption) for image, _ in pairs[::2]], demo)}
    image = next(name for name, row in plain.items() if len(row["misaligned"]) > 1)
    bad = plain[image]["misaligned"][0]["text"]

    def fails(detector, features, detection, words, asked):
        if bad in [word.text for word in words]:
            broken.append(len(words))
            raise NotFinite("not \ud83d finite")
        return usual(detector, features, detection, words, asked)

    settings = SuggestionSettings(SHAPES, 2)
    (whole,) = score([(image, caption)], demo, suggest=settings)
    monkeypatch.setattr(module, "suggest", fails)
    (row,) = score([(image, caption)], demo, suggest=settings)
    assert broken == [len(row["misaligned"]), 1]
    first, *others = row.pop("suggestions")
    assert first["word"] == bad and first["reason"] == "not ? finite" and first["replacements"] == []
    assert_same_suggestions(others, whole.pop("suggestions")[1:])
    assert row == whole
    assert row["error"] is None and row["cosine"] == pytest.approx(plain[image]["cosine"], abs=contract.COSINE)


def test_pairs_without_scores_have_none_and_true_captions_an_empty_list(demo, pictures, pairs):
    first, *rows = score([("none.png", "a cup"), *((pictures / image, text) for image, text in pairs)], demo, suggest=1)
    assert first["suggestions"] is None and first["error"]
    assert [len(row["suggestions"]) for row in rows] == [len(row["misaligned"]) for row in rows]
    assert [] in [row["suggestions"] for row in rows]


def test_a_picture_is_encoded_once_and_the_words_are_read_once(run, words, demo, monkeypatch, tmp_path, pairs):
    encoded, read = [], []
    encode, usual = CLIP4DM._encode_batch, vocabulary.read_text
    monkeypatch.setattr(CLIP4DM, "_encode_batch", lambda own, batch: encoded.extend(batch) or encode(own, batch))
    monkeypatch.setattr(vocabulary, "read_text", lambda path: read.append(path) or usual(path))
    assert run("--suggest", "--vocabulary", words)[0] == 0
    rows = read_rows(tmp_path / "scores")
    assert any(one["replacements"] for row in rows for one in row["suggestions"])
    neighbours = sum(len({image for image, _ in pairs[i : i + 4]}) for i in range(0, len(pairs), 4))  # of a shard
    assert len(encoded) == neighbours and read == [words]


def test_read_by_duckdb_pandas_and_polars(suggested, monkeypatch):
    """By the lines of docs/scoring.md, which says the column's type too."""
    rows = sorted(
        (row["key"], word["word"], word["replacements"][0]["word"], word["replacements"][0]["caption"])
        for row in read_rows(suggested)
        for word in row["suggestions"]
        if word["replacements"]
    )
    assert rows and COLUMN in PAGE
    monkeypatch.chdir(suggested.parent)
    (sql,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert sorted(duckdb.sql(sql).fetchall()) == rows
    of_pandas, of_polars = re.findall(r"^found = (p.*explode.*)$", PAGE, re.MULTILINE)
    table = eval(of_pandas, {"pandas": pandas})
    best = [(key, one["word"], one["replacements"]) for key, one in zip(table.key, table.suggestions, strict=True)]
    assert sorted((key, word, new[0]["word"], new[0]["caption"]) for key, word, new in best if len(new)) == rows
    frame = eval(of_polars, {"polars": polars}).filter(polars.col("replacements").list.len() > 0)
    first = frame["replacements"].list.first().struct
    columns = (frame["key"], frame["word"], first.field("word"), first.field("caption"))
    assert sorted(zip(*columns, strict=True)) == rows


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
@pytest.mark.parametrize("option", [(), ("--suggest", "2")])
def test_the_filter_takes_folders_with_and_without_the_column(run, words, form, option, tmp_path, capsys):
    with_words = (*option, "--vocabulary", words) if option else ()
    assert run("--output_format", form, *with_words)[0] == 0
    kept = tmp_path / "kept.parquet"
    filter_command.main([str(tmp_path / "scores"), "--output", str(kept), "--keep_fraction", "0.5"])
    table = pq.read_table(kept)
    assert len(table) == 10 and ("suggestions" in table.column_names) == bool(option)
    if option:
        assert spelled(table.schema.field("suggestions").type) == COLUMN
        expr = "suggestions[1].replacements[1].gain > 0.05"
        filter_command.main([str(tmp_path / "scores"), "--output", str(tmp_path / "some.parquet"), "--expr", expr])
        some = pq.read_table(tmp_path / "some.parquet")["suggestions"].to_pylist()
        assert some and all(row[0]["replacements"][0]["gain"] > 0.05 for row in some)


def test_a_carried_column_of_the_name(run, pictures, pairs, words, tmp_path):
    """Its own where nothing is suggested; out of the way where something is."""
    rows = [{"image": str(pictures / image), "caption": text, "Suggestions": "mine"} for image, text in pairs[:4]]
    table = tmp_path / "named.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(source=table, output=tmp_path / "plain")[0] == 0
    assert run("--suggest", "--vocabulary", words, source=table)[0] == 0
    assert [row["Suggestions"] for row in read_rows(tmp_path / "plain")] == ["mine"] * 4
    assert [row["input_Suggestions"] for row in read_rows(tmp_path / "scores")] == ["mine"] * 4
    assert isinstance(read_rows(tmp_path / "scores")[0]["suggestions"], list)


def test_another_process_has_the_words_with_it(demo, words, pictures, pairs, tmp_path):
    """Ray's actors: of the sink alone, though the file of words is gone; so an actor's words are the command's."""
    tars = write_tars(tmp_path / "tars", pictures, pairs[:8], per_tar=8)
    found = open_input([tars])
    (shard,) = found.shards()
    expected = list(score(shard.pairs(), demo, suggest=SuggestionSettings(SHAPES, 2)))
    sink = open_sink(tmp_path / "scores", found, demo, suggest=SuggestionSettings(SHAPES, 2))
    sink.prepare()
    here = os.getcwd()
    recipe = {"backbone": "demo", "device": "cpu", "batch_size": 8, "epsilon": -5e-5}
    try:
        actor = Scorer(recipe, pickle.loads(pickle.dumps(sink)), 1, str(tmp_path))
        (said,) = actor({"shard": [pickle.dumps(shard)]})["summary"]
    finally:
        os.chdir(here)
    assert pickle.loads(said).errors == 0
    for row, other in zip(read_rows(tmp_path / "scores"), expected, strict=True):
        assert_same_suggestions(row["suggestions"], other["suggestions"])


def test_killed_and_gone_on_with(words, pictures, pairs, tmp_path):
    tars = write_tars(tmp_path / "tars", pictures, pairs[:8] * 10, per_tar=8)
    options = ["--backbone", "demo", "--epsilon", "-5e-5", "--suggest", "2", "--vocabulary", str(words)]
    script = [sys.executable, ROOT / "tests" / "scoring" / "killing.py"]
    for name, kills in (("undisturbed", 0), ("scores", 3)):
        plan = json.dumps({"mode": "alone", "kills": kills, "seed": 16})
        command = [
            *script,
            plan,
            tars,
            "--output",
            tmp_path / name,
            *options,
            "--num_workers",
            "1",
            "--batch_size",
            "8",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == {"statuses": [0]}
        assert len(done.stdout.splitlines()) == kills + 1
    assert_same_rows(tmp_path / "scores", tmp_path / "undisturbed")
    rows = read_rows(tmp_path / "scores")
    assert any(row["suggestions"] for row in rows)
    for row, other in zip(rows, read_rows(tmp_path / "undisturbed"), strict=True):
        assert_same_suggestions(row["suggestions"], other["suggestions"])


def test_clips_own_words_and_the_list_that_comes_along(demo, pictures, pairs):
    image, caption = pairs[1]
    for settings in (SuggestionSettings("clip", 1), SuggestionSettings(packaged_vocabulary(), 1, min_gain=1.9)):
        (row,) = score([(pictures / image, caption)], demo, suggest=settings)
        assert row["error"] is None and row["suggestions"]
    assert row["suggestions"][0]["replacements"] == [] and row["suggestions"][0]["reason"] is None


def test_the_least_gain_is_the_calibrations(tmp_path):
    """Part of what tells a folder from others, with the model and without it; a number given goes before it."""
    detector = CLIP4DM.from_pretrained("demo", device="cpu")
    calibration = shipped_calibration(detector.attributed_by())
    assert calibration is not None and calibration.suggestions is not None
    settings = SuggestionSettings(packaged_vocabulary())
    calibrated = detector.calibrated(calibration)
    assert settings.asked(calibrated).min_gain == calibration.suggestions.min_gain > 0
    assert Maker.of(calibrated).suggesting(settings).settings["min_gain"] == calibration.suggestions.min_gain
    assert Maker.of(detector).suggesting(settings).settings["min_gain"] == 0.0
    given = replace(settings, min_gain=0.5)
    assert Maker.of(calibrated).suggesting(given).settings["min_gain"] == given.asked(calibrated).min_gain == 0.5
    others = replace(settings, words=Vocabulary("mine", {"": (("tea",),)}))
    assert Maker.of(calibrated).suggesting(others).settings["min_gain"] == others.asked(calibrated).min_gain == 0.0


def test_a_calibration_of_other_words_is_said(run, words):
    _, _, said = run("--suggest", 3, "--vocabulary", words, "--epsilon", "auto", own=True)
    assert "knows nothing of these words ('words.txt')" in said
