"""Of the rows of a study those that are meant: the words that rows are labelled with, and one way to ask for them.

Studies write these words into their results; what reads results asks by name, so that a slip is an error and not an
empty table.
"""

from enum import StrEnum

import numpy as np
import pandas as pd


class Kind(StrEnum):
    """What a row is about (column `kind`); of one study some, at least the first two."""

    SENSITIVITY = "sensitivity"  # D, G, R of a layer
    TRAINING = "training"  # a network's errors, times and how its training ended
    GROUP = "group"  # D, G, R of a part of the images
    MATCHED = "matched"  # R against noise of the deformation's own spectrum
    MODES = "modes"  # of a layer's filters
    NETWORK = "network"  # what is known of a network of others
    POINT = "point"  # of a training run, D, G, R and errors on the way
    SHUFFLED = "shuffled"  # D, G, R with channels shuffled
    SWEEP = "sweep"  # D, G, R at other displacements and cut-offs


class Stage(StrEnum):
    """When a network was measured (column `stage`); SHUFFLED only where tables tell it from TRAINED."""

    START = "init"
    TRAINED = "trained"
    SHUFFLED = "shuffled"


class Statistic(StrEnum):
    """Which average over images (column `statistic`): A takes the mean, the figures of B medians of components."""

    MEAN = "mean"
    MEDIAN = "median"
    COMPONENT_MEDIAN = "component_median"


UNSHUFFLED = -1  # column `shuffle`, else the number of the draw


def select(rows: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """The rows whose columns have the values wanted; of a list any of them, floats up to rounding.

    Raises:
        KeyError: A column that the rows do not have, unless there are no rows at all.

    >>> rows = pd.DataFrame({"kind": ["sensitivity", "training"], "displacement": [0.1 + 0.2, float("nan")]})
    >>> len(select(rows, kind=Kind.SENSITIVITY, displacement=0.3)), len(select(rows, kind=list(Kind)))
    (1, 2)
    """
    if rows.empty:
        return rows
    keep = np.ones(len(rows), dtype=bool)
    for column, value in wanted.items():
        if isinstance(value, float):
            keep &= np.isclose(rows[column].astype(float), value)
        elif isinstance(value, list | tuple | set | frozenset):
            keep &= rows[column].isin(list(value)).to_numpy()
        else:
            keep &= (rows[column] == (str(value) if isinstance(value, StrEnum) else value)).to_numpy(dtype=bool)
    return rows[keep]
