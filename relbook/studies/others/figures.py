"""Networks of public repositories: error against R, D and G; R over δ; the fit by two variables; what training changed.

Every function takes the rows of the study `others` at one scale and draws the networks that were not refused. Colour is
the training error, the symbol the family; a ring marks networks trained to be robust.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from relbook.drawing import style
from relbook.drawing.nets import drawn, legend, nothing, outer
from relbook.studies.others import tables

MARKERS = dict(zip(tables.FAMILIES, ("P", "X", "D", "o", "^", "s"), strict=True))
# Okabe and Ito's hues from blue (fitted) over yellow to red, darker than the page's white and lighter than its black.
COLOURS = ListedColormap(["#0072B2", "#2F8FC4", "#56B4E9", "#E0B000", "#E69F00", "#E08020", "#D55E00", "#B04A00"])
SHADES = Normalize(0, 0.4, clip=True)  # steps of 0.05: below two of them a network counts as fitted
DEPTHS = (0, 0.2, 0.4, 0.6, 0.8, 1)  # relative ones at which a median over networks is taken
TITLES = {"D": "$D_f$", "G": "$G_f$", "R": "$R_f$"}


def _colour(error: float) -> tuple[float, float, float, float]:
    return COLOURS(SHADES(error))


def _points(ax: Axes, table: pd.DataFrame, x: str, y: str) -> None:
    """A symbol a network; x and y are columns."""
    for line in table.to_dict("records"):
        colour = _colour(line["train_error"])
        ax.plot(line[x], line[y], MARKERS[line["family"]], color=colour, mew=0.4, ms=5.5, alpha=0.9)
        if line["robust"]:
            ax.plot(line[x], line[y], **style.RING)


def _handles(table: pd.DataFrame) -> list:
    present = [family for family in tables.FAMILIES if family in set(table["family"])]
    handles = [Line2D([], [], ls="", marker=MARKERS[one], color=style.GREY, label=one) for one in present]
    if table["robust"].any():
        handles.append(Line2D([], [], label="robust", **style.RING))
    return handles


def _bar(fig: Figure, axes: Axes | np.ndarray) -> None:
    fig.colorbar(ScalarMappable(SHADES, COLOURS), ax=axes, label="training error", extend="max", shrink=0.8)


def _law(ax: Axes, table: pd.DataFrame, x: str, y: str, **look: Any) -> float:
    """The least-squares line of the logs, repositories weighted alike; its slope, NaN where x does not vary."""
    if np.ptp(np.log(table[x])) < 1e-9:
        return np.nan
    weights = 1 / table.groupby("repository")["name"].transform("size")
    slope, constant = np.polyfit(np.log(table[x]), np.log(table[y]), 1, w=np.sqrt(weights))
    ends = np.array([table[x].min(), table[x].max()])
    ax.plot(ends, np.exp(constant) * ends**slope, **look)
    return slope


@drawn
def error(rows: pd.DataFrame, dataset: str = "cifar10-lossless") -> Figure:
    """Test error against R, a symbol a network, with B's line and the line of the fitted natural networks."""
    table = tables.networks(rows, dataset=dataset)
    fig, ax = style.figure(height=4.6)
    if table.empty:
        nothing(ax)
        return fig
    span = np.array([table["R"].min() / 1.3, table["R"].max() * 1.3])
    ax.plot(
        span, 0.2 * np.sqrt(span), color=style.GREY, lw=1.2, ls=style.PAPER, label=r"$0.2\,\sqrt{R_f}$, Petrini 2021"
    )
    chosen = tables.fitted(table[~table["robust"]])
    handles = []
    if len(chosen) > 2:
        slope = _law(ax, chosen, "R", "test_error", color="#0072B2", lw=1.2)
        handles.append(Line2D([], [], color="#0072B2", lw=1.2, label=f"fitted networks, exponent {slope:.2f}"))
    handles.insert(0, ax.lines[0])
    bars = [table["R"] - table["R_low"], table["R_high"] - table["R"]]
    ax.errorbar(table["R"], table["test_error"], xerr=bars, fmt="none", ecolor=style.GREY, elinewidth=0.5, zorder=0)
    _points(ax, table, "R", "test_error")
    ax.set(xscale="log", yscale="log", xlabel="$R_f$, relative sensitivity to diffeomorphisms", ylabel="test error")
    _bar(fig, ax)
    legend(fig, handles + _handles(table), 2)
    return fig


