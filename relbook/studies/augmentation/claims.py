"""What is measured for the claims on training with and without crops, flips and deformations (B Fig. 12, Sec. 8).

A unit is a kind of network and a deformation of its training images; seeds are averaged in the logarithm.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from relbook.measurement import Measurement, bootstrap, geometric, share
from relbook.studies.augmentation.tables import finished


def _pairs(rows: pd.DataFrame, quantity: str, over: str) -> pd.Series:
    """log of `quantity` of the treated over that of its twin, mean over seeds, by architecture,
    data set and treatment.
    """
    rows = finished(rows)
    kind = ["architecture", "dataset", "width", "augment", "displacement"]
    rest = [name for name in (*kind, "seed") if name != over]
    pairs = rows[rows[over].ne(0)].merge(rows[rows[over].eq(0)], on=rest, suffixes=("", "_plain"))
    logs = np.log(pairs[quantity] / pairs[f"{quantity}_plain"])
    return logs.groupby([pairs[name] for name in kind]).mean()


def _units(index: Iterable) -> list[str]:
    return [
        f"{net} on {data}, {'crops and flips' if crops else 'plain'}, δ = {delta:g}"
        for net, data, _, crops, delta in index
    ]


def crops_and_flips(rows: pd.DataFrame, *, inside: float | int | None = None, seed: int) -> Measurement:
    """R of networks trained with crops and flips over R without; geometric mean, or the share within a factor."""
    logs = _pairs(rows, "R", "augment")
    if inside is not None:
        return share(logs.abs() <= np.log(inside), units=_units(logs.index), seed=seed)
    return bootstrap(geometric, np.exp(logs), units=_units(logs.index), seed=seed)


def deformations(rows: pd.DataFrame, *, quantity: str, seed: int) -> Measurement:
    """A quantity of networks trained on deformed images over that without; geometric mean."""
    logs = _pairs(rows, quantity, "displacement")
    return bootstrap(geometric, np.exp(logs), units=_units(logs.index), seed=seed)
