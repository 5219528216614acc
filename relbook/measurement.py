"""A measured number with its uncertainty, and the units (networks, seeds, pictures) that stand behind it.

`bootstrap` resamples the units; its statistic reduces the last axis of the columns it gets, so that all resamples are
one call. Sums and theorems have no uncertainty: `exact`.

>>> R, error = [0.1, 0.2, 0.5, 1.0, 2.0, 4.0], [0.07, 0.09, 0.13, 0.21, 0.3, 0.4]
>>> found = bootstrap(correlation, np.log(R), np.log(error), units=list("abcdef"), seed=0, distinct=3)
>>> found.n, found.low <= found.estimate <= found.high
(6, True)
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, SupportsFloat

import numpy as np
import pandas as pd

DRAWS = 10_000  # resamples
NETWORKS = 6  # fewer networks decide nothing
SEEDS = 3  # nor do fewer seeds


_memory: dict | None = None  # what `remembered` functions gave, while `remembering`


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """For its duration `remembered` functions work out a table once for the same rows,
    which must not change meanwhile.
    """
    global _memory
    outer, _memory = _memory, {} if _memory is None else _memory
    try:
        yield
    finally:
        _memory = outer


def remembered(function: Callable) -> Callable:
    """A function of a study's rows that many claims need: inside `remembering` it runs once for its arguments.

    >>> import pandas as pd
    >>> calls = []
    >>> count = remembered(lambda rows, **options: calls.append(len(rows)) or rows)
    >>> rows = pd.DataFrame({"R": [0.5, 0.25]})
    >>> with remembering():
    ...     len(count(rows)), len(count(rows))
    (2, 2)
    >>> len(count(rows)), calls
    (2, [2, 2])
    """

    @functools.wraps(function)
    def once(rows: pd.DataFrame, *arguments, **options) -> pd.DataFrame:
        if _memory is None:
            return function(rows, *arguments, **options)
        key = (function, id(rows), repr((arguments, sorted(options.items()))))
        if key not in _memory:
            _memory[key] = (rows, function(rows, *arguments, **options))  # the rows too, so that no other gets their id
        return _memory[key][1].copy()

    return once


@dataclass(frozen=True)
class Measurement:
    """An estimate, its 95 % interval, and the units that entered.

    Args:
        needs: how many units it takes to decide anything (groups, where units come in groups that were resampled
            as one).
        what: what a unit is, in the plural.

    A NaN says that the rows do not contain what the claim is about.
    """

    estimate: float | int
    low: float | int
    high: float | int
    units: tuple[str, ...] = ()
    needs: int = 0
    what: str = "networks"
    groups: int | None = None

    def __post_init__(self) -> None:
        numbers = (self.estimate, self.low, self.high)
        if not any(map(math.isnan, numbers)) and not self.low <= self.estimate <= self.high:
            raise ValueError(f"interval [{self.low}, {self.high}] does not hold the estimate {self.estimate}")

    @property
    def n(self) -> int | None:
        """The number of units; None for an exact number that has none."""
        return len(self.units) or (0 if self.needs else None)

    @property
    def enough(self) -> bool:
        """Whether there are as many units as it takes."""
        return (len(self.units) if self.groups is None else self.groups) >= self.needs


def exact(value: SupportsFloat, units: Iterable = ()) -> Measurement:
    """A number without uncertainty: a finite sum, a theorem. units: what it was taken over, if anything.

    >>> exact(0.5).low, exact(0.5).n is None
    (0.5, True)
    """
    return Measurement(float(value), float(value), float(value), tuple(map(str, units)), what="cases")


def nothing(*, needs: int = NETWORKS, what: str = "networks") -> Measurement:
    """What is measured where the rows do not contain what the claim is about.

    >>> nothing().n
    0
    """
    return Measurement(math.nan, math.nan, math.nan, (), needs, what)


def bootstrap(statistic: Callable, *columns: Iterable, units: Iterable, seed: int, needs: int = NETWORKS,
              what: str = "networks", strata: Iterable | None = None, clusters: Iterable | None = None,
              distinct: int = 1) -> Measurement:  # fmt: skip
    """`statistic` of the columns, with the 95 % interval from 10,000 resamples of the units.

    Args:
        statistic: Function of as many arrays as there are columns; reduces their last axis (and, where a column
            has axes before it, those as well). With `clusters` it also takes `weights`, of shape [draws, n].
        *columns: Arrays [..., n], a value for each unit in the last axis.
        units: Names of the n units.
        seed: Of the resamples; `relbook.ledger` gives a claim's own.
        needs: Fewer units than this decide nothing.
        what: What a unit is, in the plural.
        strata: A label for each unit: units are resampled among those with the same label, one fewer than there
            are, which makes the variance of a mean unbiased where a stratum has few units (of one, that one).
        clusters: A label for each unit: labels are resampled instead of units, and each has weight 1 in all,
            shared by its units; `needs` then counts labels.
        distinct: Resamples with fewer different units are left out (a correlation takes three).

    Raises:
        ValueError: A column that does not have one value for each unit.
    """
    names = tuple(map(str, units))
    arrays = [np.asarray(column, float) for column in columns]
    for array in arrays:
        if array.shape[-1:] != (len(names),):
            raise ValueError(
                f"a column has shape {array.shape}; its last axis must have one value for each "
                f"of the {len(names)} units"
            )
    if not names:
        return nothing(needs=needs, what=what)
    generator = np.random.default_rng(seed)
    if clusters is not None:
        labels, index, sizes = np.unique(np.asarray(list(clusters), str), return_inverse=True, return_counts=True)
        counts = generator.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), size=DRAWS)
        counts = np.concatenate([np.ones((1, len(labels)), int), counts])
        values = statistic(*(array[..., None, :] for array in arrays), weights=(counts / sizes)[:, index])
        different = (counts > 0).sum(1)
        groups = len(labels)
    else:
        picks = _picks(generator, len(names), strata)
        values = [statistic(*(array[..., part] for array in arrays)) for part in (np.arange(len(names))[None], picks)]
        values = np.concatenate(values)
        different = np.full(len(values), distinct)
        if distinct > 1:
            different[1:] = 1 + (np.diff(np.sort(picks, axis=1), axis=1) > 0).sum(1)
        groups = None
    estimate, draws = float(values[0]), values[1:][different[1:] >= distinct]
    draws = draws[~np.isnan(draws)]
    if math.isnan(estimate) or not len(draws):
        return Measurement(math.nan, math.nan, math.nan, names, needs, what, groups)
    low, high = map(float, np.quantile(draws, (0.025, 0.975)))
    return Measurement(estimate, min(low, estimate), max(high, estimate), names, needs, what, groups)


def share(true: Iterable, **options: Any) -> Measurement:
    """The share of the units of which something is true: a mean, with an interval that is never a point.

    Resamples of a share of none or of all show no scatter, however few units there are. So the interval also holds
    Wilson's for as many independent units: p̂ + z²/2n ± z √(p̂ (1 - p̂)/n + z²/4n²), over 1 + z²/n, z = 1.96.
    With `clusters` n counts those.

    Args:
        true: Of each unit, whether it is so.
        **options: Of `bootstrap`.

    >>> found = share([True] * 8, units=range(8), seed=0)
    >>> round(found.low, 3), found.estimate, found.high
    (0.676, 1.0, 1.0)
    """
    found = bootstrap(mean, np.asarray(list(true), float), **options)
    count = len(found.units) if found.groups is None else found.groups
    if math.isnan(found.estimate):
        return found
    p, z2 = found.estimate, 1.96**2 / count
    half = math.sqrt(p * (1 - p) * z2 + z2**2 / 4)
    low, high = ((p + z2 / 2 + sign * half) / (1 + z2) for sign in (-1, 1))
    return replace(found, low=min(found.low, max(low, 0.0)), high=max(found.high, min(high, 1.0)))


def _picks(generator: np.random.Generator, count: int, strata: Iterable | None) -> np.ndarray:
    """Indices of resampled units, [draws, units]."""
    if strata is None:
        return generator.integers(count, size=(DRAWS, count))
    labels = np.asarray(list(strata), str)
    parts = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        parts.append(members[generator.integers(len(members), size=(DRAWS, max(1, len(members) - 1)))])
    return np.concatenate(parts, axis=1)


def mean(x: np.ndarray, weights: np.ndarray | None = None) -> float | np.ndarray:
    """Mean over the last axis.

    >>> float(mean(np.array([1.0, 3.0]), weights=np.array([3.0, 1.0])))
    1.5
    """
    return x.mean(-1) if weights is None else (x * weights).sum(-1) / weights.sum(-1)


def geometric(x: np.ndarray, weights: np.ndarray | None = None) -> float | np.ndarray:
    """Geometric mean over the last axis."""
    return np.exp(mean(np.log(x), weights))


def median(x: np.ndarray) -> float | np.ndarray:
    """Median over the last axis."""
    return np.median(x, -1)


def _centred(x: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return x - mean(x, weights)[..., None]


def correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> float | np.ndarray:
    """Pearson's correlation over the last axis; NaN where x or y does not vary.

    >>> float(correlation(np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 4.0])).round(6))
    1.0
    """
    a, b = _centred(x, weights), _centred(y, weights)
    scale = np.sqrt(mean(a * a, weights) * mean(b * b, weights))
    small = scale <= 1e-12
    return np.where(small, np.nan, mean(a * b, weights) / np.where(small, 1, scale))


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float | np.ndarray:
    """Spearman's correlation over the last axis; equal values share their rank."""
    return correlation(_ranks(x), _ranks(y))


def _ranks(x: np.ndarray) -> np.ndarray:
    below = (x[..., None, :] < x[..., :, None]).sum(-1)
    same = (x[..., None, :] == x[..., :, None]).sum(-1)
    return below + (same - 1) / 2


def slope(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> float | np.ndarray:
    """Least-squares slope of y against x over the last axis; NaN where x does not vary."""
    a = _centred(x, weights)
    square = mean(a * a, weights)
    small = square <= 1e-24
    return np.where(small, np.nan, mean(a * _centred(y, weights), weights) / np.where(small, 1, square))
