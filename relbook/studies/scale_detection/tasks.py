r"""Scale-detection tasks: two active pixels, labelled by their distance (paper A, Sec. 3 and App. B.2).

Task 1 compares the distance d with a scale: :math:`y = \mathrm{sign}(\xi - d)`, with a forbidden band of
width g around :math:`\xi`. Task 2 asks whether both pixels lie in the same patch of size :math:`\xi`. In one
dimension the image is a ring of `length` pixels; in two it is a square with edges. A "diffeomorphism"
of such an image is a small displacement of each active pixel, so every expectation over deformations is a
finite sum: :func:`translations` enumerates it.

The image tasks contain every pair of distinct pixels. The authors' generator never lights a pixel of the
diagonal (row = column): of the 306 936 pairs of a 28 x 28 image it keeps 285 390.

>>> task = line_task(1, 32, 11, gap=4)
>>> len(task.labels), int((task.labels > 0).sum())
(368, 256)
>>> round(task.images()[0].square().sum().item(), 4)
32.0
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod, sqrt

import torch
from jaxtyping import Float, Int
from torch import Tensor

CONVENTIONS = {"paper": 0.5, "code": 1.0}  # half-width of the forbidden band, in units of the gap
BOUNDARIES = ("periodic", "clip", "block")


@dataclass(frozen=True)
class TwoPixelTask:
    """All labelled inputs of one task: where the two pixels are, and the class.

    `positions[n, p, a]` is coordinate a of pixel p of input n (pixels of the image); `labels` are +1 (close,
    or same patch) and -1; `shape` is (length,) or (height, width); `block` is the patch size of task 2, None
    in task 1.
    """

    positions: Int[Tensor, "pair 2 axis"]
    labels: Int[Tensor, " pair"]
    shape: tuple[int, ...]
    block: int | None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Int[Tensor, " chosen"] | slice) -> "TwoPixelTask":
        """The sub-task of the chosen pairs."""
        return replace(self, positions=self.positions[indices], labels=self.labels[indices])

    def images(
        self,
        positions: Int[Tensor, "pair 2 axis"] | None = None,
        *,
        value: float | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "pair 1 *shape"]:
        r"""Draw the pairs, by default at their own positions: [pair, 1, length] or [pair, 1, height, width].

        Active pixels carry `value`, by default :math:`\sqrt{L/2}` with L the number of pixels, so that
        :math:`\|x\|^2 = L` (paper A, Sec. 4; the authors' two-dimensional code uses L/2 instead). Two pixels
        that meet add up.
        """
        positions = self.positions if positions is None else positions
        value = sqrt(prod(self.shape) / 2) if value is None else value
        flat = positions[..., 0]
        for axis in range(1, len(self.shape)):
            flat = flat * self.shape[axis] + positions[..., axis]
        images = torch.zeros(len(flat), prod(self.shape), dtype=dtype, device=flat.device)
        images.scatter_add_(1, flat, torch.full(flat.shape, value, dtype=dtype, device=flat.device))
        return images.reshape(-1, 1, *self.shape)


def line_task(
    task: int, length: int, xi: float | int, gap: float | int = 0, *, convention: str = "paper"
) -> TwoPixelTask:
    r"""The one-dimensional task 1 or 2 on a ring of `length` pixels, all :math:`\binom{L}{2}` pairs.

    Task 1: near (+1) for d < xi - h, far (-1) for d >= xi + h, with d the distance along the ring and h =
    gap/2 in the paper's convention, h = gap in the authors' one-dimensional code. Task 2: same block of
    size xi or not; it knows no gap. Raises ValueError for other tasks, a gap in task 2, or a xi that does
    not divide the length in task 2. Source: paper A, Sec. 4 and App. B.2.

    >>> task = line_task(1, 32, 7)
    >>> near = task.labels > 0
    >>> (task.positions[near, 1] - task.positions[near, 0]).squeeze(1).unique().tolist()  # around the ring, d < 7
    [1, 2, 3, 4, 5, 6, 26, 27, 28, 29, 30, 31]
    """
    positions = torch.combinations(torch.arange(length), 2).unsqueeze(-1)
    return _task(task, positions, (length,), xi, gap, convention)


def image_task(
    task: int, size: int, xi: float | int, gap: float | int = 0, *, convention: str = "paper"
) -> TwoPixelTask:
    """The two-dimensional task 1 or 2 on a square of `size` pixels, all pairs of distinct pixels.

    Distances are Euclidean, and nothing wraps around. In task 2 the patches are squares of side xi. Paper A, Sec. 3:
    size 32, xi = 14, gap = 2; the authors' images are 28 x 28, padded inside the networks.

    >>> task = image_task(1, 28, 14, gap=2)
    >>> int((task.labels < 0).sum()), int((task.labels > 0).sum())
    (145202, 130206)
    """
    pixels = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    positions = pixels[torch.combinations(torch.arange(len(pixels)), 2)]
    return _task(task, positions, (size, size), xi, gap, convention)


def _task(
    task: int, positions: Tensor, shape: tuple[int, ...], xi: float | int, gap: float | int, convention: str
) -> TwoPixelTask:
    if convention not in CONVENTIONS:
        raise ValueError(f"convention is {convention!r}; it must be one of {', '.join(CONVENTIONS)}")
    if not (shape[0] >= 2 and 0 < xi < float("inf") and 0 <= gap < float("inf")):
        raise ValueError(
            f"the image has {shape[0]} pixels, xi is {xi} and gap {gap}; at least 2 pixels, xi > 0 and gap >= "
            "0 are needed"
        )
    if task == 1:
        apart = (positions[:, 0] - positions[:, 1]).abs()
        if len(shape) == 1:  # a ring
            apart = torch.minimum(apart, torch.tensor(shape) - apart)
        distance = torch.linalg.vector_norm(apart.double(), dim=-1)
        half = CONVENTIONS[convention] * gap
        near, far = distance < xi - half, distance >= xi + half
        kept = near | far
        return TwoPixelTask(positions[kept], torch.where(near, 1, -1)[kept], shape, None)
    if task == 2:
        if gap or xi != int(xi) or shape[0] % int(xi):
            raise ValueError(f"xi is {xi} and gap is {gap}; task 2 needs a whole xi that divides {shape[0]}, and gap 0")
        patch = positions.div(int(xi), rounding_mode="floor")
        same = (patch[:, 0] == patch[:, 1]).all(-1)
        return TwoPixelTask(positions, torch.where(same, 1, -1), shape, int(xi))
    raise ValueError(f"task is {task!r}; it must be 1 or 2")


def moves(dimensions: int, *, stay: bool = False) -> tuple[Int[Tensor, "move axis"], Float[Tensor, " move"]]:
    """Displacements of one active pixel (in pixels) and their probabilities.

    On a line: -1 or +1 with probability 1/2 each, or -1, 0, +1 with 1/3 each if `stay` (slides). On an
    image: a unit vector in a random direction, rounded, so 1/6 for each axial and 1/12 for each diagonal
    neighbour.

    >>> (12 * moves(2)[1]).round(decimals=6).tolist()
    [1.0, 2.0, 1.0, 2.0, 2.0, 1.0, 2.0, 1.0]
    """
    if dimensions == 1:
        steps = (-1, 0, 1) if stay else (-1, 1)
        return torch.tensor(steps).unsqueeze(-1), torch.full((len(steps),), 1 / len(steps), dtype=torch.float64)
    if dimensions != 2 or stay:
        raise ValueError(f"dimensions is {dimensions}; it must be 1, or 2 without `stay`")
    steps = torch.tensor([step for step in itertools.product((-1, 0, 1), repeat=2) if any(step)])
    # |cos| rounds to one within 60 degrees of an axis: diagonals take 30 of each 90 degrees.
    return steps, (3 - steps.abs().sum(1)).double() / 12


def displaced(
    positions: Int[Tensor, "*batch axis"],
    displacement: Int[Tensor, "*#batch axis"],
    shape: tuple[int, ...],
    *,
    boundary: str = "periodic",
    block: int | None = None,
) -> Int[Tensor, "*batch axis"]:
    """Move pixels; `boundary` says what happens to those that would leave.

    "periodic": they come back on the other side; "clip": they stop at the edge; "block": a pixel that would
    leave its patch of size `block` stays where it is (the authors' task 2).

    >>> edge, step = torch.tensor([[0, 7]]), torch.tensor([[-1, 1]])
    >>> [displaced(edge, step, (8, 8), boundary=rule).tolist() for rule in ("periodic", "clip")]
    [[[7, 0]], [[0, 7]]]
    """
    if boundary not in BOUNDARIES or (boundary == "block") != (block is not None):
        raise ValueError(
            f"boundary is {boundary!r} and block is {block}; allowed are {', '.join(BOUNDARIES)}, "
            "and a block size with 'block' only"
        )
    size = torch.tensor(shape, device=positions.device)
    target = positions + displacement
    if boundary == "periodic":
        return target.remainder(size)
    if boundary == "clip":
        return target.clamp(torch.zeros_like(size), size - 1)
    leaves = target.div(block, rounding_mode="floor") != positions.div(block, rounding_mode="floor")
    return torch.where(leaves.any(-1, keepdim=True), positions, target)


def translations(
    task: TwoPixelTask, *, boundary: str = "periodic", stay: bool = False
) -> Iterator[tuple[float, Int[Tensor, "pair 2 axis"]]]:
    """Every joint displacement of the two pixels: (probability, positions), the probabilities summing to one.

    Four terms on a line, nine with `stay`, 64 on an image: an expectation over local translations without
    Monte-Carlo noise.

    >>> [probability for probability, _ in translations(line_task(1, 32, 11, gap=4))]
    [0.25, 0.25, 0.25, 0.25]
    """
    steps, weights = moves(len(task.shape), stay=stay)
    block = task.block if boundary == "block" else None
    for first, second in itertools.product(range(len(steps)), repeat=2):
        pair = torch.stack([steps[first], steps[second]])
        yield (
            float(weights[first] * weights[second]),
            displaced(task.positions, pair, task.shape, boundary=boundary, block=block),
        )


def balanced_split(
    task: TwoPixelTask, train: int, validation: int, *, seed: int
) -> tuple[Int[Tensor, " train"], Int[Tensor, " validation"], Int[Tensor, " test"]]:
    """Indices of disjoint training, validation and test pairs, each half near and half far.

    The test set takes what the smaller class leaves. Raises ValueError if a class is too small.

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
