"""`clip4dm report` of runs that are odd, broken or none, of scores, and in places where it may not write."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from html_reading import HOSTILE, document_of, elements, seen
from made_scores import row, store
from PIL import Image

from clip4dm.commands import report as command
from clip4dm.commands.main import COMMANDS
from clip4dm.evaluation.rescoring import rescore
from clip4dm.evaluation.store.runfiles import DamagedRun
from clip4dm.files.images import ImageError
from clip4dm.report.runs.folder import ReportFolder
from clip4dm.report.runs.sources.base import ReportError
from clip4dm.report.runs.sources.pictures import FolderPictures
from clip4dm.report.runs.write import write_report


def read(folder, name="index"):
    return document_of((Path(folder) / f"{name}.html").read_text(encoding="utf-8"))


def text_of(page):
    return " ".join("".join(page.itertext()).split())


def notices(page):
    return " | ".join(text_of(one) for one in elements(page, "notices"))


def reported(run, tmp_path, **options):
    return write_report(Path(run), tmp_path / "report", **options).folder


def fails(*argv, capsys):
    """-> the one line that it ends with."""
    with pytest.raises(SystemExit) as stop:
        command.main([str(one) for one in argv])
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and line.startswith("clip4dm report: error: ")
    return line


def test_the_command(shapes_run, tmp_path, capsys):
    command.main([str(shapes_run.folder), "--output", str(tmp_path / "report"), "--cards", "3"])
    out, err = capsys.readouterr()
    assert out == f"report of 80 pairs: {tmp_path / 'report' / 'index.html'}\n" and err == ""
    assert "report" in COMMANDS


def test_missing_pictures_are_skipped_samples(shapes, make_run, tmp_path):
    content = json.loads(shapes.path.read_text())
    content["images"][3]["file_name"] = "<b>gone</b>.png"
    path = tmp_path / "foil.json"
    path.write_text(json.dumps(content))
    run = make_run(data_path=str(path), skip_missing=True)
    assert len(run.skipped) == 2
    folder = reported(run.folder, tmp_path)
    assert "2 pairs without scores, part of no figure" in notices(read(folder))
    lines = [[seen(cell) for cell in row] for row in read(folder, "skipped").iter("tr")]
    assert sum(line[1] == "<b>gone</b>.png" for line in lines if len(line) == 4) == 2


def test_no_misaligned_word_at_all_and_a_rescored_run(shapes_run, tmp_path):
    outcome = rescore(shapes_run.folder, sorted_by="threshold", epsilon=-100.0)
    folder = reported(outcome.folder, tmp_path)
    page = read(folder)
    assert "no word of any caption was called misaligned" in notices(page)
    assert "re-scored" in text_of(page) and "below epsilon = -100" in text_of(page)
    assert "There is none in this run." in text_of(read(folder, "hits"))
    assert "No word was called misaligned." in text_of(read(folder, "words"))
    assert len(elements(read(folder, "misses"), "pair")) == 40


def test_one_sample_without_a_foil(make_run, tmp_path):
    run = make_run(limit=1)
    page = read(reported(run.folder, tmp_path))
    assert "there is no misaligned caption" in notices(page)
    assert "pairs1" in text_of(page).replace(" ", "") and "no misaligned captions" in text_of(page)


def test_without_the_folder_of_pictures(shapes_run, tmp_path, capsys):
    command.main([str(shapes_run.folder), "--output", str(tmp_path / "report"), "--img_dir", str(tmp_path / "none")])
    assert "is not there: --img_dir says where it is" in capsys.readouterr().err
    page = read(tmp_path / "report", "hits")
    cards = elements(page, "pair")
    assert (
        cards and all("No picture" in text_of(card) for card in cards) and not elements(page, "pair")[0].findall("img")
    )
    assert "--img_dir" in notices(read(tmp_path / "report"))


def test_nothing_of_this_machines_folders_stands_in_a_report(shapes_run, shapes, tmp_path):
    folder = reported(shapes_run.folder, tmp_path)
    for path in folder.iterdir():
        assert str(shapes.images.parent) not in path.read_text(encoding="utf-8"), path


def test_runs_that_are_not_finished_damaged_or_none(shapes_run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(shapes_run.folder, copy)
    out = tmp_path / "report"
    result = (copy / "result.json").read_text()
    (copy / "result.json").unlink()
    assert "has not finished" in fails(copy, "--output", out, capsys=capsys)
    for damage in (
        {"n": "many"},
        {"LA": {"value": "x", "low": None, "high": None, "n": 1, "reason": None}},
        {"groups": 3},
    ):
        (copy / "result.json").write_text(json.dumps({**json.loads(result), **damage}))
        assert "figures that cannot be" in fails(copy, "--output", out, capsys=capsys)
    (copy / "result.json").write_text(result)
    samples = (copy / "samples.jsonl").read_bytes()
    (copy / "samples.jsonl").write_bytes(samples.replace(b"disc", b"dish", 1).replace(b"star", b"stay", 1))
    assert "samples.jsonl, line" in fails(copy, "--output", out, capsys=capsys)
    for empty in (tmp_path / "nothing", tmp_path / "there"):
        line = fails(empty, "--output", out, capsys=capsys)
        assert "is no folder" in line or "neither a run of main.py nor scores" in line
        (tmp_path / "there").mkdir(exist_ok=True)
    assert not out.exists() and not list(tmp_path.glob(".*"))


def test_a_rescored_folder_of_another_run_is_damaged(shapes_run, tmp_path):
    outcome = rescore(shapes_run.folder, sorted_by="threshold", epsilon=-50.0)
    path = outcome.folder / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rescored_from": "0123"}))
    with pytest.raises(DamagedRun, match="was not made of the run"):
        reported(outcome.folder, tmp_path)


def test_where_it_may_be_written(shapes_run, tmp_path, capsys):
    run, other = shapes_run.folder, tmp_path / "other"
    assert "lies in" in fails(run, "--output", run / "report", capsys=capsys)
    assert "lies in" in fails(run, "--output", run, capsys=capsys)
    assert "other things than a report" in fails(run, "--output", run.parent, "--overwrite", capsys=capsys)
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    assert "other things than a report" in fails(run, "--output", other, "--overwrite", capsys=capsys)
    (other / "letter.txt").rename(tmp_path / "letter.txt")
    write_report(run, other, cards=2)  # an empty folder
    assert "holds a report already" in fails(run, "--output", other, capsys=capsys)
    before = (other / "index.html").stat().st_ino
    write_report(run, other, cards=3, overwrite=True)
    assert (other / "index.html").stat().st_ino != before
    (other / "letter.txt").write_text("mine")
    assert "other things than a report" in fails(run, "--output", other, "--overwrite", capsys=capsys)
    assert (other / "letter.txt").read_text() == "mine"
    assert "no folder: give another" in fails(run, "--output", tmp_path / "letter.txt", capsys=capsys)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_whole_or_not_at_all(shapes_run, tmp_path, monkeypatch):
    """An error halfway, a full disk for one, leaves the earlier report as it was."""
    folder = reported(shapes_run.folder, tmp_path, cards=2)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    usual = ReportFolder.write

    def full(self, name, text):
        if name == "words.html":
            raise ReportError("no space")
        usual(self, name, text)

    monkeypatch.setattr(ReportFolder, "write", full)
    with pytest.raises(ReportError, match="no space"):
        reported(shapes_run.folder, tmp_path, cards=5, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_report_that_came_meanwhile_stays(shapes_run, tmp_path):
    place = tmp_path / "report"
    other = write_report(shapes_run.folder, tmp_path / "other", cards=2).folder
    with pytest.raises(ReportError, match="holds a report already"):
        with ReportFolder(place) as late:
            late.write("index.html", "late")
            other.rename(place)
    assert (place / "index.html").read_text() != "late"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/hostname", "sub/../../secret.png", "file:///etc/hostname", "sha256:00"]
)
def test_pictures_outside_of_the_folder_are_not_shown(name, tmp_path):
    """A report is sent around, and who made the run's files may have named any picture of this machine."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "open.png")
    pictures = FolderPictures(str(tmp_path / "images"))
    assert pictures.picture("open.png").size == (8, 8)
    assert pictures.picture(str(tmp_path / "images" / "open.png")).size == (8, 8)
    with pytest.raises(ImageError, match="outside of|cell of the table"):
        pictures.picture(name)


