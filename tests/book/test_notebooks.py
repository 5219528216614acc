"""The notebooks as written: headers that do not churn, the form of a chapter, thin and lint-clean code, captions."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from relbook import papers
from relbook.press import execute, notebook

SOURCES = notebook.discover(execute.ROOT)
HEADER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# """
MACHINERY = {"Claim", "Parameters", "Run or load", "Figure", "Verdict"}  # says nothing of what a page is about
PAPERS = ("petrini2021/", "tomasini2023/", "ruderman2018/", "slides2022/")
COLUMNS = 80
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


def prose(cells):
    """The Markdown of a notebook without code and formulas."""
    text = "\n\n".join(cell.source for cell in cells.cells if cell.cell_type == "markdown")
    return re.sub(r"```.*?```|`[^`\n]*`|\$[^$]*\$", " ", text, flags=re.DOTALL)


def test_headings_are_about_the_subject(cells):
    found = [line[3:].strip() for cell in cells.cells if cell.cell_type == "markdown"
             for line in cell.source.splitlines() if line.startswith("## ")]  # fmt: skip
    assert not set(found) & MACHINERY
    assert len(set(found)) == len(found)


def test_chapters_have_the_form_of_a_chapter(source, cells):
    """In short and a figure before the first heading, a cell from scratch, exercises, settings folded,
    verdicts last.
    """
    if not source.name.startswith(PAPERS):
        return
    before, _, _ = source.path.read_text().partition("\n## ")
    assert "page.in_short(" in before
    assert "page.picture(" in before or "page.beside(" in before
    text = source.path.read_text()
    assert (
        text.index("## From scratch")
        < text.index("## Try it")
        < text.index(":::{admonition} Settings\n:class: dropdown")
    )
    folded = [cell for cell in notebook.code_cells(cells) if "hide-cell" in notebook.tags(cell)]
    prompts = [cell.metadata["mystnb"]["code_prompt_show"] for cell in folded]
    assert prompts == ["Show the solution"] * len(folded) and len(folded) >= 2
    assert text.index(":class: dropdown") < text.index("## What holds")
    assert text.rstrip().endswith("```")
    assert all(
        "remove-input" not in notebook.tags(cell)
        for cell in notebook.code_cells(cells)
        if "figure" in cell.metadata.get("mystnb", {})
    )


def test_papers_have_names_and_prose_knows_no_scale(source, cells):
    captions = [
        cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for cell in notebook.code_cells(cells)
    ]
    for text in (prose(cells), *captions):
        assert not re.search(r"\b[Pp]apers? [ABCD]\b|\b[Ss]lides D\b|\bB Fig\.", text)
        if source.name.startswith(PAPERS):
            assert not re.search(r"\bscale (laptop|tiny|gpu|paper)\b|\b[Aa]t laptop scale|\bscales? [`*]", text)


def test_shown_code_has_eighty_columns(cells):
    hidden = {"hide-input", "remove-input", "remove-cell", "hide-cell"}
    for cell in notebook.code_cells(cells):
        if not hidden & set(notebook.tags(cell)):
            assert [line for line in cell.source.splitlines() if len(line) > COLUMNS] == []


def test_what_a_notebook_computes_is_drawn(source, cells):
    """Every figure of a study's rows takes the notebook's `show`;
    pages that compute no study draw what is published.
    """
    code = "\n".join(cell.source for cell in notebook.code_cells(cells))
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    if any(ast.unparse(call.func) == "registry.rows" for call in calls):
        assert notebook.parameters(cells, source.name)["show"] == "both"
        for call in calls:
            if ast.unparse(call.func) == "page.picture" and len(call.args) > 1:
                given = {word.arg: ast.unparse(word.value) for word in call.keywords}
                assert given.get("show") == "show"


def test_no_verdict_is_typed_into_what_is_found_in_short(cells):
    """What holds is said by the ledger (`{name.verdict}`, `{name.word}`),
    so that it cannot contradict the table below.
    """
    for cell in notebook.code_cells(cells):
        for call in [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]:
            if ast.unparse(call.func) == "page.in_short":
                words = "".join(
                    part.value
                    for text in call.args[1:]
                    for part in ast.walk(text)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                )
                assert not re.search(r"\b(holds?|fails|agrees|confirm\w*|survives)\b", words), words


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
    short = "--config=lint.isort.split-on-trailing-comma=true"  # pages are narrower than modules
    command = [sys.executable, "-m", "ruff", "check", "--quiet", *rules.split(), short]
    command += [f"--stdin-filename={source.name}.py", "-"]
    lint = subprocess.run(command, input=code, text=True, capture_output=True, check=False, cwd=execute.ROOT)
    assert lint.returncode == 0, lint.stdout


def test_every_notebook_and_page_is_in_the_table_of_contents():
    toc = Path(execute.ROOT, "_toc.yml").read_text()
    listed = re.findall(r"(?:file|root): *(\S+)", toc)
    assert len(set(listed)) == len(listed)
    assert {name for name in listed if name.startswith("notebooks/")} == {f"notebooks/{s.name}" for s in SOURCES}
    book = Path(execute.ROOT, "book")
    pages = {
        f"book/{path.relative_to(book).with_suffix('')}" for path in book.rglob("*.md") if "assets" not in path.parts
    }
    assert {name for name in listed if name.startswith("book/")} == pages


def test_sentences_speak_of_claims_that_stand(cells):
    """A claim that another one supersedes has no verdict, and a sentence about it ends the page."""
    for cell in notebook.code_cells(cells):
        for call in [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]:
            if ast.unparse(call.func) in ("page.told", "page.in_short"):
                ids = [word.value.value for word in call.keywords if word.arg != "who"]
                assert [claim.id for claim in papers.by_id(*ids) if claim.retired] == []
