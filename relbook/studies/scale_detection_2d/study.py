r"""Deep networks trained on scale detection in two dimensions (paper A, Sec. 3: Figs. 4 second row, 6, 7).

One unit is one network: it learns from P = 1024 pictures of two active pixels whether their distance is below
the scale ξ (task 1, hinge loss), and is probed before and after, with its channels shuffled, too. The
"diffeomorphism" moves each pixel to a neighbouring site (clipped at the edge); the noise has the norm
‖τx − x‖ of its own picture. Networks of one seed share training, test and probe pictures. Kinds of rows:

``training``     status (ok, diverged, collapsed), test_error (on `test` pictures), train_loss, train_error,
                 trained_epochs, seconds, parameters
``sensitivity``  stage (init, trained), shuffle (-1 or the number of the draw), statistic, layer, depth,
                 relative_depth, D, G, R
``modes``        epoch, layer, depth, gamma_0 ... gamma_6, as in the study `zoo`

>>> unit = configs("tiny")[0]
>>> unit.study, unit.train, unit.image_size, unit.xi, unit.gap
('scale_detection_2d', 1024, 32, 14, 2)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from relbook import scales
from relbook.studies.datasets import OfArchitecture
from relbook.studies.scale_detection.tasks import (
    TwoPixelTask,
    balanced_split,
    image_task,
    random_translation,
    sphere_noise,
)
from relbook.studies.zoo.probes import modes
from relbook.studies.zoo.study import expand, step_ms
from relstab import models
from relstab.models import surgery
from relstab.probes.sensitivity import compare
from relstab.random import seeded
from relstab.train import error_rate, fit
from relstab.train.recipes import Recipe, normalised

FLOAT32_COST = 2.0  # a float32 step takes about so many times the zoo's bfloat16 step on a CPU


@dataclass(frozen=True)
class Network(OfArchitecture):
    """One network on one draw of the task.

    Args:
        width: factor on the channels of the architecture.
        image_size, xi, gap: side of the picture, scale ξ and forbidden band g, in pixels.
        train, test, probes: numbers of pictures, disjoint sets for training and test; the probes are test
            pictures.
        shuffles: channel shuffles of the trained network that are probed.
    """

    study: ClassVar[str] = "scale_detection_2d"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)
    scale: str
    architecture: str
    width: float
    epochs: int
    image_size: int = 32
    xi: int = 14
    gap: int = 2
    train: int = 1024
    test: int = 4096
    probes: int = 500
    shuffles: int = 0
    seed: int = 0

    def data_digest(self) -> str:
        """The data are pairs of pixels: nothing is read."""
        return ""

    @property
    def cost_minutes(self) -> float:
        """Estimated minutes of training, on one core or (scales gpu, paper) one GPU."""
        cpu = 1.0 if self.scale in ("gpu", "paper") else FLOAT32_COST
        return round(self.epochs * math.ceil(self.train / 128) * step_ms(self) * cpu / 60000, 2)

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Train and probe; with a `workspace` an interrupted training goes on from its last epoch."""
        device = torch.device(device)
        train, test, probes = pictures(self)
        model = models.build(
            self.architecture,
            in_channels=1,
            num_classes=1,
            width=self.width,
            image_size=self.image_size,
            generator=seeded(self.seed, "weights"),
        ).to(device)
        rows = measure(model, "init", probes)
        result = fit(
            model, train, scale_detection(self.architecture, reading="paper", epochs=self.epochs),
            normalise=torch.nn.Identity(), seed=self.seed, device=device, progress=progress,
            checkpoint=workspace and workspace / "checkpoint.pt",
            snapshots=modes if self.architecture.startswith("vgg") else None,
        )  # fmt: skip
        last = result.history[-1]
        training = {
            "kind": "training",
            "status": result.status,
            "train_loss": last["loss"],
            "train_error": last["error"],
            "trained_epochs": last["epoch"],
            "seconds": result.seconds,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        }
        if result.status != "diverged":
            training["test_error"] = error_rate(model, test.images, test.labels)
            rows += measure(model, "trained", probes, shuffles=self.shuffles)
        return [training, *rows, *({"kind": "modes", **row} for row in result.snapshots)]


def scale_detection(architecture: str, *, reading: str = "code", epochs: int = 300) -> Recipe:
    """Paper A's recipe for scale detection in two dimensions: hinge loss, SGD .05, until zero loss.

    Fully connected nets keep the paper's Adam .1, since their NTK parametrisation changes what a step size
    means; the deep nets without batch normalisation (VGG, AlexNet) take .01, for at .05 they do not train.

    >>> scale_detection("resnet18").lr, scale_detection("vgg11").lr, scale_detection("lenet").loss
    (0.05, 0.01, 'hinge')
    """
    if reading not in ("paper", "code"):
        raise ValueError(f"reading is {reading!r}; it must be one of paper, code")
    shared = {"epochs": epochs, "decay": "matrices", "loss": "hinge", "stop_at_zero_loss": True,
              "horizon": 0.8 if reading == "code" else 1.0}  # fmt: skip
    if architecture.startswith("fc"):
        return Recipe(**shared, lr=0.1, optimizer="adam", schedule="constant", weight_decay=0.0)
    steep = normalised(architecture) or architecture == "lenet"
    return Recipe(**shared, lr=0.05 if steep else 0.01, channels_last=True)


@lru_cache(maxsize=1)
def _task(image_size: int, xi: float | int, gap: float | int) -> TwoPixelTask:
    return image_task(1, image_size, xi, gap)


def pictures(unit: Any) -> tuple[SimpleNamespace, SimpleNamespace, tuple[Tensor, Tensor, Tensor]]:
    """(training split, test split, probes): labels 0 (far) and 1 (near); probes are x, τx and x + η."""
    task = _task(unit.image_size, unit.xi, unit.gap)
    train, test, _ = balanced_split(task, unit.train, unit.test, seed=unit.seed)
    sets = [
        SimpleNamespace(images=part.images(), labels=(part.labels > 0).long())
        for part in (task.take(train), task.take(test))
    ]
    mixed = test.reshape(2, -1).T.flatten()  # near and far by turns
    probed, generator = task.take(mixed[: unit.probes]), seeded(unit.seed, "probe")
    clean = probed.images()
    deformed = probed.images(random_translation(probed, boundary="clip", generator=generator))
    norms = (deformed - clean).flatten(1).norm(dim=1)
    return *sets, (clean, deformed, clean + sphere_noise(norms, probed.shape, generator=generator))


def measure(model: nn.Module, stage: str, probes: Sequence[Tensor], *, shuffles: int = 0) -> list[dict]:
    """The sensitivity rows of one stage: means at every depth, medians at the output, means when shuffled."""
    nets = {-1: model} | {
        draw: surgery.shuffle_channels(model, generator=seeded("shuffle", draw)) for draw in range(shuffles)
    }
    rows = []
    for shuffle, net in nets.items():
        for statistic, layers in (("mean", "blocks"), ("median", "output"))[: 1 if shuffle >= 0 else 2]:
            table = compare(net, *probes, layers=layers, statistic=statistic, batch_statistics=stage == "init")
            label = {"kind": "sensitivity", "stage": stage, "shuffle": shuffle, "statistic": statistic}
            rows.extend({**label, **row} for row in table.to_dict("records"))
    return rows


def configs(scale: str) -> list:
    """The units of a scale, in the order of their value per minute."""
    blocks = scales.SCALE_DETECTION_2D[scales.check(scale)]
    return list(dict.fromkeys(unit for block in blocks for unit in expand(scale, block, Network)))
