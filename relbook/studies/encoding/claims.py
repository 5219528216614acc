"""What is measured for the claims on JPEG copies as training images: factors between the two networks of a pair."""

from typing import Any

import numpy as np
import pandas as pd

from relbook.measurement import Measurement, bootstrap, geometric, mean, nothing
from relbook.studies.encoding import tables

EARLY = 1 / 3  # of the depth: where "early" ends


def factor(rows: pd.DataFrame, *, seed: int, **options: Any) -> Measurement:
    """The geometric mean over pairs of one quantity at the output, copies over originals (`encoding_tables.factor`)."""
    return tables.factor(rows, seed=seed, **options)


def against_low_frequency(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """By how much more the sensitivity to noise of the finest octave changes than that to noise of the coarsest;
    grey noise.
    """
    table = tables.ratios(tables.outputs(rows))
    if table.empty:
        return nothing(what="pairs of networks")
    quotient = table["G_grey_3"] / table["G_grey_0"]
    return bootstrap(geometric, quotient, units=tables.pair_names(table), seed=seed, what="pairs of networks")


def early_share(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Of the change of log G at the output, the share that is there at the last layer of the first third of the
    depth.
    """
    table = tables.ratios(tables.layers(rows))
    inner = table[(table["depth"] > 0) & (table["relative_depth"] <= EARLY)]
    if inner.empty:
        return nothing(what="pairs of networks")
    last = inner.loc[inner.groupby(tables.TWIN)["depth"].idxmax()]
    both = last.merge(table[table["layer"] == "output"], on=tables.TWIN, suffixes=("", "_output"))
    columns = np.log(both["G"]), np.log(both["G_output"])
    return bootstrap(lambda early, late: mean(early) / mean(late), *columns, units=tables.pair_names(both),
                     seed=seed, what="pairs of networks")  # fmt: skip
