"""The image sets that units are trained and probed on, and what serves where one is not found (A Secs. 1-2,
B Secs. 3-5).

Networks trained on the JPEG copy of CIFAR-10 are probed on true pixels and on the same pictures as JPEG, which
measures what the encoding does.

>>> probe_sets("cifar10-jpeg"), probe_sets("mnist")
(('cifar10-lossless', 'cifar10-jpeg'), ('mnist',))
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch

from relstab import data, models
from relstab.data import Dataset, Split
from relstab.random import seeded


@lru_cache(maxsize=3)
def loaded(name: str) -> Dataset:
    """A data set, kept for the units that follow in the same process."""
    return data.load(name)


def probe_sets(dataset: str) -> tuple[str, ...]:
    """The data sets whose test images a network is probed on; the first is the one the figures show."""
    return ("cifar10-lossless", "cifar10-jpeg") if dataset == "cifar10-jpeg" else (dataset,)


def digest(dataset: str) -> str:
    """The bytes of the data sets that a network of `dataset` is trained and probed on."""
    return "-".join(data.digest(name) for name in dict.fromkeys((dataset, *probe_sets(dataset))))


def require(dataset: str, *, download: bool = True) -> None:
    """Raise FileNotFoundError when a data set that `digest` names is neither here nor (with `download`) public."""
    for name in dict.fromkeys((dataset, *probe_sets(dataset))):
        data.require(name, download=download)


def encodings(unit: Any) -> tuple:
    """What serves where a unit's data set is not found: of CIFAR-10 the JPEG copy. The row keeps its own name."""
    return (replace(unit, dataset="cifar10-jpeg"),) if unit.dataset == "cifar10" else ()


class OnImages:
    """A config with a `dataset` that may be missing on a machine, or be there in another encoding."""

    def require(self, *, download: bool = True) -> None:
        """Raise FileNotFoundError when data are missing on this machine."""
        require(self.dataset, download=download)

    def alternatives(self) -> tuple:
        """The same unit on the JPEG copy of CIFAR-10, where the originals are not found."""
        return encodings(self)


class OnOneSet:
    """A config whose `dataset` is all that it needs, and that takes no other encoding in its place."""

    def data_digest(self) -> str:
        """The images, by their bytes."""
        return data.digest(self.dataset)

    def require(self, *, download: bool = True) -> None:
        """Raise FileNotFoundError when the images are missing on this machine."""
        data.require(self.dataset, download=download)


class OfArchitecture:
    """A config with an `architecture`, which may have dropout."""

    @property
    def version(self) -> int:
        """2 for networks with dropout, whose draws did not follow from the seed in version 1."""
        return 2 if models.has_dropout(self.architecture) else 1


def untrained(unit: Any, dataset: Dataset) -> torch.nn.Module:
    """A unit's network before training on `dataset`, which follows from its architecture, width and seed."""
    shape = dataset.test.images.shape
    return models.build(
        unit.architecture,
        in_channels=shape[1],
        num_classes=len(dataset.classes),
        width=unit.width,
        image_size=shape[-1],
        generator=seeded(unit.seed, "weights"),
    )


SIZES = {"fashion-mini": 3000, "cifar10-lossless-8k": 8068}  # training images; the full sets have about 50,000


def training_images(unit: Any, dataset: str | None = None) -> int:
    """Number of a unit's training images, for estimates of cost, without reading them; `dataset`:
    None is the unit's own.
    """
    return unit.train_size or SIZES.get(dataset or unit.dataset, 50000)


@lru_cache(maxsize=8)
def test_images(dataset: str, images: str) -> Split:
    """The test images of `images` (a split) on which a network of `dataset` is measured, classes mixed."""
    if dataset == "cifar10-jpeg" and images == "cifar10-jpeg":
        return same_pictures(loaded("cifar10-lossless").test, loaded("cifar10-jpeg").test)
    return loaded(images).test


def same_pictures(originals: Split, encoded: Split) -> Split:
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
