"""The zoo inside its networks and under noise: A Figs. 1 right, 2, 3, 4 (first row), 10, 11 and B Fig. 14.

Functions take the rows of the study `zoo` at one scale, but `pooling`, which is exact and takes none.
"""

from collections.abc import Sequence
from typing import SupportsFloat

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch, Rectangle
from torch import Tensor

from relbook.drawing import style
from relbook.drawing.nets import drawn, legend, look, net, nothing
from relbook.studies.zoo import tables
from relbook.studies.zoo.figures import FEWEST

COLUMNS = 4  # small panels side by side
PROBE_NOISE = 20.0  # norm of the noise that measures G on CIFAR-10
EIGENVALUES = (0, 1, 2, 3, 4, 6)  # of the grid Laplacian on 3 x 3 sites


@drawn
def depth_profiles(rows: pd.DataFrame, *, datasets: Sequence[str] | None = None, quantity: str = "R") -> Figure:
    """B Fig. 14: R (or D, G) against relative depth, at initialisation (dashed) and after training, a panel a network.

    Args:
        datasets: default CIFAR-10's variants, or what there is.
    """
    chosen = rows[rows["dataset"].isin(datasets or tables.main_datasets(rows))]
    return _multiples(chosen, ("trained", "init"), quantity)


@drawn
def shuffled_profiles(rows: pd.DataFrame, quantities: str = "R", *, datasets: Sequence[str] | None = None) -> Figure:
    """A Fig. 3 ("R", or "DG" for its parts): trained (full) and with shuffled channels (mean), a panel a network.

    Args:
        datasets: default CIFAR-10's variants, or what there is. Only networks whose shuffles were probed.
    """
    return _multiples(tables.shuffled(rows, datasets), ("trained", "shuffled"), quantities)


