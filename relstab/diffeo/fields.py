r"""Displacement fields acting on images and on points, whatever their ensemble (paper B Sec. 2.1).

A field $\tau$ gives every pixel $p$ a displacement $\tau(p)$; the deformed image is

$$[\tau x](p) = x(p - \tau(p)),$$

a *backward* warp: the arrow's tail says where the colour comes from. Fields are tensors
[batch, 2, height, width] in pixels, channel 0 = x (columns), channel 1 = y (rows), one field per image.
"""

import math
import operator
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn.functional import grid_sample, pad

INTERPOLATIONS = ("bilinear", "gaussian", "nearest")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
GAUSSIAN_WIDTH = 0.4715  # σ in pixels of the authors' Gaussian interpolation (paper B App. C)
_GAUSSIAN_TAPS = torch.arange(-2, 4)  # the pixels left out are >= 3 away and weigh exp(-20)
# Output pixels handled at once: on a CPU so few that they stay in its cache (a third faster for 64 images of
# 224 x 224), elsewhere as many as keep the Gaussian's tables under a gigabyte.
_CPU_CHUNK, _CHUNK = 2**16, 2**22
_FOLD_CHUNK = 64  # fields whose derivatives are held at once, to stay in the cache
_POINT_TOLERANCE = 1e-3  # pixels
_POINT_ITERATIONS = 500  # 15 are enough at δ = 1, 200 next to a fold


