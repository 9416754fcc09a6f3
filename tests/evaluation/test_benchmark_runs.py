"""Every benchmark end to end on a tiny model: the figures it has, recomputed here from samples.jsonl by hand."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest
from contract import ENTAILMENT
from entailment_model import save_entailment_model
from making import make_pictures

from clip4dm.benchmarks.richhf import token_spans
from clip4dm.benchmarks.tfrecord import write_examples
from clip4dm.evaluation.run import Options, evaluate, rescore

PROMPTS = ['a red cat; two "dogs"!', "the old bus?! near: a lake", "three birds, flying", "one hot dog"] * 3


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return folder, make_pictures(folder, len(PROMPTS))


def run(tiny_folder, tmp_path, data_path, pictures, **more):
    said = []
    outcome = evaluate(
        Options(
            str(data_path),
            str(pictures[0]),
            output=str(tmp_path / "out"),
            backbone=None,
            pretrained=str(tiny_folder),
            device="cpu",
            num_workers=0,
            **more,
        ),
        say=said.append,
    )
    lines = [json.loads(line) for line in (outcome.folder / "samples.jsonl").read_text().splitlines()]
    return outcome.result, lines, said, outcome


def test_richhf_from_a_tfrecord(tiny_folder, tmp_path, pictures):
    folder, names = pictures
    random = np.random.default_rng(3)
    rows, metadata = [], {}
    for name, prompt in zip(names, PROMPTS, strict=True):
        labels = random.integers(0, 2, len(token_spans(prompt)))
        rows.append(
            {
                "filename": [name.encode()],
                "misalignment_score": [float(random.random())],
                "artifact_score": [0.5],
                "aesthetics_score": [0.5],
                "overall_score": [0.5],
                "prompt": [prompt.encode()],
                "prompt_misalignment_label": [" ".join(map(str, labels)).encode()],
            }
        )
        metadata[name] = (prompt, labels)
    write_examples(tmp_path / "test.tfrecord", rows)
    result, lines, said, _ = run(tiny_folder, tmp_path, tmp_path / "test.tfrecord", pictures)
    assert "benchmark: Rich-HF (recognised from the file)" in said
    assert result["settings"]["epsilon"] == -1e-5 and result["settings"]["sorted_by"] == "threshold"
    tp = fp = fn = 0
    for line in lines:
        prompt, labels = metadata[line["id"]]
        position, wrong = 0, []
        for text, attribution in line["word_attributions"]:
            position = prompt.index(text, position)
            if attribution < -1e-5:
                wrong.append((position, position + len(text)))
            position += len(text)
        for (start, end), label in zip(token_spans(prompt), labels, strict=True):
            said_wrong = any(a < end and start < b for a, b in wrong)
            tp, fp, fn = (
                tp + (said_wrong and not label),
                fp + (said_wrong and label),
                fn + (not said_wrong and not label),
            )
    assert result["precision"]["value"] == pytest.approx(tp / (tp + fp))
    assert result["recall"]["value"] == pytest.approx(tp / (tp + fn))
    assert result["f1"]["value"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    from scipy.stats import pearsonr, spearmanr

    human = [row["misalignment_score"][0] for row in sorted(rows, key=lambda r: r["filename"][0])]
    human = [float(np.float32(value)) for value in human]  # tf.train.Example's floats are fp32
    for name, correlate in (("pearson", pearsonr), ("spearman", spearmanr)):
        for score, key in (("F-CLIPScore", "f_clip_score"), ("CLIPScore", "pair_score")):
            expected = correlate([line[key] for line in lines], human).statistic
            assert result[name][score]["value"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("name", "kind"), [("/dev/zero", "a device"), ("pipe", "a pipe"), ("file", "a file")])
def test_an_entailment_model_that_is_no_folder_is_refused_before_the_run(tiny_folder, tmp_path, pictures, name, kind):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    (tmp_path / "s.csv").write_text(
        f"image_caption,image_name,dataset_source,caption_misalignment\na red dog,{pictures[1][0]},x,red\n"
    )
    with pytest.raises(ValueError, match=f"--nli_model .*{name} is {kind}; give a folder"):
        run(tiny_folder, tmp_path, tmp_path / "s.csv", pictures, nli_model=str(tmp_path / name))
    assert not (tmp_path / "out").exists()


def test_seetrue_with_and_without_its_entailment_model(tiny_folder, tmp_path, pictures):
    _, names = pictures
    with open(tmp_path / "s.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", "image_caption", "image_name", "dataset_source", "caption_misalignment"])
        writer.writerows(
            [i, f'"{prompt}"', name, "odd" if i % 2 else "even", "the dog is not Red"]
            for i, (name, prompt) in enumerate(zip(names, PROMPTS, strict=True))
        )
    pytest.importorskip("transformers", reason="entailment needs the optional package transformers")
    model = save_entailment_model(tmp_path / "nli")
    result, lines, _, outcome = run(tiny_folder, tmp_path, tmp_path / "s.csv", pictures, nli_model=str(model))
    assert result["NLI"]["n"] == len(PROMPTS) and "AP" not in result and "LA" not in result
    assert result["NLI"]["value"] == pytest.approx(np.mean([line["nli_score"] for line in lines]))
    even = [line["nli_score"] for line in lines if line["groupby"] == {"source": "even"}]
    assert result["groups"]["source"]["even"]["NLI"]["value"] == pytest.approx(np.mean(even))
    from clip4dm.evaluation.metrics.nli import EntailmentModel

    oracle = EntailmentModel.load(model, "cpu").entailment(
        ["the dog is not red"] * len(lines), [line["predicted_foil_word"] for line in lines]
    )
    assert [line["nli_score"] for line in lines] == pytest.approx(oracle, abs=ENTAILMENT)
    # Nothing below this epsilon: empty predictions, which score 0 without the model.
    nothing = rescore(outcome.folder, epsilon=-1e6, say=lambda line: None).result
    assert nothing["NLI"]["value"] == 0.0
    result, lines, said, _ = run(tiny_folder, tmp_path, tmp_path / "s.csv", pictures, nli_model=str(tmp_path / "none"))
    assert result["NLI"]["value"] is None and "none" in result["NLI"]["reason"]
    assert any(line.startswith("NLI: not computed") for line in said) and len(lines) == len(PROMPTS)
    assert all(line["nli_score"] is None for line in lines)


def test_hat_and_nocaps(tiny_folder, tmp_path, pictures):
    from sklearn.metrics import average_precision_score

    _, names = pictures
    hat = [
        {
            "sample_id": f"s{i}",
            "caption": prompt,
            "image_path": name,
            "references": ["a picture", prompt],
            "grounding": [[word, bool(i % 3 == 0 and k == 1)] for k, word in enumerate(prompt.split())],
        }
        for i, (name, prompt) in enumerate(zip(names, PROMPTS, strict=True))
    ]
    (tmp_path / "hat.json").write_text(json.dumps(hat))
    result, lines, _, _ = run(tiny_folder, tmp_path, tmp_path / "hat.json", pictures, get_refclipscore=True)
    hallucinated = [line["GT_foil_word"] != "ORIG" for line in lines]
    for name, key in (("CLIPScore", "pair_score"), ("F-CLIPScore", "f_clip_score"), ("refCLIPScore", "ref_clipscore")):
        expected = average_precision_score(hallucinated, [-line[key] for line in lines])
        assert result["AP"][name]["value"] == pytest.approx(expected, abs=1e-12)
    assert result["LA"]["n"] == sum(hallucinated) == 4
    nocaps = [
        {
            "image_path": name,
            "references": ["a ref"],
            "baseline": f"{prompt} tree",
            "foil": f"{prompt} hot tower",
            "replacement": ["tree", "hot tower"],
            "domain": ("in-domain", "out-domain")[i % 2],
        }
        for i, (name, prompt) in enumerate(zip(names, PROMPTS, strict=True))
    ]
    (tmp_path / "nocaps.json").write_text(json.dumps(nocaps))
    result, lines, _, _ = run(tiny_folder, tmp_path, tmp_path / "nocaps.json", pictures)
    assert result["LA"]["value"] == 0.0  # foils of two words are never hit by one, as the paper counts
    assert result["LA_span"]["value"] == pytest.approx(
        np.mean([line["is_correct_span"] for line in lines if line["is_correct_span"] is not None])
    )
    assert set(result["groups"]["domain"]) == {"in-domain", "out-domain"}
    assert (
        result["AP"]["refCLIPScore"]["value"] is None and "--get_refclipscore" in result["AP"]["refCLIPScore"]["reason"]
    )


def test_one_class_alone_has_no_average_precision(tiny_folder, tmp_path, pictures):
    _, names = pictures
    for wrong in (False, True):
        rows = [
            {
                "sample_id": f"s{i}",
                "caption": prompt,
                "image_path": name,
                "grounding": [[word, wrong] for word in prompt.split()],
            }
            for i, (name, prompt) in enumerate(zip(names, PROMPTS, strict=True))
        ]
        (tmp_path / "hat.json").write_text(json.dumps(rows))
        result, _, _, outcome = run(tiny_folder, tmp_path / str(wrong), tmp_path / "hat.json", pictures)
        assert result["AP"]["CLIPScore"]["value"] is None and result["AP"]["CLIPScore"]["reason"]
        assert (result["LA"]["value"] is None) == (not wrong)
        assert "—" in outcome.table
