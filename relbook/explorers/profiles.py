"""D, G and R by layer, for every network and data set that was measured: A Figs. 3 and 11, B Fig. 14 alive."""

import html
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from relbook.drawing import nets, style
from relbook.explorers import controls
from relbook.studies.zoo import tables

QUANTITIES = {"R": "R = D/G", "D": "D, diffeomorphisms", "G": "G, noise"}
STAGES = {"trained": "trained", "init": "at initialisation", "shuffled": "channels shuffled"}
DASHES = {"trained": "", "init": "4 3", "shuffled": "9 3 2 3"}
MARKS = {  # around the origin; the three differ in grey, too
    "trained": "m-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0",
    "init": "m-3-3h6v6h-6z",
    "shuffled": "m0-4.2l4.2 4.2l-4.2 4.2l-4.2-4.2z",
}
PAPER = "var(--pst-color-background, var(--jp-layout-color0, #fff))"
KEY = ((4, 6), (28, 6))  # a piece of curve for the line of text
LEFT, RIGHT, TOP, BASE = 46, 352, 10, 214  # the frame of the plot in a picture of 360 x 256


def depth_profiles(rows: pd.DataFrame, *, first: str = "vgg11_bn") -> Any:
    """D, G or R against relative depth of one network, with switches for its three conditions.

    Of an architecture the widest and longest trained network, trained on all images. Axes are the same for all
    networks. Fully connected networks have no channels to shuffle. rows: of the study zoo. first: the architecture
    shown first, where it is there. ValueError: no profiles in the rows.
    """
    table = tables.largest(tables.on_full_set(tables.profiles(rows)))
    table = table[(table["stage"] != "shuffled") | ~table["architecture"].str.startswith("fc")]
    if table.empty:
        raise ValueError("rows hold no depth profile of a network trained on a full data set; at least one is needed")
    limits = {name: _limits(table[name]) for name in QUANTITIES}
    quantity = controls.choice("quantity", QUANTITIES.values())
    datasets = list(dict.fromkeys(table["dataset"]))
    having = list(table.loc[table["architecture"] == first, "dataset"]) or datasets
    dataset = controls.choice("data set", [_name(name) for name in datasets], datasets.index(having[0]))
    networks = [_networks(table[table["dataset"] == name], quantity, limits, first) for name in datasets]
    switches = [controls.switch(text, name) for name, text in STAGES.items() if (table["stage"] == name).any()]
    return controls.explorer(
        dataset, quantity, controls.stack(dataset, networks), controls.row(*switches), css=controls.hiding(*STAGES)
    )


def _networks(table: pd.DataFrame, quantity: Any, limits: Mapping[str, tuple[float, float]], first: str) -> Any:
    """The networks of one data set: a list to choose from, and what is chosen."""
    found = dict(iter(table.groupby(["architecture", "width"], sort=False)))
    names = [nets.net(*key) for key in found]
    start = next((index for index, key in enumerate(found) if key[0] == first), 0)
    network = controls.choice("network", names, start)
    (dataset,) = set(table["dataset"])

    def draw(which, what):
        letter = tuple(QUANTITIES)[what]
        lines = list(found.values())[which]
        return profile(lines, letter, limits[letter], f"{names[which]}, {_name(dataset)}")

    return controls.column(network, controls.follow((network, quantity), draw))


def profile(lines: pd.DataFrame, quantity: str, limits: tuple[float, float], label: str) -> str:
    """One network's curves as SVG with a text alternative, and their values at the output below.

    Args:
        lines: the network's lines of `zoo_tables.profiles`.
        limits: of the quantity's axis, as powers of ten.
    """
    colour = style.QUANTITIES[quantity][0]
    curves, said, ends = [], [], []
    for stage, text in STAGES.items():
        curve = lines[lines["stage"] == stage].sort_values("depth")
        if len(curve):
            values = curve[quantity].to_numpy()
            x = LEFT + (RIGHT - LEFT) * curve["relative_depth"].to_numpy()
            points = list(zip(x, _height(np.log10(values), limits), strict=True))
            curves.append(f'<g class="{stage}">{_curve(points, stage, colour)}</g>')
            said.append(f"{text}: {', '.join(f'{value:.2g}' for value in values)}")
            key = f'<svg class="key" viewBox="0 0 32 12" aria-hidden="true">{_curve(KEY, stage, colour)}</svg>'
            ends.append(f'<span class="{stage}">{key} {text} {values[-1]:.2g}</span>')
    title = html.escape(f"{quantity} by layer, {label}")
    return (
        f'<div><b>{title}</b></div><svg viewBox="0 0 360 256" role="img" '
        f'aria-label="{title}, from the image to the output. '
        f'{"; ".join(said)}.">{_frame(limits)}{"".join(curves)}</svg>'
        f"<div>At the output: {' '.join(ends)}</div>"
    )


def _curve(points: Iterable[tuple], stage: str, colour: str) -> str:
    """A line through points with a mark at each, as SVG."""
    places = [f"{x:.0f} {y:.1f}" for x, y in points]
    filled = colour if stage == "trained" else PAPER
    marks = "".join(f"M{place}{MARKS[stage]}" for place in places)
    return (
        f'<path d="M{"L".join(places)}" fill="none" stroke="{colour}" stroke-width="1.8" '
        f'stroke-dasharray="{DASHES[stage]}"/><path d="{marks}" stroke="{colour}" style="fill:{filled}"/>'
    )


def _limits(values: pd.Series) -> tuple[float, float]:
    """Powers of ten a little beyond the values."""
    logs = np.log10(values)
    return float(logs.min()) - 0.05, float(logs.max()) + 0.05


def _height(logs: np.ndarray | float, limits: tuple[float, float]) -> np.ndarray | float:
    return BASE - (BASE - TOP) * (logs - limits[0]) / (limits[1] - limits[0])


def _frame(limits: tuple[float, float]) -> str:
    """Axes, tick labels at 1, 2, 5 times powers of ten, and names of the axes."""
    ticks = [step * 10.0**power for power in range(-6, 3) for step in (1, 2, 5)]
    shown = [tick for tick in ticks if limits[0] <= np.log10(tick) <= limits[1]]
    if len(shown) > 7:
        shown = [tick for tick in shown if f"{tick:e}".startswith("1")]
    heights = [(tick, _height(np.log10(tick), limits)) for tick in shown]
    grid = "".join(f"M{LEFT} {y:.1f}H{RIGHT}" for _, y in heights)
    numbers = "".join(
        f'<text x="{LEFT - 6}" y="{y + 4.5:.1f}" text-anchor="end">{tick:g}</text>' for tick, y in heights
    )
    middle = (LEFT + RIGHT) / 2
    places = ((LEFT, "0, image", "start"), (middle, "0.5", "middle"), (RIGHT, "1, output", "end"))
    names = "".join(f'<text x="{x:g}" y="{BASE + 17}" text-anchor="{side}">{text}</text>' for x, text, side in places)
    names += f'<text x="{middle:g}" y="{BASE + 38}" text-anchor="middle">relative depth k/K</text>'
    return (
        f'<path d="{grid}" stroke="currentColor" stroke-opacity=".18"/>'
        f'<path d="M{LEFT} {TOP}V{BASE}H{RIGHT}" fill="none" stroke="currentColor"/>'
        f'<g font-size="14" fill="currentColor">{numbers}{names}</g>'
    )


def _name(dataset: str) -> str:
    return nets.label(dataset).replace("\n", " ")
