"""misc/check_weights.py on small models in the hub's layout: right ones pass, wrong ones do not, and no hub is said so.

The small model is made to order the captions of the coffee rightly: its text projection takes the true ones to the
picture and the false ones away from it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from types import SimpleNamespace

import check_weights
import numpy as np
import pytest
import torch
from badserver import serving as pictures
from hub_server import serving
from places import ROOT
from safetensors.torch import load_file, save_file
from twin_models import EMBED, twin_folders

from clip4dm.captions.words import encode_caption
from clip4dm.detection import make_averaged_detection

pytest.importorskip("transformers", reason="the oracle is Hugging Face's CLIPModel")

from checking import checks  # noqa: E402

OURS, THEIRS = "open_clip_model.safetensors", "model.safetensors"
NAME = "lab/small"


@pytest.fixture(scope="session")
def hub_folder(tmp_path_factory):
    """lab/small as the hub has models: open_clip's files and Hugging Face's side by side."""
    folder = tmp_path_factory.mktemp("hub")
    theirs, mine = twin_folders(tmp_path_factory.mktemp("twins"))
    projection = projection_that_knows_coffee(mine)
    for place, name, key, value in (
        (mine, OURS, "text_projection", projection),
        (theirs, THEIRS, "text_projection.weight", projection.T),
    ):
        save_file(load_file(place / name) | {key: value.contiguous()}, place / name, metadata={"format": "pt"})
    shutil.copytree(theirs, folder / NAME)
    shutil.copytree(mine, folder / NAME, dirs_exist_ok=True)
    return folder


@torch.no_grad()
def projection_that_knows_coffee(folder):
    """(width, features): least squares; there are fewer captions than dimensions, so that it fits."""
    from clip4dm import CLIP4DM

    detector = CLIP4DM.from_pretrained(None, str(folder), "cpu")
    model, image = detector.model.model, detector.encode_images(checks_coffee())
    captions = [caption for pair in checks.ORDER for caption in pair]
    model.text_projection = torch.nn.Parameter(torch.eye(model.text_projection.shape[0]), requires_grad=False)
    read = model.encode_text(detector.model.tokenizer([f"A photo depicts {caption}" for caption in captions]))
    signs = torch.tensor([1.0, -1.0] * len(checks.ORDER))
    random = torch.randn(len(captions), EMBED, generator=torch.Generator().manual_seed(0))
    wanted = signs[:, None] * image + 0.1 * random
    return torch.linalg.lstsq(read.double(), wanted.double(), driver="gelsd").solution.float()


def checks_coffee():
    return ROOT / "misc" / "coffee.png"


@pytest.fixture
def model(hub_folder, tmp_path):
    """A copy of lab/small that a test may damage."""
    return shutil.copytree(hub_folder / NAME, tmp_path / "model")


def run(*asked, home, endpoint="http://127.0.0.1:9"):
    """In a process of its own, with an empty home: the hub's address and cache are read when its client is imported."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, str(ROOT / "misc" / "check_weights.py"), "--device", "cpu", *map(str, asked)],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
        env={
            **environment,
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_OFFLINE": "0",
            "PYTHONPATH": str(ROOT),
        },
    )


def verdicts(path):
    """{what: verdict} of the first model."""
    report = json.loads(path.read_text(encoding="utf-8"))
    return {check["what"]: check["verdict"] for check in report["models"][0]["checks"]}


def test_a_model_of_the_hub_passes_and_then_needs_no_hub(hub_folder, tmp_path):
    asked = ["--backbone", f"hf-hub:{NAME}", "--output", "checked/report.json"]
    with serving(hub_folder) as hub:
        done = run(*asked, home=tmp_path, endpoint=hub.endpoint)
        fetched = {asked for asked in hub.asked if asked.startswith("GET") and "/resolve/" in asked}
    assert done.returncode == 0, done.stdout + done.stderr
    names = ("open_clip_config.json", OURS, "config.json", THEIRS)
    assert fetched == {f"GET /{NAME}/resolve/main/{name}" for name in names}  # nothing that is not needed
    assert done.stdout.startswith("| model ") and "6 passed, 0 failed, 0 not checked" in done.stdout
    again = run(*asked, home=tmp_path)  # nobody answers any more
    assert again.returncode == 0 and again.stdout == done.stdout
    report = json.loads((tmp_path / "checked" / "report.json").read_text(encoding="utf-8"))
    assert report["versions"].keys() >= {"torch", "open_clip_torch", "transformers", "clip4dm"}
    assert report["processor"] and report["models"][0]["device"] == "cpu"
    rows = report["models"][0]["checks"]
    assert [row["what"] for row in rows] == [
        "attributions, of the largest",
        "cosine",
        "weights, of each tensor's largest",
        "text features",
        "image features",
        "5 true captions above false ones",
    ]
    for row in rows[:5]:
        assert row["worst"] <= row["allowed"] and max(row["figures"]["differences"].values()) == row["worst"]
    captions = rows[0]["figures"]["captions"]
    np.testing.assert_allclose(captions["a cup of coke"]["ours"], captions["a cup of coke"]["theirs"], rtol=1e-3)


