r"""Reducing a layer's features, chunk by chunk, to the numbers behind D, G and R (A Eq. 1, B Eqs. 4-5).

For features f(x_i), f(τx_i) and f(x_i + η_i) of P images a reducer returns, for each pair of displacement and
cut, `Reduced(tau, eta, normaliser, error)`::

    "mean"                mean_i ‖f(τx_i) − f(x_i)‖²                mean over pairs of ‖f(x_i) − f(x_j)‖²
    "median"              median_i ‖f(τx_i) − f(x_i)‖²              median over pairs
    "component_median"    Σ_c median_i (f_c(τx_i) − f_c(x_i))²      median over pairs

Pairs are the P² ordered ones, i = j included, as in the authors' estimator. The mean over pairs is
2 (E‖f‖² − ‖E f‖²), so that `Mean` keeps sums only: two vectors of one image's features, whatever the number
of images. The sums are in float64 and of features centred on the first image, so they neither cancel nor
depend on how the images were split into chunks; features that are exactly constant give a normaliser of 0.
Medians have no such identity: `Medians` keeps the features of all images in host memory. With several draws of
τ and η, tau and eta are averages over the draws.

`error` is the standard error of log(tau / eta) over images and draws, by the delta method: each statistic is,
to first order, a mean over images of an influence $I_i$, the draws of an image being averaged first, and

$$\mathrm{error}^2 = \frac{1}{P(P-1)}\sum_i
  \left(\frac{I^\tau_i}{\mathtt{tau}} - \frac{I^\eta_i}{\mathtt{eta}}\right)^2.$$

For a mean $I_i = \|f(\tau x_i) - f(x_i)\|^2$ less the mean. For a median m of values $v_i$ of density p,
$I_i = \mathrm{sign}(v_i - m)/2p(m)$, with 1/p from the distance of the order statistics 1.96 √P/2 ranks below
and above the median (McKean and Schrader 1984); medians of components add up.

>>> import torch
>>> clean = torch.tensor([[0.0], [2.0]])
>>> reducer = Mean()
>>> reducer.begin(2)
>>> reducer.update(torch.stack([clean, clean + 1, clean + 2]))
>>> reducer.results()[0]
Reduced(tau=1.0, eta=4.0, normaliser=2.0, error=0.0)
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

STATISTICS = ("mean", "median", "component_median")
CPU_BLOCK = 2**17  # numbers reduced at a time on a CPU: temporaries that stay in cache are ~3x faster
_SAFE = 30  # features between 2^-30 and 2^30 have squares, and sums of squares, that float32 can hold


class Reduced(NamedTuple):
    """Numerators of D and G, their common normaliser, and the standard error of log(tau / eta)."""

    tau: float
    eta: float
    normaliser: float
    error: float


class Mean:
    """Sums of squares, merged in float64; memory is two vectors of one image's features."""

    def __init__(self, draws: int = 1):
        self.draws = draws
        self.seen = self.size = 0
        self.square = 0.0
        self.scale = self.origin = self.total = None
        self.sums = {}  # pair -> sums over images of τ, η, τ², τη, ητ, η², where τ and η are averages over draws
        self.pending = {}  # pair -> τ and η of the images of the present chunk, summed over draws

    def begin(self, size: int) -> None:
        """A new chunk of `size` images: all draws of those before have been added."""
        for pair, rows in self.pending.items():
            rows = rows / self.draws
            sums = torch.cat([rows.sum(1), (rows @ rows.T).flatten()])
            self.sums[pair] = self.sums[pair] + sums if pair in self.sums else sums
        self.size, self.pending = size, {}

    def update(self, stack: Tensor, units: Sequence = ((0, 0),), start: int = 0, first: bool = True) -> None:
        """Add what a forward pass gave for some images of the chunk, from number `start` on.

        Args:
            stack: [1 + 2 units, image, ...], features of x and then of τx and x + η for each unit, (pair, draw).
            first: whether this is the first time that these images are seen; later with other units.
        """
        if self.scale is None:
            self.scale = _scale(stack[0, 0])
        for low, clean, others in _blocks(stack, self.scale):
            if first:
                self._add_clean(clean)
            squares = torch.cat([_row_squares(some - clean) for some in others])
            rows = slice(start + low, start + low + len(clean))
            for (pair, _), changes in zip(units, squares.unflatten(0, (-1, 2)), strict=True):
                if pair not in self.pending:
                    self.pending[pair] = changes.new_zeros(2, self.size)
                self.pending[pair][:, rows] += changes

    def _add_clean(self, block: Tensor) -> None:
        if self.origin is None:
            self.origin = block[0].clone()
            self.total = torch.zeros_like(_double(self.origin))
        self.seen += len(block)
        centred = block - self.origin
        self.total += _double(centred.sum(0))
        self.square = self.square + _row_squares(centred).sum()

    def results(self) -> dict[int, Reduced]:
        """{pair: Reduced}, after the last chunk."""
        self.begin(0)
        variance = self.square / self.seen - (self.total / self.seen).square().sum()
        normaliser = 2.0 * max(float(variance), 0.0) if variance.isfinite() else math.nan
        found = {}
        for pair, sums in self.sums.items():
            tau, eta, tau_tau, tau_eta, _, eta_eta = (sums / self.seen).tolist()
            # The mean square of τ_i/⟨τ⟩ − η_i/⟨η⟩, whose mean is 0.
            spread = tau_tau / tau**2 - 2 * tau_eta / (tau * eta) + eta_eta / eta**2 if tau and eta else math.nan
            found[pair] = Reduced(tau, eta, normaliser, _error(spread, self.seen))
        return found


