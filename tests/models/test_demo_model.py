"""The demo model: its compact weights, and what the shipped one finds."""

import json
import subprocess
import sys

import make_shapes_benchmark
import open_clip
import pytest
import torch
from making import make_tiny_clip
from places import ROOT

from clip4dm.benchmarks.shapes.lexicon import SIZES
from clip4dm.models.compact import is_compact, load_compact, save_compact

SIZE_WORDS = {word for words in SIZES.values() for word in words}

# Compact weights


def test_compact_weights_come_back_and_unknown_words_say_nothing(tmp_path):
    folder = make_tiny_clip(tmp_path / "tiny")
    from clip4dm import load_model

    model = load_model(None, str(folder)).model
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    path = save_compact(tmp_path / "compact", model, config, [5, 3, 49407])
    assert is_compact(path)
    assert not is_compact(folder / "open_clip_model.safetensors")
    loaded = load_model(None, str(tmp_path / "compact")).model
    half = {
        name: value.half().float() if value.is_floating_point() else value for name, value in model.state_dict().items()
    }
    for name, value in loaded.state_dict().items():
        if name == "token_embedding.weight":
            assert torch.equal(value[[3, 5, 49407]], half[name][[3, 5, 49407]])
            mean = half[name][[3, 5, 49407]].mean(0)
            torch.testing.assert_close(value[[0, 100, 49406]], mean.expand(3, -1))
        else:
            assert torch.equal(value, half[name]), name
    with pytest.raises(RuntimeError):
        load_compact(torch.nn.Module(), path) if hasattr(torch.nn.Module(), "token_embedding") else load_compact(
            _with_other_width(model), path
        )


def _with_other_width(model):

    return open_clip.CLIP(
        16,
        {"layers": 1, "width": 64, "head_width": 64, "patch_size": 32, "image_size": 32},
        {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """200 pairs that had no part in training, through the shipped model, as main.py evaluates them."""
    from clip4dm.evaluation.run import Options, evaluate

    folder = tmp_path_factory.mktemp("shapes")
    make_shapes_benchmark.main([str(folder), "--pairs", "200"])
    return evaluate(
        Options(
            str(folder / "shapes_foil.json"),
            str(folder / "images"),
            output=str(folder / "out"),
            backbone="demo",
            device="cpu",
            num_workers=0,
        ),
        say=lambda _: None,
    ).result


def test_the_shipped_model_finds_the_false_words(result):
    """Floors with margin: on 2,000 pairs it reaches what the README says."""
    kinds = {kind: figures["LA"]["value"] for kind, figures in result["groups"]["kind"].items()}
    assert result["LA"]["n"] == 200
    assert result["LA"]["value"] >= 0.75
    assert kinds["object"] >= 0.8 and kinds["colour"] >= 0.8
    assert result["LA"]["value"] > 2 * max(figure["value"] for figure in result["LA_floor"].values())


def test_the_benchmark_is_neither_trivial_nor_hopeless(result):
    for score in ("CLIPScore", "F-CLIPScore", "misaligned_sum"):
        assert 0.75 < result["AP"][score]["value"] < 0.96


def test_the_shipped_model_is_small_and_plain():
    from clip4dm import load_model

    folder = ROOT / "clip4dm" / "models" / "demo"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 8_000_000
    model = load_model("demo", device="cpu")
    assert type(model.model).__name__ == "CLIP" and model.tower.causal
    assert json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]["layers"] == 2


def test_infer_demo_needs_no_network_and_says_which_word_is_wrong(tmp_path):
    blocked = (
        "import socket, sys, runpy\n"
        "def no(*_, **__): raise OSError('no network in this test')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = no\n"
        f"sys.argv = ['infer.py', '--demo', '--json']; sys.path.insert(0, {str(ROOT)!r})\n"
        f"runpy.run_path({str(ROOT / 'infer.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", blocked], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    right, wrong = map(json.loads, done.stdout.splitlines())
    (swapped,) = [b for a, b in zip(right["caption"].split(), wrong["caption"].split(), strict=True) if a != b]
    lowest = min(wrong["words"], key=lambda word: word["attribution"])
    assert lowest["text"] == swapped and lowest["misaligned"]
    assert wrong["f_clip_score"] < right["f_clip_score"]
    assert len(done.stderr.splitlines()) == 1 and (tmp_path / "output" / "demo.png").is_file()
