"""Small multiples of `relbook.studies.zoo.against_scale.table`: a panel a claim, a line a kind of networks."""

import textwrap
from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relbook.drawing import style
from relbook.drawing.nets import drawn, nothing

COLUMNS = 3
SIGNS = {
    "towards the paper": ("→", style.GREEN),
    "away from the paper": ("←", style.RED),
    "flat": ("=", style.GREY),
    "within what is accepted": ("✓", style.BLUE),
}


@drawn
def panels(table: pd.DataFrame, places: Iterable[str]) -> Figure:
    """Estimates with their 95 % intervals from the least compute, at the top, to the most; shaded: what is accepted.

    The sign before a statement: → towards the paper, ← away, = flat, ✓ within all along. Hollow: networks of others.
    """
    ids = list(dict.fromkeys(table["id"]))
    if not ids:
        fig, ax = style.figure()
        nothing(ax)
        return fig
    count = -(-len(ids) // COLUMNS)
    fig, axes = style.figure(count, COLUMNS, height=0.4 + 1.9 * count, sharey=True, squeeze=False)
    used = [name for name in places if name in set(table["on"])]
    for ax, id_ in zip(axes.flat, ids, strict=False):
        _panel(ax, table[table["id"] == id_], used)
    for ax in axes.flat[len(ids) :]:
        ax.axis("off")
    axes[0, 0].set_ylim(len(used) - 0.5, -0.5)
    return fig


def _panel(ax: Axes, lines: pd.DataFrame, used: list[str]) -> None:
    first = lines.iloc[0]
    low, high = lines["low"].min(), lines["high"].max()
    ends = [end for end in (first["accepted_low"], first["accepted_high"]) if np.isfinite(end)]
    low, high = min(low, *ends), max(high, *ends)
    space = 0.08 * (high - low or 1)
    ax.set_xlim(low - space, high + space)
    ax.axvspan(max(first["accepted_low"], low - space), min(first["accepted_high"], high + space),
               color=style.GREEN, alpha=0.15, lw=0)  # fmt: skip
    sign, colour = SIGNS[first["moves"]]
    for line in lines.to_dict("records"):
        y, theirs = used.index(line["on"]), line["on"].startswith("others")
        ax.plot([line["low"], line["high"]], [y, y], color=colour, lw=1.2)
        ax.plot(line["estimate"], y, "o", color=colour, mfc="white" if theirs else colour, ms=4.5)
    ax.plot(lines["estimate"], [used.index(on) for on in lines["on"]], color=colour, lw=0.8, ls=":")
    ax.set_yticks(range(len(used)), used, fontsize=8)
    ax.tick_params(axis="x", labelsize=8)
    ax.locator_params(axis="x", nbins=3)
    text = first["statement"].replace("_f", "")
    title = textwrap.wrap(f"{sign} {text}", 27, max_lines=4, placeholder=" …")
    ax.set_title("\n".join(title), fontsize=8.5, loc="left")
