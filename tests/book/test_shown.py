"""`registry.shown`: an unfinished larger scale hides no finished figure."""

import pytest

from relbook import registry
from relstab.store import Rows


@pytest.fixture
def shelves(monkeypatch):
    """tiny has two kinds of rows, laptop only the first, gpu and paper none."""
    contents = {"tiny": ["a", "b"], "laptop": ["a"]}

    def load(configs):
        kinds = contents.get(configs[0].scale, [])
        return Rows({"kind": kinds}).of("zoo", "", units=2, missing=2 - len(kinds))

    monkeypatch.setattr("relstab.store.load", load)


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
