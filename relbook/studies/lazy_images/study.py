r"""Fully connected nets on images, trained lazily and with features (slides D, "Why FC nets unlearn ...").

One unit is one network at one α, or the first layer of one network in both regimes. A network learns P images of
ten classes (balanced; the mean image taken off) as the predictor F = α (f - f₀) of
`relbook.studies.lazy_images.networks`, with the cross-entropy of papers A and B,

.. math:: L = -\frac1P \sum_\mu \log \mathrm{softmax}(F(x_\mu))_{y_\mu}, \qquad \text{until } L \le 0.1

(it starts at ln 10). The loss is divided by α², as in the literature on the two regimes. All α of a seed share
images, weights at the start, deformations and noise, the step rule and the stop. The step rule is full-batch
gradient descent with momentum: a step that would raise the loss, by more than a thousandth, is taken back, which
clears the velocity and, if there was none, halves the step; every other step is made two per cent longer. So no
learning rate is tuned.

Rows, by column ``kind``:

``training``     status (reached, or limit: out of steps before the stop), steps, train_loss, train_error,
                 test_error, weight_change, kernel_change
``sensitivity``  stage (init: of f₀; trained: of F), layer, depth, relative_depth, D, G, R (means over images)
``share``, ``likeness``, ``power``
                 regime (before training, lazy, feature), value, and where it is of: distance; row, column
                 (`relbook.studies.lazy_images.pixels`)

>>> unit = LazyImages(scale="tiny", dataset="fashion-mini", network="fc_l2", width=0.25, train=40, alpha=1.0,
...                   seed=1, probes=20, limit=50)
>>> [row["status"] for row in unit.run() if row["kind"] == "training"]
['reached']
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from relbook import scales
from relbook.studies.datasets import OnOneSet, loaded
from relbook.studies.lazy_images import pixels
from relbook.studies.lazy_images.networks import Centred, Predictor
from relstab import data, models
from relstab.models.fc import HIDDEN
from relstab.probes.sensitivity import point_values
from relstab.random import seeded
from relstab.train import error_rate

LAZY, FEATURE, LIMIT = 1e5, 0.03, math.inf  # the two regimes that are compared, and the exact lazy limit
START = 0.0  # stands for the network before training, where values of alpha are compared
STOP = 0.1  # mean cross-entropy at which training ends
MOMENTUM, GROWTH = 0.98, 1.02
RISE = 1.001  # a step is kept unless the loss rises by more: at the largest α, rounding alone is half of this
KERNEL_IMAGES = 32  # test images on which the tangent kernel is compared
PAIR = ["dataset", "network", "width", "train", "seed"]  # what networks of different α share
SPEED = {"tiny": 5e10, "laptop": 5e10, "gpu": 5e12, "paper": 5e12}  # operations a second, for cost_minutes


@dataclass(frozen=True)
class LazyImages(OnOneSet):
    """One network: everything its numbers depend on.

    Args:
        network: "fc_l2" (one hidden layer), "fc_l4" (three) or "fc_l6".
        width: factor on their 64 hidden units.
        train: number of training images P.
        alpha: None is the lazy limit, the network linearised at its start.
        probes: number of test images in a measurement, the first ones.
        limit: steps after which training ends.
    """

    study: ClassVar[str] = "lazy_images"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)
    version: ClassVar[int] = 1
    scale: str
    dataset: str
    network: str
    width: float
    train: int
    alpha: float | None
    seed: int
    probes: int
    limit: int

    @property
    def cost_minutes(self) -> float:
        """Rough cost on one core (gpu, paper: a GPU), from the operations of the steps that pilots took."""
        layers, hidden = int(self.network.removeprefix("fc_l")), HIDDEN * self.width
        steps = min(self.limit, 6 * layers * self.train**0.5)
        weights = 784 * hidden + (layers - 2) * hidden**2
        passes = 6 if self.alpha is None else 3  # of 2 operations a weight and image
        return round(passes * 2 * self.train * weights * steps / SPEED[self.scale] / 60, 3)

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Train and probe; rows as in the module's docstring."""
        dataset, device = loaded(self.dataset), torch.device(device)
        predictor, images, labels, fit = self.trained(device)
        if progress:
            progress(f"alpha {predictor.alpha:g}, P = {self.train}: {fit['status']} after {fit['steps']} steps")
        test = dataset.test.to(device)
        probes = dataset.normalise(test.images[: self.probes])
        training = {
            **fit,
            "train_error": error_rate(predictor, images, labels),
            "test_error": error_rate(predictor, test.images, test.labels, normalise=dataset.normalise),
            "weight_change": predictor.weight_change(),
            "kernel_change": predictor.kernel_change(probes[:KERNEL_IMAGES], generator=seeded("kernel")),
        }
        rows = [{"kind": "training", **training}]
        for stage, model in (("init", predictor.start), ("trained", predictor)):
            layers = "blocks" if model.probe_points else "output"
            found = point_values(model, probes, layers=layers, generator=seeded("probe"))
            found["layer"] = found.layer.str.removeprefix("net.").str.removeprefix("net.")
            rows += [{"kind": "sensitivity", "stage": stage, **row} for row in found.to_dict("records")]
        return rows

    def trained(self, device: str | torch.device) -> tuple[Predictor, Tensor, Tensor, dict[str, Any]]:
        """The predictor after training; the normalised images and the labels that it learned; what `descend` says."""
        dataset = loaded(self.dataset)
        split = data.random_subset(dataset.train, self.train, seed=self.seed, balanced=True).to(device)
        images = dataset.normalise(split.images)
        net = Centred(self.build(dataset), images.mean(0).cpu())
        predictor = Predictor(net, LIMIT if self.alpha is None else self.alpha).to(device)
        fit = descend(predictor, images, split.labels, step=HIDDEN * self.width, limit=self.limit)
        return predictor, images, split.labels, fit

    def build(self, dataset: data.Dataset) -> nn.Module:
        """The network at its start, which depends on its name, its width and the seed, not on P or α."""
        shape = dataset.train.images.shape
        return models.build(
            self.network,
            in_channels=shape[1],
            num_classes=len(dataset.classes),
            width=self.width,
            image_size=shape[-1],
            generator=seeded("lazy images", self.seed),
        )