class Medians:
    """Medians over images; keeps the features [images, components] and by_component their squared changes."""

    def __init__(self, images: int, *, by_component: bool, draws: int = 1):
        self.images = images
        self.by_component = by_component
        self.draws = draws
        self.seen = self.size = 0
        self.scale = self.clean = None
        self.changes = {}  # pair -> squared changes by τ and by η, [draw, 2, images, components or 1]

    def begin(self, size: int) -> None:
        """A new chunk of `size` images."""
        self.seen += self.size
        self.size = size

    def update(self, stack: Tensor, units: Sequence = ((0, 0),), start: int = 0, first: bool = True) -> None:
        """Add what a forward pass gave; see `Mean.update`."""
        if self.scale is None:
            self.scale = _scale(stack[0, 0])
            self.clean = np.empty((self.images, stack[0, 0].numel()), _numpy_dtype(stack))
        width = self.clean.shape[1] if self.by_component else 1
        for low, clean, others in _blocks(stack, self.scale):
            rows = slice(self.seen + start + low, self.seen + start + low + len(clean))
            if first:
                self.clean[rows] = clean.cpu().numpy()
            changes = ((some - clean).square_() for some in others)
            changes = changes if self.by_component else (change.sum(-1, keepdim=True) for change in changes)
            changes = itertools.chain.from_iterable(change.cpu().numpy() for change in changes)
            for (pair, draw), kind in itertools.product(units, (0, 1)):
                if pair not in self.changes:
                    self.changes[pair] = np.empty((self.draws, 2, self.images, width), self.clean.dtype)
                self.changes[pair][draw, kind, rows] = next(changes)

    def results(self) -> dict[int, Reduced]:
        """{pair: Reduced}."""
        normaliser = float(np.median(_pair_distances(self.clean)))
        found = {}
        for pair, draws in self.changes.items():
            values = [[_column_medians(change) for change in two] for two in draws]
            tau, eta = (sum(two[kind][0] for two in values) / self.draws for kind in (0, 1))
            influence = [sum(two[kind][1] for two in values) / self.draws for kind in (0, 1)]
            spread = math.nan
            if tau and eta:
                shift = influence[0] / tau - influence[1] / eta
                spread = float(np.mean((shift - shift.mean()) ** 2))
            found[pair] = Reduced(tau, eta, normaliser, _error(spread, self.images))
        return found


