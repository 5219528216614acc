"""Tables from the rows of the studies `trajectories` and `widths`: networks along their training, and at its end.

>>> import numpy as np
>>> half_way(np.array([0.0, 1.0, 2.0, 8.0]), np.array([1.0, 1.0, 0.25, 0.25]))
1.5
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from relbook.studies.select import Kind, select
from relbook.studies.words import listed

UNIT = ["dataset", "architecture", "width", "epochs", "train_size", "augment", "recipe", "precision", "seed"]
MEASURED = ["epoch", "rate", "test_error", "train_error", "D", "G", "R", "D_median", "G_median", "R_median"]
FITTED = 0.1  # training error below which a training set counts as fitted


def points(rows: pd.DataFrame) -> pd.DataFrame:
    """The points of the networks that neither diverged nor collapsed: `UNIT` and `MEASURED`, in the order of time."""
    if rows.empty:
        return pd.DataFrame(columns=[*UNIT, *MEASURED])
    training = select(rows, kind=Kind.TRAINING, status="ok")[UNIT]
    table = select(rows, kind=Kind.POINT)[[*UNIT, *MEASURED]].merge(training, on=UNIT)
    return table.sort_values([*UNIT, "epoch"], ignore_index=True)


def networks(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Each network's name and points."""
    found = points(rows)
    return [(name(one.iloc[0]), one.reset_index(drop=True)) for _, one in found.groupby(UNIT, sort=False)]


def name(line: pd.Series) -> str:
    """A network in words."""
    augmented = "with" if line["augment"] else "without"
    return f"{line['architecture']} x{line['width']:g}, {line['recipe']}, {augmented} augmentation, seed {line['seed']}"


def last(rows: pd.DataFrame) -> pd.DataFrame:
    """The last point of each network."""
    found = points(rows)
    return found.loc[found.groupby(UNIT, sort=False)["epoch"].idxmax()].reset_index(drop=True)


def half_way(epochs: np.ndarray, values: np.ndarray) -> float:
    """The epoch at which log `values` first has half of its change from the first point to the last;
    NaN without change.

    Between two points log `values` is taken to be linear in time.
    """
    logs = np.log(np.asarray(values, float))
    if logs[0] == logs[-1]:
        return float("nan")
    share = (logs - logs[0]) / (logs[-1] - logs[0])
    after = int(np.argmax(share >= 0.5))
    step = (0.5 - share[after - 1]) / (share[after] - share[after - 1])
    return float(epochs[after - 1] + step * (epochs[after] - epochs[after - 1]))


def when_fitted(one: pd.DataFrame) -> int | None:
    """The index of a network's first point with a training error below `FITTED`;
    None where it has none before the last.
    """
    below = np.flatnonzero(one["train_error"] < FITTED)
    return int(below[0]) if len(below) and below[0] < len(one) - 1 else None


def before_annealing(one: pd.DataFrame) -> int | None:
    """The index of the last point with at least half of the largest step size;
    None where it is the first or the last.
    """
    high = np.flatnonzero(one["rate"] >= one["rate"].max() / 2)
    return int(high[-1]) if 0 < high[-1] < len(one) - 1 else None


KINDS = {
    "lenet": "a plain one with large filters (LeNet)",
    "vgg11": "a deep plain one (VGG11)",
    "vgg11_bn": "a deep one with batch norm (VGG11bn)",
    "cifar_resnet20": "a residual one (ResNet20)",
}


def kinds_in_words(rows: pd.DataFrame, declared: Iterable[str]) -> str:
    """Which architectures are followed, and which of those `declared` are still to be trained.

    >>> kinds_in_words(pd.DataFrame(), ["cifar_resnet20"])
    'None has been trained yet; a residual one (ResNet20) is declared.'
    """
    found = sorted(set(points(rows)["architecture"]), key=[*KINDS].index)
    left = [name for name in dict.fromkeys(declared) if name not in found]
    count = f"{COUNTS[len(found)]} kinds of network are" if len(found) > 1 else "one kind of network is"
    text = (
        f"So {count} stopped on the way, measured and sent on: {_kinds(found)}."
        if found
        else "None has been trained yet"
    )
    if left:
        verb = "is" if len(left) == 1 else "are"
        text = f"{text.rstrip('.')}; {_kinds(left)} {verb} declared{' and not yet trained' * bool(found)}."
    return text


COUNTS = ("no", "one", "two", "three", "four", "five", "six")


def _kinds(names: Iterable[str]) -> str:
    return listed(KINDS[name] for name in names)


def not_yet(rows: pd.DataFrame) -> str:
    """The sentence in the place of a figure for which no network has been trained."""
    return f"The figure will stand here once networks have been trained; there are to be {rows.missing}."


def widths_in_words(rows: pd.DataFrame) -> str:
    """What the networks of several widths say, for `page.told` with the claims `error` and `R`.

    >>> widths_in_words(pd.DataFrame())[:40]
    'None of these networks has been trained '
    """
    found = last(rows)
    if found.empty:
        return (
            "None of these networks has been trained yet. What is expected stands below, with the interval that is "
            "accepted: that a wider network errs less {error.word}; that its $R_f$ is *larger* all the same {R.word}."
        )
    means = np.exp(np.log(found[["test_error", "R_median"]].astype(float)).groupby(found["width"]).mean())
    narrow, wide = means.iloc[0], means.iloc[-1]
    return (
        f"From width {means.index[0]:g} to {means.index[-1]:g} of the paper's the test error goes from "
        f"{narrow['test_error']:.3f} to {wide['test_error']:.3f} and $R_f$ from {narrow['R_median']:.2g} to "
        f"{wide['R_median']:.2g} (geometric means, {len(found)} networks). As powers of the width the error has the "
        "exponent {error.number} and $R_f$ the exponent {R.number}. That a wider network errs less {error.word}; that "
        "its $R_f$ is *larger* all the same {R.word}."
    )
