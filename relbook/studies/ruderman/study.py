r"""Learned deformation stability: five ways of downsampling, before and after training (paper C, Figs. 3-7).

A unit is a network of `relstab.models.conv8` trained on images with their labels or with random ones
(`Network`), one trained to tell deformed copies of single pictures apart (`Templates`, C Fig. 5), or untrained
ones with smoothed filters (`Smoothed`, C Fig. 4). Deformations are C's: thin-plate splines through 3 x 3 control
points that move by up to 2 pixels. C names no optimiser; the recipe is the book's one-cycle one. Kinds of rows:

``training``  status (ok, diverged, collapsed), train_loss, train_error (evaluation mode, no augmentation, the
              labels that were trained on), test_error (true labels), trained_epochs, seconds, parameters
``cosine``    stage (init, trained), sigma, layer, depth (C's layer number), relative_depth, sensitivity
``relative``  stage, layer, depth, relative_depth, D, G, R of the same network, as in papers A and B
``filters``   stage, layer, depth, size, tv and tv_pooled (C's smoothness in its two readings), and for 3 x 3
              filters gamma_0 ... gamma_6 (A Eq. 3)

A comparison of real with random labels is fair only if all else is equal: `_MATCHED` in `relbook.scales`.

>>> unit = configs("tiny")[0]
>>> unit.study, unit.architecture, unit.labels
('ruderman', 'conv8_subsample', 'real')
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from relbook import scales
from relbook.studies.datasets import OnImages, digest, loaded, probe_sets, test_images, training_images
from relbook.studies.ruderman.templates import deformed_templates
from relbook.studies.zoo.study import expand
from relstab import data, models
from relstab.diffeo import thin_plate
from relstab.models import surgery
from relstab.probes.cosine import cosine_sensitivity
from relstab.probes.filters import grouped, projections, total_variation
from relstab.probes.sensitivity import point_values
from relstab.random import seeded
from relstab.train import error_rate, fit, recipes

PROBES = 128  # images of a cosine sensitivity (C Sec. 2.1)
RELATIVE = 500  # images of D, G and R
STEP_MS = 55  # a step of 128 images at width 1/2, one core, bfloat16; for the estimates of costs


class _Trained(OnImages):
    """What the units that train have in common; each says how its data are made."""

    study: ClassVar[str] = "ruderman"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)
    version: ClassVar[int] = 1

    @property
    def cost_minutes(self) -> float:
        """Estimated minutes of training, on one core or (scales gpu, paper) one GPU, guessed 300 times faster."""
        step = STEP_MS * (self.width / 0.5) ** 1.6
        if self.scale in ("gpu", "paper"):
            step = max(1.0, step / 300)
        return round(self.epochs * math.ceil(self.images / 128) * step / 60000, 2)

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Probe, train, probe again; with a `workspace` an interrupted training goes on from its last epoch."""
        device = torch.device(device)
        train, test = self.splits()
        model = models.build(
            self.architecture,
            in_channels=train.images.shape[1],
            num_classes=self.classes,
            width=self.width,
            generator=seeded(self.seed, "weights"),
        ).to(device, memory_format=torch.channels_last)
        rows = measure(self, model, "init")
        result = fit(
            model, train, self.recipe(), normalise=self.normalise, seed=self.seed, device=device,
            checkpoint=workspace and workspace / "checkpoint.pt", progress=progress,
        )  # fmt: skip
        last = result.history[-1]
        training = {
            "kind": "training",
            "status": result.status,
            "train_loss": last["loss"],
            "trained_epochs": last["epoch"],
            "seconds": result.seconds,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        }
        if result.status != "diverged":
            for name, split in {"train_error": train, "test_error": test}.items():
                training[name] = error_rate(model, split.images, split.labels, normalise=self.normalise)
            rows += measure(self, model, "trained")
        return [training, *rows]

    def recipe(self) -> recipes.Recipe:
        """The book's one-cycle recipe with this unit's choices."""
        plain = recipes.one_cycle(self.architecture, epochs=self.epochs, augment=self.augment, precision=self.precision)
        return replace(plain, weight_decay=self.weight_decay)

    def normalise(self, images: Tensor) -> Tensor:
        """Raw images of the data set to what the network takes."""
        return loaded(self.dataset).normalise(images)


@dataclass(frozen=True)
class Network(_Trained):
    """One network on images.

    Args:
        architecture: "conv8_" and one of the five downsamplings.
        width: factor on its channels.
        train_size: number of training images, a random subset that depends on the seed; 0 is all of them.
        labels: "real", or "random": uniform, drawn once from the seed.
    """

    scale: str
    dataset: str
    architecture: str
    width: float
    epochs: int
    train_size: int = 0
    labels: str = "real"
    augment: bool = True
    weight_decay: float = 5e-4
    precision: str = "float32"
    seed: int = 0

    def data_digest(self) -> str:
        """The bytes of the data sets that are trained on and probed."""
        return digest(self.dataset)

    @property
    def images(self) -> int:
        """Number of training images, for the estimate of costs."""
        return training_images(self)

    @property
    def classes(self) -> int:
        """Number of classes of the data set."""
        return len(loaded(self.dataset).classes)

    def splits(self) -> tuple[data.Split, data.Split]:
        """The training images with the labels asked for, and the test images with the true ones."""
        if self.labels not in ("real", "random"):
            raise ValueError(f"labels is {self.labels!r}; it must be one of real, random")
        dataset = loaded(self.dataset)
        train = dataset.train
        if self.train_size:
            train = data.random_subset(train, self.train_size, seed=self.seed)
        if self.labels == "random":
            drawn = torch.randint(self.classes, (len(train),), generator=seeded(self.seed, "random labels"))
            train = data.Split(train.images, drawn)
        return train, dataset.test

    def probes(self, count: int) -> Float[Tensor, "image channel height width"]:
        """The first test images, as the network takes them, before normalisation: floats in [0, 1]."""
        name = probe_sets(self.dataset)[0]
        return test_images(self.dataset, name).images[:count].float() / 255