@drawn
def sensitivities(rows: pd.DataFrame) -> Figure:
    """Test error against D, G and R (means), one row with a common axis."""
    table = tables.networks(rows, statistic="mean")
    fig, axes = style.figure(1, 3, height=3.9, sharey=True)
    if table.empty:
        for ax in axes:
            nothing(ax)
        return fig
    for ax, quantity in zip(axes, TITLES, strict=True):
        _points(ax, table, quantity, "test_error")
        ax.set(xscale="log", yscale="log", xlabel=TITLES[quantity])
        for chosen, colour in ((tables.fitted, "#0072B2"), (tables.not_fitted, "#D55E00")):
            some = chosen(table[~table["robust"]])
            if len(some) > 2:
                _law(ax, some, quantity, "test_error", color=colour, lw=1.2)
    axes[0].set_ylabel("test error")
    _bar(fig, axes)
    handles = [
        Line2D([], [], color=colour, lw=1.2, label=text)
        for colour, text in (("#0072B2", "training error < 0.1"), ("#D55E00", "≥ 0.2"))
    ]
    legend(fig, handles + _handles(table), 2)
    return fig


@drawn
def against_displacement(rows: pd.DataFrame) -> Figure:
    """R against δ for both interpolations: median over natural networks on CIFAR-10, quartiles,
    and each of them thin.
    """
    table = tables.sweep(rows)
    table = table[(table["dataset"] == "cifar10-lossless") & ~table["robust"].astype(bool)] if len(table) else table
    fig, axes = style.figure(1, 2, height=3.4, sharey=True)
    groups = {"training error < 0.1": tables.fitted, "training error ≥ 0.2": tables.not_fitted}
    looks = {"bilinear": (style.BLUE, "o"), "gaussian": (style.ORANGE, "s")}
    for ax, (title, choose) in zip(axes, groups.items(), strict=True):
        chosen = choose(table) if len(table) else table
        if len(chosen) == 0:
            nothing(ax)
            continue
        for interpolation, (colour, marker) in looks.items():
            one = chosen[chosen["interpolation"] == interpolation]
            for _, net in one.groupby("name"):
                net = net.sort_values("displacement")
                ax.plot(net["displacement"], net["R"], color=colour, lw=0.4, alpha=0.35)
            spread = one.groupby("displacement")["R"].quantile([0.25, 0.5, 0.75]).unstack()
            ax.fill_between(spread.index, spread[0.25], spread[0.75], color=colour, alpha=0.25, lw=0)
            ax.plot(spread.index, spread[0.5], color=colour, marker=marker, label=interpolation)
        ax.set(xscale="log", yscale="log", title=f"{title}, {chosen['name'].nunique()} networks")
    outer(axes[None], "typical displacement δ in pixels", "$R_f$")
    handles = [
        Line2D([], [], color=colour, marker=marker, label=f"{name} interpolation".replace("gaussian", "Gaussian"))
        for name, (colour, marker) in looks.items()
    ]
    legend(fig, handles, 2)
    return fig


@drawn
def two_variables(rows: pd.DataFrame) -> Figure:
    """Error against what the fitted networks' regressions give from R alone and from D and G."""
    table = tables.fitted(tables.natural(rows, statistic="mean"))
    fig, axes = style.figure(1, 2, height=3.9, sharey=True)
    if len(table) < 5:
        for ax in axes:
            nothing(ax)
        return fig
    weights = (1 / table.groupby("repository")["name"].transform("size")).to_numpy()
    error = np.log(table["test_error"].to_numpy(float))
    for ax, names in zip(axes, (["R"], ["D", "G"]), strict=True):
        columns = [np.log(table[name].to_numpy(float)) for name in names]
        exponents = tables.regression(error, columns, weights)
        raw = sum(exponent * column for exponent, column in zip(exponents, columns, strict=True))
        given = np.exp(raw + np.average(error - raw, weights=weights))
        powers = r"\,".join(f"{name}_f^{{{exponent:.2f}}}" for name, exponent in zip(names, exponents, strict=True))
        _points(ax, table.assign(given=given), "given", "test_error")
        ends = np.array([table["test_error"].min(), table["test_error"].max()])
        ax.plot(ends, ends, color=style.GREY, lw=1)
        ax.set(xscale="log", yscale="log", title=rf"$\varepsilon \propto {powers}$", xlabel="error from the fit")
    axes[0].set_ylabel("test error")
    _bar(fig, axes)
    legend(fig, _handles(table), 2)
    return fig


@drawn
def changes(rows: pd.DataFrame) -> Figure:
    """What training multiplied D, G and R by at the output, and what shuffled channels multiply R by,
    against training error.
    """
    table = tables.networks(rows, statistic="mean")
    fig, axes = style.figure(2, 2, height=5.8, sharex=True)
    if table.empty:
        for ax in axes.flat:
            nothing(ax)
        return fig
    for ax, quantity in zip(axes.flat, TITLES, strict=False):
        ratios = table.assign(ratio=table[quantity] / table[f"{quantity}_init"])
        _points(ax, ratios, "train_error", "ratio")
        ax.set_title(f"{TITLES[quantity]}: trained / at initialisation")
    shuffled = tables.shuffled(rows)
    shuffled = shuffled[(shuffled["dataset"] == "cifar10-lossless") & (shuffled["batch_norm"] == "re-estimated")]
    shuffled = shuffled[~shuffled["family"].isin(["fully connected", "transformer"])]
    if len(shuffled):
        _points(axes[1, 1], shuffled, "train_error", "ratio")
    axes[1, 1].set_title("$R_f$: channels shuffled / trained")
    for ax in axes.flat:
        ax.axhline(1, **style.GUIDE)
        ax.axvline(tables.FITTED, **style.GUIDE)
        ax.set(yscale="log")
    outer(axes, "training error", "factor")
    legend(fig, _handles(table), 2)
    return fig


