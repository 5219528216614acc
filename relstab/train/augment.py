"""Random crops, flips and deformations of a whole batch on the device, one draw per image (paper B App. E.1, Sec. 7).

The authors pad every image by four black pixels and cut out a random 32 x 32 window, image by image in
Python. Here the windows are a strided *view* of the padded set, so that one gather cuts them all. Deformations
are the maximum-entropy ones of `relstab.diffeo`, drawn for an epoch at a time.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor
from torch.nn.functional import pad

from relstab.diffeo import displacement_field, sample_coefficients, temperature
from relstab.diffeo.fields import warp_unchecked


class Draws(NamedTuple):
    """Row and column offset of every image's window and whether it is mirrored."""

    rows: Int64[Tensor, " image"]
    columns: Int64[Tensor, " image"]
    mirrored: Bool[Tensor, " image"]

    def to(self, device: str | torch.device) -> "Draws":
        """The same draws on `device`."""
        return Draws(*(draw.to(device) for draw in self))


def draw(count: int, *, padding: int, flip: bool, generator: torch.Generator) -> Draws:
    """Offsets and flips for `count` images, drawn on the CPU: the same on every device."""
    offsets = torch.randint(2 * padding + 1, (2, count), generator=generator)
    coins = torch.randint(2, (count,), generator=generator).bool()
    return Draws(offsets[0], offsets[1], coins & flip)


def windows(images: Shaped[Tensor, "image channel height width"], padding: int) -> Tensor:
    """A view [image, channel, row offset, column offset, height, width] of the images, padded with zeros.

    Only the padded set takes memory (1.6 times the images at 32 x 32 and padding 4).
    """
    height, width = images.shape[-2:]
    padded = pad(images, (padding,) * 4)
    return padded.unfold(2, height, 1).unfold(3, width, 1)


def crop_and_flip(
    views: Shaped[Tensor, "image channel row column height width"], indices: Int64[Tensor, " batch"], draws: Draws
) -> Tensor:
    """The images `indices`, each cut out at its own offset and mirrored if its coin says so.

    `draws` are those of the whole epoch, indexed by image: an image's crop depends on the epoch and on the
    image alone, not on the order or the size of the batches.
    """
    cut = views[indices, :, draws.rows[indices], draws.columns[indices]]
    place = torch.arange(len(cut), device=cut.device) + len(cut) * draws.mirrored[indices]
    return torch.cat([cut, cut.flip(-1)]).index_select(0, place)  # four times faster than torch.where on a CPU


def deformations(
    count: int, displacement: float, cut: int, size: tuple[int, int], *, generator: torch.Generator
) -> Float[Tensor, "image 2 cut cut"]:
    """Coefficients of one maximum-entropy diffeomorphism for each of `count` images, amplitude √T included.

    Args:
        displacement: nominal δ > 0, pixels.
        size: (height, width) of the images.

    Drawn on the CPU in the order of the images: as with crops, an image's τ depends on the epoch and on the image
    alone. Errors as in `diffeo.temperature`.
    """
    amplitude = temperature(displacement, cut, tuple(size)) ** 0.5
    return sample_coefficients(count, cut, generator=generator) * amplitude


def deformed(
    images: Float[Tensor, "batch channel height width"], coefficients: Float[Tensor, "batch 2 cut cut"]
) -> Float[Tensor, "batch channel height width"]:
    """The images, each moved by its own field of `deformations`, bilinearly, with the frame in place."""
    return warp_unchecked(images, displacement_field(coefficients, 1.0, tuple(images.shape[-2:])))
