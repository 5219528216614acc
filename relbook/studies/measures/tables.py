"""One table of networks under all measures, from the rows of the studies `measures` and `ruderman`.

A line is a network; columns: group ("zoo", "conv8"), task (of a conv8: real, matched, random), architecture, width,
dataset, seed, error, and the columns of `MEASURES`, NaN where a network has no such number.
"""

import numpy as np
import pandas as pd

from relbook.studies.ruderman import tables as ruderman_tables

MEASURES = ("D", "G", "R", "cosine", "cosine_output", "tv", "low")
MULTIPLICITY = {"gamma_0": 1, "gamma_1": 2, "gamma_2": 1, "gamma_3": 2, "gamma_4": 2, "gamma_6": 1}  # modes of 3 x 3
COLUMNS = ["group", "task", "architecture", "width", "dataset", "seed", "error", *MEASURES]
LOGITS = 13  # the depth of the output of a conv8


def networks(measured: pd.DataFrame, ruderman: pd.DataFrame) -> pd.DataFrame:
    """All networks. measured: rows of the study `measures`; ruderman: rows of `ruderman`; either may be empty."""
    parts = [measured.assign(group="zoo", task="real")] if len(measured) else []
    parts += [_conv8(ruderman, task) for task in ("real", "matched", "random")]
    parts = [part.reindex(columns=COLUMNS) for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _conv8(rows: pd.DataFrame, task: str) -> pd.DataFrame:
    training = ruderman_tables.chosen(rows, task, "training")
    if training.empty:
        return training
    unit = ["architecture", "width", "dataset", "seed"]
    table = training[[*unit, "test_error"]].rename(columns={"test_error": "error"})
    for kind, columns in (("cosine", ["sensitivity"]), ("relative", ["D", "G", "R"])):
        part = ruderman_tables.chosen(rows, task, kind)
        part = part[part.stage.eq("trained")]
        table = table.merge(part.loc[part.depth.eq(LOGITS), [*unit, *columns]], on=unit)
        if kind == "cosine":
            last = part.loc[part.depth.eq(ruderman_tables.LAST), [*unit, "sensitivity"]]
            table = table.rename(columns={"sensitivity": "cosine_output"}).merge(last, on=unit)
    filters = ruderman_tables.chosen(rows, task, "filters")
    filters = filters[filters.stage.eq("trained") & filters["size"].eq(3)]
    power = sum(filters[name] * count for name, count in MULTIPLICITY.items())
    smooth = filters.assign(low=filters["gamma_0"] / power).groupby(unit, as_index=False)[["tv", "low"]].mean()
    table = table.rename(columns={"sensitivity": "cosine"}).merge(smooth, on=unit)
    return table.assign(group="conv8", task=task)


def on_true_labels(table: pd.DataFrame) -> pd.DataFrame:
    """Networks trained on CIFAR-10 with its labels and the full recipe; where there are none, on the first data set."""
    table = table[table.task.eq("real")]
    cifar = table[table.dataset.str.startswith("cifar10")]
    return cifar if len(cifar) else table[table.dataset.eq(table.dataset.iloc[0])] if len(table) else table


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rank correlation of the error and of all measures, pairwise over the networks that have both.

    NaN where fewer than four networks do.
    """
    return table[["error", *MEASURES]].astype(float).corr("spearman", min_periods=4)


def interpolation_ratios(measured: pd.DataFrame) -> pd.DataFrame:
    """R with Gaussian interpolation over R with bilinear interpolation, of sharp and of blurred images, by δ.

    Geometric mean, smallest and largest over the networks of the study `measures`; those on CIFAR-10 if there are any.
    """
    cifar = measured[measured.dataset.str.startswith("cifar10")]
    chosen, lines = (cifar if len(cifar) else measured), []
    for displacement in (2, 4):
        for images, name in (("sharp", ""), ("blurred", "_blurred")):
            ratio = chosen[f"R{displacement}_gaussian"] / chosen[f"R{displacement}{name}"]
            lines.append(
                {
                    "δ (pixels)": displacement,
                    "bilinear interpolation of": f"{images} images",
                    "mean": np.exp(np.log(ratio).mean()),
                    "smallest": ratio.min(),
                    "largest": ratio.max(),
                }
            )
    return pd.DataFrame(lines).set_index(["δ (pixels)", "bilinear interpolation of"])


def twins(table: pd.DataFrame) -> pd.DataFrame:
    """Random over matched real labels: the ratio of every measure, one line a network with both."""
    unit = ["architecture", "width", "dataset", "seed"]
    random, real = (table[table.task.eq(task)].set_index(unit)[list(MEASURES)] for task in ("random", "matched"))
    return (random.astype(float) / real.astype(float)).dropna(how="all").reset_index()
