"""Rendering: today's prose with stored outputs, only what is complete, nothing twice, no network."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from relbook.press import execute, notebook, render
from relstab.store import atomic

ROOT = Path(execute.ROOT)
TOC = """format: jb-book
root: book/index
chapters:
  - file: notebooks/a/one
  - file: notebooks/a/two
"""
NOTEBOOK = """---
jupytext:
  text_representation: {{extension: .md, format_name: myst}}
kernelspec: {{display_name: Python 3, language: python, name: python3}}
---

# Notebook {name}

Old prose, $x \\in \\R$. {prose}

## Parameters

```{{code-cell}} ipython3
:tags: [parameters]
scale = "paper"
```

```{{code-cell}} ipython3
print("computed at", scale)
```
"""


def write(root, name, prose=""):
    path = root / "notebooks" / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NOTEBOOK.format(name=name, prose=prose))


def build(root, names=None, **options):
    lines = []
    page = render.build("tiny", names, root=root, sources=[root / "package"], say=lines.append, **options)
    return page, "\n".join(lines)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with this book's configuration and assets and two executed notebooks."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RELSTAB_DATA", raising=False)
        patch.delenv("RELSTAB_STORE", raising=False)
        (root / "package").mkdir()
        shutil.copy(ROOT / "_config.yml", root)
        for folder in ("assets", "_ext"):
            shutil.copytree(ROOT / "book" / folder, root / "book" / folder)
        (root / "book" / "references.bib").write_text("")
        (root / "book" / "index.md").write_text("# Front page\n\n{doc}`../notebooks/a/one`\n")
        (root / "_toc.yml").write_text(TOC)
        write(root, "a/one")
        write(root, "a/two")
        assert all(r.ok for r in execute.execute(root=root, sources=[root / "package"], say=lambda line: None))
        yield root


def html(page, name):
    return (page.parent / "notebooks" / f"{name}.html").read_text()


def test_the_life_of_a_book(project):
    """Rendered once; prose alone renders again; a defect leaves the last good site as it was."""
    page, said = build(project)
    assert page is not None, said
    assert page.read_text()
    text = html(page, "a/one")
    assert "computed at tiny" in text
    assert "Executed with " in text
    assert "injected" not in text
    assert '"tiny"' in text.replace("&quot;", '"')  # the parameter that ran is shown, not the default
    assert "paper" not in text
    download = nbformat.read(page.parent / "_sources" / "notebooks" / "a" / "one.ipynb", as_version=4)
    assert "computed at tiny" in notebook.code_cells(download)[-1].outputs[0].text

    stamp = page.stat().st_mtime_ns
    assert build(project) == (page, "the pages are as they were; nothing to render")
    assert page.stat().st_mtime_ns == stamp

    (page.parent / "notebooks" / "a" / "two.html").unlink()  # a site without a page is not the one that was rendered
    page, said = build(project)
    assert "rendered in" in said and "computed at tiny" in html(page, "a/two")

    write(project, "a/one", "New prose.")
    page, said = build(project)
    assert "New prose." in html(page, "a/one")
    assert "computed at tiny" in html(page, "a/one")

    unseen = '<a href="nowhere.html">raw</a> <iframe src="http://example.org/x"></iframe>'
    for defects, complaints in (
        ("{numref}`fig-nowhere` {eq}`eq-nowhere`", ["fig-nowhere", "eq-nowhere"]),
        (unseen, ["the link nowhere.html leads nowhere", "http://example.org/x is loaded from the network"]),
    ):
        write(project, "a/one", defects)
        broken, said = build(project)
        assert broken is None
        assert all(complaint in said for complaint in complaints)
        assert "New prose." in html(page, "a/one")
    write(project, "a/one")


def test_what_is_not_executed_is_not_shown(project):
    result = execute.status("tiny", root=project, sources=[project / "package"])[1]
    good = result.executed.read_bytes()
    try:
        damaged = nbformat.reads(good.decode(), as_version=4)
        damaged.cells[-1].metadata.papermill.status = "running"
        result.executed.write_text(nbformat.writes(damaged))
        with pytest.raises(ValueError, match=r"a/two cannot be shown at scale tiny \(its executed copy is damaged\)"):
            build(project)
        result.executed.unlink()
        with pytest.raises(ValueError, match=r"a/two cannot be shown at scale tiny \(never executed\)"):
            build(project)
        page, _ = build(project, ["a/one"])  # a draft may lack the others, and does not pose as the book
        assert page.parts[-4] == "tiny-draft"
        assert "Not executed in this draft: never executed." in html(page, "a/two")
        assert "computed at tiny" in html(page, "a/one")
    finally:
        result.executed.write_bytes(good)


def test_a_study_that_goes_on_does_not_keep_the_book_from_being_rendered(project):
    row = project / "build" / "store" / "laptop" / "zoo" / "unit.json"
    row.parent.mkdir(parents=True)
    row.write_text("{}")
    try:
        with pytest.raises(ValueError, match="stored results changed"):
            build(project)
        assert build(project, ran={"a/one", "a/two"})[0] is not None
    finally:
        row.unlink()


def test_every_notebook_is_in_the_table_of_contents(project):
    try:
        (project / "_toc.yml").write_text(TOC.replace("  - file: notebooks/a/two\n", ""))
        with pytest.raises(ValueError, match="notebook a/two is not listed in _toc"):
            build(project)
    finally:
        (project / "_toc.yml").write_text(TOC)


def test_merging_gives_the_same_bytes_twice(project):
    """jupytext draws random cell ids; a book that differs in each build could never be skipped."""
    source = notebook.discover(project)[0]
    result = execute.status("tiny", root=project, sources=[project / "package"])[0]
    once, again = (nbformat.writes(render.merge(*render.filled(source, result), result)) for _ in range(2))
    assert once == again
    nbformat.validate(nbformat.reads(once, as_version=4))


def test_widget_state_is_kept(project):
    source = notebook.discover(project)[0]
    result = execute.status("tiny", root=project, sources=[project / "package"])[0]
    good = result.executed.read_bytes()
    try:
        stored = nbformat.reads(good.decode(), as_version=4)
        stored.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
        result.executed.write_text(nbformat.writes(stored))
        assert render.merge(*render.filled(source, result), result).metadata["widgets"] == stored.metadata["widgets"]
    finally:
        result.executed.write_bytes(good)


def test_a_good_site_outlives_a_failed_replacement(tmp_path, monkeypatch):
    site, fresh, before = (tmp_path / name for name in ("tiny", ".tiny.tmp", ".tiny.before"))
    for folder in (site, fresh):
        folder.mkdir()
        (folder / "who").write_text(folder.name)
    real = Path.rename

    def rename(path, target):
        if path == fresh:
            raise OSError("the disk is gone")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="the disk is gone"):
        render._replace(site, fresh, before)
    assert (site / "who").read_text() == "tiny"
    monkeypatch.undo()
    render._replace(site, fresh, before)
    assert (site / "who").read_text() == ".tiny.tmp"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"]


def test_a_site_put_aside_by_a_killed_run_comes_back(project):
    build(project)
    site = project / "build" / "site" / "tiny"
    aside = site.with_name(".tiny.before")
    site.rename(aside)
    page, said = build(project)
    assert page.is_file() and "nothing to render" in said
    assert not aside.exists()


def test_two_runs_do_not_render_one_book(project):
    (project / "build" / "site").mkdir(parents=True, exist_ok=True)
    with (
        atomic.lock(project / "build" / "site" / ".tiny.lock"),
        pytest.raises(ValueError, match="another run renders the book at scale tiny"),
    ):
        build(project)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_jupyter_book_ends_with_who_started_it(tmp_path, number):
    """A Jupyter Book that writes the number of its process and goes on for ever."""
    (tmp_path / "jupyter_book" / "cli").mkdir(parents=True)
    for folder in ("", "cli"):
        (tmp_path / "jupyter_book" / folder / "__init__.py").touch()
    (tmp_path / "jupyter_book" / "cli" / "main.py").write_text(
        "import os, pathlib, time\ndef main():\n    pathlib.Path('pid.new').write_text(str(os.getpid()))\n"
        "    os.rename('pid.new', 'pid')\n    time.sleep(600)\n"
    )
    code = (
        "from pathlib import Path; from relbook.press import render; "
        "render._render(Path('stage'), Path('target'), Path('log'), draft=True, say=print)"
    )
    paths = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths})
    child = None
    try:
        end = time.monotonic() + 120
        while not (tmp_path / "pid").exists() and parent.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        child = psutil.Process(int((tmp_path / "pid").read_text()))
        parent.send_signal(number)
        parent.wait(20)
        child.wait(20)
    finally:
        parent.kill()
        if child is not None and child.is_running():
            child.kill()


def test_an_unknown_scale_is_refused(project):
    with pytest.raises(ValueError, match="scale is 'huge'"):
        render.build("huge", root=project)
