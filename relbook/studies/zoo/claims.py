"""What is measured for the claims on networks trained on images (A Secs. 1 and 2, B Secs. 3 to 5).

A unit is a network: one for an architecture and a data set, the widest, of those the longest trained, seeds averaged
in the logarithm. Networks at the noise-free end of a noise sweep are trained more shortly and enter only there.
Networks that diverged or collapsed enter nowhere. `networks` names a population:

``ours``         trained here on CIFAR-10, that is on its JPEG copy (on whatever there is where there is no CIFAR-10)
``original``     on CIFAR-10's original images, here or by others
``mnist``, ``fashion-mnist``  trained here on that set
``everywhere``   trained here on any full set, and those on original images
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from relbook.measurement import (
    SEEDS,
    Measurement,
    bootstrap,
    correlation,
    exact,
    geometric,
    mean,
    median,
    nothing,
    rank_correlation,
    share,
    slope,
)
from relbook.studies.zoo import tables

MODERN = ("resnet", "cifar_resnet", "efficientnet", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")
CONNECTED = ("fc_l",)
SMALL_NOISE = 30.0  # norm of the noise that is still "small" in A Fig. 1, right: half of an image's own norm


def members(table: pd.DataFrame, networks: str = "ours", families: Sequence | str = "all") -> pd.DataFrame:
    """The lines of a table of networks that belong to a population and a family ("all", "convolutional", or names)."""
    original = table["dataset"].eq("cifar10-lossless")
    here = table["recipe"].ne("published") & ~original
    if networks == "ours":
        table = table[here]
        table = table[table["dataset"].isin(tables.main_datasets(table))]
    elif networks == "original":
        table = table[original]
    elif networks != "everywhere":
        table = table[here & table["dataset"].eq(networks)]
    if families == "convolutional":
        return table[~table["architecture"].str.startswith(CONNECTED)]
    return table if families == "all" else table[table["architecture"].str.startswith(tuple(families))]


def points(rows: pd.DataFrame, networks: str = "ours", families: Sequence | str = "all", **probe: Any) -> pd.DataFrame:
    """One line a network of a population: its fields, D, G, R at the output,
    the error (options of `tables.outputs`).
    """
    table = tables.on_full_set(tables.without_controls(tables.networks(rows, **probe)))
    return tables.geometric(tables.largest(members(table, networks, families)), tables.NETWORK)


def profiles(
    rows: pd.DataFrame, networks: str = "ours", families: Sequence | str = "convolutional", *, first: int = 1
) -> dict:
    """Depth profiles of a population from layer `first` on: {name: table with stage, depth, relative_depth, D, G,
    R}.
    """
    table = tables.on_full_set(tables.without_controls(tables.profiles(rows)))
    table = tables.largest(members(table, networks, families))
    found = {}
    for keys, net in table[table["depth"] >= first].groupby(tables.NETWORK, sort=False):
        found[name(dict(zip(tables.NETWORK, keys, strict=True)))] = net.sort_values("depth")
    return found


def name(line: Mapping) -> str:
    """What a unit is called: architecture, width and data set."""
    width = "" if line["width"] == 1 else f" ×{line['width']:g}"
    return f"{line['architecture']}{width} on {line['dataset']}"


def names(table: pd.DataFrame) -> list:
    """The units of a table of networks."""
    return [name(line) for line in table.to_dict("records")]


def _logs(table: pd.DataFrame, *columns: str) -> list[np.ndarray]:
    return [np.log(table[column].to_numpy(float)) for column in columns]


def error_correlation(
    rows: pd.DataFrame, *, quantity: str = "R", networks: str = "ours", families: str = "all", seed: int, **probe: Any
) -> Measurement:
    """Correlation of log error and log D, G or R at the output."""
    table = points(rows, networks, families, **probe)
    return bootstrap(correlation, *_logs(table, quantity, "error"), units=names(table), seed=seed, distinct=3)


def weakest_correlation(
    rows: pd.DataFrame, *, cuts: Sequence, seed: int, networks: str = "ours", **probe: Any
) -> Measurement:
    """The smallest correlation of log error and log R over several cut-offs, the same networks at each."""
    parts = [points(rows, networks, cut=cut, **probe).set_index(tables.NETWORK) for cut in cuts]
    both = [part.loc[part.index.isin(parts[0].index) & part.index.isin(parts[-1].index)].sort_index() for part in parts]
    logs = [np.log([part[name] for part in both]) for name in ("R", "error")]
    return bootstrap(
        lambda R, error: correlation(R, error).min(0), *logs, units=names(both[0].reset_index()), seed=seed, distinct=3
    )


def larger_displacement(rows: pd.DataFrame, *, seed: int, networks: str = "ours") -> Measurement:
    """Correlation of log error and log R at the first δ above 1 at which networks were probed."""
    return error_correlation(rows, networks=networks, displacement=tables.larger_displacement(rows), seed=seed)


def margin(
    rows: pd.DataFrame, *, over: str = "DG", networks: str = "ours", families: str = "all", seed: int, **probe: Any
) -> Measurement:
    """Correlation of log error with log R, minus the largest ``|correlation|`` with the quantities of `over`."""
    table = points(rows, networks, families, **probe)

    def difference(error: np.ndarray, R: np.ndarray, *others) -> np.ndarray:
        return correlation(R, error) - np.max([np.abs(correlation(other, error)) for other in others], axis=0)

    return bootstrap(difference, *_logs(table, "error", "R", *over), units=names(table), seed=seed, distinct=3)


def depth_margin(rows: pd.DataFrame, *, seed: int, networks: str = "ours", **probe: Any) -> Measurement:
    """Correlation of log error with log R, minus ``|correlation|`` with the logarithm of the number of layers."""
    table = points(rows, networks, **probe)
    layers = {unit: net["depth"].max() for unit, net in profiles(rows, networks, "all").items()}
    table = table.loc[[unit in layers for unit in names(table)]]

    def difference(error: np.ndarray, R: np.ndarray, depth: np.ndarray) -> np.ndarray:
        return correlation(R, error) - np.abs(np.nan_to_num(correlation(depth, error)))

    depth = np.log([layers[unit] for unit in names(table)])
    return bootstrap(difference, *_logs(table, "error", "R"), depth, units=names(table), seed=seed, distinct=3)


def two_variables(
    rows: pd.DataFrame, *, exponent: str, networks: str = "ours", families: str = "all", seed: int, **probe: Any
) -> Measurement:
    """Exponent of D or of G in ε ∝ Dᵃ Gᵇ, least squares in the logarithms."""
    table = points(rows, networks, families, **probe)

    def fitted(error: np.ndarray, D: np.ndarray, G: np.ndarray) -> np.ndarray:
        error, D, G = (x - x.mean(-1, keepdims=True) for x in (error, D, G))
        DD, GG, DG = mean(D * D), mean(G * G), mean(D * G)
        De, Ge, det = mean(D * error), mean(G * error), mean(D * D) * mean(G * G) - mean(D * G) ** 2
        top = De * GG - Ge * DG if exponent == "D" else Ge * DD - De * DG
        small = det <= 1e-9 * np.maximum(DD * GG, 1e-30)
        return np.where(small, np.nan, top / np.where(small, 1, det))

    return bootstrap(fitted, *_logs(table, "error", "D", "G"), units=names(table), seed=seed, distinct=4)


def law(rows: pd.DataFrame, *, field: str, networks: str = "ours", seed: int) -> Measurement:
    """Of B's law ε ≈ 0.2 √R: the fitted `slope`, the fitted `prefactor`, or the median `factor` with nothing fitted."""
    table = points(rows, networks)
    statistics = {
        "slope": slope,
        "prefactor": lambda R, error: np.exp(mean(error - R / 2)),
        "factor": lambda R, error: np.exp(median(np.abs(error - np.log(0.2) - R / 2))),
    }
    return bootstrap(statistics[field], *_logs(table, "R", "error"), units=names(table), seed=seed, distinct=3)