def descend(
    predictor: Predictor, images: Tensor, labels: Tensor, *, step: float | int, limit: int, stop: float = STOP
) -> dict[str, Any]:
    """Move `predictor.moves` down the cross-entropy of all `images` until it is at most `stop`.

    Args:
        step: first step length (it adapts; the number of hidden units is the scale of mean-field networks).
        limit: most steps, those taken back included.

    Returns:
        status ("reached", "limit"), steps and train_loss.
    """
    moves, steps = list(predictor.moves), 0
    with torch.no_grad():
        base = predictor.start(images)

    def loss_of():
        return cross_entropy(predictor(images, base), labels)

    loss = loss_of()
    slopes = torch.autograd.grad(loss, moves)
    velocity = None
    while loss > stop and steps < limit:
        steps += 1
        old = [move.detach().clone() for move in moves]
        pull = [-step * slope for slope in slopes]
        trial = pull if velocity is None else [p.add_(v, alpha=MOMENTUM) for p, v in zip(pull, velocity, strict=True)]
        with torch.no_grad():
            for move, change in zip(moves, trial, strict=True):
                move.add_(change)
        found = loss_of()
        if found < loss * RISE:
            loss, velocity, step = found, trial, step * GROWTH
            slopes = torch.autograd.grad(loss, moves)
            continue
        with torch.no_grad():
            for move, before in zip(moves, old, strict=True):
                move.copy_(before)
        step = step / 2 if velocity is None else step
        velocity = None
    return {"status": "reached" if loss <= stop else "limit", "steps": steps, "train_loss": loss.item()}


