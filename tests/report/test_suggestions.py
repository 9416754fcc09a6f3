"""What cards of `clip4dm report` show of suggestions, of scores and of runs; whoever wrote them, as text."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from browser import opened
from drawn_pairs import draw_pairs, read_rows, write_table
from html_reading import HOSTILE, document_of, elements, seen
from made_scores import row, store

from clip4dm.commands import score as score_command
from clip4dm.report.runs.write import write_report

GALLERIES = ("hits", "misses", "alarms")


def read(folder, name):
    return document_of((Path(folder) / f"{name}.html").read_text(encoding="utf-8"))


def lines_of(card):
    return [" ".join(seen(line).split()) for one in elements(card, "suggestions") for line in one]


def line(word, top, without=None, reason="no better word found"):
    """As a terminal shows it, with an arrow; top: (word, gain, a star or nothing)."""
    found = ", ".join(f"{new} {gain:+.3f}{star}" for new, gain, star in top)
    text = f"{word} → {found}" if found else f"{word}: {reason}"
    return text + ("" if without is None else f"; left out {without:+.3f}")


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Drawn scenes scored with two words each -> (the folder of scores, the report's)."""
    folder = tmp_path_factory.mktemp("suggested")
    pairs = draw_pairs(folder / "pictures", 24)
    table = write_table(folder / "captions.csv", [(f"pictures/{image}", caption) for image, caption in pairs])
    model = ["--backbone", "demo", "--device", "cpu"]
    score_command.main([str(table), "--output", str(folder / "scores"), *model, "--suggest", "2"])
    return folder / "scores", write_report(folder / "scores", folder / "report").folder


def test_of_scores_what_the_column_says(scores):
    folder, report = scores
    rows = {row["key"]: row for row in read_rows(folder) if row["misaligned"]}
    expected = {}
    for one in rows.values():
        expected.setdefault((one["image"], one["caption"]), []).extend(
            line(
                word["word"],
                [(new["word"], new["gain"], "" if new["fits"] else "*") for new in word["replacements"]],
                word["leave_out"],
            )
            for word in one["suggestions"]
        )
    cards = elements(read(report, "lowest"), "pair")
    assert len(cards) == len(rows) > 5
    for card in cards:
        (name,) = ("".join(card.find(".//h2").itertext()).split(" ", 1)[1],)
        caption = " ".join(seen(elements(card, "caption")[0]).split())
        assert lines_of(card) == expected[name, caption]
        titles = [span.get("title") for span in card.iter("span") if span.find("bdi") is not None]
        mine = [one for one in rows.values() if (one["image"], one["caption"]) == (name, caption)]
        assert titles == [new["caption"] for word in mine[0]["suggestions"] for new in word["replacements"]]
    assert any("*" in text for texts in expected.values() for text in texts)
    assert "an asterisk" in "".join(read(report, "lowest").itertext())


def test_hostile_suggestions_of_scores_stay_text(tmp_path):
    good = {"word": HOSTILE, "caption": f"a {HOSTILE}", "gain": 0.02, "fits": False}
    replacements = [good, {**good, "gain": float("nan")}, {**good, "gain": 1e300}, {**good, "word": None}]
    word = {"word": f"{HOSTILE}\u202e", "start": 2, "end": 5, "replacements": replacements, "leave_out": None}
    rows = [row("a", -0.5, words=1, suggestions=[{**word, "reason": None}])]
    rows += [
        row("b", -0.4, words=1, suggestions=[{**word, "replacements": [], "reason": HOSTILE}]),
        row("c", -0.3, words=1),
    ]
    rows[2]["suggestions"] = None
    folder = store(tmp_path / "scores", [rows], settings={"suggest": 5})
    report = write_report(folder, tmp_path / "report").folder
    first, second, third = elements(read(report, "lowest"), "pair")
    shown = " ".join(HOSTILE.split())
    assert lines_of(first) == [f"{shown}\ufffd → {shown} +0.020*"]
    assert lines_of(second) == [f"{shown}\ufffd: {shown}"] and lines_of(third) == []


def test_a_carried_column_of_the_name_is_no_suggestion(tmp_path):
    rows = [row("a", -0.5, words=1, suggestions="coke -> coffee")]
    page = read(write_report(store(tmp_path / "scores", [rows]), tmp_path / "report").folder, "lowest")
    assert len(elements(page, "pair")) == 1 and not elements(page, "suggestions")


