"""The published numbers against the paper's tables, whose rows that concern us lie in tests/golden/paper_tables.json."""

from __future__ import annotations

import json

import pytest
from places import ROOT, SHARED

from clip4dm.evaluation.paper import PAPER, paper_value

TABLES = ROOT / "tests" / "golden" / "paper_tables.json"
SHARED_TABLES = SHARED / "spec" / "paper_tables.json"
HUB_H14 = "CLIP-ViT-H-14-laion2B-s32B-b79K"
MAIN_WEIGHTS = {"ViT-B/32": "openai", "ViT-H/14": "laion2b_s32b_b79k"}  # of all tables but that of backbones
LAION2B_BY_IMAGENET_ACCURACY = {
    0.656: "laion2b_e16",
    0.753: "laion2b_s32b_b82k",
    0.780: "laion2b_s32b_b79k",
    0.766: "laion2b_s12b_b42k",
}


@pytest.fixture(scope="module")
def rows():
    return json.loads(TABLES.read_text(encoding="utf-8"))["rows"]


def expected_rows(rows):
    """{(benchmark, backbone, pretrained, metric, epsilon): value} of the tables' rows."""
    expected = {}
    for row in rows:
        ours, model = row["method"] == "CLIP4DM", row["model"] or "ViT-B/32"
        epsilon = row.get("epsilon", -5e-5 if ours and row["data"] in ("hat", "seetrue") else None)
        for metric, value in row["figures"].items():
            if metric == "AP" or not ours:
                metric += "/F-CLIPScore" if ours else f"/{row['method']}"
            key = (row["data"], model.replace("/", "-"), weights(row, model), metric, epsilon)
            if row["table"] == "backbones_nocaps":  # the main table's figures are taken where both have them
                expected.setdefault(key, value)
            else:
                assert key not in expected
                expected[key] = value
    return expected


def weights(row, model):
    if row["table"] != "backbones_nocaps":
        return MAIN_WEIGHTS[model]
    return "openai" if row["source"] == "openai" else LAION2B_BY_IMAGENET_ACCURACY[row["imagenet_accuracy"]]


def in_our_layout(tables):
    """The rows of ../shared's tables that are CLIP4DM's or a CLIPScore's without training, as in our file."""
    found = []
    for table, data in (
        ("foil_nocaps", ("foil", "nocaps")),
        ("hat", ("hat",)),
        ("seetrue_feedback", ("seetrue",)),
        ("richhf_correlation", ("richhf",)),
        ("richhf_tokens", ("richhf",)),
        ("backbones_nocaps", ("nocaps",)),
    ):
        for values in tables[table]["rows"]:
            row = dict(zip(tables[table]["columns"], values, strict=True))
            method, _, model = row.get("method", f"CLIP4DM ({row.get('backbone')})").partition(" (")
            if method not in ("CLIP4DM", "CLIPScore", "RefCLIPScore") or row.get("fine_tuned"):
                continue
            for name in data:
                figures = {
                    figure: row.get(figure, row.get(f"{name}_{figure}"))
                    for figure in ("LA", "AP", "NLI", "pearson", "spearman", "precision", "recall", "f1")
                }
                found.append(
                    {"table": table, "data": name, "method": method, "model": model.rstrip(")") or None}
                    | {key: row[key] for key in ("epsilon", "source", "imagenet_accuracy") if row.get(key) is not None}
                    | {"figures": {figure: value for figure, value in figures.items() if value is not None}}
                )
    return found


@pytest.mark.skipif(not SHARED_TABLES.is_file(), reason="no ../shared: the tables in tests/golden stand alone")
def test_the_tables_here_are_those_in_shared(rows):
    assert rows == in_our_layout(json.loads(SHARED_TABLES.read_text(encoding="utf-8")))


def test_paper_holds_the_published_tables_and_nothing_else(rows):
    ours = {(row.benchmark, row.backbone, row.pretrained, row.metric, row.epsilon): row.value for row in PAPER}
    assert len(ours) == len(PAPER)
    assert ours == expected_rows(rows)


def test_every_listed_number_is_found_by_its_own_settings():
    for row in PAPER:
        assert (
            paper_value(
                row.benchmark, row.backbone, row.pretrained, row.metric, epsilon=row.epsilon, sorted_by=row.sorted_by
            )
            == row.value
        )


def test_backbones_are_those_of_open_clip():
    import open_clip

    known = set(open_clip.list_pretrained())
    assert {(row.backbone, row.pretrained) for row in PAPER} <= known


@pytest.mark.parametrize(
    "arguments, options, value",
    [
        (("nocaps", "ViT-B-32", "openai", "LA"), {}, 0.60),
        (("nocaps", "ViT-B-32-quickgelu", "openai", "LA"), {}, 0.60),
        (("foil", "ViT-H-14", "laion2b_s32b_b79k", "AP/F-CLIPScore"), {"epsilon": -1e-3}, 0.81),
        (("nocaps", HUB_H14, f"hf-hub:laion/{HUB_H14}", "LA"), {}, 0.72),
        (("richhf", "ViT-H-14", "laion2b_s32b_b79k", "f1"), {}, 0.43),
        (("richhf", "ViT-H-14", "laion2b_s32b_b79k", "f1"), {"epsilon": -5e-5}, 0.31),
        (("richhf", "ViT-H-14", "laion2b_s32b_b79k", "f1"), {"epsilon": -2e-5}, None),
        (("hat", "ViT-B-32", "openai", "LA"), {"sorted_by": "threshold"}, 0.19),
        (("hat", "ViT-B-32", "openai", "LA"), {"sorted_by": "most_negative"}, None),
        (("hat", "ViT-B-32", "openai", "LA"), {"epsilon": -1e-5}, None),
        (("hat", "ViT-B-32", "openai", "AP/CLIPScore"), {"sorted_by": "most_negative", "epsilon": -1.0}, 0.39),
        (("nocaps", "ViT-B-32", "laion2b_s34b_b79k", "LA"), {}, None),  # another checkpoint than the paper's
        (("nocaps", "ViT-B-32-quickgelu", "laion2b_e16", "LA"), {}, None),  # not the model that was trained
        (("nocaps", "ViT-B-32", "weights.pt", "LA"), {}, None),
        (("nocaps", "ViT-B-32", "openai", "LA_span"), {}, None),
        (("coco", "ViT-B-32", "openai", "LA"), {}, None),
    ],
)
def test_paper_value(arguments, options, value):
    assert paper_value(*arguments, **options) == value
