"""Names, tags, files and folders: what loads, with which activation, and what every wrong one says."""

from __future__ import annotations

import json
import shutil
import warnings

import open_clip
import pytest
import torch
from making import make_tiny_clip
from safetensors.torch import load_file

from clip4dm.errors import ModelError
from clip4dm.models.config import read_config
from clip4dm.models.hub import weights_at_hand
from clip4dm.models.load import load_model, pick_device
from clip4dm.models.sources import resolve_source


@pytest.fixture(scope="module")
def registered(tmp_path_factory, tiny_folder):
    """The tiny architecture in open_clip's own tables: as "tiny" with a QuickGELU tag and a plain one, both cached."""
    import open_clip
    from open_clip import pretrained

    folder = tmp_path_factory.mktemp("registered")
    config = json.loads((tiny_folder / "open_clip_config.json").read_text())["model_cfg"]
    config.pop("quick_gelu")
    (folder / "tiny.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny.json")
    cache = folder / "cache"
    for repository in ("quick", "plain"):
        snapshot = cache / f"models--org--{repository}" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        shutil.copy(tiny_folder / "open_clip_model.safetensors", snapshot)
        refs = cache / f"models--org--{repository}" / "refs"
        refs.mkdir()
        (refs / "main").write_text("abc")
    pretrained._PRETRAINED["tiny"] = {
        "openai": {"hf_hub": "org/quick/", "quick_gelu": True, "mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0)},
        "laion": {"hf_hub": "org/plain/"},
    }
    pretrained._PRETRAINED["tiny-quickgelu"] = {"openai": pretrained._PRETRAINED["tiny"]["openai"]}
    # open_clip looks for the file under this name where the tag names none.
    for repository in ("quick", "plain"):
        snapshot = cache / f"models--org--{repository}" / "snapshots" / "abc"
        (snapshot / "open_clip_model.safetensors").rename(snapshot / pretrained.HF_SAFE_WEIGHTS_NAME)
    yield cache
    del pretrained._PRETRAINED["tiny"], pretrained._PRETRAINED["tiny-quickgelu"]


def activation(loaded) -> str:
    return type(loaded.model.transformer.resblocks[0].mlp.gelu).__name__


@pytest.mark.parametrize("spelling", ["tiny", "tiny-quickgelu", "Tiny", "TINY-QuickGELU"])
@pytest.mark.parametrize(("tag", "expected"), [("openai", "QuickGELU"), ("laion", "GELU")])
def test_the_weights_decide_the_activation_however_the_name_is_spelled(
    registered, spelling, tag, expected, monkeypatch
):
    # From the cache alone: a look at the network would fail the test.
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: pytest.fail("the network was asked"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        loaded = load_model(spelling, tag, "cpu", cache_dir=str(registered))
    assert activation(loaded) == expected
    assert loaded.quick_gelu == (expected == "QuickGELU")
    assert (loaded.backbone, loaded.pretrained) == ("tiny", tag)
    assert len(loaded.weights_sha256()) == 64
    assert not any(p.requires_grad for p in loaded.model.parameters())


def test_a_tag_brings_its_own_preprocessing(registered):
    loaded = load_model("tiny", "openai", "cpu", cache_dir=str(registered))
    assert tuple(loaded.model.visual.preprocess_cfg["mean"]) == (0.1, 0.2, 0.3)


def test_a_claimed_activation_that_the_tag_contradicts_is_an_error(registered):
    with pytest.raises(ModelError, match="tiny:openai needs QuickGELU, but plain GELU was asked for"):
        load_model("tiny", "openai", "cpu", cache_dir=str(registered), quick_gelu=False)


def test_a_checkpoint_file_says_which_activation_it_was_given(registered, tiny_folder, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in load_file(tiny_folder / "open_clip_model.safetensors").items()}},
        path,
    )
    with pytest.warns(UserWarning, match="taken as plain GELU.*--backbone tiny-quickgelu"):
        assert activation(load_model("tiny", str(path), "cpu")) == "GELU"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert activation(load_model("tiny-quickgelu", str(path), "cpu")) == "QuickGELU"
        assert activation(load_model("tiny", str(path), "cpu", quick_gelu=True)) == "QuickGELU"
        assert activation(load_model("tiny", str(path), "cpu", quick_gelu=False)) == "GELU"
    with pytest.raises(ModelError, match="QuickGELU"):
        load_model("tiny-quickgelu", str(path), "cpu", quick_gelu=False)


