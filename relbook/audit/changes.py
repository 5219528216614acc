"""Which definitions a result was computed by, and which of them have changed since.

A key names what a result means by hand (its version); this module looks at the code. From the classes of a study
it follows every name to the definition it stands for, through imports and re-exports, in the sources of one state
of the project: the files on disk, or those of a commit. Two states are compared definition by definition, as
syntax trees without docstrings, annotations, imports and the names of modules. So a comment, a moved file or a
renamed module is no change, and a changed constant five calls below is one.

Left out is what decides no number: how results are stored, how data are found and read, since the digest of what
was read is in the key, and the table of scales, whose settings are.

>>> before = {"relstab/a.py":
...           "def f(x):\\n    return x + 1\\nclass Unit:\\n    study = 'toy'\\n    def run(self): return f(1)"}
>>> after = {"relstab/b.py": "def f(x):\\n    '''One more.'''\\n    return x + 2", "relstab/c.py":
...          "from relstab import b\\nclass Unit:\\n    study = 'toy'\\n    def run(self): return b.f(1)"}
>>> changed(definitions(before, "toy"), definitions(after, "toy"))
['f']
"""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache

LEFT_OUT = ("scales", "store", "checkpoints", "sources", "formats", "images", "folders", "cifar_jpeg",
            "records", "units", "shelves", "atomic", "provenance", "numerics")  # fmt: skip
ESTIMATES = ("cost_minutes", "require", "alternatives", "data_digest", "version")


def definitions(files: Mapping[str, str], study: str) -> dict[str, tuple[str, ...]]:
    """Name -> digests of all definitions of that name that the units of a study reach, in one state of the sources.

    Args:
        files: path below the checkout -> text of each Python file of the packages.
    """
    modules = {name: _module(path, text) for path, text in files.items() if (name := _name(path))}
    todo = [(name, unit) for name, module in modules.items() for unit in module.units(study)]
    seen: set[tuple[str, str]] = set()
    found: dict[str, list[str]] = {}
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        module = modules[place[0]]
        for statement in module.named[place[1]]:
            body = _Normal(module, modules).visit(_copy(statement))
            found.setdefault(place[1], []).append(hashlib.sha256(ast.dump(body).encode()).hexdigest()[:12])
            todo += _references(module, modules, statement)
    return {name: tuple(sorted(digests)) for name, digests in found.items()}


def changed(before: Mapping[str, tuple], after: Mapping[str, tuple]) -> list[str]:
    """Names of the definitions of `before` that are not in `after` as they were."""
    return sorted(name for name, digests in before.items() if not set(digests) <= set(after.get(name, ())))


def _name(path: str) -> str:
    """The module of a file, "" for one that is left out."""
    if not path.endswith(".py"):
        return ""
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return "" if set(name.split(".")[1:]) & set(LEFT_OUT) else name


class _Module:
    """The top-level definitions and the imports of one source file."""

    def __init__(self, name: str, package: bool, text: str):
        self.name, self.package, self.named = name, package, {}
        self.imports: dict[str, tuple[str, str]] = {}
        tree = ast.parse(text)
        for statement in tree.body:
            for bound in _bound(statement):
                self.named.setdefault(bound, []).append(statement)
        for node in ast.walk(tree):
            self.imports |= dict(self._imported(node))

    def _imported(self, node: ast.AST) -> Iterator[tuple[str, tuple[str, str]]]:
        """(local name, (module, attribute or "")) of an import statement."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    (alias.asname, (alias.name, ""))
                    if alias.asname
                    else (alias.name.split(".")[0], (alias.name.split(".")[0], ""))
                )
        elif isinstance(node, ast.ImportFrom):
            parts = self.name.split(".")
            upper = parts[: len(parts) - node.level + self.package] if node.level else []
            source = ".".join([*upper, *([node.module] if node.module else [])])
            for alias in node.names:
                yield alias.asname or alias.name, (source, alias.name)

    def units(self, study: str) -> list[str]:
        """The classes that say they belong to a study, and those made from them in this file."""
        classes = {name: s for name, (*_, s) in self.named.items() if isinstance(s, ast.ClassDef)}
        named = {
            name
            for name, node in classes.items()
            for line in node.body
            if "study" in _bound(line) and ast.unparse(line.value) == repr(study)
        }
        return [
            name
            for name, node in classes.items()
            if name in named or any(isinstance(base, ast.Name) and base.id in named for base in node.bases)
        ]


@cache
def _module(path: str, text: str) -> _Module:
    return _Module(_name(path), path.endswith("__init__.py"), text)


def _bound(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return []
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def _resolve(module: _Module, modules: Mapping[str, _Module], name: str) -> tuple[str, str] | None:
    """(module, definition) that a name stands for, (module, "") for a module; None outside the project."""
    if name in module.named:
        return module.name, name
    if name not in module.imports:
        return None
    source, attribute = module.imports[name]
    return _member(source, attribute, modules) if attribute else _place(source, modules)


def _place(name: str, modules: Mapping[str, _Module]) -> tuple[str, str] | None:
    known = name in modules or any(other.startswith(name + ".") for other in modules)
    return (name, "") if known else None


def _member(source: str, attribute: str, modules: Mapping[str, _Module]) -> tuple[str, str] | None:
    """What `source.attribute` stands for: a module below it, or a definition or re-export in it."""
    if found := _place(f"{source}.{attribute}", modules):
        module = modules.get(source)
        if module is None or attribute not in module.named | module.imports or found[0] in modules:
            return found
    if source not in modules or modules[source].imports.get(attribute) == (source, attribute):
        return None
    return _resolve(modules[source], modules, attribute)


def _target(module: _Module, modules: Mapping[str, _Module], node: ast.expr) -> tuple[str, str] | None:
    """What a name or a dotted name stands for."""
    if isinstance(node, ast.Name):
        return _resolve(module, modules, node.id)
    if isinstance(node, ast.Attribute):
        owner = _target(module, modules, node.value)
        if owner is not None and not owner[1]:
            return _member(owner[0], node.attr, modules)
    return None


def _references(module: _Module, modules: Mapping[str, _Module], statement: ast.stmt) -> list[tuple[str, str]]:
    nodes = (node for node in _meaning(statement) if isinstance(node, ast.Name | ast.Attribute))
    targets = (_target(module, modules, node) for node in nodes)
    return [target for target in targets if target is not None and target[1]]


def _meaning(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one that `_Normal` keeps."""
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_left_out(child):
                yield from _meaning(child)


def _is_left_out(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom) or (
        isinstance(node, ast.FunctionDef) and node.name in ESTIMATES
    )


def _copy(statement: ast.stmt) -> ast.stmt:
    return ast.parse(ast.unparse(statement)).body[0]


class _Normal(ast.NodeTransformer):
    """A definition without docstrings, annotations, imports, estimates and names of modules."""

    def __init__(self, module: _Module, modules: Mapping[str, _Module]):
        self.module, self.modules = module, modules

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(getattr(node, "body", None), list):
            kept = [line for line in node.body if not _is_left_out(line) and not _is_text(line)]
            node.body = kept or [ast.Pass()]
        for field in ("annotation", "returns"):
            if getattr(node, field, None) is not None:
                setattr(node, field, ast.Constant(None) if isinstance(node, ast.AnnAssign) else None)
        return super().generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        target = _target(self.module, self.modules, node)
        if target is not None and target[1]:
            return ast.Name(target[1], node.ctx)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        target = _target(self.module, self.modules, node)
        return ast.Name(target[1], node.ctx) if target is not None and target[1] else node


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
