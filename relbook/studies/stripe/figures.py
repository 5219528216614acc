"""Figures of the stripe model: B Fig. 7, the alignment behind it, and its dependence on how one trains.

>>> from relbook import registry
>>> from relbook.studies.stripe import figures
>>> fig = figures.relative_stability(registry.rows("stripe", "tiny"))  # doctest: +SKIP
"""

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from relbook.drawing import style
from relbook.studies import toys
from relbook.studies.stripe import study as stripe

PROTOCOLS = {  # (optimiser, alpha): label, colour, marker
    ("gd", 1e-4): (r"gradient descent, $\alpha = 10^{-4}$", style.BLUE, "o"),
    ("gd", 1e-2): (r"gradient descent, $\alpha = 10^{-2}$", style.SKY, "s"),
    ("gd", 1e-6): (r"gradient descent, $\alpha = 10^{-6}$", style.BLACK, "D"),
    ("sgd", 1e-4): (r"stochastic, batch 256, $\alpha = 10^{-4}$", style.ORANGE, "^"),
    ("adam", 1e-4): (r"Adam, $\alpha = 10^{-4}$", style.RED, "X"),
}
SIZE = "training-set size $P$"


@style.styled
def relative_stability(rows: pd.DataFrame, *, points: int = 500, seed: int = 0) -> Figure:
    """B Fig. 7: the data in the plane of the informative and one invariant direction, and R_f against P.

    Right: small marks are networks, the line their geometric mean, by the declared rule; hollow marks before
    training.
    """
    x, labels = toys.stripe(points, stripe.DIMENSION, generator=torch.Generator().manual_seed(seed))
    fig, (left, right) = style.figure(1, 2, height=3.7)
    for sign, colour, marker, name in ((1, style.RED, "o", "$y = +1$"), (-1, style.BLUE, "x", "$y = -1$")):
        part = x[labels == sign].numpy()
        left.plot(part[:, 0], part[:, 1], marker, color=colour, ms=3.5, label=name)
    for plane in toys.INTERFACES:
        left.plot([plane, plane], [-3.2, 3.2], color=style.BLACK, lw=1.3)
    left.set(xlabel=r"$x_\parallel$, informative", ylabel=r"$x_\perp$, one of 29", aspect="equal",
             xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))  # fmt: skip
    left.grid(False)
    _scatter(right, rows, "R", "o", style.BLUE, rf"after: exponent {_exponent(rows, 'R')}")
    start = stripe.chosen(rows, stop=1.0)
    right.plot(
        start.train, start.R, marker="o", ms=4, label="before training", **style.stroke("init", style.GREY) | {"ls": ""}
    )
    _guide(right, rows, "R", -1.0, "exponent $-1$ (paper)")
    right.set(xscale="log", yscale="log", xlabel=SIZE, ylabel="$R_f$")
    _sizes(right, start.train)
    fig.legend(loc="outside lower center", ncols=3)
    return fig


@style.styled
def alignment(rows: pd.DataFrame) -> Figure:
    """The alignment law Λ ~ √P, and R_f against Λ for every network of the study over d/(Λ² + d - 1)."""
    fig, (left, right) = style.figure(1, 2, height=3.3)
    _scatter(left, rows, "Lambda", "o", style.BLUE, f"exponent {_exponent(rows, 'Lambda')}")
    _guide(left, rows, "Lambda", 0.5, r"exponent $\frac{1}{2}$ (paper)")
    left.set(xscale="log", yscale="log", xlabel=SIZE, ylabel=r"alignment $\Lambda$")
    _sizes(left, stripe.chosen(rows).train)
    left.legend(loc="upper left")
    left.set_ylim(top=rows.Lambda.max() * 1.6)
    left.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:.0f}" if value // 10 in (3, 5, 7) else ""))
    for (optimiser, alpha), (label, colour, marker) in PROTOCOLS.items():
        part = rows[(rows.optimiser == optimiser) & (rows.alpha == alpha)]
        if len(part):
            ratio = part.R / stripe.isotropic_relation(part.Lambda)
            right.plot(part.Lambda, ratio, marker, color=colour, ms=3.5, alpha=0.7, label=label)
    right.axhline(1, color=style.BLACK, ls=style.PAPER, lw=1.2, label=r"$R_f = d / (\Lambda^2 + d - 1)$")
    right.set(xscale="log", yscale="log", xlabel=r"alignment $\Lambda$", ylabel=r"$R_f\, (\Lambda^2 + d - 1) / d$")
    fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return fig


@style.styled
def rules(rows: pd.DataFrame) -> Figure:
    """Exponents of R_f and Λ in P against the stop, by optimiser and α, with standard errors over seeds."""
    fig, axes = style.figure(1, 2, height=3.7)
    stops = sorted(rows.stop[rows.stop < 1].unique(), reverse=True)
    for ax, quantity, paper, name in zip(axes, ("R", "Lambda"), (-1.0, 0.5), ("$R_f$", r"$\Lambda$"), strict=True):
        table = stripe.exponents(rows, quantity)
        ax.axhline(paper, color=style.BLACK, lw=1.2, ls=style.PAPER, label="paper")
        for i, ((optimiser, alpha), (label, colour, marker)) in enumerate(PROTOCOLS.items()):
            part = table[(table.optimiser == optimiser) & (table.alpha == alpha)].sort_values("stop", ascending=False)
            if len(part):
                at = [stops.index(stop) + 0.08 * (i - 2) for stop in part.stop]
                ax.errorbar(
                    at, part.exponent, part.error, fmt=f"{marker}-", color=colour, capsize=2, lw=1.1, label=label
                )
        ax.set(
            xlabel="violated margins at the stop", ylabel=f"exponent of {name} in $P$", xlim=(-0.5, len(stops) - 0.5)
        )
        ax.set_xticks(range(len(stops)), [f"{100 * stop:.0f} %" for stop in stops])
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return fig


def _exponent(rows: pd.DataFrame, quantity: str) -> str:
    value, error = stripe.slope(rows, quantity)
    return rf"${value:.2f} \pm {error:.2f}$"


def _scatter(ax: Axes, rows: pd.DataFrame, quantity: str, marker: str, colour: str, label: str) -> None:
    part = stripe.chosen(rows)
    ax.plot(part.train, part[quantity], marker, color=colour, ms=3, alpha=0.6)
    mean = np.log(part.set_index("train")[quantity]).groupby(level=0).mean().map(np.exp)
    ax.plot(mean.index, mean, "-", color=colour, label=label)


def _guide(ax: Axes, rows: pd.DataFrame, quantity: str, power: float | int, label: str) -> None:
    """A line of the paper's exponent through the middle of the measured means."""
    table = np.log(stripe.complete(rows, quantity)).mean(axis=1)
    sizes = table.index.to_numpy(float)
    middle = table.mean() + power * (np.log(sizes) - np.log(sizes).mean())
    ax.plot(sizes, np.exp(middle), ls=style.PAPER, color=style.BLACK, lw=1.2, label=label)


def _sizes(ax: Axes, sizes: pd.Series) -> None:
    ticks = sorted(sizes.unique())
    shown = ticks[:: 1 if len(ticks) <= 4 else 2]  # as many as stand side by side
    ax.set_xticks(shown, [str(int(tick)) for tick in shown])
    ax.set_xticks([], minor=True)
