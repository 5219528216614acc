"""Pictures under maximum-entropy diffeomorphisms beside noise of the same size, over cut-off and amplitude:
B Fig. 1 alive.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from relbook.explorers import controls
from relstab import diffeo

PAIR = ".explorer .pair { display: flex; gap: 0.5rem; } .explorer .pair img { width: 50%; max-width: 15rem; }"
SMALL = 64  # pixels; a picture of no more is shown as it is, its pixels as squares


def temperature_and_cut(
    pictures: Mapping[str, Tensor],
    *,
    cuts: Sequence[int] = (2, 3, 5, 10, 20),
    displacements: Sequence[float | int] = (0, 0.4, 0.8, 1.6, 3.1, 6.2, 12.5),
    seed: int = 0,
) -> Any:
    """Pictures under one diffeomorphism for each cut-off c and displacement of the centre (B Fig. 1), and x + η.

    The Gaussian coefficients of a cut-off are drawn once, so that the displacement slider grows one and the
    same field, and all pictures see it. The noise, too, is one draw, scaled to ‖τx − x‖.

    Args:
        pictures: name -> image [channel, n, n] in [0, 1]; the first is shown first, at the smallest cut-off.
        displacements: exact root mean square, in percent of n.
    """
    names, images = list(pictures), list(pictures.values())
    draws = [diffeo.sample_coefficients(1, cut, generator=torch.Generator().manual_seed(seed)) for cut in cuts]

    noises = [torch.randn(image.shape, generator=torch.Generator().manual_seed(seed + 1)) for image in images]

    def draw(which, row, column):
        image, cut, size = images[which], cuts[row], images[which].shape[-1]
        pixels = displacements[column] / 100 * size
        temperature = (pixels / diffeo.displacement(1.0, cut, size, exact=True)) ** 2
        field = diffeo.displacement_field(draws[row], temperature, size)
        text = f"c = {cut}, T = {temperature:.2g}, δ = {pixels:.2g} of {size} pixels"
        if not diffeo.is_bijective(field).item():
            text += " — folds: no diffeomorphism any more"
        moved = diffeo.warp(image[None], field)[0]
        noisy = image + same_norm(noises[which], moved - image)
        return (
            f'<div class="pair">{picture(moved, f"{names[which]}, deformed. {text}")}'
            f"{picture(noisy, f'{names[which]} with white noise of the same norm', quality=20)}</div>"
            f"<div>Left τx, right x + η with ‖η‖ = ‖τx − x‖. {text}</div>"
        )

    chosen = controls.choice("picture", names)
    cut_slider = controls.slider("cut-off c", [str(cut) for cut in cuts])
    amplitude = controls.slider(
        "exact δ/n", [f"{value:g} %" for value in displacements], min(4, len(displacements) - 1)
    )
    follows = controls.follow((chosen, cut_slider, amplitude), draw)
    return controls.explorer(chosen, cut_slider, amplitude, follows, css=PAIR)


def same_norm(noise: Tensor, change: Tensor) -> Tensor:
    """The noise scaled to the norm of the change."""
    return noise * (change.norm() / noise.norm())


def picture(image: Float[Tensor, "channel height width"], text: str, *, quality: int = 60) -> str:
    """An image [channel, n, n] in [0, 1] as an <img> with its data inside."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).squeeze(-1).numpy()
    small = image.shape[-1] <= SMALL
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "webp", quality=quality, method=6, lossless=small)
    data = base64.b64encode(buffer.getvalue()).decode()
    look = ' style="image-rendering:pixelated"' if small else ""
    return f'<img alt="{html.escape(text)}"{look} src="data:image/webp;base64,{data}">'
