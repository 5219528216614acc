"""The zoo's rows as tables that figures and claims share: one line a network, profiles, growth, B's law.

Averages over seeds and shuffles are geometric, as in B (the mean of log D, log G and log R, each by itself).
Networks that diverged or collapsed are left out everywhere and listed by `failures`.

>>> import numpy as np
>>> R = np.array([0.01, 0.1, 1.0, 4.0])
>>> law(0.2 * np.sqrt(R), R).slope.round(6), law(0.2 * np.sqrt(R), R).prefactor.round(6)
(np.float64(0.5), np.float64(0.2))
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from relbook.measurement import remembered
from relbook.studies.select import UNSHUFFLED, Kind, Stage, Statistic, select
from relstab.store import Rows

UNIT = ["dataset", "architecture", "width", "train_size", "noise", "augment", "recipe", "epochs", "seed"]
NETWORK = ["dataset", "architecture", "width", "epochs", "recipe"]  # what a point of an error plot stands for
QUANTITIES = ["D", "G", "R"]
ON_TRUE_PIXELS = {"cifar10-jpeg": "cifar10-lossless"}  # what a network of the key is measured on
EVERY_SIZE = 0  # train_size of the networks trained on all images
DRAWS = 2000  # resampled sets of networks for the interval of a correlation


def failures(rows: pd.DataFrame, *, unit: Sequence = UNIT) -> pd.DataFrame:
    """The networks whose training diverged or collapsed: one line each, with the status. unit: a network's fields."""
    training = select(rows, kind=Kind.TRAINING).reindex(columns=[*unit, "status", "train_loss"])
    return training[training["status"] != "ok"].reset_index(drop=True)


@remembered
def measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Sensitivity rows on the main images of each data set, unfailed networks only."""
    chosen = select(rows, kind=Kind.SENSITIVITY)
    chosen = chosen[chosen["images"] == chosen["dataset"].replace(ON_TRUE_PIXELS)]
    failed = failures(rows)
    if len(failed):
        bad = pd.MultiIndex.from_frame(failed[UNIT])
        chosen = chosen[~pd.MultiIndex.from_frame(chosen[UNIT]).isin(bad)]
    return chosen


def outputs(
    rows: pd.DataFrame,
    *,
    stage: str = Stage.TRAINED,
    statistic: str = Statistic.COMPONENT_MEDIAN,
    displacement: float | int = 1.0,
    cut: float | int = 3,
    interpolation: str = "bilinear",
) -> pd.DataFrame:
    """D, G and R at the output: one line a network. The default statistic is B's; A takes "mean"."""
    probe = {"statistic": statistic, "displacement": displacement, "cut": cut, "interpolation": interpolation}
    table = select(measured(rows), layer="output", shuffle=UNSHUFFLED, stage=stage, **probe)
    return table[[*UNIT, *QUANTITIES]].reset_index(drop=True)


@remembered
def networks(rows: pd.DataFrame, **probe: Any) -> pd.DataFrame:
    """One line a network: its fields, D, G, R (options of `outputs`), and `error`.

    The error is measured on the test set, but the published one for networks that others trained.
    """
    training = select(rows, kind=Kind.TRAINING).reindex(columns=[*UNIT, "test_error", "published_error"])
    training["error"] = training["published_error"].fillna(training["test_error"])
    return outputs(rows, **probe).merge(training[[*UNIT, "error"]], on=UNIT)


def on_full_set(table: pd.DataFrame) -> pd.DataFrame:
    """The networks trained on all images, without noise, with the data set's usual augmentation."""
    whole = (table["train_size"] == EVERY_SIZE) & (table["noise"] == 0)
    return table[whole & _usual_augmentation(table)]


