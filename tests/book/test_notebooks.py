"""The notebooks as written: headers that do not churn, five headings, thin and lint-clean code, captions."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from relbook.press import execute, notebook

SOURCES = notebook.discover(execute.ROOT)
HEADER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# """
HEADINGS = ["Claim", "Parameters", "Run or load", "Figure", "Verdict"]
LONGEST = 5  # lines of a function


@pytest.fixture(params=SOURCES, ids=[source.name for source in SOURCES])
def source(request):
    return request.param


@pytest.fixture
def cells(source):
    return notebook.read(source)


def test_header_is_the_one_that_tools_leave_alone(source):
    text = source.path.read_text()
    assert text.startswith(HEADER)
    assert not re.search(r"caption: *[|>]", text)  # jupytext rewrites block style; one line stays as it is


def test_five_headings_in_order(source, cells):
    if source.name == "index":  # the front page
        return
    found = [line[3:].strip() for cell in cells.cells if cell.cell_type == "markdown"
             for line in cell.source.splitlines() if line.startswith("## ")]  # fmt: skip
    assert found == HEADINGS


def test_parameters_are_accepted(source, cells):
    notebook.check(cells, source, {"scale": "tiny"})


def test_code_is_thin(cells):
    for cell in notebook.code_cells(cells):
        assert "tqdm" not in cell.source  # leaves a dead progress bar in the page
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.While | ast.ClassDef)
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < LONGEST


def test_figures_have_a_label_a_caption_and_alt_text(cells):
    labels = []
    for cell in notebook.code_cells(cells):
        shown = cell.metadata.get("mystnb", {})
        if "figure" in shown:
            labels.append(shown["figure"]["name"])
            assert re.fullmatch(r"fig(-[a-z0-9]+)+", labels[-1])
            assert len(shown["figure"]["caption"]) > 40
            assert len(shown["image"]["alt"]) > 40
    assert len(set(labels)) == len(labels)


def test_code_is_lint_clean(cells, source):
    code = "\n\n".join(cell.source for cell in notebook.code_cells(cells))
    rules = "--select=E4,E7,E9,F,B,I,UP,W --ignore=E402,B018,W292"  # imports anywhere; a last line that shows
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--quiet",
        *rules.split(),
        f"--stdin-filename={source.name}.py",
        "-",
    ]
    lint = subprocess.run(command, input=code, text=True, capture_output=True, check=False, cwd=execute.ROOT)
    assert lint.returncode == 0, lint.stdout


def test_every_notebook_and_page_is_in_the_table_of_contents():
    toc = Path(execute.ROOT, "_toc.yml").read_text()
    listed = re.findall(r"(?:file|root): *(\S+)", toc)
    assert len(set(listed)) == len(listed)
    assert {name for name in listed if name.startswith("notebooks/")} == {
        f"notebooks/{s.name}" for s in SOURCES
    }
    book = Path(execute.ROOT, "book")
    pages = {f"book/{path.relative_to(book).with_suffix('')}" for path in book.rglob("*.md")
             if "assets" not in path.parts}  # fmt: skip
    assert {name for name in listed if name.startswith("book/")} == pages
