"""Reducing a layer's features, chunk by chunk, to the three numbers behind D, G and R (A Eq. 1, B Eqs. 4-5).

For features f(x_i), f(τx_i) and f(x_i + η_i) of P images a reducer returns (numerator of D, numerator of G,
normaliser):

    "mean"                mean_i ‖f(τx_i) − f(x_i)‖²                mean over pairs of ‖f(x_i) − f(x_j)‖²
    "median"              median_i ‖f(τx_i) − f(x_i)‖²              median over pairs
    "component_median"    Σ_c median_i (f_c(τx_i) − f_c(x_i))²      median over pairs

Pairs are the P² ordered ones, i = j included, as in the authors' estimator. The mean over pairs is
2 (E‖f‖² − ‖E f‖²), so that `Mean` keeps sums only: two vectors of one image's features, whatever the number
of images. The sums are in float64 and of features centred on the first image, so they neither cancel nor
depend on how the images were split into chunks; features that are exactly constant give a normaliser of 0.
Medians have no such identity: `Medians` keeps the features of all images in host memory.

>>> import torch
>>> reducer = Mean(images=2)
>>> reducer.update(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [4.0]]))
>>> reducer.result()
(1.0, 4.0, 2.0)
"""

import numpy as np
import torch

STATISTICS = ("mean", "median", "component_median")
CPU_BLOCK = 2**17  # numbers reduced at a time on a CPU: temporaries that stay in cache are ~3x faster


class Mean:
    """Sums of squares, merged in float64; memory is two vectors of one image's features."""

    def __init__(self, images):
        self.images = images
        self.seen = 0
        self.tau = self.eta = self.square = 0.0
        self.origin = self.total = None

    def update(self, clean, deformed, noisy):
        """Add a chunk: three tensors whose first axis runs over the same images."""
        for first, moved, shaken in _blocks(clean, deformed, noisy, images=len(clean)):
            if self.origin is None:
                self.origin = first[0].clone()
                self.total = torch.zeros_like(_double(self.origin))
            self.seen += len(first)
            self.tau = self.tau + _squares(moved - first)
            self.eta = self.eta + _squares(shaken - first)
            centred = first - self.origin
            self.total += _double(centred.sum(0))
            self.square = self.square + _squares(centred)

    def result(self):
        """(numerator of D, numerator of G, normaliser) as floats."""
        variance = self.square / self.images - (self.total / self.images).square().sum()
        return float(self.tau) / self.images, float(self.eta) / self.images, 2.0 * max(float(variance), 0.0)


class Medians:
    """Medians over images; keeps the features [images, components] and by_component their squared changes."""

    def __init__(self, images, *, by_component):
        self.images = images
        self.by_component = by_component
        self.seen = 0
        self.clean = self.tau = self.eta = None

    def update(self, clean, deformed, noisy):
        """Add a chunk: three tensors whose first axis runs over the same images."""
        for first, moved, shaken in _blocks(clean, deformed, noisy, images=len(clean)):
            changes = [(moved - first).square_(), (shaken - first).square_()]
            if not self.by_component:
                changes = [change.sum(1, keepdim=True) for change in changes]
            first, tau, eta = (block.cpu().numpy() for block in (first, *changes))
            if self.clean is None:
                self.clean, self.tau, self.eta = (
                    np.empty((self.images, block.shape[1]), block.dtype) for block in (first, tau, eta)
                )
            rows = slice(self.seen, self.seen + len(first))
            self.clean[rows], self.tau[rows], self.eta[rows] = first, tau, eta
            self.seen += len(first)

    def result(self):
        """(numerator of D, numerator of G, normaliser) as floats."""
        tau, eta = (float(_column_medians(change).sum()) for change in (self.tau, self.eta))
        return tau, eta, float(np.median(_pair_distances(self.clean)))


def kept_numbers(statistic, images, size):
    """How many numbers a reducer of `statistic` keeps for one layer of `size` components an image.

    >>> [kept_numbers(statistic, 500, 10) for statistic in STATISTICS]
    [20, 6000, 15000]
    """
    return {"mean": 2 * size, "median": images * (size + 2), "component_median": 3 * images * size}[statistic]


def reducer(statistic, images):
    """A fresh reducer for one layer; `statistic` is one of STATISTICS."""
    if statistic == "mean":
        return Mean(images)
    return Medians(images, by_component=statistic == "component_median")


def _blocks(*sets, images):
    """The sets cut into matching [rows, components] blocks, half precision widened to float32."""
    size = max(sets[0].numel() // images, 1)
    step = max(1, CPU_BLOCK // size) if sets[0].device.type == "cpu" else images
    for low in range(0, images, step):
        blocks = [features[low : low + step].flatten(1) for features in sets]
        yield [block.float() if block.dtype in (torch.float16, torch.bfloat16) else block for block in blocks]


def _squares(difference):
    """Sum of squares, overwriting its argument; per image in the native type, over images in float64."""
    return _double(difference.square_().sum(1)).sum()


def _double(tensor):
    """float64, on the same device where it has the type (Apple's does not)."""
    return tensor.double() if tensor.device.type != "mps" else tensor.cpu().double()


def _column_medians(values, block=2**22):
    """Median over rows of each column; by blocks of columns, because np.median copies what it is given."""
    step = max(1, block // len(values))
    medians = [np.median(values[:, low : low + step], axis=0) for low in range(0, values.shape[1], step)]
    return np.concatenate(medians).astype(np.float64)


def _pair_distances(features, block=4096):
    """All P² squared distances, from inner products in float64 of centred features; [P, P], zero diagonal."""
    gram = np.zeros((len(features), len(features)))
    for low in range(0, features.shape[1], block):
        columns = features[:, low : low + block].astype(np.float64)
        columns -= columns[0]
        columns -= columns.mean(0)
        gram += columns @ columns.T
    norms = np.diag(gram)
    distances = np.maximum(norms[:, None] + norms[None, :] - 2 * gram, 0.0)
    np.fill_diagonal(distances, 0.0)
    return distances
