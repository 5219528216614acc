"""Images that live on one device as uint8 batches.

All the papers' image sets fit in memory (CIFAR-10: 184 MB as uint8), so a batch is an index into a tensor
that already lies where the network is, and no loader is in the way. Normalisation happens per batch,
x = (v / 255 - mean) / std per channel (paper A, App. B; paper B, App. A).

>>> import torch
>>> split = Split(torch.zeros(20, 1, 28, 28, dtype=torch.uint8), torch.arange(20) % 2)
>>> len(split.take([0, 3, 5])), random_subset(split, 4, seed=0, balanced=True).labels.bincount().tolist()
(3, [2, 2])
"""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Images [n, c, h, w] (uint8; float only for a user's own arrays) and labels int64 [n], on one device.

    A label is an index into the classes of the data set; -1 says that the image has none.
    Raises ValueError for other shapes or types, or unequal lengths.
    """

    images: Shaped[Tensor, "image channel height width"]
    labels: Int64[Tensor, " image"]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or not (self.images.dtype == torch.uint8 or self.images.is_floating_point()):
            raise ValueError(
                f"images has shape {tuple(self.images.shape)} and type {self.images.dtype}; "
                "it must be [n, channels, height, width] of uint8 or a float type"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels has shape {tuple(self.labels.shape)} and type {self.labels.dtype}; "
                f"it must be int64, one for each of the {len(self.images)} images"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Sequence[int] | slice | Shaped[Tensor, "..."]) -> "Split":
        """The images at `indices` (a list, range, slice, index tensor or mask), in that order.

        Raises IndexError for an index outside the split, ValueError for a list of anything but whole numbers.
        """
        if isinstance(indices, Sequence):
            if not all(isinstance(index, numbers.Integral) and not isinstance(index, bool) for index in indices):
                raise ValueError(f"indices is {indices!r}; a list of whole numbers is needed (a mask is a tensor)")
            indices = torch.as_tensor(indices, dtype=torch.int64)
        return Split(self.images[indices], self.labels[indices])

    def to(self, device: str | torch.device) -> "Split":
        """The same split on `device`."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named image set with what one must know to use and cite it.

    `mean` and `std` (one per channel, for pixels in [0, 1]) are the papers' normalisation; `digest` is a
    sha256 (hex) of the images and labels, or, for JPEGs, of the files they are decoded from; `source` says
    where the data were found; `lossy` is True where the pixels are not those of the original.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    source: str
    license: str
    lossy: bool = False

    def normalise(
        self, images: Shaped[Tensor, "image channel height width"]
    ) -> Float[Tensor, "image channel height width"]:
        """(v / 255 - mean) / std for uint8 images (to float32), (v - mean) / std for floats in [0, 1].

        Raises ValueError for another number of channels, or integers that are not uint8.
        """
        return normalise(images, self.mean, self.std)

    def to(self, device: str | torch.device) -> "Dataset":
        """The same data set with both splits on `device`."""
        return replace(self, train=self.train.to(device), test=self.test.to(device))


def normalise(
    images: Shaped[Tensor, "image channel height width"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "image channel height width"]:
    """(x - mean) / std per channel, x = v / 255 (float32) for uint8 images and x = v for floats in [0, 1].

    Raises ValueError for another number of channels, a std that is not above 0, or integers that are not uint8.

    >>> normalise(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8), (0.5,), (0.5,)).item()
    1.0
    """
    if images.shape[-3] != len(mean):
        raise ValueError(f"images has {images.shape[-3]} channels; this normalisation is for {len(mean)}")
    if not min(std) > 0:
        raise ValueError(f"std is {std}; each must be above 0")
    if images.dtype == torch.uint8:
        images = images.to(torch.float32).div_(255)
    elif not images.is_floating_point():
        raise ValueError(f"images has type {images.dtype}; it must be uint8, or a float type in [0, 1]")
    return (images - _channels(mean, images)).div_(_channels(std, images))


def _channels(values: Sequence[float], like: Tensor) -> Tensor:
    """One value per channel as a tensor beside `like`, copied to its device once: a copy waits for a GPU."""
    return _constants(tuple(map(float, values)), like.dtype, like.device)


@lru_cache(maxsize=64)
def _constants(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # else a gradient could not pass later
        return torch.tensor(values, dtype=dtype, device=device).view(-1, 1, 1)


def random_subset(split: Split, size: int, *, seed: int, balanced: bool = False) -> Split:
    """`size` images drawn without replacement; with `balanced`, class counts differ by at most one.

    With the same seed a smaller subset is the beginning of a larger one, so that a learning curve adds data
    instead of exchanging it. The draw is made on the CPU: the same images on every device.
    Raises ValueError where the split, or one of its classes, has too few images.

    >>> split = Split(torch.zeros(20, 1, 8, 8, dtype=torch.uint8), torch.arange(20))
    >>> small, large = (random_subset(split, size, seed=0).labels.tolist() for size in (3, 9))
    >>> large[:3] == small
    True
    """
    if not 0 < size <= len(split):
        raise ValueError(f"size is {size}; it must be between 1 and the {len(split)} images of the split")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    if balanced:
        labels = split.labels.cpu()[order]
        classes, counts = labels.unique(return_counts=True)
        if size > (most := int(counts.min()) * len(classes)):
            raise ValueError(f"size is {size}; a balanced subset of this split may have at most {most} images")
        rank = torch.empty_like(labels)  # how many images of its class come before an image
        for label, count in zip(classes.tolist(), counts.tolist(), strict=True):
            rank[labels == label] = torch.arange(count)
        order = order[torch.argsort(rank, stable=True)]
    return split.take(order[:size])