def warp(
    images: Shaped[Tensor, "batch channel height width"],
    field: Float[Tensor, "batch 2 height width"],
    interpolation: str = "bilinear",
) -> Shaped[Tensor, "batch channel height width"]:
    r"""Deform every image by its own field: out(y, x) = in(y − dy, x − dx).

    Source positions are clamped to the image, so that colours beyond the frame are those of the border.

    Args:
        images: [batch, channel, height, width], any floating type; half precision is computed in float32 and
            returned in its own type. "nearest" takes any type: use it to move label maps by the same field.
        field: [batch, 2, height, width], pixels, channel 0 = x.
        interpolation: "bilinear"; "gaussian", the average of the pixels $q$ around the source position $s$ with
            weights $\propto e^{-|q-s|^2/2\sigma^2}$, σ = 0.4715 pixels (a blur even for a zero field: compare
            with the image under a zero field, as paper B does); "nearest", halves rounded to the even pixel.

    Raises:
        ValueError: for a wrong rank, integer images (unless "nearest"), NaN or infinite values, an unknown
            interpolation, or a field whose shape or device differs from the images'.

    Moves by whole pixels are exact. Rounding of positions in float32 changes "bilinear" by up to 1e-7 of the
    image's width times its contrast.

    Source: paper B Sec. 2.1 and App. C.

    >>> image = torch.eye(3)[None, None]
    >>> down = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)  # one pixel along y
    >>> warp(image, down)[0, 0].tolist()  # the first row is the border's colour
    [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    check_images(images, interpolation)
    if images.is_floating_point():
        _check_finite("images", images)
    _check_field(field)
    if field.device != images.device:
        raise ValueError(f"field is on {field.device} and images on {images.device}; they must share a device")
    if field.shape != (len(images), 2, *images.shape[-2:]):
        raise ValueError(
            f"field has shape {list(field.shape)}; images of shape {list(images.shape)} need "
            f"{[len(images), 2, *images.shape[-2:]]}"
        )
    return warp_unchecked(images, field, interpolation)


def warp_unchecked(
    images: Shaped[Tensor, "batch channel height width"],
    field: Float[Tensor, "batch 2 height width"],
    interpolation: str = "bilinear",
) -> Shaped[Tensor, "batch channel height width"]:
    """`warp` for images and fields that are known to be right: nothing in it waits for a GPU,
    as a look for NaN does.
    """
    nearest = interpolation == "nearest"
    precision = torch.promote_types(field.dtype if nearest else images.dtype, torch.float32)
    interpolate = {"bilinear": _bilinear, "gaussian": _gaussian, "nearest": _nearest}[interpolation]
    count = max(1, (_CPU_CHUNK if images.device.type == "cpu" else _CHUNK) // images.shape[-2:].numel())
    # NCHW on purpose: channels-last images take 2.5 times longer at 32 x 32.
    parts = [
        interpolate((some if nearest else some.to(precision)).contiguous(), tau.to(precision))
        for some, tau in zip(images.split(count), field.split(count), strict=True)
    ]
    return torch.cat(parts).to(images.dtype)


def is_bijective(field: Float[Tensor, "batch 2 height width"]) -> Bool[Tensor, " batch"]:
    r"""Whether the map p ↦ p − τ(p) nowhere folds: its Jacobian is positive everywhere.

    $$\det(1-\nabla\tau) = (1-\partial_x\tau_x)(1-\partial_y\tau_y) - \partial_y\tau_x\,\partial_x\tau_y > 0$$

    How the derivatives are taken. A field that vanishes on the frame (the maximum-entropy ensemble) is the
    sum of sines through its pixels; its derivatives at every pixel are evaluated exactly, as if from the
    coefficients, and a positive Jacobian then makes the map a bijection of the image. Folds narrower than a
    pixel can be missed: at cut 5 on 32 pixels 1 % of the draws near the threshold differ from the continuum,
    at cut 10 6 %, at cut 15 (waves of 4 pixels) up to 19 %. Any other field is taken as bilinear between its
    pixels; there the Jacobian of a cell is smallest at one of its corners, where the differences along the
    two edges that meet decide.

    Args:
        field: pixels.

    Raises:
        ValueError: for a wrong rank, fewer than 2 x 2 pixels or NaN.

    Source: paper B Sec. 2.2 and App. B.

    >>> squeeze = torch.zeros(2, 2, 4, 4)
    >>> squeeze[0, 0], squeeze[1, 0] = torch.arange(4) * 0.5, torch.arange(4) * 1.5  # τ_x grows by 0.5 or 1.5 a pixel
    >>> is_bijective(squeeze).tolist()
    [True, False]
    """
    _check_field(field)
    if field.shape[-1] < 2 or field.shape[-2] < 2:
        raise ValueError(f"field is {field.shape[-2]} x {field.shape[-1]} pixels; at least 2 x 2 are needed")
    field = field.to(torch.promote_types(field.dtype, torch.float32))
    bijective = torch.empty(len(field), dtype=torch.bool, device=field.device)
    fixed_frame = torch.cat([field[..., ends, :].flatten(1) for ends in (0, -1)]
                            + [field[..., ends].flatten(1) for ends in (0, -1)], 1).eq(0).all(1)  # fmt: skip
    for chosen, fold_free in ((fixed_frame, _fold_free_sines), (~fixed_frame, _fold_free_cells)):
        bijective[chosen] = torch.cat([fold_free(part) for part in field[chosen].split(_FOLD_CHUNK)])
    return bijective


def move_points(
    points: Float[Tensor, "batch point 2"], field: Float[Tensor, "batch 2 height width"]
) -> Float[Tensor, "batch point 2"]:
    r"""Where points of the original images appear in the deformed ones: key points, corners of boxes.

    The warp looks backward, $q = p - \tau(p)$, so the new place p of an old point q solves $p = q + \tau(p)$;
    iterated as $p \leftarrow p + \frac12(q + \tau(p) - p)$ until every point is within 1e-3 pixels. (The half
    step converged for every bijective field we drew, up to 2 T₂; the full step diverges for some.)

    Args:
        points: (x, y) in pixels, floats (whole pixels would round what moves), (0, 0) the centre of the top left
            pixel.
        field: pixels, interpolated bilinearly.

    Raises:
        ValueError: for a wrong shape, for integer points, or for a field that folds so that a point finds no
            place.

    >>> right = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8)  # two pixels along x
    >>> move_points(torch.tensor([[[1.0, 3.0]]]), right).round(decimals=2).tolist()
    [[[3.0, 3.0]]]
    """
    _check_field(field)
    if points.ndim != 3 or points.shape[-1] != 2 or len(points) != len(field):
        raise ValueError(f"points have shape {list(points.shape)}; [{len(field)}, point, 2] is needed")
    if not points.is_floating_point():
        raise ValueError(f"points are {points.dtype}; floats are needed, since points move by parts of a pixel")
    _check_finite("points", points)
    precision = torch.promote_types(points.dtype, torch.float32)
    field, start = field.to(precision), points.to(precision)
    half_size = (torch.tensor(field.shape[:1:-1], dtype=precision, device=field.device) - 1) / 2
    moved = start
    for _ in range(_POINT_ITERATIONS):
        grid = (moved / half_size - 1)[:, None]
        displaced = grid_sample(field, grid, padding_mode="border", align_corners=True)[:, :, 0].mT
        step = start + displaced - moved
        if not (step.abs() > _POINT_TOLERANCE).any():
            return moved.to(points.dtype)
        moved = moved + step / 2
    raise ValueError(
        f"field folds, and {(step.abs() > _POINT_TOLERANCE).any(-1).sum()} points find no place in it; "
        "use a smaller displacement or cut (diffeo.temperature_range)"
    )


def invert(field: Float[Tensor, "batch 2 height width"]) -> Float[Tensor, "batch 2 height width"]:
    r"""The field that undoes `field`: warping by one and then by the other gives the image back, up to blur.

    With $q = p - \tau(p)$ the inverse is $\tau^{-1}(q) = q - p$, found for every pixel q as in `move_points`.

    Args:
        field: pixels.

    Raises:
        ValueError: for a wrong shape, or if no inverse is found because the field folds.

    >>> right = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8)
    >>> invert(right)[0, :, 4, 4].round(decimals=2).tolist()
    [-2.0, 0.0]
    """
    _check_field(field)
    height, width = field.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack((x, y), -1).flatten(0, 1).to(field).expand(len(field), -1, -1)
    return (pixels - move_points(pixels, field)).mT.unflatten(2, (height, width))


def check_images(images: Shaped[Tensor, "batch channel height width"], interpolation: str = "bilinear") -> None:
    """ValueError, one sentence, for images that `warp` refuses, but for values that are not finite.

    >>> check_images(torch.rand(1, 3, 8, 8))  # says nothing where nothing is wrong
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation is {interpolation!r}; it must be one of {', '.join(INTERPOLATIONS)}")
    _check_kind("images", images)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images have shape {list(images.shape)}; [batch, channel, height, width] is needed, none 0")
    if interpolation != "nearest" and images.dtype not in FLOATS:
        raise ValueError(
            f"images are {images.dtype}; {interpolation} interpolation needs floating point (images.float())"
        )


