"""What is measured for the claims on scale detection on a line, its theory and trained networks (A Sec. 4, App. A,
Fig. 9).

A unit is a seed of the widest network of a task; none is left out, be it homogeneous or not. Networks are probed on the
moves that define the curve of the task. Exact sums have no units. Sensitivities average all pairs of pixels alike; the
authors' probes hold as many pairs of either class, which `balanced` gives in the theory.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from relbook.measurement import SEEDS, Measurement, bootstrap, exact, median, nothing, share
from relbook.studies.scale_detection import study
from relstab import theory
from relstab.theory.diffusion import walk

WITHOUT = nothing(needs=SEEDS, what="seeds")


def _table(part: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column of rows of one width: a line a layer, a column a seed."""
    return part.pivot_table(index="k", columns="member", values=column)


def _over_seeds(statistic: Callable, table: pd.DataFrame, seed: int) -> Measurement:
    """`statistic` of [layers, seeds], seeds resampled."""
    units = [f"seed {member:g}" for member in table.columns]
    return bootstrap(statistic, table.to_numpy(float), units=units, seed=seed, needs=SEEDS, what="seeds")


def _widest(rows: pd.DataFrame, task: int, stage: str = "trained") -> pd.DataFrame:
    part = study.widest(rows, task)
    return part[part["stage"] == stage]


def _farthest(medians: np.ndarray) -> np.ndarray:
    """Of each column the value farthest from 1, by its factor."""
    index = np.abs(np.log(medians)).argmax(0)
    return np.take_along_axis(medians, index[None], 0)[0]


def over_exact(rows: pd.DataFrame, *, task: int, quantity: str, layers: Sequence, seed: int) -> Measurement:
    """Measured over exact D or G: median over seeds, the layer where it is farthest from 1."""
    if task not in set(rows["task"]):
        return WITHOUT
    part = study.deviations(_widest(rows, task))
    table = _table(part[part["k"].between(*layers)], f"{quantity}_ratio")
    return _over_seeds(lambda ratios: _farthest(median(ratios)), table, seed)


def fitted_exponent(rows: pd.DataFrame, *, task: int, quantity: str, stage: str = "trained", seed: int) -> Measurement:
    """Exponent of D, G or R in A_k over the layers of `study.SLOPES`: median over seeds."""
    part = _widest(rows, task, stage)
    part = part[part["k"].between(*study.SLOPES[task])]
    if part.empty:
        return WITHOUT
    table = _table(part, quantity)
    A = np.log(part.groupby("k")["A"].first().to_numpy(float))
    slopes = np.polyfit(A, np.log(table.to_numpy(float)), 1)[0]
    return bootstrap(median, slopes, units=[f"seed {m:g}" for m in table], seed=seed, needs=SEEDS, what="seeds")


def after_over_before(rows: pd.DataFrame, *, task: int, layer: int, quantity: str = "D", seed: int) -> Measurement:
    """A sensitivity after over before training at one layer: median over seeds."""
    sides = [_widest(rows, task, stage) for stage in ("trained", "init")]
    sides = [side[side["k"] == layer].set_index("member")[quantity] for side in sides]
    ratio = (sides[0] / sides[1]).dropna()
    return bootstrap(median, ratio, units=[f"seed {m:g}" for m in ratio.index], seed=seed, needs=SEEDS, what="seeds")


def mean_channel(rows: pd.DataFrame, *, task: int, quantity: str, layers: Sequence, seed: int) -> Measurement:
    """D or G of the mean channel over that of all: median over seeds, the layer where it is farthest from 1."""
    part = _widest(rows, task)
    part = part[part["k"].between(*layers)]
    part = part.assign(ratio=part[f"{quantity}_mean_channel"] / part[quantity])
    return _over_seeds(lambda ratios: _farthest(median(ratios)), _table(part, "ratio"), seed)


def smallest(rows: pd.DataFrame, *, task: int, column: str, layers: Sequence, seed: int) -> Measurement:
    """A column of the trained networks (alignment of channels, flatness of filters): median over seeds,
    smallest layer.
    """
    part = _widest(rows, task)
    return _over_seeds(lambda values: median(values).min(0), _table(part[part["k"].between(*layers)], column), seed)


def without_error(rows: pd.DataFrame, *, task: int, at_most: float | int = 0.0, seed: int) -> Measurement:
    """Share of seeds whose test error is at most this."""
    errors = _widest(rows, task).groupby("member")["test_error"].first()
    units = [f"seed {m:g}" for m in errors.index]
    return share(errors <= at_most, units=units, seed=seed, needs=SEEDS, what="seeds")


def homogeneous(rows: pd.DataFrame, *, task: int, seed: int) -> Measurement:
    """Share of seeds within `study.TOLERANCE` of the exact D and G, at the width with the most seeds."""
    if task not in set(rows["task"]):
        return WITHOUT
    kinds = study.classify(study.most_seeds(rows, task))
    units = [f"seed {m:g}" for m in kinds["member"]]
    return share(kinds["kind"].eq("homogeneous"), units=units, seed=seed, needs=SEEDS, what="seeds")


# ---- exact


def exponent(*, quantity: str, layers: int, network: Sequence, window: Sequence, **options: Any) -> Measurement:
    """The exponent of D, G or R in A_k, fitted to the exact theory over the layers of `window`."""
    table = theory.homogeneous_sensitivities(layers, *network, **options)
    table = table[table["k"].between(*window)]
    return exact(np.polyfit(np.log(table["A"]), np.log(table[quantity]), 1)[0], [f"layer {k}" for k in table["k"]])


def _moments(layers: int, filter_size: int) -> tuple[float, float]:
    sites, law = walk(layers, filter_size)
    average = sites @ law
    return average, (sites - average) ** 2 @ law


def diffusion() -> Measurement:
    """Exponent of the width of a pixel in depth, from layer 20 to 40, F = 5."""
    return exact(math.log2(_moments(40, 5)[1] / _moments(20, 5)[1]) / 2)


def norm_exponent(*, window: Sequence, gradient: bool = False) -> Measurement:
    """Exponent in depth of ‖f_k(v)‖², or of ‖f_k(v + 1) - f_k(v)‖², of homogeneous filters on a line, F = 3."""
    layers = range(window[0], window[1] + 1)
    laws = [walk(k, 3)[1] for k in layers]
    squares = [np.square(np.diff(law, prepend=0, append=0) if gradient else law).sum() for law in laws]
    return exact(np.polyfit(np.log(layers), np.log(squares), 1)[0], [f"layer {k}" for k in layers])


def variance(*, sizes: Sequence) -> Measurement:
    """Variance a layer of the walk over 2 D of Prop. A.1 as printed: of several filter sizes the farthest from 1."""
    ratios = [_moments(1, size)[1] / (2 * theory.diffusion_constant(size, version="paper")) for size in sizes]
    return exact(max(ratios, key=lambda ratio: abs(math.log(ratio))), [f"F = {size}" for size in sizes])


def drift() -> Measurement:
    """Minus the mean step of the walk, F = 2."""
    return exact(-_moments(1, 2)[0])