@dataclass(frozen=True)
class Templates(_Trained):
    """One network on a task whose classes are deformed copies of one test image each (C Fig. 5).

    Args:
        strength: the largest displacement of a control point in pixels, the C = 1 ... 4 of the figure.
        classes: number of pictures.
        per_class: copies of each to train on (as many to test, at most 20).
    """

    scale: str
    dataset: str
    architecture: str
    width: float
    epochs: int
    strength: float
    classes: int
    per_class: int
    augment: bool = False
    weight_decay: float = 5e-4
    precision: str = "float32"
    seed: int = 0

    def data_digest(self) -> str:
        """The bytes of the data set whose pictures are deformed."""
        return data.digest(self.dataset)

    @property
    def images(self) -> int:
        """Number of training images, for the estimate of costs."""
        return self.classes * self.per_class

    def pictures(self) -> Float[Tensor, "image channel height width"]:
        """The pictures that are deformed: test images by seed, every kind as often as any other."""
        chosen = data.random_subset(loaded(self.dataset).test, self.classes, seed=self.seed, balanced=True)
        return chosen.images.float() / 255

    def splits(self) -> list[data.Split]:
        """Training and test copies, independent deformations of the same pictures; floats in [0, 1]."""
        sets = []
        for part, count in (("train", self.per_class), ("test", min(20, self.per_class))):
            generator = seeded(self.seed, "templates", part)
            sets.append(data.Split(*deformed_templates(self.pictures(), count, self.strength, generator=generator)))
        return sets

    def probes(self, count: int) -> Float[Tensor, "image channel height width"]:
        """The first test images of the data set, floats in [0, 1]."""
        return loaded(self.dataset).test.images[:count].float() / 255


@dataclass(frozen=True)
class Smoothed(OnImages):
    """Untrained networks whose filters were blurred (C Fig. 4); BatchNorm takes the statistics of the batch."""

    study: ClassVar[str] = "ruderman"
    version: ClassVar[int] = 1
    scale: str
    dataset: str
    architecture: str
    width: float
    sigmas: tuple[float, ...]
    seed: int = 0

    cost_minutes: ClassVar[float] = 0.05

    def data_digest(self) -> str:
        """The bytes of the data set that is probed."""
        return data.digest(probe_sets(self.dataset)[0])

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Rows of the kinds cosine and filters for every sigma (pixels), the same draw of weights."""
        images = test_images(self.dataset, probe_sets(self.dataset)[0]).images[:PROBES].float() / 255
        model = models.build(
            self.architecture, in_channels=images.shape[1], width=self.width, generator=seeded(self.seed, "weights")
        ).to(device)
        rows = []
        for sigma in self.sigmas:
            smooth = surgery.smooth_filters(model, sigma)
            rows += cosine_rows(smooth, images, loaded(self.dataset).normalise, "init", sigma=sigma)
            rows += filter_rows(smooth, "init", sigma=sigma)
        return rows


def measure(unit: Any, model: nn.Module, stage: str) -> list[dict]:
    """The rows of one stage, under all measures; the same deformations and noise for every network."""
    rows = cosine_rows(model, unit.probes(PROBES), unit.normalise, stage)
    table = point_values(
        model,
        unit.normalise(unit.probes(RELATIVE).to(next(model.parameters()).device)),
        batch_statistics=stage == "init",
        generator=seeded("probe"),
    )
    rows += [{"kind": "relative", "stage": stage, **row} for row in table.to_dict("records")]
    return rows + filter_rows(model, stage)


def cosine_rows(
    model: nn.Module, images: Tensor, normalise: Callable[[Tensor], Tensor], stage: str, **labels: Any
) -> list[dict]:
    """C's sensitivity at the input and every probe point; images: floats in [0, 1]."""
    images = images.to(next(model.parameters()).device)
    deformed = thin_plate.deform(images, **thin_plate.PAPER["cifar10"], generator=seeded("thin plate"))
    table = cosine_sensitivity(model, normalise(images), normalise(deformed), batch_statistics=stage == "init")
    return [{"kind": "cosine", "stage": stage, **labels, **row} for row in table.to_dict("records")]


def filter_rows(model: nn.Module, stage: str, **labels: Any) -> list[dict]:
    """Smoothness and Laplacian modes of the filters of every convolution; depth is C's layer number."""
    rows = []
    for depth, name in enumerate(model.probe_points, start=1):
        for parameter in model.get_submodule(name).parameters():
            if parameter.ndim == 4:
                row = {"kind": "filters", "stage": stage, **labels, "layer": name, "depth": depth,
                       "size": parameter.shape[-1], "tv": total_variation(parameter),
                       "tv_pooled": total_variation(parameter, "pooled")}  # fmt: skip
                if parameter.shape[-1] == 3:
                    eigenvalues, gamma = grouped(projections(parameter))
                    row |= {f"gamma_{round(e)}": g for e, g in zip(eigenvalues.tolist(), gamma.tolist(), strict=True)}
                rows.append(row)
    return rows


def configs(scale: str) -> list:
    """The units of a scale, in the order of their value per minute."""
    kinds = {"network": Network, "templates": Templates, "smoothed": Smoothed}
    units = []
    for block in scales.RUDERMAN[scales.check(scale)]:
        block = dict(block)
        units += expand(scale, block, kinds[block.pop("kind")])
    return list(dict.fromkeys(units))