def test_no_hub_is_one_line_and_status_3(tmp_path):
    done = run("--backbone", "ViT-B-32", home=tmp_path)
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr.startswith("check_weights.py: the hub cannot be reached: the weights ViT-B-32:openai are not in")
    assert len(done.stderr.splitlines()) == 1


def test_no_copy_on_the_hub_is_no_unreachable_hub(hub_folder, tmp_path):
    with serving(hub_folder) as hub:
        folder = hub_folder / NAME
        done = run("--pretrained", folder, "--huggingface", "lab/none", home=tmp_path, endpoint=hub.endpoint)
    assert done.returncode == 2 and "lab/none is not in the cache and could not be fetched" in done.stderr
    done = run("--pretrained", folder, "--huggingface", "lab/none", home=tmp_path)
    assert done.returncode == 3 and "the hub cannot be reached: lab/none" in done.stderr


def check(folder, tmp_path, *more):
    """(exit status, verdicts) of a folder."""
    output = tmp_path / "report.json"
    status = check_weights.main(["--pretrained", str(folder), "--device", "cpu", "--output", str(output), *more])
    return status, verdicts(output)


def test_a_folder_passes(model, tmp_path, capsys):
    status, found = check(model, tmp_path)
    assert status == 0 and set(found.values()) == {"pass"} and len(found) == 5
    assert "true captions" not in capsys.readouterr().out  # a model of one's own may know anything
    status, found = check(model, tmp_path, "--same_file")
    assert status == 0 and len(found) == 4


@pytest.mark.parametrize("more", [[], ["--same_file"]], ids=["copy", "same_file"])
def test_a_wrong_activation_fails(model, tmp_path, more):
    path = model / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["quick_gelu"] = not config["model_cfg"]["quick_gelu"]
    path.write_text(json.dumps(config))
    status, found = check(model, tmp_path, *more)
    assert status == 1
    assert found["attributions, of the largest"] == "FAIL" and found["text features"] == "pass"


def more_by_a_hundredth(tensor):
    return tensor * 1.01


def blue_for_red(tensor):
    return tensor.flip(1)


def one_word_gone(tensor):
    return tensor.index_fill(0, torch.tensor([1234]), 0.0)


@pytest.mark.parametrize(
    ("name", "change", "failing"),
    [
        ("transformer.resblocks.2.attn.out_proj.weight", more_by_a_hundredth, "attributions, of the largest"),
        ("visual.conv1.weight", blue_for_red, "cosine"),
        ("token_embedding.weight", one_word_gone, "weights, of each tensor's largest"),  # of a word no caption has
    ],
)
def test_a_perturbed_weight_fails(model, tmp_path, name, change, failing):
    weights = load_file(model / OURS)
    save_file(weights | {name: change(weights[name]).contiguous()}, model / OURS)
    status, found = check(model, tmp_path)
    assert status == 1 and found[failing] == "FAIL" and found["weights, of each tensor's largest"] == "FAIL"


def test_a_copy_in_fp16_is_the_same_weights(model, tmp_path, capsys):
    weights = load_file(model / THEIRS)
    save_file({name: value.half() for name, value in weights.items()}, model / THEIRS, metadata={"format": "pt"})
    status, found = check(model, tmp_path)
    assert status == 0 and set(found.values()) == {"pass"}
    assert "with our tensors, since its own are rounded otherwise" in capsys.readouterr().out


