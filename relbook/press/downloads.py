"""What a reader can take from a page: the notebook as it ran, its source, figures as SVG and PDF, rows as CSV.

Serves every page of the book. While the runner executes a notebook, RELSTAB_DOWNLOADS names an empty folder, and
`relbook.page` keeps there what belongs to each picture, under a hash of what the page shows. `packed` puts these
files into the metadata of the executed notebook: it is one file, written atomically, so they are found in the
cache together or not at all. `offer` takes them out again when the book is rendered.

>>> from relbook.press import downloads
>>> from relbook import page
>>> import nbformat
>>> cell = nbformat.v4.new_code_cell("page.picture(fig)", metadata={"mystnb": {"figure": {"name": "fig-b-1"}}})
>>> cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": "AAAA"})]
>>> found = downloads.packed({page.hashed(bytes(3)) + ".svg": b"<svg>"}, nbformat.v4.new_notebook(cells=[cell]))
>>> list(found), list(found["fig-b-1"])
(['fig-b-1'], ['fig-b-1.svg'])
"""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from relbook import page
from relbook.drawing import vector
from relbook.press import notebook

_COLUMNS = (
    "The CSV of a figure holds its plotted numbers, one line a point: the panel (number and title), the "
    "kind of mark, its "
    "series in the legend, x and y in the units of the axes, low and high for bars and intervals. "
    "A *text* is a word beside a point."
)
_KINDS = {".svg": "SVG", ".pdf": "PDF", ".csv": "numbers (CSV)"}


def kept(folder: Path) -> dict[str, bytes]:
    """What a notebook left in its folder: file name -> content."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*"))}


def packed(files: dict[str, bytes], executed: Any) -> dict[str, dict[str, str]]:
    """The files of each figure of an executed notebook, compressed, base64: {label: {file name: content}}.

    Args:
        files: as `kept` gives; KEY.svg, KEY.pdf and KEY.csv are called after the figure's label, KEY.NAME.csv
            becomes NAME.csv, once where several figures show the same rows.
    """
    found, taken = {}, {}
    for number, (label, shown) in enumerate(_outputs(executed), start=1):
        label = label or f"output-{number}"
        for name, content in files.items():
            key, _, rest = name.partition(".")
            if key != page.hashed(shown):
                continue
            called = rest if "." in rest else f"{label}.{rest}"
            if taken.setdefault(called, content) != content:
                called = f"{label}-{rest}"
            text = base64.b64encode(zlib.compress(content, 9)).decode()
            found.setdefault(label, {})[called] = text
    return found


def _outputs(executed: Any) -> Iterator[tuple[str, bytes]]:
    """(label of the figure or "", bytes shown) of every output that files may belong to."""
    for cell in notebook.code_cells(executed):
        label = cell.metadata.get("mystnb", {}).get("figure", {}).get("name", "")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                yield label, base64.b64decode(data["image/png"])
            elif "text/html" in data:
                yield label, "".join(data["text/html"]).encode()


def drawn(cells: Any, stored: Mapping[str, Mapping[str, str]]) -> Any:
    """The notebook with its captioned pictures as SVG in the theme's colours, and captions that name the rows drawn.

    Args:
        stored: as `packed` gives. A drawing that would be too heavy for a page (`vector.LARGEST`) stays as it is.
            The text alternative of the cell becomes the drawing's.
    """
    import nbformat

    bare = []  # figures of which there are no rows yet: a sentence says so, in place of a caption
    for cell in notebook.code_cells(cells):
        shown = cell.metadata.get("mystnb", {})
        label = shown.get("figure", {}).get("name")
        kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
        if label and kinds and not kinds & {"image/png", "text/html"}:
            del shown["figure"]
            bare.append((cell, label))
        found = stored.get(label, {}).get(f"{label}.svg") if label else None
        for output in cell.get("outputs", []) if label else ():
            words = output.get("metadata", {}).get("relstab", {}).get("stated")
            if words:
                shown["figure"]["caption"] += f" {words}"
            if found and "image/png" in output.get("data", {}):
                text = vector.themed(
                    zlib.decompress(base64.b64decode(found)).decode(), shown.get("image", {}).get("alt", label)
                )
                if len(text) <= vector.LARGEST:
                    output["data"] = {"text/html": text}
    for cell, label in bare:
        cells.cells.insert(cells.cells.index(cell), nbformat.v4.new_markdown_cell(f"({label})=", id=f"{cell.id}-label"))
    return cells


def offer(source: notebook.Source, cells: Any, executed: Any) -> tuple[dict[str, bytes], str]:
    """The files of a page by name, and the box at its end that links them, in MyST Markdown.

    Args:
        cells: today's notebook with outputs.
        executed: the one as it ran, None where it did not (then there is the source only).
    """
    import nbformat

    stem = source.path.stem
    files = {f"{stem}.md": source.path.read_bytes()}
    links = [f"{{download}}`source (MyST Markdown) <{stem}/{stem}.md>`"]
    rows = []
    if executed is not None:
        stored = executed.metadata["relstab"].get("downloads", {})
        files[f"{stem}.ipynb"] = nbformat.writes(cells).encode()
        links.insert(0, f"{{download}}`notebook with its outputs (.ipynb) <{stem}/{stem}.ipynb>`")
        order = [label or f"output-{number}" for number, (label, _) in enumerate(_outputs(executed), start=1)]
        for label, content in sorted(stored.items(), key=lambda item: order.index(item[0])):  # nbformat sorts keys
            files |= {name: zlib.decompress(base64.b64decode(text)) for name, text in content.items()}
            what = f"{{numref}}`{label}`" if label.startswith("fig-") else "Table" if len(content) == 1 else "Picture"
            each = [
                f"{{download}}`{text} <{stem}/{name}>`"
                for suffix, text in _KINDS.items()
                for name in content
                if name.endswith(suffix)
            ]
            rows.append(f"- {what}: {', '.join(each)}")
    listed = "".join(f"\n{line}" for line in rows)
    about = f"\n\n{_about(executed)}" if executed is not None else ""
    columns = f"\n\n{_COLUMNS}" if any(".csv" in line for line in rows) else ""
    return (
        files,
        ":::{admonition} Downloads, and how this page was made\n:class: downloads dropdown\n\n"
        f"This page: {', '.join(links)}\n{listed}{columns}{about}\n:::",
    )


def _about(executed: Any) -> str:
    """When, how long, from which code and with which parameters the page was executed, in words."""
    record = executed.metadata["relstab"]
    given = ", ".join(
        f"`{name} = {json.dumps(value)}`" for name, value in executed.metadata["papermill"]["parameters"].items()
    )
    facts = [
        f"Executed with {given} in {record['seconds']:.0f} s on {record['finished']}",
        *([f"commit {record['commit']}"] if record["commit"] else []),
        *(f"{name} {record['versions'][name.lower()]}" for name in ("torch", "Python")),
        record["device"],
    ]
    return f"{', '.join(facts)}."
