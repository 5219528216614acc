r"""Diffeomorphisms as a data augmentation (paper B Sec. 7; beside B Fig. 12, which is about crops and flips).

B suggests its ensemble as a complement to crops and flips. A unit trains one network, with or without crops and
flips, on images that get a fresh maximum-entropy diffeomorphism at every access; networks that differ in nothing
else start from the same weights and see the same images in the same order. A unit gives one row::

    test_error           on all test images, undeformed
    D, G, R              at the output, probed with δ = 1, c = 3 whatever the network was trained with (`COARSE`)
    D_fine, G_fine, ...  with δ = 1/2, c = 10: finer ripples, most of which no augmentation with c = 3 contains (`FINE`)
    D_init, ...          as D, before training
    status (ok, diverged, collapsed), train_loss, train_error (last epoch's, on augmented images), seconds

Sensitivities are B's medians ("component_median"), as in B Fig. 12. A network that diverged has no D, G, R.

>>> unit = configs("tiny")[0]
>>> unit.study, unit.displacement
('augmentation', 0.0)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from relbook import scales
from relbook.studies.datasets import (
    OfArchitecture,
    OnImages,
    digest,
    loaded,
    probe_sets,
    test_images,
    training_images,
    untrained,
)
from relbook.studies.zoo import study as zoo
from relstab import data, diffeo
from relstab.probes.sensitivity import point_values
from relstab.random import seeded
from relstab.train import error_rate, fit, recipes

COARSE = {"displacement": 1.0, "cut": 3}
FINE = {"displacement": 0.5, "cut": 10}
DEFORMATION_MS = 2.0  # of a step of 128 images on one core, for the estimates of costs


@dataclass(frozen=True)
class Augmented(OnImages, OfArchitecture):
    """One network and what its training images go through.

    Args:
        train_size: number of training images, a random subset that depends on the seed; 0 is all of them.
        augment: crops by 4 pixels and flips.
        displacement: nominal δ in pixels of the deformations, 0 for none.
        cut: their cut-off c.
        probes: number of test images of a measurement, the first ones.
    """

    study: ClassVar[str] = "augmentation"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)
    scale: str
    dataset: str
    architecture: str
    width: float
    epochs: int
    train_size: int = 0
    augment: bool = False
    displacement: float = 0.0
    cut: int = 3
    precision: str = "float32"
    seed: int = 0
    probes: int = 500

    def data_digest(self) -> str:
        """The bytes of the data sets that are trained on and probed."""
        return digest(self.dataset)

    @property
    def cost_minutes(self) -> float:
        """Estimated minutes of training, from the step times of the zoo."""
        extra = DEFORMATION_MS if self.displacement and self.scale in ("tiny", "laptop") else 0
        return round(self.epochs * math.ceil(training_images(self) / 128) * (zoo.step_ms(self) + extra) / 60000, 2)

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Probe, train, probe again; with a `workspace` an interrupted training goes on from its last epoch."""
        dataset, device = loaded(self.dataset), torch.device(device)
        split, test = dataset.train, dataset.test
        if self.train_size:
            split = data.random_subset(split, self.train_size, seed=self.seed)
        model = untrained(self, dataset).to(device, memory_format=torch.channels_last)
        row = self.measure(model, "_init", batch_statistics=True, **COARSE)
        result = fit(
            model, split, self.recipe(), normalise=dataset.normalise, seed=self.seed, device=device,
            checkpoint=workspace and workspace / "checkpoint.pt", progress=progress,
        )  # fmt: skip
        last = result.history[-1]
        row |= {
            "status": result.status,
            "train_loss": last["loss"],
            "train_error": last["error"],
            "seconds": result.seconds,
        }
        if result.status != "diverged":
            row["test_error"] = error_rate(model, test.images, test.labels, normalise=dataset.normalise)
            row |= self.measure(model, "", **COARSE) | self.measure(model, "_fine", **FINE)
        return [row]

    def recipe(self) -> recipes.Recipe:
        """The book's one-cycle recipe with this unit's augmentations."""
        plain = recipes.one_cycle(self.architecture, epochs=self.epochs, augment=self.augment, precision=self.precision)
        return replace(plain, displacement=self.displacement, cut=self.cut)

    def measure(self, model: nn.Module, suffix: str, **options: Any) -> dict[str, float]:
        """D, G and R at the output under `suffix`; the same deformations and noise for every network."""
        images = test_images(self.dataset, probe_sets(self.dataset)[0]).images[: self.probes]
        table = point_values(
            model,
            loaded(self.dataset).normalise(images).to(next(model.parameters()).device),
            layers="output",
            statistic="component_median",
            generator=seeded("probe"),
            **options,
        )
        return {f"{name}{suffix}": float(table[name].iloc[0]) for name in "DGR"}


def sharing(model: nn.Module, images: Float[Tensor, "image channel height width"],
            labels: Int64[Tensor, " image"], *, displacement: float = 1.0, cut: int = 3, draws: int = 32,
            generator: torch.Generator | None = None) -> float:  # fmt: skip
    r"""What one τ for a whole batch costs: the variance over τ of the batch's gradient, over that with one τ per image.

    With $g_b(\tau)$ the gradient of the loss on image b, and per-image draws $\tau_b$,

    $$\frac{\mathrm{tr}\,\mathrm{Var}\,\sum_b g_b(\tau)}{\mathrm{tr}\,\mathrm{Var}\,\sum_b g_b(\tau_b)}
      = 1 + \frac{\sum_{b\neq b'}\mathrm{tr}\,\mathrm{Cov}(g_b(\tau), g_{b'}(\tau))}
                {\sum_b\mathrm{tr}\,\mathrm{Var}\,g_b(\tau)},$$

    between about 1, if images respond independently, and the number of images, if all respond alike. The mode of
    the model stays as it is. draws: fields, or sets of fields, that each variance is estimated from.
    """
    amplitude = diffeo.temperature(displacement, cut, tuple(images.shape[-2:]))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def gradient(fields):
        drawn = diffeo.sample_coefficients(fields, cut, generator=generator).expand(len(images), -1, -1, -1)
        field = diffeo.displacement_field(drawn.to(images.device), amplitude, tuple(images.shape[-2:]))
        loss = cross_entropy(model(diffeo.warp(images, field)), labels)
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)])

    variances = [torch.stack([gradient(fields) for _ in range(draws)]).var(0).sum() for fields in (1, len(images))]
    return float(variances[0] / variances[1])


def configs(scale: str) -> list[Augmented]:
    """The units of a scale, in the order of their value per minute."""
    blocks = scales.AUGMENTATION[scales.check(scale)]
    return list(dict.fromkeys(unit for block in blocks for unit in zoo.expand(scale, block, Augmented)))
