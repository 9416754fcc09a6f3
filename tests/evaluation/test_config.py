"""What an option bears on: config.json, the run's fingerprint, whether a finished run may stand in for another."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from clip4dm.errors import InputError
from clip4dm.evaluation.config import Bears, Options, run_folder, settings_name
from clip4dm.evaluation.records import Settings

OPTIONS = Options("foil.json", "images").for_tower(12)
OTHER = {
    "str": "another",
    "str | None": "another",
    "SortedBy | None": "threshold",
    "ScoreName": "additive_sum",
    "Long": "split",
    "int": 5,
    "int | None": 5,
    "float | None": -0.5,
    "float | str | None": -0.5,
}
ASIDE = {"method": "gae", "margin": 0.5, "steps": 4, "score_weight": 3.0}  # what not every text or number may be
HAVING = {  # what an option needs beside it
    "margin": {"method": "occlusion", "start_layer_text": None},
    "steps": {"method": "integrated", "start_layer_text": None},
    "score": {"score": "additive", "score_weight": 2.0},
    "score_weight": {"score": "additive", "score_weight": 2.0},
    "vocabulary": {"suggest": True},
}


@pytest.mark.parametrize("option", fields(Options), ids=lambda option: option.name)
def test_an_option_changes_what_it_bears_on_and_nothing_else(option):
    options = replace(OPTIONS, **HAVING.get(option.name, {}))
    was = getattr(options, option.name)
    other = ASIDE.get(option.name, not was if isinstance(was, bool) else OTHER[option.type])
    changed = replace(options, **{option.name: other})
    for what, read in (
        (Bears.REPORT, Options.reported),
        (Bears.FINGERPRINT, Options.fingerprinted),
        (Bears.IDENTITY, Options.identity),
    ):
        assert (read(changed) != read(options)) == (what in option.metadata["bears_on"]), what


def test_the_lists_are_those_of_the_runs_made_so_far():
    """A run's folder is found again by its fingerprint: an option that enters or leaves it makes all runs others."""
    fingerprinted = "benchmark precision template start_layer_text get_refclipscore limit nli_model images_per_block"
    assert list(OPTIONS.fingerprinted()) == fingerprinted.split()
    identity = (
        "backbone pretrained precision template start_layer_text method margin steps image_masks sorted_by epsilon score score_weight "
        "long get_refclipscore limit"
    )
    assert list(OPTIONS.identity()) == identity.split()
    assert (
        list(OPTIONS.reported())
        == (
            "data_path img_dir benchmark backbone pretrained precision template start_layer_text method margin steps image_masks "
            "sorted_by epsilon score score_weight long get_refclipscore reference_path limit nli_model seed images_per_block"
        ).split()
    )


def test_the_papers_score_is_unsaid_in_the_fingerprint_and_another_is_not():
    """The settings go into it whole: those of runs from before there were other scores have four parts."""
    paper = Settings("threshold", -5e-5, -3, 12)
    assert paper.stored() == {"sorted_by": "threshold", "epsilon": -5e-5, "start_layer_text": -3, "layers": 12}
    other = replace(paper, score="additive", score_weight=2.0)
    assert other.stored() == {**paper.stored(), "score": "additive", "score_weight": 2.0}
    for settings in (paper, other):
        assert Settings(**settings.stored()) == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "additive"}, "the score additive needs a score_weight.*misc/epsilon_study.py RUN_FOLDER"),
        ({"score": "loudest"}, "unknown score 'loudest'; allowed: f_clip_score, additive, additive_sum"),
        ({"score_weight": 2.0}, "means nothing to f_clip_score"),
        ({"score": "additive", "score_weight": -1.0}, "--score_weight is -1.0; it must be a finite number from 0 on"),
        ({"score": "additive", "score_weight": float("nan")}, "--score_weight is nan"),
    ],
)
def test_a_score_has_the_weight_it_needs_and_no_other(change, message):
    with pytest.raises(InputError, match=message):
        Options("foil.json", "images", **change)


def test_a_folder_says_layers_and_score():
    """One row of whatever layers were asked for has no number of last layers to say."""
    one_row = Settings("threshold", -5e-5, -1, 1)
    assert settings_name(one_row, "gae", 0) == "threshold_-5e-05_start0"
    assert settings_name(one_row, "gae") == "threshold_-5e-05_start-3"
    assert settings_name(one_row, "occlusion", -1) == "threshold_-5e-05_last1"
    near = [replace(one_row, score="additive", score_weight=weight) for weight in (2.0, 2.0000001)]
    assert len({settings_name(settings, "occlusion", -1) for settings in near}) == 2


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "most_negative_-5e-05_last3_fp32_0123abcd"),
        ({"precision": "bf16", "limit": 7}, "most_negative_-5e-05_last3_bf16_limit7_0123abcd"),
        ({"get_refclipscore": True}, "most_negative_-5e-05_last3_fp32_ref_0123abcd"),
        ({"method": "gradient_value"}, "gradient_value_most_negative_-5e-05_last3_fp32_0123abcd"),
        ({"method": "ensemble", "start_layer_text": None}, "ensemble_most_negative_-5e-05_last3_fp32_0123abcd"),
        (
            {"method": "ensemble", "start_layer_text": None, "margin": 0.4},
            "ensemble_margin0.4_most_negative_-5e-05_last3_fp32_0123abcd",
        ),
        (
            {"method": "integrated", "start_layer_text": None, "steps": 4},
            "integrated_steps4_most_negative_-5e-05_last3_fp32_0123abcd",
        ),
        ({"long": "split"}, "split_most_negative_-5e-05_last3_fp32_0123abcd"),
        ({"image_masks": 10}, "masks10_most_negative_-5e-05_last3_fp32_0123abcd"),
    ],
)
def test_a_runs_folder_is_named_by_what_made_it(options, name):
    config = {
        "benchmark": "foil",
        "backbone": "hf-hub:org/CLIP",
        "pretrained": "../tiny model/",
        "settings": vars(Settings("most_negative", -5e-5, -3, 12)),
        "fingerprint": "0123abcd4567",
    }
    folder = run_folder(replace(OPTIONS, **options).for_tower(12), config)
    assert folder == Path("output/foil") / "hf-hub-org-CLIP-..-tiny-model" / name
