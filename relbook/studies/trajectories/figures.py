"""Networks along their training, and at several widths: errors, D, G and R, and the path in the plane of error and R.

Every function takes the rows of the study `trajectories` (or `widths`) at one scale and draws what is there.
"""

from fractions import Fraction

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from relbook.drawing import style
from relbook.drawing.nets import drawn, legend, look, net, nothing, outer
from relbook.studies.trajectories import tables

QUANTITIES = {
    "test_error": "test error",
    "train_error": "training error",
    "R_median": "$R_f$",
    "G_median": "$G_f$",
    "D_median": "$D_f$",
}
SCHEDULES = {"one_cycle": (style.BLUE, "one cycle"), "step": (style.ORANGE, "two steps")}
STROKE = {False: "plain", True: "augmented"}  # by whether there are crops and flips


@drawn
def along(rows: pd.DataFrame) -> Figure:
    """A column a network, a row a quantity: against epochs, by schedule (colour) and augmentation (dashes);
    first seed.
    """
    table = tables.points(rows)
    table = table[table["seed"] == table["seed"].min()] if len(table) else table
    columns = list(table.groupby(["architecture", "width"], sort=False)) if len(table) else []
    fig, axes = style.figure(
        len(QUANTITIES), max(len(columns), 1), height=8.5, sharex="col", sharey="row", squeeze=False
    )
    if not columns:
        for ax in axes.flat:
            nothing(ax)
        return fig
    for line, ((architecture, width), part) in zip(axes.T, columns, strict=True):
        for ax, column in zip(line, QUANTITIES, strict=True):
            for (recipe, augment), one in part.groupby(["recipe", "augment"]):
                later = one[one["epoch"] > 0]
                ax.plot(later["epoch"], later[column], **style.stroke(STROKE[bool(augment)], SCHEDULES[recipe][0]))
            ax.set(xscale="log")
            if column != "train_error":
                ax.set(yscale="log")
        line[0].set_title(net(architecture, width))
        line[-1].set_xlabel("epoch")
    for ax, text in zip(axes[:, 0], QUANTITIES.values(), strict=True):
        ax.set_ylabel(text)
    handles = [Line2D([], [], color=colour, label=text) for colour, text in SCHEDULES.values()]
    legend(fig, [*handles, *style.key(*STROKE.values(), marker="")], 2)
    return fig


@drawn
def plane(rows: pd.DataFrame) -> Figure:
    """Paths of networks in the plane of test error and R, from the first epoch (small) to the end (large); dotted:
    B's law.

    Long dashes, halved symbols: with crops and flips.
    """
    fig, ax = style.figure(height=4.2)
    found = [(name, one[one["epoch"] >= 1]) for name, one in tables.networks(rows)]
    if not found:
        nothing(ax)
        return fig
    handles = []
    for _, one in found:
        first = one.iloc[0]
        _, colour, marker = look(first["architecture"])
        looks = style.stroke(STROKE[bool(first["augment"])], colour)
        ax.plot(one["R_median"], one["test_error"], lw=1, alpha=0.8, **looks)
        for point, size in ((one.iloc[0], 3.5), (one.iloc[-1], 8)):
            ax.plot(point["R_median"], point["test_error"], marker=marker, ms=size, **looks)
        label = net(first["architecture"], first["width"])
        if label not in [handle.get_label() for handle in handles]:
            handles.append(Line2D([], [], color=colour, marker=marker, label=label))
    values = np.concatenate([one["R_median"].to_numpy(float) for _, one in found])
    ends = np.array([values.min() / 1.2, values.max() * 1.2])
    ax.plot(ends, 0.2 * np.sqrt(ends), color=style.GREY, ls=style.PAPER, lw=1)
    ax.set(xscale="log", yscale="log", xlabel="$R_f$", ylabel="test error ε")
    legend(fig, handles, 2)
    return fig


@drawn
def by_width(rows: pd.DataFrame) -> Figure:
    """Test error, R, G and D at the end against the width; a symbol a seed, the line their geometric mean."""
    last = tables.last(rows)
    if last.empty:
        fig, ax = style.figure(height=1.5)
        nothing(ax)
        return fig
    fig, axes = style.figure(1, 4, height=2.9)
    _, colour, marker = look(last["architecture"].iloc[0])
    for ax, column in zip(axes, ("test_error", "R_median", "G_median", "D_median"), strict=True):
        ax.plot(last["width"], last[column], marker, color=colour, ms=4, alpha=0.5)
        logs = np.log(last[column].astype(float)).groupby(last["width"])
        ax.plot(np.exp(logs.mean()), color=colour)
        ax.set(xscale="log", yscale="log", title=QUANTITIES[column])
    outer(axes[None], "width", "")
    widths = sorted(last["width"].unique())
    for ax in axes:
        ax.set_xticks(widths, [str(Fraction(width).limit_denominator(100)) for width in widths])
        ax.set_xticks([], minor=True)
    return fig
