r"""Pooling as diffusion: a homogeneous filter spreads a pixel like a random walk (paper A, Prop. A.1).

A filter with F equal taps 1/F is one step of a walk uniform on F consecutive sites, so after k layers a
pixel has become the law of the position of the walk. One step has mean :math:`\mu` (0 for odd F, 1/2 for
even F) and variance

.. math:: \sigma^2 = \frac{1}{F} \sum_j (j - \mu)^2 = \frac{F^2 - 1}{12} \quad\text{for odd and even } F,

so the diffusion constant is :math:`D = \sigma^2 / 2 = (F^2 - 1) / 24`. The paper's constants differ, for
three reasons: the sum over F sites becomes an integral over an interval of length F - 1 of a density 1/F;
the factor 1/2 of :math:`D = \langle x^2 \rangle / 2` is missing; and for even F the second moment is taken
about the origin instead of the mean.

>>> [round(diffusion_constant(3, version=version), 4) for version in VERSIONS]
[0.3333, 0.2222]
"""

from math import pi

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

VERSIONS = ("exact", "paper")


def _check(filter_size: int, version: str = "exact", layers: int = 1) -> None:
    if filter_size < 2:
        raise ValueError(f"filter_size is {filter_size}; it must be at least 2")
    if layers < 1:
        raise ValueError(f"layers is {layers}; it must be at least 1")
    if version not in VERSIONS:
        raise ValueError(f"version is {version!r}; it must be one of {', '.join(VERSIONS)}")


def diffusion_constant(filter_size: int, *, version: str = "exact") -> float:
    r"""D of :math:`e^{-x^2 / 4 D k}`, in pixels squared a layer: (F² - 1)/24, or Prop. A.1 as printed.

    Printed (A Eqs. 11-12): (F - 1)³/(12 F) for odd F, (F³ - 3F² + 6F - 4)/(12 F) for even F.

    >>> diffusion_constant(5), diffusion_constant(2), round(diffusion_constant(2, version="paper"), 4)
    (1.0, 0.125, 0.1667)
    """
    _check(filter_size, version)
    F = filter_size
    if version == "exact":
        return (F**2 - 1) / 24
    return ((F - 1) ** 3 if F % 2 else F**3 - 3 * F**2 + 6 * F - 4) / (12 * F)


def drift(filter_size: int, *, version: str = "exact") -> float:
    """v of A Eq. 12, in pixels a layer: 0 for odd F, -1/2 for even F (printed: (1 - F)/(2F)).

    The packet sits at -v k: a unit that looks F/2 to the left sees a pixel F/2 to its right.

    >>> drift(3), drift(2), drift(2, version="paper")
    (0.0, -0.5, -0.25)
    """
    _check(filter_size, version)
    if filter_size % 2:
        return 0.0
    return -0.5 if version == "exact" else (1 - filter_size) / (2 * filter_size)


def effective_receptive_field(layers: int, filter_size: int, stride: int = 1) -> Float[Tensor, " layers"]:
    r"""A_k for k = 1, ..., layers, in input pixels (paper A, Sec. 4).

    Stride 1: the standard deviation of the response to one pixel, exactly :math:`\sqrt{k (F^2 - 1)/12}`.
    Stride F: the width of the block a unit sees, :math:`F^k`. Raises ValueError for any other stride.

    >>> effective_receptive_field(4, 2, stride=2).tolist()
    [2.0, 4.0, 8.0, 16.0]
    """
    _check(filter_size, layers=layers)
    k = torch.arange(1, layers + 1, dtype=torch.float64)
    if stride == 1:
        return (k * (filter_size**2 - 1) / 12).sqrt()
    if stride == filter_size:
        return float(filter_size) ** k
    raise ValueError(f"stride is {stride}; it must be 1 or the filter size {filter_size}")


def kernel(filter_size: int, length: int) -> Float[ndarray, " length"]:
    """The response of one layer to a pixel at 0 of a ring: 1/F on F sites around it.

    For even F, units look F/2 to the left and F/2 - 1 to the right (paper A, App. A).

    >>> kernel(2, 5)
    array([0.5, 0.5, 0. , 0. , 0. ])
    """
    _check(filter_size)
    if filter_size > length:
        raise ValueError(f"filter_size is {filter_size}; it must be at most the length {length}")
    taps = np.zeros(length)
    taps[np.arange(filter_size) - (filter_size - 1) // 2] = 1 / filter_size
    return taps


def walk(layers: int, filter_size: int) -> tuple[Float[ndarray, " site"], Float[ndarray, " site"]]:
    """The response to one pixel on an infinite line after `layers` layers: displacements and probabilities.

    >>> (walk(2, 3)[1] * 9).round(6)
    array([1., 2., 3., 2., 1.])
    """
    _check(filter_size, layers=layers)
    law = np.ones(1)
    for _ in range(layers):
        law = np.convolve(law, np.full(filter_size, 1 / filter_size))
    return np.arange(float(len(law))) - layers * ((filter_size - 1) // 2), law


def gaussian(
    sites: Float[ndarray, " site"], layers: int, filter_size: int, *, version: str = "exact"
) -> Float[ndarray, " site"]:
    r"""Prop. A.1, :math:`(4 \pi D k)^{-1/2} \exp(-(x + v k)^2 / 4 D k)`, with exact or printed constants.

    >>> sites, law = walk(40, 3)
    >>> round(float(np.abs(gaussian(sites, 40, 3) - law).max()), 4)
    0.0004
    """
    spread = 4 * diffusion_constant(filter_size, version=version) * layers
    centred = sites + drift(filter_size, version=version) * layers
    return np.exp(-(centred**2) / spread) / np.sqrt(pi * spread)
