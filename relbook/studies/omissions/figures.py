"""Figures of the page on what the papers leave out.

>>> from relbook.studies.omissions import effects
>>> from relbook.studies.omissions import figures
>>> fig = figures.modes(effects.displacements([2, 3, 5]), 3)
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Arc
from matplotlib.ticker import NullFormatter

from relbook.drawing import style
from relstab import diffeo


@style.styled
def modes(table: pd.DataFrame, cut: int) -> Figure:
    """Which modes either rule keeps at one cut-off, and the true displacement at nominal δ = 1 against the cut-off.

    Args:
        table: of `effects.displacements`.
    """
    fig, (left, right) = style.figure(1, 2, height=3.2, gridspec_kw={"width_ratios": [1, 1.45]})
    paper, code = (diffeo.kept_modes(cut, rule=rule) for rule in ("paper", "code"))
    looks = (
        (paper, style.BLUE, "o", {}, "text and code"),
        (code & ~paper, style.RED, "D", {}, "code only"),
        (~code, style.GREY, "x", {}, "neither"),
    )
    for chosen, colour, marker, look, label in looks:
        i, j = (index.numpy() + 1 for index in chosen.nonzero(as_tuple=True))
        left.plot(i, j, marker, color=colour, ms=8, label=label, **look)
    for radius, dashes in ((cut, style.PAPER), (cut + 0.5, style.CODE)):
        left.add_patch(Arc((0, 0), 2 * radius, 2 * radius, theta1=0, theta2=90, color=style.BLACK, ls=dashes, lw=1.2))
    left.set(
        xlabel="$i$", ylabel="$j$", xlim=(0, cut + 1), ylim=(0, cut + 1), aspect="equal", title=f"modes at $c = {cut}$"
    )
    left.set_xticks(range(1, cut + 1))
    left.set_yticks(range(1, cut + 1))
    right.plot(table["cut"], table["code"], "D-", color=style.RED, label="exact, modes of the code")
    right.plot(table["cut"], table["paper"], "o-", color=style.BLUE, label="exact, modes of the text")
    right.plot(table["cut"], table["with constant"], "-", color=style.GREY, label="Eq. 3 with its constant")
    right.axhline(1, color=style.BLACK, lw=1.2, ls=style.PAPER, label="Eq. 3")
    right.set(xscale="log", xlabel="cut-off $c$", title=r"displacement called $\delta = 1$ (pixels)")
    ticks = [cut for cut in (2, 3, 5, 10, 20, 50, 100) if cut <= table["cut"].max()]
    right.set_xticks(ticks, ticks)
    right.xaxis.set_minor_formatter(NullFormatter())
    handles = [
        *zip(*left.get_legend_handles_labels(), strict=True),
        *zip(*right.get_legend_handles_labels(), strict=True),
    ]
    fig.legend(*zip(*handles, strict=True), loc="outside lower center", ncols=3)
    return fig


@style.styled
def fold_boundary(table: pd.DataFrame) -> Figure:
    """T c² at which half of the fields fold, beside the bound of the text and that of the code.

    Args:
        table: of `effects.boundary`.
    """
    fig, ax = style.figure(height=3.3)
    cuts = table.index.to_numpy(float)
    fine = np.geomspace(cuts[0], cuts[-1], 200)
    constant = table.loc[5:20, "T c² ln c"].median()
    ax.plot(cuts, table["T c²"], "o", color=style.BLACK, ms=6, label="half of the fields fold, measured")
    ax.plot(fine, constant / np.log(fine), "-", color=style.BLUE, label=rf"${constant:.2f} / \ln c$")
    ax.plot(fine, 4 / np.pi**3 / np.log(fine), ls=style.CODE, color=style.RED, label=r"code: $(4/\pi^3) / \ln c$")
    ax.plot(fine, np.full_like(fine, 8 / np.pi**3), ls=style.PAPER, color=style.RED, label=r"text: $8/\pi^3$")
    ax.set(xscale="log", yscale="log", xlabel="cut-off $c$", ylabel="$T c^2$")
    ticks = [cut for cut in (2, 3, 5, 10, 20, 50, 100) if cut <= cuts[-1]]
    ax.set_xticks(ticks, ticks)
    ax.set_yticks([0.05, 0.1, 0.2, 0.5], ["0.05", "0.1", "0.2", "0.5"])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    fig.legend(loc="outside lower center", ncols=2)
    return fig


@style.styled
def medians(table: pd.DataFrame) -> Figure:
    """R by two kinds of median over R by means, a mark a network, against R by means.

    Args:
        table: of `relbook.findings.medians`.
    """
    fig, ax = style.figure(height=3.2)
    looks = (
        ("median", style.BLUE, "o", "median of squared norms"),
        ("component_median", style.RED, "D", "sum of medians of components (code)"),
    )
    for name, colour, marker, label in looks:
        ax.plot(table["mean"], table[name] / table["mean"], marker, color=colour, ms=6, alpha=0.85, label=label)
    ax.axhline(1, color=style.BLACK, lw=1)
    lowest = (table[[name for name, *_ in looks]].min(axis=1) / table["mean"]).min()
    ax.set(xscale="log", yscale="log", xlabel="$R_f$ by means", ylabel="over $R_f$ by means",
           ylim=(min(0.6, 0.9 * lowest), 1.6))  # fmt: skip
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
    low, high = ax.get_xlim()
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xlim(low, high)
    ticks = [tick for tick in (0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.2, 1.5) if tick >= 0.9 * lowest]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    fig.legend(loc="outside lower center", ncols=2)
    return fig


@style.styled
def learning_rates(curves: Mapping[str, Sequence]) -> Figure:
    """Learning rates against the epoch: curves is {label: rates}, the first what the text says."""
    fig, ax = style.figure(height=2.9)
    looks = zip(curves.items(), (style.BLUE, style.RED), (style.PAPER, style.CODE), strict=True)
    for (label, rates), colour, dashes in looks:
        ax.plot(range(len(rates)), rates, color=colour, ls=dashes, lw=2, label=label)
        ax.annotate(f"{rates[-1]:.3f}", (len(rates) - 1, rates[-1]), xytext=(6, 4), textcoords="offset points",
                    color=colour, va="center")  # fmt: skip
    ax.set(xlabel="epoch", ylabel="learning rate", xlim=(0, len(rates) * 1.1))
    ax.legend(loc="upper right")
    return fig


@style.styled
def selection(rows: pd.DataFrame, gains: pd.DataFrame, *, seed: int = 0) -> Figure:
    """Left, the error of one network on two halves of the test images; right, what picking the best epoch gains.

    Args:
        rows: of `effects.selection`.
        gains: of `effects.optimism`.
    """
    fig, (left, right) = style.figure(1, 2, height=3.2, gridspec_kw={"width_ratios": [1.6, 1]})
    run, gain = rows[rows["seed"] == seed], gains[gains["seed"] == seed]
    for name, colour in (("first", style.BLACK), ("second", style.ORANGE)):
        left.plot(run["epoch"], run[name], color=colour, label=f"{name} half")
        best = gain[gain["watched"] == name]
        left.plot(best["epoch"], best["reported"], "v", color=colour, ms=9)
        left.plot(best["epoch"], best["honest"], **style.RING | {"mec": colour})
    left.plot([], [], "v", color=style.BLACK, ms=9, label="best, reported")
    left.plot([], [], label="same network, other half", **style.RING)
    low = rows.loc[rows["epoch"] > 3, ["first", "second"]]
    left.set(xlabel="epoch", ylabel="test error", ylim=(low.min(axis=None) - 0.02, low.max(axis=None)))
    spread = np.linspace(-0.25, 0.25, len(gains))
    right.plot(spread, 100 * gains["gain"], "o", color=style.BLACK, ms=5, alpha=0.5, label="a network, a half")
    mean = gains.groupby("seed")["gain"].mean()
    right.errorbar(0.5, 100 * mean.mean(), 100 * mean.std() / np.sqrt(len(mean)), fmt="s", color=style.RED, ms=7,
                   capsize=3, label="mean, standard error over seeds")  # fmt: skip
    right.axhline(0, color=style.GREY, lw=1)
    right.set(ylabel="error hidden (points)", xlim=(-0.5, 0.8))
    right.set_xticks([])
    handles = [
        *zip(*left.get_legend_handles_labels(), strict=True),
        *zip(*right.get_legend_handles_labels(), strict=True),
    ]
    fig.legend(*zip(*handles, strict=True), loc="outside lower center", ncols=2)
    return fig


@style.styled
def baseline(table: pd.DataFrame, quoted: float | int) -> Figure:
    """Mean TV/L1 of untrained filters, a line a law and a mark a reading, and the quoted value.

    Args:
        table: of `effects.roughness`.
    """
    fig, ax = style.figure(height=2.5)
    places = np.arange(len(table))[::-1]
    looks = (
        ("slices", style.BLUE, "o", "mean over single filters", (8, "left")),
        ("pooled", style.RED, "D", "ratio of sums, the formula", (-8, "right")),
    )
    for name, colour, marker, label, (shift, side) in looks:
        ax.plot(table[name], places, marker, color=colour, ms=8, label=label)
        for value, place in zip(table[name], places, strict=True):
            ax.annotate(f"{value:.3f}", (value, place), xytext=(shift, 0), textcoords="offset points", ha=side,
                        va="center", fontsize=10)  # fmt: skip
    ax.set_xlim(table.min(axis=None) - 0.02, table.max(axis=None) + 0.02)
    ax.axvline(quoted, color=style.BLACK, ls=style.PAPER, lw=1.2, label=f"{quoted}, quoted")
    ax.set_yticks(places, table.index)
    ax.set(xlabel=r"$\mathrm{TV}(W) / \|W\|_1$ of untrained $3 \times 3$ filters", ylim=(-0.5, len(table) - 0.3))
    fig.legend(loc="outside lower center", ncols=3)
    return fig
