"""Tables from the rows of the study `ruderman`: what paper C's figures and claims read.

A task is a group of networks: "real" (labels, the full recipe), "matched" (real labels on the images, epochs and
decay of the random ones), "random", "templates", "smoothed". Networks that diverged or collapsed are left out
and counted by `failed`; values are means over seeds.
"""

import math

import pandas as pd

from relbook.measurement import remembered
from relstab.models.conv8 import DOWNSAMPLINGS
from relstab.store import Rows

TASKS = ("real", "matched", "random", "templates", "smoothed")
LAST = 12  # C's number of the last layer, the fourth downsampling


@remembered
def chosen(rows: pd.DataFrame, task: str, kind: str) -> pd.DataFrame:
    """Rows of one kind of the networks of one task; empty if there are none. ValueError for an unknown task."""
    if task not in TASKS:
        raise ValueError(f"task is {task!r}; it must be one of {', '.join(TASKS)}")
    if rows.empty:
        return rows
    rows = rows.reindex(columns=rows.columns.union(["strength", "sigma", "labels", "weight_decay", "status"]))
    if task == "templates":
        part = rows[rows.strength.notna()]
    elif task == "smoothed":
        part = rows[rows.sigma.notna()]
    else:
        part = rows[rows.strength.isna() & rows.sigma.isna()]
        if task == "random":
            part = part[part.labels == "random"]
        else:
            part = part[(part.labels == "real") & ((part.weight_decay > 0) == (task == "real"))]
    unit = list(zip(*(part[name] for name in ("architecture", "seed", "strength")), strict=True))
    part = part.assign(unit=[tuple(str(value) for value in values) for values in unit])
    bad = part[part.kind.eq("training") & part.status.ne("ok")].unit
    return part[part.kind.eq(kind) & ~part.unit.isin(bad)].drop(columns="unit")


def of(rows: Rows, *tasks: str) -> Rows:
    """The networks of some tasks, a line each: what a figure is drawn from, for its caption."""
    kinds = {"smoothed": "cosine"}
    found = pd.concat([chosen(rows, task, kinds.get(task, "training")) for task in tasks])
    return Rows(found).of(rows.study, rows.scale)


def failed(rows: pd.DataFrame) -> int:
    """Number of trained networks that diverged or collapsed."""
    return 0 if rows.empty else int((rows.kind.eq("training") & rows.status.ne("ok")).sum())


def profiles(rows: pd.DataFrame, task: str, stage: str) -> pd.DataFrame:
    """C's sensitivity by downsampling (in C's order) and layer number, 0 to 12; the logits are left out."""
    part = chosen(rows, task, "cosine")
    return _by_architecture(part[part.stage.eq(stage) & part.depth.le(LAST)] if len(part) else part, "sensitivity")


def smoothness(rows: pd.DataFrame, task: str, stage: str, reading: str = "tv") -> pd.DataFrame:
    """Total variation of the 3 x 3 filters by downsampling and layer number; reading "tv" or "tv_pooled"."""
    part = chosen(rows, task, "filters")
    return _by_architecture(part[part.stage.eq(stage) & part["size"].eq(3)] if len(part) else part, reading)


def _by_architecture(part: pd.DataFrame, value: str) -> pd.DataFrame:
    if part.empty:
        return pd.DataFrame()
    table = part.pivot_table(index="architecture", columns="depth", values=value, aggfunc="mean")
    table.index = table.index.str.removeprefix("conv8_")
    return table.reindex([name for name in DOWNSAMPLINGS if name in table.index])


def spread(rows: pd.DataFrame, task: str, stage: str, depth: int = LAST) -> float:
    """Standard deviation over the five downsamplings of the sensitivity of a layer; NaN if one is missing."""
    table = profiles(rows, task, stage)
    return float(table[depth].std(ddof=1)) if len(table) == len(DOWNSAMPLINGS) else math.nan


def scatter_of_seeds(rows: pd.DataFrame, task: str, depth: int = LAST) -> float:
    """Standard deviation over seeds of a trained layer's sensitivity, root mean square over the downsamplings.

    NaN where no network has two seeds.
    """
    part = chosen(rows, task, "cosine")
    if part.empty:
        return math.nan
    part = part[part.stage.eq("trained") & part.depth.eq(depth)]
    variances = part.groupby("architecture").sensitivity.var(ddof=1).dropna()
    return float(math.sqrt(variances.mean())) if len(variances) else math.nan


def by_strength(rows: pd.DataFrame, stage: str = "trained") -> pd.DataFrame:
    """Templates: mean total variation of the 3 x 3 filters by strength and layer number, over all networks."""
    part = chosen(rows, "templates", "filters")
    if part.empty:
        return pd.DataFrame()
    part = part[part.stage.eq(stage) & part["size"].eq(3)]
    return part.pivot_table(index="strength", columns="depth", values="tv", aggfunc="mean")


def by_sigma(rows: pd.DataFrame) -> pd.DataFrame:
    """Untrained networks: sensitivity by downsampling and sigma (rows) and layer number (columns)."""
    part = chosen(rows, "smoothed", "cosine")
    if part.empty:
        return pd.DataFrame()
    part = part[part.depth.le(LAST)].assign(downsampling=part.architecture.str.removeprefix("conv8_"))
    return part.pivot_table(index=["downsampling", "sigma"], columns="depth", values="sensitivity", aggfunc="mean")


def errors(rows: pd.DataFrame) -> pd.DataFrame:
    """One line per task and downsampling: networks, mean train and test error, epochs and images."""
    lines = []
    for task in ("real", "matched", "random", "templates"):
        part = chosen(rows, task, "training")
        for name in DOWNSAMPLINGS:
            nets = part[part.architecture.eq(f"conv8_{name}")] if len(part) else part
            if len(nets):
                lines.append({"task": task, "downsampling": name, "networks": len(nets),
                              "train_error": nets.train_error.mean(), "test_error": nets.test_error.mean(),
                              "epochs": int(nets.trained_epochs.max())})  # fmt: skip
    return pd.DataFrame(lines)


WORDS = {
    "real": "real", "matched": "real", "random": "random", "strided_relu": "strided, ReLU", "task": "labels",
    "train_error": "training error", "test_error": "test error",
}  # fmt: skip


def errors_in_words(rows: pd.DataFrame, *tasks: str) -> pd.DataFrame:
    """`errors` of some tasks as a page shows them: names for people, three digits, the downsampling as index."""
    found = errors(rows)
    found = found[found["task"].isin(tasks)].replace({"task": WORDS, "downsampling": WORDS})
    numbers = dict.fromkeys(("train_error", "test_error"), "{:.3f}".format)
    for name, form in numbers.items():
        found[name] = found[name].map(form)
    index = ["task", "downsampling"] if len(tasks) > 1 else ["downsampling"]
    found = found.drop(columns=[] if len(tasks) > 1 else "task").set_index(index)
    found.index.names = [WORDS.get(name, name) for name in found.index.names]
    return found.rename(columns=WORDS)
