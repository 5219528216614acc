"""What is measured for the claims on lazy and feature training on images (slides D).

A unit is a pair of networks, of one size and seed, that both reached the stop; seeds are resampled within a size.
"""

import operator
from collections.abc import Callable

import numpy as np
import pandas as pd

from relbook.measurement import SEEDS, Measurement, bootstrap, geometric, mean
from relbook.studies.lazy_images import pixels
from relbook.studies.lazy_images import study as lazy_images

TRAIN = 256  # images behind the first layers


def _over_sizes(logs: pd.Series, statistic: Callable, seed: int) -> Measurement:
    frame = logs.reset_index()
    units = [f"{line.network}, P = {line.train:g}, seed {line.seed:g}" for line in frame.itertuples()]
    labels = frame["dataset"] + " " + frame["network"] + " " + frame["train"].astype(str)
    codes = labels.factorize()[0].astype(float)
    return bootstrap(statistic, np.exp(frame["log_ratio"]), codes, units=units, seed=seed, strata=labels)


def _smallest(ratios: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Smallest over data sets, networks and sizes of geometric means over seeds."""
    logs = np.log(ratios)
    return np.exp(np.min([np.where(codes == c, logs, 0).sum(-1) / (codes == c).sum(-1) for c in np.unique(codes)], 0))


def ratio(
    rows: pd.DataFrame,
    *,
    quantity: str = "R",
    network: str | None = None,
    over: str = "lazy",
    every_size: bool = False,
    seed: int,
) -> Measurement:
    """Feature training over lazy training (or over the start, `over="start"`): geometric mean,
    or the smallest by size.
    """
    over = {"lazy": lazy_images.LAZY, "start": lazy_images.START}[over]
    logs = lazy_images.ratios(rows, quantity, lazy_images.FEATURE, over)
    if network is not None:
        logs = logs[logs.index.get_level_values("network") == network]
    return _over_sizes(logs, _smallest if every_size else lambda ratios, codes: geometric(ratios), seed)


def _of_seeds(rows: pd.DataFrame, kind: str, combine: Callable, statistic: Callable, seed: int) -> Measurement:
    """`combine` of both regimes, seed by seed, at P = 256 images."""
    part = pixels.of_pixels(rows)
    part = part[part["kind"].eq(kind) & part["train"].eq(TRAIN)]
    values, units = [], []
    if len(part):
        part = part[part["distance"].eq(1)] if kind == "likeness" else part
        layers = part.pivot(index="seed", columns="regime", values="value")
        values = combine(layers["feature"], layers["lazy"])
        units = [f"P = {TRAIN}, seed {number:g}" for number in layers.index]
    return bootstrap(statistic, values, units=units, seed=seed, needs=SEEDS, what="seeds")


def likeness(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Likeness of the weights of neighbouring pixels after feature training, less that after lazy training; mean."""
    return _of_seeds(rows, "likeness", operator.sub, mean, seed)


def pixels_used(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Share of the pixels that carry the weights after feature training, over that after lazy; geometric mean."""
    return _of_seeds(rows, "share", operator.truediv, geometric, seed)
