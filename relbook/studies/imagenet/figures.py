"""Networks that others trained on ImageNet: R against depth (B Fig. 14), from rows of the study `imagenet`."""

import pandas as pd
from matplotlib.figure import Figure

from relbook.drawing import style
from relbook.drawing.nets import drawn, label, legend, look, nothing
from relbook.studies.zoo import tables

STAGES = ("trained", "init", "shuffled")


@drawn
def depth_profiles(rows: pd.DataFrame) -> Figure:
    """R against relative depth, a panel a network: trained, at initialisation,
    trained with channels shuffled (A Fig. 3).
    """
    table = tables.profiles(rows) if len(rows) else rows
    names = sorted(table["architecture"].unique()) if len(table) else []
    fig, axes = style.figure(1, max(len(names), 1), height=3.3, squeeze=False, sharey=True)
    if not names:
        nothing(axes[0, 0], "no networks trained on ImageNet at this scale")
        return fig
    for ax, name in zip(axes[0], names, strict=True):
        _, colour, marker = look(name)
        lines = table[table["architecture"] == name]
        for stage in STAGES:
            line = lines[lines["stage"] == stage].sort_values("depth")
            ax.plot(line["relative_depth"], line["R"], marker=marker, ms=4, markevery=3, **style.stroke(stage, colour))
        ax.axhline(1, **style.GUIDE)
        ax.set(yscale="log", xlabel="relative depth", title=label(name))
    axes[0, 0].set_ylabel("$R_k$")
    legend(fig, style.key(*STAGES, marker=marker), 3)
    return fig