def _check_kind(name: str, value: object) -> None:
    if (kind := no_tensor(value)) is not None:
        raise ValueError(f"{name} must be a tensor with values (torch.from_numpy for arrays), not {kind}")


def no_tensor(value: object) -> str | None:
    """What a value is that is no dense tensor with values, in words; None for one that is.

    >>> no_tensor([1, 2]), no_tensor(torch.empty(2, device="meta")), no_tensor(torch.ones(2))
    ('list', 'one on the meta device', None)
    """
    if not isinstance(value, Tensor):
        return type(value).__name__
    if value.layout != torch.strided:
        return f"one of layout {value.layout}"
    return "one on the meta device" if value.device.type == "meta" else None


def _check_field(field: Any) -> None:
    _check_kind("field", field)
    if field.ndim != 4 or field.shape[1] != 2 or not field.is_floating_point():
        raise ValueError(
            f"field is {field.dtype} of shape {list(field.shape)}; floats [batch, 2, height, width] needed"
        )
    _check_finite("field", field)


def _check_finite(name: str, values: Tensor) -> None:
    # One sum is several times cheaper than isfinite on every value, and is finite unless one of them is not
    # (or the sum overflows, which the second look settles).
    total = values.detach().sum(dtype=torch.promote_types(values.dtype, torch.float32))
    if not total.isfinite() and not values.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinite values; all must be finite")


def _jacobian(
    along_x: Float[Tensor, "batch 2 *sites"], along_y: Float[Tensor, "batch 2 *sites"]
) -> Float[Tensor, " batch *sites"]:
    """det(1 − ∇τ) from the derivatives [batch, 2, ...] of both components along x and along y."""
    return (1 - along_x[:, 0]) * (1 - along_y[:, 1]) - along_y[:, 0] * along_x[:, 1]


def _fold_free_cells(field: Float[Tensor, "batch 2 height width"]) -> Bool[Tensor, " batch"]:
    along_x, along_y = field.diff(dim=-1), field.diff(dim=-2)
    corners = [
        (_jacobian(x_edge, y_edge) > 0).flatten(1).all(1)
        for x_edge in (along_x[..., :-1, :], along_x[..., 1:, :])
        for y_edge in (along_y[..., :-1], along_y[..., 1:])
    ]
    return torch.stack(corners).all(0)


def _fold_free_sines(field: Float[Tensor, "batch 2 height width"]) -> Bool[Tensor, " batch"]:
    (value_y, slope_y), (value_x, slope_x) = (_sine_operators(n, field) for n in field.shape[-2:])
    inside = field[..., 1:-1, 1:-1]
    along_x = value_y @ inside @ slope_x.T
    along_y = slope_y @ inside @ value_x.T
    return (_jacobian(along_x, along_y) > 0).flatten(1).all(1)


