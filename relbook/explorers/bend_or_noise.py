"""A picture, bent and with noise of the same size, and what three networks make of it:
the definition of R in one gesture.

The page carries the pictures, the coefficients of a few draws and a table of D, G and R over (δ, c); about a hundred
lines of JavaScript of our own (`bend_or_noise.js`, beside this file) warp the pictures in the browser. No kernel runs
and nothing is fetched. A test compares what the script computes with `relstab.diffeo.warp`.
"""

import base64
import html
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from relbook.page import Display
from relstab import diffeo

SCRIPT, STYLE = (Path(__file__).with_suffix(suffix) for suffix in (".js", ".css"))
SIDE = 32  # pixels of the pictures that the networks see; δ is in these
NAMES = {"fc_l2": "fully connected", "lenet": "LeNet", "cifar_resnet20": "ResNet20"}
PANELS = {
    "R": ("R = D / G", "relative sensitivity: below one, bends matter less than noise"),
    "D": ("D: bend", "how far the output moves when the picture is bent"),
    "G": ("G: noise", "how far it moves when noise of the same size is added"),
}
TICKS = (0.001, 0.01, 0.1, 1, 10)


def bend_or_noise(
    rows: pd.DataFrame,
    pictures: Iterable[Tensor],
    *,
    draws: int = 6,
    start: tuple[float | int, int] = (1.0, 3),
    seed: int = 0,
) -> Display:
    """The explorer, as a display: x, τx and x + η of one norm, and D, G, R of the networks in `rows` beside them.

    Args:
        rows: of the study bend_or_noise.
        pictures: images [3, n, n] in [0, 1], any sizes; all are bent by the same fields.
        draws: fields and noises to choose from. start: the δ and c that are shown first. seed: of the draws.

    Raises ValueError where `rows` hold no network, or `start` is not among its δ and c.
    """
    sweeps = rows[(rows["kind"] == "sensitivity") & rows["architecture"].isin(NAMES)]
    if sweeps.empty:
        raise ValueError("rows hold none of the networks of the study bend_or_noise; at least one is needed")
    cuts, displacements = (sorted(sweeps[name].unique()) for name in ("cut", "displacement"))
    if start[0] not in displacements or start[1] not in cuts:
        raise ValueError(f"start is {start}; δ must be one of {displacements} and c one of {cuts}")
    found = [name for name in NAMES if name in set(sweeps["architecture"])]
    values = sweeps[["D", "G", "R"]].to_numpy()
    data = {
        "displacements": displacements,
        "cuts": [int(cut) for cut in cuts],
        "temperatures": [diffeo.temperature(1.0, int(cut), SIDE) for cut in cuts],
        "coefficients": [coefficients(int(cut), draws, seed) for cut in cuts],
        "networks": [tables(sweeps[sweeps["architecture"] == name], displacements, cuts) for name in found],
        "limits": [float(values.min()) * 0.9, float(values.max()) * 1.1],
    }
    sliders = [
        ("delta", "bend δ", len(displacements), displacements.index(start[0])),
        ("cut", "cut-off c", len(cuts), cuts.index(start[1])),
        ("draw", "draw", draws, 0),
    ]
    text = "".join(
        [
            f'<div class="bend-or-noise"><style>{STYLE.read_text()}</style>',
            *map(_source, pictures),
            '<div class="pictures">',
            *(f'<div class="head">{head}</div>' for head in ("x", "τx", "x + η")),
            *(_row(index, picture.shape[-1]) for index, picture in enumerate(pictures)),
            '</div><p class="folds" aria-live="polite"></p><div class="controls">',
            *(_slider(*slider) for slider in sliders),
            '</div><div class="plots">',
            *(_plot(name, found, data["limits"]) for name in PANELS),
            f'</div><script type="application/json">{json.dumps(data, separators=(",", ":"))}</script>',
            f"<script>{SCRIPT.read_text()}</script></div>",
        ]
    )
    return Display(text_html=text, text_plain="explorer: bend or noise")


def coefficients(cut: int, draws: int, seed: int) -> list:
    """The coefficients of `draws` fields as nested lists [draw][2][c][c], to five digits."""
    drawn = diffeo.sample_coefficients(draws, cut, generator=torch.Generator().manual_seed(seed))
    return np.round(drawn.double().numpy(), 5).tolist()


def tables(rows: pd.DataFrame, displacements: list, cuts: list) -> dict[str, dict[str, list]]:
    """{quantity: {stage: [δ][c]}} of one network, to three digits."""
    found = {}
    for name in PANELS:
        found[name] = {}
        for stage in ("init", "trained"):
            grid = rows[rows["stage"] == stage].pivot_table(index="displacement", columns="cut", values=name)
            grid = grid.reindex(index=displacements, columns=cuts)
            found[name][stage] = [[float(f"{value:.3g}") for value in line] for line in grid.to_numpy()]
    return found


def _source(image: Float[Tensor, "3 height width"]) -> str:
    """A picture as a hidden <img>, from which the script reads its pixels."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    buffer, small = io.BytesIO(), image.shape[-1] <= SIDE
    Image.fromarray(pixels).save(buffer, "webp", quality=85, method=6, lossless=small)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img data-picture alt="" src="data:image/webp;base64,{data}">'


def _row(index: int, size: int) -> str:
    texts = ("the picture", "bent", "with noise of the same norm")
    return (
        f'<div data-row="{index}">'
        + "".join(f'<canvas role="img" aria-label="{text}, {size} by {size} pixels"></canvas>' for text in texts)
        + "</div>"
    )


def _slider(name: str, label: str, count: int, value: int) -> str:
    return (
        f'<label><span>{label}</span><input type="range" name="{name}" min="0" max="{count - 1}" value="{value}" '
        f'aria-label="{label}"><output></output></label>'
    )


def _plot(name: str, networks: list[str], limits: Sequence[float]) -> str:
    """One quantity: a logarithmic track for each network, from before training (hollow) to after it (filled)."""
    low, high = limits
    title, what = PANELS[name]
    ticks = {f"{tick:g}": 100 * np.log(tick / low) / np.log(high / low) for tick in TICKS if low <= tick <= high}
    marks = "".join(
        f'<i class="{"one" if text == "1" else "tick"}" style="left:{place:.1f}%"></i>' for text, place in ticks.items()
    )
    lines = "".join(
        f'<div class="net" data-network="{index}"><span>{html.escape(NAMES[network])}</span><span class="value"></span>'
        f'<div class="track"><i class="rail"></i>{marks}<i class="path"></i><i class="before"></i>'
        '<i class="after"></i></div></div>'
        for index, network in enumerate(networks)
    )
    scale = "".join(f'<span style="left:{place:.1f}%">{text}</span>' for text, place in ticks.items())
    return (
        f'<div data-quantity="{name}"><p><strong>{title}</strong>, {what}</p>{lines}'
        f'<div class="scale" aria-hidden="true">{scale}</div></div>'
    )