def test_a_torchscript_archive_is_openais_and_gets_quickgelu(registered, tiny_folder, tmp_path):
    loaded = load_model(pretrained=str(tiny_folder), device="cpu")
    path = tmp_path / "archive.pt"
    torch.jit.save(
        torch.jit.trace(
            loaded.model, (torch.zeros(1, 3, 32, 32), torch.ones(1, 77, dtype=torch.long)), check_trace=False
        ),
        str(path),
    )
    again = load_model("tiny", str(path), "cpu")
    assert activation(again) == "QuickGELU"
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name


def test_a_folder_names_the_backbone_and_its_activation(tmp_path):
    for quick in (True, False):
        folder = make_tiny_clip(tmp_path / f"model-{quick}", quick_gelu=quick)
        loaded = load_model(pretrained=str(folder), device="cpu")
        assert loaded.backbone == f"model-{quick}"
        assert activation(loaded) == ("QuickGELU" if quick else "GELU")
        assert load_model(str(folder), device="cpu").weights_path == loaded.weights_path
        with pytest.raises(ModelError, match="asked for"):
            load_model(pretrained=str(folder), device="cpu", quick_gelu=not quick)


def test_folders_that_do_not_load(tmp_path, tiny_folder):
    with pytest.raises(ModelError, match="holds no weights: expected open_clip_config.json and one of"):
        load_model(pretrained=str(tmp_path))
    shutil.copy(tiny_folder / "open_clip_model.safetensors", tmp_path)
    with pytest.raises(ModelError, match="no open_clip_config.json"):
        load_model(pretrained=str(tmp_path))
    (tmp_path / "open_clip_config.json").write_text("{")
    with pytest.raises(ModelError, match="is no open_clip configuration"):
        load_model(pretrained=str(tmp_path))
    with pytest.raises(ModelError, match="is no ViT-B-32: its embed_dim is 24, not 512"):
        load_model("ViT-B-32", str(tiny_folder))
    config = json.loads((tiny_folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_model_name"] = "roberta-base"
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"Hugging Face text tower \(roberta-base\)"):
        load_model(pretrained=str(tmp_path))


@pytest.mark.parametrize(
    ("part", "field", "value", "expected"),
    [
        ("model_cfg", "quick_gelu", "false", "quick_gelu is 'false'; expected true or false"),
        ("model_cfg", "quick_gelu", 0, "quick_gelu is 0; expected true or false"),
        ("model_cfg", "embed_dim", "24", "embed_dim is '24'; expected a whole number"),
        ("text_cfg", "layers", "4", "text_cfg.layers is '4'; expected a whole number"),
        ("text_cfg", "layers", 10**30, "text_cfg.layers is 1000000.*; expected 1 to 1000"),
        ("text_cfg", "heads", -2, "text_cfg.heads is -2; expected 1 to"),
        ("text_cfg", "no_causal_mask", "false", "text_cfg.no_causal_mask is 'false'; expected true or false"),
        ("vision_cfg", "layers", True, "vision_cfg.layers is True; expected a list of numbers or a whole number"),
        ("vision_cfg", "image_size", [32, "32"], r"vision_cfg.image_size is \[32, '32'\]; expected"),
        ("preprocess_cfg", "mean", ["0.5"], "preprocess_cfg.mean is .*; expected a list of numbers"),
        ("preprocess_cfg", "std", [0.5], "preprocess_cfg.std is .*; expected three numbers"),
        (
            "preprocess_cfg",
            "interpolation",
            "cubic",
            "interpolation is 'cubic'; expected bicubic or bilinear or random",
        ),
        ("model_cfg", "text_cfg", [], "is no open_clip configuration; expected JSON with model_cfg"),
        (None, "model_cfg", "x", "is no open_clip configuration; expected JSON with model_cfg"),
    ],
)
def test_fields_of_other_types_are_refused_by_the_files_name(tmp_path, tiny_folder, part, field, value, expected):
    shutil.copy(tiny_folder / "open_clip_model.safetensors", tmp_path)
    content = json.loads((tiny_folder / "open_clip_config.json").read_text())
    inner = {None: content, "preprocess_cfg": content["preprocess_cfg"], "model_cfg": content["model_cfg"]}
    (inner[part] if part in inner else content["model_cfg"][part])[field] = value
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=f"open_clip_config.json.*{expected}"):
        load_model(pretrained=str(tmp_path), device="cpu")


