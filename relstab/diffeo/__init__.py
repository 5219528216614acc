r"""Maximum-entropy diffeomorphisms: the typical smooth deformations of a given amplitude (paper B Sec. 2).

Among all displacement fields that keep the frame of the image in place and have a given $\|\nabla\tau\|$, the
one of largest entropy is Gaussian. With $u, v\in[0, 1]$ the horizontal and vertical coordinates (B, Eq. 2),

$$\tau_u = \sqrt T\sum_{i,j}C_{ij}\,\sin(i\pi u)\sin(j\pi v), \qquad
  \langle C_{ij}^2\rangle = \frac{1}{i^2+j^2},$$

and $\tau_v$ alike and independent, in units of the image's width and height. The *temperature* T sets the
amplitude, the *cut-off* c the highest frequency. In pixels, the rms displacement at the centre of an n × n
image is nominally $\delta = \frac{n}{2}\sqrt{\pi T\ln c}$ (B, Eq. 3, asymptotic in c).

Everything is built from three steps, usable alone to replay one $\tau$ on masks, on a second network or at
another resolution: coefficients (on the CPU) → field (pixels) → warp.

>>> import torch
>>> from relstab import diffeo
>>> images = torch.rand(7, 3, 32, 32)
>>> generator = torch.Generator().manual_seed(0)
>>> diffeo.deform(images, displacement=1.0, cut=3, generator=generator).shape
torch.Size([7, 3, 32, 32])
>>> coefficients = diffeo.sample_coefficients(7, cut=3, generator=torch.Generator().manual_seed(0))
>>> field = diffeo.displacement_field(coefficients, diffeo.temperature(1.0, 3, 32), 32)
>>> diffeo.is_bijective(field).all().item()
True
>>> labels = diffeo.warp(torch.randint(5, (7, 1, 32, 32)), field, "nearest")  # the same seven τ
"""

from typing import TYPE_CHECKING, Any

from relstab.diffeo import thin_plate
from relstab.diffeo.ensemble import (
    RULES,
    deform,
    displacement,
    displacement_field,
    kept_modes,
    sample_coefficients,
    temperature,
    temperature_range,
)
from relstab.diffeo.fields import invert, is_bijective, move_points, warp

if TYPE_CHECKING:  # what `__getattr__` loads, for editors and type checkers
    from relstab.diffeo.transform import Diffeo

__all__ = [
    "RULES",
    "Diffeo",
    "deform",
    "displacement",
    "displacement_field",
    "invert",
    "is_bijective",
    "kept_modes",
    "move_points",
    "sample_coefficients",
    "temperature",
    "temperature_range",
    "thin_plate",
    "warp",
]


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def __getattr__(name: str) -> Any:
    """`Diffeo` is loaded on first use: it needs torchvision, which takes a second to import."""
    if name == "Diffeo":
        from relstab.diffeo.transform import Diffeo

        return Diffeo
    raise AttributeError(f"module 'relstab.diffeo' has no attribute {name!r}")