def order_of_means(rows: pd.DataFrame, *, networks: str = "everywhere", seed: int) -> Measurement:
    """Rank correlation over networks of R by means over images and R by medians of the components."""
    one, other = (points(rows, networks, statistic=s).set_index(tables.NETWORK) for s in ("mean", "component_median"))
    both = one.merge(other, left_index=True, right_index=True, suffixes=("", "_median")).reset_index()
    return bootstrap(rank_correlation, *_logs(both, "R", "R_median"), units=names(both), seed=seed, distinct=3)


def under_noise(rows: pd.DataFrame, *, quantity: str, pick: str, levels: Sequence, seed: int) -> Measurement:
    """`pick` (min, max) of the correlations of log error with a quantity over levels of noise;
    the same networks in all.
    """
    table = tables.noise_networks(rows)
    table = table[table["noise"].isin(levels)]
    sides = [table.pivot_table(index=["architecture", "width"], columns="noise", values=v) for v in (quantity, "error")]
    if not set(levels) <= set(sides[0]):
        return nothing()
    sides = [side[list(levels)].dropna() for side in sides]
    units = [f"{architecture} ×{width:g}" for architecture, width in sides[0].index]
    return bootstrap(
        lambda q, e: getattr(np, pick)(correlation(q, e), 0),
        *(np.log(side.to_numpy().T) for side in sides),
        units=units,
        seed=seed,
        distinct=3,
    )


