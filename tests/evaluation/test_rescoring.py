"""A finished run judged anew, and its table: from the stored samples alone."""

from __future__ import annotations

import pytest

from clip4dm.evaluation.run import Options, evaluate, rescore
from clip4dm.evaluation.store.runfiles import RunError


@pytest.mark.parametrize(
    "settings",
    [
        {"epsilon": -1e-4, "sorted_by": "threshold"},
        {"start_layer_text": -1},
        {"start_layer_text": 0},
        {"sorted_by": "threshold", "epsilon": 0.0, "start_layer_text": -2},
    ],
)
def test_rescoring_equals_a_run_with_those_settings(reference, data, tmp_path, settings):
    again = rescore(reference[1].folder, **settings, say=lambda line: None).result
    fresh = evaluate(Options(**{**data, **settings}, output=str(tmp_path)), say=lambda line: None).result
    for name in ("n", "LA", "LA_span", "AP", "groups", "settings"):
        assert again[name] == fresh[name], name


def test_rescoring_wants_a_finished_run_and_possible_settings(reference, tmp_path):
    with pytest.raises(RunError, match="no finished run"):
        rescore(tmp_path)
    with pytest.raises(ValueError, match="out of range"):
        rescore(reference[1].folder, start_layer_text=-9)
    with pytest.raises(ValueError, match="sorted_by"):
        rescore(reference[1].folder, sorted_by="loudest")


def test_the_papers_number_stands_beside_ours_where_model_and_settings_are_the_papers(reference):
    from clip4dm.evaluation import shown

    result = {**reference[1].result, "backbone": "ViT-B-32", "pretrained": "openai"}
    lines = shown.table(result).splitlines()
    location = next(line for line in lines if line.startswith("LA "))
    assert location.split()[-1] == "0.73" and f"{result['LA']['value']:.3f}" in location
    assert next(line for line in lines if line.startswith("AP/F-CLIPScore_published")).split()[-1] == "0.71"
    assert next(line for line in lines if line.startswith("AP/refCLIPScore")).split()[-1] == "0.75"
    assert next(line for line in lines if line.startswith("LA_span")).split()[-1] == "—"
    for change in (
        {"settings": {**result["settings"], "start_layer_text": -1}},
        {"args": {**result["args"], "template": "a photo of "}},
        {"args": {**result["args"], "method": "gradient_value"}},
        {"backbone": "ViT-L-14"},
    ):
        assert (
            next(line for line in shown.table({**result, **change}).splitlines() if line.startswith("LA ")).split()[-1]
            == "—"
        )
