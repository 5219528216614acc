"""Diffeomorphisms as augmentation: what a training set turns into, and what becomes of D, R and the test error.

`draws` takes an image, the other functions rows of the study `augmentation`.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas.api.typing import DataFrameGroupBy
from torch import Tensor

from relbook.drawing import style
from relbook.drawing.nets import drawn, in_order, label, legend, look, net, nothing
from relbook.studies.augmentation import tables
from relstab import diffeo

NAMES = {"R": "$R_f$", "D": "$D_f$", "test_error": "test error ε"}
STROKE = {False: "plain", True: "augmented"}  # by whether there are crops and flips


@style.styled
def draws(image: Float[Tensor, "channel height width"], settings: Sequence, *, count: int = 7, seed: int = 0) -> Figure:
    """An image and `count` random deformations of it, a row a setting (δ, c); a heavy frame around those that fold.

    Args:
        image: [channel, n, n] in [0, 1].
    """
    fig, axes = style.figure(len(settings), count + 1, height=0.98 * len(settings), squeeze=False)
    for line, (displacement, cut) in zip(axes, settings, strict=True):
        coefficients = diffeo.sample_coefficients(count, cut, generator=torch.Generator().manual_seed(seed))
        size = image.shape[-1]
        field = diffeo.displacement_field(coefficients, diffeo.temperature(displacement, cut, size), size)
        moved = diffeo.warp(image.expand(count, -1, -1, -1), field)
        folds = [False, *(~diffeo.is_bijective(field)).tolist()]
        for ax, picture, folded in zip(line, [image, *moved], folds, strict=True):
            ax.imshow(picture.permute(1, 2, 0).clamp(0, 1).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            for spine in ax.spines.values():
                spine.set(visible=folded, color=style.RED, linewidth=3)
        line[0].set_ylabel(f"δ = {displacement:g}\nc = {cut}")
    axes[0, 0].set_title("stored")
    return fig


@drawn
def with_and_without(rows: pd.DataFrame, zoo: pd.DataFrame | None = None) -> Figure:
    """B Fig. 12: R of the same network trained without and with crops and flips, a pair a seed, a panel a data set.

    rows: of this study, of which the networks trained without deformations count; zoo: the pairs of
    `zoo.tables.with_and_without_augmentation`, drawn beside them.
    """
    columns = [*tables.KIND, "augment", "seed", "R"]
    found = [tables.finished(rows).query("displacement == 0")[columns]] if len(rows) else []
    found += [zoo[columns]] if zoo is not None and len(zoo) else []
    pairs = pd.concat(found).set_index(columns[:-1])["R"].unstack("augment").dropna() if found else []
    datasets = sorted(pairs.index.unique("dataset"), key=in_order) if len(pairs) else []
    fig, axes = style.figure(1, max(len(datasets), 1), height=3.7, squeeze=False, sharey=True)
    if not datasets:
        nothing(axes[0, 0])
    for ax, dataset in zip(axes[0], datasets, strict=False):
        part = pairs.xs(dataset, level="dataset")
        names = list(dict.fromkeys(part.index.droplevel("seed")))
        for (architecture, width, seed), line in part.iterrows():
            _, colour, marker = look(architecture)
            place = names.index((architecture, width)) + 0.16 * (2 * (seed % 2) - 1) * (
                len(part.loc[architecture, width]) > 1
            )
            ax.plot([place] * 2, [line[False], line[True]], color=colour, lw=1, alpha=0.6)
            for augment in (False, True):
                ax.plot(place, line[augment], marker=marker, ms=8, **style.stroke(STROKE[augment], colour))
        ax.axhline(1, **style.GUIDE)
        ax.set(yscale="log", title=label(dataset).replace("\n", " "), xlim=(-0.6, len(names) - 0.4))
        ax.set_xticks(range(len(names)), [net(*name).replace(" ", "\n") for name in names], fontsize=10)
    axes[0, 0].set_ylabel(NAMES["R"])
    handles = style.key("plain", "augmented")
    for handle in handles:
        handle.set_linestyle("")
    legend(fig, handles, 2)
    return fig


@drawn
def against_displacement(rows: pd.DataFrame) -> Figure:
    """R, D and the test error against the δ of the training images, one row of panels a data set."""
    table = tables.means(rows)
    datasets = list(dict.fromkeys(table["dataset"]))
    fig, axes = style.figure(
        max(len(datasets), 1), 3, height=2.6 * max(len(datasets), 1) + 0.8, squeeze=False, sharex=True
    )
    handles = []
    if not datasets:
        for ax in axes.flat:
            nothing(ax)
    for line, dataset in zip(axes, datasets, strict=False):
        for (architecture, width, augment), part in _lines(table, dataset):
            _, colour, marker = look(architecture)
            for ax, name in zip(line, NAMES, strict=True):
                ax.plot(part["displacement"], part[name], marker=marker, **style.stroke(STROKE[augment], colour))
            handles.append(Line2D([], [], color=colour, marker=marker, label=net(architecture, width)))
        for ax, written in zip(line, NAMES.values(), strict=True):
            ax.set(yscale="log", title=written)
        line[0].set_ylabel(label(dataset))
    for ax in axes[-1] if datasets else ():
        ax.set(xlabel="δ in training (pixels)", xticks=sorted(table["displacement"].unique()))
    legend(fig, [*handles, *style.key("plain", "augmented")], 3)
    return fig


@drawn
def error_against_stability(rows: pd.DataFrame) -> Figure:
    """The test error against R, one panel a data set: arrows lead from δ = 0 to the largest δ of the training
    images.
    """
    table = tables.means(rows)
    datasets = list(dict.fromkeys(table["dataset"]))
    fig, axes = style.figure(1, max(len(datasets), 1), height=4.2, squeeze=False)
    handles = []
    if not datasets:
        nothing(axes[0, 0])
    for ax, dataset in zip(axes[0], datasets, strict=False):
        for (architecture, width, augment), part in _lines(table, dataset):
            _, colour, marker = look(architecture)
            ax.plot(part["R"], part["test_error"], marker=marker, **style.stroke(STROKE[augment], colour))
            ends = part[["R", "test_error"]].to_numpy()[-2:]
            if len(ends) == 2:
                arrow = {"arrowstyle": "->", "color": colour, "lw": 2.0, "shrinkB": 5}
                ax.annotate("", ends[1], ends[0], arrowprops=arrow, zorder=5)
            handles.append(Line2D([], [], color=colour, marker=marker, label=net(architecture, width)))
        ax.set(xscale="log", yscale="log", xlabel=NAMES["R"], title=label(dataset).replace("\n", " "))
    axes[0, 0].set_ylabel(NAMES["test_error"])
    legend(fig, [*handles, *style.key("plain", "augmented")], 3)
    return fig


def _lines(table: pd.DataFrame, dataset: str) -> DataFrameGroupBy:
    """One group a kind of network, with and without crops and flips, in the order of δ."""
    part = table[table["dataset"] == dataset].sort_values("displacement")
    return part.groupby(["architecture", "width", "augment"], sort=False)


def effects_in_words(effects: pd.DataFrame) -> pd.DataFrame:
    """`effects` as a page shows them: names for people, without widths and seeds.

    >>> line = {"dataset": "mnist", "architecture": "lenet", "width": 1.0, "augment": True, "displacement": 1.0}
    >>> list(effects_in_words(pd.DataFrame([line | dict.fromkeys(tables.MEASURES, 1.0) | {"seeds": 2}])))[:4]
    ['data', 'network', 'crops and flips', 'δ']
    """
    found = effects.drop(columns=["width", "seeds"])
    found["dataset"] = found["dataset"].map(lambda name: label(name).replace("\n", " "))
    found["architecture"] = [net(*names) for names in zip(effects["architecture"], effects["width"], strict=True)]
    found["augment"] = found["augment"].map({True: "yes", False: "no"})
    found["displacement"] = found["displacement"].map("{:g}".format)
    names = {"dataset": "data", "architecture": "network", "augment": "crops and flips", "displacement": "δ"}
    return found.rename(columns=names | tables.WORDS)
