r"""Where the maximum-entropy ensemble is made of diffeomorphisms, and how far it moves pixels (B Sec. 2, Fig. 1).

A field with coefficients C at temperature T is $\sqrt T\,\tau$, so that the backward map
$s \mapsto s - \sqrt T\,\tau(s)$ has Jacobian

$$J(s) = 1 - \sqrt T\,\mathrm{div}\,\tau + T \det\nabla\tau .$$

At a fixed point it is a quadratic polynomial of $\sqrt T$, hence each draw of C has a *critical temperature*, the
smallest T at which J vanishes somewhere: one draw tells the whole T axis, and no scan of T is needed.
The probability of a fold at T is the fraction of draws whose critical temperature lies below T.

>>> from relbook.studies.diffeomorphisms.study import Ensemble
>>> rows = Ensemble(scale="tiny", seed=0, cut=3, rule="code", samples=20, grid=33).run()
>>> 0 < rows[0]["critical_temperature"] < rows[-1]["critical_temperature"]
True
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from relbook import scales
from relstab import diffeo

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
CHUNK = 2**20  # lattice points of all draws held at once; larger blocks spend their time in fresh memory


@dataclass(frozen=True)
class Ensemble:
    """One cut-off: fold statistics and displacements of `samples` fields on a `grid` x `grid` lattice of [0, 1]²."""

    study: ClassVar[str] = "diffeomorphisms"
    version: ClassVar[int] = 1
    scale: str
    seed: int
    cut: int
    rule: str
    samples: int
    grid: int

    def data_digest(self) -> str:
        return ""

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Rows: per quantile of the draws the critical temperature, with the mean squared moves at T = 1.

        centre2, image2: mean squared displacement at the centre and over the image, in image widths², per unit T;
        norm2: mean of $\\|\\nabla\\tau\\|^2$ per unit T.
        """
        generator = torch.Generator().manual_seed(self.seed)
        critical, centre, image, norm = [], [], [], []
        step = max(1, CHUNK // self.grid**2)
        for start in range(0, self.samples, step):
            draws = diffeo.sample_coefficients(
                min(step, self.samples - start), self.cut, rule=self.rule, generator=generator
            ).to(device)
            field, gradient = derivatives(draws, self.grid)
            critical.append(critical_temperature(gradient))
            squared = field.square().sum(1)
            middle = (self.grid - 1) // 2
            centre.append(squared[:, middle, middle])
            image.append(trapezoid(squared))
            norm.append(trapezoid(gradient.square().sum((1, 2))))
        critical = torch.cat(critical)
        common = {
            "centre2": torch.cat(centre).mean().item(),
            "image2": torch.cat(image).mean().item(),
            "norm2": torch.cat(norm).mean().item(),
        }
        levels = torch.tensor(QUANTILES, dtype=critical.dtype, device=critical.device)
        return [
            {"quantile": q, "critical_temperature": t, **common}
            for q, t in zip(QUANTILES, critical.quantile(levels).tolist(), strict=True)
        ]


def derivatives(
    coefficients: Float[Tensor, "batch 2 cut cut"], grid: int
) -> tuple[Float[Tensor, "batch 2 grid grid"], Float[Tensor, "batch 2 2 grid grid"]]:
    """Field [batch, 2, grid, grid] at T = 1 in image widths and its exact gradient [batch, 2 (component), 2 (x, y),
    grid, grid].

    The lattice includes both ends of [0, 1]; rows are y, columns x.
    """
    k = math.pi * torch.arange(1, coefficients.shape[-1] + 1, dtype=coefficients.dtype)
    angle = k[:, None] * torch.linspace(0, 1, grid, dtype=coefficients.dtype)
    sine, slope = angle.sin(), k[:, None] * angle.cos()
    by_row = coefficients.transpose(-1, -2)  # [..., j (y), i (x)]
    field = sine.T @ by_row @ sine
    return field, torch.stack([sine.T @ by_row @ slope, slope.T @ by_row @ sine], 2)


def critical_temperature(gradient: Float[Tensor, "batch 2 2 grid grid"]) -> Float[Tensor, " batch"]:
    """The smallest T at which $1 - \\sqrt T\\,\\mathrm{div} + T \\det$ vanishes somewhere; infinite if nowhere."""
    divergence = gradient[:, 0, 0] + gradient[:, 1, 1]
    determinant = gradient[:, 0, 0] * gradient[:, 1, 1] - gradient[:, 0, 1] * gradient[:, 1, 0]
    # With u = 1/√T the condition reads u² - div u + det = 0; the first fold is the largest positive real root u.
    root = (divergence.square() - 4 * determinant).clamp(min=0).sqrt()
    largest = torch.where(divergence.square() >= 4 * determinant, (divergence + root) / 2, -torch.inf)
    u = largest.flatten(1).amax(1)
    return torch.where(u > 0, u.pow(-2), torch.inf)


def trapezoid(values: Float[Tensor, "batch grid grid"]) -> Float[Tensor, " batch"]:
    """The integral over the unit square by the trapezoidal rule."""
    return torch.trapezoid(torch.trapezoid(values, dim=-1), dim=-1) / (values.shape[-1] - 1) ** 2


def configs(scale: str) -> list:
    """One ensemble per cut-off and mode rule."""
    table = scales.DIFFEOMORPHISMS[scales.check(scale)]
    return [
        Ensemble(scale=scale, seed=0, cut=cut, rule=rule, samples=table["samples"], grid=max(65, 8 * cut + 1))
        for cut in table["cuts"]
        for rule in ("code", "paper")
    ]
