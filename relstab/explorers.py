"""Explorers that work without a kernel: ipywidgets whose every frame is already in the page.

Sliders are linked in the browser (`jslink`) to the index of a stack of pictures; no Python runs when a reader
moves them. ipywidgets comes with the extra "book"; it is imported when an explorer is built.
"""

import io

import torch
from PIL import Image

from relstab import diffeo


def temperature_and_cut(
    image, *, cuts=(2, 3, 5, 10, 20), displacements=(0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0), seed=0, side=256
):
    """A picture under one diffeomorphism for each cut-off and exact rms displacement at the centre (B Fig. 1 alive).

    The Gaussian coefficients of a cut-off are drawn once, so that the displacement slider grows one and the same field.

    image: [channel, n, n] in [0, 1]; displacements in pixels of that image
    """
    import ipywidgets as widgets

    columns = []
    for cut in cuts:
        draw = diffeo.sample_coefficients(1, cut, generator=torch.Generator().manual_seed(seed))
        unit = diffeo.displacement(1.0, cut, image.shape[-1], exact=True)
        frames = []
        for displacement in displacements:
            temperature = (displacement / unit) ** 2
            field = diffeo.displacement_field(draw, temperature, image.shape[-1])
            folds = "" if diffeo.is_bijective(field).item() else " — folds: no diffeomorphism any more"
            frames.append(
                widgets.VBox([
                    widgets.Image(value=jpeg(diffeo.warp(image[None], field)[0], side), format="jpeg", width=side, height=side),
                    widgets.Label(f"c = {cut}, δ = {displacement:g} px, T = {temperature:.2g}{folds}"),
                ])
            )  # fmt: skip
        columns.append(widgets.Stack(frames, selected_index=2))
    outer = widgets.Stack(columns, selected_index=1)
    cut_slider = slider("cut-off c", len(cuts), 1)
    amplitude = slider("displacement δ", len(displacements), 2)
    widgets.jslink((cut_slider, "value"), (outer, "selected_index"))
    for column in columns:
        widgets.jslink((amplitude, "value"), (column, "selected_index"))
    return widgets.VBox([cut_slider, amplitude, outer])


def slider(label, count, start):
    """An index slider from 0 to count - 1."""
    import ipywidgets as widgets

    return widgets.IntSlider(
        value=start, min=0, max=count - 1, description=label, readout=False,
        style={"description_width": "8em"}, layout={"width": "22em", "max_width": "95%"},
    )  # fmt: skip


def jpeg(image, side):
    """An image [channel, n, n] in [0, 1] as JPEG bytes of side x side pixels."""
    pixels = (image.clamp(0, 1) * 255).byte().permute(1, 2, 0).squeeze(-1).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((side, side)).save(buffer, "jpeg", quality=80)
    return buffer.getvalue()
