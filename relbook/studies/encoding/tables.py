"""Tables from the rows of the study `encoding`: networks in pairs, and the factors between them.

A pair is two networks that differ in the encoding of their training images alone: same architecture, width,
epochs, augmentation, precision and seed. Networks that diverged or collapsed are left out, and their partner with them.

>>> encoding("cifar10-lossless-8k"), encoding("cifar10-8k-jpeg75-444")
('lossless', '75-444')
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from relbook.measurement import Measurement, bootstrap, geometric
from relbook.studies.encoding.copies import ENCODINGS
from relbook.studies.select import Kind, select

TWIN = ["architecture", "width", "epochs", "train_size", "augment", "precision", "seed"]
ERRORS = ["test_error", "test_error_own", "train_error", "train_error_lossless"]
LOSSLESS, COPIES = "lossless", "75"  # the originals, and what `cifar10-jpeg` is
NAMES = {"75": "quality 75, 4:2:0", "75-444": "quality 75, 4:4:4", "95": "quality 95, 4:2:0",
         "75-luminance": "quality 75, luminance alone", "75-chrominance": "quality 75, chrominance alone"}  # fmt: skip


def encoding(dataset: str) -> str:
    """What the images of a data set went through: "lossless", or JPEG's quality and what else is said of it."""
    return dataset.split("-jpeg")[1] if dataset in ENCODINGS else LOSSLESS


