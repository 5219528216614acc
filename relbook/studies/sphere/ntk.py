r"""The lazy limit of one-hidden-layer networks: regression with the exact neural tangent kernel (slides D).

For :math:`f(x) = \frac1H \sum_h c_h \mathrm{ReLU}(w_h \cdot x)` with w, c ~ N(0, 1) and H → ∞ the kernel is,
for unit vectors at an angle φ (Cho and Saul's arc-cosine kernels of order 1 and 0),

.. math:: \Theta(\varphi) = \frac{\sin\varphi + (\pi - \varphi) \cos\varphi}{2\pi}
          + \cos\varphi\, \frac{\pi - \varphi}{2\pi} .

The first term comes from the motion of the readout c, the second from that of the weights w. Gradient flow
from F = 0 on the square loss converges to the interpolant of least norm,
:math:`F(x) = \Theta(x, X)\, \Theta(X, X)^{-1} y`.

>>> x = torch.eye(3, dtype=torch.float64)
>>> regression(x, torch.ones(3, dtype=torch.float64), x).round(decimals=6).tolist()  # interpolates
[1.0, 1.0, 1.0]
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def kernel(
    x: Float[Tensor, "*batch left dimension"], other: Float[Tensor, "*batch right dimension"]
) -> Float[Tensor, "*batch left right"]:
    """Θ(x, x') of unit vectors; Θ(x, x) = 1.

    >>> x = torch.eye(2, dtype=torch.float64)
    >>> kernel(x, x)[0].round(decimals=4).tolist()  # the same point, and a right angle: 1/2π
    [1.0, 0.1592]
    """
    cosine = (x @ other.mT).clamp(-1, 1)
    angle = torch.acos(cosine)
    rest = math.pi - angle
    return (angle.sin() + 2 * rest * cosine) / (2 * math.pi)


def regression(
    x: Float[Tensor, "*batch point dimension"],
    labels: Float[Tensor, "*batch point"],
    test: Float[Tensor, "*batch other dimension"],
) -> Float[Tensor, "*batch other"]:
    """Θ(test, x) Θ(x, x)⁻¹ labels, without ridge: where lazy training ends. Unit vectors, best in float64.

    >>> x = torch.eye(2, dtype=torch.float64)
    >>> middle = torch.full((1, 2), 0.5**0.5, dtype=torch.float64)
    >>> regression(x, torch.tensor([1.0, -1.0], dtype=torch.float64), middle).abs().item() < 1e-12
    True
    """
    weights = torch.linalg.solve(kernel(x, x), labels.unsqueeze(-1))
    return (kernel(test, x) @ weights).squeeze(-1)
