"""Networks that others trained on ImageNet: R against depth (B Fig. 14), from rows of the study `imagenet`."""

from matplotlib.lines import Line2D

from relbook.drawing import style
from relbook.drawing.nets import drawn, label, legend, look, nothing, shade
from relbook.studies.zoo import tables

STAGES = {"trained": ("-", "trained"), "init": (style.INITIAL, "initialisation"),
          "shuffled": (style.SHUFFLED, "channels shuffled")}  # fmt: skip


@drawn
def depth_profiles(rows):
    """R against relative depth: trained, at initialisation, and trained with shuffled channels (A Fig. 3's test)."""
    fig, ax = style.figure(height=4.0)
    table = tables.profiles(rows) if len(rows) else rows
    if table.empty:
        nothing(ax, "no networks trained on ImageNet at this scale")
        return fig
    handles = []
    for index, (architecture, lines) in enumerate(table.groupby("architecture", sort=True)):
        _, colour, _ = look(architecture)
        colour, marker = shade(colour, index), "oDs"[index % 3]
        for stage, (dashes, _) in STAGES.items():
            line = lines[lines["stage"] == stage].sort_values("depth")
            ax.plot(line["relative_depth"], line["R"], color=colour, ls=dashes, ms=4,
                    marker=marker, mfc=colour if stage == "trained" else "white")  # fmt: skip
        handles.append(Line2D([], [], color=colour, marker=marker, label=label(architecture)))
    ax.axhline(1, color=style.GREY, lw=0.8, ls=":")
    ax.set(yscale="log", xlabel="relative depth $k/K$", ylabel="$R_k$")
    handles += [Line2D([], [], color=style.GREY, ls=dashes, label=text) for dashes, text in STAGES.values()]
    legend(fig, handles, 3)
    return fig