def test_weights_that_are_no_numbers_fail(model, tmp_path):
    weights = load_file(model / THEIRS)
    name = "text_model.encoder.layers.3.mlp.fc2.bias"
    save_file(weights | {name: torch.full_like(weights[name], torch.nan)}, model / THEIRS, metadata={"format": "pt"})
    status, found = check(model, tmp_path)
    assert status == 1 and found["attributions, of the largest"] == "FAIL" and found["cosine"] == "FAIL"


def made(tokenizer, changes=None):
    """Detections of the published example as it was printed; changes: {(caption, word or "cosine"): value}."""
    detections = []
    for caption, (_, clip_score, words) in checks.EXAMPLE.items():
        values = {**words, "cosine": clip_score / 2.5}
        values |= {name: value for (of, name), value in (changes or {}).items() if of == caption}
        encoded = encode_caption(tokenizer, caption, "A photo depicts ")
        means = np.array([values[word] for word in caption.split()], dtype=np.float32)
        cosine = values["cosine"]
        detections.append(make_averaged_detection(encoded, means, cosine, sorted_by="threshold", epsilon=-5e-5))
    return detections


COKE, COFFEE = checks.EXAMPLE


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({}, set()),
        ({(COKE, "coke"): -4.33e-4}, set()),  # 0.026 of the largest
        ({(COKE, "coke"): -4.2e-4}, {"attributions, of the largest"}),
        ({(COFFEE, "of"): -1e-6}, set()),  # fp16 says no sign of so small a number
        ({(COFFEE, "a"): 3e-5}, {"attributions, of the largest", "signs beyond that"}),
        ({(COKE, "cup"): -2.1e-4}, {"attributions, of the largest", "signs beyond that", "negative word"}),
        ({(COFFEE, "cosine"): 0.6884765625 / 2.5 + 0.0019}, set()),
        ({(COFFEE, "cosine"): 0.6884765625 / 2.5 + 0.0021}, {"clip_score"}),
    ],
)
def test_the_published_example(tokenizer, changes, failing):
    rows = checks.compare_example(made(tokenizer, changes))
    assert {row.what for row in rows if not row.passed} == failing
    assert len(rows) == 4 and all("ViT-H-14" in row.source for row in rows)


@pytest.fixture
def example(model, tmp_path, monkeypatch):
    """`check` of the small model in the published one's place, its picture at a local address and not at GitHub's."""
    from checking import example, weights

    monkeypatch.setattr(weights, "EXAMPLE_MODEL", ("model", "folder"))

    def run(url, *more):
        monkeypatch.setattr(example, "EXAMPLE_URL", f"{url}/a_cup_of_coffee.jpg")
        return check(model, tmp_path, *more)

    return run


@pytest.mark.parametrize("how", ["ok", "moved", "cut"])
def test_the_examples_picture_is_fetched_once(example, tmp_path, capsys, how):
    picture = tmp_path / "a_cup_of_coffee.jpg"
    with pictures() as server:
        status, found = example(f"{server.url}/{how}")
        asked = server.counts.total()
        assert status == 1 and found["clip_score"] == "FAIL", "random weights, and noise in the picture's place"
        assert picture.read_bytes() == server.body(picture.name)
        assert f"picture was fetched: {picture}\n" in capsys.readouterr().err
        assert example(f"{server.url}/{how}") == (status, found) and server.counts.total() == asked
        picture.write_bytes(picture.read_bytes()[:999])
        assert example(f"{server.url}/{how}") == (status, found) and server.counts.total() > asked
        assert picture.read_bytes() == server.body(picture.name)
        report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        assert report["models"][0]["example_image_sha256"] == sha256(server.body(picture.name)).hexdigest()
    assert sorted(path.name for path in tmp_path.glob("a_cup*")) == [picture.name]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "HTTP 404"),
        ("html", "not the file but text/html"),
        ("disguised", "a page of text, not a picture"),
        ("truncated", "not a whole picture"),
        (None, "Connect"),
    ],
)
def test_an_example_that_cannot_be_fetched_is_not_checked_and_no_pass(example, tmp_path, capsys, how, said):
    with pictures() as server:
        status, found = example(f"{server.url}/{how}" if how else "http://127.0.0.1:9")
    assert status == 0 and found["the published example"] == "not checked"
    printed = capsys.readouterr().out
    assert "5 passed, 0 failed, 1 not checked" in printed
    (line,) = [line for line in printed.splitlines() if "published example" in line]
    assert "a_cup_of_coffee.jpg could not be fetched (" in line and said in line and "as --example_image" in line
    assert not list(tmp_path.glob("a_cup*"))


