"""What is measured for the claims on widths: slopes over the networks of one architecture."""

import numpy as np
import pandas as pd

from relbook.measurement import Measurement, bootstrap, nothing, slope
from relbook.studies.trajectories import tables


def growth(rows: pd.DataFrame, *, quantity: str, seed: int) -> Measurement:
    """The exponent of a quantity at the end of training as a power of the width, seeds resampled within a width."""
    last = tables.last(rows)
    if last.empty:
        return nothing()
    columns = np.log(last["width"].to_numpy(float)), np.log(last[quantity].to_numpy(float))
    names = [tables.name(line) for _, line in last.iterrows()]
    return bootstrap(slope, *columns, units=names, seed=seed, strata=last["width"])
