"""D, G and R of a network against depth: the picture of `relstab probe`."""

from relbook.drawing import style
from relbook.drawing.nets import drawn, legend, nothing

NAMES = {"D": "$D$, diffeomorphisms", "G": "$G$, noise", "R": "$R = D / G$"}


def depth_profile(table):
    """Sensitivities against relative depth (layer over number of layers), on a logarithmic axis.

    table: what `relstab.sensitivity` returns
    """
    return depth_profiles({"": table})


@drawn
def depth_profiles(found):
    """The same for several networks, a panel each; found: title -> table."""
    fig, axes = style.figure(1, max(len(found), 1), height=3.6, squeeze=False, sharey=True)
    if not found:
        nothing(axes[0, 0])
    for ax, (title, table) in zip(axes[0], found.items(), strict=False):
        for quantity, (colour, marker, _) in style.QUANTITIES.items():
            ax.plot(
                table["relative_depth"], table[quantity], marker=marker, color=colour, label=NAMES[quantity]
            )
        ax.axhline(1, color=style.GREY, lw=0.8, ls=":")
        ax.set(yscale="log", xlabel="relative depth", title=title)
    axes[0, 0].set_ylabel("sensitivity, or ratio")
    legend(fig, axes[0, 0].get_legend_handles_labels()[0], 3)
    return fig