def without_controls(table: pd.DataFrame) -> pd.DataFrame:
    """A table of networks without those that only end a noise sweep at noise 0, which are trained more shortly.

    A network of a sweep is one of several levels of noise with the same data set, architecture, width and epochs. It
    goes if there are networks of its data set and architecture that are in no sweep.
    """
    if table.empty:
        return table
    kind = ["dataset", "architecture"]
    swept = table.groupby([*kind, "width", "epochs"])["noise"].transform("nunique") > 1
    whole = (table["train_size"] == EVERY_SIZE) & ~swept
    return table[~swept | ~whole.groupby([table[name] for name in kind]).transform("any")]


def _usual_augmentation(table: pd.DataFrame) -> pd.Series:
    coloured = table["dataset"].str.startswith("cifar10") & (table["recipe"] != "published")
    return table["augment"] == coloured


def geometric(table: pd.DataFrame, by: Sequence) -> pd.DataFrame:
    """Geometric means of D, G, R (and of the error) over the lines that agree in `by`; `n` counts them."""
    columns = [name for name in (*QUANTITIES, "error") if name in table]
    logs = table[columns].apply(np.log).groupby([table[name] for name in by], sort=False)
    means = np.exp(logs.mean())
    return means.assign(n=logs.size()).reset_index()


class Law(NamedTuple):
    """log ε = slope log R + const; prefactor a of ε = a √R; correlation of the logs, its 95 % interval."""

    slope: float
    prefactor: float
    correlation: float
    low: float
    high: float
    count: int


def correlation(x: np.ndarray | pd.Series, y: np.ndarray | pd.Series) -> float:
    """Pearson correlation of the logarithms (B, footnote 3; A Fig. 1); NaN for fewer than three networks."""
    x, y = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 2 and x.std() > 0 and y.std() > 0 else float("nan")


def interval(x: np.ndarray | pd.Series, y: np.ndarray | pd.Series, *, seed: int = 0) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantiles of `correlation` over networks resampled with replacement."""
    x, y = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    picks = np.random.default_rng(seed).integers(len(x), size=(DRAWS, len(x)))
    picks = picks[(np.diff(np.sort(picks), axis=1) > 0).sum(1) > 1]  # three different networks at least
    x, y = (values[picks] - values[picks].mean(1, keepdims=True) for values in (x, y))
    with np.errstate(invalid="ignore"):
        draws = (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))
    return tuple(float(q) for q in np.nanquantile(draws, (0.025, 0.975))) if len(draws) else (float("nan"),) * 2


def law(error: np.ndarray | pd.Series, R: np.ndarray | pd.Series) -> Law:
    """B's law ε ≈ 0.2 √R, fitted to networks (B Fig. 5)."""
    error, R = np.asarray(error, float), np.asarray(R, float)
    slope = np.polyfit(np.log(R), np.log(error), 1)[0] if len(R) > 1 else float("nan")
    prefactor = np.exp(np.mean(np.log(error) - np.log(R) / 2))
    return Law(slope, prefactor, correlation(R, error), *interval(R, error), len(R))


@remembered
def profiles(rows: pd.DataFrame) -> pd.DataFrame:
    """D, G, R against relative depth: stage "init", "trained" or "shuffled", seeds and shuffles averaged."""
    table = select(measured(rows), statistic=Statistic.MEAN, displacement=1.0, cut=3).copy()
    table["stage"] = table["stage"].mask(table["shuffle"] >= 0, str(Stage.SHUFFLED))
    by = [name for name in UNIT if name != "seed"]
    means = geometric(table, [*by, "stage", "depth", "relative_depth"])
    deep = means.groupby([*by, "stage"])["depth"].transform("size") > 1  # a lone output is no profile
    return means[deep].reset_index(drop=True)


def largest(table: pd.DataFrame) -> pd.DataFrame:
    """Of each architecture on a data set the lines of its widest network, and of those the longest trained."""
    for size in ("width", "epochs"):
        table = table[table[size] == table.groupby(["dataset", "architecture"])[size].transform("max")]
    return table


