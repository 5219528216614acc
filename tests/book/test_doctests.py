"""Every example runs: those of docstrings and of the pages in book/api; and every function shown there has one."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import relbook
import relstab

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    found.name
    for package in (relstab, relbook)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not found.name.endswith("__main__")
]
PAGES = sorted((ROOT / "book" / "api").glob("*.md"))
SHOWN = {
    module: page for page in PAGES for module in re.findall(r"automodule:: (\S+)", page.read_text())
}  # module -> the page that shows it


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """Examples may store what they compute, but not where the book would find it."""
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("RELSTAB_NO_RUN", raising=False)


def check(examples, name):
    """Run doctest.DocTest objects; fail with what doctest says."""
    said = []
    runner = doctest.DocTestRunner(verbose=False)
    for example in examples:
        runner.run(example, out=said.append)
    assert not runner.summarize(verbose=False).failed, f"{name}\n{''.join(said)}"


NUMBER = re.compile(r"(?<![\w.-])-?(\d[\d_]*\.\d*|\.\d+|\d[\d_]*(?=e))(?:e[+-]?\d+)?(?![\w.])")
DIGITS = 6


def lengthy(examples):
    """The expected numbers with more significant digits than every processor agrees on; whole numbers are exact."""
    printed = [match for example in examples for match in NUMBER.finditer(example.want)]
    return [match[0] for match in printed if len(re.sub(r"^[0.]+|[._]", "", match[1].rstrip("0"))) > DIGITS]


@pytest.mark.parametrize("name", ["relstab", "relbook", *MODULES])
def test_printed_numbers_are_rounded(name):
    for found in doctest.DocTestFinder().find(importlib.import_module(name)):
        assert lengthy(found.examples) == [], f"{found.name} prints too many digits: round in the example"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_printed_numbers_of_pages_are_rounded(page):
    assert lengthy(doctest.DocTestParser().get_examples(page.read_text())) == []


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        ("[0.816496580927726, 1.1547]", ["0.816496580927726"]),
        ("tensor(-0.0012345678)", ["-0.0012345678"]),
        ("1.2345678e-05 1.23456e-05", ["1.2345678e-05"]),
        ("123456.5 12.30000000", ["123456.5"]),
        ("0.9999999999999999", ["0.9999999999999999"]),
        ("1048576 2_000_000 'cifar10' 1.0.4.post1 0.123456", []),
    ],
)
def test_too_many_digits_are_seen(printed, found):
    assert lengthy([doctest.Example("1", printed)]) == found


@pytest.mark.parametrize("name", ["relstab", "relbook", *MODULES])
def test_examples_of_docstrings(name):
    check(doctest.DocTestFinder().find(importlib.import_module(name)), name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_pages(page):
    check([doctest.DocTestParser().get_doctest(page.read_text(), {}, page.stem, str(page), 0)], page)


def documented(module):
    """The public functions that the reference shows for a module: {name: function}."""
    names = getattr(module, "__all__", None) or [
        name for name, item in vars(module).items() if getattr(item, "__module__", "") == module.__name__
    ]
    return {
        name: getattr(module, name)
        for name in names
        if not name.startswith("_") and inspect.isroutine(getattr(module, name))
    }


def called(text):
    """The names that the examples in a text use."""
    code = "".join(example.source for example in doctest.DocTestParser().get_examples(text or ""))
    nodes = ast.walk(ast.parse(code))
    return {getattr(node, "id", getattr(node, "attr", None)) for node in nodes}


@pytest.mark.parametrize("name", [name for name in SHOWN if name.startswith("relstab")])
def test_every_public_function_of_the_library_has_an_example(name):
    """In its docstring, in that of its module, or on its page. The book's functions are exampled by its pages."""
    module = importlib.import_module(name)
    functions = documented(module)
    elsewhere = called(module.__doc__) | called(SHOWN[name].read_text())
    lacking = [n for n, item in functions.items() if n not in elsewhere | called(item.__doc__)]
    assert lacking == []


def test_every_public_function_has_a_docstring():
    assert sum(len(documented(importlib.import_module(name))) for name in SHOWN) > 80
    for name in SHOWN:
        for function, item in documented(importlib.import_module(name)).items():
            assert (item.__doc__ or "").strip(), f"{name}.{function}"


sys.path.insert(0, str(ROOT / "book" / "_ext"))
from reader import formulas  # noqa: E402


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Of $x^2$ and ``$y$``.", "Of :math:`x^2` and ``$y$``."),
        ("Rows [n, *axes] of |x| and `|x|`.", r"Rows [n, \*axes] of \|x\| and `|x|`."),
        ("So::\n\n    a $b$ |c|", "So::\n\n    a $b$ |c|"),
        (".. math:: |a|", ".. math:: |a|"),
        ("$n$th", r":math:`n`\ th"),
        (":math:`a` and :func:`f`", ":math:`a` and :func:`f`"),
        ("So $$a\n  + b$$, with c", "So \n\n.. math:: a + b,\n\nwith c"),
        (">>> '$a$ `b`'\n'$a$'", ">>> '$a$ `b`'\n'$a$'"),
        ("Args:\n    size: $n$", "Args:\n    size: :math:`n`"),
    ],
)
def test_formulas_of_docstrings(text, expected):
    assert formulas(text) == expected


def test_an_example_that_fails_is_seen():
    with pytest.raises(AssertionError, match="Expected:"):
        check([doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", "wrong", 0)], "wrong")