@dataclass(frozen=True)
class FirstLayers(OnOneSet):
    """The first layer of a network with one hidden layer, from one start: before training, lazy and feature trained.

    Args: as of `LazyImages`; the images are grey.
    """

    study: ClassVar[str] = "lazy_images"
    spread: ClassVar[float] = 0.25
    version: ClassVar[int] = 1
    scale: str
    dataset: str
    width: float
    train: int
    seed: int
    limit: int

    def network(self, alpha: float) -> LazyImages:
        """The unit of which this is the first layer."""
        shared = {"scale": self.scale, "dataset": self.dataset, "width": self.width, "train": self.train}
        return LazyImages(**shared, network="fc_l2", alpha=alpha, seed=self.seed, probes=0, limit=self.limit)

    @property
    def cost_minutes(self) -> float:
        """Rough cost, that of the two networks."""
        return self.network(LAZY).cost_minutes + self.network(FEATURE).cost_minutes

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Train both and look at the weights of pixels; rows as in the module's docstring."""
        return [
            {"regime": regime, **row}
            for regime, layer in self.weights(device).items()
            for row in pixels.measures(layer)
        ]

    def weights(self, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """First-layer weights, {regime: (neuron, row, column)}."""
        found = {}
        for regime, alpha in (("lazy", LAZY), ("feature", FEATURE)):
            predictor, images, *_ = self.network(alpha).trained(device)
            layers = {
                "before training": next(predictor.start.parameters()),
                regime: next(iter(predictor.weights().values())),
            }
            found |= {name: layer.detach().cpu().reshape(-1, *images.shape[-2:]) for name, layer in layers.items()}
        return found


def configs(scale: str) -> list[LazyImages | FirstLayers]:
    """The units of one scale, block by block of the table; within a block seed by seed, so that pairs end early."""
    layers = scales.FIRST_LAYERS[scales.check(scale)]
    shared = {name: layers[name] for name in ("dataset", "width", "train", "limit")}
    return [
        LazyImages(scale=scale, dataset=block["dataset"], network=network, width=float(width), train=train, alpha=alpha,
                   seed=seed, probes=block["probes"], limit=block["limit"])
        for block in scales.LAZY_IMAGES[scale]
        for network, width in block["nets"]
        for train in block["train"]
        for seed in range(1, block["seeds"] + 1)
        for alpha in block["alphas"]
    ] + [FirstLayers(scale=scale, seed=seed, **shared) for seed in range(1, layers["seeds"] + 1)]  # fmt: skip


def of_networks(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of whole networks, without those of first layers alone."""
    return rows[rows["kind"].isin(["training", "sensitivity"])] if "kind" in rows else rows


def networks(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a network: config, training columns, D, G, R of F and R_init of f₀; α = inf is the limit."""
    if "kind" not in rows:
        return pd.DataFrame(columns=[*PAIR, "alpha", "status", "test_error", "weight_change", "D", "R", "R_init"])
    rows = rows.assign(alpha=rows.alpha.astype(float).fillna(LIMIT))
    unit = [*PAIR, "alpha"]
    output = rows[rows.layer == "output"].set_index(unit)
    training = rows[rows.kind == "training"].set_index(unit).drop(columns=["D", "G", "R"])
    trained = output.loc[output.stage == "trained", ["D", "G", "R"]]
    start = output.loc[output.stage == "init", "R"].rename("R_init")
    return training.join(trained).join(start).reset_index()


def ratios(rows: pd.DataFrame, quantity: str, alpha: float, over: float) -> pd.Series:
    """log of `quantity` at α = `alpha` over that at α = `over`, by dataset, network, width, train and seed.

    Only pairs of networks that both reached the stop. over = START compares R with that of f₀.
    """
    found = networks(rows)
    found = found[found.status == "reached"].set_index(PAIR)
    top = found[found.alpha == alpha]
    bottom = top["R_init"] if over == START else found.loc[found.alpha == over, quantity]
    return (top[quantity] / bottom).dropna().astype(float).map(math.log).rename("log_ratio")


def both_regimes(rows: pd.DataFrame) -> pd.DataFrame:
    """The networks, if there are pairs of a feature and a lazy one that both reached the stop; else none."""
    found = networks(rows)
    return found if len(ratios(rows, "R", FEATURE, LAZY)) else found.iloc[:0]


def unfinished(rows: pd.DataFrame) -> pd.DataFrame:
    """Networks that did not reach the stop; no figure and no claim uses them."""
    found = networks(rows)
    return found.loc[found.status != "reached", [*PAIR, "alpha", "status"]]
