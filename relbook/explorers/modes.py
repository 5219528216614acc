"""The filters' Laplacian modes by layer, step by step through training: A Fig. 4 alive."""

import html
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from relbook.drawing import nets
from relbook.explorers import controls
from relbook.studies.zoo import tables
from relstab.probes.filters import laplacian_modes

FURTHEST = 4  # shades on either side of no change: factors of two up to 16
# Brown for shrinking, blue for growing, after ColorBrewer's BrBG and Blues.
SHADES = {-4: "#543005", -3: "#8c510a", -2: "#c9974a", -1: "#ecd9b0", 0: "#f5f5f5", 1: "#d0e1f2", 2: "#94c4df",
          3: "#4a98c9", 4: "#1764ab"}  # fmt: skip
LIGHT_TEXT = (-4, -3, 4)
GLYPH = 24  # CSS pixels


def mode_growth(rows: pd.DataFrame, *, first: str = "vgg11_bn") -> Any:
    """γ(t)/γ(0) of every layer (lines) and grid mode (columns) of a network at each time of its training.

    Modes of one eigenvalue are averaged (one of them is drawn); seeds are averaged. Of an architecture the widest and
    longest trained network, those on CIFAR-10 first.

    rows: of the study zoo. first: the architecture shown first. ValueError: no modes in the rows.
    """
    table = tables.largest(tables.on_full_set(tables.growth(rows)))
    if table.empty:
        raise ValueError("rows hold no Laplacian modes of a network trained on a full data set; at least one is needed")
    found = dict(iter(table.groupby(["dataset", "architecture", "width"], sort=False)))
    found = dict(sorted(found.items(), key=lambda item: not item[0][0].startswith("cifar10")))
    times = {key: sorted(lines["epoch"].unique()) for key, lines in found.items()}
    labels = [f"{nets.net(*key[1:])}, {nets.label(key[0])}".replace("\n", " ") for key in found]
    start = next((index for index, key in enumerate(found) if key[1] == first), 0)
    network = controls.choice("network", labels, start)
    steps = max(map(len, times.values()))
    time = controls.slider("time", [f"{step} / {steps - 1}" for step in range(steps)], steps - 1)

    def draw(which, step):
        key = tuple(found)[which]
        epochs = times[key]
        epoch = epochs[min(step, len(epochs) - 1)]
        lines = found[key]
        return growth_table(lines[lines["epoch"] == epoch], f"{labels[which]}, epoch {epoch:.2g} of {epochs[-1]:g}")

    return controls.explorer(network, time, controls.follow((network, time), draw), css=_css())


def growth_table(lines: pd.DataFrame, title: str) -> str:
    """Growth by layer and eigenvalue as a table of HTML, shaded by factors of two.

    Args:
        lines: columns depth, eigenvalue, growth.
    """
    growth = np.exp(np.log(lines["growth"]).groupby([lines["depth"], lines["eigenvalue"]]).mean()).unstack()
    heads = "".join(f'<th scope="col">λ = {value}<i class="mode m{value}"></i></th>' for value in growth)
    body = ""
    for layer, line in growth.iterrows():
        cells = "".join(f'<td class="g{_shade(value)}">{value:.2g}</td>' for value in line)
        body += f'<tr><th scope="row">{layer:g}</th>{cells}</tr>'
    return (
        f'<table class="growth"><caption>Growth γ(t)/γ(0), {html.escape(title)}</caption>'
        f"<thead><tr><th scope=col>layer</th>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )


def _shade(value: float) -> int:
    """The number of the shade as in class names: "4" to "0", and "-1" to "-4"."""
    return int(np.clip(np.round(np.log2(value)), -FURTHEST, FURTHEST))


def _css() -> str:
    """Shades of cells and drawings of modes; classes, so that a frame is little more than its numbers."""
    rules = [
        ".explorer .growth { border-collapse: collapse; margin: 0.3rem 0; width: 100%; max-width: 34rem; }",
        ".explorer .growth { table-layout: fixed; }",
        ".explorer .growth caption { caption-side: top; text-align: left; color: inherit; font-weight: bold; }",
        ".explorer .growth td, .explorer .growth th { text-align: center; padding: 0.15rem; font-weight: normal; }",
        ".explorer .growth td, .explorer .growth th { border: 1px solid transparent; }",
        f".explorer .mode {{ display: block; width: {GLYPH}px; height: {GLYPH}px; margin: 0.1rem auto; }}",
        ".explorer .mode { border: 1px solid #7f7f7f; }",
    ]
    for level, colour in SHADES.items():
        text = "#fff" if level in LIGHT_TEXT else "#000"
        rules.append(f".explorer .growth td.g{level} {{ background: {colour}; color: {text}; }}")
    modes, eigenvalues = laplacian_modes(3)
    drawn = {round(float(value)): mode for mode, value in zip(modes, eigenvalues, strict=True)}
    rules += [f'.explorer .m{value} {{ background: url("{_drawing(mode)}"); }}' for value, mode in drawn.items()]
    return "\n".join(rules)


def _drawing(mode: Float[Tensor, "3 3"]) -> str:
    """A 3 x 3 mode as a picture: white the largest weight, black the most negative."""
    grey = (127.5 * (1 + mode / mode.abs().max())).round().int().tolist()
    cells = "".join(
        f"<path fill='rgb({value},{value},{value})' d='M{x} {y}h1v1h-1z'/>"
        for y, line in enumerate(grey)
        for x, value in enumerate(line)
    )
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 3 3' shape-rendering='crispEdges'>{cells}</svg>"
    return "data:image/svg+xml," + svg.replace("<", "%3C").replace(">", "%3E").replace("#", "%23")
