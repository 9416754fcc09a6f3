"""Published figures against hand-made results: inside our interval or not, how far, and where nothing may be said."""

from __future__ import annotations

import json

import pytest

from clip4dm.commands import evaluate
from clip4dm.errors import InputError
from clip4dm.evaluation.metrics.metrics import Figure
from clip4dm.evaluation.result import Outcome
from clip4dm.evaluation.verdicts import Verdict, check_comparable, unexpected, verdict_lines, verdicts


def figure(value, low, high, n=5000, reason=None):
    return Figure(value, low, high, n, reason).as_dict()


def nocaps(**changes):
    """A result of the whole nocaps-FOIL with OpenAI's ViT-B-32, of which LA 0.60, AP 0.69, CLIPScore 0.69 are published."""
    args = {"template": "A photo depicts ", "limit": None, "method": "clip4dm", "image_masks": 0}
    result = {
        "benchmark": "nocaps",
        "backbone": "ViT-B-32",
        "pretrained": "openai",
        "settings": {"sorted_by": "most_negative", "epsilon": -5e-5, "start_layer_text": -3, "layers": 12},
        "args": args,
        "n": 5000,
        "LA": figure(0.61, 0.59, 0.63, 2500),
        "LA_span": figure(0.64, 0.62, 0.66, 2500),
        "AP": {
            "F-CLIPScore": figure(0.2, 0.1, 0.3),
            "F-CLIPScore_published": figure(0.72, 0.71, 0.73),
            "CLIPScore": figure(0.69, 0.68, 0.70),
            "refCLIPScore": figure(None, None, None, 0, "no references"),
        },
        "groups": {"domain": {"in-domain": {"LA": figure(0.1, 0.0, 0.2)}}},
    }
    return {**result, **changes, "args": {**args, **changes.get("args", {})}}


def test_each_published_figure_has_one_line_and_others_have_none():
    assert verdict_lines(nocaps()) == [
        "published: LA 0.60: inside [0.590, 0.630]",
        "published: AP/F-CLIPScore_published 0.69: outside [0.710, 0.730], 0.020 below",
        "published: AP/CLIPScore 0.69: inside [0.680, 0.700]",
        "published: AP/refCLIPScore 0.74: not judged, no figure (no references)",
    ]
    assert [verdict.name for verdict in unexpected(nocaps())] == ["AP/F-CLIPScore_published"]


@pytest.mark.parametrize(
    ("published", "low", "high", "inside"),
    [
        (0.6, 0.590, 0.630, True),
        (0.6, 0.604, 0.610, True),  # 0.604 is printed as 0.60
        (0.6, 0.606, 0.610, False),
        (0.6, 0.500, 0.595, True),
        (0.6, 0.500, 0.594, False),
        (0.667, 0.668, 0.700, False),  # three decimals: the number is known that much better
        (0.667, 0.6674, 0.700, True),
        (0.6, None, None, None),
    ],
)
def test_a_published_number_is_all_that_round_to_it(published, low, high, inside):
    value, reason = (None, "one image") if low is None else ((low + high) / 2, None)
    assert Verdict("LA", published, Figure(value, low, high, 9, reason)).inside is inside


def test_a_number_near_the_interval_says_so():
    assert Verdict("LA", 0.6, Figure(0.607, 0.604, 0.61, 9)).line() == (
        "LA 0.60: inside [0.604, 0.610] as rounded (0.004 below)"
    )


def test_the_figure_with_the_published_quirks_is_judged_where_there_is_one():
    quirks = {"LA": figure(0.66, 0.65, 0.67), "AP": {"F-CLIPScore": figure(0.69, 0.68, 0.70)}}
    lines = verdict_lines(nocaps(as_published=quirks))
    assert lines[0] == "published: as_published LA 0.60: outside [0.650, 0.670], 0.050 below"
    assert lines[1] == "published: as_published AP/F-CLIPScore 0.69: inside [0.680, 0.700]"
    assert len(lines) == 4


NOTHING_PUBLISHED = [
    {"pretrained": "folder"},  # random weights, or anybody's
    {"pretrained": "laion2b_s34b_b79k"},
    {"backbone": "ViT-B-16-SigLIP"},
    {"benchmark": "expert"},
    {"settings": {"sorted_by": "most_negative", "epsilon": -5e-5, "start_layer_text": -1, "layers": 12}},
    {"args": {"template": "a photo of "}},
    {"args": {"limit": 5000}},
    {"args": {"method": "gradient_value"}},
    {"args": {"image_masks": 10}},
]


@pytest.mark.parametrize("change", NOTHING_PUBLISHED, ids=str)
def test_what_is_not_published_is_not_compared(change):
    result = nocaps(**change)
    assert verdict_lines(result) == [] and verdicts(result) == []
    with pytest.raises(InputError, match="--expect has nothing to compare: nothing is published for"):
        unexpected(result)
    with pytest.raises(InputError, match="nothing is published for"):
        check_comparable(result, 5000)


def test_a_part_of_the_data_is_not_the_data():
    result = nocaps(n=4998)
    assert verdict_lines(result) == ["published: not judged: 4998 samples, where the paper's nocaps has 5000"]
    with pytest.raises(InputError, match="4998 samples, where the paper's nocaps has 5000"):
        unexpected(result)


def test_figures_without_intervals_are_no_agreement():
    bare = nocaps(LA=figure(0.6, None, None, 1, "one image"), AP={})
    with pytest.raises(InputError, match="could judge no figure: LA 0.60: not judged, no interval .one image."):
        unexpected(bare)


@pytest.mark.parametrize(
    ("result", "expect", "status"),
    [
        (nocaps(), True, 1),
        (nocaps(), False, None),
        (nocaps(AP={}), True, None),
        (nocaps(pretrained="folder"), True, 2),
        (nocaps(pretrained="folder"), False, None),
        (nocaps(n=136), True, 2),
        (nocaps(n=136), False, None),
    ],
)
def test_main_says_and_ends_with_it(result, expect, status, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "rescore", lambda args: Outcome(tmp_path, result, "the table", {}))
    asked = ["--rescore", str(tmp_path), *(["--expect"] if expect else [])]
    if status is None:
        evaluate.main(asked)
    else:
        with pytest.raises(SystemExit) as stopped:
            evaluate.main(asked)
        assert stopped.value.code == status
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "the table"
    assert said.out.splitlines()[1:-1] == verdict_lines(result)
    assert ("main.py: error: " in said.err) == (status is not None)
    assert len(said.err.splitlines()) == (status is not None)
    if status == 1:
        assert "outside our intervals: AP/F-CLIPScore_published 0.69: outside [0.710, 0.730], 0.020 below" in said.err


def test_an_expectation_that_cannot_be_met_costs_no_run(data, tmp_path, capsys):
    """A tiny model of random weights: refused before a single block is computed."""
    asked = [f"--{name}={value}" for name, value in data.items() if name not in ("backbone",)]
    with pytest.raises(SystemExit) as stopped:
        evaluate.main([*asked, "--output", str(tmp_path / "out"), "--expect"])
    assert stopped.value.code == 2
    assert "--expect has nothing to compare: nothing is published for foil with" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_result_read_back_from_its_file_is_judged_the_same():
    assert verdict_lines(json.loads(json.dumps(nocaps()))) == verdict_lines(nocaps())
