"""Entailment against transformers used directly, on tiny random models made here; nothing is fetched."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from contract import ENTAILMENT
from entailment_model import save_entailment_model
from places import ROOT

from clip4dm.evaluation.metrics.nli import EntailmentModel, NLIUnavailable

pytest.importorskip("transformers", reason="entailment needs the optional package transformers")

COMMIT = "0123456789abcdef" * 2 + "01234567"
PAIRS = [
    ("the dog is not red", "dog"),
    ("a cat is on the car", "the blue cat, dog"),
    ("a cat is on the car", ""),
    ("the dog is not red", "dog"),
    ("the dog is not red", "red"),
    ("", "a cat"),
    ("the car is blue . the dog is red", "car, blue dog"),
    ("a word never seen", "unheard of"),
]
PREMISES, HYPOTHESES = [list(column) for column in zip(*PAIRS, strict=True)]


@pytest.fixture(scope="module")
def bart(tmp_path_factory) -> Path:
    return save_entailment_model(tmp_path_factory.mktemp("bart"))


def by_transformers(folder: Path, contradiction: int, entailment: int) -> list[float]:
    """One pair at a time, without padding, the two-way softmax written out."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    values = []
    for premise, hypothesis in PAIRS:
        with torch.no_grad():
            logits = model(**tokenizer(premise, hypothesis, return_tensors="pt")).logits[0].tolist()
        against, in_favour = math.exp(logits[contradiction]), math.exp(logits[entailment])
        values.append(in_favour / (against + in_favour) if hypothesis else 0.0)
    return values


@pytest.mark.parametrize("kind", ["bart", "roberta"])
@pytest.mark.parametrize(
    "labels",
    [
        ("contradiction", "neutral", "entailment"),  # as bart-large-mnli
        ("ENTAILMENT", "NEUTRAL", "CONTRADICTION"),
        ("Entailment ", "contradiction", "Neutral"),
        ("contradiction", "entailment"),
    ],
)
def test_entailment_is_transformers_own_whatever_the_labels_order(tmp_path, kind, labels):
    folder = save_entailment_model(tmp_path, kind, labels)
    ours = EntailmentModel.load(folder, device="cpu", batch_size=3).entailment(PREMISES, HYPOTHESES)
    places = [label.strip().lower() for label in labels]
    expected = by_transformers(folder, places.index("contradiction"), places.index("entailment"))
    assert ours == pytest.approx(expected, abs=ENTAILMENT)
    assert max(ours) - min(value for value in ours if value) > 0.02  # the model does tell pairs apart


def test_batching_changes_nothing(bart):
    one, three, all_at_once = (
        EntailmentModel.load(bart, device="cpu", batch_size=size).entailment(PREMISES, HYPOTHESES)
        for size in (1, 3, 64)
    )
    assert one == pytest.approx(three, abs=ENTAILMENT) and one == pytest.approx(all_at_once, abs=ENTAILMENT)


def test_distinct_pairs_run_once_and_empty_hypotheses_never(bart):
    model, rows, reported = EntailmentModel.load(bart, device="cpu", batch_size=4), [], []
    model.model.register_forward_hook(lambda module, args, output: rows.append(len(output.logits)))
    values = model.entailment(PREMISES * 2, HYPOTHESES * 2, progress=reported.append)
    assert rows == reported == [4, 2]
    assert values[:8] == values[8:] and values[2] == 0.0 and values[0] == values[3]
    rows.clear()
    assert model.entailment(["a dog", "a cat"], ["", "  \n"]) == [0.0, 0.0]
    assert model.entailment([], []) == []
    assert rows == []


def test_special_tokens_spelt_in_a_text_are_text(bart):
    # BART takes its answer from the last </s> and wants as many of them in every row of a batch.
    model = EntailmentModel.load(bart, device="cpu")
    spelt, apart, plain = model.entailment(["a </s> dog", "a < / s > dog", "a dog"], ["cat"] * 3)
    assert all(0 <= value <= 1 for value in (spelt, apart, plain))
    (alone,) = model.entailment(["a </s> dog"], ["cat"])
    assert spelt == pytest.approx(alone, abs=ENTAILMENT) and spelt != plain


