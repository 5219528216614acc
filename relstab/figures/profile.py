"""D, G and R of one network against depth: the picture of `relstab probe`."""

from relstab.figures import style


@style.styled
def depth_profile(table):
    """Sensitivities against relative depth k/K, on a logarithmic axis.

    table: what `relstab.sensitivity` returns
    """
    fig, ax = style.figure(height=3.6)
    for quantity, (colour, marker, label) in style.QUANTITIES.items():
        ax.plot(table["relative_depth"], table[quantity], marker=marker, color=colour, label=label)
    ax.axhline(1, color=style.GREY, lw=0.8, ls=":")
    ax.set(yscale="log", xlabel="relative depth $k/K$", ylabel="sensitivity")
    fig.legend(loc="outside lower center", ncols=3)
    return fig
