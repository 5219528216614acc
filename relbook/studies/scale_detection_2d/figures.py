"""Deep networks on scale detection in two dimensions: A Figs. 4 (second row), 6, 7, and shuffling by width.

Functions take the rows of the study `scale_detection_2d` at one scale (`relbook.registry.rows`).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from relbook.drawing import style
from relbook.drawing.nets import drawn, legend, look, net, nothing, shade
from relbook.studies.scale_detection_2d import tables
from relbook.studies.zoo import figures_by_layer as zoo_layers
from relbook.studies.zoo.tables import QUANTITIES, correlation

STAGES = ("trained", "shuffled", "init")


@drawn
def error_scatter(rows: pd.DataFrame) -> Figure:
    """A Fig. 6: test error against D, G and R of the output, a point per architecture, seeds averaged.

    The axes are those of the convolutional networks; an arrow in a corner says where the fully connected ones lie.
    Below each axis stand the correlations of the logarithms, over all and without these.
    """
    table = tables.compared(rows)
    fig, axes = style.figure(1, 3, height=4.0, sharey=True)
    if table.empty:
        for ax in axes:
            nothing(ax)
        return fig
    members, handles = Counter(), []
    families = list(style.FAMILIES.values())
    dense = table["architecture"].str.startswith("fc_")
    near, far = (table[~dense], table[dense]) if (~dense).any() else (table, table[:0])
    for line in sorted(near.to_dict("records"), key=lambda line: families.index(look(line["architecture"]))):
        family, colour, marker = look(line["architecture"])
        colour = shade(colour, members[family])
        size = 7 if members[family] else 10  # the first of a family shows behind one at the same place
        members[family] += 1
        for ax, quantity in zip(axes, QUANTITIES, strict=True):
            handles += ax.plot(line[quantity], line["error"], marker, color=colour, ms=size, mec="white", mew=0.5,
                               label=net(line["architecture"], line["width"]))  # fmt: skip
    for ax, quantity in zip(axes, QUANTITIES, strict=True):
        lines = [f"${quantity}_f$", f"all {len(table)}: {style.signed(correlation(table[quantity], table['error']))}"]
        if len(far):
            lines.append(f"without FC: {style.signed(correlation(near[quantity], near['error']))}")
            value = np.exp(np.log(far[quantity]).mean())
            right = value > np.exp(np.log(near[quantity]).mean())
            ax.annotate("", (0.98 if right else 0.02, 0.985), (0.86 if right else 0.14, 0.9), xycoords="axes fraction",
                        textcoords="axes fraction", arrowprops={"arrowstyle": "->", "lw": 1.2})  # fmt: skip
            ax.text(0.84 if right else 0.16, 0.9, f"{len(far)} FC at {value:.2g},\nerror {far['error'].mean():.2f}",
                    va="center", zorder=9,
                    bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1},
                    ha="right" if right else "left", transform=ax.transAxes, fontsize=9.5)  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel="\n".join(lines))
        ax.margins(0.12, 0.3)
    axes[0].set_ylabel("test error ε")
    legend(fig, handles, 3)
    return fig


@drawn
def depth_profiles(rows: pd.DataFrame) -> Figure:
    """A Fig. 7: D, G and R by relative depth in VGG nets, a column each: trained, with channels shuffled,
    at initialisation.
    """
    found = {name: {stage: tables.main_profile(rows, name, stage) for stage in STAGES} for name in tables.PROFILED}
    found = {name: profiles for name, profiles in found.items() if len(profiles["trained"])}
    fig, axes = style.figure(3, max(len(found), 1), height=6.0, squeeze=False, sharex=True, sharey="row")
    if not found:
        for ax in axes.flat:
            nothing(ax)
        return fig
    for column, (name, profiles) in zip(axes.T, found.items(), strict=True):
        for ax, (quantity, (colour, marker, _)) in zip(column, style.QUANTITIES.items(), strict=True):
            for stage, profile in profiles.items():
                ax.plot(
                    profile["relative_depth"], profile[quantity], marker=marker, ms=4, **style.stroke(stage, colour)
                )
            ax.set(yscale="log")
        column[0].set_title(net(name, profiles["trained"]["width"].iloc[0]))
        column[-1].set_xlabel("relative depth")
    for ax, quantity in zip(axes[:, 0], style.QUANTITIES, strict=True):
        ax.set_ylabel(f"${quantity}_k$")
    legend(fig, style.key(*STAGES), 3)
    return fig


@drawn
def shuffling_by_width(rows: pd.DataFrame, architectures: Sequence = ("vgg11_bn", "vgg11")) -> Figure:
    """What shuffling the channels multiplies D, G and R with, by relative depth, a line per net and width."""
    fig, axes = style.figure(1, 3, height=3.7, sharey=True)
    handles = []
    for architecture in architectures:
        table = tables.shuffling(rows, architecture)
        _, colour, marker = look(architecture)
        widths = sorted(table["width"].unique(), reverse=True)
        for width, shaded in zip(widths, style.graded(colour, len(widths)), strict=True):
            lines = table[table["width"] == width]
            for ax, quantity in zip(axes, QUANTITIES, strict=True):
                handles += ax.plot(lines["relative_depth"], lines[quantity], color=shaded, marker=marker, ms=4,
                                   label=net(architecture, width))  # fmt: skip
    for ax, quantity in zip(axes, QUANTITIES, strict=True):
        if not handles:
            nothing(ax)
            continue
        ax.axhline(1, **style.GUIDE)
        ax.set(yscale="log", xlabel="relative depth", title=f"${quantity}_k$")
    axes[0].set_ylabel("shuffled / unshuffled")
    legend(fig, handles, 3)
    return fig


@drawn
def mode_growth(rows: pd.DataFrame, architecture: str = "vgg11_bn") -> Figure:
    """A Fig. 4, second row: growth of the filters' Laplacian modes on scale detection, a panel a layer."""
    table = tables.growth(rows, architecture)
    return zoo_layers.growth_panels(table, net(architecture, table.attrs["width"]))