def _sine_operators(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Value and slope (per pixel) of the sine series through `size` − 2 inner pixels, at all pixels."""
    pixels = torch.arange(size, dtype=torch.float64)
    wave = math.pi / (size - 1) * pixels[1:-1]
    to_coefficients = 2 / (size - 1) * (wave[:, None] * pixels[1:-1]).sin()
    angle = pixels[:, None] * wave
    return (angle.sin() @ to_coefficients).to(like), ((wave * angle.cos()) @ to_coefficients).to(like)


def _backward(field: Float[Tensor, "batch 2 height width"]) -> tuple[Tensor, Tensor]:
    """Columns and rows p − τ(p) [batch, height, width] that pixels are taken from, clamped to the image."""
    height, width = field.shape[-2:]
    x, y = _pixels(field)
    columns, rows = x - field[:, 0], y - field[:, 1]
    return columns.clamp(0, width - 1), rows.clamp(0, height - 1)


def _pixels(field: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of the columns [width] and of the rows [height, 1]."""
    height, width = field.shape[-2:]
    return torch.arange(width, device=field.device), torch.arange(height, device=field.device)[:, None]


def _bilinear(images: Tensor, field: Tensor) -> Tensor:
    # grid_sample counts positions from -1 to 1 between the outermost pixels, and rounding there moved whole
    # pixels by up to 1e-5. On a canvas of 2^k + 1 pixels whole pixels are exact, and so is a zero field, for
    # 15 % more time at 32 x 32. The clamped positions never reach the canvas beyond the image.
    sizes = images.shape[-1], images.shape[-2]
    spans = [1 << max(n - 2, 0).bit_length() for n in sizes]
    canvas = pad(images, (0, spans[0] + 1 - sizes[0], 0, spans[1] + 1 - sizes[1]))
    # The grid stays [batch, 2, height, width] in memory, which grid_sample reads as fast as pairs (x, y).
    grid = torch.stack(torch.broadcast_tensors(*_pixels(field))) - field
    for axis, span in enumerate(spans):
        grid[:, axis].clamp_(0, sizes[axis] - 1).mul_(2 / span).sub_(1)
    return grid_sample(canvas, grid.permute(0, 2, 3, 1), mode="bilinear", padding_mode="border", align_corners=True)


def _pick(images: Tensor, rows: Tensor, columns: Tensor) -> Shaped[Tensor, "batch channel pixel"]:
    """The colours at integer positions: [batch, channel, height * width]."""
    index = (rows * images.shape[-1] + columns).flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index)


def _nearest(images: Tensor, field: Tensor) -> Tensor:
    columns, rows = _backward(field)
    return _pick(images, rows.round().long(), columns.round().long()).unflatten(2, images.shape[-2:])


def _gaussian(images: Tensor, field: Tensor) -> Tensor:
    # The weights over the whole image factorise in x and y and fall off fast: six pixels per axis hold all
    # but 2e-9 of them, so that 36 gathers replace a sum over all pixels.
    columns, rows = _backward(field)
    out = torch.zeros_like(images.flatten(2))
    x_taps = _taps(columns, images.shape[-1])
    for row, y_weight in _taps(rows, images.shape[-2]):
        for column, x_weight in x_taps:
            out = out.addcmul(_pick(images, row, column), (y_weight * x_weight).flatten(1)[:, None])
    return out.unflatten(2, images.shape[-2:])


def _taps(position: Tensor, length: int) -> list[tuple[Tensor, Tensor]]:
    """Six pairs (pixel, weight) around each position along one axis; weights sum to 1 over the image."""
    index = position.floor()[:, None] + _GAUSSIAN_TAPS.to(position)[:, None, None]
    weight = ((index - position[:, None]) ** 2 / (-2 * GAUSSIAN_WIDTH**2)).exp()
    weight = weight * ((index >= 0) & (index < length))
    weight = weight / weight.sum(1, keepdim=True)
    return list(zip(index.clamp(0, length - 1).long().unbind(1), weight.unbind(1), strict=True))


def height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    """An image size as (height, width); ValueError for anything but integers of 2 pixels or more.

    >>> height_and_width(32), height_and_width((28, 20))
    ((32, 32), (28, 20))
    """
    height, width = size if isinstance(size, tuple | list) and len(size) == 2 else (size, size)
    if not all(is_integer(n) and n >= 2 for n in (height, width)):
        raise ValueError(f"size is {size}; it must be an integer or (height, width), each 2 pixels or more")
    return height, width


def is_integer(value: Any) -> bool:
    """Whether a value is an integer of any type, Python's or NumPy's, and not a truth value.

    >>> is_integer(3), is_integer(3.0), is_integer(True)
    (True, False, False)
    """
    try:
        return operator.index(value) == value and not isinstance(value, bool)
    except TypeError:
        return False


def cpu_generator(generator: torch.Generator | None) -> torch.Generator:
    """The generator, or for None a fresh one with a random seed; ValueError for what is none, or not on the CPU.

    >>> cpu_generator(None).device.type
    'cpu'
    """
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    if not isinstance(generator, torch.Generator):
        raise ValueError(
            f"generator must be a torch.Generator, not {generator!r}; torch.Generator().manual_seed(0) makes one"
        )
    if generator.device.type != "cpu":
        raise ValueError(
            f"generator is on {generator.device}; it must be on the CPU (torch.Generator()), "
            "so that τ is the same on every device"
        )
    return generator