def kept_numbers(statistic: str, images: int, size: int, changes: int = 1) -> int:
    """How many numbers a reducer keeps for a layer of `size` components an image; changes: pairs times draws.

    >>> [kept_numbers(statistic, 500, 10) for statistic in STATISTICS]
    [20, 6000, 15000]
    """
    kept = {
        "mean": 2 * size,
        "median": images * (size + 2 * changes),
        "component_median": (1 + 2 * changes) * images * size,
    }
    return kept[statistic]


def reducer(statistic: str, images: int | None, draws: int = 1) -> Mean | Medians:
    """A fresh reducer for one layer; `statistic` is one of STATISTICS."""
    if statistic == "mean":
        return Mean(draws)
    return Medians(images, by_component=statistic == "component_median", draws=draws)


def _blocks(stack: Tensor, scale: float) -> Iterator[tuple[int, Tensor, Iterable[Tensor]]]:
    """[sets, image, ...] cut to stay in cache: (number of the first image, clean [rows, components], others).

    others: an iterator over tensors [some sets, rows, components]; all numbers are at least float32.
    """
    images = stack.shape[1]
    size = max(stack[0, 0].numel(), 1)
    in_cache = stack.device.type == "cpu"
    step = max(1, CPU_BLOCK // size) if in_cache else images

    def part(features):
        features = features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
        return features if scale == 1 else features * scale

    for low in range(0, images, step):
        block = stack[:, low : low + step].flatten(2)
        together = max(1, CPU_BLOCK // block[0].numel()) if in_cache else len(block)
        yield low, part(block[0]), map(part, block[1:].split(together))


def _scale(features: Tensor) -> float:
    """A power of two that brings very large or very small features near 1; 1 for all others."""
    peak = float(features.abs().max())
    if not 0 < peak < math.inf:
        return 1.0
    exponent = math.frexp(peak)[1]
    return 1.0 if abs(exponent) <= _SAFE else 2.0 ** max(-exponent, -126)


def _row_squares(difference: Tensor) -> Tensor:
    """Sum of squares of each row in float64, overwriting its argument; in the native type within a row."""
    return _double(difference.square_().sum(-1))


def _double(tensor: Tensor) -> Tensor:
    """float64, on the same device where it has the type (Apple's does not)."""
    return tensor.double() if tensor.device.type != "mps" else tensor.cpu().double()


def _numpy_dtype(tensor: Tensor) -> type[np.floating]:
    return np.float64 if tensor.dtype == torch.float64 else np.float32


def _error(spread: float, images: int) -> float:
    """Standard error of a mean over images of an influence whose mean square is `spread`."""
    return math.sqrt(max(spread, 0.0) / (images - 1)) if spread == spread else math.nan


def _column_medians(values: np.ndarray, block: int = 2**22) -> tuple[float, np.ndarray]:
    """(sum over columns of the median over rows, influence of every row on it); see the top of the file.

    By blocks of columns, because np.partition copies what it is given.
    """
    images = len(values)
    reach = 1.96 * math.sqrt(images) / 2
    low, high = (min(max(round(images / 2 + side * reach - 0.5), 0), images - 1) for side in (-1, 1))
    middle = [(images - 1) // 2, images // 2]
    total, influence = 0.0, np.zeros(images)
    step = max(1, block // images)
    for left in range(0, values.shape[1], step):
        part = values[:, left : left + step]
        ranked = np.partition(part, sorted({low, high, images - 1, *middle}), axis=0)
        median = ranked[middle].mean(0)
        median[np.isnan(ranked[-1])] = np.nan
        total += float(median.astype(np.float64).sum())
        slope = (ranked[high] - ranked[low]).astype(np.float64) * (math.sqrt(images) / (2 * 1.96))
        influence += np.sign(part - median) @ slope
    return total, influence


def _pair_distances(features: np.ndarray, block: int = 4096) -> np.ndarray:
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
