"""A network among the networks of the book on CIFAR-10: error against R (B Fig. 5), for `relstab probe`."""

import numpy as np

from relbook.drawing import style
from relbook.drawing.nets import drawn, legend
from relbook.studies.zoo import tables


@drawn
def among_networks(nets, R, *, error=None, name="your network"):
    """The book's networks on CIFAR-10 in grey with their fit, and R of another network as a vertical line.

    nets: a line a network, columns R and error (`relstab.probes.command.book_networks`); error: of the other network, a
    point on its line. The band is the fit's typical factor, and holds for CIFAR-10 alone.
    """
    fig, ax = style.figure(height=4.2)
    ends = np.log([min(nets["R"].min(), R) / 1.5, max(nets["R"].max(), R) * 1.5])
    x = np.exp(np.linspace(*ends, 50))
    curve, factor = tables.predicted(nets, x)
    ax.fill_between(x, curve / factor, curve * factor, color=style.GREY, alpha=0.2, lw=0)
    ax.plot(x, curve, color=style.GREY, label="their fit, with its typical factor")
    ax.plot(
        nets["R"],
        nets["error"],
        "o",
        color=style.GREY,
        mfc="white",
        label=f"{len(nets)} networks on CIFAR-10",
    )
    ax.axvline(R, color=style.BLUE, ls="--", label=f"{name}: $R$ = {R:.2g}")
    if error is not None:
        ax.plot(R, error, "D", color=style.BLUE, ms=8, label=f"its error: {error:.2g}")
    ax.set(xscale="log", yscale="log", xlim=(x[0], x[-1]), xlabel="$R_f$", ylabel="test error ε on CIFAR-10")
    legend(fig, ax.get_legend_handles_labels()[0], 2)
    return fig