def _median(curves: Sequence, depths: Sequence) -> np.ndarray:
    """The median of R over networks at relative depths, linear between a network's layers (logarithms)."""
    logs = [
        np.interp(depths, one["relative_depth"].to_numpy(float), np.log(one["R"].to_numpy(float))) for one in curves
    ]
    return np.exp(np.median(logs, 0))


@drawn
def depth_profiles(rows: pd.DataFrame, depths: Sequence = DEPTHS) -> Figure:
    """R by depth of the networks on CIFAR-10 that are not refused, a panel a family: thin each, thick their median.

    Args:
        rows: Of the study.
        depths: Where the median is taken, over R linear in relative depth between a network's layers (logarithms).
    """
    known = tables.networks(rows).set_index("name")
    table = tables.profiles(rows)
    table = table[table["name"].isin(known.index) & (table["R"] > 0)]
    found = known.loc[list(dict.fromkeys(table["name"]))] if len(table) else known[:0]
    families = [family for family in tables.FAMILIES if family in set(found["family"])]
    lines = -(-max(len(families), 1) // 3)
    fig, axes = style.figure(lines, 3, height=2.4 * lines + 0.7, sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[len(families) :]:
        nothing(ax, "")
    if not families:
        nothing(axes[0, 0])
        return fig
    for ax, family in zip(axes.flat, families, strict=False):
        for stage in ("init", "trained"):
            curves = []
            for name, error in found.loc[found["family"] == family, "train_error"].items():
                one = table[(table["name"] == name) & (table["stage"] == stage)].sort_values("relative_depth")
                if one.empty:
                    continue
                if stage == "trained":
                    ax.plot(one["relative_depth"], one["R"], color=_colour(error), lw=0.8, alpha=0.7)
                curves.append(one)
            if curves:
                median = _median(curves, depths)
                ax.plot(depths, median, marker="o", ms=4, zorder=5, **style.stroke(stage, style.BLACK))
        ax.axhline(1, **style.GUIDE)
        count = int((found["family"] == family).sum())
        ax.set(yscale="log", title=f"{family.replace(', ', ',' + chr(10))}: {count}")
        ax.title.set_fontsize(10)
    outer(axes, "relative depth", "$R_k$")
    _bar(fig, axes)
    legend(fig, style.key("trained", "init"), 2)
    return fig


@drawn
def matched(rows: pd.DataFrame, depths: Sequence = DEPTHS) -> Figure:
    """Noise of the deformation's spectrum: R against R with white noise, the error against it, and both R by depth.

    By depth: the median over fitted networks of R, linear in relative depth between a network's layers, at `depths`.
    """
    table = tables.matched(rows)
    fig, axes = style.figure(1, 3, height=3.9)
    if table.empty:
        for ax in axes:
            nothing(ax)
        return fig
    _points(axes[0], table, "R", "R_matched")
    ends = np.array([table[["R", "R_matched"]].min().min(), table[["R", "R_matched"]].max().max()])
    axes[0].plot(ends, ends, color=style.GREY, lw=1)
    axes[0].axhline(1, **style.GUIDE)
    axes[0].set(xlabel="$R_f$, white noise", ylabel="$R_f$, matched noise")
    _points(axes[1], table, "R_matched", "test_error")
    some = tables.fitted(table)
    if len(some) > 2:
        _law(axes[1], some, "R_matched", "test_error", color="#0072B2", lw=1.2)
    axes[1].set(xlabel="$R_f$, matched noise", ylabel="test error")
    handles = _handles(table)
    for noise, kind, colour, marker in (
        ("white", "profile", style.BLUE, "o"),
        ("matched", "matched_profile", style.ORANGE, "s"),
    ):
        one = tables.profiles(rows, kind=kind)
        one = one[one["name"].isin(some["name"]) & (one["stage"] == "trained") & (one["R"] > 0)]
        curves = [net for _, net in one.sort_values("relative_depth").groupby("name")]
        if curves:
            axes[2].plot(depths, _median(curves, depths), color=colour, marker=marker)
            handles.append(Line2D([], [], color=colour, marker=marker, label=f"{noise} noise"))
    axes[2].set(xlabel="relative depth", ylabel="$R_k$, median", yscale="log")
    for ax in axes[:2]:
        ax.set(xscale="log", yscale="log")
    _bar(fig, axes)
    legend(fig, handles, 2)
    return fig
