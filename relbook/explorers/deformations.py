"""Pictures under maximum-entropy diffeomorphisms, over cut-off and amplitude: B Fig. 1 alive."""

import base64
import html
import io

import torch
from PIL import Image

from relbook.explorers import controls
from relstab import diffeo

SMALL = 64  # pixels; a picture of no more is shown as it is, its pixels as squares


def temperature_and_cut(
    pictures, *, cuts=(2, 3, 5, 10, 20), displacements=(0, 0.4, 0.8, 1.6, 3.1, 6.2, 12.5), seed=0
):
    """Pictures under one diffeomorphism for each cut-off c and displacement of the centre (B Fig. 1).

    The Gaussian coefficients of a cut-off are drawn once, so that the displacement slider grows one and the
    same field, and all pictures see it.

    Args:
        pictures: name -> image [channel, n, n] in [0, 1].
        displacements: exact root mean square, in percent of n.
    """
    names, images = list(pictures), list(pictures.values())
    draws = [
        diffeo.sample_coefficients(1, cut, generator=torch.Generator().manual_seed(seed)) for cut in cuts
    ]

    def draw(which, row, column):
        image, cut, size = images[which], cuts[row], images[which].shape[-1]
        pixels = displacements[column] / 100 * size
        temperature = (pixels / diffeo.displacement(1.0, cut, size, exact=True)) ** 2
        field = diffeo.displacement_field(draws[row], temperature, size)
        text = f"c = {cut}, T = {temperature:.2g}, δ = {pixels:.2g} of {size} pixels"
        if not diffeo.is_bijective(field).item():
            text += " — folds: no diffeomorphism any more"
        return (
            picture(diffeo.warp(image[None], field)[0], f"{names[which]}, deformed. {text}")
            + f"<div>{text}</div>"
        )

    chosen = controls.choice("picture", names)
    cut_slider = controls.slider("cut-off c", [str(cut) for cut in cuts], min(1, len(cuts) - 1))
    amplitude = controls.slider(
        "exact δ/n", [f"{value:g} %" for value in displacements], min(4, len(displacements) - 1)
    )
    follows = controls.follow((chosen, cut_slider, amplitude), draw)
    return controls.explorer(chosen, cut_slider, amplitude, follows)


def picture(image, text):
    """An image [channel, n, n] in [0, 1] as an <img> with its data inside."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).squeeze(-1).numpy()
    small = image.shape[-1] <= SMALL
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "webp", quality=60, method=6, lossless=small)
    data = base64.b64encode(buffer.getvalue()).decode()
    look = ' style="image-rendering:pixelated"' if small else ""
    return f'<img alt="{html.escape(text)}"{look} src="data:image/webp;base64,{data}">'
