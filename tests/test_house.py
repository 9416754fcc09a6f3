"""The house itself: rooms, arrows that run one way, sizes, things that are defined once; read from the source alone.

docs/design.md says the same in words.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

import pytest
from places import ROOT
from sources import PACKAGE, modules, room, trees

# A room imports from lower floors alone. In one row: rooms that do not know each other.
FLOORS = (
    ("__main__",),
    ("commands",),
    ("report",),
    ("evaluation", "scoring"),
    ("detector",),
    ("suggestion",),
    ("models",),
    ("attribution",),
    ("towers",),
    ("detection", "benchmarks"),
    ("captions", "calibration"),
    ("published",),
    ("scores",),
    ("files",),
    ("errors",),
)
ENTRIES = 17  # at the package's top
PYTHONS = {"__init__.py", "__main__.py", "__pycache__", "py.typed"}  # no doors: what Python itself asks for
FILE_LINES, FUNCTION_LINES = 300, 50
LONG_FILES: dict[str, str] = {}  # file: why it is longer
LONG_FUNCTIONS = {  # file:function: why it is longer
    "misc/fuzzing/pictures.py:valid_files": "one kind of file a line"
}


class Import(NamedTuple):
    """An import of one of the package's modules by another. where: at its top, in a function, or for types alone."""

    importer: str
    imported: str
    where: str


@cache
def public_names() -> dict[str, str]:
    """What `from clip4dm import NAME` reaches: the package's own table of lazy imports."""
    for node in trees()[PACKAGE / "__init__.py"].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES":
            return {name: f"clip4dm.{home}" for name, home in ast.literal_eval(node.value).items()}
    raise AssertionError("clip4dm/__init__.py has no table _HOMES")


@cache
def imports() -> tuple[Import, ...]:
    return tuple(sorted({one for name, tree in modules().items() for one in imports_of(name, tree)}))


def imports_of(importer: str, tree: ast.Module) -> Iterator[Import]:
    for node, where in with_place(tree):
        for name in imported_names(node):
            if name in public_names():  # not spelled `clip4dm.`: see imported_names
                yield Import(importer, public_names()[name], where)
            elif name in modules():
                yield Import(importer, name, where)
            elif name.rpartition(".")[0] in modules():
                yield Import(importer, name.rpartition(".")[0], where)


def with_place(node: ast.AST, where: str = "top") -> Iterator[tuple[ast.AST, str]]:
    """Every node below, with where an import there would stand."""
    for child in ast.iter_child_nodes(node):
        inner = where
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = "function"
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            inner = "types"
        yield child, inner
        yield from with_place(child, inner)


def imported_names(node: ast.AST) -> list[str]:
    """Dotted names that an import statement may mean; a public name of the package without the package's."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, f"line {node.lineno}: an import by a leading dot; spell the module out"
    if node.module == "clip4dm":
        return [alias.name if alias.name in public_names() else f"clip4dm.{alias.name}" for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def test_no_import_closes_a_circle():
    """Not in a function either. Imports for types alone never run, and are held to the arrows below."""
    graph: dict[str, set[str]] = {}
    for one in imports():
        if one.where != "types":
            graph.setdefault(one.importer, set()).add(one.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("imported by: " + " <- ".join(error.args[1]))


def test_arrows_point_down():
    floor = {name: number for number, rooms in enumerate(FLOORS) for name in rooms}
    known = {room(name) for name in modules()} - {"clip4dm"}
    assert known == set(floor), "FLOORS above names the package's rooms"
    wrong = [
        one
        for one in imports()
        if one.importer != "clip4dm"  # the public names, which the package's top gives from all floors
        and room(one.importer) != room(one.imported)
        and room(one.imported) != "clip4dm"  # the version
        and floor[room(one.importer)] >= floor[room(one.imported)]
    ]
    assert not wrong, "\n".join(f"{one.importer} -> {one.imported} ({one.where})" for one in wrong)


def test_the_graph_is_not_empty():
    """The two tests above look at something: arrows that are known to be there, each kind of place."""
    assert {one.where for one in imports()} == {"top", "function", "types"}
    assert Import("clip4dm.detector", "clip4dm.detection", "top") in imports()
    assert Import("clip4dm.commands.arguments", "clip4dm.detector", "function") in imports()
    assert len({one.importer for one in imports()}) > 30


def test_the_graph_sees_every_place():
    tree = ast.parse(
        "if TYPE_CHECKING:\n    from clip4dm.detector import CLIP4DM\n"
        "def f():\n    from clip4dm.models import names\n    import clip4dm.scores\n    from clip4dm import Word\n"
    )
    assert [(one.imported, one.where) for one in imports_of("clip4dm.x", tree)] == [
        ("clip4dm.detector", "types"),
        ("clip4dm.models.names", "function"),
        ("clip4dm.scores", "function"),
        ("clip4dm.detection", "function"),
    ]


def test_few_doors_at_the_top():
    entries = sorted(path.name for path in PACKAGE.iterdir() if path.name not in PYTHONS)
    assert len(entries) <= ENTRIES, entries


@cache
def too_long() -> tuple[dict[str, int], dict[str, int]]:
    """Files and functions of too many lines, with their number."""
    files, functions = {}, {}
    for path, tree in trees().items():
        name = path.relative_to(ROOT).as_posix()
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES:
            files[name] = lines
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES:
                    functions[f"{name}:{node.name}"] = lines
    return files, functions


def test_files_and_functions_are_short():
    for found, listed in zip(too_long(), (LONG_FILES, LONG_FUNCTIONS), strict=True):
        assert found.keys() <= listed.keys(), {name: found[name] for name in found.keys() - listed.keys()}


def test_no_exception_is_listed_that_is_none():
    """What has become short is struck from the lists at the top of this file."""
    files, functions = too_long()
    assert LONG_FILES.keys() <= files.keys(), LONG_FILES.keys() - files.keys()
    assert LONG_FUNCTIONS.keys() <= functions.keys(), LONG_FUNCTIONS.keys() - functions.keys()


def test_nothing_is_put_on_pythons_path():
    """The package is installed, and Python puts a script's own folder on its path."""
    for path, tree in trees().items():
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.Attribute) and ast.unparse(node).startswith("sys.path")), path


def names_given(node: ast.AST) -> list[str]:
    """The names that a statement defines."""
    if isinstance(node, ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [ast.unparse(target) for target in targets]


@pytest.mark.parametrize("name", ["Span", "SortedBy", "ScoredWord", "Tokenizer", "ModelError", "TEMPLATE", "ORIGINAL"])
def test_what_all_rooms_use_is_defined_once(name):
    homes = [module for module, tree in modules().items() for node in tree.body if name in names_given(node)]
    assert len(homes) == 1, homes


@pytest.mark.parametrize("value", [-5e-5, "A photo depicts ", "ORIG"])
def test_defaults_and_labels_are_written_once(value):
    homes = [
        module
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.UnaryOp) and ast.unparse(node) == repr(value)
        if module != "clip4dm.evaluation.paper"  # its table of published figures says what each was taken with
    ]
    assert homes in (["clip4dm.scores"], ["clip4dm.benchmarks.base"])
