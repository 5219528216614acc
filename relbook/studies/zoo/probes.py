"""What is measured on a network of the zoo, and on which images (A Secs. 1-2, B Secs. 3-5).

All networks see the same deformations and the same noise directions.
"""

import itertools
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from relbook.studies.datasets import loaded, probe_sets, test_images
from relstab.models import surgery
from relstab.probes import filters
from relstab.probes.sensitivity import point_values
from relstab.random import seeded
from relstab.train import error_rate, gaussian

INTERPOLATIONS = ("bilinear", "gaussian")


def measure(unit: Any, model: nn.Module, stage: str) -> list[dict]:
    """The sensitivity rows of one stage; the same deformations and noise for every network."""
    rows = []

    def probe(images, net, layers="output", *, statistic="component_median", shuffle=-1, displacement=1.0,
              cut=3, interpolation="bilinear"):  # fmt: skip
        table = point_values(
            net, images[1], layers=layers, displacement=displacement, cut=cut, statistic=statistic,
            interpolation=interpolation, batch_statistics=stage == "init", generator=seeded("probe"),
        )  # fmt: skip
        label = {
            "kind": "sensitivity", "stage": stage, "images": images[0], "shuffle": shuffle,
            "displacement": displacement, "cut": cut, "interpolation": interpolation, "statistic": statistic,
        }  # fmt: skip
        rows.extend({**label, **row} for row in table.to_dict("records"))

    main, *others = ((name, probe_images(unit, name, model)) for name in probe_sets(unit.dataset))
    probe(main, model, "blocks", statistic="mean")
    probe(main, model, statistic="median")
    for cut in unit.cuts:
        probe(main, model, cut=cut)
    for displacement, cut, interpolation in itertools.product(unit.displacements, unit.cuts, INTERPOLATIONS):
        if (displacement, interpolation) != (1.0, "bilinear"):  # which are there already
            probe(main, model, displacement=displacement, cut=cut, interpolation=interpolation)
    for other in others:
        probe(other, model, statistic="mean")
        probe(other, model)
    for draw in range(unit.shuffles if stage == "trained" else 0):
        shuffled = surgery.shuffle_channels(model, generator=seeded("shuffle", draw))
        probe(main, shuffled, "blocks", statistic="mean", shuffle=draw)
    return rows


def probe_images(unit: Any, name: str, model: nn.Module) -> Float[Tensor, "image channel height width"]:
    """The first test images of data set `name` as the network takes them, with the unit's noise."""
    split = test_images(unit.dataset, name)
    return noisy(unit, unit.normalise(split.images[: unit.probes])).to(next(model.parameters()).device)


def noisy(unit: Any, images: Tensor) -> Tensor:
    """Test images with the noise that the network was trained with."""
    return images + gaussian(images, unit.noise, seeded("test noise")) if unit.noise else images


def errors(unit: Any, model: nn.Module) -> dict[str, float]:
    """Test errors: on all test images and, for a JPEG data set, on the lossless ones in both encodings."""
    found = {}
    sets = {"test_error": loaded(unit.dataset).test}
    if len(probe_sets(unit.dataset)) > 1:
        for name in probe_sets(unit.dataset):
            sets[f"error_{name.rpartition('-')[2]}"] = test_images(unit.dataset, name)
    for name, split in sets.items():
        found[name] = error_rate(model, noisy(unit, unit.normalise(split.images)), split.labels)
    return found


def modes(model: nn.Module) -> list[dict]:
    """The filters' mean squared projections on the grid Laplacian's modes, by eigenvalue; 3 x 3 layers."""
    rows = []
    for name, parameter in model.named_parameters():
        if parameter.ndim == 4 and parameter.shape[-1] == 3:
            pairs = zip(*(group.tolist() for group in filters.grouped(filters.projections(parameter))), strict=True)
            values = {f"gamma_{round(eigenvalue)}": gamma for eigenvalue, gamma in pairs}
            rows.append({"layer": name.removesuffix(".weight"), "depth": len(rows) + 1, **values})
    return rows
