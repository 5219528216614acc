"""What readers can download: kept while a notebook runs, found again with it, linked on its page, valid."""

import base64
import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from matplotlib.figure import Figure

from relbook import page
from relbook.press import downloads, execute, notebook, render
from relstab.store import Rows

ROOT = Path(execute.ROOT)
NOTEBOOK = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A page

```{code-cell} ipython3
:tags: [parameters]
scale = "paper"
```

```{code-cell} ipython3
from matplotlib.figure import Figure
from relbook import page
from relstab.store import Rows

fig, rows = Figure(), Rows({"x": [1, 2], "y": [0.5, 0.25]}).of("demo", scale)
fig.subplots().plot(rows["x"], rows["y"])
```

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig-demo
    caption: "A line."
---
page.picture(fig, rows)
```
"""


def rows(value=1.0, scale="tiny", **units):
    return Rows({"x": [value, 2.0], "name": ["a", "b"]}).of("demo", scale, **units)


def picture(number, *frames):
    """A picture, the line's slope telling it from others: the PNG that the page shows."""
    fig = Figure()
    fig.subplots().plot([0, number])
    return page.picture(fig, *frames).bundle["image/png"]


def executed(*shown):
    """An executed notebook with a figure fig-1, fig-2, ... for every PNG."""
    cells = []
    for number, png in enumerate(shown, start=1):
        cell = nbformat.v4.new_code_cell("show", metadata={"mystnb": {"figure": {"name": f"fig-{number}"}}})
        cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(png).decode()})]
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells)


def test_a_figure_without_rows_is_a_sentence_without_a_caption():
    """It keeps its place for links; a figure that was drawn keeps its caption."""
    found = executed(b"png", b"png")
    for cell in found.cells:
        cell.metadata["mystnb"]["figure"]["caption"] = "What is drawn."
    found.cells[0].outputs = [nbformat.v4.new_output("display_data", {"text/markdown": "None yet."})]
    again = downloads.drawn(copy.deepcopy(found), {})
    cells = downloads.drawn(found, {}).cells
    assert again.cells == cells, "the page would be rendered again each time"
    assert [cell.cell_type for cell in cells] == ["markdown", "code", "code"]
    assert cells[0].source == "(fig-1)="
    assert "figure" not in cells[1].metadata["mystnb"] and "figure" in cells[2].metadata["mystnb"]


def test_by_hand_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv("RELSTAB_DOWNLOADS", raising=False)
    monkeypatch.chdir(tmp_path)
    picture(1, rows())
    assert list(tmp_path.iterdir()) == []


def test_a_caption_names_the_rows_that_were_drawn():
    _, beside = page.picture(Figure(), rows())._repr_mimebundle_()
    assert beside == {"relstab": {"stated": "Rows of the study demo: scale tiny."}}
    cell = nbformat.v4.new_code_cell("show", metadata={"mystnb": {"figure": {"name": "fig-1", "caption": "A line."}}})
    cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": "AAAA"}, metadata=beside)]
    downloads.drawn(nbformat.v4.new_notebook(cells=[cell]), {})
    assert cell.metadata["mystnb"]["figure"]["caption"] == "A line. Rows of the study demo: scale tiny."
    assert "image/png" in cell.outputs[0].data  # nothing to draw it with


def test_a_page_draws_in_the_colours_of_its_theme(tmp_path, monkeypatch):
    monkeypatch.setenv("RELSTAB_DOWNLOADS", str(tmp_path))
    notes = executed(picture(1, rows()))
    notes.cells[0].metadata["mystnb"]["image"] = {"alt": 'a line, "rising"'}
    downloads.drawn(notes, downloads.packed(downloads.kept(tmp_path), notes))
    text = notes.cells[0].outputs[0].data["text/html"]
    assert text.startswith('<svg class="figure" role="img" aria-label="a line, &quot;rising&quot;"')
    assert "var(--ink-000000, #000000)" in text
    assert "fill: #" not in text
    assert "<text" in text  # words are words


def test_files_are_valid_and_the_same_each_time(tmp_path, monkeypatch):
    contents = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        monkeypatch.setenv("RELSTAB_DOWNLOADS", str(folder))
        key = page.hashed(picture(1, rows()))
        contents.append(downloads.kept(folder))
    assert contents[0] == contents[1]
    assert set(contents[0]) == {f"{key}.svg", f"{key}.pdf", f"{key}.csv"}
    assert b"<svg" in contents[0][f"{key}.svg"]
    assert contents[0][f"{key}.pdf"].startswith(b"%PDF-")
    assert contents[0][f"{key}.csv"].decode().splitlines()[1:] == ["1,line,,0.0,0,,", "1,line,,1.0,1,,"]


def test_each_figure_has_its_own_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("RELSTAB_DOWNLOADS", str(tmp_path))
    shown = executed(picture(1, rows()), picture(2))
    found = downloads.packed(downloads.kept(tmp_path), shown)
    assert {label: sorted(files) for label, files in found.items()} == {
        "fig-1": ["fig-1.csv", "fig-1.pdf", "fig-1.svg"],
        "fig-2": ["fig-2.csv", "fig-2.pdf", "fig-2.svg"],
    }


def test_tables_of_claims_are_kept(tmp_path, monkeypatch):
    from relbook import papers

    monkeypatch.setenv("RELSTAB_DOWNLOADS", str(tmp_path))
    html = page.ledger(papers.evaluate(papers.by_id("a-prop1-drift")))._repr_mimebundle_()["text/html"]
    cell = nbformat.v4.new_code_cell("show")
    cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": html})]
    found = downloads.packed(downloads.kept(tmp_path), nbformat.v4.new_notebook(cells=[cell]))
    assert found == {"output-1": {"claims.csv": found["output-1"]["claims.csv"]}}


def test_a_page_that_did_not_run_offers_its_source(tmp_path):
    (tmp_path / "one.md").write_text("# One\n")
    files, box = downloads.offer(notebook.Source("a/one", tmp_path / "one.md"), None, None)
    assert files == {"one.md": b"# One\n"}
    assert "<one/one.md>" in box
    assert "ipynb" not in box


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with this book's configuration and one page, executed and rendered."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RELSTAB_DATA", raising=False)
        patch.delenv("RELSTAB_STORE", raising=False)
        patch.setenv("PYTHONPATH", str(ROOT))
        (root / "package").mkdir()
        config = (ROOT / "_config.yml").read_text()
        assert "\n    public: false" in config  # as long as the address leads nowhere
        (root / "_config.yml").write_text(config.replace("public: false", "public: true"))
        for folder in ("assets", "_ext"):
            shutil.copytree(ROOT / "book" / folder, root / "book" / folder)
        (root / "book" / "references.bib").write_text("")
        (root / "book" / "index.md").write_text("# Front page\n")
        (root / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n  - file: notebooks/a/one\n")
        (root / "notebooks" / "a").mkdir(parents=True)
        (root / "notebooks" / "a" / "one.md").write_text(NOTEBOOK)
        lines = []
        results = execute.execute(root=root, sources=[root / "package"], say=lines.append)
        assert [result.ok for result in results] == [True], lines
        html = render.build("tiny", root=root, sources=[root / "package"], say=lines.append)
        assert html, lines
        yield root, html.parent


def test_the_cache_holds_them_and_nothing_is_left_over(project, monkeypatch):
    root, _ = project
    monkeypatch.delenv("RELSTAB_DATA", raising=False)
    monkeypatch.delenv("RELSTAB_STORE", raising=False)
    result = execute.status("tiny", root=root, sources=[root / "package"])[0]
    assert result.status == "current"
    stored = nbformat.read(result.executed, as_version=4).metadata["relstab"]["downloads"]
    assert sorted(stored["fig-demo"]) == ["fig-demo.csv", "fig-demo.pdf", "fig-demo.svg"]
    assert [p.name for p in result.executed.parent.iterdir() if p.name.startswith(".")] == []


def test_the_page_links_them(project):
    _, html = project
    files = {path.name: path.read_bytes() for path in (html / "_downloads").rglob("*") if path.is_file()}
    assert set(files) == {"one.md", "one.ipynb", "fig-demo.svg", "fig-demo.pdf", "fig-demo.csv"}
    text = (html / "notebooks" / "a" / "one.html").read_text()
    assert all(f'/{name}"' in text for name in files)
    assert files["fig-demo.csv"].decode().splitlines()[1:] == ["1,line,,1,0.5,,", "1,line,,2,0.25,,"]
    cells = nbformat.reads(files["one.ipynb"].decode(), as_version=4)
    assert cells.cells[1].source == 'scale = "tiny"'  # what ran, so that running it again gives the same
    assert "image/png" in cells.cells[-1].outputs[0].data
    assert "downloads" not in json.dumps(cells.metadata)


def test_binder_starts_from_the_published_repository(project):
    """The address is in one place beside CITATION.cff, and Binder makes the notebook that the button names."""
    root, html = project
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert config["repository"]["url"] == yaml.safe_load((ROOT / "CITATION.cff").read_text())["repository-code"]
    owner = config["repository"]["url"].removeprefix("https://github.com/")
    link = f"https://mybinder.org/v2/gh/{owner}/main?urlpath=lab/tree/notebooks/a/one.ipynb"
    assert link in (html / "notebooks" / "a" / "one.html").read_text()
    assert "mybinder" not in (html / "book" / "index.html").read_text()
    shutil.copy(root / "notebooks" / "a" / "one.md", root / "notebooks" / "summary.md")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # as Binder's environment
    command, environment = ["bash", str(ROOT / "postBuild")], os.environ | {"PATH": path}
    subprocess.run(command, cwd=root, check=True, capture_output=True, env=environment)
    for name in ("a/one", "summary"):
        made = nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4)
        assert 'scale = "paper"' in made.cells[1].source  # here; the book's own say tiny


def test_notebooks_start_at_scale_tiny():
    for source in notebook.discover(ROOT):
        assert notebook.parameters(notebook.read(source), source.name)["scale"] == "tiny", source.name
