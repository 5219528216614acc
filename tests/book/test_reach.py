"""Which studies decide whether a page runs again: those it shows, however it reaches them, and no others."""

import pytest

from relbook.press import execute, fingerprint, notebook, reach

CLAIM = '[b-1-toy]\nfigure = "fig-b-1"\nstudies = ["zoo"]\n'


@pytest.fixture
def package(tmp_path):
    """Studies zoo, measures (which needs zoo) and stripe; omissions has a claim on zoo; a page function on stripe."""
    files = {
        "scales.py": "A = 1\n",
        "page.py": "def status_of_stripe():\n    from relbook.studies.stripe import study\n    return study\n",
        "studies/__init__.py": "",
        "studies/zoo/study.py": "X = 1\n",
        "studies/measures/study.py": "from relbook.studies.zoo import study\n",
        "studies/stripe/study.py": "X = 1\n",
        "studies/omissions/claims.toml": CLAIM,
    }
    for name, text in files.items():
        path = tmp_path / "relbook" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "relbook"


@pytest.mark.parametrize(
    ("code", "behind"),
    [
        ("x = 1", set()),
        ('rows = registry.shown("stripe", scale)', {"stripe"}),
        ("from relbook.studies.stripe import figures", {"stripe"}),
        ("from relbook.studies.measures import tables", {"measures", "zoo"}),
        ('page.verdicts("petrini2021", "fig-b-1")', {"omissions", "zoo"}),
        ('page.cards("b-1-toy")', {"omissions", "zoo"}),
        ("page.status_of_stripe()", {"stripe"}),
        ("papers.evaluate()", None),
        ("page.status()", None),
        ("for name in registry.names(): pass", None),
    ],
)
def test_what_a_page_shows(package, code, behind):
    assert reach.Studies([package]).behind(code) == behind


def test_a_page_runs_again_for_its_own_studies_only(package, tmp_path):
    def parts(code):
        studies = reach.Studies([package])
        names = studies.behind(code)
        return fingerprint.surroundings(tmp_path, sources=[package]) | fingerprint.studied(
            tmp_path, "tiny", studies, names, summary=False
        )

    def changed(path, text):
        before = [parts(f'registry.shown("{name}")') for name in ("zoo", "measures", "stripe")]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        after = [parts(f'registry.shown("{name}")') for name in ("zoo", "measures", "stripe")]
        return [fingerprint.changed(*pair) for pair in zip(before, after, strict=True)]

    assert changed(package / "studies/zoo/study.py", "X = 2\n") == ["its studies changed"] * 2 + [""]
    assert changed(package / "studies/stripe/study.py", "X = 1  # one\n") == [""] * 3
    assert changed(package / "studies/new/study.py", "X = 1\n") == [""] * 3
    assert changed(package / "scales.py", "A = 2\n") == ["the package changed"] * 3
    row = tmp_path / "results" / "laptop" / "stripe" / "a.json"
    assert changed(row, "{}") == ["", "", "published results changed"]


def test_every_page_reaches_the_studies_whose_rows_it_reads():
    studies = reach.Studies(execute.SOURCES)
    for source in notebook.discover(execute.ROOT):
        code = "\n".join(cell.source for cell in notebook.code_cells(notebook.read(source)))
        behind = studies.behind(code)
        assert behind is None or studies.mentioned(code) <= behind, source.name
