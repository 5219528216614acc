"""Explorers that work without a kernel: ipywidgets whose every frame is already in the page.

Sliders are linked in the browser (`jslink`) to the index of a stack of pictures; no Python runs when a reader
moves them. ipywidgets comes with the extra "book"; it is imported when an explorer is built.
"""

import io

import numpy as np
import torch
from PIL import Image

from relstab import diffeo, theory
from relstab.figures import style


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


def diffusion(*, filter_sizes=(2, 3, 5), layers=5, sites=128, apart=10):
    """Two active pixels in the network with homogeneous filters, by filter size, stride (1 or F) and depth (A Fig. 8 alive).

    sites: at most so many input pixels; apart: distance of the two, in pixels. At stride F the depth ends where the next
    layer would not fit, and the slider shows the last one.
    """
    import ipywidgets as widgets

    sizes = []
    for filter_size in filter_sizes:
        fits = next(k for k in range(layers, 0, -1) if filter_size**k <= sites)
        image = np.zeros(filter_size**fits * (sites // filter_size**fits))
        image[[len(image) // 2 - 3 - apart, len(image) // 2 - 3]] = 1
        strides = []
        for stride, last in ((1, layers), (filter_size, fits)):
            stack = theory.profiles(image, last, filter_size, stride)
            areas = theory.effective_receptive_field(last, filter_size, stride).tolist()
            frames = [profile_frame(stack, k, areas, filter_size, stride) for k in range(last + 1)]
            frames += [
                profile_frame(stack, last, areas, filter_size, stride, note=" There is no deeper layer.")
            ] * (layers - last)
            strides.append(widgets.Stack([widgets.HTML(frame) for frame in frames], selected_index=2))
        sizes.append(widgets.Stack(strides, selected_index=0))
    outer = widgets.Stack(sizes, selected_index=1)
    size_slider = slider("filter size F", len(filter_sizes), 1)
    stride_slider = slider("stride 1 or F", 2, 0)
    depth_slider = slider("depth k", layers + 1, 2)
    widgets.jslink((size_slider, "value"), (outer, "selected_index"))
    for size in sizes:
        widgets.jslink((stride_slider, "value"), (size, "selected_index"))
        for column in size.children:
            widgets.jslink((depth_slider, "value"), (column, "selected_index"))
    return widgets.VBox([size_slider, stride_slider, depth_slider, outer])


def profile_frame(stack, k, areas, filter_size, stride, *, note=""):
    """f_k as an SVG picture with its description: the units' activities over the input pixels, and A_k as a red bar."""
    profile, length = stack[k], len(stack[0])
    wide, base, tall = 360, 130, 100
    unit, pixel = wide / len(profile), wide / length
    bars = "".join(
        f"<rect x='{i * unit:.1f}' y='{base - h:.1f}' width='{unit:.1f}' height='{h:.1f}'/>"
        for i, h in enumerate(tall * profile / profile.max())
        if h > 0.3
    )
    inputs = "".join(
        f"<rect x='{i * pixel:.1f}' y='6' width='{pixel:.1f}' height='12'/>" for i in np.flatnonzero(stack[0])
    )
    text = f"F = {filter_size}, stride {stride}, k = {k}: "
    bar = ""
    if k:
        reach, centre = areas[k - 1] * pixel, (np.argmax(profile) + 0.5) * unit
        bar = f"<rect x='{centre - reach / 2:.1f}' y='{base + 5}' width='{reach:.1f}' height='4' fill='{style.RED}'/>"
        text += f"A<sub>{k}</sub> = {areas[k - 1]:.3g} pixels, largest activity {profile.max():.2g}; units: {len(profile)}."
    else:
        text += f"the image, {length} pixels of which two are active."
    spoken = (text + note).replace("<sub>", "").replace("</sub>", "")
    return (
        f'<svg viewBox="0 0 {wide} 142" style="width:100%;max-width:{wide}px;background:white" role="img" aria-label="Activity '
        f'of units over the image. {spoken}"><g fill="{style.BLACK}">{inputs}</g><g fill="{style.BLUE}" stroke="{style.BLUE}" '
        f'stroke-width=".4">{bars}</g><path d="M0 {base}H{wide}" stroke="{style.GREY}"/>{bar}</svg><div>{text}{note}</div>'
    )


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
