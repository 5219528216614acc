"""What is measured for the claims on the stripe model (B Sec. 6, Fig. 7),
by the declared rule of `relbook.studies.stripe`.

A unit is a seed, that is a member of an ensemble, over all sizes P at which every member got to the stop.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from relbook.measurement import SEEDS, Measurement, bootstrap, correlation, mean, nothing
from relbook.studies.stripe import study as stripe

SIZES = 3  # fewer make no law


def exponent(
    rows: pd.DataFrame, *, quantity: str = "R", stop: float | int = stripe.RULE["stop"], seed: int
) -> Measurement:
    """Exponent of R or Λ in P: mean over members of a line through the logarithms."""
    table = stripe.complete(rows, quantity, stop=stop)
    if len(table) < 2:
        return nothing(needs=SEEDS, what="seeds")
    slopes = np.polyfit(np.log(table.index.to_numpy(float)), np.log(table.to_numpy()), 1)[0]
    found = bootstrap(
        mean, slopes, units=[f"seed {member:g}" for member in table.columns], seed=seed, needs=SEEDS, what="seeds"
    )
    if len(table) < SIZES:
        return replace(found, units=tuple(f"P = {size:g}" for size in table.index), needs=SIZES, what="sizes")
    return found


def performance(rows: pd.DataFrame, *, stop: float | int, seed: int) -> Measurement:
    """Correlation of log R and log test error over networks, sizes and seeds;
    an error of 0 counts as one test point.
    """
    part = stripe.chosen(rows, stop=stop)
    logs = [np.log(part["R"]), part["test_error"].clip(lower=1 / stripe.TEST).map(math.log)]
    units = [f"P = {line.train:g}, seed {line.member:g}" for line in part.itertuples()]
    return bootstrap(correlation, *logs, units=units, seed=seed, distinct=3)
