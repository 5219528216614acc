r"""Convolution filters by themselves: Laplacian modes (A Eq. 3, Fig. 4) and total variation (C Figs. 5-6).

The F² modes $\Psi_l$ are the eigenvectors of the Laplacian of the F × F grid with free borders: products of
cosines, $\Psi_{ab}(y, x) = \psi_a(y)\,\psi_b(x)$ with $\psi_a(y) \propto \cos(\pi a (y + 1/2)/F)$ and
eigenvalue $\lambda_a + \lambda_b$, $\lambda_a = 2 - 2\cos(\pi a/F)$. Pairs (a, b), (b, a) share one, and an
eigensolver returns an arbitrary rotation of them: only averages over equal eigenvalues (`grouped`) are
properties of the filters. For F = 3 nine modes leave six such numbers.

>>> weight = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
>>> eigenvalues, gamma = grouped(projections(weight))
>>> eigenvalues.round().int().tolist()
[0, 1, 2, 3, 4, 6]
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def laplacian_modes(size: int) -> tuple[Float[Tensor, "mode size size"], Float[Tensor, " mode"]]:
    r"""The orthonormal modes of the size × size grid Laplacian and their eigenvalues, lowest first; float64.

    Within an eigenvalue, modes that vary along x come first. ValueError for a size below 1. [A, Eq. 3]

    >>> modes, eigenvalues = laplacian_modes(3)
    >>> eigenvalues.round().int().tolist()
    [0, 1, 1, 2, 3, 3, 4, 4, 6]
    >>> modes[0].mul(3).round().int().tolist()  # the mean
    [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"size must be a positive integer, not {size!r}")
    frequency = torch.arange(size, dtype=torch.float64)
    wave = torch.cos(math.pi / size * frequency[:, None] * (frequency + 0.5))
    wave = wave / wave.square().sum(1, keepdim=True).sqrt()
    line = 2 - 2 * torch.cos(math.pi / size * frequency)
    modes = torch.einsum("ay,bx->abyx", wave, wave).reshape(-1, size, size)
    eigenvalues = (line[:, None] + line).flatten()
    # Rounded, so that equal eigenvalues stay in the order of (a, b) on every platform.
    order = torch.sort(eigenvalues.round(decimals=9), stable=True).indices
    return modes[order], eigenvalues[order]


def projections(weight: Float[Tensor, "output input size size"]) -> Float[Tensor, " mode"]:
    r"""Mean squared projection of a layer's filters on each Laplacian mode, in float64.

    $\gamma_l = \frac{1}{H H'}\sum_{c, c'} (\Psi_l\cdot w_{c,c'})^2$ [A, Eq. 3]; $\sum_l\gamma_l$ is the
    mean of $\|w_{c,c'}\|^2$. ValueError for a weight that is not a stack of square filters.

    >>> projections(torch.ones(2, 5, 3, 3)).round(decimals=6).tolist()
    [9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    _check_filters(weight)
    modes, _ = laplacian_modes(weight.shape[-1])
    filters = weight.detach().to("cpu", torch.float64)
    return torch.einsum("oiyx,lyx->oil", filters, modes).square().mean((0, 1))


def grouped(gamma: Float[Tensor, "*layer mode"]) -> tuple[Float[Tensor, " group"], Float[Tensor, "*layer group"]]:
    """The distinct eigenvalues, and the mean of γ over the modes of each: what no choice of basis can change.

    ValueError if the last axis is not a square number of modes.

    >>> grouped(torch.arange(4.0))[1].tolist()  # 2 × 2 filters: eigenvalues 0, 2, 2, 4
    [0.0, 1.5, 3.0]
    """
    size = math.isqrt(gamma.shape[-1])
    if size * size != gamma.shape[-1]:
        raise ValueError(f"gamma must have a square number of modes on its last axis, not {gamma.shape[-1]}")
    _, eigenvalues = laplacian_modes(size)
    distinct, member = eigenvalues.round(decimals=9).unique(return_inverse=True)
    assign = torch.nn.functional.one_hot(member).to(gamma)
    return distinct, gamma @ (assign / assign.sum(0))


def total_variation(weight: Float[Tensor, "output input size size"], reading: str = "slices") -> float:
    r"""How rough the filters are: total variation over L1 norm, $TV(w)/\|w\|_1$ [C, Figs. 5-6].

    $TV(w) = \sum_{y,x} |w_{y+1,x} - w_{y,x}| + |w_{y,x+1} - w_{y,x}|$, within each filter. reading "slices"
    averages the ratio over single filters, leaving out those that are 0 (C quotes 1.87, which is this for
    a truncated normal); "pooled" is one ratio of sums, C's formula as written. Untrained 3 × 3 filters,
    pooled: truncated normal 1.857, normal 12√2/9 = 1.886, uniform 16/9 = 1.778.

    ValueError for another reading or a weight that is not a stack of square filters; NaN if all are zero.

    >>> total_variation(torch.ones(1, 1, 3, 3)), round(total_variation(torch.eye(3).reshape(1, 1, 3, 3)), 4)
    (0.0, 2.6667)
    """
    _check_filters(weight)
    if reading not in ("slices", "pooled"):
        raise ValueError(f"reading must be 'slices' or 'pooled', not {reading!r}")
    filters = weight.detach().to("cpu", torch.float64)
    down, across = (filters.diff(dim=axis).abs().sum((-2, -1)) for axis in (-2, -1))
    variation = down + across
    norm = filters.abs().sum((-2, -1))
    if reading == "pooled":
        return float(variation.sum() / norm.sum())
    return float((variation / norm)[norm > 0].mean())


def _check_filters(weight: Tensor) -> None:
    if weight.ndim != 4 or weight.shape[-1] != weight.shape[-2] or 0 in weight.shape:
        raise ValueError(f"weight must have the shape [output, input, F, F], not {tuple(weight.shape)}")
