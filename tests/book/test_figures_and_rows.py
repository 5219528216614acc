"""What a figure says of its rows is true of it: every table that it is drawn from is handed to `page.picture` with it.

The numbers offered for download are the plotted ones (`relbook.drawing.vector`); here it is the line under the figure,
which names studies, units and scales.
"""

import ast
from pathlib import Path

import jupytext
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
READERS = {"rows", "shown"}  # of relbook.registry: they make a table of a study


def names(node):
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def studies(node, known):
    """The studies behind an expression: those it reads, and those behind the names in it."""
    found = set().union(*(known.get(name, set()) for name in names(node)))
    for call in ast.walk(node):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and getattr(call.func.value, "id", "") == "registry"
            and call.func.attr in READERS
        ):
            found |= {call.args[0].value if isinstance(call.args[0], ast.Constant) else ast.unparse(call.args[0])}
    return found


def bound(target):
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def pictures(code):
    """(line, studies drawn, studies handed over) of every call of `page.picture` in a notebook's code."""
    known, found = {}, []

    def visit(statement):
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            behind = studies(statement.value, known)
            for target in targets:
                for name in bound(target):
                    known[name] = behind | (known.get(name, set()) if not isinstance(target, ast.Name) else set())
        elif isinstance(statement, ast.For):
            for name in bound(statement.target):
                known[name] = studies(statement.iter, known)
        for inner in ast.iter_child_nodes(statement):
            if isinstance(inner, ast.stmt):
                visit(inner)
        for call in ast.walk(statement):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "page.picture":
                handed = set().union(*(studies(table, known) for table in call.args[1:]))
                drawn = studies(call.args[0], known)
                if isinstance(call.args[0], ast.Name | ast.Attribute) and not drawn:
                    drawn = handed  # a function of the tables that are handed over
                found.append((ast.unparse(call), drawn, handed))

    for statement in ast.parse(code).body:
        visit(statement)
    return found


def code(path):
    cells = jupytext.read(path).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.rglob("*.md")), ids=lambda path: path.stem)
def test_every_figure_states_the_rows_it_was_drawn_from(path):
    for call, drawn, handed in pictures(code(path)):
        assert drawn == handed, call


def test_the_test_sees_a_table_that_is_missing():
    text = """
zoo = registry.shown("zoo")
conv8 = registry.shown("ruderman")
table = tables.networks(zoo, conv8)
page.picture(figures.against_error(table), conv8)
page.picture(figures.against_error(table), zoo, conv8)
"""
    first, second = pictures(text)
    assert first[1] == {"zoo", "ruderman"} and first[2] == {"ruderman"}
    assert second[1] == second[2]