def networks(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a network that neither diverged nor collapsed: `TWIN`, dataset, encoding, `ERRORS`."""
    if rows.empty:
        return pd.DataFrame(columns=[*TWIN, "dataset", "encoding", *ERRORS])
    table = select(rows, kind=Kind.TRAINING, status="ok")
    return table[[*TWIN, "dataset", *ERRORS]].assign(encoding=table["dataset"].map(encoding)).reset_index(drop=True)


def layers(rows: pd.DataFrame, *, statistic: str = "mean", stage: str = "trained") -> pd.DataFrame:
    """One line a network and layer: the columns of `networks`, layer, depth, relative_depth, D, G, R, G_grey_0, ..."""
    unit = [*TWIN, "dataset"]
    if rows.empty:
        return networks(rows).assign(**dict.fromkeys(["layer", "depth", "relative_depth", *"DGR"], np.nan))
    chosen = select(rows, kind=Kind.SENSITIVITY, statistic=statistic, stage=stage)
    parts = [name for name in rows if name.startswith("G_")]
    return networks(rows).merge(chosen[[*unit, "layer", "depth", "relative_depth", *"DGR", *parts]], on=unit)


def outputs(rows: pd.DataFrame, **probe: Any) -> pd.DataFrame:
    """`layers`, the output alone: one line a network."""
    table = layers(rows, **probe)
    return select(table, layer="output").reset_index(drop=True)


def ratios(table: pd.DataFrame, *, copies: str = COPIES, baseline: str = LOSSLESS) -> pd.DataFrame:
    """Every number of the networks trained on `copies`, over that of their twins trained on `baseline`.

    Args:
        table: of `networks`, `outputs` or `layers`, one line a network or a network and layer.
    """
    by = [*TWIN, *(name for name in ("layer", "depth", "relative_depth") if name in table)]
    numbers = [name for name in table if name not in (*by, "dataset", "encoding")]
    one, two = (table[table["encoding"] == name][[*by, *numbers]] for name in (copies, baseline))
    pairs = one.merge(two, on=by, suffixes=("", "_baseline"))
    quotients = {name: pairs[name].astype(float) / pairs[f"{name}_baseline"].astype(float) for name in numbers}
    return pairs[by].assign(**quotients)


def pair_names(table: pd.DataFrame) -> list[str]:
    """A name for each pair, by what its networks share."""
    return [
        f"{line.architecture} x{line.width:g}, {'with' if line.augment else 'without'} augmentation, seed {line.seed}"
        for line in table.itertuples()
    ]


def factor(rows: pd.DataFrame, quantity: str = "R", *, copies: str = COPIES, baseline: str = LOSSLESS,
           statistic: str = "mean", seed: int = 0) -> Measurement:  # fmt: skip
    """By what `quantity` at the output is multiplied: geometric mean over pairs, interval by resampling pairs."""
    return _factor(ratios(outputs(rows, statistic=statistic), copies=copies, baseline=baseline), quantity, seed)


def _factor(table: pd.DataFrame, quantity: str, seed: int) -> Measurement:
    table = table[np.isfinite(table[quantity]) & (table[quantity] > 0)] if len(table) else table
    values = table[quantity] if len(table) else []
    return bootstrap(geometric, values, units=pair_names(table), seed=seed, what="pairs of networks")


def factors(rows: pd.DataFrame, quantities: Sequence = ("test_error", "D", "G", "R"), *, baseline: str = LOSSLESS,
            statistic: str = "mean", seed: int = 0) -> pd.DataFrame:  # fmt: skip
    """`factor` of each quantity for each encoding that has pairs: one line an encoding and quantity."""
    lines, table = [], outputs(rows, statistic=statistic)
    for copies in NAMES:
        pairs = ratios(table, copies=copies, baseline=baseline)
        for quantity in quantities if len(pairs) else ():
            found = _factor(pairs, quantity, seed)
            if found.n:
                lines.append({"copies": copies, "quantity": quantity, "factor": found.estimate, "low": found.low,
                              "high": found.high, "pairs": found.n})  # fmt: skip
    return pd.DataFrame(lines, columns=["copies", "quantity", "factor", "low", "high", "pairs"])


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """`factors` for readers: one line an encoding, a factor with its interval in each cell."""
    found = factors(rows)
    cells = (
        found["factor"].map("{:.2f}".format)
        + " ("
        + found["low"].map("{:.2f}".format)
        + "–"
        + found["high"].map("{:.2f}".format)
        + ")"
    )
    wide = found.assign(cell=cells).pivot(index="copies", columns="quantity", values="cell")
    wide = wide.reindex(index=[name for name in NAMES if name in wide.index], columns=["test_error", *"DGR"])
    pairs = found.groupby("copies")["pairs"].max().reindex(wide.index)
    return (
        wide.rename(columns={"test_error": "test error"})
        .assign(pairs=pairs)
        .rename(index=NAMES)
        .reset_index(names="trained on copies of")
    )


def summary(rows: pd.DataFrame) -> str:
    """What the pairs say about copies of quality 75, 4:2:0, in two sentences."""
    found = {name: factor(rows, name) for name in ("R", "test_error", "D", "G")}
    if not found["R"].n:
        return "No pair of networks has been trained yet."
    few = "" if found["R"].enough else " So few pairs decide nothing."
    parts = [
        f"{written} by {found[name].estimate:.2f} ({found[name].low:.2f} to {found[name].high:.2f})"
        for name, written in (("D", "$D_f$"), ("G", "$G_f$"), ("test_error", "the test error"))
    ]
    return (
        f"With means over pictures, training on copies of quality 75 multiplies $R_f$ by **{in_words(found['R'])}**; "
        f"{parts[0]}, {parts[1]} and {parts[2]}.{few}"
    )


def in_words(found: Measurement) -> str:
    """A factor with its interval.

    >>> in_words(Measurement(1.46, 1.3, 1.61, ("a",) * 8, what="pairs of networks"))
    'a factor of 1.46 (95 % interval 1.30 to 1.61, 8 pairs of networks)'
    """
    if not found.n:
        return "a factor that is not measured yet"
    return (
        f"a factor of {found.estimate:.2f} (95 % interval {found.low:.2f} to {found.high:.2f}, {found.n} {found.what})"
    )


def caveat(rows: pd.DataFrame, quantity: str = "R") -> str:
    """The sentence that belongs beside a number of networks trained on `cifar10-jpeg`; rows of the study `encoding`.

    In both statistics of the figures: B's "component_median", and the mean, which A and `summary` take.
    """
    found, means = factor(rows, quantity, statistic="component_median"), factor(rows, quantity)
    if not found.n:
        return "These networks were trained on JPEG copies of CIFAR-10; what that changes has not been measured here."
    return (
        f"These networks were trained on JPEG copies of CIFAR-10. In pairs of networks that differ in nothing else, "
        f"that multiplies {quantity} by {in_words(found)} where it is a median over pictures, and by "
        f"{means.estimate:.2f} ({means.low:.2f} to {means.high:.2f}) where it is a mean."
    )
