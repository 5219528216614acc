"""Figures 3 to 7 of paper C: stability and smoothness of filters by layer, for five kinds of downsampling.

Functions take the rows of the study `ruderman` at one scale. Layers have C's numbers: 0 the image, 1 to 12 eight
convolutions and, at 3, 6, 9 and 12, the downsamplings.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relbook.drawing import style
from relbook.drawing.nets import legend, nothing
from relbook.studies.ruderman import tables
from relstab.models.conv8 import DOWNSAMPLINGS

LOOKS = {  # label, colour, marker
    "subsample": ("subsample", style.BLACK, "s"),
    "max": ("max", style.RED, "D"),
    "average": ("average", style.BLUE, "o"),
    "strided": ("strided", style.ORANGE, "^"),
    "strided_relu": ("strided, ReLU", style.GREEN, "X"),
}
HALVINGS = (3, 6, 9, 12)
SENSITIVITY = "normalised cosine distance"


@style.styled
def stability(rows: pd.DataFrame) -> Figure:
    """C Fig. 3c, d: sensitivity by layer at initialisation and after training on real labels."""
    return _profiles(rows, [("real", "init", "at initialisation"), ("real", "trained", "trained")])


@style.styled
def labels(rows: pd.DataFrame) -> Figure:
    """C Fig. 7, with the control that it lacks: random labels, and real ones with all else equal."""
    return _profiles(
        rows, [("matched", "trained", "real labels, all else equal"), ("random", "trained", "random labels")]
    )


def _profiles(rows: pd.DataFrame, panels: Sequence[tuple]) -> Figure:
    """One panel per (task, stage, title): a line a downsampling, small marks its seeds."""
    fig, axes = style.figure(1, len(panels), height=3.7, sharey=True)
    handles = []
    for ax, (task, stage, title) in zip(axes, panels, strict=True):
        table = tables.profiles(rows, task, stage)
        if table.empty:
            nothing(ax)
            continue
        part = tables.chosen(rows, task, "cosine")
        part = part[part.stage.eq(stage) & part.depth.le(tables.LAST)]
        for name, line in table.iterrows():
            label, colour, marker = LOOKS[name]
            seeds = part[part.architecture.eq(f"conv8_{name}")]
            if seeds.seed.nunique() > 1:
                ax.plot(seeds.depth, seeds.sensitivity, ls="", marker=marker, ms=2.5, color=colour, alpha=0.6)
            handles += ax.plot(line.index, line, color=colour, marker=marker, ms=4.5, label=label)
        _halvings(ax)
        ax.set(title=title, xlabel="layer", xticks=range(0, 13, 3))
    axes[0].set_ylabel(SENSITIVITY)
    axes[0].set_ylim(bottom=0)
    legend(fig, handles, 5)
    return fig


def _halvings(ax: Axes) -> None:
    for layer in HALVINGS:
        ax.axvline(layer, **style.GUIDE)


@style.styled
def smoothing(rows: pd.DataFrame) -> Figure:
    """C Fig. 4: sensitivity by layer of untrained networks whose filters were blurred by sigma pixels."""
    table = tables.by_sigma(rows)
    fig, axes = style.figure(2, 3, height=5.2, sharex=True, sharey=True)
    sigmas = sorted(table.index.unique("sigma")) if len(table) else []
    handles = []
    for ax, name in zip(axes.flat, DOWNSAMPLINGS, strict=False):
        if table.empty or name not in table.index.unique("downsampling"):
            nothing(ax)
            continue
        for order, sigma in enumerate(sigmas):
            shade = style.graded(style.NAVY, len(sigmas))[-1 - order]
            line = table.loc[name, sigma]
            handles += ax.plot(line.index, line, color=shade, marker="o", ms=3, label=f"σ = {sigma:g}")
        _halvings(ax)
        ax.set(title=LOOKS[name][0], xticks=range(0, 13, 3))
    for ax in (axes[1, 0], axes[1, 1], axes[0, 2]):  # the lowest of each column
        ax.set(xlabel="layer")
    for ax in axes[0]:
        ax.tick_params(labelbottom=True)
    axes[0, 0].set_ylim(bottom=0)
    axes[1, 2].axis("off")
    named = {handle.get_label(): handle for handle in handles}
    axes[1, 2].legend(handles=list(named.values()), loc="center", title="blur of the filters\n(pixels)")
    fig.supylabel(SENSITIVITY, fontsize=style.RC["axes.labelsize"])
    return fig


@style.styled
def strengths(rows: pd.DataFrame) -> Figure:
    """C Fig. 5b: total variation of the filters by layer, for tasks of deformed templates of growing strength."""
    fig, ax = style.figure(height=3.6)
    after, before = tables.by_strength(rows), tables.by_strength(rows, "init")
    if after.empty:
        nothing(ax)
        return fig
    for (strength, line), shade in zip(after.iterrows(), style.graded(style.NAVY, len(after))[::-1], strict=True):
        ax.plot(np.arange(1, 9), line, color=shade, marker="o", label=f"C = {strength:g}")
    ax.plot(np.arange(1, 9), before.mean(), label="untrained", **style.stroke("init", style.BLACK))
    ax.set(xlabel="convolution", ylabel="TV(W) / ‖W‖₁", xticks=range(1, 9))
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return fig


@style.styled
def smoothness(rows: pd.DataFrame) -> Figure:
    """C Fig. 6b, c: total variation of the filters by layer, after training on real and on random labels."""
    panels = [("real", "real labels"), ("matched", "real labels,\nall else as right"), ("random", "random labels")]
    fig, axes = style.figure(1, 3, height=3.7, sharey=True)
    handles = []
    for ax, (task, title) in zip(axes, panels, strict=True):
        table, before = (tables.smoothness(rows, task, stage) for stage in ("trained", "init"))
        if table.empty:
            nothing(ax)
            continue
        for name, line in table.iterrows():
            label, colour, marker = LOOKS[name]
            handles += ax.plot(np.arange(1, 9), line, color=colour, marker=marker, ms=4.5, label=label)
        start = float(before.iloc[:, 1:].to_numpy().mean())
        handles.append(ax.axhline(start, label="untrained", **style.stroke("init", style.BLACK)))
        ax.set(title=title, xlabel="convolution", xticks=range(1, 9))
    axes[0].set_ylabel("TV(W) / ‖W‖₁")
    legend(fig, handles, 3)
    return fig