def test_without_httpx_the_example_says_what_to_install(example, monkeypatch, capsys):
    monkeypatch.setattr("checking.example.find_spec", lambda name: None)
    status, found = example("http://127.0.0.1:9")
    assert status == 0 and found["the published example"] == "not checked"
    assert (
        "needs httpx, not installed here (pip install httpx); or give it as --example_image" in capsys.readouterr().out
    )


def test_a_picture_that_is_given_is_not_fetched(example, tmp_path):
    with pictures() as server:
        status, found = example(f"{server.url}/ok", "--example_image", str(checks_coffee()))
        assert status == 1 and found["clip_score"] == "FAIL" and not server.counts
    assert not list(tmp_path.glob("a_cup*"))


def test_one_pair_in_the_wrong_order_fails():
    class Detector:
        def detect(self, image, captions):
            return [SimpleNamespace(caption=caption, cosine=cosines[caption]) for caption in captions]

    cosines = {caption: 0.3 - 0.1 * place for pair in checks.ORDER for place, caption in enumerate(pair)}
    assert checks.check_order(Detector(), None).passed
    true, false = checks.ORDER[-1]
    cosines[true] = cosines[false]
    row = checks.check_order(Detector(), None)
    assert row.verdict == "FAIL" and row.remark == "4 of 5"


@pytest.mark.parametrize("damaged", [False, True])
def test_what_was_checked_is_said_though_the_next_cannot_be_had(model, tmp_path, monkeypatch, capsys, damaged):
    from clip4dm.models import sources

    def nobody_answers():
        raise OSError("nobody answers")

    monkeypatch.setattr(sources, "check_hub_reachable", nobody_answers)
    if damaged:
        weights = load_file(model / THEIRS)
        name = "text_projection.weight"
        save_file(weights | {name: weights[name].flip(0).contiguous()}, model / THEIRS, metadata={"format": "pt"})
    output = tmp_path / "report.json"
    asked = ["--backbone", str(model), "hf-hub:nobody/nothing", "--device", "cpu", "--output", str(output)]
    assert check_weights.main(asked) == (1 if damaged else 3)
    assert (set(verdicts(output).values()) == {"pass"}) is not damaged
    said = capsys.readouterr()
    assert "| pass |" in said.out and "the hub cannot be reached: hf-hub:nobody/nothing" in said.err


def test_a_folder_without_a_copy_says_where_to_name_one(model, tmp_path, capsys):
    (model / "config.json").unlink()
    with pytest.raises(SystemExit) as stopped:
        check(model, tmp_path)
    assert stopped.value.code == 2
    assert "no copy of model:folder in Hugging Face's format is known; name one with --huggingface" in (
        capsys.readouterr().err
    )


def test_a_copy_of_another_architecture_is_one_line(model, tmp_path, capsys):
    path = model / "config.json"
    config = json.loads(path.read_text())
    config["text_config"]["num_hidden_layers"] = 5
    path.write_text(json.dumps(config))
    with pytest.raises(SystemExit) as stopped:
        check(model, tmp_path)
    assert stopped.value.code == 2
    assert "is another architecture than the model: its text_model.encoder.layers.4." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--pretrained", "openai"], "is no folder: name its --backbone"),
        (["--pretrained", "openai", "--backbone", "ViT-B-32", "ViT-L-14"], "are of one model"),
        (["--huggingface", "lab/none"], "name it with --backbone or --pretrained"),
        (["--backbone", "ViT-B-320"], "unknown backbone 'ViT-B-320'"),
        (["--example_image", "none.jpg"], "no such picture: none.jpg"),
        (["--backbone", "demo"], "this model is none: CLIP with ModifiedResNet"),
    ],
)
def test_wrong_usage_is_status_2(asked, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        check_weights.main([*asked, "--device", "cpu"])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_without_transformers_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(check_weights, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        check_weights.main([])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "check_weights.py: error: this needs transformers, not installed here: pip install 'transformers>=4.57'\n"
    )
