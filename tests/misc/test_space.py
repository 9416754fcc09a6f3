"""What a Hugging Face Space is made of: the sdk's version, the dependencies, and the page that comes up."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from places import ROOT
from web_server import free_port, started

SPACE = ROOT / "misc" / "space"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def card():
    """The YAML at the top of the README, as the hub reads it."""
    _, head, _ = (SPACE / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return {key: value.strip(' "') for key, _, value in (line.partition(":") for line in head.splitlines())}


def test_the_card_names_the_sdk_that_the_package_asks_for():
    says = card()
    assert says["sdk"] == "gradio" and says["app_file"] == "app.py" and (SPACE / says["app_file"]).is_file()
    (wanted,) = [Requirement(text) for text in PROJECT["optional-dependencies"]["web"] if text.startswith("gradio")]
    assert wanted.specifier.contains(says["sdk_version"]) and says["sdk_version"].count(".") == 2
    assert len(says["short_description"]) <= 60 and says["license"] == PROJECT["license"].lower()
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {says["colorFrom"], says["colorTo"]} <= colours
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(says["python_version"])


def test_its_requirements_are_the_packages():
    lines = (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line[0] not in "#-"] == PROJECT["dependencies"]


@pytest.mark.slow
def test_the_space_comes_up(tmp_path):
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("gradio", reason="the page is made with Gradio: pip install 'clip4dm[web]'")
    shutil.copytree(SPACE, tmp_path / "space")
    shutil.copytree(ROOT / "clip4dm", tmp_path / "space" / "clip4dm", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "space" / "misc").mkdir()
    shutil.copy(ROOT / "misc" / "coffee.png", tmp_path / "space" / "misc")
    port = str(free_port())
    environment = {"GRADIO_SERVER_PORT": port, "TMPDIR": str(tmp_path), "PYTHONPATH": ""}
    with started([sys.executable, "app.py"], environment, tmp_path / "space") as (_, url, line):
        assert line.startswith("app.py: open ") and url.endswith(f":{port}/")
        config = httpx.get(f"http://127.0.0.1:{port}/config").json()
    names = [one["props"].get("value") for one in config["components"] if one["type"] == "button"]
    assert "a cup of coffee" in names and config["title"].startswith("CLIP4DM")
    assert config["version"] == importlib.metadata.version("gradio")
