"""Figures of the spherical model of slides D: the neurons, their symmetry, lazy against feature training.

>>> from relbook import registry
>>> from relbook.studies.sphere import figures
>>> fig = figures.neurons(registry.rows("sphere", "tiny"))  # doctest: +SKIP
"""

import math
from typing import SupportsIndex

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.api.typing import DataFrameGroupBy, SeriesGroupBy

from relbook.drawing import style
from relbook.studies.sphere import study as sphere

REGIMES = {  # alpha: label, colour, marker, line
    1e-6: (r"feature, $\alpha = 10^{-6}$", style.BLACK, "X", "-"),
    0.03: (r"feature, $\alpha = 0.03$", style.RED, "o", "-"),
    1.0: (r"between, $\alpha = 1$", style.ORANGE, "^", "-"),
    100.0: (r"lazy, $\alpha = 100$", style.BLUE, "s", "-"),
    math.inf: ("lazy limit, exact kernel regression", style.SKY, "D", "-"),
}
TITLES = {0.0: "before training", 100.0: "after, lazy", 0.03: "after, feature", 1e-6: r"after, $\alpha = 10^{-6}$"}
SIZE = "training points $P$"


@style.styled
def neurons(rows: pd.DataFrame) -> Figure:
    """Slides D: neurons at |c| w and the training points on the circle; each panel has its own scale."""
    picture = rows[rows.sign.notna()]
    points, rest = picture[picture.sign == 0], picture[picture.sign != 0]
    panels = [alpha for alpha in TITLES if alpha in set(rest.alpha)]
    fig, axes = style.figure(1, len(panels), height=3.1)
    for ax, alpha in zip(axes, panels, strict=True):
        part = rest[rest.alpha == alpha]
        scale = np.hypot(part.u, part.v).max()
        for sign, colour, marker, name in ((1, style.RED, "o", "$c > 0$"), (-1, style.BLUE, "x", "$c < 0$")):
            chosen = part[part.sign == sign]
            ax.plot(chosen.u / scale, chosen.v / scale, marker, color=colour, ms=3.2, alpha=0.65, mew=0.9, label=name)
        turn = np.linspace(0, 2 * np.pi, 200)
        ax.plot(1.15 * np.cos(turn), 1.15 * np.sin(turn), color=style.GREY, lw=0.9)
        ax.plot(1.15 * points.u, 1.15 * points.v, "*", color=style.BLACK, ms=10, label=r"training points $x_\mu$")
        ax.set(title=TITLES[alpha], aspect="equal", xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), xticks=[], yticks=[])
        ax.grid(False)
        for spine in ax.spines.values():
            spine.set_visible(False)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


@style.styled
def concentration(rows: pd.DataFrame) -> Figure:
    """Concentration of the neurons' directions, after over before, against P, by dimension."""
    part = sphere.measures(rows)
    table = part.pivot_table(index=["dimension", "train", "member"], columns="alpha", values="concentration")
    relative = table.div(table[math.inf], axis=0).drop(columns=math.inf)
    fig, axes = style.figure(1, part.dimension.nunique(), height=3.1, sharey=True, squeeze=False)
    for ax, (dimension, block) in zip(axes[0], relative.groupby(level="dimension"), strict=True):
        _curves(ax, np.log(block).groupby(level="train"), dimension)
    axes[0, 0].set(ylabel="concentration, after / before", yscale="linear")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


@style.styled
def lazy_and_feature(rows: pd.DataFrame) -> Figure:
    """Slides D, "Lazy vs. feature performance": test error and rotation sensitivity against P."""
    part = sphere.measures(rows)
    dimensions = sorted(part.dimension.unique())
    fig, axes = style.figure(2, len(dimensions), height=5.6, sharex="col", sharey="row", squeeze=False)
    for column, dimension in enumerate(dimensions):
        for row, quantity in enumerate(("test_mse", "S")):
            block = part[part.dimension == dimension]
            block = block.pivot_table(index=["train", "member"], columns="alpha", values=quantity)
            _curves(axes[row, column], np.log(block).groupby(level="train"), dimension if row == 0 else None)
        axes[0, column].set(xlabel="")
    axes[0, 0].set(ylabel=r"test error $\langle (F - 1)^2 \rangle$")
    axes[1, 0].set(ylabel=r"$S$, rotations by 10°")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return fig


def _curves(ax: Axes, logs: DataFrameGroupBy | SeriesGroupBy, dimension: SupportsIndex | None) -> None:
    """One line per regime: geometric mean over members and its standard error."""
    mean, error = logs.mean(), logs.sem()
    for alpha, (label, colour, marker, line) in REGIMES.items():
        if alpha in mean:
            middle, spread = mean[alpha], error[alpha]
            bars = [np.exp(middle) - np.exp(middle - spread), np.exp(middle + spread) - np.exp(middle)]
            ax.errorbar(mean.index, np.exp(middle), bars, marker=marker, color=colour, ls=line, capsize=2, label=label)
    ax.set(xscale="log", yscale="log", xlabel=SIZE)
    ticks = [int(size) for size in mean.index]
    ax.set_xticks(ticks, [str(size) for size in ticks])
    ax.set_xticks([], minor=True)
    if dimension is not None:
        ax.set(title=rf"$d = {dimension}$")
