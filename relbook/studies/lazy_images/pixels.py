"""What training does to the weights of single pixels in the first layer (slides D, "4 neigh. pixels").

The slides say that neighbouring pixels should be treated alike and that feature training overfits some. Two numbers
tell: how alike the weights of neighbours are, and over how many pixels the weights are spread. The networks are
units of the study, trained anew in a second or less because weights are not kept.

>>> found = table(train=40, seeds=1)
>>> sorted(found.regime.unique())
['before training', 'feature', 'lazy']
"""

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from relbook.studies.datasets import loaded
from relbook.studies.lazy_images import study
from relbook.studies.lazy_images.networks import Centred, Predictor
from relstab import data

DISTANCES = range(6)


def first_layers(train: int = 256, *, seed: int = 1, dataset: str = "fashion-mini") -> dict[str, Tensor]:
    """First-layer weights of a network with one hidden layer, {regime: (neuron, row, column)}, from one start.

    Args:
        train: Number of training images P.
        seed: Of the start and of the images, as in the study.
        dataset: Its name; grey images.
    """
    found = {}
    for regime, alpha in (("lazy", study.LAZY), ("feature", study.FEATURE)):
        unit = study.LazyImages("tiny", dataset, "fc_l2", 1.0, train, alpha, seed=seed, probes=0, limit=2000)
        split = data.random_subset(loaded(dataset).train, train, seed=seed, balanced=True)
        images = loaded(dataset).normalise(split.images)
        net = unit.build(loaded(dataset))
        predictor = Predictor(Centred(net, images.mean(0)), alpha)
        study.descend(predictor, images, split.labels, step=float(study.HIDDEN), limit=unit.limit)
        side = images.shape[-1]
        start = next(net.parameters()).detach()
        found["before training"] = start.reshape(-1, side, side)
        found[regime] = (start + predictor.moves[0].detach() / alpha).reshape(-1, side, side)
    return found


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


def table(train: int = 256, *, seeds: int = 3, dataset: str = "fashion-mini") -> pd.DataFrame:
    """Tidy rows by regime and seed: `kind` "likeness" (at `distance`), "share", and "power" (at `row`, `column`)."""
    lines = []
    for seed in range(1, seeds + 1):
        for regime, weights in first_layers(train, seed=seed, dataset=dataset).items():
            where = {"regime": regime, "seed": seed, "train": train, "dataset": dataset}
            lines.append(where | {"kind": "share", "value": share(weights)})
            lines += [
                where | {"kind": "likeness", "distance": distance, "value": likeness(weights, distance)}
                for distance in DISTANCES
            ]
            lines += [
                where | {"kind": "power", "row": y, "column": x, "value": value}
                for y, line in enumerate(power(weights).tolist())
                for x, value in enumerate(line)
            ]
    return pd.DataFrame(lines)


def means(rows: pd.DataFrame, kind: str) -> pd.Series:
    """Means over seeds of "share", or of "likeness" between next neighbours, by regime."""
    part = rows[rows.kind.eq(kind)]
    if kind == "likeness":
        part = part[part.distance.eq(1)]
    return part.groupby("regime").value.mean()
