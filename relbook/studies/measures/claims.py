"""What is measured for the claims on networks under several measures (B Fig. 3 left at δ > 1).

A unit is a network: the widest of an architecture on a data set, of those the longest trained, seeds averaged.
"""

import numpy as np
import pandas as pd

from relbook.measurement import Measurement, bootstrap, geometric
from relbook.studies.zoo.tables import largest


def interpolation(rows: pd.DataFrame, *, displacement: int, seed: int) -> Measurement:
    """R with Gaussian over R with bilinear interpolation at δ = 2 or 4; geometric mean over networks."""
    usual = rows["augment"] == (rows["dataset"].str.startswith("cifar10") & (rows["recipe"] != "published"))
    table = largest(rows[usual])
    logs = np.log(table[f"R{displacement}_gaussian"] / table[f"R{displacement}"])
    means = logs.groupby([table[name] for name in ("dataset", "architecture", "width")]).mean()
    units = [f"{architecture} ×{width:g} on {dataset}" for dataset, architecture, width in means.index]
    return bootstrap(geometric, np.exp(means), units=units, seed=seed)
