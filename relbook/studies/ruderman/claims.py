"""What is measured for the claims of paper C on trained networks (its Figs. 3 to 7).

A unit is a network: a downsampling and a seed; seeds are resampled within a downsampling, one fewer than there are.
Statistics over downsamplings first average a downsampling's seeds. Networks that diverged or collapsed enter nowhere.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from relbook.measurement import SEEDS, Measurement, bootstrap, correlation, exact, mean, median, nothing
from relbook.studies.ruderman import tables
from relbook.studies.ruderman.random_fields import largest_gradient
from relstab.diffeo import thin_plate
from relstab.models.conv8 import DOWNSAMPLINGS

LAST = tables.LAST
SIZES = {"cifar10": 32, "imagenet": 224}


def networks(
    rows: pd.DataFrame, task: str, stage: str, kind: str = "cosine", value: str = "sensitivity"
) -> pd.DataFrame:
    """A line a network, indexed by downsampling and seed, a column a layer."""
    part = tables.chosen(rows, task, kind)
    if part.empty or value not in part:
        return pd.DataFrame()
    part = part[part["stage"].eq(stage)]
    part = part[part["size"].eq(3)] if kind == "filters" else part[part["depth"].le(LAST)]
    index = ["architecture", "strength", "seed"] if task == "templates" else ["architecture", "seed"]
    table = part.pivot_table(index=index, columns="depth", values=value)
    return table.rename(index=lambda name: str(name).removeprefix("conv8_"), level="architecture")


def _units(table: pd.DataFrame) -> list[str]:
    return [
        ", ".join([str(index[0]), *(f"strength {s:g}" for s in index[1:-1]), f"seed {index[-1]}"])
        for index in table.index
    ]


def _codes(table: pd.DataFrame, level: str = "architecture") -> np.ndarray:
    order = {name: i for i, name in enumerate(DOWNSAMPLINGS)}
    return np.array([order.get(value, value) for value in table.index.get_level_values(level)], float)


def _means(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Means over seeds, [downsamplings, ...]."""
    return np.stack([np.where(codes == c, values, 0).sum(-1) / (codes == c).sum(-1) for c in np.unique(codes)])


