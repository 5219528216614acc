r"""Networks with one hidden layer in mean-field scaling, an ensemble of members in one batched network.

.. math:: f(x) = \frac{1}{H} \sum_{h=1}^H c_h\, \phi(w_h \cdot x), \qquad \phi = \mathrm{ReLU},

all w and c drawn from N(0, 1): the network of slides D, and with x = (z/√d, 1) that of paper B, Sec. 6, whose
biases are then the last column of w. What is trained is the predictor :math:`F = \alpha (f - f_0)`: it starts
at zero, and to reach ±1 the weights must change by an amount of order 1/α. Large α is *lazy* training, where
they hardly move and the network is a kernel method; small α is *feature* training, where what they were at
the start is forgotten.

The gradient is written out, since autograd would keep three copies of the activations.

>>> net = initialise(3, 50, seeds=[0, 1])
>>> x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
>>> net(x).shape  # member, point
torch.Size([2, 7])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class OneHidden:
    """weights [member, width, input] and readout [member, width]."""

    weights: Float[Tensor, "member width input"]
    readout: Float[Tensor, "member width"]

    def hidden(self, x: Float[Tensor, "*member point input"]) -> Float[Tensor, "member point width"]:
        """ReLU(w_h . x) of points that all members share, or of each member's own."""
        return (x.expand(len(self.weights), -1, -1) @ self.weights.mT).relu_()

    def __call__(self, x: Float[Tensor, "*member point input"]) -> Float[Tensor, "member point"]:
        """f(x) per member and point."""
        return self.read(self.hidden(x))

    def read(self, hidden: Float[Tensor, "member point width"]) -> Float[Tensor, "member point"]:
        """f from the hidden activations: their mean weighted by the readout."""
        return (hidden @ self.readout.unsqueeze(-1)).squeeze(-1) / self.readout.shape[1]

    def copy(self) -> "OneHidden":
        """The same network in memory of its own."""
        return OneHidden(self.weights.clone(), self.readout.clone())

    def to(self, *target: Any) -> "OneHidden":
        """The network on another device or in another precision."""
        return OneHidden(self.weights.to(*target), self.readout.to(*target))


def initialise(inputs: int, width: int, seeds: Sequence[int], *, dtype: torch.dtype = torch.float32) -> OneHidden:
    """Fresh members, each from its own seed: a member does not depend on the company it is drawn in."""
    draws = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        draws.append(torch.randn(width, inputs + 1, generator=generator, dtype=torch.float64))
    both = torch.stack(draws).to(dtype)
    return OneHidden(both[..., :-1].contiguous(), both[..., -1].contiguous())


def lift(x: Float[Tensor, "*batch dimension"]) -> Float[Tensor, "*batch inputs"]:
    """(x/√d, 1): the input of a network with biases in the NTK scaling of paper B."""
    return torch.cat([x / x.shape[-1] ** 0.5, torch.ones_like(x[..., :1])], -1)


def gradient(
    net: OneHidden,
    x: Float[Tensor, "member point input"],
    hidden: Float[Tensor, "member point width"],
    slope: Float[Tensor, "member point"],
) -> OneHidden:
    """H times the gradient of a loss whose derivative in f(x_p) is `slope`, per member.

    dL/dw_h = c_h Σ_p slope_p θ(w_h.x_p) x_p / H and dL/dc_h = Σ_p slope_p ReLU(w_h.x_p) / H; the factor H
    makes a step of order one move every neuron by an amount that does not depend on the width. `hidden` is
    `net.hidden(x)`, and is overwritten.
    """
    readout = (hidden.mT @ slope.unsqueeze(-1)).squeeze(-1)
    active = hidden.sign_().mul_(slope.unsqueeze(-1))
    return OneHidden(net.readout.unsqueeze(-1) * (active.mT @ x), readout)
