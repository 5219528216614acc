r"""What training on JPEG copies does (in no paper; beside B Sec. 4): networks in pairs that differ in nothing else.

One unit is one network, trained on the 8,068 lossless images of CIFAR-10 or on their copies in one encoding
(`relbook.studies.encoding.copies`), and probed on the lossless test images. Units that differ in `dataset` alone start
from the same weights and see the same images in the same order with the same crops and flips. Rows (column ``kind``):

``training``     status (ok, diverged, collapsed), train_loss, seconds, parameters, weights (their digest); in
evaluation mode
                 and without augmentation test_error (lossless test images), test_error_own (in the encoding
                 trained on), train_error (images trained on), train_error_lossless
``sensitivity``  stage (init, trained), statistic, layer, depth, relative_depth, D, G, R, with δ = 1, c = 3; for the
                 statistic "mean" all layers and G_grey_0 ... G_colour_3: sensitivity to noise in one octave of
                 spatial frequency, the same in all channels or adding up to zero over them
                 (`relbook.studies.encoding.spectrum`),
                 with for each image the same norm as the white noise of G. For "component_median" (B's) the output
                 alone.

>>> unit = configs("tiny")[0]
>>> unit.study, unit.dataset
('encoding', 'fashion-mini')
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from relbook import scales
from relbook.studies.datasets import OfArchitecture, training_images, untrained
from relbook.studies.encoding import copies, spectrum
from relbook.studies.encoding.copies import ENCODINGS, loaded
from relbook.studies.zoo import study as zoo
from relstab import data
from relstab.probes.perturbations import perturbations
from relstab.probes.sensitivity import compare, point_values
from relstab.random import seeded
from relstab.store import environment
from relstab.train import checkpoints, error_rate, fit, recipes


@dataclass(frozen=True)
class Encoded(OfArchitecture):
    """One network and what its training images went through.

    Args:
        dataset: the originals, or copies of them; probed and tested are the originals.
        probes: number of test images of a measurement, the first ones.
    """

    study: ClassVar[str] = "encoding"
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
    probes: int = 1000

    @property
    def original(self) -> str:
        """The data set that is probed: the originals of what is trained on."""
        return ENCODINGS[self.dataset].original if self.dataset in ENCODINGS else self.dataset

    def data_digest(self) -> str:
        """The bytes of what is trained on and probed."""
        folder = environment.folder("RELSTAB_DATA")
        return "-".join(_digest(name, folder) for name in dict.fromkeys((self.dataset, self.original)))

    def require(self, *, download: bool = True) -> None:
        """Raise FileNotFoundError when the originals are missing on this machine."""
        data.require(self.original, download=download)

    @property
    def cost_minutes(self) -> float:
        """Estimated minutes of training on one core, from the zoo's step times."""
        count = training_images(self, self.original)
        return round(self.epochs * math.ceil(count / 128) * zoo.step_ms(self) / 60000, 2)

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Probe, train, probe again; with a `workspace` an interrupted training goes on from its last epoch."""
        own, original = loaded(self.dataset), loaded(self.original)
        device = torch.device(device)
        train, train_lossless = own.train, original.train
        if self.train_size:
            train, train_lossless = (
                data.random_subset(split, self.train_size, seed=self.seed) for split in (train, train_lossless)
            )
        model = self.build().to(device, memory_format=torch.channels_last)
        rows = self.measure(model, "init")
        result = fit(
            model, train, self.training(), normalise=own.normalise, seed=self.seed, device=device,
            checkpoint=workspace and workspace / "checkpoint.pt", progress=progress,
        )  # fmt: skip
        training = {"status": result.status, "train_loss": result.history[-1]["loss"], "seconds": result.seconds}
        if result.status != "diverged":
            sets = {
                "test_error": original.test,
                "test_error_own": own.test,
                "train_error": train,
                "train_error_lossless": train_lossless,
            }
            for name, split in sets.items():
                training[name] = error_rate(model, split.images, split.labels, normalise=own.normalise)
            rows += self.measure(model, "trained")
        training["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        training["weights"] = checkpoints.weights_digest(model)
        return [{"kind": "training", **training}, *rows]

    def build(self) -> torch.nn.Module:
        """The network at its own initialisation, which depends on architecture, width and seed."""
        return untrained(self, loaded(self.original))

    def training(self) -> recipes.Recipe:
        """The book's one-cycle recipe with this unit's epochs, augmentation and precision."""
        return recipes.one_cycle(self.architecture, epochs=self.epochs, augment=self.augment, precision=self.precision)

    def measure(self, model: nn.Module, stage: str) -> list[dict]:
        """The sensitivity rows of one stage; the same deformations and the same noise for every network."""
        dataset = loaded(self.original)
        images = dataset.normalise(dataset.test.images[: self.probes]).to(next(model.parameters()).device)
        options = {"batch_statistics": stage == "init"}
        ((clean, moved, noisy),) = perturbations(images, generator=seeded("probe"))(len(images), images.device)
        table = compare(model, clean, moved, noisy, **options)
        for name, part in spectrum.split(noisy - clean).items():
            one = compare(model, clean, moved, clean + same_norm(part, noisy - clean), **options)
            table[f"G_{name}"] = one["G"].to_numpy()
        medians = point_values(
            model, images, layers="output", statistic="component_median", generator=seeded("probe"), **options
        )
        return [
            {"kind": "sensitivity", "stage": stage, "statistic": statistic, **row}
            for statistic, rows in (("mean", table), ("component_median", medians))
            for row in rows.to_dict("records")
        ]


@functools.cache
def _digest(name: str, folder: object) -> str:
    """The digest of an image set in RELSTAB_DATA; copies are encoded anew for it, which takes a second."""
    return copies.digest(name)


def same_norm(part: Tensor, noise: Tensor) -> Tensor:
    """`part`, scaled for each image to the norm of `noise`."""
    norms = [one.flatten(1).square().sum(1).sqrt() for one in (noise, part)]
    return part * (norms[0] / norms[1]).view(-1, 1, 1, 1)


def configs(scale: str) -> list[Encoded]:
    """The units of a scale, in the order of their value per minute."""
    blocks = scales.ENCODING[scales.check(scale)]
    return list(dict.fromkeys(unit for block in blocks for unit in zoo.expand(scale, block, Encoded)))
