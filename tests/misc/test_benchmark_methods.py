"""misc/benchmark_methods.py: its rows and ratios, with clocks of the test's own; its command, on a small model."""

import benchmark_methods
import pytest


def test_rows_are_compared_with_the_first_and_with_a_text_pass(monkeypatch, tiny_folder, capsys):
    monkeypatch.setattr(
        benchmark_methods,
        "processor_seconds",
        lambda timed, rounds: {
            name: [seconds, 2 * seconds] for name, seconds in zip(timed, (0.1, 0.2, 0.5), strict=True)
        },
    )
    benchmark_methods.main(
        ["--pretrained", str(tiny_folder), "--device", "cpu", "--captions", "10"]
        + ["--methods", "clip4dm:0", "occlusion"]
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert rows[2:] == [
        ["a text pass", "15.00", "0.50", "0.50", "0.50", "1.00"],
        ["clip4dm, all layers", "30.00", "1.00", "1.00", "1.00", "2.00"],
        ["occlusion", "75.00", "2.50", "2.50", "2.50", "5.00"],
    ]


def test_every_round_but_the_first_is_kept():
    calls = {"a": 0, "b": 0}

    def call(name):
        calls[name] += 1

    seconds = benchmark_methods.processor_seconds({name: lambda name=name: call(name) for name in calls}, 3)
    assert calls == {"a": 4, "b": 4}
    assert {name: len(took) for name, took in seconds.items()} == {"a": 3, "b": 3}


def test_it_times_methods_of_a_folder(tiny_folder, capsys):
    benchmark_methods.main(
        ["--pretrained", str(tiny_folder), "--device", "cpu", "--captions", "3", "--words", "2", "--rounds", "1"]
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 1 + len(benchmark_methods.ROWS)
    assert all(float(line.strip("|").split("|")[1]) > 0 for line in lines[2:])


def test_a_row_that_is_none(capsys):
    with pytest.raises(SystemExit):
        benchmark_methods.parse_args(["--methods", "nearest"])
    assert "nearest" in capsys.readouterr().err
