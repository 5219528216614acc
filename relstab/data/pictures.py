"""One photograph, for the pictures of deformations: it comes with matplotlib, so that no network is needed."""

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor


def portrait(size: int = 320) -> Float[Tensor, "3 size size"]:
    """The portrait of Rear Admiral Grace Hopper (United States Navy, public domain) as an RGB image in [0, 1].

    size: side in pixels of the square picture, cut from the top of the photograph
    """
    from matplotlib.cbook import get_sample_data

    if size < 2:
        raise ValueError(f"size is {size}; a picture needs at least 2 pixels a side")
    with get_sample_data("grace_hopper.jpg") as file, Image.open(file) as photograph:
        side = min(photograph.size)
        square = (
            photograph.convert("RGB").crop((0, 0, side, side)).resize((size, size), Image.Resampling.LANCZOS)
        )
    return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1).float() / 255
