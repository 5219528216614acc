r"""Fully connected nets in the NTK parametrisation (papers A and B: FullConn-L2, -L4, -L6).

With d_0 the number of pixels times channels, hidden width d = 64 and L weight layers (so L - 1 hidden
layers; what paper B calls "4-hidden-layer" has three in the authors' code), ::

    z_1 = ReLU(W_1 x / sqrt(d_0) + b_1),   z_l = ReLU(W_l z_{l-1} / sqrt(d) + b_l),   f = W_L z_{L-1} / d ,

all entries of W and b drawn from N(0, 1). The output divides by d, not sqrt(d) (mean-field scaling), and
has no bias. `nn.Linear` would give the same functions but another meaning to the learning rate.

>>> import torch
>>> from relstab import models
>>> models.build("fc_l4", in_channels=1)(torch.zeros(3, 1, 28, 28)).shape
torch.Size([3, 10])
"""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from relstab.models.common import scaled

HIDDEN = 64


class NTKLinear(nn.Module):
    """y = W x / d_in^power + b with W, b ~ N(0, 1): power 1/2 in hidden layers, 1 at the output.

    Shapes: weight [out, in], bias [out] or None. `relstab.models.initialise` draws the values.
    """

    def __init__(self, inputs: int, outputs: int, *, power: float = 0.5, bias: bool = True):
        super().__init__()
        self.scale = inputs**-power
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Affine map of the last axis."""
        return functional.linear(x, self.scale * self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, as torch prints them for its own layers."""
        outputs, inputs = self.weight.shape
        return f"inputs={inputs}, outputs={outputs}, scale={self.scale:.3g}, bias={self.bias is not None}"


def fc(layers: int, *, in_channels: int, num_classes: int, width: float | int, image_size: int) -> nn.Module:
    """Fully connected net of `layers` weight layers, 64 * width hidden units each. Probed after each ReLU."""
    hidden = scaled(HIDDEN, width)
    parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    inputs = in_channels * image_size**2
    for layer in range(1, layers):
        parts[f"linear{layer}"] = NTKLinear(inputs, hidden)
        parts[f"relu{layer}"] = nn.ReLU()
        inputs = hidden
    parts["output"] = NTKLinear(inputs, num_classes, power=1.0, bias=False)
    model = nn.Sequential(parts)
    model.probe_points = tuple(name for name in parts if name.startswith("relu"))
    return model