# ---- before and after training


def _both_stages(rows: pd.DataFrame, networks: str, families: Sequence | str, **probe: Any) -> pd.DataFrame:
    after, before = (
        points(rows, networks, families, stage=s, **probe).set_index(tables.NETWORK) for s in ("trained", "init")
    )
    return after.merge(before, left_index=True, right_index=True, suffixes=("", "_init")).reset_index()


def share_grown(
    rows: pd.DataFrame, *, quantity: str, networks: str = "ours", families: str = "all", seed: int, **probe: Any
) -> Measurement:
    """Share of the networks in which training raises D, G or R of the output."""
    table = _both_stages(rows, networks, families, **probe)
    return share(table[quantity] > table[f"{quantity}_init"], units=names(table), seed=seed)


def output(
    rows: pd.DataFrame,
    *,
    quantity: str = "R",
    stage: str = "trained",
    over_init: bool = False,
    networks: str = "ours",
    families: Sequence | str = "all",
    seed: int,
    **probe: Any,
) -> Measurement:
    """Geometric mean over networks of D, G or R at the output; over that of the same network at initialisation."""
    if over_init:
        table = _both_stages(rows, networks, families, **probe)
        return bootstrap(geometric, table[quantity] / table[f"{quantity}_init"], units=names(table), seed=seed)
    table = points(rows, networks, families, stage=stage, **probe)
    return bootstrap(geometric, table[quantity], units=names(table), seed=seed)


def seeds_of(rows: pd.DataFrame, *, architecture: str, networks: Sequence, seed: int) -> Measurement:
    """R at the output of one architecture on the data sets of `networks`: geometric mean over sets, seeds resampled."""
    parts = []
    for population in networks:
        table = tables.on_full_set(tables.without_controls(tables.networks(rows)))
        parts.append(tables.largest(members(table, population, (architecture,))))
    table = pd.concat(parts)
    table = table.assign(log=np.log(table["R"]))
    codes = table["dataset"].factorize()[0].astype(float)

    def over_sets(values: np.ndarray, sets: np.ndarray) -> np.ndarray:
        return np.exp(
            np.mean([np.where(sets == s, values, 0).sum(-1) / (sets == s).sum(-1) for s in np.unique(codes)], 0)
        )

    fewest = table.groupby("dataset").size().min() if len(table) else 0
    units = [f"{unit}, seed {s}" for unit, s in zip(names(table), table["seed"], strict=True)]
    needs = SEEDS if fewest >= SEEDS else len(units) + 1  # each set needs its seeds
    return bootstrap(
        over_sets, table["log"], codes, units=units, seed=seed, strata=table["dataset"], needs=needs, what="seeds"
    )


def scatter_of_seeds(rows: pd.DataFrame, *, networks: str = "ours", seed: int) -> Measurement:
    """Standard deviation of log R over seeds, root mean square, over that of the networks' means."""
    table = tables.on_full_set(tables.without_controls(tables.networks(rows)))
    table = tables.largest(members(table, networks))
    logs = np.log(table["R"]).groupby([table[field] for field in tables.NETWORK])
    found = pd.DataFrame({"mean": logs.mean(), "variance": logs.var(ddof=1)}).dropna().reset_index()
    if len(found) < 2:  # no difference between architectures
        return nothing()
    return bootstrap(lambda m, v: np.sqrt(mean(v)) / m.std(-1, ddof=1).clip(1e-12), found["mean"], found["variance"],
                     units=names(found), seed=seed, distinct=2)  # fmt: skip


# ---- depth


def _ranks(nets: Mapping, quantity: str, stage: str) -> dict:
    found = {unit: net[net["stage"] == stage] for unit, net in nets.items()}
    return {u: float(n["depth"].rank().corr(n[quantity].rank())) for u, n in found.items() if len(n) > 2}


