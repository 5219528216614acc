"""Initial weights drawn from an explicit generator.

Convolutions and `nn.Linear` get torch's default, with which all deep nets of papers A and B start: W ~
U(-1/sqrt(n), 1/sqrt(n)) and b alike, n = the number of inputs of one unit (torchvision's own nets would
start from other laws). The layers of the FC nets draw N(0, 1) (`fc.NTKLinear`); BatchNorm starts as the
identity. The nets of paper C start from a truncated normal law (`conv8`).

The draws come in the order of `model.modules()`, weight before bias, exactly as torch itself would make them
from its global generator; only that generator is left alone.

>>> import torch
>>> layer = initialise(torch.nn.Linear(4, 2), torch.Generator().manual_seed(0))
>>> bool(layer.weight.abs().max() <= 0.5)
True
"""

import math

import torch
from torch import nn

from relstab.models.conv8 import TruncatedConv2d, TruncatedLinear
from relstab.models.fc import NTKLinear


def _convolution_or_linear(module: nn.Module, generator: torch.Generator) -> None:
    nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)  # = U(±1/sqrt(fan in))
    if module.bias is not None:
        bound = 1 / math.sqrt(module.weight[0].numel())
        nn.init.uniform_(module.bias, -bound, bound, generator=generator)


def _ntk_linear(module: NTKLinear, generator: torch.Generator) -> None:
    nn.init.normal_(module.weight, generator=generator)
    if module.bias is not None:
        nn.init.normal_(module.bias, generator=generator)


def _truncated_normal(module: nn.Module, generator: torch.Generator) -> None:
    std = module.weight[0].numel() ** -0.5
    nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _batch_norm(module: nn.BatchNorm2d, generator: torch.Generator) -> None:
    module.reset_parameters()  # deterministic: weight 1, bias 0, running mean 0 and variance 1


_RULES = {
    nn.Conv2d: _convolution_or_linear,
    nn.Linear: _convolution_or_linear,
    NTKLinear: _ntk_linear,
    TruncatedConv2d: _truncated_normal,
    TruncatedLinear: _truncated_normal,
    nn.BatchNorm2d: _batch_norm,
}


def initialise(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Draw every parameter of a CPU model afresh, in place; return the model.

    Raises TypeError for a module with parameters of its own and no rule here: nothing stays uninitialised.
    """
    for module in model.modules():
        if rule := _RULES.get(type(module)):
            rule(module, generator)
        elif next(module.parameters(recurse=False), None) is not None:
            raise TypeError(f"model: no initialisation rule for a layer of type {type(module).__name__}.")
    return model
