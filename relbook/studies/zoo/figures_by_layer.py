"""The zoo inside its networks and under noise: A Figs. 1 right, 2, 3, 4 (first row), 10, 11 and B Fig. 14.

Functions take the rows of the study `zoo` at one scale, but `pooling`, which is exact and takes none.
"""

import numpy as np
from matplotlib.lines import Line2D

from relbook.drawing import style
from relbook.drawing.nets import drawn, label, legend, look, net, nothing
from relbook.studies.zoo import tables

COLUMNS = 4  # small panels side by side
PROBE_NOISE = 20.0  # norm of the noise that measures G on CIFAR-10
MODE_SHADES = {0: "#08306b", 1: "#08519c", 2: "#2171b5", 3: "#4292c6", 4: "#6baed6", 6: "#9ecae1"}
MODE_DASHES = {0: "-", 1: "--", 2: "-.", 3: ":", 4: (0, (5, 1, 1, 1, 1, 1)), 6: (0, (1, 1))}


@drawn
def depth_profiles(rows, *, datasets=None, quantity="R"):
    """B Fig. 14: R (or D, G) against relative depth, at initialisation (dashed) and after training, a panel a network.

    Args:
        datasets: default CIFAR-10's variants, or what there is.
    """
    chosen = rows[rows["dataset"].isin(datasets or tables.main_datasets(rows))]
    return _multiples(
        chosen, {"trained": style.TRAINED, "init": style.INITIAL}, quantity, "at initialisation"
    )


@drawn
def shuffled_profiles(rows, quantities="R", *, datasets=None):
    """A Fig. 3 ("R", or "DG" for its parts): trained (full) and with shuffled channels (mean), a panel a network.

    Args:
        datasets: default CIFAR-10's variants, or what there is. Only networks whose shuffles were probed.
    """
    kinds = {"trained": style.TRAINED, "shuffled": style.SHUFFLED}
    return _multiples(tables.shuffled(rows, datasets), kinds, quantities, "channels shuffled")


def _multiples(rows, kinds, quantities, other):
    """One small panel a network, the same axes in all: `quantities` in their colours, the two `kinds` in line styles.

    Of an architecture the widest network that was trained longest.
    """
    table = tables.largest(tables.on_full_set(tables.profiles(rows)))
    table = table[table["stage"].isin(kinds)]
    found = list(table.groupby(["dataset", "architecture", "width"], sort=False))
    columns = min(max(len(found), 1), COLUMNS)
    lines = max(-(-len(found) // columns), 1)
    fig, axes = style.figure(
        lines, columns, height=1.9 * lines + 0.5, squeeze=False, sharex=True, sharey=True
    )
    for ax in axes.flat[max(len(found), 1) :]:
        ax.set_visible(False)
    if not found:
        nothing(axes[0, 0])
    for ax, ((_, architecture, width), network) in zip(axes.flat, found, strict=False):
        for stage, dashes in kinds.items():
            curve = network[network["stage"] == stage].sort_values("relative_depth")
            for quantity in quantities:
                colour, marker, _ = style.QUANTITIES[quantity]
                ax.plot(curve["relative_depth"], curve[quantity], color=colour, ls=dashes, marker=marker, ms=3,
                        mfc=colour if stage == "trained" else "white", label=f"{quantity}, {stage}")  # fmt: skip
        if "R" in quantities:
            ax.axhline(1, color=style.GREY, lw=0.8, zorder=0)
        ax.set(yscale="log")
        ax.set_title(net(architecture, width), fontsize=9.5)
    for ax in axes[:, 0]:
        ax.set_ylabel(", ".join(f"${quantity}_k$" for quantity in quantities))
    for ax in [ax for ax in axes.flat if ax.get_visible()][-columns:]:
        ax.set_xlabel("relative depth")
        ax.xaxis.set_tick_params(labelbottom=True)
    handles = [Line2D([], [], color=style.QUANTITIES[q][0], marker=style.QUANTITIES[q][1], ls="", label=f"${q}_k$")
               for q in quantities]  # fmt: skip
    handles += [Line2D([], [], color=style.GREY, ls=ls, label=text)
                for ls, text in zip(kinds.values(), ("trained", other), strict=True)]  # fmt: skip
    legend(fig, handles, 4)
    return fig


@drawn
def noise_correlations(rows):
    """A Fig. 1, right: correlation of log error with log D, log G, log R, against the images' noise.

    Bars span 95 % of the bootstrap over networks. Dotted: the norm of the noise that measures G on CIFAR-10, √400 = 20
    (η* in A's figure is its square).
    """
    table = tables.noise_networks(rows)
    fig, ax = style.figure(height=3.4)
    levels = sorted(table["noise"].unique())
    if not any(levels):
        nothing(ax)
        return fig
    place = {level: index for index, level in enumerate(levels)}
    for offset, (quantity, (colour, marker, text)) in zip(
        (-0.08, 0, 0.08), style.QUANTITIES.items(), strict=True
    ):
        points = []
        for level, nets in table.groupby("noise"):
            low, high = tables.interval(nets[quantity], nets["error"])
            value = tables.correlation(nets[quantity], nets["error"])
            points.append((place[level] + offset, value))
            ax.plot([place[level] + offset] * 2, [low, high], color=colour, lw=1)
        ax.plot(*zip(*points, strict=True), color=colour, marker=marker, label=text)
    ax.axhline(0, color=style.GREY, lw=0.8)
    if levels[0] <= PROBE_NOISE <= levels[-1]:
        at = np.interp(PROBE_NOISE, levels, range(len(levels)))
        ax.axvline(at, color=style.GREY, lw=0.8, ls=":")
        ax.text(at, -1.05, r" $\|\eta^*\|$", color=style.GREY)
    counts = table.groupby("noise").size()
    ax.set_xticks(range(len(levels)), [f"{level:g}\n({counts[level]} nets)" for level in levels])
    ax.set(xlabel="total norm of the noise added to training and test images",
           ylabel="correlation with test error", ylim=(-1.08, 1.08))  # fmt: skip
    legend(fig, ax.get_legend_handles_labels()[0], 3)
    return fig


@drawn
def noise_scatter(rows):
    """A Fig. 10: test error against D, G and R (columns), a row per norm of the noise."""
    table = tables.noise_networks(rows)
    levels = sorted(table["noise"].unique())
    if not any(levels):
        fig, ax = style.figure()
        nothing(ax)
        return fig
    fig, axes = style.figure(
        len(levels), 3, height=2.2 * len(levels) + 0.5, squeeze=False, sharey="row", sharex="col"
    )
    for row, level in zip(axes, levels, strict=True):
        chosen = table[table["noise"] == level]
        for ax, quantity in zip(row, tables.QUANTITIES, strict=True):
            for line in chosen.to_dict("records"):
                text, colour, marker = look(line["architecture"])
                ax.plot(line[quantity], line["error"], marker, color=colour, label=text)
            value = tables.correlation(chosen[quantity], chosen["error"])
            ax.set(xscale="log", yscale="log", title=f"noise {level:g}: correlation {value:.2f}")
            ax.title.set_fontsize(9.5)
        row[0].set_ylabel("test error ε")
    for ax, quantity in zip(axes[-1], tables.QUANTITIES, strict=True):
        ax.set_xlabel(f"${quantity}_f$")
    legend(fig, [handle for ax in axes.flat for handle in ax.get_legend_handles_labels()[0]], 3)
    return fig


@drawn
def mode_growth(rows, *, datasets=None, architecture="vgg11_bn"):
    """A Fig. 4, first row: growth γ(t)/γ(0) of the filters' Laplacian modes, a panel a layer, low modes dark.

    Modes of equal eigenvalue are averaged: single ones depend on the eigensolver. The largest width is shown.
    """
    return growth_panels(tables.filters(rows, architecture, datasets), architecture)


def growth_panels(table, architecture):
    """A panel a layer of growth against epochs, from columns depth, epoch, eigenvalue, growth."""
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
            ax.plot(line["epoch"], line["growth"], color=MODE_SHADES[eigenvalue], ls=MODE_DASHES[eigenvalue],
                    label=f"λ = {eigenvalue}")  # fmt: skip
        ax.axhline(1, color=style.GREY, lw=0.8)
        ax.set(xscale="log", yscale="log", title=f"layer {int(layer)}")
    for ax in axes[-1]:
        ax.set_xlabel("epoch $t$")
    for ax in axes[:, 0]:
        ax.set_ylabel(r"$\gamma(t)/\gamma(0)$")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6,
               title=f"{label(architecture)}: eigenvalue of the grid Laplacian")  # fmt: skip
    return fig


SPATIAL = np.array([[1.0, 3.0, 2.0], [5.0, 1.0, 4.0], [2.0, 6.0, 1.0]])  # any 3 x 3 representation
CORNER = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])  # an L, and its turn by 90 degrees