def test_scores_nobody_labelled(tmp_path):
    word = {"text": "dog", "start": 2, "end": 5, "attribution": -0.1}
    rows = [row(f"{i:02d}", -0.01 * i, words=i % 4) for i in range(1, 30)]
    rows += [row("x", None), row("nan", float("nan")), row("h", -5.0, words=1, caption=HOSTILE, image=f"{HOSTILE}.png")]
    rows[0]["words"] = [{**word, "text": "Dog", "attribution": float("nan")}]
    folder = reported(store(tmp_path / "scores", [rows[:20], rows[20:]]), tmp_path, cards=10)
    page = read(folder)
    assert "2 pairs without scores" in notices(page) and "no such image file" in notices(page)
    lowest = elements(read(folder, "lowest"), "pair")
    assert [float(one.get("data-score")) for one in lowest] == [-5.0, *(-0.01 * i for i in range(29, 20, -1))]
    assert text_of(elements(lowest[0], "picture")[0]).startswith("No picture")
    assert HOSTILE in "".join(lowest[0].find(".//h2").itertext())
    many = elements(read(folder, "many"), "pair")
    assert float(many[0].get("data-score")) == -0.27  # of those with most words the lowest
    assert {path.name for path in folder.iterdir()} == {
        "index.html", "lowest.html", "many.html", "words.html", "skipped.html", "report.json",
    }  # fmt: skip


