r"""The effective receptive field of a network's layers, from its architecture alone (A Sec. 4, A_k).

A neuron at the centre of layer k sees input pixel p with weight $m_k(p) = |\partial f_k/\partial x_p|$, in
the homogeneous copy of the network: equal filter weights, no biases, BatchNorm the identity, average- for
max-pooling; ReLU is the identity for positive inputs. Two widths of $m_k$, in input pixels per axis:

    deviation    its standard deviation; for k layers of stride 1 exactly √(k (F² − 1)/12), A's √k
    extent       (Σ m / max m)^(1/axes); for k layers of stride F exactly F^k

By reflection the map is also the response $f_k(\delta_i)$ to a one-pixel input when all strides are 1.

>>> model = torch.nn.Sequential(torch.nn.Conv1d(1, 4, 3, padding=1), torch.nn.Conv1d(4, 4, 3, padding=1))
>>> effective_receptive_field(model, (1, 21))["deviation"].round(4).tolist()
[0.8165, 1.1547]
"""

import copy

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules import batchnorm, conv, pooling

from relstab.probes import layers as reading

_AVERAGE = {
    nn.MaxPool1d: nn.AvgPool1d,
    nn.MaxPool2d: nn.AvgPool2d,
    nn.AdaptiveMaxPool1d: nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool2d: nn.AdaptiveAvgPool2d,
}


def effective_receptive_field(model: nn.Module, shape: tuple[int, ...], *, layers="all") -> pd.DataFrame:
    """Widths of the contribution map of the central neuron of each layer, averaged over channels.

    Args:
        model: a network of convolutions, poolings, activations and sums; it is copied, not changed. A pooling
            that is called as a function keeps its maximum, and then counts as subsampling.
        shape: (channel, length) or (channel, height, width) of an input wide enough to hold the field.
        layers: as in `relstab.sensitivity`; layers whose output is not [image, channel, *axes] are left out.

    Returns a table with the columns layer, depth, relative_depth, deviation, extent (input pixels); NaN for a
    layer that the input does not reach. Raises ValueError for an unknown layer or another shape.

    >>> pooling = torch.nn.Sequential(torch.nn.MaxPool2d(2), torch.nn.MaxPool2d(2))
    >>> effective_receptive_field(pooling, (1, 16, 16))["extent"].tolist()
    [2.0, 4.0]
    """
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"shape must be (channel, length) or (channel, height, width), not {tuple(shape)}")
    model = homogeneous(model).double().cpu()
    image = torch.ones(1, *shape, dtype=torch.float64)
    responses = {}
    with reading.undisturbed(model):
        chosen = reading.choose(model, reading.trace(model, image), layers)
        wanted = {layer.key for layer in chosen}

        def visit(key, output):
            output = reading.features(output, 1) if key in wanted else None
            if output is not None and output.ndim == image.ndim:
                centre = tuple(size // 2 for size in output.shape[2:])
                responses[key] = output.sum(1)[(0, *centre)]

        with torch.enable_grad():
            names = {layer.name for layer in chosen if layer.call > 0}
            reading.sweep(model, image.requires_grad_(), visit, names)
    chosen = [layer for layer in chosen if layer.key in responses]
    if not chosen:
        raise ValueError(
            f"layers: none of {layers!r} returns [image, channel, *axes] with the axes of shape {shape}"
        )
    widths = [_widths(responses[layer.key], image) for layer in chosen]
    table = pd.DataFrame(widths, columns=["deviation", "extent"], dtype=float)
    return pd.concat([pd.DataFrame(reading.table_index(chosen)), table], axis=1)


def homogeneous(model: nn.Module) -> nn.Module:
    """A copy whose layers average: equal filter weights of sum 1, no biases, no normalisation, mean pooling.

    >>> copy = homogeneous(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 2), torch.nn.MaxPool2d(2)))
    >>> copy[0].weight.flatten().tolist(), type(copy[1]).__name__
    ([0.25, 0.25, 0.25, 0.25], 'AvgPool2d')
    """
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) in _AVERAGE:
                setattr(parent, name, _mean_pool(child))
            elif isinstance(child, batchnorm._BatchNorm):
                setattr(parent, name, nn.Identity())
    for module in model.modules():
        if isinstance(module, conv._ConvNd):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def _mean_pool(pool):
    if isinstance(pool, pooling._AdaptiveMaxPoolNd):
        return _AVERAGE[type(pool)](pool.output_size)
    if pool.dilation not in (1, (1, 1)):
        raise ValueError(
            f"model has a max-pooling with dilation {pool.dilation}, which has no average counterpart"
        )
    return _AVERAGE[type(pool)](pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)


def _widths(response: Tensor, image: Tensor):
    """(deviation, extent) of the map of contributions to one response; input channels are added up."""
    nothing = float("nan"), float("nan")
    if not response.requires_grad:
        return nothing
    (gradient,) = torch.autograd.grad(response, image, retain_graph=True, allow_unused=True)
    if gradient is None or not gradient.any():
        return nothing
    contributions = gradient[0].abs().sum(0)
    axes = contributions.ndim
    variances = []
    for axis in range(axes):
        profile = contributions.movedim(axis, 0).reshape(contributions.shape[axis], -1).sum(1)
        share = profile / profile.sum()
        pixel = torch.arange(len(share), dtype=share.dtype)
        variances.append((share * (pixel - (share * pixel).sum()).square()).sum())
    extent = (contributions.sum() / contributions.max()) ** (1 / axes)
    return float(torch.stack(variances).mean().sqrt()), float(extent)
