"""Coefficients, fields and deformed images of the ensemble that `relstab.diffeo` describes."""

import math
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from relstab.diffeo.fields import check_images, cpu_generator, height_and_width, is_integer, warp

RULES = ("code", "paper")
LARGEST_CUT = 1000  # waves of a few pixels in any image there is; more is a slip that would fill the memory


def temperature(displacement: float | int, cut: int, size: int | tuple[int, int]) -> float:
    r"""The temperature whose nominal rms displacement at the image's centre is `displacement` pixels.

    $$T = \frac{4\,\delta^2}{\pi\,n^2\ln c}$$

    Args:
        displacement: δ > 0, pixels.
        size: n, or (height, width), for which n² stands for (height² + width²)/2.

    Raises:
        ValueError: for cut < 2 or values that are not positive.

    Source: paper B, Eq. 3, inverted.

    >>> round(temperature(1.0, cut=3, size=32), 7)
    0.0011318
    """
    return _positive("displacement", displacement) ** 2 / _nominal_square(cut, size)


def displacement(
    temperature: float | int, cut: int, size: int | tuple[int, int], *, exact: bool = False, rule: str = "code"
) -> float:
    r"""The rms displacement in pixels at the centre of the image, over both components.

    Nominal (paper B, Eq. 3, leading order in ln c) and exact (a finite sum):

    $$\delta = \frac{n}{2}\sqrt{\pi T\ln c}, \qquad
      \delta^2 = 2\,T n^2\sum_{i,j\ \mathrm{odd,\ kept}}\frac{1}{i^2+j^2}.$$

    Args:
        size: n, or (height, width), for which n² stands for (height² + width²)/2; on an even grid the centre lies
            between pixels.
        rule: of the exact sum only, see `kept_modes`.

    Raises:
        ValueError: for cut < 2, an unknown rule or values that are not positive.

    As δ² is proportional to T, the T of an exact δ is ``(δ / displacement(1.0, cut, size, exact=True))**2``.

    >>> T = temperature(1.0, cut=3, size=32)
    >>> round(displacement(T, 3, 32), 6), round(displacement(T, 3, 32, exact=True), 3)
    (1.0, 1.274)
    """
    temperature = _positive("temperature", temperature)
    if not exact:
        return math.sqrt(temperature * _nominal_square(cut, size))
    height, width = height_and_width(size)
    variances = kept_modes(cut, rule=rule).double() / _squared_frequencies(cut)
    odd = variances[::2, ::2].sum().item()  # sin(iπ/2)² is 1 for odd i, else 0
    return math.sqrt(temperature * (height**2 + width**2) * odd)


def temperature_range(cut: int, size: int | tuple[int, int]) -> tuple[float, float]:
    r"""The temperatures between which deformations are visible and rarely fold, as in the authors' code.

    $$T_1 = \frac{1}{\pi n^2\ln c}\ \ (\delta = \tfrac12\ \mathrm{pixel}), \qquad
      T_2 = \frac{4}{\pi^3c^2\ln c}.$$

    The upper end is no guarantee: 36 % of the draws fold at T₂ for c = 3 and 14 % for c = 10 (`is_bijective`
    tells which). It is not the $8/(\pi^3c^2)$ in the text of paper B, at which 72 % to all of them fold. For
    c > 2n/π the range is empty: low > high.
    Raises ValueError for cut < 2 or a size that is not positive. Source: paper B Sec. 2.2.

    >>> low, high = temperature_range(3, 32)
    >>> round(displacement(low, 3, 32), 6), round(displacement(high, 3, 32), 1)
    (0.5, 3.4)
    """
    return temperature(0.5, cut, size), 4 / (math.pi**3 * cut**2 * math.log(cut))


