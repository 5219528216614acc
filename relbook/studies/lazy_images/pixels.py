"""What training does to the weights of single pixels in the first layer (slides D, "4 neigh. pixels").

The slides say that neighbouring pixels should be treated alike and that feature training overfits some. Two numbers
tell: how alike the weights of neighbours are, and over how many pixels the weights are spread. `measures` makes the
rows of them (`relbook.studies.lazy_images.study.FirstLayers`).

>>> import torch
>>> [row["value"] for row in measures(torch.eye(4)[None]) if row["kind"] == "share"]
[0.25]
"""

import pandas as pd
from jaxtyping import Float
from torch import Tensor

DISTANCES = range(6)
DIGITS = 4  # of a map, which is drawn and not computed with


def likeness(weights: Float[Tensor, "neuron row column"], distance: int = 1) -> float:
    """⟨w(y, x) w(y, x + distance)⟩ / ⟨w²⟩ of the weights of two pixels in a row: 0 if independent, 1 if equal.

    >>> import torch
    >>> likeness(torch.ones(1, 4, 4)), likeness(torch.eye(4)[None])
    (1.0, 0.0)
    """
    end = weights.shape[-1] - distance
    return float((weights[..., :end] * weights[..., distance:]).mean() / weights.square().mean())


def power(weights: Float[Tensor, "neuron row column"]) -> Float[Tensor, "row column"]:
    """Squared weights of each pixel, summed over neurons, in units of their mean over pixels."""
    squares = weights.square().sum(0)
    return squares / squares.mean()


def share(weights: Float[Tensor, "neuron row column"]) -> float:
    """Share of the pixels that the squared weights p are spread over, ⟨p⟩² / ⟨p²⟩: 1 if all have the same.

    >>> import torch
    >>> share(torch.eye(4)[None])  # four of sixteen
    0.25
    """
    return float(1 / power(weights).square().mean())


def measures(weights: Float[Tensor, "neuron row column"]) -> list[dict]:
    """Rows of a first layer: `kind` "share", "likeness" (at `distance`), and "power" (at `row`, `column`)."""
    distances = [distance for distance in DISTANCES if distance < weights.shape[-1]]
    return [
        {"kind": "share", "value": share(weights)},
        *({"kind": "likeness", "distance": d, "value": likeness(weights, d)} for d in distances),
        *(
            {"kind": "power", "row": y, "column": x, "value": round(value, DIGITS)}
            for y, line in enumerate(power(weights).tolist())
            for x, value in enumerate(line)
        ),
    ]


def of_pixels(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of first layers among those of the study."""
    return rows[rows["kind"].isin(["share", "likeness", "power"])] if "kind" in rows else rows


def means(rows: pd.DataFrame, kind: str) -> pd.Series:
    """Means over seeds of "share", or of "likeness" between next neighbours, by regime."""
    part = rows[rows.kind.eq(kind)]
    if kind == "likeness":
        part = part[part.distance.eq(1)]
    return part.groupby("regime").value.mean()
