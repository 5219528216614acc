"""What is measured for the claims on the spherical model (slides D). A unit is a seed:
six for each dimension and size.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from relbook.measurement import SEEDS, Measurement, bootstrap, mean
from relbook.studies.sphere import study as sphere


def _log_ratios(
    rows: pd.DataFrame,
    quantity: str,
    over: float | int = sphere.LAZY,
    top: float | int = sphere.FEATURE,
    dimension: int | None = None,
    sizes: Sequence | None = None,
) -> pd.DataFrame:
    """log of a quantity at α = `top` over that at `over`: a line a dimension and size, a column a member."""
    part = sphere.measures(rows)
    if part.empty:
        return pd.DataFrame()
    if dimension is not None:
        part = part[part["dimension"] == dimension]
    if sizes is not None:
        part = part[part["train"].isin(sizes)]
    logs = part.assign(log=np.log(part[quantity])).pivot_table(
        index=["dimension", "train", "member"], columns="alpha", values="log"
    )
    if not {over, top} <= set(logs):
        return logs.iloc[:0, :0]
    return (logs[top] - logs[over]).unstack("member").dropna()


def _over_seeds(statistic: Callable, table: pd.DataFrame, seed: int) -> Measurement:
    return bootstrap(
        statistic, table.to_numpy(), units=[f"seed {m:g}" for m in table], seed=seed, needs=SEEDS, what="seeds"
    )


def ratio(
    rows: pd.DataFrame, *, quantity: str, dimension: int | None = None, sizes: Sequence | None = None, seed: int
) -> Measurement:
    """Feature over lazy: the smallest over dimensions and sizes of geometric means over seeds."""
    table = _log_ratios(rows, quantity, dimension=dimension, sizes=sizes)
    if sizes is not None and len(table) < len(sizes):
        table = table.iloc[:0, :0]
    return _over_seeds(lambda logs: np.exp(mean(logs).min(0)), table, seed)


def kept(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Concentration of directions after lazy training over that before: of all networks the ratio farthest from 1."""
    table = _log_ratios(rows, "concentration", over=math.inf, top=sphere.LAZY)

    def farthest(logs: np.ndarray) -> np.ndarray:
        flat = np.moveaxis(logs, 0, -2).reshape(*logs.shape[1:-1], -1)
        return np.exp(np.take_along_axis(flat, np.abs(flat).argmax(-1, keepdims=True), -1)[..., 0])

    return _over_seeds(farthest, table, seed)
