"""The same networks under all measures: scatter plots, ranks, and what random labels change.

Functions take tables of `relbook.studies.measures.tables`, but `agreement`, which takes rows of the study `measures`.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from relbook.drawing import style
from relbook.drawing.nets import drawn, label, legend, look, net, nothing
from relbook.studies.measures import tables
from relbook.studies.ruderman.figures import LOOKS

NAMES = {"error": "test error", "D": "$D_f$", "G": "$G_f$", "R": "$R_f$", "cosine": "cosine, last layer",
         "cosine_output": "cosine, output", "tv": "total variation", "low": "lowest mode",
         "D_spline": "$D_f$, thin-plate", "cosine_maxent": "cosine, max-entropy"}  # fmt: skip
CONV8 = ("nets of Ruderman 2018", style.PURPLE, "*")


LABELS = {"real": "real", "matched": "real, as for random", "random": "random"}  # what a network was trained on


def written(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `tables.networks` as a page prints it: three significant digits, a dash where there is no number.

    >>> line = {"task": "real", "architecture": "vgg11_bn", "width": 0.25, "dataset": "mnist", "error": 0.01234}
    >>> written(pd.DataFrame([line]).reindex(columns=tables.COLUMNS)).iloc[0].tolist()[:5]
    ['VGG11bn ×1/4', 'MNIST', 'real', '0.0123', '–']
    """
    names = [
        net(name, width).replace("conv8_", "conv8, ")
        for name, width in zip(table["architecture"], table["width"], strict=True)
    ]
    found = {
        "network": names,
        "data": [label(name).replace("\n", " ") for name in table["dataset"]],
        "labels": table["task"].map(LABELS),
    }
    for name in ("error", *tables.MEASURES):
        heading = NAMES[name].strip("$").removesuffix("_f")
        found[heading] = ["–" if pd.isna(value) else f"{value:.3g}" for value in table[name]]
    return pd.DataFrame(found)


def _points(ax: Axes, table: pd.DataFrame, x: str, y: str) -> list[Line2D]:
    """Scatter of a table, a mark and colour a family; the handles."""
    handles = []
    for line in table.dropna(subset=[x, y]).to_dict("records"):
        conv8 = line["architecture"].startswith("conv8")
        name, colour, marker = CONV8 if conv8 else look(line["architecture"])
        ax.plot(line[x], line[y], marker, color=colour, ms=8 if conv8 else 6, mec="white", mew=0.5)
        handles.append(Line2D([], [], ls="", marker=marker, color=colour, label=name))
    ax.set(xlabel=NAMES[x], ylabel=NAMES[y])
    return handles


@drawn
def agreement(rows: pd.DataFrame) -> Figure:
    """Left, deformations exchanged: D with B's against D with C's. Right, distance exchanged: D against cosine."""
    fig, axes = style.figure(1, 2, height=3.9)
    handles = []
    for ax, (x, y) in zip(axes, (("D", "D_spline"), ("D_spline", "cosine_output")), strict=True):
        if rows.empty:
            nothing(ax)
            continue
        handles += _points(ax, rows, x, y)
        ends = [rows[[x, y]].min().min() * 0.8, rows[[x, y]].max().max() * 1.2]
        ax.plot(ends, ends, **style.GUIDE)
        ax.set(xscale="log", yscale="log")
    legend(fig, handles, 3)
    return fig


@drawn
def against_error(table: pd.DataFrame) -> Figure:
    """Test error against every measure, one mark a network; Spearman's rank correlation in each title."""
    fig, axes = style.figure(2, 3, height=5.8, sharey=True)
    handles, correlations = [], tables.ranks(table)
    for ax, measure in zip(axes.flat, ("D", "G", "R", "cosine", "tv", "low"), strict=True):
        if table[measure].notna().sum() == 0:
            nothing(ax)
            continue
        handles += _points(ax, table, measure, "error")
        ax.set(yscale="log")
        ax.set_title(f"rank correlation {style.signed(correlations.loc['error', measure])}", fontsize=10)
        if measure not in ("tv", "low"):
            ax.set_xscale("log")
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    legend(fig, handles, 3)
    return fig


@style.styled
def rank_correlations(table: pd.DataFrame) -> Figure:
    """Spearman's rank correlations of all measures and the error, as numbers on shades."""
    matrix = tables.ranks(table)
    fig, ax = style.figure(height=5.2)
    ax.imshow(matrix, cmap="PuOr", vmin=-1, vmax=1)
    for (i, j), value in np.ndenumerate(matrix.to_numpy()):
        text = style.signed(value)
        ax.text(j, i, text, ha="center", va="center", color="white" if abs(value) > 0.6 else "black")
    labels = [NAMES[name] for name in matrix]
    ax.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
    ax.set_yticks(range(len(labels)), labels)
    ax.grid(False)
    return fig


@drawn
def random_over_real(table: pd.DataFrame) -> Figure:
    """Every measure of networks trained on random labels over that of their twins trained on real ones."""
    fig, ax = style.figure(height=3.6)
    ratios, handles = tables.twins(table), []
    if ratios.empty:
        nothing(ax, "no network with a twin at this scale")
        return fig
    shown = list(tables.MEASURES)
    for number, line in enumerate(ratios.to_dict("records")):
        label, colour, marker = LOOKS[line["architecture"].removeprefix("conv8_")]
        shift = 0.5 * (number / max(1, len(ratios) - 1) - 0.5)
        ax.plot(np.arange(len(shown)) + shift, [line[name] for name in shown], marker, color=colour, ms=6, label=label)
        handles.append(ax.lines[-1])
    ax.axhline(1, **style.GUIDE)
    ax.set(yscale="log", ylabel="random / real labels")
    ax.set_xticks(range(len(shown)), [NAMES[name] for name in shown], rotation=25, ha="right")
    legend(fig, handles, 5)
    return fig
