r"""Deformations by thin-plate splines: what paper C does to its images (C Sec. 2.1, Figs. 1 and 2).

Control points $q_k$ on an even grid, corners included, each get a random displacement $v_k$, uniform within
$\pm m$ pixels in x and in y. Between them each component of the field is the function of least bending
energy, a thin-plate spline,

$$\tau(p) = \sum_k w_k\,\phi(|p - q_k|) + a_0 + a_1 x + a_2 y, \qquad \phi(r) = r^2\ln r,$$

with $w$ and $a$ fixed by $\tau(q_k) = v_k$, $\sum_k w_k = 0$ and $\sum_k w_k q_k = 0$. They are linear in $v$, so
one matrix takes the values at the control points to all pixels: `operator`. The frame of the image moves, too,
other than under the maximum-entropy fields of `relstab.diffeo`.

*An inference.* The text of C draws a random *destination* for each control point, the caption of C Fig. 2 a
random *source*. We follow the caption: $\tau$ points from a source to a pixel and the image is read backward at
$p - \tau(p)$, as bilinear interpolation at the arrows' tails needs.

>>> import torch
>>> from relstab.diffeo import thin_plate
>>> images = torch.rand(7, 3, 32, 32)
>>> generator = torch.Generator().manual_seed(0)
>>> thin_plate.deform(images, **thin_plate.PAPER["cifar10"], generator=generator).shape
torch.Size([7, 3, 32, 32])
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from relstab.diffeo.fields import check_images, cpu_generator, height_and_width, is_integer, warp

PAPER = {"cifar10": {"points": 3, "maximum": 2.0}, "imagenet": {"points": 5, "maximum": 10.0}}  # C Sec. 2.1


def control_points(points: int) -> Float[Tensor, "control 2"]:
    """The grid of points x points control points (x, y) on the unit square, row by row, corners included; float64.

    Raises ValueError for points < 2.

    >>> control_points(2).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    if not is_integer(points) or points < 2:
        raise ValueError(f"points is {points}; it must be an integer, 2 or more control points along an axis")
    return _grid(points, points)


def operator(points: int, size: int | tuple[int, int]) -> Float[Tensor, "pixel control"]:
    """The matrix from the values at the control points to those at all pixels of their thin-plate spline; float64.

    Args:
        size: n or (height, width), 2 or more. Pixel [row, column] is line row * width + column, and lies at
            column / (width - 1), row / (height - 1) of the unit square: control points at corners are pixels. The
            spline is smooth in these coordinates, also where width and height differ.

    Raises:
        ValueError: for points < 2 or a size below 2.

    Lines sum to 1, and fields that are linear in x and y are reproduced. Source: paper C Sec. 2.1, after Duchon
    (1977).

    >>> matrix = operator(3, 32)
    >>> matrix.shape, round(matrix.sum(1).mean().item(), 12)
    (torch.Size([1024, 9]), 1.0)
    """
    control_points(points)
    found = _operator(points, *height_and_width(size), torch.float64, torch.device("cpu"))
    return found.clone()  # the cached one stays


def sample_displacements(
    batch: int, points: int, maximum: float | int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "batch 2 points points"]:
    """Draw the displacements in pixels of the control points: uniform in ±maximum, independent in x and y.

    Element [b, a, row, column] is component a (0 = x, 1 = y) of a control point of field b.

    Args:
        generator: a CPU generator, or None for a fresh one with a random seed. Numbers are drawn on the CPU in
            float32 and image by image: the same τ on every device, whatever the size of the batch.

    Raises:
        ValueError: for batch < 1, points < 2, a maximum that is negative or not finite, or a generator that is
            not on the CPU.

    Source: paper C Sec. 2.1.

    >>> sample_displacements(4, 3, 2.0, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([4, 2, 3, 3])
    """
    if not is_integer(batch) or batch < 1:
        raise ValueError(f"batch is {batch}; it must be an integer, 1 or more")
    control_points(points)
    check_maximum(maximum)
    generator = cpu_generator(generator)
    uniform = torch.rand(batch, 2, points, points, generator=generator, dtype=torch.float32)
    return maximum * (2 * uniform - 1)


