"""The house itself: arrows that run one way, things that are defined once, and examples that say the truth."""

from __future__ import annotations

import ast
import doctest
import graphlib
from importlib import import_module
from pathlib import Path

import pytest

import clip4dm

PACKAGE = Path(clip4dm.__file__).parent
FILES = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
MODULES = {name.removesuffix(".__init__"): ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imported(tree: ast.AST) -> set[str]:
    """The package's modules that a module imports, inside functions too; for type checkers alone does not count."""
    found: set[str] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= inner or {node.module}
    return found & set(MODULES)


def room(name: str) -> str:
    """clip4dm.captions.words -> captions; a module that is no folder's is a room of its own."""
    return name.split(".")[1] if "." in name else "clip4dm"


def test_no_module_imports_itself_by_way_of_others():
    order = list(graphlib.TopologicalSorter({name: imported(tree) for name, tree in MODULES.items()}).static_order())
    assert order.index("clip4dm.captions.tracked") < order.index("clip4dm.detector") < len(order)


def test_rooms_do_not_import_each_other_in_circles():
    rooms: dict[str, set[str]] = {}
    for name, tree in MODULES.items():
        rooms.setdefault(room(name), set()).update(room(other) for other in imported(tree))
    order = list(graphlib.TopologicalSorter({a: b - {a} for a, b in rooms.items()}).static_order())
    assert order.index("captions") < order.index("towers") < order.index("models") < order.index("commands")


def test_the_graph_sees_imports_inside_functions_and_leaves_out_those_of_types():
    tree = ast.parse(
        "if TYPE_CHECKING:\n    from clip4dm.detector import CLIP4DM\n"
        "def f():\n    from clip4dm.models import names\n    import clip4dm.scores\n"
    )
    assert imported(tree) == {"clip4dm.models.names", "clip4dm.scores"}


def names_given(node: ast.AST) -> list[str]:
    """The names that a statement defines."""
    if isinstance(node, ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [ast.unparse(target) for target in targets]


@pytest.mark.parametrize("name", ["Span", "SortedBy", "ScoredWord", "Tokenizer", "ModelError", "TEMPLATE", "ORIGINAL"])
def test_what_all_rooms_use_is_defined_once(name):
    homes = [module for module, tree in MODULES.items() for node in tree.body if name in names_given(node)]
    assert len(homes) == 1, homes


@pytest.mark.parametrize("value", [-5e-5, "A photo depicts ", "ORIG"])
def test_defaults_and_labels_are_written_once(value):
    homes = [
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.UnaryOp) and ast.unparse(node) == repr(value)
        if module != "clip4dm.evaluation.paper"  # its table of published figures says what each was taken with
    ]
    assert homes in (["clip4dm.scores"], ["clip4dm.benchmarks.base"])


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_examples_in_docstrings_say_the_truth(name):
    assert doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS).failed == 0


def test_modules_of_the_lower_rooms_have_examples():
    finder = doctest.DocTestFinder()
    without = {
        name
        for name in MODULES
        if name in FILES and room(name) in ("captions", "files", "models", "benchmarks")  # not a folder's own page
        if not any(test.examples for test in finder.find(import_module(name)))
    }
    assert without <= {"clip4dm.models.verify", "clip4dm.benchmarks.rules"}