@pytest.fixture
def run_with(shapes_run, tmp_path):
    """A copy of the run with these bytes as suggestions.jsonl -> its report."""

    def make(content):
        copy = tmp_path / "run"
        shutil.copytree(shapes_run.folder, copy)
        (copy / "suggestions.jsonl").write_bytes(content)
        return write_report(copy, tmp_path / "report").folder

    return make


def entry(record, word="disc", top=(("star", 0.041), ("moon", -0.012)), name="kind", **more):
    return {
        "id": record["id"],
        "word": word,
        "start": 0,
        "end": 4,
        "list": name,
        "top": [list(one) for one in top],
        **more,
    }


def as_lines(entries):
    return b"".join(json.dumps(one, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for one in entries)


def cards_by_caption(report):
    cards = [card for name in GALLERIES for card in elements(read(report, name), "pair")]
    return {" ".join(seen(elements(card, "caption")[0]).split()): lines_of(card) for card in cards}


def test_of_a_run_the_lines_of_the_first_list(run_with, records):
    """A line a word; a list named later, another sample's and keys that nobody knows are left out."""
    entries = []
    for number, record in enumerate(records):
        top = [("star", 0.001 * number), ("moon", -0.012)]
        entries += [entry(record, f"disc{number}", top, given=True), entry(record, "two", top, "packaged")]
        entries.append(entry(record, "second", [("w" + str(i), 0.1) for i in range(9)], rank=None))
    entries.append({**entry(records[0]), "id": "nobody"})
    shown = cards_by_caption(run_with(as_lines(entries)))
    seen_ones = 0
    for number, record in enumerate(records):
        lines = shown.get(" ".join(record["caption"].split()))
        if lines is None or sum(record["caption"] == other["caption"] for other in records) > 1:
            continue
        second = line("second", [(f"w{i}", 0.1, "") for i in range(5)])
        assert lines == [line(f"disc{number}", [("star", 0.001 * number, ""), ("moon", -0.012, "")]), second]
        seen_ones += 1
    assert seen_ones > 20


def test_of_a_run_without_the_file_nothing_is_shown(shapes_run, tmp_path):
    report = write_report(shapes_run.folder, tmp_path / "report").folder
    for path in report.glob("*.html"):
        page = document_of(path.read_text(encoding="utf-8"))
        assert not elements(page, "suggestions") and "an asterisk" not in "".join(page.itertext())


def test_hostile_and_damaged_lines_of_a_run(run_with, records, chromium):
    bad_tops = [["x"], "star", {"star": 1}, [7, 0.1], ["y", "0.1"], ["z", True], ["n", None], ["far", 7]]
    good = [entry(record, HOSTILE, [(HOSTILE, 0.02), ("\u202eevil\ud83d", 0.01)]) for record in records]
    for one in good:
        one["top"] = [*bad_tops, *one["top"]]
    content = as_lines(good) + b'{"id": 7}\n[]\nno json\n\xff\xfe\n' + b"[" * 100_000 + b"\n"
    report = run_with(content + as_lines(good[:1])[:40])
    notices = "".join(elements(read(report, "index"), "notices")[0].itertext())
    assert "5 lines of suggestions.jsonl are no suggestions" in notices
    shown = [lines for lines in cards_by_caption(report).values() if lines]
    text = " ".join(HOSTILE.split())
    assert len(shown) > 20 and all(lines == [f"{text} → {text} +0.020, \ufffdevil\ufffd +0.010"] for lines in shown)
    with opened(chromium, (report / "hits.html").as_uri(), "narrow") as watched:
        assert watched.page.locator(".suggestions li").count() > 5
        assert not watched.dialogs and not watched.complaints and not watched.asked_beyond("file:")
        assert not watched.overflows() and watched.violations() == []


def test_what_is_cut_short_is_the_last_line_and_says_nothing(run_with, records):
    report = run_with(as_lines([entry(record) for record in records])[:-30])
    assert not any("suggestions.jsonl" in "".join(one.itertext()) for one in elements(read(report, "index"), "notices"))
    assert sum(bool(lines) for lines in cards_by_caption(report).values()) > 20


def test_a_pipe_in_its_place_is_not_waited_for(shapes_run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(shapes_run.folder, copy)
    os.mkfifo(copy / "suggestions.jsonl")
    report = write_report(copy, tmp_path / "report").folder
    assert "the suggestions cannot be read" in "".join(elements(read(report, "index"), "notices")[0].itertext())
