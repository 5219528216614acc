r"""D, G and R of three networks on a fine grid of displacements and cut-offs, for the front page.

A unit is one network of the zoo's kind, probed before and after training at every pair of a δ and a cut-off c, with
the same test images, deformations and directions of noise for all. Rows: ``kind`` "sensitivity" with stage (init,
trained), displacement, cut, images_probed, D, G, R (means over images, as in A); ``kind`` "training" with the test
error on the images that are probed, status and seconds.

>>> from relbook.studies.bend_or_noise import study as bend_or_noise
>>> [unit.architecture for unit in bend_or_noise.configs("laptop")]
['fc_l2', 'lenet', 'cifar_resnet20']
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from relbook import scales
from relbook.studies.datasets import loaded, probe_sets
from relbook.studies.zoo import study as zoo
from relbook.studies.zoo.probes import errors, probe_images
from relstab.probes.sensitivity import point_values
from relstab.random import seeded
from relstab.train import fit


@dataclass(frozen=True)
class Swept(zoo.Network):
    """A network of the zoo that is probed at all pairs of `displacements` and `cuts`, and nowhere else."""

    study: ClassVar[str] = "bend_or_noise"
    version: ClassVar[int] = 1

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Probe, train (or load the published weights), probe again."""
        device = torch.device(device)
        model = self.build().to(device, memory_format=torch.channels_last)
        rows, training = self.measure(model, "init"), {"status": "ok"}
        if self.recipe == "published":
            weights = zoo.published_file(self.architecture)
            model.load_state_dict(torch.load(weights, device, weights_only=True))
        else:
            data = loaded(self.dataset)
            result = fit(
                model, data.train, self.training(), normalise=data.normalise, seed=self.seed, device=device,
                checkpoint=workspace and workspace / "checkpoint.pt", progress=progress,
            )  # fmt: skip
            training = {"status": result.status, "seconds": result.seconds}
        if training["status"] != "diverged":
            rows += self.measure(model, "trained")
            training |= errors(self, model)
        return [{"kind": "training", **training}, *rows]

    def measure(self, model: nn.Module, stage: str) -> list[dict]:
        """The rows of one stage."""
        name = probe_sets(self.dataset)[0]
        images = probe_images(self, name, model)
        label = {"kind": "sensitivity", "stage": stage, "images": name, "images_probed": len(images)}
        rows = []
        for displacement, cut in itertools.product(self.displacements, self.cuts):
            table = point_values(
                model, images, layers="output", displacement=displacement, cut=cut,
                batch_statistics=stage == "init", generator=seeded("probe"),
            )  # fmt: skip
            line = table[["D", "G", "R"]].iloc[0].to_dict()
            rows.append({**label, "displacement": displacement, "cut": cut, **line})
        return rows


def configs(scale: str) -> list:
    """The units of a scale."""
    blocks = scales.BEND_OR_NOISE[scales.check(scale)]
    return [unit for block in blocks for unit in zoo.expand(scale, block, Swept)]
