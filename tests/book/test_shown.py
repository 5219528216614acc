"""`registry.shown`: an unfinished larger scale hides no finished figure."""

import pandas as pd
import pytest

from relbook import page, registry, shown
from relbook.ledger import Verdict
from relstab import store
from relstab.store import Rows, origin, records


@pytest.fixture
def shelves(monkeypatch):
    """tiny has two kinds of rows, laptop only the first, gpu and paper none."""
    contents = {"tiny": ["a", "b"], "laptop": ["a"]}

    def load(configs):
        kinds = contents.get(configs[0].scale, [])
        return Rows({"kind": kinds}).of("zoo", "", units=2, missing=2 - len(kinds))

    monkeypatch.setattr(registry, "_load", lambda units, state: load(units))


@pytest.mark.parametrize(
    ("needs", "scale"),
    [
        (None, "laptop"),
        (lambda rows: rows[rows["kind"] == "a"], "laptop"),
        (lambda rows: rows[rows["kind"] == "b"], "tiny"),
        (lambda rows: int((rows["kind"] == "b").sum()), "tiny"),
    ],
)
@pytest.mark.usefixtures("shelves")
def test_the_largest_scale_with_what_is_needed(needs, scale):
    assert registry.shown("zoo", needs=needs).scale == scale


@pytest.mark.usefixtures("shelves")
def test_nothing_below_the_scale_asked_for():
    assert registry.shown("zoo", "gpu").scale == "gpu"


def test_rows_are_read_again_when_their_files_change(tmp_path, monkeypatch):
    """A file that comes, changes in place or goes is seen; what did not change is read once, and nobody spoils it."""
    for name in ("RELSTAB_STORE", "RELSTAB_RESULTS"):
        monkeypatch.setenv(name, str(tmp_path / name))
    unit = next(unit for unit in registry.configs("diffeomorphisms", "laptop"))
    path = tmp_path / "RELSTAB_STORE" / records.file_name(unit, records.key(unit))
    path.parent.mkdir(parents=True)
    reads = []
    monkeypatch.setattr(store, "load", lambda units, load=store.load: reads.append(1) or load(units))

    def rows():
        return registry.rows("diffeomorphisms", "laptop", compute=False)

    def write(value):
        record = records.build(unit, records.key(unit), [{"value": value}], origin.start()())
        path.write_bytes(records.dumps(record))

    assert rows().empty and rows().missing == rows().units and len(reads) == 1
    write(1.0)
    first = rows()
    assert (first["value"].tolist(), first.missing, len(reads)) == ([1.0], first.units - 1, 2)
    first["value"] = 9.0
    assert rows()["value"].tolist() == [1.0] and len(reads) == 2
    write(22.0)
    assert rows()["value"].tolist() == [22.0]
    path.unlink()
    assert rows().empty


def test_a_long_table_says_how_long_it_is():
    """A short one shows itself; signs are set in strings and in numbers."""
    short, long = (page.table(pd.DataFrame({"x": ["-0.5 to 92%"] * n, "y": -1.0})).bundle for n in (2, page.LONG + 1))
    assert "long" not in short["text/html"] and "31 lines" in long["text/html"]
    assert "−0.5 to 92\N{NO-BREAK SPACE}%" in short["text/html"] and "−1.00" in short["text/html"]


def test_every_verdict_says_what_it_means():
    assert set(shown.MEANS) == set(shown.MARKS) == set(Verdict)


def test_the_front_page_counts_what_was_known_when_intervals_were_set():
    """Rows that another has superseded have no verdict and do not count."""
    table = pd.DataFrame(
        {"verdict": ["holds", "fails", "holds", None], "basis": ["paper", "after rows", "after rows", "prototype"]}
    )
    said = page.basis(table).bundle["text/plain"]
    assert (
        said.startswith("Of the 3 rows of the ledger 0 have")
        and "2 one that was set when" in said
        and "and 1 one" in said
    )
