r"""The zoo's networks under the measures of all papers (no figure of any: a comparison of their figures).

A unit takes one trained network of the study `zoo` and gives one row::

    D, G, R          of A and B at the output, maximum-entropy deformations, δ = 1, c = 3, means over images
    D_spline         the same with the thin-plate deformations of C
    cosine           C's normalised cosine distance at the last layer before the output, thin-plate deformations
    cosine_output    the same at the output
    cosine_maxent    the same at the output with the deformations of D
    tv, tv_init      C's total variation of the filters, mean over the layers with 3 x 3 filters
    low, low_init    share of the lowest Laplacian mode in the filters' power (A Eq. 3), same mean
    R2, R4           relative stability with B's statistic at δ = 2 and 4, bilinear interpolation; with _gaussian
                     Gaussian interpolation, which blurs x, too; with _blurred bilinear interpolation of blurred x
    weights          digest of the weights that were measured (`relstab.train.checkpoints.weights_digest`)
    error            test error, or the published one of networks that others trained

D and C's distance differ in two things at once, the deformations and the distance. The four columns D, D_spline,
cosine_output and cosine_maxent tell them apart. Networks without such filters have NaN for them.

>>> unit = configs("tiny")[0]
>>> unit.study, unit.architecture
('measures', 'vgg11_bn')
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from relbook.studies.datasets import OfArchitecture, OnImages, loaded, probe_sets
from relbook.studies.zoo import study as zoo
from relbook.studies.zoo.probes import probe_images
from relstab import diffeo
from relstab.diffeo import thin_plate
from relstab.probes.cosine import cosine_sensitivity
from relstab.probes.filters import projections, total_variation
from relstab.probes.perturbations import perturbations
from relstab.probes.sensitivity import compare, point_values
from relstab.random import seeded
from relstab.train import checkpoints, error_rate

COSINE_IMAGES = 128  # C Sec. 2.1


@dataclass(frozen=True)
class Measured(OnImages, OfArchitecture):
    """One network of the zoo, named by the fields of `relbook.studies.zoo.study.Network` that tell the networks
    apart.
    """

    study: ClassVar[str] = "measures"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)
    cost_minutes: ClassVar[float] = 0.3
    scale: str
    dataset: str
    architecture: str
    width: float
    epochs: int
    recipe: str
    augment: bool
    seed: int

    def network(self) -> zoo.Network:
        """The unit of the zoo."""
        units = (one for unit in _whole(self.scale) for one in (unit, *unit.alternatives()))
        return next(unit for unit in units if _name(unit) == self)

    def data_digest(self) -> str:
        """That of the network's own rows."""
        return self.network().data_digest()

    def require(self, *, download: bool = True) -> None:
        """Raise FileNotFoundError when what the network needs is missing on this machine."""
        self.network().require(download=download)

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Measure the network; it is trained first where the working store has no weights of it."""
        unit = self.network()
        try:
            model = zoo.trained(unit)
        except FileNotFoundError:
            unit.run(workspace=workspace, progress=progress, device=device)
            model = zoo.trained(unit)
        model = model.to(device)
        images = probe_images(unit, probe_sets(unit.dataset)[0], model)
        before, after = smoothness(unit.build()), smoothness(model)
        row = {
            "weights": checkpoints.weights_digest(model),
            "error": _error(unit, model),
            **distances(model, images),
            **interpolations(model, images),
            **after,
        }
        return [row | {f"{name}_init": value for name, value in before.items()}]


def _error(unit: zoo.Network, model: nn.Module) -> float:
    if unit.recipe == "published":
        return zoo.PUBLISHED_ERROR[unit.architecture]
    test = loaded(unit.dataset).test
    return error_rate(model, test.images, test.labels, normalise=unit.normalise)


def distances(model: nn.Module, images: Tensor) -> dict[str, float]:
    """D, G, R, D_spline, cosine, cosine_output and cosine_maxent of a trained network on normalised images."""
    ((clean, moved, noisy),) = perturbations(images, generator=seeded("probe"))(len(images), images.device)
    bent = thin_plate.deform(images, **thin_plate.PAPER["cifar10"], generator=seeded("thin plate"))
    row = compare(model, clean, moved, noisy, layers="output")[["D", "G", "R"]].iloc[0].to_dict()
    row["D_spline"] = float(compare(model, clean, bent, noisy, layers="output")["D"].iloc[0])
    few = images[:COSINE_IMAGES]
    table = cosine_sensitivity(model, few, bent[:COSINE_IMAGES], layers=[model.probe_points[-1], "output"])
    row["cosine"], row["cosine_output"] = table["sensitivity"]
    table = cosine_sensitivity(model, few, moved[:COSINE_IMAGES], layers="output")
    return row | {"cosine_maxent": float(table["sensitivity"].iloc[0])}


def interpolations(model: nn.Module, images: Tensor) -> dict[str, float]:
    """R2, R4 and their variants: whether a difference between interpolations is in τ or in the blur of the images."""
    still = torch.zeros(len(images), 2, *images.shape[-2:])
    blurred = diffeo.warp(images, still.to(images), "gaussian")
    row = {}
    for displacement in (2, 4):
        for name, inputs, interpolation in (
            ("", images, "bilinear"),
            ("_gaussian", images, "gaussian"),
            ("_blurred", blurred, "bilinear"),
        ):
            table = point_values(
                model, inputs, layers="output", displacement=displacement, interpolation=interpolation,
                statistic="component_median", generator=seeded("probe"),
            )  # fmt: skip
            row[f"R{displacement}{name}"] = float(table["R"].iloc[0])
    return row


def smoothness(model: nn.Module) -> dict[str, float]:
    """tv and low: means over the layers with 3 x 3 filters, NaN if there are none."""
    layers = [part for part in model.parameters() if part.ndim == 4 and part.shape[-1] == 3]
    if not layers:
        return {"tv": math.nan, "low": math.nan}
    powers = [projections(layer) for layer in layers]
    return {
        "tv": sum(total_variation(layer) for layer in layers) / len(layers),
        "low": float(sum(power[0] / power.sum() for power in powers)) / len(layers),
    }


def _name(unit: zoo.Network) -> Measured:
    chosen = {field.name: getattr(unit, field.name) for field in fields(Measured)}
    return Measured(**chosen)


def configs(scale: str) -> list:
    """One unit for every network of the zoo that was trained on all images, without noise, in its order."""
    return list(dict.fromkeys(_name(unit) for unit in _whole(scale)))


def _whole(scale: str) -> list[zoo.Network]:
    return [unit for unit in zoo.configs(scale) if unit.train_size == 0 and unit.noise == 0]
