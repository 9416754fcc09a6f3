"""A table of a study, ours beside the paper's: as Markdown, CSV and, for the number of layers, a plot."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from reproducing.study import Missing, Study

from clip4dm.evaluation.tables import NOTHING, interval, markdown_table, number

COLUMNS = (
    "row",
    "model",
    "data",
    "figure",
    "ours",
    "low",
    "high",
    "n",
    "as_published",
    "paper",
    "difference",
    "paper_within_interval",
    "remark",
)
Row = dict[str, Any]  # of COLUMNS; without "ours" where a figure could not be had


def write_table(study: Study, name: str, folder: Path) -> str:
    """Write NAME.md and NAME.csv (and layers.png) into a folder, return the Markdown. Errors: DamagedRun, OSError."""
    rows = table_rows(study, name)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    text = markdown(study, name, rows)
    (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    if name == "layers" and any("ours" in row for row in rows):
        from reproducing.plots import layer_plot

        layer_plot(rows, folder / "layers.png")
    return text


def table_rows(study: Study, name: str) -> list[Row]:
    """A row a line of the table; where a figure cannot be had, with the reason as its remark."""
    rows = []
    for line in study.lines(name):
        row: Row = {
            "row": line.row,
            "model": str(line.model),
            "data": line.data,
            "figure": line.figure,
            "paper": line.paper,
        }
        try:
            ours, published = study.figure(line)
        except Missing as error:
            rows.append(row | {"remark": str(error)})
            continue
        row |= {
            "ours": ours.value,
            "low": ours.low,
            "high": ours.high,
            "n": ours.n,
            "remark": ours.reason or "",
            "as_published": published.value if published else None,
        }
        if line.paper is not None and ours.value is not None:
            row["difference"] = ours.value - line.paper
            if ours.low is not None and ours.high is not None:
                row["paper_within_interval"] = ours.low <= line.paper <= ours.high
        rows.append(row)
    return rows


def markdown(study: Study, name: str, rows: list[Row]) -> str:
    """The table, with what could not be had below it, by reason."""
    table = study.tables[name]
    computed = [_cells(row) for row in rows if "ours" in row]
    if not study.as_published:
        for cells in computed:
            del cells["as published"]
    shown = markdown_table([list(cells.values()) for cells in computed], list(computed[0])) if computed else ""
    notes = [*([table.note] if table.note else []), *_notes_on_models(study, rows), *_notes_on_rows(rows)]
    return "\n".join(
        [f"### {table.title}", "", shown or "Nothing could be computed.", *(f"\n{note}" for note in notes)]
    )


def _cells(row: Row) -> dict[str, str]:
    return {
        "of": row["row"],
        "model, data": f"{row['model']}, {row['data']}",
        "figure": row["figure"],
        "ours": number(row["ours"]),
        "95 % interval": interval(row["low"], row["high"]),
        "n": str(row["n"]),
        "as published": number(row["as_published"]),
        "paper": number(row["paper"]),
        "difference": number(row.get("difference"), "+.3f"),
        "paper within": {None: NOTHING, True: "yes", False: "no"}[row.get("paper_within_interval")],
    }


def _notes_on_models(study: Study, rows: list[Row]) -> list[str]:
    notes = [
        f"{model} has random weights: its figures are those of chance and mean nothing."
        for model in sorted({row["model"] for row in rows} & study.random_weights)
    ]
    if study.options.get("limit"):
        notes.append(f"Only the first {study.options['limit']} samples of each benchmark.")
    return notes


def _notes_on_rows(rows: list[Row]) -> list[str]:
    """Why there is no value, figure by figure; and what was left out, gathered by the reason."""
    notes = [
        f"No value ({row['model']}, {row['data']}, {row['figure']}): {row['remark']}."
        for row in rows
        if "ours" in row and row["ours"] is None
    ]
    absent: dict[tuple[str, str, str], list[str]] = {}
    for row in (row for row in rows if "ours" not in row):
        absent.setdefault((row["model"], row["data"], row["remark"]), []).append(row["row"])
    return notes + [
        f"Left out ({model}, {data}): {', '.join(dict.fromkeys(of))}: {reason}."
        for (model, data, reason), of in absent.items()
    ]
