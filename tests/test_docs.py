"""What README and docs say of the code is so: links, file names, equations, a caption's walk, figures."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from pathlib import Path

import pytest
from places import ROOT

PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "data" / "README.md", *(ROOT / "misc").glob("*.md")]
    + list((ROOT / "clip4dm").rglob("*.md"))
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
TEXTS = dict(zip(NAMES, [page.read_text(encoding="utf-8") for page in PAGES], strict=True))
# A name with a folder of the repository before it: in a command, in code, in a sentence.
FILE_NAME = re.compile(r"(?<![\w/.])((?:clip4dm|misc|docs|tests|\.ci)/[\w./-]*\w|(?:infer|main)\.py|requirements\.txt)")


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXTS[name]):
        assert target.startswith("https://") or ((ROOT / name).parent / target).exists(), target


@pytest.mark.parametrize("name", NAMES)
def test_named_files_exist(name):
    for mention in FILE_NAME.findall(TEXTS[name]):
        assert (ROOT / mention).exists(), mention


def test_every_page_is_reached_from_the_readme_in_two_clicks():
    reached = {ROOT / "README.md"}
    for _ in range(2):
        for page in [page for page in reached if page.suffix == ".md" and page.exists()]:
            links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
            reached |= {(page.parent / link).resolve() for link in links}
    assert set(PAGES) <= reached
    assert ROOT / "clip4dm" / "scores.py" in reached


def test_the_readme_is_for_newcomers():
    assert len(TEXTS["README.md"].splitlines()) <= 170


def places(heading: str) -> list[tuple[Path, str]]:
    """The files and functions that a table of docs/design.md names below a heading."""
    section = TEXTS["docs/design.md"].partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    found = [re.search(r"\[([^]]+)\]\(\.\./\1\)(?: `(\w+)`)?", row) for row in rows]
    return [(ROOT / match[1], match[2]) for match in found if match]


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_functions_named_in_the_design_are_there():
    named = re.findall(r"\]\(\.\./([\w/.]+)\)\s`(\w+)`", TEXTS["docs/design.md"])
    assert len(named) > 12
    for path, name in named:
        assert name in functions(ROOT / path), f"{path}: {name}"


def test_each_equation_stands_where_the_docs_say():
    equations = places("Equations")
    assert len(equations) == 7
    for path, name in equations:
        assert name in functions(path), f"{path}: {name}"


def test_a_captions_walk_is_the_one_in_the_docs(tmp_path, monkeypatch, capsys):
    """At most six files; the functions are called in this order, the first time each."""
    from clip4dm.commands import infer

    walk = places("A caption's walk")
    assert 2 <= len(walk) <= 6 and walk[0] == (ROOT / "infer.py", None)
    expected = [(str(path), name) for path, name in walk[1:]]
    called: list[tuple[str, str]] = []

    def note(frame, event, _):
        place = (frame.f_code.co_filename, frame.f_code.co_name)
        if event == "call" and place in expected and place not in called:
            called.append(place)

    monkeypatch.chdir(tmp_path)
    # Loading asks `attribute` and `encode_caption` too, to verify the tower: the walk begins with a loaded model.
    from clip4dm import CLIP4DM

    detector = CLIP4DM.from_pretrained("demo", device="cpu", method="clip4dm")
    monkeypatch.setattr(CLIP4DM, "from_pretrained", lambda *_, **__: detector)
    sys.setprofile(note)
    try:
        infer.main(["--demo"])
    finally:
        sys.setprofile(None)
    assert called == expected
    assert "from clip4dm.commands.infer import main\n" in (ROOT / "infer.py").read_text(encoding="utf-8")


def test_the_scores_have_examples():
    """Each equation shows a number by example."""
    tree = ast.parse((ROOT / "clip4dm" / "scores.py").read_text(encoding="utf-8"))
    shown = {
        n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and ">>> " in (ast.get_docstring(n) or "")
    }
    assert {name for _, name in places("Equations")} <= shown


def test_speed_is_said_alike():
    """The README's two figures of speed are those of the table in docs/speed.md."""
    text = " ".join(TEXTS["README.md"].split())
    pace, ratio = re.search(r"(\d+\.\d) pairs/s, (\d+\.\d\d) times the published procedure", text).groups()
    table = TEXTS["docs/speed.md"].partition("| 1 caption a picture |")[2].partition("\n\n")[0]
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| (")}
    assert f"| {pace} [" in rows["(c) this project"] and f"| {ratio} [" in rows["(a) published procedure"]


def test_the_model_card_is_of_the_weights_that_are_shipped():
    weights = ROOT / "clip4dm" / "models" / "demo" / "open_clip_model.safetensors"
    card = TEXTS["clip4dm/models/demo/README.md"]
    assert re.search(r"`([0-9a-f]{64})`", card)[1] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert f"{weights.stat().st_size / 1e6:.1f} MB" in card


def test_the_paper_is_cited_alike():
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    families = re.findall(r"family-names: (\w+)", cited)
    assert len(families) == 4
    authors = re.search(r"author\s*= \{(.*)\}", TEXTS["README.md"])[1]
    assert [author.split(",")[0] for author in authors.split(" and ")] == families
    for text in (cited, TEXTS["README.md"]):
        assert "2412.18404" in text and "Extract Free Dense Misalignment from" in text
