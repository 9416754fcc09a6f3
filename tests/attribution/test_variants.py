"""The ablations, against Hugging Face's CLIP under full autograd and the definitions written out in plain loops."""

import csv

import ablate
import numpy as np
import pytest
import torch
from contract import COSINE, assert_attributions
from making import make_foil, make_pictures
from twin_models import CAPTIONS, EMBED, LAYERS, pair_of_models

from clip4dm.attribution.attribute import attribute
from clip4dm.attribution.batch import Batch
from clip4dm.attribution.methods import METHODS
from clip4dm.attribution.plain import attention_gradients
from clip4dm.attribution.variants import AGGREGATIONS, SIGNS, Variant
from clip4dm.captions.words import encode_caption
from clip4dm.evaluation.ablation import detect_variants
from clip4dm.scores import TEMPLATE
from clip4dm.towers.text import TextTower


def written_out(maps, gradients, at, variant):
    """The definition, one number at a time. maps, gradients: a (heads, T, T) array a layer."""
    layers = []
    for a, g in list(zip(maps, gradients, strict=True))[-variant.layers :]:
        heads, size, _ = a.shape
        relevance = np.zeros((size, size))
        for i in range(size):
            for j in range(size):
                products = [g[h, i, j] * a[h, i, j] for h in range(heads)]
                if variant.sign == "negative_per_head":
                    products = [min(p, 0) for p in products]
                if variant.sign == "positive":
                    products = [max(p, 0) for p in products]
                relevance[i, j] = sum(products) / heads
                if variant.sign == "negative_per_layer":
                    relevance[i, j] = min(relevance[i, j], 0)
        layers.append(relevance)
    if variant.aggregation == "mean":
        return sum(layer[at] for layer in layers) / len(layers)
    product = np.eye(len(layers[0]))
    for layer in layers:
        product = product + layer @ product
    return product[at]


def of_hugging_face(hf, encoded, feature, variant):
    """The definition on Hugging Face's maps, start and end left out; the largest attribution of any layer."""
    end = len(encoded.ids) - 1
    out = hf.text_model(input_ids=torch.tensor([list(encoded.ids)]), output_attentions=True)
    text = torch.nn.functional.normalize(hf.text_projection(out.last_hidden_state[0, end]), dim=-1)
    gradients = torch.autograd.grad(text @ feature, out.attentions)
    expected = written_out(
        [a[0].detach().double().numpy() for a in out.attentions],
        [g[0].double().numpy() for g in gradients],
        end,
        variant,
    )[1:end]
    rows = [(g * a).detach()[0, :, end].mean(0) for a, g in zip(out.attentions, gradients, strict=True)]
    return expected, max(row.abs().max() for row in rows)


@pytest.mark.parametrize(
    "variant",
    [Variant(sign, how, layers) for sign in SIGNS for how in AGGREGATIONS for layers in (1, 3, LAYERS)],
    ids=str,
)
def test_variants_equal_the_definition_on_hugging_faces_maps(variant, tokenizer):
    hf, model = pair_of_models("gelu", seed=4)
    tower = TextTower(model)
    encoded = [encode_caption(tokenizer, caption, "A photo depicts ") for caption in CAPTIONS[:2]]
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(2, EMBED), dim=-1)
    from clip4dm.attribution.variants import token_attributions

    batch = Batch.of(tower, encoded, features)
    maps = attention_gradients(tower, batch, 0)
    got = token_attributions(maps.attention, maps.gradients, batch.pooled, variant)
    for i, e in enumerate(encoded):
        expected, largest = of_hugging_face(hf, e, features[i], variant)
        assert_attributions(got[i, 1 : len(e.ids) - 1], expected, largest)


@pytest.mark.parametrize("layers", [1, 3, LAYERS])
def test_gae_is_relu_and_rollout_on_hugging_faces_maps(layers, tokenizer):
    """The method of that name, of pairs that share captions."""
    hf, model = pair_of_models("quick_gelu", seed=5)
    encoded = [encode_caption(tokenizer, caption, TEMPLATE) for caption in CAPTIONS]
    torch.manual_seed(0)
    features, caption_of = torch.nn.functional.normalize(torch.randn(5, EMBED), dim=-1), [3, 0, 1, 2, 0]
    found = METHODS["gae"].run(TextTower(model), encoded, features, caption_of, -layers)
    assert found.per_layer.shape == (5, 1, max(len(e.ids) for e in encoded))
    for row, which, feature in zip(found.per_layer[:, 0], caption_of, features, strict=True):
        expected, largest = of_hugging_face(hf, encoded[which], feature, Variant("positive", "rollout", layers))
        assert_attributions(row[1 : len(encoded[which].ids) - 1], expected, largest)


def test_the_method_is_one_of_the_variants(detector):
    torch.manual_seed(1)
    features = torch.nn.functional.normalize(torch.randn(3, 24), dim=-1)
    captions = detector.encode_captions(["a red dog", "two zebras, on a plate.", "well...ok"])
    found = detect_variants(detector, features, captions, [Variant(layers=k) for k in (1, 3, 4)])
    for i, caption in enumerate(captions):
        for k in (1, 3, 4):
            layers = attribute(detector.model.tower, [caption], features[i : i + 1], -k).per_layer[0]
            row = layers.mean(0)
            words = found[i][Variant(layers=k)].words
            own = [
                row[
                    [
                        j
                        for j, unit in enumerate(caption.unit_of)
                        if unit >= 0 and caption.units[unit].start == word.start
                    ]
                ]
                .mean()
                .item()
                for word in words
            ]
            assert_attributions([word.attribution for word in words], own, layers.abs().max())


