"""The package as it is installed: what it asks for, what of open_clip it leans on, and the wheel outside the checkout."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from places import ROOT

import clip4dm

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

# What of open_clip's own, not public, the package uses. A release may change any of it; hence the upper bound.
PRIVATE_FUNCTIONS = {
    ("open_clip.factory", "_find_checkpoint_in_dir"),
    ("open_clip.pretrained", "_get_safe_alternatives"),
}
PRIVATE_METHODS = {
    ("open_clip.transformer", "TextTransformer", "_embeds"),
    ("open_clip.transformer", "VisionTransformer", "_embeds"),
}

NEWCOMERS = ("eval", "score", "download", "report")  # the extras that requirements.txt brings

# Where a package is imported under another name than it is installed by.
IMPORTED_AS = {
    "PIL": "pillow",
    "google.protobuf": "protobuf",
    "google_crc32c": "google-crc32c",
    "open_clip": "open_clip_torch",
    "sklearn": "scikit-learn",
}
# Optional even so, each with an error that says how to get it.
ON_REQUEST = {"transformers", "datasets", "spacy", "webdataset"}


def listed(file: Path) -> list[str]:
    """A requirements file's lines, without remarks."""
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def test_requirements_are_the_packages_own():
    """requirements.txt: all that a newcomer runs, from an explicit list; its last line is the package itself."""
    *lines, last = listed(ROOT / "requirements.txt")
    whole = {*PROJECT["dependencies"], *(text for name in NEWCOMERS for text in EXTRAS[name])}
    assert set(lines) == whole and len(lines) == len(whole)
    assert last == "-e ."
    assert sorted(listed(ROOT / "tests" / "requirements.txt")) == sorted(EXTRAS["dev"])


def test_the_lowest_versions_are_those_that_are_asked_for():
    lowest = dict(line.split("==") for line in listed(ROOT / "tests" / "constraints-lowest.txt"))
    for text in {*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)}:
        wanted = Requirement(text)
        if wanted.name in lowest:
            (least,) = [bound.version for bound in wanted.specifier if bound.operator == ">="]
            assert (lowest[wanted.name] + ".").startswith(least + "."), text
    runtime = {Requirement(line).name for line in listed(ROOT / "requirements.txt") if line != "-e ."}
    assert runtime <= lowest.keys(), "tests/constraints-lowest.txt names every package of requirements.txt"


def third_party(folders: list[Path]) -> dict[str, str]:
    """The packages that the sources below import, anywhere: name -> the first file that does."""
    found: dict[str, str] = {}
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        own = {"clip4dm", *(other.stem for other in (ROOT / "misc").glob("*"))}
        for node in when_run(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = "google.protobuf" if name.startswith("google.protobuf") else name.partition(".")[0]
                if top not in own | sys.stdlib_module_names:
                    found.setdefault(canonicalize_name(IMPORTED_AS.get(top, top)), f"{path.relative_to(ROOT)}: {name}")
    return found


def when_run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but what stands there for types alone."""
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield child
            yield from when_run(child)


@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        (["attribution", "captions", "commands", "files", "models", "suggestion", "towers"], []),
        (["benchmarks", "calibration", "evaluation"], ["eval"]),
        (["scoring"], ["score", "ray", "metric", "report"]),
        (["report"], ["report", "web", "eval", "score"]),
        (["../misc"], ["eval", "score", "download", "report"]),
    ],
    ids=["detecting", "evaluation", "scoring", "report", "misc"],
)
def test_what_is_imported_is_asked_for(folders, extras):
    asked = {*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])}
    names = {canonicalize_name(Requirement(text).name) for text in asked} | ON_REQUEST
    imported = third_party([ROOT / "clip4dm" / folder for folder in folders])
    assert imported.keys() & {"torch", "gradio"}
    assert not {name: where for name, where in imported.items() if name not in names}


def test_every_dependency_is_imported():
    for extra, folders in (
        ("eval", ["clip4dm"]),
        ("score", ["clip4dm"]),
        ("metric", ["clip4dm"]),
        ("ray", ["clip4dm"]),
        ("web", ["clip4dm"]),
        ("download", ["misc"]),
        ("report", ["misc"]),
    ):
        imported = third_party([ROOT / folder for folder in folders])
        assert {canonicalize_name(Requirement(text).name) for text in EXTRAS[extra]} <= imported.keys()
    core = third_party([ROOT / "clip4dm"])
    assert {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]} <= core.keys()


def test_open_clips_private_names_are_there_and_bounded():
    """Which they are, that the sources use no others, that the installed open_clip has them, that newer ones wait."""
    nodes = [node for path in (ROOT / "clip4dm").rglob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    imported, touched = set(), set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("open_clip"):
            imported |= {(node.module, alias.name) for alias in node.names if alias.name.startswith("_")}
        elif isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr) and node.attr not in own:
            if ast.unparse(node.value) not in ("self", "cls"):
                touched.add(node.attr)
    assert imported == PRIVATE_FUNCTIONS
    assert touched - {"_exit", "_replace"} == {"_linear_pointwise", *(name for *_, name in PRIVATE_METHODS)}
    for module, name in PRIVATE_FUNCTIONS:
        assert callable(getattr(importlib.import_module(module), name)), f"{module}.{name}"
    for module, owner, name in PRIVATE_METHODS:
        assert callable(getattr(getattr(importlib.import_module(module), owner), name)), f"{module}.{owner}.{name}"
    (wanted,) = [one for one in map(Requirement, PROJECT["dependencies"]) if one.name == "open_clip_torch"]
    assert {bound.operator for bound in wanted.specifier} == {">=", "<"}
    assert wanted.specifier.contains(importlib.metadata.version("open_clip_torch"))


def test_the_version_is_said_once():
    assert PROJECT["dynamic"] == ["version"] and re.fullmatch(r"\d+\.\d+\.\d+", clip4dm.__version__)
    assert f"\nversion: {clip4dm.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {clip4dm.__version__}" in (ROOT / "docs" / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Wheel and sdist of the working tree's tracked files, made without a network: by this environment's setuptools."""
    pytest.importorskip("build", reason="the wheel is made by the package build")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("clip4dm", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(source / name)], check=True)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A command line in an environment that has the wheel, and this one's packages, but not this checkout."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    (site,) = environment.glob("lib/python*/site-packages")
    wheel = next(built.glob("*.whl"))
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], env=clean, check=True)
    # after the environment's own packages: torch and the rest, of this environment
    others = [path for path in sys.path if path.endswith("-packages")]
    (site / "others.pth").write_text("\n".join(others) + "\n")

    def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        program, *rest = command
        return subprocess.run(
            [str(environment / "bin" / program), *rest], cwd=cwd, env=clean, capture_output=True, text=True
        )

    return run