@pytest.mark.parametrize("kind, positions", [("bart", 10**30), ("roberta", 10**30), ("bart", 20)])
def test_long_texts_are_cut_to_what_the_model_takes(tmp_path, kind, positions):
    model = EntailmentModel.load(save_entailment_model(tmp_path, kind, positions=positions), device="cpu")
    assert model.max_tokens == min(positions, 32)  # RoBERTa's 34 positions begin at 2
    (value,) = model.entailment(["the dog is red " * 50], ["a blue cat " * 50])
    assert 0 < value < 1


def test_entailment_is_deterministic_and_in_eval_mode(bart):
    model = EntailmentModel.load(bart, device="cpu")
    assert not model.model.training
    assert model.entailment(PREMISES, HYPOTHESES) == model.entailment(PREMISES, HYPOTHESES)
    assert model.commit is None and model.name == str(bart)


def spoil(folder: Path, how: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    if how == "labels":
        config["id2label"] = {"0": "LABEL_0", "1": "positive", "2": "entailment"}
    elif how == "architecture":
        config["model_type"] = "no-such-thing"
    elif how == "vocabulary size":
        config["vocab_size"] = 7
    (folder / "config.json").write_text(json.dumps(config))
    if how == "headless":
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        kept = {name: tensor for name, tensor in weights.items() if "classification_head" not in name}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    elif how == "no tokenizer":
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
    elif how == "truncated":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:999])
    elif how == "no weights":
        (folder / "model.safetensors").unlink()
    elif how == "empty":
        for file in folder.iterdir():
            file.unlink()
    elif how == "nan":
        import torch
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        weights["classification_head.out_proj.bias"] = torch.full((3,), math.nan)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "how, says",
    [
        ("labels", "id2label.*LABEL_0.*positive.*expected contradiction and entailment"),
        ("architecture", "could be loaded from the folder.*no-such-thing"),
        ("vocabulary size", "could be loaded from the folder"),
        ("headless", "lacks 4 weights of a sequence classifier.*classification_head"),
        ("no tokenizer", "no tokenizer of its own|could be loaded from the folder"),  # transformers 5, 4
        ("truncated", "could be loaded from the folder"),
        ("no weights", "could be loaded from the folder.*no file named"),
        ("empty", "could be loaded from the folder"),
        ("nan", "not finite"),
    ],
)
def test_a_folder_that_is_no_entailment_model_is_one_clear_error(tmp_path, bart, how, says):
    folder = tmp_path / "model"
    shutil.copytree(bart, folder)
    spoil(folder, how)
    with pytest.raises(NLIUnavailable, match=says) as caught:
        EntailmentModel.load(folder, device="cpu").entailment(["a dog"], ["a cat"])
    text = str(caught.value)
    assert "\n" not in text and str(folder) in text and "give a folder" in text


def test_a_missing_package_says_how_to_get_it(monkeypatch, bart):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(NLIUnavailable, match="pip install transformers"):
        EntailmentModel.load(bart, device="cpu")


@pytest.mark.parametrize(
    "premises, hypotheses, says",
    [
        (["a"], [], "1 premises and 0 hypotheses"),
        ("a dog", "a cat", "premises must be a list of strings"),
        (["a dog"], [None], r"hypotheses must be a list of strings; got \[None\]"),
    ],
)
def test_odd_arguments(bart, premises, hypotheses, says):
    with pytest.raises(ValueError, match=says):
        EntailmentModel.load(bart, device="cpu").entailment(premises, hypotheses)
    with pytest.raises(ValueError, match="batch_size is 0"):
        EntailmentModel.load(bart, device="cpu", batch_size=0)


SCRIPT = """
from clip4dm.evaluation.metrics.nli import EntailmentModel, NLIUnavailable
model = EntailmentModel.load("someone/tiny", device="cpu")
print(model.commit, model.entailment(["the dog is not red"], ["dog"])[0])
try:
    EntailmentModel.load(device="cpu")
except NLIUnavailable as error:
    print(error)
"""


def test_without_a_network_a_cached_name_loads_and_a_missing_one_says_so(tmp_path, bart):
    cached = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(bart, cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, error = done.stdout.strip().split("\n")
    assert first.split()[0] == COMMIT
    expected = EntailmentModel.load(bart, device="cpu").entailment(["the dog is not red"], ["dog"])
    assert float(first.split()[1]) == pytest.approx(expected[0], abs=ENTAILMENT)
    assert "'facebook/bart-large-mnli' is no folder, is not in the cache" in error
    assert "HF_HUB_OFFLINE is set" in error and "HF_HOME" in error