def test_every_configuration_of_open_clip_itself_passes(tmp_path):
    path = tmp_path / "open_clip_config.json"
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        path.write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "size": 224}}))
        assert read_config(path) == json.loads(json.dumps(config))


@pytest.mark.parametrize(
    ("backbone", "pretrained", "message"),
    [
        ("ViT-B-33", None, "unknown backbone 'ViT-B-33'; nearest names: ViT-B-32"),
        ("ViT-B/32", "opena", "Did you mean 'openai'"),
        ("ViT-B-32", "no/such/file.pt", "neither a tag of ViT-B-32 nor a file or folder that exists"),
        ("roberta-ViT-B-32", None, "is a Hugging Face model .roberta-base., not open_clip's own transformer"),
        ("RN50x64", None, "no usual weights; say which with --pretrained. Its tags: openai"),
    ],
)
def test_wrong_names_say_what_is_allowed(backbone, pretrained, message):
    with pytest.raises(ModelError, match=message):
        load_model(backbone, pretrained)


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04 half a zip"])
def test_a_file_that_is_no_checkpoint(registered, tmp_path, content):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="does not hold weights of tiny.*belong together, or fetch the file again"):
        load_model("tiny", str(path), quick_gelu=True)


def test_weights_of_another_architecture(registered, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"visual.proj": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="does not hold weights of tiny"):
        load_model("tiny", str(path), quick_gelu=True)


@pytest.mark.parametrize(
    ("backbone", "pretrained"), [("ViT-B-32", "openai"), (None, "hf-hub:org/none"), ("ViT-H-14", None)]
)
def test_without_a_network_there_is_a_way_on(backbone, pretrained, tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelError, match="could not be fetched.*Without a network.*--pretrained FOLDER"):
        load_model(backbone, pretrained, cache_dir=str(tmp_path))


def test_usual_tags_are_tags_of_open_clip():
    from open_clip.pretrained import list_pretrained_tags_by_model

    from clip4dm.models.names import USUAL_TAGS

    assert all(tag in list_pretrained_tags_by_model(name) for name, tag in USUAL_TAGS.items())


def test_every_openai_tag_of_open_clip_resolves_to_quickgelu(monkeypatch):
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained

    monkeypatch.setattr("clip4dm.models.sources.cached_file", lambda *_: "weights")
    checked = 0
    for name, tag in list_pretrained():
        if name.startswith(("ViT-", "RN")) and get_pretrained_cfg(name, tag).get("hf_hub"):
            try:
                source = resolve_source(name, tag)
            except ModelError as error:
                assert "Hugging Face" in str(error)
                continue
            assert source.quick_gelu == bool(get_pretrained_cfg(name, tag).get("quick_gelu")), (name, tag)
            checked += tag == "openai"
    assert checked >= 8


def test_devices():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cuda", "mps", "cpu")
    with pytest.raises(ModelError, match="unknown device 'gpu'; allowed: auto, cuda, mps, cpu"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="not on this machine, which has: .*cpu"):
            pick_device("cuda")
    with pytest.raises(ModelError, match="unknown precision 'fp8'; allowed: fp32, bf16, fp16"):
        load_model(precision="fp8")


@pytest.mark.parametrize(
    "name", ["hf-hub:a/b/c", "hf-hub:", "hf-hub:a b", "hf-hub:-a/b", "hf-hub:a..b/c", "hf-hub:" + "a" * 200]
)
@pytest.mark.parametrize("given_as", ["backbone", "pretrained"])
def test_a_name_that_no_model_on_the_hub_can_have(name, given_as):
    with pytest.raises(ModelError, match="is no name of a model on the hub.*expected hf-hub:ORGANISATION/NAME"):
        resolve_source(**{"backbone": None, "pretrained": None, given_as: name})
    assert not weights_at_hand(**{"backbone": None, "pretrained": None, given_as: name})
