r"""Networks on their way: D, G, R and the errors along the training (in no paper; what B Sec. 4's law grows out of).

One unit is one network, measured at about a dozen times between initialisation and the end (`times`). Before the first
step BatchNorm normalises by the statistics of the probed images. Rows (column ``kind``):

``point``     epoch, rate (the step size), test_error, train_error (of the first `TRAINED_ON` training images, as they
              are), D, G, R at the output from means and D_median, G_median, R_median from medians ("component_median"),
              with δ = 1, c = 3
``training``  status (ok, diverged, collapsed), train_loss, seconds, parameters, weights (their digest)

A network of the data set "cifar10-lossless-8k" is trained on 8,068 images and tested on 1,017.

>>> unit = configs("tiny")[0]
>>> unit.study, times(unit)[:4], times(unit)[-1]
('trajectories', [0.0, 0.3, 1.0, 2.2], 6.0)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from relbook import scales
from relbook.studies.datasets import OfArchitecture, OnOneSet, loaded, training_images, untrained
from relbook.studies.zoo import study as zoo
from relstab import data
from relstab.probes.sensitivity import sensitivity
from relstab.random import seeded
from relstab.train import checkpoints, error_rate, fit, recipes

TRAINED_ON = 2000  # training images whose error is measured
EARLY = (0.3, 1.0, 2.2)  # epochs at which a network is measured, and
LATE = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1)  # fractions of the run that are later


@dataclass(frozen=True)
class Trajectory(OnOneSet, OfArchitecture):
    """One network and how it is trained.

    Args:
        recipe: "one_cycle" (`relstab.recipes`), or "step": the same without warm-up, the step size divided by ten
            after half and after three quarters of the run.
        probes: number of test images of a measurement, the first ones.
    """

    study: ClassVar[str] = "trajectories"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)
    scale: str
    dataset: str
    architecture: str
    width: float
    epochs: int
    train_size: int = 0
    augment: bool = False
    recipe: str = "one_cycle"
    precision: str = "float32"
    seed: int = 0
    probes: int = 500

    @property
    def cost_minutes(self) -> float:
        """Estimated minutes of training on one core, from the zoo's step times."""
        return round(self.epochs * math.ceil(training_images(self) / 128) * zoo.step_ms(self) / 60000, 2)

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Train and probe on the way; with a `workspace` an interrupted training goes on from its last epoch."""
        dataset, device = loaded(self.dataset), torch.device(device)
        train = dataset.train
        if self.train_size:
            train = data.random_subset(train, self.train_size, seed=self.seed)
        model = untrained(self, dataset).to(device, memory_format=torch.channels_last)
        result = fit(
            model, train, self.training(), normalise=dataset.normalise, seed=self.seed, device=device,
            checkpoint=workspace and workspace / "checkpoint.pt", progress=progress,
            snapshots=lambda network: [self.point(network, train)], snapshot_epochs=times(self),
        )  # fmt: skip
        training = {
            "status": result.status,
            "train_loss": result.history[-1]["loss"],
            "seconds": result.seconds,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "weights": checkpoints.weights_digest(model),
        }
        recipe = self.training()  # the rate of the last step, a moment before
        rates = [recipes.learning_rate(recipe, max(0.0, row["epoch"] - 1e-6)) for row in result.snapshots]
        points = [{"kind": "point", "rate": rate, **row} for rate, row in zip(rates, result.snapshots, strict=True)]
        return [{"kind": "training", **training}, *points]

    def training(self) -> recipes.Recipe:
        """The recipe with this unit's epochs, augmentation and precision."""
        if self.recipe not in ("one_cycle", "step"):
            raise ValueError(f"recipe is {self.recipe!r}; it must be one of one_cycle, step")
        recipe = recipes.one_cycle(
            self.architecture, epochs=self.epochs, augment=self.augment, precision=self.precision
        )
        return recipe if self.recipe == "one_cycle" else stepwise(recipe)

    def point(self, model: nn.Module, train: data.Split) -> dict[str, float]:
        """The errors and sensitivities of a network as it is; the same deformations and noise every time."""
        dataset = loaded(self.dataset)
        test, some = dataset.test, train.take(slice(0, TRAINED_ON))
        images = dataset.normalise(test.images[: self.probes]).to(next(model.parameters()).device)
        row = {
            name: error_rate(model, split.images, split.labels, normalise=dataset.normalise)
            for name, split in (("test_error", test), ("train_error", some))
        }
        for statistic, suffix in (("mean", ""), ("component_median", "_median")):
            table = sensitivity(
                model,
                images,
                layers="output",
                statistic=statistic,
                batch_statistics=fresh(model),
                generator=seeded("probe"),
            )
            row |= {f"{name}{suffix}": float(table[name].iloc[0]) for name in "DGR"}
        return row


def stepwise(recipe: recipes.Recipe) -> recipes.Recipe:
    """The same recipe with the schedule "step": no warm-up, then two divisions of the step size by ten.

    >>> stepwise(recipes.one_cycle("vgg11_bn")).schedule
    'step'
    """
    return replace(recipe, schedule="step")


def fresh(model: nn.Module) -> bool:
    """Whether the network has BatchNorm that has not seen data.

    >>> fresh(nn.Sequential(nn.BatchNorm2d(2))), fresh(nn.Sequential(nn.ReLU()))
    (True, False)
    """
    seen = [module.num_batches_tracked for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    return bool(seen) and not any(seen)


def times(unit: Any) -> list[float]:
    """When a network is measured, in epochs: at the start, three times early, then at fractions of the run.

    >>> unit = Trajectory(scale="laptop", dataset="mnist", architecture="lenet", width=1.0, epochs=64)
    >>> times(unit)[:6], len(times(unit))
    ([0.0, 0.3, 1.0, 2.2, 4.0, 8.0], 13)
    """
    late = [float(part * unit.epochs) for part in LATE if part * unit.epochs > max(EARLY) or part == 1]
    return [0.0, *(time for time in EARLY if time < late[0]), *late]


def configs(scale: str) -> list[Trajectory]:
    """The units of a scale, in the order of their value per minute."""
    blocks = scales.TRAJECTORIES[scales.check(scale)]
    return list(dict.fromkeys(unit for block in blocks for unit in zoo.expand(scale, block, Trajectory)))
