"""Render the book: today's prose with the outputs of the last complete execution, as HTML for no network.

Serves every page. Execution and rendering are apart: this module never runs a notebook, and refuses to show
one whose executed copy is missing, incomplete or older than its code (`relbook.press.execute.status`). ::

    build/stage/<scale>/    what Jupyter Book reads: pages, assets, notebooks with outputs
    build/site/<scale>/     what it wrote, replaced as a whole once the link check has passed
    build/site/<scale>.log  what it said

>>> from relbook.press import render
>>> page = render.build("tiny")           # doctest: +SKIP
>>> page.name                           # doctest: +SKIP
'index.html'
"""

import copy
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from relbook import scales
from relbook.press import downloads, execute, links, notebook
from relstab.store import atomic, origin

_TOOLS = ("jupyter-book", "sphinx", "myst-nb", "myst-parser", "sphinx-book-theme", "sphinxcontrib-bibtex")
_IGNORED = {"__pycache__", ".ipynb_checkpoints"}
_COMPLAINT = re.compile(r"\b(WARNING|ERROR|CRITICAL|SEVERE)\b|[Ee]rror( \(|:)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SHOWN = 40  # complaints of Jupyter Book that are repeated on the terminal
_SMALLEST = 2000  # bytes; a page of less is no page
# Jupyter Book in a process that ends when its standard input does, that is with this one, however this one ended.
_JUPYTER_BOOK = """
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
from jupyter_book.cli.main import main
main()
"""


def build(
    scale: str = "tiny",
    names: Iterable[str] | None = None,
    *,
    ran: Iterable[str] = (),
    root: str | Path = execute.ROOT,
    sources: Sequence = execute.SOURCES,
    say: Callable[[str], object] = print,
) -> Path | None:
    """The front page of the rendered book; None when rendering or the link check failed (defects are said).

    Args:
        names: parts of notebook names. Then the notebooks that are not chosen may be out of date: they are shown
            without outputs, warnings are no errors, and the site is a draft in build/site/<scale>-draft, not the
            book.
        ran: as in `relbook.press.execute.status`.

    Raises:
        ValueError: a notebook is not executed, or _toc.yml does not list it; another run renders this book.

    Nothing changed: nothing is rendered. The last good site stays until its successor is whole and checked.
    """
    root = Path(root).resolve()
    found = execute.status(scales.check(scale), ran=ran, root=root, sources=sources)
    chosen = {source.name for source in notebook.select(notebook.discover(root), names)}
    missing = {result.name: result for result in found if not result.ok}
    for name in chosen & missing.keys():
        raise ValueError(f"notebook {name} cannot be shown at scale {scale} ({missing[name].why}); execute it first")
    label = f"{scale}-draft" if missing else scale
    files = _staged(root, scale, found)
    site = root / "build" / "site" / label
    site.parent.mkdir(parents=True, exist_ok=True)
    with atomic.lock(site.with_name(f".{label}.lock")) as alone:
        if not alone:
            raise ValueError(f"another run renders the book at scale {scale}; wait for its end or stop it")
        return _built(root, site, files, sources, draft=bool(missing), say=say)


def _built(
    root: Path, site: Path, files: dict[str, bytes], sources: Sequence, *, draft: bool, say: Callable[[str], object]
) -> Path | None:
    """`build`, once it is known what is to be rendered and nobody else renders it."""
    page = "_build/html/index.html"
    digest = _digest(files | _documented(sources))
    before = site.with_name(f".{site.name}.before")
    if before.is_dir() and not site.exists():  # a run was killed while it put the new site in the old one's place
        before.rename(site)
    stamp = site / "rendered.sha256"
    if stamp.is_file() and stamp.read_text() == f"{digest} {_sizes(site / '_build')}":
        say("the pages are as they were; nothing to render")
        return site / page
    stage = root / "build" / "stage" / site.name
    shutil.rmtree(stage, ignore_errors=True)
    for name, content in files.items():
        (stage / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).write_bytes(content)
    began = time.monotonic()
    fresh = site.with_name(f".{site.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    if not _render(stage, fresh, site.with_name(f"{site.name}.log"), draft=draft, say=say):
        return None
    if not _sound(fresh / "_build" / "html", _listed(root), draft=draft, say=say):
        return None
    (fresh / stamp.name).write_text(f"{digest} {_sizes(fresh / '_build')}")
    _replace(site, fresh, before)
    say(f"rendered in {time.monotonic() - began:.0f} s")
    return site / page


def _replace(site: Path, fresh: Path, before: Path) -> None:
    """Put the fresh site in the place of the old one, which is removed only then."""
    shutil.rmtree(before, ignore_errors=True)
    if site.exists():
        site.rename(before)
    try:
        fresh.rename(site)
    except BaseException:
        if before.exists():
            before.rename(site)
        raise
    shutil.rmtree(before, ignore_errors=True)


def merge(cells: Any, executed: Any, result: execute.Result) -> Any:
    """The page made of what `filled` gives, which stays as it is.

    Cells that only serve the machinery are left out, pictures become drawings in the theme's colours
    (`downloads.drawn`), and a page that was not executed says so under its title.
    """
    cells = copy.deepcopy(cells)
    tagged = next(index for index, cell in enumerate(cells.cells) if "parameters" in notebook.tags(cell))
    cells.cells[tagged].metadata["tags"] = sorted({*notebook.tags(cells.cells[tagged]), "remove-cell"})
    if executed is None:
        title, line, rest = cells.cells[0].source.partition("\n")
        warning = f"```{{warning}}\nNot executed in this draft: {result.why}.\n```\n"
        cells.cells[0].source = f"{title}\n\n{warning}{line}{rest}"
        return cells
    return downloads.drawn(cells, executed.metadata["relstab"].get("downloads", {}))


def filled(source: notebook.Source, result: execute.Result) -> tuple[Any, Any]:
    """Today's cells with the stored outputs, widget state and parameters that ran, and the notebook as it ran.

    Where the notebook is not current: without outputs, and None.
    """
    import nbformat

    cells = notebook.read(source)
    executed = nbformat.read(result.executed, as_version=4) if result.ok else None
    if executed is not None:
        ran = [cell for cell in notebook.code_cells(executed) if not notebook.injected(cell)]
        for cell, done in zip(notebook.code_cells(cells), ran, strict=True):
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
        cells.metadata["language_info"] = executed.metadata["language_info"]
        if "widgets" in executed.metadata:
            cells.metadata["widgets"] = executed.metadata["widgets"]
        tagged = next(cell for cell in cells.cells if "parameters" in notebook.tags(cell))
        ran = executed.metadata["papermill"]["parameters"]
        tagged.source = "\n".join(
            f"{name} = {json.dumps(value) if isinstance(value, str) else repr(value)}" for name, value in ran.items()
        )
    return cells, executed


def _staged(root: Path, scale: str, found: list[execute.Result]) -> dict[str, bytes]:
    """Path below the stage -> content, for everything that Jupyter Book will read."""
    import nbformat

    files = {name: (root / name).read_bytes() for name in ("_config.yml", "_toc.yml")}
    for path in sorted((root / "book").rglob("*")):
        if path.is_file() and not _IGNORED & set(path.parts):
            files[path.relative_to(root).as_posix()] = path.read_bytes()
    listed, pages = _listed(root), notebook.figures(root)
    for source, result in zip(notebook.discover(root), found, strict=True):
        if f"notebooks/{source.name}" not in listed:
            raise ValueError(f"notebook {source.name} is not listed in _toc.yml; no reader would find it")
        cells, executed = filled(source, result)
        page = notebook.linked(merge(cells, executed, result), source, pages)
        offered, box = downloads.offer(source, cells, executed)
        page.cells.append(nbformat.v4.new_markdown_cell(box, id=f"{page.cells[0].id}-downloads"))
        files[f"notebooks/{source.name}.ipynb"] = nbformat.writes(page).encode()
        files |= {f"notebooks/{source.name}/{name}": content for name, content in offered.items()}
    return files


def _documented(sources: Sequence) -> dict[str, bytes]:
    """The packages' modules, whose docstrings are the API reference."""
    return {
        f"sources/{Path(folder).name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for folder in sources
        for path in sorted(Path(folder).rglob("*.py"))
    }


def _listed(root: Path) -> list[str]:
    """The pages that _toc.yml names, in its order."""
    import yaml

    def walk(node):
        if isinstance(node, dict):
            for name, value in node.items():
                if name in ("root", "file"):
                    yield value
                else:
                    yield from walk(value)
        elif isinstance(node, list):
            for item in node:
                yield from walk(item)

    return list(walk(yaml.safe_load((root / "_toc.yml").read_text())))


def _digest(files: dict[str, bytes]) -> str:
    total = hashlib.sha256(repr([metadata.version(tool) for tool in _TOOLS]).encode())
    for name, content in sorted(files.items()):
        total.update(f"{name} {len(content)}\n".encode() + content)
    return total.hexdigest()


def _sizes(folder: Path) -> str:
    """A hash of the names and sizes of all files in a folder: a page that went missing or was cut short changes it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listing = "".join(f"{path.relative_to(folder)} {path.stat().st_size}\n" for path in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def _render(stage: Path, target: Path, log: Path, *, draft: bool, say: Callable[[str], object]) -> bool:
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _JUPYTER_BOOK, "build", str(stage)]
    path = os.pathsep.join(filter(None, [str(origin.PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    command += ["--path-output", str(target), "--keep-going", "-q", *([] if draft else ["-W", "-n"])]
    watched, held = os.pipe()
    try:
        done = subprocess.run(command, stdin=watched, capture_output=True, text=True, errors="replace",
                              env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": path}, check=False)  # fmt: skip
    finally:
        os.close(watched)
        os.close(held)
    said = _COLOUR.sub("", done.stdout + done.stderr)
    log.write_text(said)
    for line in [line for line in said.splitlines() if _COMPLAINT.search(line)][:_SHOWN]:
        say(line.replace(f"{stage}/", ""))
    if done.returncode:
        say(f"the book was not rendered; all that Jupyter Book said is in {log}")
    return done.returncode == 0


def _sound(html: Path, listed: list[str], *, draft: bool, say: Callable[[str], object]) -> bool:
    report = links.check(html)
    problems = list(report.problems)
    for name in listed:
        page = html / f"{name}.html"
        if not page.is_file() or page.stat().st_size < _SMALLEST:
            problems.append(f"{name}, which _toc.yml lists, gave no page")
    say(f"{report.pages} pages, {report.links} links checked, {len(report.outside)} outside not followed")
    for problem in problems:
        say(f"link check: {problem}")
    return draft or not problems
