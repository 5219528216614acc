"""The notebooks as they are written, and the rules that they and their executed copies must obey.

Serves every page of the book. Sources are MyST Markdown, one per paper section, below notebooks/; pages
directly in notebooks/ are summaries, which read what the others stored and run after them. papermill only
warns about a parameter that a notebook does not have, and Jupyter Book renders half-run notebooks without a
word; `check` and `problems` refuse both.

>>> import jupytext
>>> from relbook.press import notebook
>>> cells = jupytext.reads('# + tags=["parameters"]\\nscale = "tiny"\\n# +\\nprint(scale)', fmt="py:light")
>>> notebook.parameters(cells, "demo")
{'scale': 'tiny'}
"""

import ast
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relbook.press import fingerprint

_FIGURE_LINK = re.compile(r'href="#(?P<anchor>[^"]*)" data-figure="(?P<label>[^"]*)"')
_MEASURE_LINK = re.compile(r'href="#" data-measure="(?P<module>[^"]*)\.(?P<name>[^".]*)"')
STDOUT_LINES = 60  # longer prints belong in a log, not on a page


@dataclass(frozen=True)
class Source:
    """A notebook's source: name is its path below notebooks/ without suffix."""

    name: str
    path: Path

    @property
    def summary(self) -> bool:
        """Whether it lies directly in notebooks/ and reads what the others stored."""
        return "/" not in self.name


