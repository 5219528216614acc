"""`registry.shown`: an unfinished larger scale hides no finished figure."""

import pandas as pd
import pytest

from relbook import registry


@pytest.fixture
def shelves(monkeypatch):
    """tiny has two kinds of rows, laptop only the first, gpu and paper none."""
    contents = {"tiny": ["a", "b"], "laptop": ["a"]}

    def load(configs):
        frame = pd.DataFrame({"kind": contents.get(configs[0].scale, [])})
        frame.attrs |= {"units": 2, "missing": 2 - len(frame)}
        return frame

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
    assert registry.shown("zoo", needs=needs).attrs["scale"] == scale


@pytest.mark.usefixtures("shelves")
def test_nothing_below_the_scale_asked_for():
    assert registry.shown("zoo", "gpu").attrs["scale"] == "gpu"