def rank_with_depth(
    rows: pd.DataFrame,
    *,
    quantity: str,
    stage: str = "trained",
    at_most: float | int | None = None,
    at_least: float | int | None = None,
    networks: str = "ours",
    families: Sequence | str = "convolutional",
    seed: int,
) -> Measurement:
    """Spearman's correlation of D_k, G_k or R_k with depth, k ≥ 1: mean over networks, or the share beyond a bound."""
    ranks = _ranks(profiles(rows, networks, families), quantity, stage)
    values = np.array(list(ranks.values()))
    if at_most is not None or at_least is not None:
        return share(values <= at_most if at_most is not None else values >= at_least, units=ranks, seed=seed)
    return bootstrap(mean, values, units=ranks, seed=seed)


def steps_down(
    rows: pd.DataFrame, *, networks: str = "ours", families: str = "convolutional", seed: int
) -> Measurement:
    """Share of the layers, k ≥ 2, at which R_k of the trained network is below that of the layer before;
    mean over networks.
    """
    shares = {}
    for unit, net in profiles(rows, networks, families).items():
        R = net.loc[net["stage"] == "trained", "R"].to_numpy()
        if len(R) > 2:
            shares[unit] = float(np.mean(np.diff(R) < 0))
    return bootstrap(mean, list(shares.values()), units=shares, seed=seed)


def flat_layers(
    rows: pd.DataFrame, *, factor: float | int, networks: str = "everywhere", families: Sequence = MODERN, seed: int
) -> Measurement:
    """Share of the layers, k ≥ 1, whose R_k at initialisation is within a factor of 1; mean over networks."""
    shares = {}
    for unit, net in profiles(rows, networks, families).items():
        logs = np.log(net.loc[net["stage"] == "init", "R"]).abs()
        if len(logs):
            shares[unit] = float((logs <= np.log(factor)).mean())
    return bootstrap(mean, list(shares.values()), units=shares, seed=seed)


def built_up(rows: pd.DataFrame, *, early: float | int = 0.25, networks: str = "ours", seed: int) -> Measurement:
    """Correlation of log error with log R of the output, minus that with log R_k at a relative depth."""
    table = points(rows, networks, statistic="mean")
    error = dict(zip(names(table), np.log(table["error"]), strict=True))
    found = {}
    for unit, net in profiles(rows, networks, "all").items():
        net = net[net["stage"] == "trained"]
        if len(net) > 2 and unit in error:
            found[unit] = (error[unit], *np.interp([early, 1.0], net["relative_depth"], np.log(net["R"])))
    if not found:
        return nothing()
    return bootstrap(lambda e, a, b: correlation(e, b) - correlation(e, a), *np.array(list(found.values())).T,
                     units=found, seed=seed, distinct=3)  # fmt: skip


def spread_of_gain(
    rows: pd.DataFrame, *, networks: str = "everywhere", families: Sequence = MODERN, seed: int
) -> Measurement:
    """The largest share of the fall of log R, from layer 1 to the output, that one third of the depth does; mean."""
    shares = {}
    for unit, net in profiles(rows, networks, families).items():
        net = net[net["stage"] == "trained"]
        logs = np.log(net["R"])
        if len(net) > 3 and logs.iloc[0] > logs.iloc[-1]:
            at = np.interp(np.linspace(net["relative_depth"].iloc[0], 1, 4), net["relative_depth"], logs)
            shares[unit] = float((at[:-1] - at[1:]).max() / (logs.iloc[0] - logs.iloc[-1]))
    return bootstrap(mean, list(shares.values()), units=shares, seed=seed)


def _shuffled(rows: pd.DataFrame, networks: str) -> dict:
    """Of each network whose channels were shuffled: relative depth and log of R shuffled over R, k ≥ 1."""
    found = {}
    for unit, net in profiles(rows, networks).items():
        logs = np.log(net.pivot(index="relative_depth", columns="stage", values="R"))
        if {"shuffled", "trained"} <= set(logs):
            found[unit] = (logs["shuffled"] - logs["trained"]).dropna()
    return found


def share_overlapping(rows: pd.DataFrame, *, factor: float | int, networks: str = "ours", seed: int) -> Measurement:
    """Share of networks whose R_k moves by less than a factor, up or down,
    in the first half when channels are shuffled.
    """
    moved = {u: np.exp(x[x.index <= 0.5].abs().mean()) for u, x in _shuffled(rows, networks).items()}
    return share([value < factor for value in moved.values()], units=moved, seed=seed)


