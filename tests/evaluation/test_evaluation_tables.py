"""The tables a person reads."""

from __future__ import annotations

from clip4dm.evaluation.metrics.metrics import Figure
from clip4dm.evaluation.tables import format_groups, format_table, markdown_table


def test_format_table():
    table = format_table(
        [
            ("LA", Figure(0.6021, 0.58, 0.6249, 2500), 0.6),
            ("AP/F-CLIPScore", Figure(0.5, None, None, 3, "no interval from a single image"), 0.806),
            ("LA \x1b[31mred", Figure(None, None, None, 0, "no misaligned captions"), None),
        ]
    )
    assert table.split("\n") == [
        "metric           ours   95 % interval     n  paper",
        "LA              0.602  [0.580, 0.625]  2500   0.60",
        "AP/F-CLIPScore  0.500               —     3  0.806  no interval from a single image",
        "LA \N{REPLACEMENT CHARACTER}[31mred         —               —     0      —  no misaligned captions",
    ]
    assert format_table([]) == "metric  ours  95 % interval  n  paper"


def test_markdown_table_keeps_its_cells_as_they_are():
    """Numbers are not read as numbers, and white space stays."""
    assert markdown_table([["1e-5 (the run's)", "0.50"], ["  a", "—"]], ["epsilon", "LA"]).split("\n") == [
        "| epsilon | LA |",
        "|------------------|------|",
        "| 1e-5 (the run's) | 0.50 |",
        "|   a | — |",
    ]


def test_groups_are_a_line_each_with_half_their_intervals_and_why_figures_are_missing():
    rare = "1 of 1000 resamples left out of the interval: one class only"
    text = format_groups(
        ["LA", "AP/F-CLIPScore_published"],
        [
            ("kind=colour", 900, [Figure(0.973, 0.957, 0.988, 450), Figure(0.5, 0.4, 0.6, 900, rare)]),
            ("kind=\x1b[31m", 2, [Figure(None, None, None, 0, "no misaligned captions"), None]),
        ],
    )
    assert text.split("\n") == [
        "               n          LA            AP",
        "                              /F-CLIPScore",
        "                                _published",
        "kind=colour  900  0.973±.016    0.500±.100",
        "kind=\N{REPLACEMENT CHARACTER}[31m     2           —             —",
        "some resamples left out of the interval: one class only: kind=colour AP/F-CLIPScore_published",
        "no misaligned captions: kind=\N{REPLACEMENT CHARACTER}[31m LA",
    ]
