"""What is measured for the claims on deep networks trained on scale detection in two dimensions (A Sec. 3: Figs. 4, 6,
7).

For correlations a unit is an architecture at the width that most have, seeds averaged; for profiles it is a seed of
VGG11bn at that width. Networks whose training collapsed enter nowhere. Each seed's filters are taken at its own end.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from relbook.measurement import SEEDS, Measurement, bootstrap, correlation, geometric, mean, nothing, rank_correlation
from relbook.studies.scale_detection_2d import tables
from relbook.studies.zoo import tables as zoo_tables

CONNECTED = ("fc_l",)


def _points(rows: pd.DataFrame, families: str = "all", **options: Any) -> pd.DataFrame:
    table = tables.compared(rows, **options)
    if families == "convolutional":
        table = table[~table["architecture"].str.startswith(CONNECTED)]
    return table


def _names(table: pd.DataFrame) -> list[str]:
    return [f"{line.architecture} ×{line.width:g}" for line in table.itertuples()]


def error_correlation(
    rows: pd.DataFrame, *, quantity: str, families: str = "convolutional", statistic: str = "mean", seed: int
) -> Measurement:
    """Correlation of log error and log D, G or R over architectures."""
    table = _points(rows, families, statistic=statistic)
    return bootstrap(
        correlation, np.log(table[quantity]), np.log(table["error"]), units=_names(table), seed=seed, distinct=3
    )


def margin(rows: pd.DataFrame, *, families: str = "convolutional", seed: int) -> Measurement:
    """Correlation of log error with log R, minus the larger ``|correlation|`` with log D and log G."""
    table = _points(rows, families)

    def difference(error: np.ndarray, R: np.ndarray, *others) -> np.ndarray:
        return correlation(R, error) - np.max([np.abs(correlation(other, error)) for other in others], axis=0)

    logs = [np.log(table[name]) for name in ("error", "R", "D", "G")]
    return bootstrap(difference, *logs, units=_names(table), seed=seed, distinct=3)


def order_of_errors(rows: Mapping, *, families: str = "all", seed: int) -> Measurement:
    """Rank correlation over architectures of the error on CIFAR-10 (`zoo`) and the error here."""
    zoo = zoo_tables.on_full_set(zoo_tables.without_controls(zoo_tables.networks(rows["zoo"])))
    zoo = zoo[(zoo["recipe"] != "published") & zoo["dataset"].isin(zoo_tables.main_datasets(zoo))]
    zoo = zoo_tables.geometric(zoo_tables.largest(zoo), ["architecture"])
    table = _points(rows["scale_detection_2d"], families).merge(zoo, on="architecture", suffixes=("", "_images"))
    return bootstrap(
        rank_correlation, table["error_images"], table["error"], units=_names(table), seed=seed, distinct=3
    )


def _seeds(rows: pd.DataFrame, architecture: str = "vgg11_bn", stage: str = "trained") -> dict[str, pd.DataFrame]:
    """Profiles of an architecture at the width that most have, from layer 1 on: {seed: table}."""
    width = tables.main_profile(rows, architecture)
    if width.empty:
        return {}
    table = tables.measured(rows)
    table = table[
        (table["statistic"] == "mean")
        & (table["architecture"] == architecture)
        & (table["width"] == width["width"].iloc[0])
        & (table["depth"] > 0)
    ]
    table = (
        table[table["shuffle"] >= 0]
        if stage == "shuffled"
        else table[(table["shuffle"] == -1) & (table["stage"] == stage)]
    )
    return {f"{architecture}, seed {seed}": part for seed, part in table.groupby("seed")}


def _of_seeds(values: Mapping, statistic: Callable, seed: int) -> Measurement:
    columns = np.array(list(values.values())) if values else np.zeros(0)
    return bootstrap(statistic, columns, units=values, seed=seed, needs=SEEDS, what="seeds")


def last_over_first(rows: pd.DataFrame, *, quantity: str, architecture: str = "vgg11_bn", seed: int) -> Measurement:
    """A sensitivity of the output over that of the first layer: geometric mean over seeds."""
    values = {u: p[quantity].iloc[-1] / p[quantity].iloc[0] for u, p in _seeds(rows, architecture).items()}
    return _of_seeds(values, geometric, seed)


def rank_with_depth(rows: pd.DataFrame, *, quantity: str, architecture: str = "vgg11_bn", seed: int) -> Measurement:
    """Spearman's correlation of a sensitivity with depth, from layer 1 on: mean over seeds."""
    values = {u: p["depth"].rank().corr(p[quantity].rank()) for u, p in _seeds(rows, architecture).items()}
    return _of_seeds(values, mean, seed)


