"""What is measured for the claims on networks along their training; a unit is a network."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from relbook.measurement import Measurement, bootstrap, correlation, geometric, mean, nothing, share
from relbook.studies.trajectories import tables


def _half_times(rows: pd.DataFrame, *columns: str) -> Iterator[tuple]:
    """(name, points, epochs at which the columns have half of their change) of each network."""
    for name, one in tables.networks(rows):
        yield (name, one, [tables.half_way(one["epoch"].to_numpy(), one[column].to_numpy()) for column in columns])


def half_way(rows: pd.DataFrame, *, first: str, second: str, seed: int) -> Measurement:
    """The time at which log `first` has half of its change over that of log `second`, geometric mean over networks."""
    found = [(name, a / b) for name, _, (a, b) in _half_times(rows, first, second) if a > 0 and b > 0]
    if not found:
        return nothing()
    names, values = zip(*found, strict=True)
    return bootstrap(geometric, values, units=names, seed=seed)


def falls_first(rows: pd.DataFrame, *, first: str, second: str, seed: int) -> Measurement:
    """Share of networks in which `first` falls from the first point to the last,
    and has half of its fall before `second`.
    """
    found = {
        name: one[first].iloc[-1] < one[first].iloc[0] and a < b
        for name, one, (a, b) in _half_times(rows, first, second)
    }
    return share(found.values(), units=found, seed=seed)


def end_over(rows: pd.DataFrame, *, quantity: str, start: str, seed: int) -> Measurement:
    """A quantity at the end over its value when the training set was "fitted", or before "annealing";
    geometric mean.
    """
    at = {"fitted": tables.when_fitted, "annealing": tables.before_annealing}[start]
    found = [
        (name, one[quantity].iloc[-1] / one[quantity][index])
        for name, one in tables.networks(rows)
        if (index := at(one)) is not None
    ]
    if not found:
        return nothing()
    names, values = zip(*found, strict=True)
    return bootstrap(geometric, values, units=names, seed=seed)


def along(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """The correlation of log error with log R over the points of a network from the first epoch on,
    mean over networks.
    """
    found = [(name, one[one["epoch"] >= 1]) for name, one in tables.networks(rows)]
    found = [
        (name, float(correlation(np.log(one["R_median"].to_numpy()), np.log(one["test_error"].to_numpy()))))
        for name, one in found
        if len(one) > 2
    ]
    found = [(name, value) for name, value in found if not np.isnan(value)]
    if not found:
        return nothing()
    names, values = zip(*found, strict=True)
    return bootstrap(mean, values, units=names, seed=seed)