def kept_modes(cut: int, *, rule: str = "code") -> Bool[Tensor, "cut cut"]:
    """Which frequencies (i, j) the cut-off keeps; element [i-1, j-1].

    Args:
        rule: "code", √(i² + j²) < c + ½, what the authors ran (6 modes at c = 3, as (1, 3) is in); "paper", i² +
            j² ≤ c², what paper B says (4 modes).

    Raises:
        ValueError: for cut < 2 or an unknown rule.

    >>> kept_modes(3).sum().item(), kept_modes(3, rule="paper").sum().item()
    (6, 4)
    """
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}; it must be one of {', '.join(RULES)}")
    squares = _squared_frequencies(cut)
    # r² < (c + ½)² = c² + c + ¼ is r² ≤ c² + c for integers: no rounding decides.
    return squares <= (cut * (cut + 1) if rule == "code" else cut * cut)


def sample_coefficients(
    batch: int, cut: int, *, rule: str = "code", generator: torch.Generator | None = None
) -> Float[Tensor, "batch 2 c c"]:
    r"""Draw the coefficients of `batch` fields at T = 1: normal, of variance $1/(i^2+j^2)$, independent.

    Element [b, a, i-1, j-1] multiplies sin(iπx) sin(jπy) in component a (0 = x, 1 = y) of field b;
    frequencies beyond the cut-off are zero (`kept_modes`).

    Args:
        generator: a CPU generator, or None for a fresh one with a random seed. Numbers are drawn on the CPU in
            float32 and image by image: the same τ on every device and in every precision, the first b fields of a
            batch do not depend on its size, and drawing 7 and then 5 gives the same as drawing 12.

    Raises:
        ValueError: for cut < 2, above 1000 or not an integer, batch < 1, an unknown rule or a generator that is
            not on the CPU.

    Source: paper B, Eq. 2.

    >>> generator = torch.Generator().manual_seed(0)
    >>> sample_coefficients(4, 3, generator=generator).shape
    torch.Size([4, 2, 3, 3])
    """
    if not is_integer(batch) or batch < 1:
        raise ValueError(f"batch is {batch}; it must be an integer, 1 or more")
    check_cut(cut, drawn=True)
    amplitudes = kept_modes(cut, rule=rule) * _squared_frequencies(cut).rsqrt()
    generator = cpu_generator(generator)
    # torch draws normals in blocks of 16 and redraws an unfinished last block. Rows padded to whole blocks
    # use the generator strictly in order: an image's numbers do not depend on the size of the batch.
    row = 2 * cut * cut
    normal = torch.randn(batch, -(-row // 16) * 16, generator=generator, dtype=torch.float32)
    return normal[:, :row].reshape(batch, 2, cut, cut) * amplitudes


def displacement_field(
    coefficients: Float[Tensor, "batch 2 c c"],
    temperature: float | int | Float[Tensor, " batch"] | Float[Tensor, ""],
    size: int | tuple[int, int],
) -> Float[Tensor, "batch 2 height width"]:
    r"""The displacement in pixels of every pixel: coefficients times sines, the sum of paper B, Eq. 2.

    $$d_x = w\sqrt T\sum_{ij}C^{(0)}_{ij}\sin(i\pi x)\sin(j\pi y), \qquad
      d_y = h\sqrt T\sum_{ij}C^{(1)}_{ij}\sin(i\pi x)\sin(j\pi y)$$

    with x = p/(w − 1), y = q/(h − 1) for column p and row q, both ends included: the border has exactly zero
    displacement. The same coefficients at two sizes are the same deformation at two resolutions.

    Args:
        coefficients: from `sample_coefficients`, of any floating type, on any device; the field has theirs
            (float32 for half precision).
        temperature: T ≥ 0, or one per image [batch].
        size: n or (height, width), 2 or more.

    Raises:
        ValueError: for a negative temperature, a size below 2 or a wrong shape.

    >>> coefficients = torch.zeros(1, 2, 2, 2)
    >>> coefficients[0, 0, 0, 0] = 1.0  # one half wave along x and along y, moving x
    >>> field = displacement_field(coefficients, 0.01, 5)  # √T = 0.1 of a width of 5 pixels
    >>> [round(shift, 3) for shift in field[0, 0, 2].tolist()], field[0, 1].any().item()
    ([0.0, 0.354, 0.5, 0.354, 0.0], False)
    """
    if coefficients.ndim != 4 or coefficients.shape[1] != 2 or coefficients.shape[2] != coefficients.shape[3]:
        raise ValueError(f"coefficients have shape {list(coefficients.shape)}; [batch, 2, cut, cut] is needed")
    height, width = height_and_width(size)
    dtype, device = torch.promote_types(coefficients.dtype, torch.float32), coefficients.device
    pixels = _constant((width, height), dtype, device)
    if not isinstance(temperature, Tensor):
        # One number for all fields: a GPU takes its root as a number, without waiting.
        amplitude = (pixels * _root(float(temperature), dtype)).reshape(-1, 2)
    else:
        amplitude = _amplitudes(temperature.to(dtype), len(coefficients), pixels)
    scaled = coefficients.to(dtype) * amplitude[:, :, None, None]
    columns, rows = (_sines(n, coefficients.shape[-1], dtype, device) for n in (width, height))
    with torch.autocast(device.type, enabled=False):  # a field in bfloat16 would be off by 0.4 %
        return rows @ scaled.mT @ columns.T


@lru_cache(maxsize=256)
def _root(temperature: float, dtype: torch.dtype) -> Tensor:
    """√T in the precision of the field, on the CPU."""
    with torch.inference_mode(False):
        value = torch.tensor(temperature, dtype=dtype)
        _check_temperature(value)
        return value.sqrt()


def _amplitudes(temperature: Tensor, count: int, pixels: Tensor) -> Tensor:
    """√T in pixels along x and y: [1 or count, 2]."""
    if temperature.shape not in ((), (count,)):
        raise ValueError(
            f"temperature has shape {list(temperature.shape)}; it must be a number or one for each of the "
            f"{count} fields"
        )
    _check_temperature(temperature)
    return (temperature.to(pixels.device).sqrt().reshape(-1, 1) * pixels).reshape(-1, 2)


def _check_temperature(temperature: Tensor) -> None:
    bad = temperature[~((temperature >= 0) & temperature.isfinite())]
    if bad.numel():
        raise ValueError(f"temperature is {bad.flatten()[0].item():g}; it must be finite, 0 or more")


def surely_bijective(
    coefficients: Float[Tensor, "batch 2 c c"], temperature: float | int, size: int | tuple[int, int]
) -> Bool[Tensor, " batch"]:
    r"""Whether a bound from the coefficients alone excludes folds: cheap, and never wrong where it says yes.

    With $B_{ab} = \sup|\partial_b\tau_a|$ bounded by the sum of the moduli of its terms, the Jacobian is at least
    $(1-B_{xx})(1-B_{yy}) - B_{xy}B_{yx}$. Where that is not positive, `is_bijective` looks at every pixel.

    >>> coefficients = sample_coefficients(100, 3, generator=torch.Generator().manual_seed(0))
    >>> [surely_bijective(coefficients, temperature(pixels, 3, 32), 32).sum().item() for pixels in (0.5, 4)]
    [100, 0]
    """
    height, width = height_and_width(size)
    modes = torch.arange(1, coefficients.shape[-1] + 1, dtype=coefficients.dtype, device=coefficients.device)
    moduli = coefficients.abs() * (math.pi * float(temperature) ** 0.5)
    pixels = moduli.new_tensor([width, height])
    along_x = torch.einsum("baij,i,a->ba", moduli, modes, pixels / (width - 1))
    along_y = torch.einsum("baij,j,a->ba", moduli, modes, pixels / (height - 1))
    x, y = 1 - along_x[:, 0], 1 - along_y[:, 1]
    return (x > 0) & (y > 0) & (x * y > along_y[:, 0] * along_x[:, 1])


def deform(images: Shaped[Tensor, "batch channel height width"], *, displacement: float | int | None = None,
           cut: int = 3, temperature: float | int | None = None, interpolation: str = "bilinear",
           generator: torch.Generator | None = None
           ) -> Shaped[Tensor, "batch channel height width"]:  # fmt: skip
    """Deform every image of a batch by a diffeomorphism of its own: sample, field, warp.

    Args:
        displacement: nominal δ in pixels, 1 if no temperature is given; the exact rms at the centre is larger,
            1.274 at cut 3 for δ = 1.
        temperature: T itself, instead of a displacement. 0 gives the images back exactly ("gaussian": blurred).
        interpolation: "bilinear", "gaussian" or "nearest", see `warp`.
        generator: see `sample_coefficients`.

    Raises:
        ValueError: for both displacement and temperature, negative values, cut < 2, an unknown interpolation,
            images that are not [batch, channel, height, width], integer, or hold NaN.

    Source: paper B Sec. 2.1.

    >>> images = torch.rand(2, 1, 28, 28)
    >>> torch.equal(deform(images, displacement=0.0), images)
    True
    """
    check_images(images, interpolation)
    size = (images.shape[-2], images.shape[-1])
    check_cut(cut, drawn=True)
    if temperature is None:
        displacement = 1.0 if displacement is None else displacement
        moved = _positive("displacement", displacement) if displacement != 0 else 0.0
        temperature = moved**2 / _nominal_square(cut, size)
    elif displacement is not None:
        raise ValueError(
            f"both displacement ({displacement}) and temperature ({temperature}) were given; give one of them"
        )
    coefficients = sample_coefficients(len(images), cut, generator=generator)
    precision = torch.promote_types(images.dtype, torch.float32)
    field = displacement_field(coefficients.to(images.device, precision), temperature, size)
    return warp(images, field, interpolation)


@lru_cache(maxsize=64)
def _constant(values: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


@lru_cache(maxsize=64)
def _sines(size: int, cut: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "size cut"]:
    """sin(kπ p/(size − 1)), [size, cut]; made in float64, once, and exactly zero at both ends."""
    with torch.inference_mode(False):
        return _new_sines(size, cut).to(dtype).to(device)


def _new_sines(size: int, cut: int) -> Float[Tensor, "size cut"]:
    position = torch.linspace(0, 1, size, dtype=torch.float64)
    table = (math.pi * position[:, None] * torch.arange(1, cut + 1)).sin()
    table[0] = table[-1] = 0  # sin(kπ) is 1e-16 otherwise
    return table


def check_cut(cut: int, *, drawn: bool = False) -> None:
    """ValueError for a cut-off that is no integer, below 2, or, if it is to be drawn, above `LARGEST_CUT`."""
    if not is_integer(cut) or cut < 2:
        raise ValueError(f"cut is {cut}; it must be an integer, 2 or more (T is not defined for ln 1 = 0)")
    if drawn and cut > LARGEST_CUT:
        raise ValueError(f"cut is {cut}; it must be at most {LARGEST_CUT} (every field has 2 cut² coefficients)")


def _squared_frequencies(cut: int) -> Shaped[Tensor, "cut cut"]:
    check_cut(cut)
    index = torch.arange(1, cut + 1)
    return index[:, None] ** 2 + index**2


def _nominal_square(cut: int, size: int | tuple[int, int]) -> float:
    """δ² per unit temperature of paper B, Eq. 3: (π/4) n² ln c."""
    check_cut(cut)
    height, width = height_and_width(size)
    return math.pi / 4 * (height**2 + width**2) / 2 * math.log(cut)


def _positive(name: str, value: Any) -> float:
    try:
        positive = value > 0 and float(value) <= 1e100
    except TypeError:
        positive = False
    if not positive:
        raise ValueError(f"{name} is {value}; it must be a positive number of at most 1e100")
    return float(value)