def test_signs_have_their_sign(detector):
    torch.manual_seed(2)
    features = torch.nn.functional.normalize(torch.randn(1, 24), dim=-1)
    captions = detector.encode_captions(["a red dog on a blue boat"])
    (found,) = detect_variants(detector, features, captions, [Variant(sign) for sign in SIGNS])
    values = {
        variant.sign: np.array([word.attribution for word in detection.words]) for variant, detection in found.items()
    }
    assert (values["positive"] >= 0).all() and (values["positive"] > 0).any()
    assert (values["negative_per_head"] <= values["negative_per_layer"]).all()
    assert (values["negative_per_layer"] <= 0).all()
    assert_attributions(
        values["positive"] + values["negative_per_head"], values["both"], np.abs(values["negative_per_head"]).max()
    )


@pytest.mark.parametrize("wrong", [{"sign": "up"}, {"aggregation": "sum"}, {"layers": 0}])
def test_unknown_variants(wrong):
    with pytest.raises(ValueError):
        Variant(**wrong)


def test_more_layers_than_there_are(detector):
    features = torch.nn.functional.normalize(torch.randn(1, 24), dim=-1)
    with pytest.raises(ValueError, match="this text tower has 4"):
        detect_variants(detector, features, detector.encode_captions(["a dog"]), [Variant(layers=5)])


def test_signs_and_products_can_be_of_other_layers(tiny_folder, tmp_path, capsys):
    data = make_foil(tmp_path / "foil.json", make_pictures(tmp_path / "images", 2))
    asked = ["--data_path", str(data), "--img_dir", str(tmp_path / "images"), "--pretrained", str(tiny_folder)]
    ablate.main([*asked, "--layers", "2"])
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row for row in rows if not row.startswith("both, mean")] == [
        "negative_per_head, mean, 2 layers",
        "negative_per_layer, mean, 2 layers",
        "positive, mean, 2 layers",
        "both, rollout, 2 layers",
        "positive, rollout, 2 layers",
    ]
    with pytest.raises(SystemExit):
        ablate.main([*asked, "--layers", "5"])
    assert "has 4 layers" in capsys.readouterr().err


def test_the_table_agrees_with_main_py(tiny_folder, tmp_path, capsys):
    """The method's row is what main.py computes of the same data by its own way."""
    from clip4dm.evaluation.run import Options, evaluate

    names = make_pictures(tmp_path / "images", 6)
    data = make_foil(tmp_path / "foil.json", names)
    ablate.main(
        [
            "--data_path",
            str(data),
            "--img_dir",
            str(tmp_path / "images"),
            "--pretrained",
            str(tiny_folder),
            "--csv",
            str(tmp_path / "out.csv"),
        ]
    )
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("| variant | LA | LA_span | AP/F-CLIPScore")
    assert len(table) == 2 + 4 + 3 + 2
    outcome = evaluate(
        Options(
            data_path=str(data),
            img_dir=str(tmp_path / "images"),
            backbone=None,
            method="clip4dm",
            pretrained=str(tiny_folder),
            output=str(tmp_path / "output"),
        ),
        say=lambda _: None,
    )
    with open(tmp_path / "out.csv", newline="") as file:
        rows = {
            row["figure"]: row
            for row in csv.DictReader(file)
            if (row["sign"], row["aggregation"], row["layers"]) == ("both", "mean", "4")
        }
    for name in ("LA", "LA_span"):
        assert float(rows[name]["value"]) == outcome.result[name]["value"]
        assert float(rows[name]["low"]) == pytest.approx(outcome.result[name]["low"])
    for name in ("F-CLIPScore", "CLIPScore", "misaligned_sum"):
        assert float(rows[f"AP/{name}"]["value"]) == pytest.approx(outcome.result["AP"][name]["value"], abs=COSINE)
    assert float(rows["LA_floor/chance"]["value"]) == outcome.result["LA_floor"]["chance"]["value"]


def test_floors_by_hand():
    from clip4dm.benchmarks import get_benchmark
    from clip4dm.benchmarks.base import Sample
    from clip4dm.benchmarks.floors import floors
    from clip4dm.detection import Word

    text = "a red boat on red water"
    starts = [0, 2, 6, 11, 14, 18]
    words = [Word(w, s, s + len(w), 0.0, False) for w, s in zip(text.split(), starts, strict=True)]

    def sample(label, misaligned=True):
        return Sample("1", "x.jpg", "1", text, misaligned, ((2, 5),) if misaligned else (), label)

    foil = get_benchmark("foil")
    assert floors(sample("red"), words, foil) == (pytest.approx(2 / 6), 0.0)  # "red" stands twice
    assert floors(sample("water"), words, foil) == (pytest.approx(1 / 6), 1.0)
    assert floors(sample("ORIG", False), words, foil) == (None, None)
    assert floors(sample("red"), [], foil) == (0.0, 0.0)
    hat = get_benchmark("hat")
    assert floors(sample("red boat"), words, hat)[0] == pytest.approx(4 / 6)  # "a" too is part of "red boat"
    assert floors(sample("x"), words, get_benchmark("richhf")) == (None, None)