@drawn
def pooling():
    """A Fig. 2, computed: spatial and channel pooling.

    (a) Average pooling, 2 x 2 with stride 1, of a 3 x 3 map. (b) Two filters that are turns of each
    other, and the mean of their responses to a picture and to the turned picture: the same number.
    """
    pooled = sum(SPATIAL[i : i + 2, j : j + 2] for i in (0, 1) for j in (0, 1)) / 4
    turned = np.rot90(CORNER)
    pictures = {"picture": CORNER, "turned picture": turned}
    fig, axes = style.figure(2, 4, height=4.4, gridspec_kw={"width_ratios": [1, 1, 1, 1.35]})
    _grid(axes[0, 0], SPATIAL, "(a) 3 × 3 map")
    _grid(axes[0, 1], pooled, "2 × 2 means")
    _message(axes[0, 2], f"largest step between\nneighbours\n{_step(SPATIAL):g} → {_step(pooled):g}")
    axes[0, 3].set_visible(False)
    _grid(axes[1, 0], CORNER, "(b) filter 1,\nand picture")
    _grid(axes[1, 1], turned, "filter 2:\nfilter 1 turned")
    responses = {name: [(filter_ * x).sum() for filter_ in (CORNER, turned)] for name, x in pictures.items()}
    _grid(axes[1, 2], turned, "turned\npicture")
    lines = [f"to the {name}:\n{a:g} and {b:g}, mean {(a + b) / 2:g}" for name, (a, b) in responses.items()]
    _message(axes[1, 3], "responses of\nfilters 1 and 2\n" + "\n".join(lines))
    return fig


def _step(grid):
    return max(np.abs(np.diff(grid, axis=axis)).max() for axis in (0, 1))


def _grid(ax, values, title):
    ax.imshow(values, cmap="Blues", vmin=0, vmax=8)
    for (y, x), value in np.ndenumerate(values):
        ax.text(x, y, f"{value:g}", ha="center", va="center")
    ax.set(title=title, xticks=[], yticks=[], xlim=(-0.5, 2.5), ylim=(2.5, -0.5))  # cells of one size
    ax.spines[:].set_visible(False)
    ax.grid(False)


def _message(ax, text):
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
    ax.axis("off")