def _resampled(statistic: Callable, tables_: Sequence, seed: int, sides: Sequence = ("",)) -> Measurement:
    """Bootstrap of a function of (values, codes) pairs, one for each table;
    networks in strata of table and downsampling.

    Args:
        tables_: tables of the same layers, [networks, layers]; a statistic sees values [layers, draws, networks].
        sides: What tells the units of the tables apart.
    """
    if any(table.empty for table in tables_):
        return nothing()
    sizes = np.cumsum([0, *(len(table) for table in tables_)])
    values = np.concatenate([table.to_numpy(float) for table in tables_]).T
    codes = np.concatenate([100 * i + _codes(table) for i, table in enumerate(tables_)])
    units = [f"{unit}{side}" for side, table in zip(sides, tables_, strict=False) for unit in _units(table)]
    if any(len(np.unique(codes[a:b])) < len(DOWNSAMPLINGS) for a, b in itertools.pairwise(sizes)):
        return nothing()

    def split(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        parts = [(100 * i <= codes) & (codes < 100 * i + 100) for i in range(len(tables_))]
        return statistic(*(_by_downsampling(values, np.where(part, codes, np.nan)) for part in parts))

    return bootstrap(split, values, codes, units=units, seed=seed, strata=codes)


def _by_downsampling(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    labels = np.unique(codes[~np.isnan(codes)])
    return np.stack([np.where(codes == c, values, 0).sum(-1) / (codes == c).sum(-1) for c in labels])


def _last(table: pd.DataFrame) -> pd.DataFrame:
    return table[[LAST]] if LAST in table else pd.DataFrame()


def spread_ratio(
    rows: pd.DataFrame,
    *,
    after: Sequence,
    before: Sequence,
    layers: Sequence = (LAST,),
    kind: str = "cosine",
    value: str = "sensitivity",
    pick: str = "max",
    seed: int,
) -> Measurement:
    """Standard deviation over the downsamplings, of `after` over that of `before`; of several layers `pick`.

    Args:
        after, before: (task, stage).
    """
    sides = [networks(rows, *side, kind=kind, value=value) for side in (after, before)]
    if any(side.empty for side in sides):
        return nothing()
    sides = [side[list(layers)] if layers else side.mean(axis=1).to_frame() for side in sides]

    def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return getattr((a.std(0, ddof=1) / b.std(0, ddof=1)), pick)(0)

    return _resampled(ratio, sides, seed, [f" ({', '.join(side)})" for side in (after, before)])


def order_at_start(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """The smaller of subsample/max and max/average at the last layer, untrained."""
    names = list(DOWNSAMPLINGS)

    def smaller(x: np.ndarray) -> np.ndarray:
        x = x[:, 0]
        by = dict(zip(sorted(range(len(names))), x, strict=True))
        subsample, top, average = (by[names.index(n)] for n in ("subsample", "max", "average"))
        return np.minimum(subsample / top, top / average)

    return _resampled(smaller, [_last(networks(rows, "real", "init"))], seed)


def trained_over_init(
    rows: pd.DataFrame, *, layers: Sequence, pick: str = "median", downsamplings: Sequence = DOWNSAMPLINGS, seed: int
) -> Measurement:
    """Trained over untrained sensitivity of some layers, network by network: `pick` over networks and layers."""
    before, after = networks(rows, "real", "init"), networks(rows, "real", "trained")
    if before.empty or after.empty:
        return nothing()
    ratio = (after / before)[list(layers)].dropna()
    ratio = ratio[ratio.index.get_level_values("architecture").isin(downsamplings)]
    statistic = {"median": lambda x: median(x).mean(0), "change": lambda x: np.exp(np.abs(np.log(x)).mean(-1)).mean(0)}
    return bootstrap(statistic[pick], ratio.to_numpy().T, units=_units(ratio), seed=seed)


def smoother_is_stabler(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Mean sensitivity at one σ over that at the next smaller one, largest ratio; untrained, seeds in strata."""
    part = tables.chosen(rows, "smoothed", "cosine")
    if part.empty:
        return nothing()
    part = part[part["depth"].le(LAST) & part["depth"].gt(0)]
    table = part.pivot_table(index=["architecture", "seed"], columns=["sigma", "depth"], values="sensitivity").dropna()
    table = table.rename(index=lambda name: str(name).removeprefix("conv8_"), level="architecture")
    means = table.T.groupby(level="sigma").mean()

    def largest(x: np.ndarray) -> np.ndarray:
        return (x[:, 1:] / x[:, :-1]).max((0, 1))

    return _resampled(largest, [means.T], seed)


def by_strength(rows: pd.DataFrame, *, field: str, seed: int) -> Measurement:
    """Templates: rank correlation of strength and mean total variation,
    or the share of layers and strengths that fell.
    """
    after, before = (networks(rows, "templates", stage, "filters", "tv") for stage in ("trained", "init"))
    if after.empty:
        return nothing()
    strength = after.index.get_level_values("strength").astype(float)
    if field == "order":

        def ranks(tv: np.ndarray, strength: np.ndarray) -> np.ndarray:
            levels = np.unique(strength)
            means = np.stack([np.where(strength == s, tv, 0).sum(-1) / (strength == s).sum(-1) for s in levels], -1)
            order = means.argsort(-1).argsort(-1).astype(float)
            return correlation(order, np.broadcast_to(np.arange(len(levels), dtype=float), order.shape))

        return bootstrap(ranks, after.mean(axis=1), strength, units=_units(after), seed=seed, strata=strength)
    fell = (after < before.reindex(after.index)).to_numpy(float).T
    return bootstrap(lambda x: mean(x).mean(0), fell, units=_units(after), seed=seed, strata=strength)


def fall(rows: pd.DataFrame, *, every: bool = False, seed: int) -> Measurement:
    """Fall of the total variation in training: smallest over layers of means,
    or the share of networks' layers that fell.
    """
    after, before = (networks(rows, "real", stage, "filters", "tv") for stage in ("trained", "init"))
    if after.empty:
        return nothing()
    falls = (before.reindex(after.index) - after).to_numpy(float).T
    labels = after.index.get_level_values("architecture")
    if every:
        return bootstrap(
            lambda x: mean(x).mean(0), (falls > 0).astype(float), units=_units(after), seed=seed, strata=labels
        )
    return bootstrap(lambda x: mean(x).min(0), falls, units=_units(after), seed=seed, strata=labels)


def rank_of_roughness(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Spearman's correlation of total variation with the number of the layer, trained networks: mean over networks."""
    after = networks(rows, "real", "trained", "filters", "tv")
    if after.empty:
        return nothing()
    depth = pd.Series(after.columns, index=after.columns, dtype=float).rank()
    ranks = after.T.rank().corrwith(depth)
    return bootstrap(mean, ranks, units=_units(after), seed=seed, strata=after.index.get_level_values("architecture"))


def euclidean(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Correlation over networks and layers of log D_k (Euclidean distances) and the log of the cosine sensitivity."""
    cosine, relative = networks(rows, "real", "trained"), networks(rows, "real", "trained", "relative", "D")
    if cosine.empty or relative.empty:
        return nothing()
    both = sorted((set(cosine) & set(relative)) - {0})
    index = cosine.index.intersection(relative.index)
    x, y = (np.log(table.loc[index, both].to_numpy(float)).T for table in (cosine, relative))

    def over_all(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        flat = [np.moveaxis(part, 0, -2).reshape(*part.shape[1:-1], -1) for part in (x, y)]
        return correlation(*flat)

    return bootstrap(over_all, x, y, units=_units(cosine.loc[index]), seed=seed)


def smoothness_and_stability(rows: pd.DataFrame, *, task: str, seed: int) -> Measurement:
    """Correlation over networks of mean total variation and the sensitivity of the last layer, trained."""
    tv, last = networks(rows, task, "trained", "filters", "tv"), _last(networks(rows, task, "trained"))
    if tv.empty or last.empty:
        return nothing()
    both = tv.mean(axis=1).to_frame("tv").join(last[LAST].rename("last"), how="inner")
    return bootstrap(correlation, both["tv"], both["last"], units=_units(both), seed=seed, distinct=3)


def errors(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Largest over smallest test error of the downsamplings, real labels."""
    part = tables.chosen(rows, "real", "training")
    if part.empty:
        return nothing()
    table = part.set_index([part["architecture"].str.removeprefix("conv8_"), "seed"])[["test_error"]]
    return _resampled(lambda x: (x.max(0) / x.min(0))[0], [table], seed)


def levels(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Largest over smallest total variation, mean over layers, of the downsamplings; trained on real labels."""
    tv = networks(rows, "real", "trained", "filters", "tv")
    if tv.empty:
        return nothing()
    return _resampled(lambda x: (x.max(0) / x.min(0))[0], [tv.mean(axis=1).to_frame()], seed)


def seeds_over_downsamplings(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Standard deviation over seeds over that over downsamplings, last layer, random labels."""
    table = _last(networks(rows, "random", "trained"))
    if table.empty:
        return nothing()
    values, codes = table[LAST].to_numpy(), _codes(table)
    fewest = min(np.bincount(codes.astype(int)))

    def ratio(x: np.ndarray, codes: np.ndarray) -> float:
        labels = np.unique(codes)
        inside = [(codes == c) for c in labels]
        counts = [part.sum(-1) for part in inside]
        means = np.stack([np.where(p, x, 0).sum(-1) / n for p, n in zip(inside, counts, strict=True)])
        squares = [
            np.where(p, (x - m[..., None]) ** 2, 0).sum(-1) / np.maximum(n - 1, 1)
            for p, m, n in zip(inside, means, counts, strict=True)
        ]
        return np.sqrt(np.mean(squares, 0)) / means.std(0, ddof=1)

    if fewest < SEEDS:
        value = float(ratio(values, codes))
        return Measurement(
            value, value, value, tuple(f"seed {i}" for i in range(fewest)), SEEDS, "seeds of a downsampling"
        )
    return bootstrap(ratio, values, codes, units=_units(table), seed=seed, strata=codes)


# ---- no networks


def gradient() -> Measurement:
    """The largest ‖∇τ‖ that any draw of C's deformations can have, in either setting; folds need 1."""
    found = {name: largest_gradient(**thin_plate.PAPER[name], size=size) for name, size in SIZES.items()}
    return exact(max(found.values()), found)
