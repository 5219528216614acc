"""Pages directly in notebooks/ run last and depend on everything stored: they must store nothing themselves."""

import ast

import pytest

from relbook.press import execute, notebook

SUMMARIES = [source for source in notebook.discover(execute.ROOT) if source.summary]


@pytest.mark.parametrize("source", SUMMARIES, ids=[source.name for source in SUMMARIES])
def test_a_summary_page_computes_no_study(source):
    """`registry.rows` computes what is missing, which would put this page and its neighbours out of date."""
    for cell in notebook.code_cells(notebook.read(source)):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("registry.rows", "store.get_or_run")
