"""`clip4dm report` of a run: what its pages say is what the run's files say, whichever way they are read."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter

import numpy as np
import pytest
from browser import opened
from hostile_run import HOSTILE_GROUP, HOSTILE_NAME
from html_reading import HOSTILE, document_of, elements, seen
from sklearn.metrics import average_precision_score, balanced_accuracy_score, precision_score, recall_score

from clip4dm.evaluation.shown import groups_of, metrics_of, table
from clip4dm.report.runs import pages
from clip4dm.report.runs.write import write_report


@pytest.fixture(scope="module")
def report(shapes_run, tmp_path_factory):
    return write_report(shapes_run.folder, tmp_path_factory.mktemp("made") / "report", cards=12)


@pytest.fixture(scope="module")
def read(report):
    """Pages by their names, as html5lib reads them."""
    return {path.stem: document_of(path.read_text(encoding="utf-8")) for path in report.folder.glob("*.html")}


def rows_of(page, label):
    """A table's lines below its heading: the texts of their cells."""
    (region,) = [one for one in page.iter() if one.get("aria-label") == label]
    rows = [row for row in region.iter("tr")]
    return [[seen(cell) for cell in row if cell.tag in ("th", "td")] for row in rows]


def cards_of(page):
    return elements(page, "pair")


def words_of(card, kind="misaligned"):
    return [seen(one) for one in elements(card, kind)]


def labelled_words(record):
    """Of each scored word of a record whether it overlaps a label, and the mean of its layers' attributions."""
    values = np.frombuffer(base64.b64decode(record["layer_attributions"]), "<f4").reshape(2, -1).mean(0)
    return [
        (any(a < end and start < b for a, b in record["label"]["spans"]), float(value))
        for (start, end, kind, scored), value in zip(record["units"], values, strict=True)
        if kind == 0 and scored
    ]


def text_of(page):
    return " ".join("".join(page.itertext()).split())


def f3(value):
    return "—" if value is None else f"{value:.3f}"


def test_every_figure_and_interval_is_result_jsons(shapes_run, read):
    result = json.loads((shapes_run.folder / "result.json").read_text())
    head, *rows = rows_of(read["index"], "figures of all samples")
    assert head[:5] == ["all samples", "value", "95 % interval", "n", "paper"]
    shown = {row[0]: row[1:4] for row in rows}
    flat = {name: result[name] for name in ("LA", "LA_span")} | {
        f"{outer}/{name}": figure for outer in ("AP", "LA_floor") for name, figure in result[outer].items()
    }
    assert shown.keys() == flat.keys() and len(flat) == 9
    for name, figure in flat.items():
        between = "—" if figure["low"] is None else f"[{f3(figure['low'])}, {f3(figure['high'])}]"
        assert shown[name] == [f3(figure["value"]), between, f"{figure['n']:,}"]


def test_a_group_is_a_row_and_a_metric_a_column(shapes_run, read):
    result = json.loads((shapes_run.folder / "result.json").read_text())
    head, every, *rows = rows_of(read["index"], "figures of each group")
    assert every[0] == "all" and every[1] == "80"
    assert [row[0] for row in rows] == [f"kind={kind}" for kind in result["groups"]["kind"]]
    assert f"kind={HOSTILE_GROUP}" in [row[0] for row in rows]
    for row, figures in zip(rows, result["groups"]["kind"].values(), strict=True):
        for name, cell in zip(head[2:], row[2:], strict=True):
            outer, _, inner = name.partition("/")
            figure = figures[outer][inner] if inner else figures[outer]
            between = "" if figure["low"] is None else f"[{f3(figure['low'])}, {f3(figure['high'])}]"
            assert cell == f3(figure["value"]) + between


def test_the_terminals_table_has_the_same_rows_and_columns(shapes_run):
    lines, groups = table(shapes_run.result).split("\n"), groups_of(shapes_run.result)
    assert len(groups) > 5 and len(lines) < 20 + len(groups)
    for group in groups:
        (line,) = [line for line in lines if line.startswith(f"{group.name} ")]
        _, n, *cells = line.rsplit(maxsplit=len(metrics_of(groups)) + 1)
        assert int(n) == group.n
        assert [cell.split("±")[0] for cell in cells] == [f3(group.figures[name].value) for name in metrics_of(groups)]