def discover(root: str | Path) -> list[Source]:
    """All notebooks of the project, by name; FileNotFoundError when there is none."""
    folder = Path(root) / "notebooks"
    found = [
        Source(path.relative_to(folder).with_suffix("").as_posix(), path)
        for path in sorted(folder.rglob("*.md"))
        if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise FileNotFoundError(f"no notebook (*.md) lies below {folder}; the command needs a checkout of the project")
    return found


def figures(root: str | Path) -> dict[str, str]:
    """The notebook that draws each labelled figure: {label: name of the source}. `(fig-b-19)=` is a second label."""
    label = re.compile(r"^(?:    name: |\()(fig-[a-z0-9-]+)(?:\)=)?$", re.MULTILINE)
    return {name: source.name for source in discover(root) for name in label.findall(source.path.read_text())}


def linked(cells: Any, source: Source, pages: dict[str, str]) -> Any:
    """The notebook with links to figures (`href="#..." data-figure="LABEL"`) leading to the page that draws them.

    Args:
        pages: as `figures` gives.

    A figure that no notebook draws has no link.
    """

    def where(match):
        if match["label"] not in pages:
            return f'data-figure="{match["label"]}"'
        name = pages[match["label"]]
        page = "" if name == source.name else f"{os.path.relpath(name, Path(source.name).parent)}.html"
        return f'href="{page}#{match["anchor"]}" data-figure="{match["label"]}"'

    def code(match):
        page = f"_modules/{match['module'].replace('.', '/')}"  # where Sphinx shows the source of a documented module
        page = os.path.relpath(page, Path("notebooks", source.name).parent)
        return f'href="{page}.html#{match["name"]}" data-measure="{match["module"]}.{match["name"]}"'

    for cell in code_cells(cells):
        for output in cell.get("outputs", []):
            if html := output.get("data", {}).get("text/html"):
                output["data"]["text/html"] = _MEASURE_LINK.sub(code, _FIGURE_LINK.sub(where, "".join(html)))
    return cells


def select(sources: list[Source], names: Iterable[str] | None = None) -> list[Source]:
    """The notebooks whose name contains one of `names` (None: all); ValueError for a name that fits none."""
    for name in names or ():
        if not name or not any(name in source.name for source in sources):
            known = ", ".join(source.name for source in sources)
            raise ValueError(f"no notebook is called {name!r}; there are {known}")
    return [source for source in sources if not names or any(name in source.name for name in names)]


def read(source: Source) -> Any:
    """The source as a notebook, with cell ids made of name and position; ValueError if it is none."""
    import jupytext

    try:
        cells = jupytext.read(source.path)
    except Exception as error:  # jupytext lets errors of its YAML and Markdown parsers through, of many classes
        raise ValueError(f"notebook {source.name} cannot be read: {' '.join(str(error).split())}") from None
    slug = fingerprint.digest(source.name)[:8]
    for index, cell in enumerate(cells.cells):
        cell["id"] = f"{slug}-{index}"
    return cells


def code_cells(cells: Any) -> list:
    """The code cells that papermill will run: all that are not blank."""
    return [cell for cell in cells.cells if cell.cell_type == "code" and cell.source.strip()]


def tags(cell: Any) -> list[str]:
    """The cell's tags."""
    return cell.metadata.get("tags", [])


def parameters(cells: Any, name: str) -> dict[str, object]:
    """The parameters with their defaults: the assignments of literals in the one cell tagged `parameters`.

    ValueError when there is no such cell, more than one, or something else than literals in it.
    """
    tagged = [cell for cell in code_cells(cells) if "parameters" in tags(cell)]
    if len(tagged) != 1:
        raise ValueError(f"notebook {name} has {len(tagged)} cells tagged 'parameters'; it must have exactly one")
    found = {}
    for statement in _tree(tagged[0], name).body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        try:
            found[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            line = ast.unparse(statement)
            raise ValueError(
                f"notebook {name}: {line!r} in the cell tagged 'parameters' must read NAME = literal"
            ) from None
    return found


def _tree(cell: Any, name: str) -> ast.Module:
    try:
        return ast.parse(cell.source)
    except SyntaxError as error:
        line = cell.source.splitlines()[(error.lineno or 1) - 1]
        raise ValueError(f"notebook {name}: the line {line!r} is not Python ({error.msg})") from None


def check(cells: Any, source: Source, given: dict[str, object]) -> None:
    """ValueError unless each given parameter exists, has its default's type and is read by a later cell.

    Also refuses cells tagged `raises-exception`: papermill runs on behind them, and the error would be
    published.
    """
    name = source.name
    defaults = parameters(cells, name)
    for parameter, value in given.items():
        if parameter not in defaults:
            raise ValueError(f"parameter {parameter!r} is unknown to notebook {name}; it has {', '.join(defaults)}")
        wanted = type(defaults[parameter])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise ValueError(
                f"parameter {parameter!r} of notebook {name} is {value!r}; it must be of type "
                f"{wanted.__name__}, like its default {defaults[parameter]!r}"
            )
    others = [cell for cell in code_cells(cells) if "parameters" not in tags(cell)]
    used = {node.id for cell in others for node in ast.walk(_tree(cell, name)) if isinstance(node, ast.Name)}
    for parameter in defaults:
        if parameter not in used and not (source.summary and parameter == "scale"):  # it shows all scales
            raise ValueError(f"parameter {parameter!r} of notebook {name} is read by no cell")
    if any("raises-exception" in tags(cell) for cell in others):
        raise ValueError(f"notebook {name} has a cell tagged 'raises-exception'; a page must not show an error")


def parts(cells: Any, given: dict[str, object]) -> dict[str, str]:
    """The notebook's own parts of the key: what its code cells mean, and the parameters given."""
    meaning = [f"{'parameters' in tags(cell)} {fingerprint.code(cell.source)}" for cell in code_cells(cells)]
    return {"its code": fingerprint.digest(*meaning), "its parameters": fingerprint.digest(repr(sorted(given.items())))}


def injected(cell: Any) -> bool:
    """Whether papermill put the cell there to set parameters."""
    return "injected-parameters" in tags(cell)


def sealed(executed: Any) -> str:
    """The text of an executed notebook, with a digest of all that is in it, outputs and pictures too.

    >>> import nbformat
    >>> text = sealed(nbformat.v4.new_notebook(metadata={"relstab": {"seconds": 1.5}}))
    >>> intact(nbformat.reads(text, 4)), intact(nbformat.reads(text.replace("1.5", "1.7"), 4))
    (True, False)
    """
    import nbformat

    executed.metadata["relstab"]["digest"] = _digest(nbformat.reads(nbformat.writes(executed), as_version=4))
    return nbformat.writes(executed)


def intact(executed: Any) -> bool:
    """Whether a notebook that was read is the one that was written; an older one without a digest counts as such."""
    stated = executed.metadata["relstab"].get("digest")
    return stated is None or stated == _digest(executed)


def _digest(executed: Any) -> str:
    record = {name: value for name, value in executed.metadata["relstab"].items() if name != "digest"}
    whole = {**executed, "metadata": {**executed.metadata, "relstab": record}}
    return fingerprint.digest(json.dumps(whole, sort_keys=True))


def problems(executed: Any, cells: Any, given: dict[str, object]) -> list[str]:
    """Why the executed copy of `cells` must not be shown, one phrase each; empty when it is complete."""
    record = executed.metadata.get("papermill", {})
    found = []
    if record.get("exception") or not record.get("end_time"):
        found.append("papermill did not finish")
    if dict(record.get("parameters", {})) != given:
        found.append(f"it ran with parameters {dict(record.get('parameters', {}))}, not {given}")
    ran = [cell for cell in code_cells(executed) if not injected(cell)]
    if given and len(ran) == len(code_cells(executed)):
        found.append("no parameters were injected")
    if [fingerprint.code(cell.source) for cell in ran] != [fingerprint.code(c.source) for c in code_cells(cells)]:
        found.append("its code cells are not those of the source")
    for number, cell in enumerate(code_cells(executed), start=1):
        status = cell.metadata.get("papermill", {}).get("status")
        if status != "completed" or cell.get("execution_count") is None:
            found.append(f"code cell {number} is {status or 'not executed'}")
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                found.append(f"code cell {number} raised {output.ename}")
            elif output.output_type == "stream" and output.name == "stderr" and output.text.strip():
                found.append(f"code cell {number} wrote to stderr: {output.text.strip().splitlines()[-1]}")
            elif output.output_type == "stream" and output.text.count("\n") > STDOUT_LINES:
                found.append(f"code cell {number} printed more than {STDOUT_LINES} lines")
    return found
