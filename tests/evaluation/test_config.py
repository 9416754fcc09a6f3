"""What an option bears on: config.json, the run's fingerprint, whether a finished run may stand in for another."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from clip4dm.evaluation.config import Bears, Options, run_folder
from clip4dm.evaluation.records import Settings

OPTIONS = Options("foil.json", "images")
OTHER = {
    "str": "another",
    "str | None": "another",
    "SortedBy | None": "threshold",
    "int": 5,
    "int | None": 5,
    "float | None": -0.5,
}
ASIDE = {"method": "gae", "margin": 0.5}  # what not every text or number may be


@pytest.mark.parametrize("option", fields(Options), ids=lambda option: option.name)
def test_an_option_changes_what_it_bears_on_and_nothing_else(option):
    options = replace(OPTIONS, method="occlusion", start_layer_text=None) if option.name == "margin" else OPTIONS
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
        "backbone pretrained precision template start_layer_text method margin sorted_by epsilon get_refclipscore limit"
    )
    assert list(OPTIONS.identity()) == identity.split()
    assert (
        list(OPTIONS.reported())
        == (
            "data_path img_dir benchmark backbone pretrained precision template start_layer_text method margin sorted_by "
            "epsilon get_refclipscore reference_path limit nli_model seed images_per_block"
        ).split()
    )


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
    folder = run_folder(replace(OPTIONS, **options), config)
    assert folder == Path("output/foil") / "hf-hub-org-CLIP-..-tiny-model" / name
