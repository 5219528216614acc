"""Figures of lazy and feature training on images (slides D, "Why FC nets unlearn diffeo stability?").

>>> from relbook import registry
>>> from relbook.studies.lazy_images import figures
>>> fig = figures.against_size(registry.rows("lazy_images", "tiny"))  # doctest: +SKIP
"""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from relbook.drawing import style
from relbook.studies.lazy_images import study as lazy_images
from relbook.studies.lazy_images.pixels import of_pixels

REGIMES = {  # alpha: label, colour, marker, line
    lazy_images.FEATURE: (r"feature, $\alpha = 0.03$", style.RED, "o", "-"),
    lazy_images.LAZY: (r"lazy, $\alpha = 10^5$", style.BLUE, "s", "-"),
    lazy_images.LIMIT: ("exact lazy limit", style.GREY, "D", "none"),
}
START = ("before training", style.BLACK, "o", style.STROKES["init"].line)
TITLES = {"fc_l2": "one hidden layer", "fc_l4": "three hidden layers", "fc_l6": "five hidden layers"}
NETWORKS = {"fc_l2": (style.ORANGE, "^", "-"), "fc_l4": (style.GREEN, "v", "-"), "fc_l6": (style.SKY, "P", "-")}
SENSITIVITIES = {"D": "$D$, diffeomorphisms", "G": "$G$, noise", "R": "$R = D / G$"}
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
FEW = FuncFormatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")  # 2 and 5 of a decade


@style.styled
def against_size(rows: pd.DataFrame) -> Figure:
    """R (above) and test error (below) against P for feature and lazy training, one column a network."""
    found = _reached(rows)
    names = [name for name in TITLES if name in set(found.network)]
    fig, axes = style.figure(2, len(names), height=5.4, sharex="col", sharey="row", squeeze=False)
    for column, name in enumerate(names):
        part = found[found.network == name]
        for ax, quantity in zip(axes[:, column], ("R", "test_error"), strict=True):
            for alpha, look in REGIMES.items():
                _line(ax, part[part.alpha == alpha], "train", quantity, look)
        _line(axes[0, column], part, "train", "R_init", START)
        axes[0, column].axhline(1, **style.GUIDE)
        axes[0, column].set(title=TITLES[name])
        axes[1, column].set(xlabel="training images $P$")
        ticks = sorted(part.train.unique())
        axes[1, column].set_xticks(ticks, [str(int(tick)) for tick in ticks])
        axes[1, column].set_xticks([], minor=True)
    axes[0, 0].set(ylabel="$R_f$")
    axes[1, 0].set(ylabel="test error")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return fig


@style.styled
def against_alpha(rows: pd.DataFrame) -> Figure:
    """R, D, G and the change of weights and tangent kernel against α, at the size that has most α.

    Marks at the right edge are the exact lazy limit.
    """
    found = _reached(rows)
    size = found.groupby("train").alpha.nunique().idxmax()
    found = found[found.train == size]
    finite = found[np.isfinite(found.alpha)]
    edge = finite.alpha.max() * 30
    panels = {"R": "$R_f$", "D": "$D_f$", "G": "$G_f$", "test_error": "test error",
              "weight_change": r"$\|w - w_0\| / \|w_0\|$", "kernel_change": "turn of the kernel"}  # fmt: skip
    fig, axes = style.figure(2, 3, height=5.2, sharex=True)
    for ax, (quantity, label) in zip(axes.flat, panels.items(), strict=True):
        for name, (colour, marker, line) in NETWORKS.items():
            part = finite[finite.network == name]
            _line(ax, part, "alpha", quantity, (TITLES[name], colour, marker, line))
            limit = found[(found.network == name) & (found.alpha == lazy_images.LIMIT)].assign(alpha=edge)
            if not quantity.endswith("change"):  # none in the limit
                _line(ax, limit, "alpha", quantity, (None, colour, marker, "none"))
        ax.set(xscale="log", title=label)
        powers = range(math.ceil(math.log10(finite.alpha.min())), math.floor(math.log10(finite.alpha.max())) + 1)
        ticks = {10.0**power: f"$10^{{{power}}}$" for power in powers if power % 3 == 2 or power == -1}
        ax.set_xticks([*ticks, edge], [*ticks.values(), r"$\infty$"])
        ax.set_xticks([], minor=True)
    for ax in axes[1]:
        ax.set(xlabel=r"$\alpha$ (feature $\leftarrow$ $\rightarrow$ lazy)")
    fig.suptitle(f"$P = {int(size)}$")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


