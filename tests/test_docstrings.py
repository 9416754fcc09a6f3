"""Docstrings: every public name is explained and has an example, and the examples say the truth."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from inspect import isclass
from textwrap import dedent

import pytest
from sources import SOURCES, module_name, modules, room, trees

WITHOUT_EXAMPLE = {  # module:name: why it has none
    "clip4dm.benchmarks.shapes.captions:Mention": "part of a Caption, whose example shows it",
    "clip4dm.benchmarks.shapes.captions:Statement": "part of a Caption, whose example shows it",
    "clip4dm.benchmarks.shapes.captions:Slot": "part of a Caption, whose example shows it",
    "clip4dm.models.hub:check_hub_reachable": "asks the network, and says nothing where all is well",
}


def public_definitions(body: list[ast.stmt], outer: ast.ClassDef | None = None) -> Iterator[tuple[str, bool]]:
    """Functions, classes and their methods whose names do not begin with an underscore; whether each is explained.

    A method that a base class or a Protocol of the package explains need not be explained again.
    """
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if "overload" in map(ast.unparse, node.decorator_list):
            continue
        models = {*(ast.unparse(base) for base in outer.bases), *protocols()} if outer else set()
        explained = bool(ast.get_docstring(node)) or any((model, node.name) in explained_methods() for model in models)
        yield f"{outer.name}.{node.name}" if outer else node.name, explained
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node.body, node)


def unexplained(tree: ast.Module) -> set[str]:
    return {name for name, explained in public_definitions(tree.body) if not explained}


@cache
def classes() -> tuple[ast.ClassDef, ...]:
    return tuple(node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


@cache
def protocols() -> frozenset[str]:
    return frozenset(one.name for one in classes() if any("Protocol" in ast.unparse(base) for base in one.bases))


@cache
def explained_methods() -> frozenset[tuple[str, str]]:
    """(class, method) with a docstring."""
    return frozenset(
        (one.name, node.name)
        for one in classes()
        for node in one.body
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node)
    )


@pytest.mark.parametrize("name", sorted(modules()))
def test_every_public_name_has_a_docstring(name):
    tree = modules()[name]
    assert ast.get_docstring(tree), "the module itself has none"
    bare = unexplained(tree)
    assert not bare, f"no docstring: {', '.join(sorted(bare))}"


def example(node: ast.FunctionDef | ast.ClassDef) -> str | None:
    """What a docstring shows: lines for Python's prompt, or a last paragraph of code that needs more than is at hand."""
    text = ast.get_docstring(node) or ""
    if ">>> " in text:
        return text[text.index(">>> ") :]
    _, _, last = text.rpartition("\n\n")
    try:
        code = ast.parse(dedent(last))
    except SyntaxError:
        return None
    return last if any(isinstance(one, ast.Call | ast.Subscript) for one in ast.walk(code)) else None


def is_shown(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """Whether the docstring has an example; a function's has to call it."""
    shown = example(node)
    return shown is not None and (isinstance(node, ast.ClassDef) or f"{node.name}(" in shown)


def needs_example(module: str, node: ast.stmt) -> bool:
    """Public functions and classes; not what is never called by its name: errors, protocols, a property's overloads."""
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_") or node.name in protocols():
        return False
    if isinstance(node, ast.FunctionDef):
        return "overload" not in map(ast.unparse, node.decorator_list)
    kind = getattr(import_module(module), node.name)
    return not (isclass(kind) and issubclass(kind, Exception))


def unshown(module: str) -> set[str]:
    return {
        f"{module}:{node.name}" for node in modules()[module].body if needs_example(module, node) and not is_shown(node)
    }


@pytest.mark.parametrize("name", sorted(modules()))
def test_every_public_name_has_an_example(name):
    bare = unshown(name) - WITHOUT_EXAMPLE.keys()
    assert not bare, f"no example: {', '.join(sorted(bare))}"


def test_no_name_is_listed_that_has_an_example():
    assert WITHOUT_EXAMPLE.keys() <= set().union(*map(unshown, modules()))


@pytest.mark.parametrize(
    ("docstring", "shown"),
    [
        ("Half of it. Errors: InputError.", False),
        ("Half of it.\n\n    Errors: InputError.", False),
        ("Half of it.\n\n    other(4)", False),
        ("Half of it.\n\n    half(4)  # 2", True),
        ("Half of it.\n\n    >>> half(4)\n    2", True),
    ],
)
def test_what_counts_as_an_example(docstring, shown):
    function = ast.parse(f'def half(x):\n    """{docstring}\n    """').body[0]
    assert is_shown(function) is shown


def with_examples() -> list[str]:
    """The modules whose docstrings show what Python would print."""
    return sorted(
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ">>> " in (ast.get_docstring(node) or "")
    )


@pytest.mark.parametrize("name", dict.fromkeys(with_examples()))
def test_the_examples_in_docstrings_say_the_truth(name):
    tried = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert tried.failed == 0 and tried.attempted > 0


def test_modules_of_the_lower_rooms_have_examples():
    files = {module_name(path) for path in SOURCES if path.name != "__init__.py"}  # not a folder's own page
    lower = {name for name in files & modules().keys() if room(name) in ("captions", "files", "models", "benchmarks")}
    without = lower - set(with_examples())
    assert without <= {"clip4dm.models.verify"}