def share_raised_late(rows: pd.DataFrame, *, factor: float | int, networks: str = "ours", seed: int) -> Measurement:
    """Share of networks whose R_k grows by at least a factor in the last third when channels are shuffled."""
    moved = {u: np.exp(x[x.index > 2 / 3].mean()) for u, x in _shuffled(rows, networks).items()}
    return share([value >= factor for value in moved.values()], units=moved, seed=seed)


def share_parting(rows: pd.DataFrame, *, networks: str = "ours", seed: int) -> Measurement:
    """Share of networks in which shuffling raises log R_k more in the last third than it moves it in the first half."""
    later = {
        u: x[x.index > 2 / 3].mean() > x[x.index <= 0.5].abs().mean() for u, x in _shuffled(rows, networks).items()
    }
    return share(later.values(), units=later, seed=seed)


def moved_layers(
    rows: pd.DataFrame, *, layers: Sequence, families: Sequence, networks: str = "ours", seed: int
) -> Measurement:
    """Factor, at least one, by which shuffling moves R_k of some layers: geometric mean over layers and networks."""
    found = {}
    for unit, net in profiles(rows, networks, families).items():
        logs = np.log(net.pivot(index="depth", columns="stage", values="R"))
        moved = logs.reindex(columns=["shuffled", "trained"]).diff(axis=1)["trained"].abs().dropna()
        if set(layers) <= set(moved.index):
            found[unit] = float(np.exp(moved[list(layers)].mean()))
    return bootstrap(geometric, list(found.values()), units=found, seed=seed)


def pooled_in_space(rows: pd.DataFrame, *, networks: str = "ours", seed: int) -> Measurement:
    """Share of the fall of log R, from layer 1 to the output, that is left when channels are shuffled; median."""
    found = {}
    for unit, net in profiles(rows, networks).items():
        logs = np.log(net.pivot(index="depth", columns="stage", values="R"))
        if {"shuffled", "trained"} <= set(logs):
            fall = (logs.iloc[0] - logs.iloc[-1])[["shuffled", "trained"]]
            found[unit] = float(fall["shuffled"] / fall["trained"])
    return bootstrap(median, list(found.values()), units=found, seed=seed)


# ---- filters


def _growth(rows: pd.DataFrame, layers: Sequence, architecture: str) -> dict:
    """Growth of the constant mode over the mean of the eight others: {seed: [a value a layer]}, the widest network."""
    table = tables.growth(rows)
    table = tables.on_full_set(tables.without_controls(table[table["architecture"] == architecture]))
    table = tables.largest(members(table))
    last = table.groupby("seed")["epoch"].transform("max") if len(table) else table["epoch"]
    table = table[table["epoch"] == last]
    found = {}
    for number, part in table.groupby("seed"):
        growth = part.pivot(index="depth", columns="eigenvalue", values="growth")
        if {0, 1, 2, 3, 4, 6} <= set(growth) and set(layers) <= set(growth.index):
            others = (2 * growth[1] + growth[2] + 2 * growth[3] + 2 * growth[4] + growth[6]) / 8
            found[f"{architecture}, seed {number}"] = (growth[0] / others)[list(layers)].to_numpy()
    return found


def low_modes(
    rows: pd.DataFrame, *, layers: Sequence, pick: str = "min", architecture: str = "vgg11_bn", seed: int
) -> Measurement:
    """Growth of the constant mode over the mean of the others: `pick` over the layers of geometric means over seeds."""
    found = _growth(rows, layers, architecture)
    columns = np.log(np.array(list(found.values()))).T if found else np.zeros((len(layers), 0))
    return bootstrap(
        lambda x: np.exp(getattr(np, pick)(mean(x), 0)), columns, units=found, seed=seed, needs=SEEDS, what="seeds"
    )


# ---- training sets of several sizes


def curves(
    rows: pd.DataFrame, *, families: Sequence | str = "all", datasets: Sequence | None = None, **probe: Any
) -> dict:
    """The networks trained on several P: {name: table by train_size}, seeds averaged."""
    table = tables.learning_sets(rows, **probe)
    if families != "all":
        table = table[table["architecture"].str.startswith(tuple(families))]
    if datasets is not None:
        table = table[table["dataset"].isin(datasets)]
    groups = table.groupby(["dataset", "architecture", "width"])
    return {name(dict(zip(("dataset", "architecture", "width"), key, strict=True))): curve for key, curve in groups}


