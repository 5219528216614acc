"""Pictures of what a probe found: D, G and R against depth, and a network among those of the book.

The comparison rows lie beside this file (`networks.csv`): one row per network that the book trained or was given on
CIFAR-10, with R at its output and its test error, for each setting of the probe. They come from the published rows
of the study `zoo`; a command of the book writes them, and a test compares the two.

>>> nets = networks()
>>> bool((nets["R"] > 0).all()), nets.scale
(True, 'laptop')
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from relstab.extras import extra
from relstab.store import Rows

NETWORKS = Path(__file__).with_name("networks.csv")
SETTINGS = ["displacement", "cut", "statistic"]
COLUMNS = 3  # panels side by side

# Okabe and Ito's palette, distinguishable with the common forms of colour blindness
_GREY, _LINES = "#7F7F7F", ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_QUANTITIES = {
    "D": ("#D55E00", "o", "$D$, diffeomorphisms"),
    "G": ("#0072B2", "s", "$G$, noise"),
    "R": ("#009E73", "D", "$R = D / G$"),
}


def networks(displacement: float = 1.0, cut: int = 3, statistic: str = "mean") -> Rows:
    """The book's networks on CIFAR-10 (B Fig. 5) as probed at these settings, one row per network.

    Returns columns dataset, architecture, width, epochs, recipe, D, G, R (at the output), error (on test images) and
    n (seeds averaged); their `scale` is that of the book. Empty for settings that were not measured.

    >>> len(networks(displacement=17.0))
    0
    """
    table = _every()
    wanted = (table["displacement"] == displacement) & (table["cut"] == cut) & (table["statistic"] == statistic)
    found = table[wanted].drop(columns=[*SETTINGS, "scale"]).reset_index(drop=True)
    return Rows(found).of("zoo", next(iter(table["scale"][wanted]), ""))


def settings() -> list[tuple[float, int, str]]:
    """The settings (displacement, cut, statistic) at which there are networks to compare with.

    >>> (1.0, 3, "mean") in settings()
    True
    """
    return list(_every()[SETTINGS].drop_duplicates().itertuples(index=False, name=None))


def _every() -> pd.DataFrame:
    return pd.read_csv(NETWORKS, dtype={"displacement": float})


def predicted(table: pd.DataFrame, R: float | int | np.ndarray) -> tuple[float | np.ndarray, float]:
    """Error that the power law fitted to the networks in `table` gives at R, and their typical factor to it.

    The factor is the exponential of the root mean squared residual of log ε (two parameters are fitted).

    >>> nets = pd.DataFrame({"R": [0.01, 0.1, 1.0], "error": [0.02, 0.0632456, 0.2]})
    >>> error, factor = predicted(nets, 0.25)
    >>> round(float(error), 3), round(factor, 3)
    (0.1, 1.0)
    """
    x, y = np.log(table["R"].to_numpy(float)), np.log(table["error"].to_numpy(float))
    slope, constant = np.polyfit(x, y, 1)
    residual = y - slope * x - constant
    factor = np.exp(np.sqrt((residual**2).sum() / max(len(x) - 2, 1)))
    return np.exp(constant + slope * np.log(R)), float(factor)


def depth_profiles(tables: Mapping[str, pd.DataFrame]) -> Any:
    """D, G and R against relative depth (layer over number of layers) on a logarithmic axis: a Figure.

    Args:
        tables: what `relstab.sensitivity` returns, by the title of a panel each. Error bars of R are drawn where
            the table has the columns R_low and R_high.

    Raises ModuleNotFoundError without matplotlib.

    >>> table = pd.DataFrame({"relative_depth": [0, 1], "D": [1, 0.1], "G": [1, 0.5], "R": [1, 0.2]})
    >>> [line.get_label() for line in depth_profiles({"mine": table}).axes[0].lines[:2]]
    ['$D$, diffeomorphisms', '$G$, noise']
    """
    columns = min(max(len(tables), 1), COLUMNS)
    rows = math.ceil(max(len(tables), 1) / columns)
    fig = _figure(6.6, 3.6 * rows)
    axes = fig.subplots(rows, columns, squeeze=False, sharey=True)
    for ax, (title, table) in zip(axes.flat, tables.items(), strict=False):
        depth = table["relative_depth"]
        for name, (colour, marker, label) in _QUANTITIES.items():
            ax.plot(depth, table[name], marker=marker, color=colour, label=label)
            if f"{name}_low" in table:
                ax.fill_between(depth, table[f"{name}_low"], table[f"{name}_high"], color=colour, alpha=0.2, lw=0)
        ax.axhline(1, color=_GREY, lw=0.8, ls=":")
        ax.set(yscale="log", xlabel="relative depth", title=title)
        _plain(ax.yaxis)
    for ax in axes.flat[len(tables) :]:
        ax.set_axis_off()
        if not tables:
            ax.text(0.5, 0.5, "nothing to show yet", ha="center", color=_GREY, transform=ax.transAxes)
    for ax in axes[:, 0]:
        ax.set_ylabel("sensitivity, or ratio")
    _legend(fig, axes[0, 0], 3)
    return fig


def among_networks(nets: pd.DataFrame, found: Mapping[str, float], *, errors: Mapping[str, float] | None = None) -> Any:
    """The book's networks on CIFAR-10 in grey with their fit, and R of other networks as vertical lines: a Figure.

    Args:
        nets: one row per network, columns R and error (`networks`). The band is the fit's typical factor, and
            holds for CIFAR-10 alone.
        found: R at the output, by the name of a network each.
        errors: test errors of some of them, each a point on its line.

    Raises ModuleNotFoundError without matplotlib.

    >>> fig = among_networks(networks(), {"mine": 0.2}, errors={"mine": 0.1})
    >>> [line.get_label() for line in fig.axes[0].lines[-2:]]
    ['mine: $R$ = 0.2', 'its error: 0.1']
    """
    fig = _figure(6.6, 4.2)
    ax = fig.subplots()
    ends = [min(nets["R"].min(), *found.values()) / 1.5, max(nets["R"].max(), *found.values()) * 1.5]
    x = np.geomspace(*ends, 50)
    curve, factor = predicted(nets, x)
    ax.fill_between(x, curve / factor, curve * factor, color=_GREY, alpha=0.2, lw=0)
    ax.plot(x, curve, color=_GREY, label="their fit, with its typical factor")
    ax.plot(nets["R"], nets["error"], "o", color=_GREY, mfc="white", label=f"{len(nets)} networks on CIFAR-10")
    for index, (name, R) in enumerate(found.items()):
        colour = _LINES[index % len(_LINES)]
        ax.axvline(R, color=colour, ls=("--", ":", "-.")[index // len(_LINES) % 3], label=f"{name}: $R$ = {R:.2g}")
        if name in (errors or {}):
            ax.plot(R, errors[name], "D", color=colour, ms=8, label=f"its error: {errors[name]:.2g}")
    ax.set(xscale="log", yscale="log", xlim=ends, xlabel="$R_f$", ylabel="test error ε on CIFAR-10")
    _plain(ax.xaxis)
    _plain(ax.yaxis)
    _legend(fig, ax, 2)
    return fig


def _figure(width: float, height: float) -> Any:
    """A new Figure, without pyplot, so that nothing is global; sizes in inches."""
    return extra("matplotlib.figure", "a picture").Figure(figsize=(width, height), layout="constrained")


def _plain(axis: Any) -> None:
    """Numbers as 0.02, 0.05, 0.1 on a logarithmic axis."""
    ticker = extra("matplotlib.ticker", "a picture")
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _legend(fig: Any, ax: Any, columns: int) -> None:
    """A legend below the figure."""
    handles = ax.get_legend_handles_labels()[0]
    if handles:
        fig.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
