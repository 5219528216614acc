"""Two active pixels in the network with homogeneous filters, by filter size, stride and depth: A Fig. 8 alive."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from relbook.drawing import style
from relbook.explorers import controls
from relbook.studies.scale_detection import tables
from relstab import theory

CSS = (
    ".explorer .exact { border-collapse: collapse; width: 100%; max-width: 28rem; } "
    ".explorer .exact caption { caption-side: top; text-align: left; color: inherit; } "
    ".explorer .exact td, .explorer .exact th { text-align: right; padding: 0.1rem 0.3rem; font-weight: normal; } "
    ".explorer .exact .now { font-weight: bold; text-decoration: underline; }"
)


def diffusion(*, filter_sizes: Sequence[int] = (2, 3, 5), layers: int = 5, sites: int = 128, apart: int = 10) -> Any:
    """The activity that two active pixels cause, by filter size, stride (1 or F) and depth (A Fig. 8), and D, G and R.

    The sensitivities are exact, of task 1 at stride 1 and of task 2 at stride F, whose scale is a quarter of the line
    or the largest block short of it.

    Args:
        sites: at most so many input pixels.
        apart: distance of the two, in pixels.

    At stride F the depth ends where the next layer would not fit, and the slider shows the last one.
    """
    stacks = {}
    for size in filter_sizes:
        fits = next(k for k in range(layers, 0, -1) if size**k <= sites)
        image = np.zeros(size**fits * (sites // size**fits))
        image[[len(image) // 2 - 3 - apart, len(image) // 2 - 3]] = 1
        for stride, last in ((1, layers), (size, fits)):
            task, scale = (1, len(image) // 4) if stride == 1 else (2, size ** (fits - 1))
            stacks[size, stride > 1] = (
                tables.profiles(image, last, size, stride),
                theory.effective_receptive_field(last, size, stride).tolist(),
                theory.homogeneous_sensitivities(last, size, stride, len(image), task, scale),
                f"task {task}, ξ = {scale}",
            )

    def draw(row, wide, k):
        size = filter_sizes[row]
        stack, areas, exact, task = stacks[size, bool(wide)]
        note = " There is no deeper layer." if k >= len(stack) else ""
        k = min(k, len(stack) - 1)
        return profile_frame(stack, k, areas, size, size if wide else 1, note=note) + sensitivity_table(exact, k, task)

    sliders = (
        controls.slider("filter size F", [str(size) for size in filter_sizes], min(1, len(filter_sizes) - 1)),
        controls.slider("stride", ["1", "F"]),
        controls.slider("depth k", [str(k) for k in range(layers + 1)], min(2, layers)),
    )
    return controls.explorer(*sliders, controls.follow(sliders, draw), css=CSS)


def sensitivity_table(exact: pd.DataFrame, k: int, task: str) -> str:
    """D, G and R of the layers as a table of HTML, the shown layer marked.

    Args:
        exact: of `theory.homogeneous_sensitivities`.
    """
    heads = "".join(f'<th scope="col"{_mark(layer, k)}>k = {layer}</th>' for layer in exact["k"])
    body = ""
    for name in "DGR":
        cells = "".join(
            f"<td{_mark(layer, k)}>{f'{value:.2g}' if np.isfinite(value) else '–'}</td>"
            for layer, value in zip(exact["k"], exact[name], strict=True)
        )
        body += f'<tr><th scope="row">{name}</th>{cells}</tr>'
    return (
        f'<table class="exact"><caption>Exact sensitivities of the layers, {task}</caption>'
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )


def _mark(layer: int, k: int) -> str:
    return ' class="now"' if layer == k else ""


def profile_frame(stack: Sequence, k: int, areas: Sequence, filter_size: int, stride: int, *, note: str = "") -> str:
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
        text += (
            f"A<sub>{k}</sub> = {areas[k - 1]:.3g} pixels, largest activity {profile.max():.2g}; units: {len(profile)}."
        )
    else:
        text += f"the image, {length} pixels of which two are active."
    spoken = (text + note).replace("<sub>", "").replace("</sub>", "")
    return (
        f'<svg viewBox="0 0 {wide} 142" role="img" aria-label="Activity '
        f'of units over the image. {spoken}"><g fill="currentColor">{inputs}</g><g fill="{style.BLUE}" '
        f'stroke="{style.BLUE}" '
        f'stroke-width=".4">{bars}</g><path d="M0 {base}H{wide}" '
        f'stroke="{style.GREY}"/>{bar}</svg><div>{text}{note}</div>'
    )