def test_the_average_precision_and_the_cut_are_sklearns(records, read):
    true = np.array([not one["label"]["misaligned"] for one in records])
    scores = np.array([one["f_clip_score"] for one in records])
    rows = {row[0]: row[1] for row in rows_of(read["index"], "figures of all samples")}
    assert rows["AP/F-CLIPScore"] == f3(average_precision_score(true, scores))
    said = re.search(
        r"Cut at (\S+), (\S+)% of the true .*? and (\S+)% of the misaligned .*? (0\.\d+)\.", text_of(read["index"])
    )
    cut, kept, left, balanced = map(float, said.groups())
    best = max(balanced_accuracy_score(true, scores >= one) for one in scores)
    assert balanced == pytest.approx(best, abs=6e-4)
    assert (kept + left) / 200 == pytest.approx(best, abs=1.1e-3)
    assert balanced_accuracy_score(true, scores >= cut - 1e-6) == pytest.approx(best, abs=0.03)


def test_precision_and_recall_at_the_runs_epsilon_are_sklearns(records, read):
    words = [word for one in records for word in labelled_words(one)]
    labelled, low = [wrong for wrong, _ in words], [value < -5e-5 for _, value in words]
    said = re.search(r"At the run's epsilon of -5e-05: precision (\S+), recall (\S+), f1", text_of(read["index"]))
    assert said.groups() == (f3(precision_score(labelled, low)), f3(recall_score(labelled, low)))


def test_galleries_hold_what_the_records_say_in_the_order_they_say(records, read):
    by_caption = {one["caption"]: one for one in records}
    wanted = {
        "hits": [one for one in records if one["is_correct_span"]],
        "misses": [one for one in records if one["is_correct_span"] is False],
        "alarms": [one for one in records if not one["label"]["misaligned"] and one["f_clip_score"] < 0],
    }
    assert all(wanted.values())
    lowest = {one["id"]: min(value for _, value in one["word_attributions"]) for one in records}
    for name, all_of_it in wanted.items():
        cards = cards_of(read[name])
        shown = [by_caption["".join(seen(one) for one in elements(card, "caption"))] for card in cards]
        assert {one["id"] for one in shown} <= {one["id"] for one in all_of_it}
        assert len(shown) == len(all_of_it) or len(shown) >= 12
        assert f"{len(shown)} of {len(all_of_it)} such" in text_of(read[name])
        if name == "hits":
            assert [one["id"] for one in shown[:5]] == sorted((one["id"] for one in all_of_it), key=lowest.get)[:5]
        if name == "misses":  # the labelled word that seems to fit best comes first
            fits = [min(value for wrong, value in labelled_words(one) if wrong) for one in shown]
            assert len(set(fits)) > 3 and fits == sorted(fits, reverse=True)
        if name == "alarms":
            scores = [one["f_clip_score"] for one in shown]
            assert scores == sorted(scores) and scores[0] == min(one["f_clip_score"] for one in all_of_it)
        for card, one in zip(cards, shown, strict=True):
            (tag,) = [seen(tag) for tag in elements(card, "tag") if "group" not in tag.get("class")][:1]
            assert tag[2:] == {"hits": "hit", "misses": "miss"}.get(name, "ue caption")
            assert float(card.get("data-score")) == pytest.approx(one["f_clip_score"], rel=1e-6)
            spans = [one["caption"][start:end] for start, end in one["label"]["spans"]]
            assert "".join(map(seen, elements(card, "labelled"))) == "".join(spans)


def test_words_are_counted_as_the_records_have_them(records, read):
    called, there = Counter(), Counter()
    for one in records:
        if HOSTILE in one["caption"]:
            continue
        called[one["predicted_foil_word"]] += 1
        there.update(one["caption"].split())
    rows = {row[0]: row for row in rows_of(read["words"], "words most often called misaligned")[1:]}
    clean = [word for word in called if not {word} & set(HOSTILE.split())]
    assert len(clean) > 10
    hostile = sum(HOSTILE in one["caption"] for one in records)
    for word in clean:
        assert 0 <= int(rows[word][1]) - called[word] <= hostile and 0 <= int(rows[word][2]) - there[word] <= hostile


def test_captions_labels_and_names_stay_text(read, report):
    """html5lib reads strictly; no element but ours, whatever the captions, file names and groups hold."""
    for page in read.values():
        assert {one.tag for one in page.iter() if isinstance(one.tag, str)} <= {
            *(
                "html head meta title style body nav a main h1 h2 h3 h4 p ul ol li dl dt dd div span b i small wbr"
            ).split(),
            *("table thead tbody tr th td figure figcaption img label select option output footer script").split(),
        } | {"section"}
        assert len(list(page.iter("script"))) == 1 and "alert" not in next(page.iter("script")).text
        assert all(one.get("src").startswith("data:image/") for one in page.iter("img"))
        assert not any(name.startswith("on") for one in page.iter() for name in one.attrib)
    options = [option.text for option in read["hits"].iter("option")]
    assert f"kind={HOSTILE_GROUP}" in options
    assert any(HOSTILE_NAME in text_of(page) for page in read.values())
    captions = [seen(one) for page in read.values() for one in elements(page, "caption")]
    assert any(HOSTILE in one for one in captions)


