"""Rows of units, as a table that knows what it is of."""

import pandas as pd


class Rows(pd.DataFrame):
    """Rows of a study's units: one line per row, the config's fields and then the row's columns.

    What pandas makes of a single such table, a selection or a copy, says the same of itself; what is made of
    several says nothing.

    Attributes:
        study: The study, "" for rows of several or of none.
        scale: The scale that they are of.
        asked: The scale that was asked for, where a larger one may be shown; else "".
        units: How many units there are at this scale.
        missing: How many of them have no rows.

    >>> rows = Rows({"seed": [0, 1]}).of("zoo", "laptop", units=3, missing=1)
    >>> one = rows[rows["seed"] == 0]
    >>> one.study, one.scale, one.units, one.missing, len(one)
    ('zoo', 'laptop', 3, 1, 1)
    """

    _metadata = ["study", "scale", "asked", "units", "missing"]  # noqa: RUF012 - as pandas wants it

    study: str = ""
    scale: str = ""
    asked: str = ""
    units: int = 0
    missing: int = 0

    @property
    def _constructor(self) -> type["Rows"]:
        return Rows

    def of(self, study: str, scale: str, *, asked: str = "", units: int = 0, missing: int = 0) -> "Rows":
        """The same table, which says so of itself."""
        self.study, self.scale, self.asked, self.units, self.missing = study, scale, asked, units, missing
        return self