@style.styled
def layers(rows: pd.DataFrame, network: str = "fc_l4") -> Figure:
    """D, G and R by layer before and after training in the two regimes, at the largest P."""
    part = rows[(rows.kind == "sensitivity") & (rows.network == network)]
    part = part.assign(alpha=part.alpha.astype(float).fillna(lazy_images.LIMIT))
    pairs = lazy_images.networks(rows).query("status == 'reached'")[[*lazy_images.PAIR, "alpha"]]
    part = part.merge(pairs, on=[*lazy_images.PAIR, "alpha"])
    part = part[part.train == part.train.max()]
    groups = [(part[part.stage == "init"], START)]
    groups += [
        (part[(part.stage == "trained") & (part.alpha == alpha)], REGIMES[alpha])
        for alpha in (lazy_images.LAZY, lazy_images.FEATURE)
    ]
    fig, axes = style.figure(1, 3, height=3.3)
    for ax, (quantity, label) in zip(axes, SENSITIVITIES.items(), strict=True):
        for group, look in groups:
            _line(ax, group, "depth", quantity, look)
        last = int(part.depth.max())
        ax.set(title=label, xlabel="layer")
        ax.set_xticks(range(last + 1), ["in", *map(str, range(1, last)), "out"])
        ax.set_xticks([], minor=True)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


@style.styled
def pixels(rows: pd.DataFrame) -> Figure:
    """Slides D, "4 neigh. pixels": where the first layer's weights are, and how alike neighbours are.

    Maps of the first seed, curves of the mean over seeds.
    """
    looks = {"before training": START[1:3], "lazy": REGIMES[lazy_images.LAZY][1:3],
             "feature": REGIMES[lazy_images.FEATURE][1:3]}  # fmt: skip
    fig, axes = style.figure(1, 4, height=2.6, gridspec_kw={"width_ratios": [1, 1, 1, 1.5]})
    rows = of_pixels(rows)
    first = rows[rows.seed.eq(rows.seed.min())]
    for ax, (regime, (colour, marker)) in zip(axes, looks.items(), strict=False):
        part = first[first.regime.eq(regime)]
        grid = part[part.kind.eq("power")].pivot_table(index="row", columns="column", values="value")
        ax.imshow(grid, cmap="Greys", vmin=0, vmax=4)
        ax.set(title=regime, xticks=[], yticks=[])
        ax.set_xlabel(f"share {part[part.kind.eq('share')].value.iloc[0]:.2f}")
        ax.grid(False)
        curves = rows[rows.regime.eq(regime) & rows.kind.eq("likeness")]
        line = curves.groupby("distance").value.mean()
        face = "white" if regime == "before training" else colour
        dashes = START[3] if regime == "before training" else "-"
        axes[3].plot(line.index, line, color=colour, marker=marker, mfc=face, ls=dashes, label=regime)
    axes[3].axhline(0, **style.GUIDE)
    axes[3].set(title="likeness of weights", xlabel="distance (pixels)")
    fig.legend(*axes[3].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


def _reached(rows: pd.DataFrame) -> pd.DataFrame:
    found = lazy_images.networks(rows)
    return found[found.status == "reached"]


def _line(ax: Axes, part: pd.DataFrame, across: str, quantity: str, look: tuple) -> None:
    """Geometric mean over seeds with its standard error; nothing for an empty part or where all is zero."""
    label, colour, marker, line = look
    part = part[part[quantity] > 0]
    if part.empty:
        return
    logs = np.log(part.set_index(across)[quantity].astype(float)).groupby(level=0)
    middle, spread = logs.mean(), logs.sem().fillna(0)
    bars = [np.exp(middle) - np.exp(middle - spread), np.exp(middle + spread) - np.exp(middle)]
    face = style.stroke("init" if look is START else "trained", colour)["mfc"]
    ax.errorbar(
        middle.index, np.exp(middle), bars, marker=marker, color=colour, ls=line, capsize=2, label=label, mfc=face
    )
    if quantity != "test_error":
        ax.set(yscale="log")
        if not quantity.endswith("change"):
            ax.yaxis.set_major_formatter(PLAIN)
            ax.yaxis.set_minor_formatter(FEW)
    if across == "train":
        ax.set(xscale="log")