def together(rows: pd.DataFrame, *, families: Sequence = MODERN, seed: int) -> Measurement:
    """Rank correlation of error and R along the curve of P; mean over networks."""
    found = {
        unit: curve["error"].rank().corr(curve["R"].rank()) for unit, curve in curves(rows, families=families).items()
    }
    return bootstrap(mean, list(found.values()), units=found, seed=seed)


def share_of_curves(
    rows: pd.DataFrame, *, quantity: str, rising: bool, cuts: Sequence = (3,), families: Sequence = MODERN, seed: int
) -> Measurement:
    """Share of the curves along which a quantity rises (or falls) from the smallest to the largest P,
    at every cut-off.
    """
    kept = {}
    for cut in cuts:
        for unit, curve in curves(rows, families=families, cut=cut).items():
            grown = curve[quantity].iloc[-1] > curve[quantity].iloc[0]
            kept.setdefault(unit, []).append(grown == rising)
    return share(map(all, kept.values()), units=kept, seed=seed)


def share_of_steps(
    rows: pd.DataFrame, *, quantity: str, rising: bool, families: Sequence | str = MODERN, seed: int
) -> Measurement:
    """Share of the steps from one P to the next at which a quantity rises (or falls); mean over curves."""
    found = {}
    for unit, curve in curves(rows, families=families).items():
        if len(curve) > 1:
            found[unit] = float(np.mean((np.diff(curve[quantity]) > 0) == rising))
    return bootstrap(mean, list(found.values()), units=found, seed=seed)


def change_along(
    rows: pd.DataFrame,
    *,
    quantity: str,
    families: Sequence = MODERN,
    datasets: Sequence | None = None,
    at_least: float | int = 0,
    up_to: float | int | None = None,
    fit: bool = False,
    seed: int,
) -> Measurement:
    """Factor of a quantity from the smallest to the largest P (or its exponent in P): geometric mean over curves."""
    found = {}
    for unit, curve in curves(rows, families=families, datasets=datasets).items():
        curve = curve[(curve["train_size"] >= at_least) & (curve["train_size"] <= (up_to or np.inf))]
        if len(curve) > 1:
            logs = np.log(curve[["train_size", quantity]].to_numpy(float))
            found[unit] = np.polyfit(*logs.T, 1)[0] if fit else np.exp(logs[-1, 1] - logs[0, 1])
    return bootstrap(mean if fit else geometric, list(found.values()), units=found, seed=seed)


def noise_faster_where_stable(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Rank correlation over curves of log R at the largest P with the exponent of G in P."""
    found = {}
    for unit, curve in curves(rows).items():
        logs = np.log(curve[["train_size", "G"]].to_numpy(float))
        found[unit] = (np.log(curve["R"].iloc[-1]), np.polyfit(*logs.T, 1)[0])
    columns = np.array(list(found.values())).T if found else np.zeros((2, 0))
    return bootstrap(rank_correlation, *columns, units=found, seed=seed, distinct=3)


def small_displacement(rows: pd.DataFrame, *, seed: int, networks: str = "ours") -> Measurement:
    """R with Gaussian over R with bilinear interpolation at the smallest δ probed, c = 3; geometric mean."""
    swept = tables.sweeps(rows)
    if swept.empty:
        return nothing()
    delta = swept["displacement"].min()
    sides = [
        points(rows, networks, displacement=delta, interpolation=i).set_index(tables.NETWORK)["R"]
        for i in ("gaussian", "bilinear")
    ]
    ratio = (sides[0] / sides[1]).dropna().reset_index()
    return bootstrap(geometric, ratio["R"], units=names(ratio), seed=seed)


# ---- no networks


def smoothing() -> Measurement:
    """Largest step between neighbours after 2 x 2 means, over the one before: worst of 1,000 random maps (A Fig. 2)."""
    maps = np.random.default_rng(0).random((1000, 6, 6))
    pooled = sum(maps[:, i : i + 5, j : j + 5] for i in (0, 1) for j in (0, 1)) / 4
    return exact((_steps(pooled) / _steps(maps)).max())


def _steps(maps: np.ndarray) -> np.ndarray:
    """Largest difference between neighbours, for a stack of maps."""
    return np.maximum(np.abs(np.diff(maps, axis=1)).max((1, 2)), np.abs(np.diff(maps, axis=2)).max((1, 2)))
