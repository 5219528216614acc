"""What training on JPEG copies does to D, G and R: factors, by depth, by frequency and colour of the noise.

Every function takes the rows of the study `encoding` at one scale and draws the pairs of networks that are there.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from relbook.drawing import style
from relbook.drawing.nets import drawn, legend, look, net, nothing, outer
from relbook.studies.encoding import tables

PANELS = {"test_error": "test error", "D": "$D_f$", "G": "$G_f$", "R": "$R_f$"}
SHORT = {"75": "75", "75-444": "75\n4:4:4", "95": "95", "75-luminance": "75\nlum.", "75-chrominance": "75\nchrom."}
OCTAVES = ("< 1/16", "1/16–1/8", "1/8–1/4", "> 1/4")


@drawn
def factors(rows: pd.DataFrame) -> Figure:
    """Test error, D, G and R of the networks trained on copies over those of their twins, an encoding a column.

    A symbol is a pair (halved: with crops and flips), the bar their geometric mean with its 95 % interval.
    """
    means = tables.factors(rows, tuple(PANELS))
    outputs = tables.outputs(rows)
    columns = list(dict.fromkeys(means["copies"]))
    fig, axes = style.figure(1, 4, height=3.4, sharey=True)
    if not columns:
        for ax in axes:
            nothing(ax)
        return fig
    handles = []
    for ax, (quantity, title) in zip(axes, PANELS.items(), strict=True):
        for place, copies in enumerate(columns):
            pairs = tables.ratios(outputs, copies=copies)
            shifts = np.linspace(-0.28, 0.28, len(pairs)) if len(pairs) > 1 else [0.0]
            for shift, line in zip(shifts, pairs.to_dict("records"), strict=True):
                _, colour, marker = look(line["architecture"])
                ax.plot(
                    place + shift,
                    line[quantity],
                    marker=marker,
                    ms=5.5,
                    **style.stroke("augmented" if line["augment"] else "plain", colour) | {"ls": ""},
                )
                handles.append(
                    Line2D([], [], ls="", marker=marker, color=colour, label=net(line["architecture"], line["width"]))
                )
            one = means[(means["copies"] == copies) & (means["quantity"] == quantity)].iloc[0]
            ends = [[one["factor"] - one["low"]], [one["high"] - one["factor"]]]
            ax.errorbar(place, one["factor"], ends, fmt="_", color=style.BLACK, ms=13, capsize=4, zorder=5)
        ax.axhline(1, **style.GUIDE)
        ax.set(yscale="log", title=title, xticks=range(len(columns)), xlim=(-0.6, len(columns) - 0.4))
        ax.set_xticklabels([SHORT[copies] for copies in columns], fontsize=8.5)
        ax.set_xlabel("JPEG quality", fontsize=9.5)
    axes[0].set_ylabel("trained on copies / on originals")
    handles += [
        Line2D([], [], marker="o", label=style.STROKES[name].words, **style.stroke(name, style.GREY) | {"ls": ""})
        for name in ("plain", "augmented")
    ]
    legend(fig, handles, 3)
    return fig


@drawn
def by_depth(rows: pd.DataFrame) -> Figure:
    """D, G and R at every depth, copies of quality 75, 4:2:0, over originals: a line a network,
    geometric mean over its pairs.
    """
    table = tables.ratios(tables.layers(rows))
    fig, axes = style.figure(1, 3, height=3.2, sharey=True)
    if table.empty:
        for ax in axes:
            nothing(ax)
        return fig
    handles = []
    for ax, quantity in zip(axes, "DGR", strict=True):
        logs = np.log(table[quantity].astype(float)).groupby(
            [table[name] for name in ("architecture", "width", "relative_depth")]
        )
        for (architecture, width), line in np.exp(logs.mean()).groupby(level=(0, 1)):
            _, colour, marker = look(architecture)
            ax.plot(line.index.get_level_values(2), line, color=colour, marker=marker, ms=4)
            handles.append(Line2D([], [], color=colour, marker=marker, label=net(architecture, width)))
        ax.axhline(1, **style.GUIDE)
        ax.set(yscale="log", title=f"${quantity}_k$")
    outer(axes[None], "relative depth", "copies / originals")
    legend(fig, handles, 3)
    return fig


@drawn
def by_frequency(rows: pd.DataFrame) -> Figure:
    """G at the output by octave of the noise's frequency, grey noise and colour: copies (quality 75,
    4:2:0) over originals.
    """
    table = tables.ratios(tables.outputs(rows))
    kinds = [kind for kind in ("grey", "colour") if f"G_{kind}_0" in table and table[f"G_{kind}_0"].notna().any()]
    fig, axes = style.figure(1, max(len(kinds), 1), height=3.4, sharey=True, squeeze=False)
    if not kinds:
        nothing(axes[0, 0])
        return fig
    handles = []
    for ax, kind in zip(axes[0], kinds, strict=True):
        names = [f"G_{kind}_{band}" for band in range(len(OCTAVES))]
        for line in table.to_dict("records"):
            _, colour, marker = look(line["architecture"])
            ax.plot(range(len(OCTAVES)), [line[name] for name in names], color=colour, lw=0.5, alpha=0.5)
        logs = np.log(table[names].astype(float)).groupby([table["architecture"], table["width"]])
        for (architecture, width), values in np.exp(logs.mean()).iterrows():
            _, colour, marker = look(architecture)
            ax.plot(range(len(OCTAVES)), values, color=colour, marker=marker, lw=2)
            handles.append(Line2D([], [], color=colour, marker=marker, label=net(architecture, width)))
        ax.axhline(1, **style.GUIDE)
        ax.set(
            yscale="log",
            title={"grey": "noise alike in all channels", "colour": "noise of colour alone"}[kind],
            xticks=range(len(OCTAVES)),
            xticklabels=OCTAVES,
        )
    outer(axes, "spatial frequency (cycles per pixel)", "$G_f$, copies / originals")
    legend(fig, handles, 3)
    return fig