def displacement_field(
    displacements: Float[Tensor, "batch 2 points points"], size: int | tuple[int, int]
) -> Float[Tensor, "batch 2 height width"]:
    """The displacement in pixels of every pixel: the thin-plate spline through those of the control points.

    The convention is that of `relstab.diffeo.displacement_field`: channel 0 = x, out(y, x) = in(y − dy, x − dx).

    Args:
        displacements: pixels, of any floating type, on any device; the field has theirs (float32 for half
            precision).
        size: n or (height, width), 2 or more.

    Raises:
        ValueError: for a wrong shape or type, or a size below 2.

    Source: paper C Sec. 2.1, Fig. 2b.

    >>> corners = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)  # all one pixel to the right
    >>> displacement_field(corners, 4)[0, :, 1, 2].round(decimals=6).tolist()
    [1.0, 0.0]
    """
    if (
        displacements.ndim != 4
        or displacements.shape[1] != 2
        or displacements.shape[2] != displacements.shape[3]
        or not displacements.is_floating_point()
    ):
        raise ValueError(
            f"displacements are {displacements.dtype} of shape {list(displacements.shape)}; "
            "floats [batch, 2, points, points] are needed"
        )
    points, device = displacements.shape[-1], displacements.device
    control_points(points)
    height, width = height_and_width(size)
    dtype = torch.promote_types(displacements.dtype, torch.float32)
    matrix = _operator(points, height, width, dtype, device)
    with torch.autocast(device.type, enabled=False):  # a field in bfloat16 would be off by 0.4 %
        return (displacements.to(dtype).flatten(2) @ matrix.T).unflatten(2, (height, width))


def deform(
    images: Shaped[Tensor, "batch channel height width"],
    *,
    points: int = 3,
    maximum: float | int = 2.0,
    generator: torch.Generator | None = None,
) -> Shaped[Tensor, "batch channel height width"]:
    """Deform every image of a batch by a thin-plate spline of its own, with bilinear interpolation.

    The defaults are C's for CIFAR-10; `PAPER` names both settings of C.

    Args:
        maximum: pixels; 0 gives the images back.
        generator: see `sample_displacements`.

    Raises:
        ValueError: for bad arguments as the functions above, and for images that are not [batch, channel, height,
            width], integer, or hold NaN.

    Source: paper C Sec. 2.1.

    >>> images = torch.rand(2, 1, 28, 20)
    >>> torch.equal(deform(images, maximum=0), images)
    True
    """
    check_images(images)
    displacements = sample_displacements(len(images), points, maximum, generator=generator)
    precision = torch.promote_types(images.dtype, torch.float32)
    height, width = images.shape[-2:]
    field = displacement_field(displacements.to(images.device, precision), (height, width))
    return warp(images, field)


@lru_cache(maxsize=16)
def _operator(
    points: int, height: int, width: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "pixel control"]:
    """`operator`, in the type and on the device of a field. Shared: not to be written to."""
    control = _grid(points, points)
    count = len(control)
    system = torch.zeros(count + 3, count + 3, dtype=torch.float64)
    system[:count] = _basis(control, control)
    system[count:, :count] = system[:count, count:].T
    values = torch.eye(count + 3, count, dtype=torch.float64)
    weights = torch.linalg.solve(system, values)
    return (_basis(_grid(height, width), control) @ weights).to(device, dtype)


def _basis(positions: Tensor, control: Tensor) -> Float[Tensor, "position column"]:
    """φ of the distances to the control points, then 1, x, y: [position, control + 3]."""
    squared = (positions[:, None] - control).square().sum(-1)
    kernel = torch.xlogy(squared, squared) / 2  # r² ln r, 0 at r = 0
    return torch.cat([kernel, torch.ones_like(positions[:, :1]), positions], 1)


def _grid(rows: int, columns: int) -> Float[Tensor, "position 2"]:
    """Positions (x, y) of rows x columns points over the unit square, ends included, row by row."""
    y, x = (torch.linspace(0, 1, n, dtype=torch.float64) for n in (rows, columns))
    return torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], -1).flatten(0, 1)


def check_maximum(maximum: float | int) -> None:
    """ValueError unless the largest displacement of a control point is a finite number of pixels, 0 or more.

    >>> check_maximum(2.0)
    """
    if not 0 <= maximum < math.inf:
        raise ValueError(f"maximum is {maximum}; it must be a finite number of pixels, 0 or more")
