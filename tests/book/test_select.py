"""Which rows are meant: every condition counts, a wrong column is an error, labels are those that studies write."""

import pandas as pd
import pytest

from relbook import registry
from relbook.studies.select import Kind, Stage, Statistic, select


@pytest.fixture
def rows():
    return pd.DataFrame({
        "kind": ["sensitivity", "sensitivity", "training"], "stage": ["init", "trained", None],
        "displacement": [0.1 + 0.2, 1.0, float("nan")], "cut": [3, 3, 0], "R": [1.0, 0.1, float("nan")],
    })  # fmt: skip


def test_every_condition_counts(rows):
    assert select(rows, kind=Kind.SENSITIVITY)["R"].tolist() == [1.0, 0.1]
    assert select(rows, kind=Kind.SENSITIVITY, stage=Stage.TRAINED)["R"].tolist() == [0.1]
    assert select(rows, displacement=0.3)["R"].tolist() == [1.0], "a float up to rounding"
    assert select(rows, stage=[Stage.START, "none"], cut=3)["R"].tolist() == [1.0]
    assert select(rows, stage=Stage.SHUFFLED).empty
    pd.testing.assert_frame_equal(select(rows), rows)


def test_a_column_that_is_not_there_is_an_error_but_for_no_rows(rows):
    with pytest.raises(KeyError, match="layer"):
        select(rows, layer="output")
    assert select(rows.iloc[:0], layer="output").empty


def test_the_words_are_those_of_the_published_rows():
    """A label that no study writes would select nothing, without a word."""
    found = [registry.rows(name, "laptop", compute=False) for name in ("zoo", "imagenet", "others", "trajectories")]
    kinds = set().union(*(set(rows["kind"]) for rows in found))
    assert set(Kind) <= kinds
    for column, labels in (("stage", {Stage.START, Stage.TRAINED}), ("statistic", set(Statistic))):
        assert labels <= set().union(*(set(rows[column].dropna()) for rows in found if column in rows)), column
