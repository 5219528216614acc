"""The rows of the study `others` as tables that its figures and claims share: one line a network.

>>> family("c32k3p1 bn mp c64k3p1 bn mp fc10"), family("CifarResNet n=3"), family("fc128 fc10")
('convolutional, batch norm', 'residual', 'fully connected')
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from relbook.measurement import Measurement, remembered
from relbook.studies.select import UNSHUFFLED, Kind, Stage, Statistic, select

QUANTITIES = ["D", "G", "R"]
FITTED, NOT_FITTED = 0.1, 0.2  # training error below, or at least
LARGEST_ERROR = {"mnist": 0.2, "cifar10-lossless": 0.65, "fashion-mini": 0.65}
STATED_WITHIN = 0.03
FAMILIES = ("residual", "dense", "convolutional, batch norm", "convolutional", "transformer", "fully connected")
REASONS = ("error too large", "not the error that its source states")
COLUMNS = [
    "name",
    "dataset",
    "architecture",
    "family",
    "repository",
    "robust",
    "parameters",
    "test_error",
    "error_jpeg",
    "train_error",
    "published_error",
    "refused",
]
SWEEP = ["name", "dataset", "displacement", "interpolation", *QUANTITIES, "R_low", "R_high", "train_error", "family",
         "repository", "robust"]  # fmt: skip


def family(architecture: str) -> str:
    """What kind of network an architecture in short is; a chain is known by its layers."""
    words = architecture.replace("Hybrid", "ViT").split()
    kinds = {"Res": "residual", "Dense": "dense", "ViT": "transformer", "Mobile": "convolutional, batch norm"}
    for part, kind in kinds.items():
        if part in words[0]:
            return kind
    if any(word[0] == "c" and word[1:2].isdigit() for word in words) or words[0][0].isupper():
        return "convolutional, batch norm" if "bn" in words else "convolutional"
    return "fully connected"


def refused(network: Mapping) -> str:
    """Why a network is left out, or "": its error has to show that it was rebuilt rightly."""
    if network["test_error"] > LARGEST_ERROR[network["dataset"]]:
        return REASONS[0]
    stated = network["published_error"]
    if pd.notna(stated) and abs(network["test_error"] - stated) > STATED_WITHIN:
        return REASONS[1]
    return ""


@remembered
def found(rows: pd.DataFrame) -> pd.DataFrame:
    """Every network that was measured, a line each, with the reason where it was refused."""
    table = select(rows, kind=Kind.NETWORK)
    if table.empty:
        return pd.DataFrame(columns=COLUMNS)
    table = table.assign(
        family=table["architecture"].map(family),
        refused=[refused(line) for line in table.to_dict("records")],
        robust=table["robust"].astype(bool),
    )
    return table.reindex(columns=COLUMNS).reset_index(drop=True)


@remembered
def measured(
    rows: pd.DataFrame,
    *,
    statistic: str = "component_median",
    stage: str = "trained",
    cut: int = 3,
    images: str | None = None,
) -> pd.DataFrame:
    """D, G, R at the output with R's interval, a line a network: on its data set's images, or on `images`."""
    chosen = select(rows, kind=Kind.SENSITIVITY, stage=stage, cut=cut, statistic=statistic)
    chosen = chosen[chosen["images"] == (images or chosen["dataset"])]
    return chosen[["name", *QUANTITIES, "R_low", "R_high"]]


@remembered
def networks(
    rows: pd.DataFrame, *, statistic: str = "component_median", dataset: str = "cifar10-lossless", cut: int = 3
) -> pd.DataFrame:
    """The networks that are not refused, a line each: errors, D, G, R, R_low, R_high, and D_init, G_init, R_init."""
    table = found(rows)
    table = table[(table["refused"] == "") & (table["dataset"] == dataset)].drop(columns="refused")
    if table.empty:
        return table.reindex(columns=[*table, *QUANTITIES, "R_low", "R_high", *(f"{q}_init" for q in QUANTITIES)])
    table = table.merge(measured(rows, statistic=statistic, cut=cut), on="name")
    fresh = measured(rows, statistic=statistic, stage="init").set_index("name")[QUANTITIES].add_suffix("_init")
    return table.merge(fresh, left_on="name", right_index=True)


def matched(rows: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """Those of `natural` that were measured with noise of the deformation's spectrum, too.

    Columns more: G_matched, R_matched, R_matched_init.
    """
    table = natural(rows, **options)
    statistic = options.get("statistic", "component_median")
    for stage, columns in (("trained", {"G": "G_matched", "R": "R_matched"}), ("init", {"R": "R_matched_init"})):
        chosen = select(rows, kind=Kind.MATCHED, stage=stage, statistic=statistic)
        table = table.merge(chosen.reindex(columns=["name", *columns]).rename(columns=columns), on="name")
    return table


def natural(rows: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """Those of `networks` that were not trained to be robust."""
    table = networks(rows, **options)
    return table[~table["robust"].astype(bool)].reset_index(drop=True)


def fitted(table: pd.DataFrame) -> pd.DataFrame:
    """Networks that fit their training set."""
    return table[table["train_error"] < FITTED]


def not_fitted(table: pd.DataFrame) -> pd.DataFrame:
    """Networks that do not."""
    return table[table["train_error"] >= NOT_FITTED]


def sweep(rows: pd.DataFrame, *, statistic: str = "component_median") -> pd.DataFrame:
    """R against δ at the output for both interpolations, networks that are not refused."""
    if rows.empty:
        return pd.DataFrame(columns=SWEEP)
    table = select(rows, kind=Kind.SWEEP, statistic=statistic)
    accepted = found(rows).query("refused == ''")[["name", "train_error", "family", "repository", "robust"]]
    return table.merge(accepted, on="name", suffixes=("_row", ""))[SWEEP]


def interpolations(rows: pd.DataFrame, displacement: float, **options: Any) -> pd.DataFrame:
    """R with bilinear over R with Gaussian interpolation at one δ, a line a natural network on CIFAR-10."""
    table = sweep(rows, **options)
    table = table[np.isclose(table["displacement"], displacement) & (table["dataset"] == "cifar10-lossless")]
    table = table[~table["robust"].astype(bool)]
    wide = table.pivot(index=["name", "repository"], columns="interpolation", values="R").reset_index()
    return wide.reindex(columns=["name", "repository", "bilinear", "gaussian"]).eval("ratio = bilinear / gaussian")


def shuffled(rows: pd.DataFrame) -> pd.DataFrame:
    """What channel shuffles do to R at the output: a line a network and treatment of BatchNorm,
    mean over draws of the log.

    Columns R (trained, on the same images and deformations), R_shuffled, ratio, batch_norm: "recorded", "re-estimated";
    networks without BatchNorm count as both.
    """
    chosen = select(rows, kind=Kind.SHUFFLED, layer="output")
    chosen = chosen[chosen["R"] > 0]
    logs = np.log(chosen["R"].astype(float)).groupby([chosen["name"], chosen["batch_norm"]]).mean()
    table = np.exp(logs).rename("R_shuffled").reset_index()
    both = table.groupby("name")["batch_norm"].transform("size") > 1
    table = pd.concat([table, table[~both].assign(batch_norm="re-estimated")], ignore_index=True)
    whole = sweep(rows, statistic="mean")
    whole = whole[np.isclose(whole["displacement"], 1) & (whole["interpolation"] == "bilinear")]
    table = table.merge(whole[["name", "dataset", "R", "family", "repository", "robust", "train_error"]], on="name")
    return table.assign(ratio=table["R_shuffled"] / table["R"])


def profiles(rows: pd.DataFrame, *, kind: str = "profile") -> pd.DataFrame:
    """D, G, R by relative depth, at initialisation and trained, networks that are not refused.

    Args:
        kind: "profile" with white noise, "matched_profile" with noise of the deformation's spectrum.
    """
    columns = ["name", "dataset", "stage", "layer", "depth", "relative_depth", *QUANTITIES]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    accepted = found(rows).query("refused == ''")["name"]
    table = rows[(rows["kind"] == kind) & rows["name"].isin(accepted)]
    return table.reindex(columns=columns)


def refusals(rows: pd.DataFrame) -> pd.DataFrame:
    """How many networks were measured and accepted, and how many refused for each reason."""
    table = found(rows)
    counts = {"measured": len(table), "accepted": int((table["refused"] == "").sum())}
    counts |= {f"refused: {reason}": int((table["refused"] == reason).sum()) for reason in REASONS}
    return pd.DataFrame({"networks": counts})


def regression(y: np.ndarray, columns: Sequence, weights: np.ndarray) -> np.ndarray:
    """Least-squares coefficients of y on the columns and a constant over the last axis: [..., column].

    >>> x = np.arange(5.0)
    >>> regression(2 * x - 3 * x**2, [x, x**2], np.ones(5)).round(6).tolist()
    [2.0, -3.0]
    """
    design = np.stack(np.broadcast_arrays(*columns, np.ones_like(columns[0])), -1)  # [..., n, column]
    scaled = design * np.asarray(weights)[..., None]
    gram = np.swapaxes(scaled, -1, -2) @ design
    right = np.swapaxes(scaled, -1, -2) @ np.broadcast_to(y, design.shape[:-1])[..., None]
    return (np.linalg.pinv(gram, hermitian=True) @ right)[..., :-1, 0]


def by_family(rows: pd.DataFrame, dataset: str = "cifar10-lossless") -> pd.DataFrame:
    """A line a family of networks that are not refused: how many, and the ranges of their errors and of R."""
    table = networks(rows, dataset=dataset)
    lines = []
    for name in FAMILIES:
        part = table[table["family"] == name]
        if len(part):
            line = {
                "family": name,
                "networks": len(part),
                "repositories": part["repository"].nunique(),
                "fitted": len(fitted(part)),
            }
            for title, column in (("test error", "test_error"), ("training error", "train_error"), ("R", "R")):
                line[title] = f"{part[column].min():.2f} to {part[column].max():.2f}"
            lines.append(line)
    return pd.DataFrame(lines)


def everything(
    rows: pd.DataFrame, entries: Mapping[str, Mapping], imagenet: pd.DataFrame | None = None
) -> pd.DataFrame:
    """All networks, refused ones too, with their sources: what the page offers as CSV.

    Args:
        rows: Of the study `others`.
        entries: {name: line of its table of networks}.
        imagenet: Rows of the study `imagenet`, whose networks are added without an error.
    """
    table = found(rows)
    if len(table):
        table = _with_sources_and_numbers(table, rows, entries)
    if imagenet is None or imagenet.empty:
        return table
    probe = {"statistic": Statistic.COMPONENT_MEDIAN, "cut": 3, "stage": Stage.TRAINED, "shuffle": UNSHUFFLED}
    chosen = select(imagenet, kind=Kind.SENSITIVITY, layer="output", **probe)
    lites = chosen[["architecture", *QUANTITIES]].assign(dataset="imagenet", family=FAMILIES[2], robust=False)
    return pd.concat([table, lites.assign(name=lites["architecture"], refused="")], ignore_index=True)


def _with_sources_and_numbers(table: pd.DataFrame, rows: pd.DataFrame, entries: Mapping[str, Mapping]) -> pd.DataFrame:
    described = pd.DataFrame([entries.get(name, {"name": name}) for name in table["name"]])
    sources = ["name", "commit", "path", "licence", "note", "digest"]
    table = table.merge(described.reindex(columns=sources), on="name", how="left")
    for statistic, mark in (("component_median", ""), ("mean", "_mean")):
        for stage, end in (("trained", ""), ("init", "_init")):
            numbers = measured(rows, statistic=statistic, stage=stage)
            if mark or end:
                numbers = numbers.drop(columns=["R_low", "R_high"])
            wanted = numbers.set_index("name").add_suffix(f"{mark}{end}")
            table = table.merge(wanted, left_on="name", right_index=True, how="left")
    return table


def factors(rows: pd.DataFrame) -> pd.DataFrame:
    """What training multiplied D, G and R (means) by at the output: geometric means,
    each repository with weight one.
    """
    table, lines = natural(rows, statistic="mean"), []
    for name, choose in (("below 0.1", fitted), ("of 0.2 and more", not_fitted)):
        part = choose(table)
        if len(part):
            weights = 1 / part.groupby("repository")["name"].transform("size")
            line = {"networks with a training error": name, "repositories": part["repository"].nunique()}
            for quantity in QUANTITIES:
                logs = np.log(part[quantity].astype(float) / part[f"{quantity}_init"].astype(float))
                line[quantity] = float(np.exp(np.average(logs, weights=weights)))
            lines.append(line)
    return pd.DataFrame(lines)


def outliers(rows: pd.DataFrame, count: int = 6, **options: Any) -> pd.DataFrame:
    """The networks farthest from the line of the fitted natural ones in log ε, and by which factor."""
    table = networks(rows, **options)
    line = fitted(table[~table["robust"].astype(bool)])
    columns = ["family", "robust", "test_error", "train_error", "R", "factor"]
    if len(line) < 3:
        return pd.DataFrame(columns=columns)
    weights = 1 / line.groupby("repository")["name"].transform("size")
    x, y = np.log(line["R"]), np.log(line["test_error"])
    slope = regression(y.to_numpy(), [x.to_numpy()], weights.to_numpy())[0]
    level = np.average(y - slope * x, weights=weights)
    table["factor"] = np.exp(np.log(table["test_error"]) - level - slope * np.log(table["R"]))
    order = np.abs(np.log(table["factor"])).sort_values(ascending=False).index
    return table.loc[order[:count], columns]


def in_words(measurement: Measurement) -> str:
    """An estimate with its interval.

    >>> from relbook.measurement import Measurement
    >>> in_words(Measurement(0.84, 0.74, 0.91))
    '0.84 (0.74 to 0.91)'
    """
    return f"{measurement.estimate:.2f} ({measurement.low:.2f} to {measurement.high:.2f})"