def test_truncated_captions_are_said(records, read):
    many = sum(one["truncated"] for one in records)
    assert many and f"{many} caption{'s' * (many > 1)} truncated" in text_of(read["index"])


def test_a_gallery_too_large_for_a_page_goes_on_on_the_next(shapes_run, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "MOST_CARDS", 5)
    report = write_report(shapes_run.folder, tmp_path / "report", cards=12)
    made = [name for name in report.files if name.startswith("hits")]
    read = {name: document_of((report.folder / name).read_text()) for name in made}
    ranks = [int(card.get("data-rank")) for name in made for card in cards_of(read[name])]
    assert len(made) > 2 and ranks == list(range(1, len(ranks) + 1))
    for page in read.values():
        assert {link.get("href") for link in page.iter("a")} >= set(made)
    monkeypatch.setattr(pages, "MOST_BYTES", 1)
    one_each = write_report(shapes_run.folder, tmp_path / "small", cards=12)
    assert sum("hits" in name for name in one_each.files) == len(ranks)


@pytest.mark.parametrize("scheme, size", [("light", "wide"), ("dark", "narrow"), ("dark", "wide")])
def test_in_a_browser(report, chromium, scheme, size):
    """From file://: nothing is asked of anywhere, nothing complains, no serious finding of axe-core, links lead on."""
    with opened(chromium, report.index.as_uri(), size, scheme) as watched:
        page = watched.page
        for link in ["Surest hits", "Worst misses", "False alarms", "Words", "Overview"]:
            with page.expect_navigation():  # until all of it is loaded
                page.get_by_role("navigation", name="pages", exact=True).get_by_role("link", name=link).click()
            assert page.evaluate("document.images.length && [...document.images].every((i) => i.naturalWidth > 0)")
            assert not watched.overflows()
            assert watched.violations() == []
        with page.expect_navigation():
            page.get_by_role("link", name=re.compile("Surest hits: .* of .* such captions")).click()
        assert page.url == (report.folder / "hits.html").as_uri()
        assert watched.complaints == [] and watched.dialogs == []
        assert watched.asked_beyond(*((report.folder / name).as_uri() for name in report.files)) == []
        assert watched.requests


def test_cards_by_group_and_in_another_order_and_tables_by_column(report, chromium):
    with opened(chromium, (report.folder / "hits.html").as_uri()) as watched:
        page = watched.page
        ranks, scores = (
            f"[...document.querySelectorAll('.pair:not([hidden])')].map((c) => +c.dataset.{name})"
            for name in ("rank", "score")
        )
        everything = page.evaluate(ranks)
        assert everything == sorted(everything) and len(everything) >= 12
        page.get_by_label("Order").select_option(label="F-CLIPScore, highest first")
        falling = page.evaluate(scores)
        assert falling == sorted(falling, reverse=True) and page.evaluate(ranks) != everything
        page.get_by_label("Group").select_option(label=f"kind={HOSTILE_GROUP}")
        few = page.locator(".pair:visible")
        assert 0 < few.count() < len(everything)
        assert all(f"kind={HOSTILE_GROUP}" in text for text in few.all_inner_texts())
        assert page.locator("output").inner_text() == f"{few.count()} of {len(everything)} cards"
        page.get_by_label("Group").select_option(label="all")
        page.get_by_label("Order").select_option(label="as ranked")
        assert page.evaluate(ranks) == everything
        page.goto(report.index.as_uri())
        groups = page.get_by_role("region", name="figures of each group")
        column = groups.locator("thead th").all_inner_texts().index("LA")
        cells = groups.locator(f"tbody:last-child td:nth-child({column + 1})")

        def values():
            return [float(cell.get_attribute("data-value")) for cell in cells.all()]

        before = values()
        groups.get_by_role("button", name="LA", exact=True).click()
        assert values() == sorted(before, reverse=True)
        groups.get_by_role("button", name="LA", exact=True).click()
        assert values() == sorted(before)
        assert groups.locator("tbody").first.inner_text().startswith("all")
        assert watched.complaints == []


def test_complete_without_scripts(report, chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((report.folder / "hits.html").as_uri())
    assert page.locator(".controls").is_hidden()
    cards = len(cards_of(document_of((report.folder / "hits.html").read_text())))
    assert page.locator(".pair:visible").count() == cards >= 12
    context.close()
