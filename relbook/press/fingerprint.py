"""What a notebook's outputs depend on, as short hashes: the key that decides whether it runs again.

Serves every page of the book. A stored notebook is current when all parts are what they were::

    key = SHA-256 of (key format, cells, parameters, packages, studies, versions, results, store, data)

Comments, docstrings and prose are in none of them: mending a sentence must not train a network. Of the packages
all counts but the folders of studies, of which only those the page shows do (`relbook.press.reach`), with their
rows, and the modules that only run and publish notebooks (a test holds that nothing else imports them).

>>> from relbook.press import fingerprint
>>> fingerprint.code("x = 1  # one") == fingerprint.code("x = 1")
True
"""

import ast
import hashlib
import json
import platform
from collections.abc import Collection, Iterable
from importlib import metadata
from pathlib import Path

from relbook import scales
from relbook.press import reach
from relstab.store import catalogue, environment

KEY_FORMAT = 2
PUBLISHING = ("relbook/cli", "relbook/__main__", "relbook/press/")  # they only run and publish notebooks
GROWING = ("published results", "stored results")  # what a study adds to while it runs
_LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "pandas", "matplotlib", "ipywidgets", "pillow")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def digest(*parts: str | bytes) -> str:
    """First 16 hex digits of the SHA-256 of the parts, each with its length, so that no two lists collide."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()[:16]


def code(source: str) -> str:
    """The meaning of Python source: its syntax tree without docstrings; the text where it does not parse.

    A closing semicolon counts, because Jupyter then shows no output.

    >>> code("def f():\\n    'Old.'\\n    return 1") == code("def f():\\n    'New.'\\n    return 1")
    True
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and len(node.body) > 1 and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree) + (";" if source.rstrip().endswith(";") else "")


def package(*folders: str | Path) -> str:
    """The sources of the packages in `folders`, and the bytes of their other files (the images they ship).

    Without the folders of studies, and what only publishes.
    """
    parts = []
    for folder in map(Path, folders):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if (
                path.is_file()
                and "__pycache__" not in name.parts
                and not (name.parts[0] == "studies" and len(name.parts) > 2)
                and not f"{folder.name}/{name.as_posix()}".startswith(PUBLISHING)
            ):
                parts += [name.as_posix(), _content(path)]
    return digest(*parts)


def _content(path: Path) -> str | bytes:
    return code(path.read_text()) if path.suffix == ".py" else path.read_bytes()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries behind numbers and pictures; "none" if not installed."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = "none"
    return found


def _contents(folder: Path, studies: Collection[str] | None = None) -> str:
    paths = sorted(path for path in folder.rglob("*.json") if studies is None or path.parent.name in studies)
    return digest(*(part for path in paths for part in (path.relative_to(folder).as_posix(), path.read_bytes())))


def _stored(folder: Path, wanted: Iterable[str], studies: Collection[str] | None) -> str:
    """Names of the records in the working store; a record's name holds its key, so names are enough."""
    return digest(
        *(
            path.relative_to(folder).as_posix()
            for scale in wanted
            for path in sorted((folder / scale).rglob("*.json"))
            if studies is None or path.parent.name in studies
        )
    )


def _data() -> str:
    """Names and sizes of what lies in RELSTAB_DATA: a page may show data that were not there before."""
    folder = environment.folder("RELSTAB_DATA", Path("no such folder"))
    if not folder.is_dir():
        return digest()
    entries = sorted(folder.iterdir())
    return digest(*(f"{path.name} {path.stat().st_size if path.is_file() else 'folder'}" for path in entries))


def surroundings(root: str | Path, *, sources: Iterable) -> dict[str, str]:
    """Every part of the key that all notebooks share. root: the project; sources: folders of the packages."""
    return {
        "the package": package(*sources),
        "library versions": digest(json.dumps(versions())),
        "benchmark results": _contents(Path(root) / "benchmarks" / "results"),
        "the data folder": _data(),
    }


def studied(
    root: str | Path, scale: str, studies: reach.Studies, names: Collection[str] | None, *, summary: bool
) -> dict[str, str]:
    """The parts of the key that belong to the studies `names` (None: all): their folders and their rows.

    A notebook fills the store at its own scale itself, so only results of the other scales tell that it is out of
    date; a summary page reads what the other notebooks stored and depends on all of them.
    """
    read = scales.SCALES if summary else [other for other in scales.SCALES if other != scale]
    folders = sorted(studies.folders if names is None else names)
    files = [path for name in folders for path in studies.files(name)]
    return {
        "its studies": digest(
            *(part for path in files for part in (f"{path.parent.name}/{path.name}", _content(path)))
        ),
        "published results": _contents(catalogue.published(Path(root)), names),
        "stored results": _stored(catalogue.working(Path(root)), read, names),
    }


def key(parts: dict[str, str]) -> str:
    """One hash of all parts."""
    return digest(str(KEY_FORMAT), json.dumps(parts, sort_keys=True))


def changed(old: dict[str, str] | None, new: dict[str, str]) -> str:
    """In words, why a stored notebook is out of date; empty when it is current.

    >>> changed({"cells": "a", "the package": "b"}, {"cells": "a", "the package": "c"})
    'the package changed'
    """
    if old is None:
        return "never executed"
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return f"{', '.join(names)} changed" if names else ""
