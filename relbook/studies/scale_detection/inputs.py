r"""What is drawn at random in scale detection: sets of pairs, deformations, noise (paper A, App. B.2).

>>> from relstab.data.scale_detection import line_task
>>> task = line_task(1, 32, 11, gap=4)
>>> [len(part) for part in balanced_split(task, 100, 20, seed=0)]
[100, 20, 104]
"""

import itertools
from math import prod, sqrt

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relstab.data.scale_detection import TwoPixelTask, displaced, moves


def balanced_split(
    task: TwoPixelTask, train: int, validation: int, *, seed: int
) -> tuple[Int[Tensor, " train"], Int[Tensor, " validation"], Int[Tensor, " test"]]:
    """Indices of disjoint training, validation and test pairs, each half near and half far.

    The test set takes what the smaller class leaves. Raises ValueError if a class is too small.

    >>> from relstab.data.scale_detection import line_task
    >>> task = line_task(1, 32, 11, gap=4)
    >>> [task.labels[part].double().mean().item() for part in balanced_split(task, 100, 20, seed=0)]
    [0.0, 0.0, 0.0]
    """
    draw = torch.Generator().manual_seed(seed)
    order = [torch.nonzero(task.labels == label).flatten() for label in (1, -1)]
    order = [indices[torch.randperm(len(indices), generator=draw)] for indices in order]
    smaller = min(len(indices) for indices in order)
    if min(train, validation) < 0 or train % 2 or validation % 2 or (train + validation) // 2 > smaller:
        raise ValueError(
            f"train is {train} and validation is {validation}; both must be even, 0 or more, together <= {2 * smaller}"
        )
    cuts = (0, train // 2, (train + validation) // 2, smaller)
    return tuple(torch.cat([indices[a:b] for indices in order]) for a, b in itertools.pairwise(cuts))


def random_translation(
    task: TwoPixelTask, *, boundary: str = "clip", generator: torch.Generator
) -> Int[Tensor, "pair 2 axis"]:
    """One random local translation per input, the two pixels independently (the authors' image "diffeo").

    >>> from relstab.data.scale_detection import image_task
    >>> task = image_task(2, 4, 2)
    >>> moved = random_translation(task, generator=torch.Generator().manual_seed(0))
    >>> (moved - task.positions).abs().max().item()
    1
    """
    steps, weights = moves(len(task.shape))
    drawn = torch.multinomial(weights, 2 * len(task), replacement=True, generator=generator)
    block = task.block if boundary == "block" else None
    displacement = steps[drawn].reshape(task.positions.shape)
    return displaced(task.positions, displacement, task.shape, boundary=boundary, block=block)


def rectified_noise(
    count: int, shape: tuple[int, ...], variance: float, *, generator: torch.Generator
) -> Float[Tensor, "count 1 *shape"]:
    r"""Noise of A Fig. 9: :math:`\max(0, \eta)`, each pixel of :math:`\eta` normal with the given variance.

    The squared norm is on average half of L times the variance: rectified "before" the network, so that
    :math:`G_k` is out of its pre-asymptotic regime (paper A, App. B.2).

    >>> noise = rectified_noise(500, (32,), 1.0, generator=torch.Generator().manual_seed(0))
    >>> noise.shape, noise.min().item(), round(noise.square().sum((1, 2)).mean().item())  # half of 32
    (torch.Size([500, 1, 32]), 0.0, 16)
    """
    return torch.randn(count, 1, *shape, generator=generator).clamp_(min=0) * sqrt(variance)


def sphere_noise(
    norms: Float[Tensor, " count"], shape: tuple[int, ...], *, generator: torch.Generator
) -> Float[Tensor, "count 1 *shape"]:
    r"""Noise in a uniform direction, of the given norm for each sample: :math:`\|\tau x_i - x_i\|`, say.

    >>> noise = sphere_noise(torch.tensor([1.0, 2.0]), (8, 8), generator=torch.Generator().manual_seed(0))
    >>> noise.flatten(1).norm(dim=1).round(decimals=5).tolist()
    [1.0, 2.0]
    """
    noise = torch.randn(len(norms), prod(shape), generator=generator, dtype=norms.dtype)
    noise *= (norms / noise.norm(dim=1)).unsqueeze(1)
    return noise.reshape(-1, 1, *shape)
