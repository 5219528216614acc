r"""What papers A and C do to the filters of a network: shuffle channels, average channels, smooth filters.

Each function returns a deep copy; the network it is given stays as it was. W [out, in, height, width] is
the weight of a convolution, o its output and i its input channel.

Shuffling (A Sec. 2, Fig. 3 dashed) breaks what the channels have learnt together and keeps each 2-D filter:

$$W'_{oi} = W_{o\,\pi(i)} \text{ (shared)}, \qquad W'_{oi} = W_{o\,\pi_o(i)} \text{ (independent)} .$$

>>> import torch
>>> from relstab import models
>>> model = models.build("vgg11", width=0.1)
>>> shuffled = shuffle_channels(model, generator=torch.Generator().manual_seed(0))
>>> torch.equal(shuffled.classifier.weight, model.classifier.weight)
True
"""

import copy
import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

MODES = ("shared", "independent")


def _convolutions(model: nn.Module) -> Iterator[nn.Conv2d]:
    return (module for module in model.modules() if isinstance(module, nn.Conv2d))


@torch.no_grad()
def shuffle_channels(model: nn.Module, *, mode: str = "shared", generator: torch.Generator | None = None) -> nn.Module:
    """Copy of a network whose 2-D convolutions read their input channels in random order.

    mode "shared" (the authors'): one uniform permutation of the input axis per weight, the same for all
    output channels; "independent": another one for each output channel. Every 4-D weight is treated, also
    the first (which permutes the colours) and the 1x1 shortcuts; biases, BatchNorm and linear layers are
    not, and BatchNorm keeps its running statistics. Nothing changes where the input axis has length one
    (grey images, depthwise convolutions). generator: CPU; None draws fresh permutations. One draw says
    little: average over several.

    Raises ValueError for another mode. Source: paper A, Sec. 2 and Fig. 3.

    >>> model = nn.Sequential(nn.Conv2d(5, 2, 1))
    >>> shuffled = shuffle_channels(model, generator=torch.Generator().manual_seed(0))
    >>> torch.equal(shuffled[0].weight.sort(1).values, model[0].weight.sort(1).values)
    True
    """
    if mode not in MODES:
        raise ValueError(f"mode: got {mode!r}, must be one of {', '.join(MODES)}.")
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    model = copy.deepcopy(model)
    for convolution in _convolutions(model):
        weight = convolution.weight
        outputs, inputs = weight.shape[:2]
        rows = 1 if mode == "shared" else outputs
        keys = torch.rand(rows, inputs, generator=generator, dtype=torch.float64, device="cpu")
        order = keys.argsort(1).to(weight.device)[:, :, None, None].expand(outputs, inputs, *weight.shape[2:])
        weight.copy_(weight.gather(1, order))
    return model


@torch.no_grad()
def mean_channel(model: nn.Module) -> nn.Module:
    r"""Copy of a network in which all channels of a layer are the mean channel.

    $$W'_{oi} = \langle W\rangle_{oi}, \qquad b'_o = \langle b\rangle_o,$$

    and the same mean over channels for BatchNorm's scale, shift, running mean and running variance.

    The number of channels stays, so any architecture keeps working (grouped convolutions and flattened
    heads, too), and since all channels are equal the sum over the inputs makes it the one-channel network
    with filter n_in <W>. Linear layers are untouched. Means, not sums, for parameters and statistics alike.

    Source: the homogeneous-channel assumption of paper A, Sec. 4 (its Fig. 9 averages activations instead).

    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3))
    >>> mean = mean_channel(model)[0].weight
    >>> mean.shape, torch.allclose(mean[2, 1], model[0].weight.mean((0, 1)))
    (torch.Size([4, 3, 3, 3]), True)
    """
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.copy_(module.weight.mean((0, 1), keepdim=True).expand_as(module.weight))
            per_channel = [module.bias]
        elif isinstance(module, nn.BatchNorm2d):
            per_channel = [module.weight, module.bias, module.running_mean, module.running_var]
        else:
            continue
        for values in per_channel:
            if values is not None:
                values.fill_(values.mean())
    return model


@torch.no_grad()
def smooth_filters(model: nn.Module, sigma: float | int) -> nn.Module:
    r"""Copy of a network whose filters are convolved with a Gaussian of standard deviation sigma (pixels).

    $$W'_{oi}(y, x) = a_o \sum_{y', x'} e^{-[(y - y')^2 + (x - x')^2] / 2\sigma^2}\, W_{oi}(y', x')$$

    A filter counts as zero outside its grid and the result is cut to the grid again. a_o gives every output
    channel back the norm of its incoming weights, so that smoothing does not also dim the signal (BatchNorm
    would undo the factor in any case). sigma = 0 changes nothing; as sigma grows, each filter tends to a
    homogeneous one. The paper says only "convolving them with Gaussian filters": border and norm are our
    choice. 1x1 filters stay.

    Raises ValueError for a negative or infinite sigma. Source: paper C, Sec. 4.2 and Fig. 4.

    >>> model = nn.Sequential(nn.Conv2d(1, 1, 3))
    >>> smooth = smooth_filters(model, 1.0)[0].weight
    >>> round((smooth.norm() / model[0].weight.norm()).item(), 5)
    1.0
    """
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma: got {sigma}, must be a finite number of at least 0.")
    model = copy.deepcopy(model)
    for convolution in _convolutions(model):
        weight = convolution.weight
        if sigma > 0 and max(weight.shape[2:]) > 1:
            rows, columns = (_gaussian(size, sigma).to(weight) for size in weight.shape[2:])
            smooth = rows @ weight @ columns
            before, after = (w.flatten(1).norm(dim=1)[:, None, None, None] for w in (weight, smooth))
            weight.copy_(smooth * (before / after.clamp_min(torch.finfo(weight.dtype).tiny)))
    return model


def _gaussian(size: int, sigma: float | int) -> Float[Tensor, "size size"]:
    """exp(-(y - y')^2 / 2 sigma^2) between the points of a line."""
    steps = torch.arange(size, dtype=torch.float64, device="cpu")
    return torch.exp(-(((steps[:, None] - steps) / sigma) ** 2) / 2)
