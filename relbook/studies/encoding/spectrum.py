r"""Noise in parts: by spatial frequency and by colour.

White noise η is the sum of its parts in bands of radial frequency $f = \sqrt{f_x^2 + f_y^2}$ (cycles per pixel; the
discrete Fourier transform's), each split into what is the same in all channels (grey) and what sums to zero over
them (colour). All of these are orthogonal projections, so the parts' squared norms add up to $\|\eta\|^2$ and a part of
white noise is white within its band.

>>> noise = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
>>> parts = split(noise)
>>> list(parts)[:2], bool(torch.allclose(sum(parts.values()), noise, atol=1e-5))
(['grey_0', 'grey_1'], True)
"""

import torch
from jaxtyping import Float
from torch import Tensor

EDGES = (1 / 16, 1 / 8, 1 / 4)  # cycles per pixel, between four octaves


def frequencies(height: int, width: int) -> Float[Tensor, "height width"]:
    """Radial frequency in cycles per pixel of each coefficient of the discrete Fourier transform.

    >>> frequencies(4, 4)[0].tolist()
    [0.0, 0.25, 0.5, 0.25]
    """
    rows, columns = (torch.fft.fftfreq(size, dtype=torch.float64) for size in (height, width))
    return (rows[:, None].square() + columns.square()).sqrt()


def bands(
    noise: Float[Tensor, "*batch height width"], edges: tuple[float, ...] = EDGES
) -> list[Float[Tensor, "*batch height width"]]:
    """The parts of `noise` whose frequency is below edges[0], from edges[0] to below edges[1], ..., and the rest.

    Args:
        noise: Pictures, or one.
        edges: Rising frequencies in cycles per pixel.

    Raises:
        ValueError: Edges that do not rise.

    >>> wave = torch.tensor([1.0, -1.0]).repeat(8).expand(16, 16)  # half a cycle per pixel
    >>> [round(part.norm().item(), 3) for part in bands(wave)]
    [0.0, 0.0, 0.0, 16.0]
    """
    if not all(low < high for low, high in zip((0.0, *edges), edges, strict=False)):
        raise ValueError(f"edges is {edges}; it must rise, from above 0")
    radius = frequencies(*noise.shape[-2:]).to(noise.device, noise.dtype)
    spectrum = torch.fft.fft2(noise)
    index = torch.bucketize(radius, torch.tensor(edges, dtype=radius.dtype, device=radius.device), right=True)
    return [torch.fft.ifft2(spectrum * (index == band)).real for band in range(len(edges) + 1)]


def split(
    noise: Float[Tensor, "image channel height width"], edges: tuple[float, ...] = EDGES
) -> dict[str, Float[Tensor, "image channel height width"]]:
    """The parts "grey_0", "grey_1", ... and, for several channels, "colour_0", ...; they add up to `noise`.

    Args:
        noise: One noise for each picture.
        edges: Of the bands, in cycles per pixel.

    >>> list(split(torch.zeros(1, 1, 8, 8)))
    ['grey_0', 'grey_1', 'grey_2', 'grey_3']
    """
    grey = noise.mean(1, keepdim=True).expand_as(noise)
    parts = {"grey": grey} if noise.shape[1] == 1 else {"grey": grey, "colour": noise - grey}
    return {f"{name}_{band}": one for name, part in parts.items() for band, one in enumerate(bands(part, edges))}
