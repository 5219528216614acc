"""Deep networks on scale detection in two dimensions: A Figs. 4 (second row), 6, 7, and shuffling by width.

Functions take the rows of the study `scale_detection_2d` at one scale (`relbook.registry.rows`).
"""

from collections import Counter

from matplotlib.lines import Line2D

from relbook.drawing import style
from relbook.drawing.nets import drawn, legend, look, net, nothing, shade
from relbook.studies.scale_detection_2d import tables
from relbook.studies.zoo import figures_by_layer as zoo_layers
from relbook.studies.zoo.tables import QUANTITIES, correlation

STAGES = {"trained": style.TRAINED, "shuffled": style.SHUFFLED, "init": style.INITIAL}
NAMES = {"trained": "trained", "shuffled": "channels shuffled", "init": "initialisation"}
DASHES = {0.125: "--", 0.25: "-.", 0.5: "-", 1.0: ":"}  # of the widths


@drawn
def error_scatter(rows):
    """A Fig. 6: test error against D, G and R of the output, a point per architecture, seeds averaged.

    Below each axis stands the correlation of the logarithms.
    """
    table = tables.compared(rows)
    fig, axes = style.figure(1, 3, height=3.9, sharey=True)
    members, handles = Counter(), []
    families = list(style.FAMILIES.values())
    for line in sorted(table.to_dict("records"), key=lambda line: families.index(look(line["architecture"]))):
        family, colour, marker = look(line["architecture"])
        colour = shade(colour, members[family])
        size = 7 if members[family] else 10  # the first of a family shows behind one at the same place
        members[family] += 1
        for ax, quantity in zip(axes, QUANTITIES, strict=True):
            handles += ax.plot(line[quantity], line["error"], marker, color=colour, ms=size, mec="black", mew=0.5,
                               label=net(line["architecture"], line["width"]))  # fmt: skip
    for ax, quantity in zip(axes, QUANTITIES, strict=True):
        if table.empty:
            nothing(ax)
            continue
        value = correlation(table[quantity], table["error"])
        ax.set(xscale="log", yscale="log", xlabel=f"${quantity}_f$\ncorrelation {value:.2f}")
        ax.margins(0.12)
    axes[0].set_ylabel("test error ε")
    legend(fig, handles, 3)
    return fig


@drawn
def depth_profiles(rows):
    """A Fig. 7: D, G and R by relative depth in VGG nets: trained, with channels shuffled, at initialisation."""
    fig, axes = style.figure(1, 3, height=4.3)
    members, handles = Counter(), {}
    for architecture in tables.PROFILED:
        family, colour, marker = look(architecture)
        colour = shade(colour, members[family])
        members[family] += 1
        for stage, dashes in STAGES.items():
            profile = tables.main_profile(rows, architecture, stage)
            profile = profile[profile["depth"] > 0]
            if profile.empty:
                continue
            name = net(architecture, profile["width"].iloc[0])
            handles[name] = Line2D([], [], color=colour, marker=marker, label=name)
            for ax, quantity in zip(axes, QUANTITIES, strict=True):
                ax.plot(profile["relative_depth"], profile[quantity], color=colour, ls=dashes, marker=marker, ms=4,
                        mfc=colour if stage == "trained" else "white", lw=1.0 if stage == "init" else 1.6)  # fmt: skip
    for ax, quantity in zip(axes, QUANTITIES, strict=True):
        if not handles:
            nothing(ax)
            continue
        ax.set(yscale="log", xlabel="relative depth $k/K$", title=f"${quantity}_k$")
    styles = [
        Line2D([], [], color=style.GREY, ls=dashes, label=NAMES[stage]) for stage, dashes in STAGES.items()
    ]
    legend(fig, [*handles.values(), *styles], 3)
    return fig


@drawn
def shuffling_by_width(rows, architectures=("vgg11_bn", "vgg11")):
    """What shuffling the channels multiplies D, G and R with, by relative depth, a line per net and width."""
    fig, axes = style.figure(1, 3, height=3.7, sharey=True)
    handles = []
    for architecture in architectures:
        table = tables.shuffling(rows, architecture)
        _, colour, marker = look(architecture)
        for index, (width, lines) in enumerate(table.groupby("width")):
            shaded = shade(colour, table["width"].nunique() - 1 - index)
            for ax, quantity in zip(axes, QUANTITIES, strict=True):
                handles += ax.plot(lines["relative_depth"], lines[quantity], color=shaded, marker=marker, ms=4,
                                   ls=DASHES.get(width, "-"), label=net(architecture, width))  # fmt: skip
    for ax, quantity in zip(axes, QUANTITIES, strict=True):
        if not handles:
            nothing(ax)
            continue
        ax.axhline(1, color=style.GREY, lw=0.8, ls=":")
        ax.set(yscale="log", xlabel="relative depth $k/K$", title=f"${quantity}_k$")
    axes[0].set_ylabel("shuffled / unshuffled")
    legend(fig, handles, 3)
    return fig


@drawn
def mode_growth(rows, architecture="vgg11_bn"):
    """A Fig. 4, second row: growth of the filters' Laplacian modes on scale detection, a panel a layer."""
    return zoo_layers.growth_panels(tables.growth(rows, architecture), architecture)
