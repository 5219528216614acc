r"""Two made-up data sets whose invariance is known: stripes (paper B, Sec. 6) and the sphere (slides D).

*Stripes.* Points are Gaussian, :math:`x \sim N(0, 1_d)`, and the label depends on the first coordinate alone:
y = +1 between two parallel planes, -1 outside. The other d - 1 directions are invariant. The planes at -0.3
and 1.18549 are the authors'; they cut the Gaussian into halves, so the classes are balanced.

*Sphere.* Points are uniform on the unit sphere in d dimensions and every label is 1: all rotations are
symmetries.

>>> x, y = stripe(1000, 30, generator=torch.Generator().manual_seed(0))
>>> x.shape, sorted(y.unique().tolist())
(torch.Size([1000, 30]), [-1.0, 1.0])
>>> sphere(4, 3, generator=torch.Generator().manual_seed(0)).norm(dim=1).round(decimals=5).tolist()
[1.0, 1.0, 1.0, 1.0]
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

INTERFACES = (-0.3, 1.18549)  # Phi(1.18549) - Phi(-0.3) = 0.5000


def _check(points: int, dimension: int) -> None:
    if points < 1:
        raise ValueError(f"points is {points}; it must be at least 1")
    if dimension < 2:
        raise ValueError(f"dimension is {dimension}; it must be at least 2, one of them invariant")


def stripe(
    points: int, dimension: int, *, generator: torch.Generator
) -> tuple[Float[Tensor, "point dimension"], Float[Tensor, " point"]]:
    """Inputs and labels of ±1 of the stripe model; coordinate 0 is the informative one.

    ValueError for fewer than 1 point or 2 dimensions. Paper B, Sec. 6; planes as in the authors' code.

    >>> x, y = stripe(1000, 5, generator=torch.Generator().manual_seed(0))
    >>> inside = (x[:, 0] > INTERFACES[0]) & (x[:, 0] < INTERFACES[1])
    >>> torch.equal(y > 0, inside)
    True
    """
    _check(points, dimension)
    x = torch.randn(points, dimension, generator=generator)
    inside = (x[:, 0] > INTERFACES[0]) & (x[:, 0] < INTERFACES[1])
    return x, torch.where(inside, 1.0, -1.0)


def sphere(points: int, dimension: int, *, generator: torch.Generator) -> Float[Tensor, "point dimension"]:
    """Points uniform on the unit sphere of `dimension` dimensions, float64. ValueErrors as `stripe`.

    >>> points = sphere(100, 4, generator=torch.Generator().manual_seed(0))
    >>> points.shape, points.dtype
    (torch.Size([100, 4]), torch.float64)
    """
    _check(points, dimension)
    x = torch.randn(points, dimension, generator=generator, dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


def on_sphere(
    like: Float[Tensor, "*batch dimension"], radius: float, *, generator: torch.Generator
) -> Float[Tensor, "*batch dimension"]:
    """Isotropic vectors of one norm, one per row of `like`.

    >>> noise = on_sphere(torch.zeros(2, 5), 3.0, generator=torch.Generator().manual_seed(0))
    >>> noise.norm(dim=1).round(decimals=5).tolist()
    [3.0, 3.0]
    """
    noise = torch.randn(like.shape, generator=generator, dtype=like.dtype)
    return radius * noise / noise.norm(dim=-1, keepdim=True)


def rotate(
    x: Float[Tensor, "*batch dimension"], angle: float, *, generator: torch.Generator
) -> Float[Tensor, "*batch dimension"]:
    """Every x turned by `angle` (radians) towards a random t ⟂ x, ``|t| = |x|``: cos(angle) x + sin(angle) t.

    The rotation R_θ of slides D, independent for each point; 0 stays where it is.

    >>> x = sphere(2, 3, generator=torch.Generator().manual_seed(0))
    >>> turned = rotate(x, 0.5, generator=torch.Generator().manual_seed(1))
    >>> (x * turned).sum(1).acos().round(decimals=6).tolist()
    [0.5, 0.5]
    """
    direction = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    squared = x.square().sum(-1, keepdim=True)
    direction = direction - (direction * x).sum(-1, keepdim=True) / squared.clamp_min(torch.finfo(x.dtype).tiny) * x
    tangent = direction * (squared.sqrt() / direction.norm(dim=-1, keepdim=True))
    return math.cos(angle) * x + math.sin(angle) * tangent