def shortest_and_longest(rows: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """Two tables of rows: of each architecture trained here on CIFAR-10 in several sizes the smallest one,
    and the largest.

    A size is a width and a number of epochs; only full sets without noise and with the usual augmentation.
    """
    here = on_full_set(rows[rows["recipe"].ne("published") & rows["dataset"].ne("cifar10-lossless")])
    here = here[here["dataset"].isin(main_datasets(here))] if len(here) else here
    sizes = here.groupby("architecture")[["width", "epochs"]].transform("nunique").max(axis=1)
    ends = []
    for end in ("min", "max"):
        part = here[sizes > 1]
        for size in ("width", "epochs"):
            part = part[part[size] == part.groupby("architecture")[size].transform(end)]
        ends.append(part)
    return tuple(ends)


def trained_profile(rows: pd.DataFrame, architecture: str) -> pd.DataFrame:
    """D, G and R by layer of one trained network, as `relstab.sensitivity` gives them; empty if it was not probed."""
    table = profiles(rows) if len(rows) else pd.DataFrame(columns=["architecture", "stage"])
    table = select(table, architecture=architecture, stage=Stage.TRAINED)
    return table.reindex(columns=["depth", "relative_depth", *QUANTITIES]).reset_index(drop=True)


@remembered
def growth(rows: pd.DataFrame, *, unit: Sequence = UNIT) -> pd.DataFrame:
    """Laplacian modes over time: a line per network, layer, epoch and eigenvalue; `growth` = γ(t) / γ(0).

    Args:
        unit: the columns that tell networks apart.
    """
    table = select(rows, kind=Kind.MODES)
    names = [name for name in table if name.startswith("gamma_")]
    long = table.melt([*unit, "layer", "depth", "epoch"], names, "mode", "gamma").dropna(subset="gamma")
    long["eigenvalue"] = long.pop("mode").str.removeprefix("gamma_").astype(int)
    start = long[long["epoch"] == 0].rename(columns={"gamma": "start"}).drop(columns="epoch")
    long = long.merge(start, on=[*unit, "layer", "depth", "eigenvalue"])
    return long.assign(growth=long["gamma"] / long["start"]).drop(columns="start")


def encodings(rows: pd.DataFrame) -> pd.DataFrame:
    """What JPEG does: errors and mean R on the same pictures, a line per network of "cifar10-jpeg"."""
    training = select(rows, kind=Kind.TRAINING, dataset="cifar10-jpeg")
    found = training.reindex(columns=[*UNIT, "error_lossless", "error_jpeg"])
    probe = {"statistic": Statistic.MEAN, "displacement": 1.0, "cut": 3}
    table = select(rows, kind=Kind.SENSITIVITY, stage=Stage.TRAINED, shuffle=UNSHUFFLED, layer="output", **probe)
    for encoding in ("lossless", "jpeg"):
        one = table[table["images"] == f"cifar10-{encoding}"][[*UNIT, *QUANTITIES]]
        found = found.merge(one.rename(columns={q: f"{q}_{encoding}" for q in QUANTITIES}), on=UNIT)
    return found


def main_datasets(rows: pd.DataFrame) -> list[str]:
    """The data sets a figure on CIFAR-10 shows: CIFAR-10's variants with networks here, else all there are.

    A variant is an encoding of the same pictures; "cifar10-lossless" are networks that others trained.
    """
    present = list(dict.fromkeys(rows["dataset"]))
    return [name for name in present if name.startswith("cifar10")] or present


def compared(
    rows: pd.DataFrame, datasets: Sequence[str] | None = None, *, each_seed: bool = False, **probe: Any
) -> pd.DataFrame:
    """One line a network of an error plot (B Fig. 5): trained on the largest set, seeds averaged or each.

    Args:
        datasets: default CIFAR-10, or what there is.
        **probe: options of `outputs`.
    """
    table = without_controls(networks(rows, **probe))
    table = table[(table["noise"] == 0) & table["dataset"].isin(datasets or main_datasets(rows))]
    size = table["train_size"].replace(EVERY_SIZE, np.iinfo(np.int64).max)
    table = table[size == size.groupby(table["dataset"]).transform("max")]
    return geometric(table[_usual_augmentation(table)], [*NETWORK, *(["seed"] if each_seed else [])])


def behind_compared(rows: pd.DataFrame) -> Rows:
    """The networks of `compared`, each seed, with what a caption says of them (`relbook.page.stated`)."""
    found = compared(rows, each_seed=True)
    found = found.assign(probes=rows["probes"].max()) if "probes" in rows else found
    return Rows(found).of(rows.study, rows.scale)


def groups(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The networks of an error plot by who they are: {name: table}; the last group is homogeneous, the first is all.

    >>> names = ["fc_l2", "lenet", "vgg11", "cifar_resnet20"]
    >>> for name, part in groups(pd.DataFrame({"architecture": names})).items():
    ...     print(name, len(part))
    all networks 4
    without fully connected ones 3
    without those of others 3
    convolutional, trained here 2
    """
    connected = table["architecture"].str.startswith("fc")
    others = table["architecture"].str.startswith("cifar_resnet")
    return {
        "all networks": table,
        "without fully connected ones": table[~connected],
        "without those of others": table[~others],
        "convolutional, trained here": table[~connected & ~others],
    }


def signs(rows: pd.DataFrame, *, statistic: str = "mean") -> pd.DataFrame:
    """Correlations of log error with log D, log G and log R within the `groups` of networks, a line a group.

    Args:
        statistic: "mean", that of the question (A), or B's "component_median".
    """
    found = groups(compared(rows, statistic=statistic))
    lines = {
        name: {"networks": len(part)} | {q: correlation(part[q], part["error"]) for q in QUANTITIES}
        for name, part in found.items()
    }
    return pd.DataFrame(lines).T.astype({"networks": int})


def causes(rows: pd.DataFrame) -> pd.DataFrame:
    """What one change does to R at the output, everything else equal: a line a cause, with the factors that were found.

    Columns: networks (pairs), smallest, median and largest factor on R. Only pairs of CIFAR-10 networks that
    differ in nothing else, seeds averaged; a factor of one is no effect.
    """
    table, every = compared(rows), networks(rows)
    every = every[(every["train_size"] == EVERY_SIZE) & (every["noise"] == 0)]
    every = every[every["dataset"].isin(main_datasets(rows))]
    usual = every[_usual_augmentation(every)]
    pairs = {
        "longer training": _pairs(usual, "epochs"),
        "twice the width": _pairs(usual, "width"),
        "crops and flips": _pairs(every, "augment"),
    }
    for name, probe in {
        "means for component medians": {"statistic": "mean"},
        "δ = 2 for δ = 1": {"displacement": 2.0},
        "c = 5 for c = 3": {"cut": 5},
    }.items():
        both = table.merge(compared(rows, **probe), on=NETWORK, suffixes=("", "_other"))
        pairs[name] = both["R_other"] / both["R"]
    encoded = encodings(rows)
    encoded = encoded[(encoded["noise"] == 0) & (encoded["train_size"] == EVERY_SIZE)]
    pairs["probed on JPEG copies"] = encoded["R_jpeg"] / encoded["R_lossless"]
    lines = {
        name: {"pairs": len(found), "smallest": found.min(), "median": found.median(), "largest": found.max()}
        for name, found in pairs.items()
        if len(found)
    }
    return pd.DataFrame(lines).T.astype({"pairs": int})


def _pairs(table: pd.DataFrame, name: str) -> pd.Series:
    """R at the largest value of the field over R at the smallest, for networks that agree in all other fields."""
    if table.empty:
        return pd.Series(dtype=float)
    by = [
        column
        for column in ("dataset", "architecture", "recipe", "width", "epochs", "augment")
        if column in table and column != name
    ]
    means = np.exp(np.log(table["R"]).groupby([table[column] for column in (*by, name)]).mean()).reset_index()
    ends = means.sort_values(name).groupby(by)
    found = ends["R"].last() / ends["R"].first()
    return found[ends[name].nunique() > 1]


def error_correlation(rows: pd.DataFrame, quantity: str = "R", **options: Any) -> float:
    """Correlation of log error with log D, G or R over the networks of `compared`."""
    table = compared(rows, **options)
    return correlation(table[quantity], table["error"])


def learning_sets(rows: pd.DataFrame, *, each_seed: bool = False, **probe: Any) -> pd.DataFrame:
    """The networks trained on subsets of several sizes P for one number of steps; seeds averaged or each."""
    table = networks(rows, **probe)
    table = table[(table["train_size"] > 0) & (table["noise"] == 0)]
    by = ["dataset", "architecture", "width"]
    table = geometric(table, [*by, "train_size", *(["seed"] if each_seed else [])])
    several = table.groupby(by)["train_size"].transform("nunique") > 1
    return table[several].sort_values("train_size")


def noise_networks(rows: pd.DataFrame) -> pd.DataFrame:
    """The networks trained at several levels of noise on their images (A Figs. 1 right, 10): a line each."""
    table = networks(rows, statistic="mean")
    table = table[(table["train_size"] == EVERY_SIZE) & (table["recipe"] != "published")]
    by = ["dataset", "architecture", "width", "epochs"]
    table = table[table.groupby(by)["noise"].transform("nunique") > 1]
    return geometric(table, ["noise", "architecture", "width"])


def shuffled(rows: pd.DataFrame, datasets: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows of the networks whose channel shuffles were probed (A Fig. 3), not fully connected."""
    probed = rows["dataset"].isin(datasets or main_datasets(rows)) & (rows["shuffles"] > 0)
    return rows[probed & ~rows["architecture"].str.startswith("fc")]


def filters(rows: pd.DataFrame, architecture: str = "vgg11_bn", datasets: Sequence[str] | None = None) -> pd.DataFrame:
    """Mode growth of the widest and longest trained network of an architecture, seeds averaged (A Fig. 4)."""
    table = on_full_set(growth(rows))
    table = table[table["dataset"].isin(datasets or main_datasets(rows))]
    table = table[(table["architecture"] == architecture) & (table["epoch"] > 0)]
    for size in ("width", "epochs"):
        table = table[table[size] == table[size].max()]
    logs = np.log(table["growth"]).groupby([table[name] for name in ("depth", "epoch", "eigenvalue")])
    found = np.exp(logs.mean()).reset_index()
    found.attrs["width"] = table["width"].max() if len(table) else 1
    return found


def other_datasets(rows: pd.DataFrame) -> list[str]:
    """The data sets of networks trained here, but for CIFAR-10's variants (B Fig. 20)."""
    return [name for name in dict.fromkeys(rows["dataset"]) if not name.startswith("cifar10")]


def larger_displacement(rows: pd.DataFrame) -> float:
    """The first probed δ above 1 pixel, where interpolation does not matter (B Figs. 3, 21); or NaN."""
    values = rows["displacement"][rows["displacement"] > 1]
    return float(values.min()) if len(values) else float("nan")


def trained_here(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a network that was trained here on a full set, without noise."""
    table = on_full_set(networks(rows))
    return table[table["recipe"] != "published"]


def sweeps(rows: pd.DataFrame) -> pd.DataFrame:
    """Output rows of the networks that were probed at more than two displacements (B Fig. 3, left)."""
    table = select(measured(rows), layer="output", shuffle=UNSHUFFLED)
    return table[table.groupby(UNIT)["displacement"].transform("nunique") > 2]


def with_and_without_augmentation(rows: pd.DataFrame) -> pd.DataFrame:
    """Networks trained both ways on a full set, all else equal (B Fig. 12)."""
    table = networks(rows)
    table = table[(table["train_size"] == EVERY_SIZE) & (table["noise"] == 0) & (table["recipe"] != "published")]
    rest = [name for name in UNIT if name != "augment"]
    return table[table.groupby(rest)["augment"].transform("nunique") == 2]
