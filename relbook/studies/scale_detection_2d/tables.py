"""Rows of the study `scale_detection_2d` as tables that figures and claims share (paper A, Figs. 4, 6, 7).

Averages over seeds and shuffles are geometric. An error of zero on n test pictures counts as half a picture,
1/(2n), wherever its logarithm is taken. Networks that diverged or collapsed are left out and listed by
`failures`.

>>> import pandas as pd
>>> profile = pd.DataFrame({"depth": [0, 1, 2, 3, 4], "relative_depth": [0, 0.25, 0.5, 0.75, 1],
...                         "R": [1, 0.8, 0.04, 0.02, 0.02]})
>>> round(early_share(profile), 2)
0.81
"""

from typing import Any

import numpy as np
import pandas as pd

from relbook.measurement import remembered
from relbook.studies.select import UNSHUFFLED, Kind, Statistic, select
from relbook.studies.zoo import tables as zoo_tables
from relbook.studies.zoo.tables import QUANTITIES, correlation, geometric

UNIT = ["architecture", "width", "epochs", "seed"]
FIXED_WIDTH = ("fc", "lenet")  # small nets that no scale makes narrower
ENOUGH = 6  # architectures: fewer are no scatter plot
PROFILED = ("vgg11_bn", "vgg13_bn", "vgg11")  # the networks of A Fig. 7


def _trained(rows: pd.DataFrame) -> pd.DataFrame:
    return select(rows, kind=Kind.TRAINING, status="ok")


def failures(rows: pd.DataFrame) -> pd.DataFrame:
    """The networks whose training diverged or collapsed: one line each, with the status."""
    return zoo_tables.failures(rows, unit=UNIT)


@remembered
def measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Sensitivity rows of the networks whose training succeeded."""
    return select(rows, kind=Kind.SENSITIVITY).merge(_trained(rows)[UNIT], on=UNIT)


def networks(rows: pd.DataFrame, *, statistic: str = "mean", stage: str = "trained") -> pd.DataFrame:
    """One line a network: D, G, R at the output and `error`, at least half a test picture."""
    table = select(measured(rows), layer="output", shuffle=UNSHUFFLED, stage=stage, statistic=statistic)
    training = _trained(rows)
    errors = training[UNIT].assign(error=training["test_error"].clip(lower=0.5 / training["test"]))
    return table[[*UNIT, *QUANTITIES]].merge(errors, on=UNIT)


def compared(rows: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """One line an architecture (A Fig. 6), seeds averaged, at the width most convolutional networks have.

    Empty with fewer than `ENOUGH` architectures. Options as `networks`.
    """
    table = networks(rows, **options)
    small = table["architecture"].str.startswith(FIXED_WIDTH)
    if not small.all():
        table = table[small | (table["width"] == table.loc[~small, "width"].mode()[0])]
    means = geometric(table, ["architecture", "width", "epochs"])
    return means if len(means) >= ENOUGH else means.iloc[:0]


def error_correlation(rows: pd.DataFrame, quantity: str, **options: Any) -> float:
    """Correlation of log error with log D, G or R over the architectures; NaN with too few."""
    table = compared(rows, **options)
    return correlation(table[quantity], table["error"])


def profiles(rows: pd.DataFrame, architecture: str | None = None) -> pd.DataFrame:
    """D, G, R by depth, the mean over pictures: stage "init", "trained" or "shuffled"; seeds and draws averaged."""
    table = measured(rows)
    table = select(table, statistic=Statistic.MEAN).copy()
    if architecture is not None:
        table = table[table["architecture"] == architecture]
    table["stage"] = table["stage"].mask(table["shuffle"] >= 0, "shuffled")
    return geometric(table, ["architecture", "width", "epochs", "stage", "depth", "relative_depth"])


@remembered
def main_profile(rows: pd.DataFrame, architecture: str, stage: str = "trained") -> pd.DataFrame:
    """The profile of an architecture at the width of `compared` (the most common one), by depth."""
    table = profiles(rows, architecture)
    conv = _trained(rows)
    conv = conv[~conv["architecture"].str.startswith(FIXED_WIDTH)]
    if table.empty or conv.empty:
        return table
    table = table[(table["width"] == conv["width"].mode()[0]) & (table["stage"] == stage)]
    return table.sort_values("depth").reset_index(drop=True)


def shuffling(rows: pd.DataFrame, architecture: str = "vgg11_bn") -> pd.DataFrame:
    """Shuffled over unshuffled D, G, R (columns), a line per width and hidden layer or output."""
    table = profiles(rows, architecture)
    by = ["width", "depth", "relative_depth"]
    logs = {stage: np.log(part.set_index(by)[QUANTITIES]) for stage, part in table.groupby("stage") if stage != "init"}
    if len(logs) < 2:
        return pd.DataFrame(columns=[*by, *QUANTITIES])
    ratios = np.exp(logs["shuffled"] - logs["trained"]).reset_index()
    return ratios[ratios["depth"] > 0].reset_index(drop=True)


def early_share(profile: pd.DataFrame) -> float:
    """Which part of the fall of log R, from the first layer to the last, happens in the first half of the depth."""
    first, last = np.log(profile["R"].iloc[[1, -1]])
    middle = np.interp(0.5, profile["relative_depth"], np.log(profile["R"]))
    return float((first - middle) / (first - last))


def growth(rows: pd.DataFrame, architecture: str = "vgg11_bn") -> pd.DataFrame:
    """Laplacian modes of an architecture at the width of `compared`: depth, epoch, eigenvalue, growth γ(t)/γ(0)."""
    table = zoo_tables.growth(rows.merge(_trained(rows)[UNIT], on=UNIT), unit=UNIT)
    table = table[(table["architecture"] == architecture) & (table["epoch"] > 0)]
    if len(profile := main_profile(rows, architecture)):
        table = table[table["width"] == profile["width"].iloc[0]]
    # Seeds whose runs ended at different epochs have different last times; the common ones are averaged.
    seeds = table.groupby("epoch")["seed"].transform("nunique")
    table = table[seeds == table["seed"].nunique()]
    logs = np.log(table["growth"]).groupby([table[name] for name in ("depth", "epoch", "eigenvalue")])
    found = np.exp(logs.mean()).reset_index()
    found.attrs["width"] = table["width"].max() if len(table) else 1
    return found
