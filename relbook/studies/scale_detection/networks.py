r"""The simple convolutional networks of paper A, Sec. 4, as an ensemble of seeds in one batched network.

A member has K identical layers of H channels on a ring, without padding other than the ring itself,

.. math:: f_k = \sqrt{F}\, \phi\Big( \frac{w_k * f_{k-1}}{\sqrt{C F}} + b_k \Big), \quad
          f = \beta_0 + \frac{1}{H} \sum_h \beta_h \langle f_K \rangle_h,

with C channels below, all parameters drawn from N(0, 1), the mean over positions in angle brackets, and
stride 1 or F. The step of gradient descent is the learning rate times H, and the ridge, ridge |w|²/(H K) on
the filters only, shrinks them by 1 - 2 lr ridge / K a step: the clock of weight decay is K/(2 lr ridge)
steps.

Members share one tensor with the member as the leading axis: a layer is one `baddbmm` on rolled copies of its
input, several times faster on small networks than one member at a time (benchmarks/ensembles.py).

>>> ensemble = initialise(Architecture(layers=3, width=8, filter_size=3), seeds=[0, 1])
>>> [tuple(f.shape) for f in representations(ensemble, torch.zeros(5, 1, 16))]  # member, channel, image, site
[(2, 8, 5, 16), (2, 8, 5, 16), (2, 8, 5, 16)]
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Architecture:
    """K layers of H channels, filters of F sites, stride 1 or F."""

    layers: int
    width: int
    filter_size: int
    stride: int = 1

    def __post_init__(self) -> None:
        if self.stride not in (1, self.filter_size):
            raise ValueError(f"stride is {self.stride}; it must be 1 or the filter size {self.filter_size}")


@dataclass(frozen=True)
class Ensemble:
    """Parameters of all members: filters[k] [member, H, F * C] (site-major), biases[k] [member, H, 1],
    readout [member, 1, H], offset [member, 1]."""

    architecture: Architecture
    filters: list[Float[Tensor, "member width _"]]
    biases: list[Float[Tensor, "member width 1"]]
    readout: Float[Tensor, "member 1 width"]
    offset: Float[Tensor, "member 1"]

    @property
    def parameters(self) -> list[Tensor]:
        """All tensors, in the order `with_parameters` takes them."""
        return [*self.filters, *self.biases, self.readout, self.offset]

    def with_parameters(self, tensors: Sequence[Tensor]) -> "Ensemble":
        """The same network with other tensors."""
        K = self.architecture.layers
        return Ensemble(self.architecture, list(tensors[:K]), list(tensors[K : 2 * K]), *tensors[2 * K :])

    def take(self, members: Sequence[int]) -> "Ensemble":
        """A copy of some members."""
        return self.with_parameters([p.detach()[list(members)].clone() for p in self.parameters])

    def to(self, *target: Any) -> "Ensemble":
        """The ensemble on another device or in another precision."""
        return self.with_parameters([p.to(*target) for p in self.parameters])


def initialise(architecture: Architecture, seeds: Sequence[int]) -> Ensemble:
    """Fresh members, each from its own seed: a member does not depend on the company it is drawn in."""
    K, H, F = architecture.layers, architecture.width, architecture.filter_size
    shapes = [(H, F * (H if k else 1)) for k in range(K)] + [(H, 1)] * K + [(1, H), (1,)]
    members = []
    for seed in seeds:
        draw = torch.Generator().manual_seed(seed)
        members.append([torch.randn(shape, generator=draw) for shape in shapes])
    tensors = [torch.stack(same) for same in zip(*members, strict=True)]
    return Ensemble(architecture, tensors[:K], tensors[K : 2 * K], *tensors[2 * K :])


def homogeneous(architecture: Architecture, members: int = 1) -> Ensemble:
    """All filters 1/sqrt(C), no biases: every channel is F^k times the diffusing pixel of paper A, Sec. 4."""
    ensemble = initialise(architecture, range(members))
    F, H = architecture.filter_size, architecture.width
    values = [*(1 / sqrt(w.shape[-1] / F) for w in ensemble.filters), *[0.0] * architecture.layers, 1 / H, 0.0]
    return ensemble.with_parameters(
        [torch.full_like(p, value) for p, value in zip(ensemble.parameters, values, strict=True)]
    )


# Inside, arrays are [member, channel, site, image]: rolling by a site then moves whole blocks of memory.


def _patches(z: Float[Tensor, "member channel site image"], filter_size: int, stride: int) -> Tensor:
    """[member, channel, site, image] -> [member, F * channel, site' * image]: what each filter looks at."""
    members, channels, sites, images = z.shape
    if stride == 1:
        stacked = torch.cat([z.roll(shift, 2) if shift else z for shift in _shifts(filter_size)], 1)
    else:
        stacked = z.unflatten(2, (sites // stride, stride)).permute(0, 3, 1, 2, 4)
    return stacked.reshape(members, filter_size * channels, sites // stride * images)


def _unpatches(
    patches: Tensor, shape: Sequence[int], filter_size: int, stride: int
) -> Float[Tensor, "member channel site image"]:
    """The transpose of `_patches`, which takes gradients back: [member, channel, site, image]."""
    members, channels, sites, images = shape
    stacked = patches.view(members, filter_size, channels, sites // stride, images)
    if stride > 1:
        return stacked.permute(0, 2, 3, 1, 4).reshape(shape)
    middle = (filter_size - 1) // 2
    total = stacked[:, middle].clone()
    for tap, shift in enumerate(_shifts(filter_size)):
        if shift:
            total += stacked[:, tap].roll(-shift, 2)
    return total


def _shifts(filter_size: int) -> range:
    return range((filter_size - 1) // 2, (filter_size - 1) // 2 - filter_size, -1)


def _layers(ensemble: Ensemble, images: Tensor) -> Iterator[Tensor]:
    """f_0 (the images) to f_K as [member, channel, site, image]."""
    architecture = ensemble.architecture
    K, F, stride = architecture.layers, architecture.filter_size, architecture.stride
    if stride > 1 and images.shape[-1] % stride**K:
        raise ValueError(f"images are {images.shape[-1]} sites long; they must be a multiple of {stride}**{K}")
    z = images.expand(len(ensemble.offset), *images.shape[-3:]).permute(0, 2, 3, 1)
    yield z
    for weight, bias in zip(ensemble.filters, ensemble.biases, strict=True):
        channels, sites, count = z.shape[1:]
        answer = torch.baddbmm(bias, weight, _patches(z, F, stride), beta=sqrt(F), alpha=1 / sqrt(channels)).relu_()
        z = answer.unflatten(-1, (sites // stride, count))
        yield z


def _read(ensemble: Ensemble, pooled: Float[Tensor, "member width image"]) -> Float[Tensor, "member image"]:
    """f(x) [member, image] from the means over positions [member, width, image]."""
    return torch.bmm(ensemble.readout, pooled).squeeze(1) / ensemble.architecture.width + ensemble.offset


def representations(
    ensemble: Ensemble, images: Float[Tensor, "*member image 1 length"]
) -> list[Float[Tensor, "member width image _"]]:
    """f_1, ..., f_K of [image, 1, length], shown to every member, or of [member, image, 1, length].

    Raises ValueError if the images are not whole numbers of strides long down to the last layer.
    """
    return [layer.transpose(2, 3) for layer in _layers(ensemble, images)][1:]


def outputs(ensemble: Ensemble, images: Float[Tensor, "*member image 1 length"]) -> Float[Tensor, "member image"]:
    """f(x) of every member: the mean-field readout of the last representation."""
    return _read(ensemble, representations(ensemble, images)[-1].mean(-1))


def hinge(
    ensemble: Ensemble, images: Float[Tensor, "*member image 1 length"], labels: Int[Tensor, "*member image"]
) -> Float[Tensor, "member image"]:
    """max(0, 1 - y f(x)), per member and image."""
    return (1 - labels * outputs(ensemble, images)).clamp(min=0)


@torch.no_grad()
def step(
    ensemble: Ensemble,
    images: Float[Tensor, "member batch 1 length"],
    labels: Int[Tensor, "member batch"],
    *,
    learning_rate: float,
    ridge: float,
) -> Float[Tensor, "member batch"]:
    """One step of gradient descent in place, each member on its own batch; the hinge losses before it.

    The loss is the mean hinge of the batch plus ridge |w|²/(H K); the step is learning_rate * H. Gradients
    are written out: a layer costs two more products, and the one for the filters updates them on the way.
    """
    architecture = ensemble.architecture
    K, H, F, stride = architecture.layers, architecture.width, architecture.filter_size, architecture.stride
    rate = learning_rate * H
    decay = 1 - 2 * learning_rate * ridge / K
    layers = list(_layers(ensemble, images))
    last = layers[-1]
    pooled = last.mean(2)
    found = _read(ensemble, pooled)
    losses = (1 - labels * found).clamp(min=0)
    slope = torch.where(losses > 0, -labels.to(found.dtype) / labels.shape[1], 0).unsqueeze(1)
    pull = ensemble.readout.transpose(1, 2) * slope / (H * last.shape[2])
    pull = pull.unsqueeze(2).expand(last.shape)
    ensemble.readout.baddbmm_(slope, pooled.transpose(1, 2), alpha=-rate / H)
    ensemble.offset.sub_(slope.sum(-1), alpha=rate)
    for k in reversed(range(K)):
        pull = (pull * layers.pop().sign()).flatten(2)  # the slope of ReLU; `where` takes ten times longer
        weight, scale = ensemble.filters[k], 1 / sqrt(layers[-1].shape[1])
        below = torch.bmm(weight.transpose(1, 2), pull) if k else None
        seen = _patches(layers[-1], F, stride)  # again: cheaper than to keep three copies of every layer
        weight.baddbmm_(pull, seen.transpose(1, 2), beta=decay, alpha=-rate * scale)
        ensemble.biases[k].sub_(pull.sum(-1, keepdim=True), alpha=rate * sqrt(F))
        if k:
            pull = _unpatches(below, layers[-1].shape, F, stride).mul_(scale)
    return losses