def early_share(rows: pd.DataFrame, *, quantity: str = "R", architecture: str = "vgg11_bn", seed: int) -> Measurement:
    """Share of the change of log D, G or R, first layer to output, that the first half of the depth does:
    mean over seeds.
    """
    values = {}
    for unit, part in _seeds(rows, architecture).items():
        logs = np.log(part[quantity].to_numpy())
        middle = np.interp(0.5, part["relative_depth"], logs)
        values[unit] = (logs[0] - middle) / (logs[0] - logs[-1])
    return _of_seeds(values, mean, seed)


def shuffled(rows: pd.DataFrame, *, quantity: str, architecture: str = "vgg11_bn", seed: int) -> Measurement:
    """The factor, up or down, by which shuffling changes a sensitivity: geometric mean over layers and seeds."""
    after = _seeds(rows, architecture, "shuffled")
    values = {}
    for unit, part in _seeds(rows, architecture).items():
        if unit in after:
            logs = np.log(after[unit][quantity]).groupby(after[unit]["depth"]).mean()
            values[unit] = np.exp((logs - np.log(part.set_index("depth")[quantity])).abs().mean())
    return _of_seeds(values, geometric, seed)


def _growth(rows: pd.DataFrame, architecture: str = "vgg11_bn") -> dict[str, pd.Series]:
    """Growth of the constant mode over the mean of the eight others at the end of each seed's training: {seed:
    by layer}.
    """
    ok = rows[(rows["kind"] == "training") & (rows["status"] == "ok")]
    table = zoo_tables.growth(rows.merge(ok[tables.UNIT], on=tables.UNIT), unit=tables.UNIT)
    profile = tables.main_profile(rows, architecture)
    if profile.empty:
        return {}
    table = table[(table["architecture"] == architecture) & (table["width"] == profile["width"].iloc[0])]
    found = {}
    for number, part in table.groupby("seed"):
        growth = part[part["epoch"] == part["epoch"].max()].pivot(index="depth", columns="eigenvalue", values="growth")
        others = (2 * growth[1] + growth[2] + 2 * growth[3] + 2 * growth[4] + growth[6]) / 8
        found[f"{architecture}, seed {number}"] = growth[0] / others
    return found


def low_modes(rows: pd.DataFrame, *, layers: Sequence, architecture: str = "vgg11_bn", seed: int) -> Measurement:
    """Growth of the constant mode over the mean of the others: smallest over layers of geometric means over seeds."""
    found = {unit: growth[list(layers)].to_numpy() for unit, growth in _growth(rows, architecture).items()}
    if not found:
        return nothing(needs=SEEDS, what="seeds")
    columns = np.log(np.array(list(found.values()))).T
    return bootstrap(lambda x: np.exp(mean(x).min(0)), columns, units=found, seed=seed, needs=SEEDS, what="seeds")


def growth_where_R_falls(rows: pd.DataFrame, *, architecture: str = "vgg11_bn", seed: int) -> Measurement:
    """Spearman's correlation over layers of that growth with the fall of log R_k at the layer: mean over seeds."""
    growth, values = _growth(rows, architecture), {}
    for unit, part in _seeds(rows, architecture).items():
        if unit in growth:
            fall = -np.log(part.set_index("depth")["R"]).diff().dropna()
            both = growth[unit].to_frame("growth").join(fall.rename("fall"), how="inner")
            values[unit] = both["growth"].rank().corr(both["fall"].rank())
    return _of_seeds(values, mean, seed)