def test_scores_that_are_not_finished_are_reported_and_said_to_be(tmp_path):
    scores = store(tmp_path / "scores", [[row("a", -0.5, words=1)], [row("b", 0.0)]], expected=5)
    assert "3 of 5 shards are missing" in notices(read(reported(scores, tmp_path)))


@pytest.mark.parametrize(
    "damage",
    [{"given": 5}, {"given": None}, {"given": [3]}]
    + [{"settings": {"epsilon": value}} for value in (10**400, float("nan"), float("-inf"), True, "x")],
)
def test_scores_whose_facts_are_none_are_reported_all_the_same(damage, tmp_path):
    scores = store(tmp_path / "scores", [[row("a", -0.5, words=1)]])
    path = scores / "_score.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    assert "words below -5e-05" in text_of(read(reported(scores, tmp_path)))


def test_scores_of_nothing_but_errors(tmp_path):
    page = read(reported(store(tmp_path / "scores", [[row("a", None), row("b", None)]]), tmp_path))
    assert "no pair has scores" in notices(page)


@pytest.mark.parametrize("form", ["folder", "csv", "tar"])
def test_pictures_of_scores_are_found_where_they_were_and_where_they_are(form, tmp_path, monkeypatch, capsys):
    import tarfile

    from clip4dm.commands import score

    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in "ab":
        Image.new("RGB", (40, 30), {"a": "red", "b": "blue"}[name]).save(f"photos/{name}.png")
        Path(f"photos/{name}.txt").write_text(f"a {name} square")
    Path("pairs.csv").write_text("image,caption\nphotos/a.png,a red square\nphotos/b.png,a blue disc\n")
    with tarfile.open("0.tar", "w") as tar:
        for path in sorted(Path("photos").iterdir()):
            tar.add(path, path.name)
    given = {"folder": "photos", "csv": "pairs.csv", "tar": "0.tar"}[form]
    score.main([given, "--output", "scores", "--backbone", "demo", "--sorted_by", "most_negative"])
    write_report(Path("scores"), Path("report"))
    assert len([one for one in read("report", "lowest").iter("img") if "picture" in one.get("class")]) == 2
    Path("moved").mkdir()
    Path("photos" if form != "tar" else "0.tar").rename("moved/photos" if form != "tar" else "moved/0.tar")
    lost = write_report(Path("scores"), Path("lost"))
    assert not list(read(lost.folder, "lowest").iter("img")) and "No picture" in text_of(read(lost.folder, "lowest"))
    where = {"folder": "moved/photos", "csv": "moved", "tar": "moved"}[form]
    write_report(Path("scores"), Path("again"), img_dir=where)
    assert len(list(read("again", "lowest").iter("img"))) == 2
