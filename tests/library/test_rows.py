"""Rows say what they are of; what is made of one table says the same, what is made of several says nothing."""

import pandas as pd
import pytest

from relstab.store import Rows


@pytest.fixture
def rows():
    return Rows({"scale": ["laptop", "gpu"], "R": [1.0, 2.0]}).of("zoo", "laptop", asked="tiny", units=3, missing=1)


@pytest.mark.parametrize(
    "made", [
        lambda rows: rows[rows["R"] > 1], lambda rows: rows.copy(), lambda rows: rows.query("R > 1"),
        lambda rows: rows.assign(D=1.0), lambda rows: rows[["R"]], lambda rows: rows.sort_values("R").reset_index(),
    ],
)  # fmt: skip
def test_a_selection_is_of_the_same_units(rows, made):
    found = made(rows)
    assert (found.study, found.scale, found.asked, found.units, found.missing) == ("zoo", "laptop", "tiny", 3, 1)


def test_several_tables_are_of_no_study(rows):
    other = Rows({"R": [1.0]}).of("stripe", "laptop")
    assert pd.concat([rows, other]).study == rows.merge(other, on="R").study == ""


def test_a_column_of_the_same_name_is_a_column(rows):
    assert rows.scale == "laptop" and rows["scale"].tolist() == ["laptop", "gpu"]
    assert Rows().study == "" and Rows().missing == 0
