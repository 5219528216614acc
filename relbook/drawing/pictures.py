"""Pictures for pictures of deformations: a photograph, a test chart, an item of clothing; no network is needed."""

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from relstab.extras import extra


def portrait(size: int = 320) -> Float[Tensor, "3 size size"]:
    """The portrait of Rear Admiral Grace Hopper (United States Navy, public domain) as an RGB image in [0, 1].

    Args:
        size: side in pixels of the square picture, cut from the top of the photograph.

    >>> portrait(64).shape
    torch.Size([3, 64, 64])
    """
    _check(size)
    samples = extra("matplotlib.cbook", "the portrait")
    with samples.get_sample_data("grace_hopper.jpg") as file, Image.open(file) as photograph:
        side = min(photograph.size)
        square = photograph.convert("RGB").crop((0, 0, side, side)).resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1).float() / 255


def chart(size: int = 320) -> Float[Tensor, "1 size size"]:
    """A test chart in [0, 1]: lines at every tenth of the side, two rings, and a dark corner that tells up from down.

    >>> chart(100).shape, chart(100)[0, 50, 55] < chart(100)[0, 55, 55]  # on a line, and between two
    (torch.Size([1, 100, 100]), tensor(True))
    """
    _check(size)
    place = (torch.arange(size) + 0.5) / size
    y, x = place[:, None], place[None, :]
    tenth = (10 * place - (10 * place).round()).abs() < 10 * max(0.004, 0.6 / size)
    radius = ((x - 0.5).square() + (y - 0.5).square()).sqrt()
    rings = torch.stack([(radius - wanted).abs() < max(0.01, 0.8 / size) for wanted in (0.2, 0.4)]).any(0)
    picture = torch.full((size, size), 0.92)
    picture[(x < 0.1) & (y < 0.1)] = 0.25
    picture[tenth[:, None] | tenth] = 0.55
    picture[rings] = 0.1
    return picture[None]


def clothing(index: int = 0) -> Float[Tensor, "1 28 28"]:
    """An image of the test set of fashion-mini, 28 pixels wide, in [0, 1]. ValueError for an index it does not have.

    >>> clothing(3).shape, clothing(3).max() <= 1
    (torch.Size([1, 28, 28]), tensor(True))
    """
    from relstab import data

    images = data.load("fashion-mini").test.images
    if not 0 <= index < len(images):
        raise ValueError(f"index is {index}; the test set has the images 0 to {len(images) - 1}")
    return images[index].float() / 255


def _check(size: int) -> None:
    if size < 2:
        raise ValueError(f"size is {size}; a picture needs at least 2 pixels a side")
