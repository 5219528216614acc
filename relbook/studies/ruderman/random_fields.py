r"""Exact second moments of random displacement fields: the deformations of C beside those of B, without sampling.

In both ensembles each component of the field is linear in independent random numbers of unit variance, $d = M z$
with $M$ a matrix [pixel, variable], and x and y are alike. The covariance is $M M^\top$, so that every mean square is a
sum of squares; the factor 2 counts the components:

$$\delta^2 = \frac{2}{N}\sum_{pk} M_{pk}^2 .$$

>>> fields = thin_plate_fields(3, 2.0, 32)  # C's deformations of CIFAR-10
>>> round(moments(fields)["rms displacement"], 2)
1.25
"""

import math

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from relstab import diffeo
from relstab.diffeo import thin_plate
from relstab.extras import extra

LATTICE = 129  # points an axis on which the gradients of a spline are looked up
ANGLES = 90  # directions in which the largest one is searched


def maximum_entropy_fields(displacement: float | int, cut: int, size: int) -> Float[Tensor, "pixel variable"]:
    """M in pixels of the ensemble of B at a nominal displacement; variable (i, j) is a mode. ValueErrors as `diffeo`.

    >>> fields = maximum_entropy_fields(1.0, 3, 33)
    >>> round(math.sqrt(2 * fields[33 * 16 + 16].square().sum().item()), 2)  # at the centre
    1.27
    """
    kept = diffeo.kept_modes(cut).double().flatten()
    index = torch.arange(1, cut + 1)
    deviations = kept * (index[:, None] ** 2 + index**2).double().rsqrt().flatten()
    modes = torch.eye(cut * cut, dtype=torch.float64).reshape(-1, 1, cut, cut).repeat(1, 2, 1, 1)
    fields = diffeo.displacement_field(modes, diffeo.temperature(displacement, cut, size), size)[:, 0]
    return fields.flatten(1).T * deviations


def thin_plate_fields(points: int, maximum: float | int, size: int) -> Float[Tensor, "pixel variable"]:
    """M in pixels of the ensemble of C: the operator times m/√3. ValueErrors as `relstab.diffeo.thin_plate`.

    >>> fields = thin_plate_fields(3, 2.0, 33)
    >>> round(math.sqrt(fields[0].square().sum().item()), 3)  # a corner is a control point: 2/√3
    1.155
    """
    thin_plate.check_maximum(maximum)
    return maximum / math.sqrt(3) * thin_plate.operator(points, size)


def moments(fields: Float[Tensor, "pixel variable"]) -> dict[str, float]:
    """What an ensemble does to square images, root mean squares over draws.

    - rms displacement: pixels, over the image, both components; on the frame: the same, over the outermost pixels
    - rms gradient: of ``|∇τ|``, pixels per pixel, from differences between pixels
    - translation: share of the mean squared displacement that moves the whole image alike
    - affine: share of it in fields linear in x and y (translation, rotation, scaling, shear)

    Raises:
        ValueError: unless the number of pixels is a square.

    >>> alike = torch.ones(64, 1, dtype=torch.float64)  # the whole image moves by one random amount
    >>> {name: round(value, 6) for name, value in moments(alike).items()}["translation"]
    1.0
    """
    size = _side(fields)
    image = fields.unflatten(0, (size, size))
    inside = torch.zeros(size, size, dtype=torch.bool)
    inside[1:-1, 1:-1] = True
    along_y, along_x = torch.gradient(image, dim=(0, 1))
    line = torch.linspace(-1, 1, size, dtype=fields.dtype)
    linear = torch.stack([torch.ones(size, size).to(line), line.expand(size, size), line[:, None].expand(size, size)])
    basis = linear.flatten(1) / linear.flatten(1).norm(dim=1, keepdim=True)  # orthogonal on a symmetric lattice
    shares = (basis @ fields).square().sum(1) / fields.square().sum()
    return {
        "rms displacement": _root(image),
        "on the frame": _root(image[~inside]),
        "rms gradient": math.hypot(_root(along_x), _root(along_y)),
        "translation": shares[0].item(),
        "affine": shares.sum().item(),
    }


def spectrum(fields: Float[Tensor, "pixel variable"]) -> Float[Tensor, " wavenumber"]:
    """Mean squared displacement in pixels² by wave number k, in half waves an image side; sums to δ².

    k is √(i² + j²), rounded, of the cosine modes (i, j) of the image, which need no fixed frame. ValueError as in
    `moments`.

    >>> fields = maximum_entropy_fields(1.0, 3, 32)
    >>> round((spectrum(fields).sum().sqrt() / moments(fields)["rms displacement"]).item(), 6)
    1.0
    """
    size = _side(fields)
    dctn = extra("scipy.fft", "the spectrum of a random field").dctn
    waves = torch.from_numpy(dctn(fields.unflatten(0, (size, size)).numpy(), axes=(0, 1), norm="ortho"))
    power = 2 / len(fields) * waves.square().sum(-1)
    index = torch.arange(size)
    radius = (index[:, None] ** 2 + index**2).sqrt().round().long()
    return torch.zeros(int(radius.max()) + 1, dtype=fields.dtype).index_add(0, radius.flatten(), power.flatten())