@pytest.mark.slow
def test_wheel_and_sdist_hold_the_package(built):
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    assert wheel.name == f"clip4dm-{clip4dm.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "clip4dm").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert {"clip4dm/py.typed", "clip4dm/models/demo/README.md", "clip4dm/models/demo/open_clip_config.json"} <= names
    assert "clip4dm/suggestion/words.txt" in names
    assert sdist.stat().st_size < 8 << 20 and wheel.stat().st_size < 8 << 20


@pytest.mark.slow
def test_the_installed_package_runs_without_the_checkout(installed, tmp_path):
    """Elsewhere, by its command, with nothing downloaded."""
    where = installed("python", "-c", "import clip4dm; print(clip4dm.__file__)", cwd=tmp_path)
    assert "site-packages" in where.stdout and str(ROOT) not in where.stdout
    done = installed("clip4dm", "infer", "--demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    right, wrong = map(ast.literal_eval, done.stdout.splitlines())
    (look,) = re.findall('look at "([a-z]+)"', done.stderr)
    assert right["negative_word"] == "" and wrong["negative_word"].partition("_")[2] == look
    assert (tmp_path / "output" / "demo.png").is_file()
    assert installed("clip4dm", "--version", cwd=tmp_path).stdout == f"clip4dm {clip4dm.__version__}\n"
    words = "from clip4dm.suggestion.vocabulary import packaged_vocabulary; print(len(packaged_vocabulary().words))"
    assert int(installed("python", "-c", words, cwd=tmp_path).stdout) > 1500
    assert "--data_path" in installed("clip4dm", "evaluate", "--help", cwd=tmp_path).stdout
    assert "--output_format" in installed("python", "-m", "clip4dm", "score", "--help", cwd=tmp_path).stdout


@pytest.mark.slow
def test_detecting_needs_the_core_dependencies_alone(installed, tmp_path):
    """With every package of the extras hidden, infer runs."""
    hidden = {"sklearn", "scipy", "pycocoevalcap", "google", "google_crc32c", "tabulate", "httpx", "matplotlib"}
    hidden |= {"pyarrow", "ray", "gradio", "starlette"}
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({sorted(hidden)!r}))  # None: importing it is an ImportError\n"
        "sys.argv = ['clip4dm', 'infer', '--demo', '--json']\n"
        "from clip4dm.commands.main import run\nrun()"
    )
    done = installed("python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.count('"f_clip_score":') == 2, done.stderr
