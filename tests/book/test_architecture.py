"""The two packages as drawn: how many modules and layers there are, no circle, nothing of the library knows the book,
and every function says what it takes and gives.

import-linter (pyproject.toml) holds the order of the layers; here also imports inside functions and by name count.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST = {"relstab": (12, 7), "relbook": (14, 9)}  # top-level modules, layers
LINES = 9_000  # of the library


def sources(package):
    """{module: path} of a package."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = sources("relstab") | sources("relbook")


def imported(module, path):
    """Every module of the two packages that a module imports or names, wherever in it that is."""
    tree = ast.parse(path.read_text())
    home = module.split(".") if path.stem == "__init__" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*home[: len(home) - node.level + 1], *filter(None, [node.module])])
                if node.level
                else node.module
            )
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in MODULES else base
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value  # importlib, or a table of modules


def graph():
    """{module: modules it needs}"""
    return {
        module: {other for other in imported(module, path) if other in MODULES} - {module}
        for module, path in MODULES.items()
    }


def tops(package):
    """{top-level module of a package: those it needs}; a study is one, the face and __main__ are none."""

    def top(module):
        parts = module.split(".")
        return ".".join(parts[: 3 if parts[:2] == ["relbook", "studies"] else 2])

    found = {}
    for module, needed in graph().items():
        if module.split(".")[0] != package or module == package or module.endswith("__main__"):
            continue
        inside = {top(other) for other in needed if other.startswith(f"{package}.")}
        found.setdefault(top(module), set()).update(inside - {top(module)})
    return found


def circle(needs):
    """A circle in {node: needed nodes}, or None."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return error.args[1]


@pytest.mark.parametrize("package", MOST)
def test_few_modules_and_layers(package):
    needs, (modules, layers) = tops(package), MOST[package]
    assert circle(needs) is None
    depth = {}
    for module in TopologicalSorter(needs).static_order():
        depth[module] = 1 + max((depth[other] for other in needs.get(module, ())), default=0)
    found = {".".join(module.split(".")[:2]) for module in needs}
    assert len(found) <= modules, sorted(found)
    assert max(depth.values()) <= layers, depth


def test_no_circle_among_modules():
    needs = graph()
    del needs["relstab"]  # the face, which names its submodules to load them on first use
    assert circle(needs) is None


def test_the_library_does_not_know_the_book():
    """But for its command, which asks a package above it for verbs, and the folders whose digest is a result's code."""
    named = {
        (module, other)
        for module, path in sources("relstab").items()
        for other in imported(module, path)
        if other.split(".")[0] == "relbook"
    }
    assert named == {("relstab.cli", "relbook"), ("relstab.store.origin", "relbook")}


def test_the_library_stays_small():
    lines = sum(len(path.read_text().splitlines()) for path in sources("relstab").values())
    assert lines <= LINES


def test_no_module_is_long():
    """CONTRIBUTING names the limit; most have a quarter of it."""
    lines = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert max(lines.values()) <= 600, max(lines, key=lines.get)
    assert sorted(lines.values())[len(lines) // 2] < 160


def functions(node):
    """The functions and methods below a node of the source, but for those inside of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        else:
            yield from functions(child)


def untyped(function):
    """The parameters of a function that have no type, and "return" where its result has none."""
    given = function.args
    named = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    found = [one.arg for one in named if one and one.annotation is None and one.arg not in ("self", "cls")]
    return found + ["return"] * (function.returns is None and function.name != "__init__")


def test_a_missing_type_is_seen():
    text = """
class A:
    def __init__(self, a: int, /, b, *c: int, d: int = 1): ...
    def e(self, *f, g, **h) -> int: ...
if True:
    def i(j: int):
        def k(l): ...
"""
    assert [untyped(one) for one in functions(ast.parse(text))] == [["b"], ["f", "g", "h"], ["return"]]


@pytest.mark.parametrize("package", MOST)
def test_every_function_is_typed(package):
    """Public or private, methods too; what they are given in the tests is checked against it (`jaxtyping`)."""
    missing = {
        f"{module}.{function.name}": untyped(function)
        for module, path in sources(package).items()
        for function in functions(ast.parse(path.read_text()))
        if untyped(function)
    }
    assert missing == {}
