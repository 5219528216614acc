"""Figures of the scale-detection tasks: paper A, Figs. 5, 8, 9 and Prop. A.1; slides D, the two pixels.

>>> from relbook.studies.scale_detection import figures, tables
>>> fig = figures.proposition_a1(tables.walk_and_gaussians(40, [3, 5]))
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from relbook.drawing import style
from relbook.drawing.nets import drawn

AREA = "effective receptive field $A_k$ (pixels)"
NAMES = {"D": "diffeomorphisms, $D_k$", "G": "noise, $G_k$", "R": "$R_k = D_k / G_k$"}
POWERS = {1: {"D": -2, "G": 1, "R": -3}, 2: {"D": -1, "G": 1, "R": -2}}


@style.styled
def tasks(size: int = 16, xi: int = 8) -> Figure:
    """A Fig. 5: one input of each class, for task 1 and task 2; size and xi in pixels, as drawn."""
    fig, axes = style.figure(1, 4, height=2.4)
    fig.get_layout_engine().set(rect=(0, 0.1, 1, 0.9))
    start = size // 4
    far, near = ((start - 1, start - 1), (size - 3, size - 2)), ((start, start), (start + 2, start + 4))
    turn = np.linspace(0, 2 * np.pi, 200)
    for axis, (first, second), title in zip(
        axes[:2], (far, near), (r"$d > \xi$: $y = -1$", r"$d < \xi$: $y = +1$"), strict=True
    ):
        _pixels(axis, size, (first, second), title)
        axis.plot(*zip(first[::-1], second[::-1], strict=True), color=style.GREY, lw=1.2, zorder=1)
        axis.plot(first[1] + xi * np.cos(turn), first[0] + xi * np.sin(turn), color=style.RED, lw=1.2)
    apart, together = ((3, 4), (4, size - 4)), ((2, size - 6), (6, size - 3))
    for axis, pair, title in zip(axes[2:], (apart, together), ("apart: $y = -1$", "together: $y = +1$"), strict=True):
        faces = (style.SKY, style.ORANGE, style.YELLOW, style.PURPLE)
        for row in range(0, size, xi):
            for column in range(0, size, xi):
                face = faces[2 * (row // xi % 2) + column // xi % 2]
                corner = (column - 0.5, row - 0.5)
                axis.add_patch(Rectangle(corner, xi, xi, facecolor=face, edgecolor="white", alpha=0.4, zorder=0))
        _pixels(axis, size, pair, title)
    fig.text(0.26, 0.01, r"task 1: distance against $\xi$ (circle)", ha="center", va="bottom")
    fig.text(0.76, 0.01, r"task 2: patches of size $\xi$", ha="center", va="bottom")
    return fig


def _pixels(axis: Axes, size: int, pair: Sequence, title: str) -> None:
    for row, column in pair:
        axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=style.BLACK, zorder=2))
    axis.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), xticks=[], yticks=[], aspect="equal")
    axis.set_title(title, fontsize=10.5)
    axis.grid(False)
    axis.spines[:].set_visible(True)


@style.styled
def profiles(stride_1: list[np.ndarray], stride_f: list[np.ndarray], area: tuple[float, float]) -> Figure:
    """A Fig. 8: f_0, ..., f_K of an image with two active pixels, one panel a stride, deeper layers lower.

    `area` holds A_K of both networks, in input pixels, drawn in red below the last layer. Where every unit counts the
    active pixels of its block (the panel on the right) the counts are written into the blocks.
    """
    fig, axes = style.figure(1, 2, height=4.3)
    for axis, stack, reach in zip(axes, (stride_1, stride_f), area, strict=True):
        length, last = len(stack[0]), len(stack) - 1
        for k, profile in enumerate(stack):
            width = length / len(profile)
            edges = np.repeat(np.arange(len(profile) + 1) * width, 2)[1:-1]
            heights = np.repeat(0.8 * profile / profile.max(), 2) - k
            axis.fill_between(edges, -k, heights, color=style.BLUE, alpha=0.25 + 0.12 * k, lw=0)
            axis.plot(edges, heights, color=style.BLUE, lw=1.0)
            for unit in np.flatnonzero(profile) if stack is stride_f and k else ():
                count = round(profile[unit] / profile.sum() * np.count_nonzero(stack[0]))
                axis.vlines([unit * width, (unit + 1) * width], -k, 0.8 * profile[unit] / profile.max() - k,
                            color=style.BLUE, lw=1.0)  # fmt: skip
                axis.text((unit + 0.5) * width, 0.4 - k, str(count), ha="center", va="center", fontsize=10)
        centre = (np.argmax(stack[-1]) + 0.5) * length / len(stack[-1])
        arrow = {"arrowstyle": "<->", "color": style.RED, "lw": 1.6, "shrinkA": 0, "shrinkB": 0}
        ends = [(centre + side * reach / 2, -last - 0.12) for side in (-1, 1)]
        axis.annotate("", *ends, arrowprops=arrow)
        axis.text(centre, -last - 0.2, f"$A_{last}$", color=style.RED, ha="center", va="top")
        axis.set(xlim=(0, length), ylim=(-last - 0.65, 1), xlabel="position (input pixels)")
        axis.set_yticks([-k for k in range(last + 1)], [f"$f_{k}$" if k else "$x$" for k in range(last + 1)])
        axis.grid(False)
    axes[0].set_title("stride 1: pixels diffuse")
    axes[1].set_title("stride F: pixels are counted")
    return fig


@style.styled
def sensitivities(rows: pd.DataFrame, exact: dict[int, pd.DataFrame]) -> Figure:
    """A Fig. 9: D, G, R against A_k, a row of panels for each task in `rows`.

    `rows` are those of the study, one width and one kind of moves a task; `exact` is the theory by task.
    Thick lines are medians over seeds, faint ones seeds (a collapsed one may leave the panel); power laws
    cross the exact curve at its middle.
    """
    found = sorted(rows.task.unique())
    fig, axes = style.figure(len(found), 3, height=2.7 * len(found) + 0.7, squeeze=False)
    for line, task in zip(axes, found, strict=True):
        part = rows[rows.task == task]
        for axis, quantity in zip(line, NAMES, strict=True):
            _against_area(axis, part, exact[task], quantity, POWERS[task][quantity])
        line[0].set_ylabel(f"task {task}, stride {int(part.stride.iloc[0])}")
        line[1].set_xlabel(AREA)
    for axis, name in zip(axes[0], NAMES.values(), strict=True):
        axis.set_title(name)
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    return fig


def _against_area(axis: Axes, rows: pd.DataFrame, exact: pd.DataFrame, quantity: str, power: int) -> None:
    def positive(stage: str, column: str) -> pd.DataFrame:
        table = rows[rows.stage == stage].pivot(index="A", columns="member", values=column)
        return table.where(table > 0)

    shown = []
    for stage, colour, marker, label in (
        ("init", style.BLACK, "s", "at initialisation"),
        ("trained", style.BLUE, "o", "trained"),
    ):
        table = positive(stage, quantity)
        axis.plot(table, color=colour, alpha=0.25, lw=0.8)
        shown.append(table.median(axis=1))
        axis.plot(shown[-1], marker=marker, markersize=4, label=label, **style.stroke(stage, colour))
    mean = positive("trained", f"{quantity}_mean_channel").median(axis=1)
    axis.plot(mean, color=style.ORANGE, lw=3.2, alpha=0.7, zorder=1, label="trained, mean channel")
    curve = exact[exact[quantity] > 0]
    axis.plot(curve.A, curve[quantity], color=style.BLACK, lw=1.4, label="homogeneous filters, exact")
    anchor = exact[exact.D > 0]
    anchor = anchor.iloc[len(anchor) // 2]
    law = anchor[quantity] * (curve.A / anchor.A) ** power
    axis.plot(curve.A, law, color=style.RED, ls=style.PAPER, lw=1.8, label="asymptotic law (paper)")
    corner = {"ha": "left", "va": "top" if power > 0 else "bottom", "color": style.RED}
    text = rf"$\sim A_k^{{{power}}}$" if power != 1 else r"$\sim A_k$"
    axis.text(0.05, 0.95 if power > 0 else 0.05, text, transform=axis.transAxes, **corner)
    values = np.concatenate([*shown, mean, curve[quantity]])
    axis.set(xscale="log", yscale="log", ylim=(np.nanmin(values) / 2, np.nanmax(values) * 2))
    _plain_ticks(axis, rows.A)


def _plain_ticks(axis: Axes, areas: pd.Series) -> None:
    """Logarithmic axes over little more than a decade are labelled 1, 2, 3 instead of powers of ten."""
    low, high = areas.min(), areas.max()
    ticks = [1, 1.5, 2, 3] if high < 4 else [2 ** int(n) for n in np.arange(1, np.log2(high) + 0.5, 2)]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_xlim(low * 0.9, high * 1.1)
    bottom, top = axis.get_ylim()
    if top / bottom < 30:
        kept = [v for v in (0.2, 0.5, 1, 2, 5, 10, 20) if bottom < v < top]
        axis.set_yticks(kept, [f"{v:g}" for v in kept])
        axis.yaxis.set_minor_formatter(NullFormatter())


@style.styled
def seeds(rows: pd.DataFrame, kinds: pd.DataFrame) -> Figure:
    """Every trained seed against the exact curve, drawn by its kind, and how flat its filters are, by layer.

    `rows` are those of `studies.scale_detection.deviations` for one task and width, `kinds` those of
    `classify` there. The grey line is the flatness of random filters.
    """
    fig, axes = style.figure(1, 3, height=3.4)
    looks = {
        "homogeneous": {"color": style.BLUE, "alpha": 0.35},
        "other": {"color": style.RED, "marker": "o", "markersize": 4},
        "collapsed": {"color": style.BLACK, "lw": 0.8, "marker": "x", "markersize": 4.5},
    }
    titles = {"D_ratio": "$D_k$ / exact", "G_ratio": "$G_k$ / exact", "flatness": "flatness of filters"}
    for axis, (column, title) in zip(axes, titles.items(), strict=True):
        for member, part in rows.groupby("member"):
            kind = kinds[kinds.member == member].kind.iloc[0]
            axis.plot(part.k, part[column].where(part[column] > 0), **looks[kind])
        axis.set(title=title, xlabel="layer $k$", xlim=(0.7, rows.k.max() + 0.3))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if column != "flatness":
            axis.set_yscale("log")
            axis.axhline(1, color=style.BLACK, lw=1.2)
            axis.set_ylim(0.02, 40)
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[2].axhline(1 / rows.filter_size.iloc[0], **style.GUIDE)
    axes[2].set_ylim(0.2, 1.05)
    for kind, look in looks.items():
        count = int((kinds.member.isin(rows.member) & (kinds.kind == kind)).sum())
        if count:
            axes[0].plot([], [], **look, label=f"{kind}: {count} of {rows.member.nunique()}")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    return fig


@style.styled
def proposition_a1(rows: pd.DataFrame) -> Figure:
    """Prop. A.1: the walk and the Gaussian with both constants (above), and what they miss by (below).

    `rows` are those of `tables.walk_and_gaussians`, one column of panels a filter size. The percentages are
    the largest errors.
    """
    sizes = sorted(rows.filter_size.unique())
    fig, axes = style.figure(2, len(sizes), height=4.6, sharex="col", sharey="row", squeeze=False)
    curves = {
        "paper": ("Prop. A.1 as printed", style.RED, style.PAPER, 0.97),
        "exact": (r"variance $k(F^2 - 1)/12$", style.BLUE, "-", 0.83),
    }
    for (above, below), size in zip(axes.T, sizes, strict=True):
        part = rows[rows.filter_size == size].sort_values("site")
        peak = part.walk.max()
        above.plot(part.site, part.walk / peak, "o", color=style.BLACK, markersize=3, label="walk, exact")
        for name, (label, colour, dashes, height) in curves.items():
            above.plot(part.site, part[name] / peak, color=colour, ls=dashes, label=label)
            error = (part[name] - part.walk) / peak
            below.plot(part.site, error, color=colour, ls=dashes)
            place = {"transform": below.transAxes, "ha": "right", "va": "top", "fontsize": 10}
            below.text(0.98, height, f"{100 * error.abs().max():.2g} %", color=colour, **place)
        above.set_title(f"$F = {size}$")
        centre = (part.site * part.walk).sum()
        reach = 4.5 * np.sqrt(((part.site - centre) ** 2 * part.walk).sum())
        above.set_xlim(min(centre, 0) - reach, max(centre, 0) + reach)
        below.set_xlabel("site (pixels)")
    axes[0][0].set_ylabel("probability / peak")
    axes[1][0].set_ylabel("error / peak")
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    return fig


@style.styled
def exponents(rows: pd.DataFrame, task: int = 1) -> Figure:
    """How the local exponents of the exact theory approach their limits, with the length of the ring and k.

    `rows`: columns length, A, D, G, R, the exponents d log X / d log A of `theory.local_exponents`.
    """
    fig, axes = style.figure(1, 3, height=3.2)
    lengths = sorted(rows.length.unique())
    for axis, quantity in zip(axes, NAMES, strict=True):
        limit = POWERS[task][quantity]
        axis.axhline(limit, color=style.RED, ls=style.PAPER, label="limit (paper)")
        for shade, length in zip(style.graded(style.NAVY, len(lengths))[::-1], lengths, strict=True):
            part = rows[rows.length == length]
            axis.plot(part.A, part[quantity], color=shade, label=f"$L = {length}$")
        axis.set(xscale="log", title=NAMES[quantity], ylim=(limit - 0.75, limit + 1.15))
    axes[0].set_ylabel(r"$d \log X_k / d \log A_k$")
    axes[1].set_xlabel(AREA)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=5)
    return fig


@style.styled
def two_pixels(table: pd.DataFrame, xi: int = 7, length: int = 32) -> Figure:
    """D, the constructed solutions: their first layers, the output both share, and the sensitivities of each.

    `table` is that of `relbook.studies.two_pixels.solutions.two_pixel_sensitivities`.
    """
    fig, (filters, ramp, values) = style.figure(1, 3, height=3.3, gridspec_kw={"width_ratios": [1, 0.9, 1.5]})
    _first_layers(filters)
    distance = np.arange(1, length // 2 + 1)
    ramp.plot(distance, np.maximum(0, xi - distance), color=style.BLACK, marker="o", markersize=4)
    ramp.axvline(xi, color=style.RED, lw=1.2)
    ramp.text(xi + 0.5, xi - 1.4, rf"$\xi = {xi}$", color=style.RED)
    ramp.set(xlabel="distance $d$ (pixels)", title=r"output $f(x)$", ylim=(-0.3, xi))
    for side, solution in enumerate(("low", "high")):
        row = table[table.solution == solution].iloc[0]
        for place, quantity in enumerate("DGR"):
            colour, marker, _ = style.QUANTITIES[quantity]
            x = place + 0.4 * side - 0.3
            values.plot(x, row[quantity], marker, color=colour, ms=8)
            pair = table[quantity]
            above = row[quantity] > pair.mean() or (side == 1 and pair.nunique() == 1)
            place = {"xytext": (0, 7 if above else -7), "va": "bottom" if above else "top", "ha": "center"}
            text = f"{row[quantity]:.2g}\n{solution}" if above else f"{solution}\n{row[quantity]:.2g}"
            values.annotate(text, (x, row[quantity]), textcoords="offset points", fontsize=9.5, **place)
    values.set(yscale="log", ylim=(3e-4, 300), xlim=(-0.7, 2.8), title="sensitivities of the output")
    values.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    values.set_xticks(range(3), ["$D_f$", "$G_f$", "$R_f$"])
    values.grid(False, axis="x")
    return fig


@drawn
def two_pixel_layers(output: pd.DataFrame, layers: pd.DataFrame, xi: int = 7, channels: int = 3) -> Figure:
    """D, the layers inside of the constructed solutions: by layer, by the window ξ, by the number of channels.

    Args:
        output: Of `relbook.studies.two_pixels.solutions.two_pixel_sensitivities`.
        layers: Of `layer_sensitivities` there, with columns xi and channels, all of them below each other.
        xi: Of the first row of panels.
        channels: Of the first row of panels.
    """
    fig, axes = style.figure(3, 3, height=6.6, sharex="row", sharey="col")
    inside = layers[(layers.xi == xi) & (layers.channels == channels)]
    by_layer = pd.concat([inside, output.assign(layer="output")])
    places = {"first": 1, "windows": 2, "output": 3}
    rows = (
        (by_layer.assign(at=by_layer.layer.map(places)), "layer"),
        (
            layers[(layers.layer == "windows") & (layers.channels == channels)].assign(at=lambda t: t.xi),
            r"window $\xi$",
        ),
        (layers[(layers.layer == "first") & (layers.xi == xi)].assign(at=lambda t: t.channels), "channels"),
    )
    looks = {"low": (style.BLUE, "o", 8), "high": (style.RED, "s", 4.5)}
    for line, (part, name) in zip(axes, rows, strict=True):
        for ax, quantity in zip(line, "DGR", strict=True):
            for solution, (colour, marker, size) in looks.items():
                one = part[part.solution == solution].sort_values("at")
                ax.plot(
                    one["at"],
                    one[quantity],
                    color=colour,
                    marker=marker,
                    ms=size,
                    label=f"{solution}-frequency filters",
                )
            ax.set(yscale="log", xlabel=name)
            ax.set_xticks(list(places.values()) if name == "layer" else sorted(part["at"].unique()))
            if name == "layer":
                ax.set_xticklabels(list(places), fontsize=9.5)
    for ax, quantity in zip(axes[0], NAMES.values(), strict=True):
        ax.set_title(quantity)
    for ax, text in zip(axes[:, 0], ("by layer", "windows", "first layer"), strict=True):
        ax.set_ylabel(text)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return fig


@style.styled
def learned_filters(before: list[np.ndarray], after: list[np.ndarray]) -> Figure:
    """D, "filters actually learn to pool": those of the first layer, and the share of the constant filter by layer.

    Args:
        before: The filters of each layer at initialisation, [channel, tap, channel below].
        after: The same after training.
    """
    size = before[0].shape[1]
    fig, (left, right, share) = style.figure(1, 3, height=3.4, gridspec_kw={"width_ratios": [1, 1, 1.6]})
    for ax, filters, title in ((left, before, "before"), (right, after, "after training")):
        taps = filters[0][:, :, 0]
        taps = taps[np.argsort(taps.sum(1))]
        ax.imshow(taps, cmap="PuOr", aspect="auto", vmin=-abs(taps).max(), vmax=abs(taps).max())
        ax.set(title=title, xlabel="tap", xticks=range(size), xticklabels=range(1, size + 1), yticks=[])
        ax.grid(False)
    left.set_ylabel("channels of the first layer")
    layers = range(1, len(before) + 1)
    for stage, filters in (("init", before), ("trained", after)):
        shares = [(w.sum(1) ** 2).sum() / size / (w**2).sum() for w in filters]
        share.plot(layers, shares, marker="o", label=style.STROKES[stage].words, **style.stroke(stage, style.BLUE))
    share.axhline(1 / size, **style.GUIDE)
    share.set(
        title="in the constant filter", xlabel="layer", ylabel="share of squared weights", ylim=(0, 1), xticks=layers
    )
    fig.legend(*share.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return fig


def _first_layers(axis: Axes) -> None:
    """Filters of the first layer of both solutions, a row of three taps for each channel."""
    taps = {"low": [(1, 1, 1)], "high": [(1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    top = 0.0
    for solution, rows in taps.items():
        axis.text(0.4, top + 0.6, f"{solution}-frequency", fontsize=10.5)
        for row in rows:
            for column, tap in enumerate(row):
                face, ink = (style.BLUE, "white") if tap else ("white", style.BLACK)
                axis.add_patch(Rectangle((column + 0.4, top - 0.35), 1, 0.75, facecolor=face, edgecolor=style.BLACK))
                axis.text(column + 0.9, top, str(tap), ha="center", va="center", color=ink)
            top -= 1.0
        top -= 0.8
    axis.set(xlim=(0.2, 3.6), ylim=(top + 1.2, 1.2), xticks=[], yticks=[], title="first-layer filters")
    axis.grid(False)
    axis.spines[:].set_visible(False)
