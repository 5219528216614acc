"""What is measured on a network of the zoo, and on which images (A Secs. 1-2, B Secs. 3-5).

All networks see the same deformations and the same noise directions. Networks trained on the JPEG copy of
CIFAR-10 are probed on true pixels and on the same pictures as JPEG, which measures what the encoding does.

>>> probe_sets("cifar10-jpeg"), probe_sets("mnist")
(('cifar10-lossless', 'cifar10-jpeg'), ('mnist',))
"""

import itertools
from dataclasses import replace
from functools import lru_cache

import torch

from relstab import data, models
from relstab.models import surgery
from relstab.probes import filters
from relstab.probes.sensitivity import point_values
from relstab.random import seeded
from relstab.train import error_rate, gaussian

INTERPOLATIONS = ("bilinear", "gaussian")


@lru_cache(maxsize=3)
def loaded(name):
    """A data set, kept for the units that follow in the same process."""
    return data.load(name)


def probe_sets(dataset):
    """The data sets whose test images a network is probed on; the first is the one the figures show."""
    return ("cifar10-lossless", "cifar10-jpeg") if dataset == "cifar10-jpeg" else (dataset,)


def digest(dataset):
    """The bytes of the data sets that a network of `dataset` is trained and probed on."""
    return "-".join(data.digest(name) for name in dict.fromkeys((dataset, *probe_sets(dataset))))


def require(dataset, *, download=True):
    """Raise FileNotFoundError when a data set that `digest` names is neither here nor (with `download`) public."""
    for name in dict.fromkeys((dataset, *probe_sets(dataset))):
        data.require(name, download=download)


def encodings(unit):
    """What serves where a unit's data set is not found: of CIFAR-10 the JPEG copy. The row keeps its own name."""
    return (replace(unit, dataset="cifar10-jpeg"),) if unit.dataset == "cifar10" else ()


class OnImages:
    """A config with a `dataset` that may be missing on a machine, or be there in another encoding."""

    def require(self, *, download=True):
        """Raise FileNotFoundError when data are missing on this machine."""
        require(self.dataset, download=download)

    def alternatives(self):
        """The same unit on the JPEG copy of CIFAR-10, where the originals are not found."""
        return encodings(self)


class OfArchitecture:
    """A config with an `architecture`, which may have dropout."""

    @property
    def version(self):
        """2 for networks with dropout, whose draws did not follow from the seed in version 1."""
        return 2 if models.has_dropout(self.architecture) else 1


def training_images(unit):
    """Number of a unit's training images, for estimates of cost: of the full sets about that, without reading them."""
    return unit.train_size or (3000 if unit.dataset == "fashion-mini" else 50000)


@lru_cache(maxsize=8)
def test_images(dataset, images):
    """The test images of `images` (a split) on which a network of `dataset` is measured, classes mixed."""
    if dataset == "cifar10-jpeg" and images == "cifar10-jpeg":
        return same_pictures(loaded("cifar10-lossless").test, loaded("cifar10-jpeg").test)
    return loaded(images).test


def same_pictures(originals, encoded):
    """For each original picture its lossy copy: the nearest picture of the same class in `encoded`.

    Raises ValueError when two originals would get the same copy.
    """
    chosen = torch.empty(len(originals), dtype=torch.int64)
    for label in originals.labels.unique():
        ours, theirs = (originals.labels == label).nonzero()[:, 0], (encoded.labels == label).nonzero()[:, 0]
        a, b = originals.images[ours].flatten(1).double(), encoded.images[theirs].flatten(1).double()
        squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
        chosen[ours] = theirs[squares.argmin(1)]
    if len(chosen.unique()) < len(chosen):
        raise ValueError("two original pictures have the same nearest lossy copy; the two sets do not match")
    return encoded.take(chosen)


def measure(unit, model, stage):
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


def probe_images(unit, name, model):
    """The first test images of data set `name` as the network takes them, with the unit's noise."""
    split = test_images(unit.dataset, name)
    return noisy(unit, unit.normalise(split.images[: unit.probes])).to(next(model.parameters()).device)


def noisy(unit, images):
    """Test images with the noise that the network was trained with."""
    return images + gaussian(images, unit.noise, seeded("test noise")) if unit.noise else images


def errors(unit, model):
    """Test errors: on all test images and, for a JPEG data set, on the lossless ones in both encodings."""
    found = {}
    sets = {"test_error": loaded(unit.dataset).test}
    if len(probe_sets(unit.dataset)) > 1:
        for name in probe_sets(unit.dataset):
            sets[f"error_{name.rpartition('-')[2]}"] = test_images(unit.dataset, name)
    for name, split in sets.items():
        found[name] = error_rate(model, noisy(unit, unit.normalise(split.images)), split.labels)
    return found


def modes(model):
    """The filters' mean squared projections on the grid Laplacian's modes, by eigenvalue; 3 x 3 layers."""
    rows = []
    for name, parameter in model.named_parameters():
        if parameter.ndim == 4 and parameter.shape[-1] == 3:
            pairs = zip(
                *(group.tolist() for group in filters.grouped(filters.projections(parameter))), strict=True
            )
            values = {f"gamma_{round(eigenvalue)}": gamma for eigenvalue, gamma in pairs}
            rows.append({"layer": name.removesuffix(".weight"), "depth": len(rows) + 1, **values})
    return rows