def _multiples(rows: pd.DataFrame, kinds: Sequence, quantities: str) -> Figure:
    """One small panel a network, the same axes in all: `quantities` in their colours, the two `kinds` as strokes.

    Of an architecture the widest network that was trained longest.
    """
    table = tables.largest(tables.on_full_set(tables.profiles(rows)))
    table = table[table["stage"].isin(kinds)]
    found = list(table.groupby(["dataset", "architecture", "width"], sort=False))
    families = list(style.FAMILIES)
    found.sort(key=lambda panel: (panel[0][1].startswith("cifar_"), families.index(style.family(panel[0][1]))))
    columns = min(max(len(found), 1), COLUMNS)
    lines = max(-(-len(found) // columns), 1)
    fig, axes = style.figure(lines, columns, height=1.9 * lines + 0.5, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[max(len(found), 1) :]:
        ax.set_visible(False)
    if not found:
        nothing(axes[0, 0])
    for ax, ((_, architecture, width), network) in zip(axes.flat, found, strict=False):
        for stage in kinds:
            curve = network[network["stage"] == stage].sort_values("relative_depth")
            for quantity in quantities:
                colour, marker, _ = style.QUANTITIES[quantity]
                ax.plot(curve["relative_depth"], curve[quantity], marker=marker, ms=3, label=f"{quantity}, {stage}",
                        **style.stroke(stage, colour))  # fmt: skip
        if "R" in quantities:
            ax.axhline(1, **style.GUIDE)
        ax.set(yscale="log")
        ax.set_title(net(architecture, width), fontsize=9.5)
    for ax in axes[:, 0]:
        ax.set_ylabel(", ".join(f"${quantity}_k$" for quantity in quantities))
    for ax in axes[-1]:
        ax.set_xlabel("relative depth")
    for ax in [ax for ax in axes.flat if ax.get_visible()][-columns:]:
        ax.xaxis.set_tick_params(labelbottom=True)
    handles = [Line2D([], [], color=style.QUANTITIES[q][0], marker=style.QUANTITIES[q][1], ls="", label=f"${q}_k$")
               for q in quantities if len(quantities) > 1]  # fmt: skip
    legend(fig, [*handles, *style.key(*kinds)], 4)
    return fig


@drawn
def noise_correlations(rows: pd.DataFrame, pictures: Sequence = ()) -> Figure:
    """A Fig. 1, right: correlation of log error with log D, log G, log R, against the images' noise.

    Bars span 95 % of the bootstrap over networks; the axis is logarithmic right of zero. The vertical line is the norm
    of the noise that measures G on CIFAR-10, √400 = 20 (η* in A's figure is its square).

    pictures: one a level, arrays [n, n(, 3)] in [0, 1], drawn above the levels (`noisy_pictures`).
    """
    table = tables.noise_networks(rows)
    levels = sorted(table["noise"].unique())
    if not any(levels):
        fig, ax = style.figure(height=3.4)
        nothing(ax)
        return fig
    fig, ax = style.figure(height=4.3 if len(pictures) else 3.4)
    smallest = min(level for level in levels if level > 0)
    place = {level: np.log10(level or smallest / 6) for level in levels}
    for offset, (quantity, (colour, marker, text)) in zip((-0.02, 0, 0.02), style.QUANTITIES.items(), strict=True):
        points = []
        for level, nets in table.groupby("noise"):
            value = tables.correlation(nets[quantity], nets["error"])
            points.append((place[level] + offset, value))
            if len(nets) >= FEWEST:
                ends = tables.interval(nets[quantity], nets["error"])
                ax.plot([place[level] + offset] * 2, ends, color=colour, lw=1)
        ax.plot(*zip(*points, strict=True), color=colour, marker=marker, label=text)
    ax.axhline(0, **style.GUIDE)
    if smallest <= PROBE_NOISE <= levels[-1]:
        ax.axvline(np.log10(PROBE_NOISE), color=style.BLACK, lw=1, zorder=0)
        ax.annotate(rf"$\|\eta^*\|$ = {PROBE_NOISE:g}", (np.log10(PROBE_NOISE), -0.12), xytext=(5, 0),
                    textcoords="offset points", va="center", fontsize=10)  # fmt: skip
    counts = table.groupby("noise").size()
    ax.set_xticks(list(place.values()), [f"{level:g}\n({counts[level]} nets)" for level in levels])
    ax.set(
        xlabel="total norm of the noise added to training and test images",
        ylabel="correlation with test error",
        ylim=(-1.08, 1.08),
    )
    if 0 in place:
        middle = (place[0] + np.log10(smallest)) / 2
        ax.text(middle, -1.08, "//", ha="center", va="center", clip_on=False, fontsize=12,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip
    for level, picture in zip(levels, pictures, strict=False):
        small = ax.inset_axes((place[level] - 0.11, 1.14, 0.22, 0.62), transform=ax.transData)
        small.imshow(picture, cmap="gray", vmin=0, vmax=1)
        small.axis("off")
    legend(fig, ax.get_legend_handles_labels()[0], 3)
    return fig


def noisy_pictures(
    rows: pd.DataFrame,
    image: Float[Tensor, "channel height width"],
    std: Float[Tensor, " channel"],
    *,
    generator: torch.Generator | None,
) -> list[np.ndarray]:
    """The image [channel, n, n] in [0, 1] with noise of each level of the networks' sweep, as arrays for `imshow`.

    std: of the channels, in whose units the noise is; clipped to what a screen shows.
    """
    noise = torch.randn(image.shape, generator=generator)
    noise = noise / noise.norm()
    return [
        (image + level * noise * std[:, None, None]).clamp(0, 1).permute(1, 2, 0).squeeze(-1).numpy()
        for level in sorted(tables.noise_networks(rows)["noise"].unique())
    ]


@drawn
def noise_scatter(rows: pd.DataFrame) -> Figure:
    """A Fig. 10: test error against D, G and R (columns), a row per norm of the noise; titles end with correlations."""
    table = tables.noise_networks(rows)
    levels = sorted(table["noise"].unique())
    if not any(levels):
        fig, ax = style.figure()
        nothing(ax)
        return fig
    fig, axes = style.figure(len(levels), 3, height=2.2 * len(levels) + 0.5, squeeze=False, sharey=True, sharex="col")
    for row, level in zip(axes, levels, strict=True):
        chosen = table[table["noise"] == level]
        for ax, quantity in zip(row, tables.QUANTITIES, strict=True):
            for line in chosen.to_dict("records"):
                text, colour, marker = look(line["architecture"])
                ax.plot(line[quantity], line["error"], marker, color=colour, label=text)
            value = tables.correlation(chosen[quantity], chosen["error"])
            written = f"{value:.2f}".replace("-", "−")
            ax.set(xscale="log", yscale="log", title=f"noise {level:g}, ${quantity}_f$: {written}")
            ax.title.set_fontsize(9.5)
            ax.margins(y=0.12)
        row[0].set_ylabel("test error ε")
    for ax, quantity in zip(axes[-1], tables.QUANTITIES, strict=True):
        ax.set_xlabel(f"${quantity}_f$")
    legend(fig, [handle for ax in axes.flat for handle in ax.get_legend_handles_labels()[0]], 3)
    return fig


@drawn
def mode_growth(rows: pd.DataFrame, *, datasets: Sequence[str] | None = None, architecture: str = "vgg11_bn") -> Figure:
    """A Fig. 4, first row: growth γ(t)/γ(0) of the filters' Laplacian modes, a panel a layer, low modes dark.

    Modes of equal eigenvalue are averaged: single ones depend on the eigensolver. The largest width is shown.
    """
    table = tables.filters(rows, architecture, datasets)
    width = table.attrs.get("width", 1)
    return growth_panels(table, net(architecture, width))


def growth_panels(table: pd.DataFrame, name: str) -> Figure:
    """A panel a layer of growth against epochs, from columns depth, epoch, eigenvalue, growth of the network `name`."""
    if table.empty:
        fig, ax = style.figure()
        nothing(ax)
        return fig
    layers = sorted(table["depth"].unique())
    lines = -(-len(layers) // 4)
    fig, axes = style.figure(lines, 4, height=2.1 * lines + 0.6, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(layers) :]:
        ax.set_visible(False)
    for ax, layer in zip(axes.flat, layers, strict=False):
        chosen = table[table["depth"] == layer]
        for eigenvalue, line in chosen.groupby("eigenvalue"):
            order = EIGENVALUES.index(eigenvalue)
            ax.plot(line["epoch"], line["growth"], color=style.graded(style.NAVY, len(EIGENVALUES))[order],
                    lw=2.4 - 0.25 * order, label=f"λ = {eigenvalue}")  # fmt: skip
        ax.axhline(1, **style.GUIDE)
        ax.set(xscale="log", yscale="log", title=f"layer {int(layer)}")
    for ax in axes[-1]:
        ax.set_xlabel("epoch $t$")
    for ax in axes[:, 0]:
        ax.set_ylabel(r"$\gamma(t)/\gamma(0)$")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6,
               title=f"{name}; λ: eigenvalue of the mode")  # fmt: skip
    return fig


ON_CELLS = "#101010"  # dark in every theme, as a cell is light in every theme
SPATIAL = np.array([[1.0, 3.0, 2.0], [5.0, 1.0, 4.0], [2.0, 6.0, 1.0]])  # any 3 x 3 representation
CORNER = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])  # an L, and its turn by 90 degrees


@drawn
def pooling() -> Figure:
    """A Fig. 2, computed: spatial and channel pooling, how each number arises.

    (a) Average pooling, 2 x 2 with stride 1, of a 3 x 3 map: the frame leads to its mean. (b) Two filters that are
    turns of each other look at a picture and at the turned picture; the mean of their responses is the same number.
    """
    pooled = sum(SPATIAL[i : i + 2, j : j + 2] for i in (0, 1) for j in (0, 1)) / 4
    turned = np.rot90(CORNER)
    fig, axes = style.figure(3, 4, height=6.0, gridspec_kw={"width_ratios": [1, 1, 1, 1.15], "wspace": 0.12})
    for ax in axes.flat:
        ax.axis("off")
    _grid(axes[0, 0], SPATIAL, "(a) 3 × 3 map", marks=[(0, 0, 2, style.RED), (1, 1, 2, style.GREEN)])
    _grid(axes[0, 2], pooled, "its 2 × 2 means", marks=[(0, 0, 1, style.RED), (1, 1, 1, style.GREEN)])
    _arrow(fig, axes[0, 0], (1.55, 0.5), axes[0, 2], (-0.6, 0.0), style.RED)
    _arrow(fig, axes[0, 0], (2.6, 1.5), axes[0, 2], (-0.6, 1.0), style.GREEN)
    axes[0, 1].text(0.5, 0.95, "mean of\nfour", ha="center", va="center", transform=axes[0, 1].transAxes,
                    bbox={"facecolor": "white", "edgecolor": "none"}, zorder=20)  # fmt: skip
    axes[0, 3].text(0, 0.5, f"neighbours differ by\nat most {_step(SPATIAL):g} before,\n{_step(pooled):g} after",
                    va="center", transform=axes[0, 3].transAxes)  # fmt: skip
    pictures = {"(b) picture": CORNER, "picture, turned": turned}
    for row, (name, picture) in zip(axes[1:], pictures.items(), strict=True):
        _grid(row[0], picture, name, numbers=False)
        found = []
        for ax, filter_, number in zip(row[1:3], (CORNER, turned), (1, 2), strict=True):
            found.append((filter_ * picture).sum())
            _grid(
                ax,
                picture,
                f"filter {number}: {found[-1]:g} hits",
                numbers=False,
                hits=filter_ * picture,
                frame=filter_,
            )
        row[3].text(0.04, 0.5, f"responses {found[0]:g} and {found[1]:g},\nmean {np.mean(found):g}", va="center",
                    transform=row[3].transAxes)  # fmt: skip
        _arrow(fig, row[0], (2.25, 0.6), row[1], (-0.6, 0.6), style.GREY)
        _arrow(fig, row[2], (2.55, 1), row[3], (0.0, 0.5), style.GREY, "axes fraction")
    return fig


def _step(grid: np.ndarray) -> SupportsFloat:
    return max(np.abs(np.diff(grid, axis=axis)).max() for axis in (0, 1))


def _grid(
    ax: Axes,
    values: np.ndarray,
    title: str,
    *,
    numbers: bool = True,
    marks: Sequence = (),
    hits: np.ndarray | None = None,
    frame: np.ndarray | None = None,
) -> None:
    """Cells with their numbers. marks: (row, column, side, colour) of frames; hits, frame: cells of a filter."""
    ax.axis("on")
    ax.imshow(values, cmap="Greys", vmin=0, vmax=9 if numbers else 3)
    for (y, x), value in np.ndenumerate(values):
        if numbers:
            ax.text(x, y, f"{value:g}", ha="center", va="center", color=ON_CELLS)
        if hits is not None and frame[y, x]:
            ax.add_patch(Rectangle((x - 0.42, y - 0.42), 0.84, 0.84, fill=False, color=style.BLUE, lw=1.8))
            if hits[y, x]:
                ax.text(x, y, "✓", ha="center", va="center", color=style.BLUE, fontsize=13)
    for row, column, side, colour in marks:
        inset = 0.06 if side > 1 else 0.1
        corner = (column - 0.5 + inset, row - 0.5 + inset)
        ax.add_patch(Rectangle(corner, side - 2 * inset, side - 2 * inset, fill=False, color=colour, lw=2))
    ax.set(xticks=[], yticks=[], xlim=(-0.5, 2.5), ylim=(2.5, -0.5))  # cells of one size
    ax.set_title(title, fontsize=10.5)
    for edge in ax.spines.values():
        edge.set_visible(False)
    ax.grid(False)


def _arrow(fig: Figure, start: Axes, a: tuple, end: Axes, b: tuple, colour: str, coordinates: str = "data") -> None:
    """An arrow from a point of one panel to a point of another."""
    arrow = ConnectionPatch(
        a, b, "data", coordinates, axesA=start, axesB=end, arrowstyle="->", color=colour, lw=1.4, mutation_scale=12
    )
    arrow.set_annotation_clip(False)  # it runs outside of both
    fig.add_artist(arrow)