def _side(fields: Tensor) -> int:
    """The side in pixels of the square image that fields are for."""
    size = math.isqrt(len(fields))
    if size * size != len(fields):
        raise ValueError(f"fields has {len(fields)} pixels, which are not those of a square image")
    return size


def largest_gradient(points: int, maximum: float | int, size: int) -> float:
    r"""The largest $\|\nabla\tau\|_2$ that any draw of C's ensemble can have anywhere, in pixels per pixel.

    Along a unit vector $n$ a component changes by at most $m\sum_k|n\cdot\nabla A_k(p)|$, and both can at once:

    $$\max\|\nabla\tau\|_2 = \sqrt2\, m\,\max_{p,\,n}\sum_k |n\cdot\nabla A_k(p)| .$$

    Below 1 the map p ↦ p − τ(p) is one-to-one for every draw. Gradients are differences on a lattice of `LATTICE`
    points a side, good to a tenth of a percent. ValueErrors as `relstab.diffeo.thin_plate`.

    >>> round(largest_gradient(3, 2.0, 32), 2), round(largest_gradient(3, 4.0, 32), 2)
    (0.63, 1.27)
    """
    thin_plate.check_maximum(maximum)
    spacing = (size - 1) / (LATTICE - 1)  # pixels
    columns = thin_plate.operator(points, LATTICE).unflatten(0, (LATTICE, LATTICE))
    along_y, along_x = torch.gradient(columns, spacing=spacing, dim=(0, 1))
    angles = (math.pi / ANGLES * torch.arange(ANGLES)).tolist()
    slopes = [(math.cos(a) * along_x + math.sin(a) * along_y).abs().sum(-1).max().item() for a in angles]
    return math.sqrt(2) * maximum * max(slopes)


def comparison(*, draws: int = 500, seed: int = 0) -> pd.DataFrame:
    """Both settings of C, each beside the ensemble of B (c = 3) with the same rms gradient, then C's templates.

    One line an ensemble: the columns of `moments`, the largest gradient of any draw (C only: B's are unbounded),
    and the fraction of `draws` fields that fold. Templates are taken on 28 x 28 pixels at strengths 1 to 4.

    >>> round(float(comparison(draws=5).loc["Ruderman, CIFAR-10", "rms displacement"]), 2)
    1.25
    """
    lines = {}
    for name, title, size in (("cifar10", "CIFAR-10", 32), ("imagenet", "ImageNet", 224)):
        lines[f"Ruderman, {title}"] = line = _thin_plate_line(
            **thin_plate.PAPER[name], size=size, draws=draws, seed=seed
        )
        unit = moments(maximum_entropy_fields(1.0, 3, size))["rms gradient"]
        delta = line["rms gradient"] / unit
        lines[f"Petrini, δ = {delta:.3g}, {size} px"] = _maximum_entropy_line(delta, 3, size, draws, seed)
    for strength in (1, 2, 3, 4):
        lines[f"Ruderman, tasks, ±{strength} px"] = _thin_plate_line(3, strength, 28, draws, seed)
    return pd.DataFrame.from_dict(lines, orient="index")


def _thin_plate_line(points: int, maximum: float | int, size: int, draws: int, seed: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(seed)
    drawn = thin_plate.sample_displacements(draws, points, maximum, generator=generator)
    largest = largest_gradient(points, maximum, size)
    line = moments(thin_plate_fields(points, maximum, size)) | {"largest gradient": largest}
    return line | {"folds": _folding(thin_plate.displacement_field(drawn, size))}


def _maximum_entropy_line(displacement: float | int, cut: int, size: int, draws: int, seed: int) -> dict[str, float]:
    drawn = diffeo.sample_coefficients(draws, cut, generator=torch.Generator().manual_seed(seed))
    field = diffeo.displacement_field(drawn, diffeo.temperature(displacement, cut, size), size)
    return moments(maximum_entropy_fields(displacement, cut, size)) | {"folds": _folding(field)}


def _folding(field: Tensor) -> float:
    return 1 - diffeo.is_bijective(field).double().mean().item()


def _root(values: Tensor) -> float:
    """Root of the mean over pixels of the variance of both components."""
    return math.sqrt(2 * values.square().sum(-1).mean().item())
