"""The zoo at the output of its networks: B Figs. 3 to 6, 12, 13, 15 to 22; and what JPEG does.

Every function takes the rows of the study `zoo` at one scale (`relbook.registry.rows("zoo", scale)`) and draws
what is there; networks that diverged or collapsed are left out (`zoo_tables.failures` lists them).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from relbook.drawing import style
from relbook.drawing.nets import drawn, in_order, label, legend, look, name_points, net, nothing, outer, same
from relbook.studies.select import UNSHUFFLED, Statistic, select
from relbook.studies.zoo import tables

CUT_COLOURS = {3: style.BLUE, 5: style.ORANGE, 15: style.GREEN}
SYMBOLS = {"bilinear": "o", "gaussian": "s"}  # of the interpolations
MODERN = tuple(reversed(style.FAMILIES))  # the order of panels: modern networks first
FEWEST = 6  # networks for a correlation or a fit; the ledger, too, decides nothing from fewer


@drawn
def displacement_sweep(rows: pd.DataFrame, *, columns: int = 2) -> Figure:
    """B Fig. 3, left: R against the displacement δ, at initialisation and trained, per cut-off.

    A panel per network that was probed at several δ, modern ones first; squares: Gaussian instead of bilinear
    interpolation.
    """
    probe = {"layer": "output", "shuffle": UNSHUFFLED, "statistic": Statistic.COMPONENT_MEDIAN}
    table = select(tables.measured(rows), **probe)
    by = ["dataset", "architecture", "width", "stage", "cut", "interpolation", "displacement"]
    table = tables.geometric(tables.on_full_set(table), by)
    many = table.groupby(["dataset", "architecture", "width"])["displacement"].transform("nunique") > 2
    panels = list(table[many].groupby(["dataset", "architecture", "width"], sort=False))
    panels.sort(key=lambda panel: MODERN.index(style.family(panel[0][1])))
    lines = -(-max(len(panels), 1) // columns)
    fig, axes = style.figure(lines, columns, height=3.0 * lines, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(panels) :]:
        nothing(ax, "") if panels else nothing(ax)
    for ax, ((_, architecture, width), panel) in zip(axes.flat, panels, strict=False):
        for (cut, stage, interpolation), line in panel.groupby(["cut", "stage", "interpolation"]):
            line = line.sort_values("displacement")
            ax.plot(line["displacement"], line["R"], marker=SYMBOLS[interpolation], ms=4,
                    **style.stroke(stage, CUT_COLOURS.get(cut, style.PURPLE)))  # fmt: skip
        ax.axhline(1, **style.GUIDE)
        ax.axvline(1, **style.GUIDE)
        ax.set(xscale="log", yscale="log", title=net(architecture, width))
    outer(axes, "displacement δ (pixels)", "$R_f$")
    handles = [Line2D([], [], color=colour, label=f"c = {cut}") for cut, colour in CUT_COLOURS.items()]
    handles += style.key("trained", "init", marker="")
    handles += [
        Line2D([], [], color=style.GREY, marker=marker, ls="", label=f"{written} interpolation")
        for written, marker in zip(("bilinear", "Gaussian"), SYMBOLS.values(), strict=True)
    ]
    legend(fig, handles, 3)
    return fig


@drawn
def dots(
    rows: pd.DataFrame,
    architectures: Sequence[str],
    imagenet: pd.DataFrame | None = None,
    *,
    paper: Sequence | None = None,
) -> Figure:
    """B Fig. 3 centre and Fig. 4 top: R(δ = 1) per data set, initialised (hollow) and trained (filled).

    Args:
        architectures: names, a panel each; of several widths the largest is shown, and named.
        paper: the range of R that the paper states for trained networks, shaded.
        imagenet: rows of the study `imagenet`, for a second line of panels: networks that others trained, on the
            original CIFAR-10 (in `rows`) and on ImageNet.
    """
    others = imagenet is not None and len(imagenet) > 0
    sets = tables.on_full_set(rows).groupby("architecture")["dataset"].nunique()
    fig, axes = style.figure(
        1 + others,
        len(architectures),
        height=3.4 + 2.3 * others,
        squeeze=False,
        sharey=True,
        width_ratios=[1 + sets.get(name, 1) for name in architectures],
    )
    for ax, architecture in zip(axes[0], architectures, strict=False):
        found, widths = {}, set()
        for (position, stage), table in _dot_tables(rows, tuple(CUT_COLOURS)):
            table = table[table["architecture"] == architecture]
            table = table[table["width"] == table.groupby("dataset")["width"].transform("max")]
            found[position, stage] = tables.geometric(table, ["dataset"]).set_index("dataset")["R"]
            widths.update(table["width"])
        _dot_panel(ax, found, _with_widths(architecture, widths), paper)
    if others:
        for ax in axes[1]:
            ax.remove()
        cuts = sorted(int(cut) for cut in imagenet["cut"].dropna().unique())
        small = rows[rows["recipe"] == "published"]
        lines = {
            "CIFAR-10, trained by others": (small, tuple(CUT_COLOURS)),
            "ImageNet, trained by others": (imagenet, cuts),
        }
        lines = {title: line for title, line in lines.items() if len(line[0])}
        second = axes[1, 0].get_gridspec()[1, :].subgridspec(1, len(lines))
        for place, (title, (table, own)) in zip(second, lines.items(), strict=True):
            ax = fig.add_subplot(place, sharey=axes[0, 0])
            found = {key: part.set_index("architecture")["R"] for key, part in _dot_tables(table, own)}
            _dot_panel(ax, found, title, paper, size=8.5)
            ax.tick_params(labelleft=ax.get_subplotspec().is_first_col())
            if ax.get_subplotspec().is_first_col():
                ax.set_ylabel(r"$R_f(\delta = 1)$")
    axes[0, 0].set_ylabel(r"$R_f(\delta = 1)$")
    texts = [f"c = {cut}" for cut in CUT_COLOURS]
    if others:
        texts = [a if cut == int(a[4:]) else f"{a} (ImageNet: {cut})" for a, cut in zip(texts, cuts, strict=False)]
    handles = [
        Line2D([], [], color=colour, marker="o", ls="", label=text)
        for colour, text in zip(CUT_COLOURS.values(), texts, strict=False)
    ]
    handles += [_unlined(handle) for handle in style.key("init", "trained")]
    if paper is not None:
        handles.append(Line2D([], [], color=style.GREY, alpha=0.3, lw=8, label="trained (paper)"))
    legend(fig, handles, 3)
    return fig


def _dot_tables(rows: pd.DataFrame, cuts: Sequence[int]) -> Iterator[tuple]:
    """((position of the cut-off, stage), its networks at the output), full sets only."""
    for position, cut in enumerate(cuts):
        for stage in ("init", "trained"):
            yield (
                (position, stage),
                tables.on_full_set(tables.without_controls(tables.outputs(rows, stage=stage, cut=cut))),
            )


def _with_widths(architecture: str, widths: Iterable[float | int]) -> str:
    """The name of a panel's network with its widths, which may differ between data sets."""
    names = [net(architecture, width).removeprefix(label(architecture)) for width in sorted(widths, reverse=True)]
    return f"{label(architecture)}\n{', '.join(name.strip() for name in names)}".strip()


def _dot_panel(ax: Axes, found: Mapping, title: str, paper: Sequence | None = None, *, size: float | int = 9) -> None:
    """Dots of R by name, hollow before training; found: (position of the cut-off, stage) -> R by name.

    Args:
        paper: the range that it states, shaded.
        size: of the names, in points.
    """
    names = sorted(dict.fromkeys(name for values in found.values() for name in values.index), key=in_order)
    if not names:
        nothing(ax)
        return
    colours = list(CUT_COLOURS.values())
    for (position, stage), values in found.items():
        place = [names.index(name) + 0.25 * (position - 1) for name in values.index]
        colour = colours[position % len(colours)]
        _unlined(*ax.plot(place, values, marker="o", ms=6, **style.stroke(stage, colour)))
    ax.axhline(1, **style.GUIDE)
    if paper is not None:
        ax.axhspan(*paper, color=style.GREY, alpha=0.15, lw=0)
    ax.set(yscale="log", title=title, xlim=(-0.6, len(names) - 0.4))
    written = [label(name).replace("Fashion-M", "Fashion-\nM").replace("Net-Lite", "Net-\nLite") for name in names]
    ax.set_xticks(range(len(names)), written, fontsize=size)


def _unlined(line: Line2D) -> Line2D:
    """The symbols of a line alone."""
    line.set_linestyle("")
    return line


@drawn
def learning_curve(rows: pd.DataFrame, quantity: str = "R") -> Figure:
    """B Figs. 3 right, 4 bottom and 13: R (or D, G) against the number P of training images.

    Dashed: initialisation. A panel per data set. The triangle's hypotenuse has slope -1, the law of the
    stripe model (B Sec. 6).
    """
    table, start = tables.learning_sets(rows), tables.learning_sets(rows, stage="init")
    datasets = sorted(dict.fromkeys(table["dataset"]), key=in_order)
    fig, axes = style.figure(1, max(len(datasets), 1), height=3.4, squeeze=False, sharey=True)
    if not datasets:
        nothing(axes[0, 0])
    seen = {}
    for ax, dataset in zip(axes[0], datasets, strict=False):
        chosen = table[table["dataset"] == dataset]
        for (architecture, width), line in chosen.groupby(["architecture", "width"], sort=False):
            _, colour, marker = look(architecture)
            name = net(architecture, width)
            seen[name] = ax.plot(line["train_size"], line[quantity], color=colour, marker=marker, label=name)[0]
            first = start[
                (start["dataset"] == dataset) & (start["architecture"] == architecture) & (start["width"] == width)
            ]
            ax.plot(first["train_size"], first[quantity], lw=1, **style.stroke("init", colour))
        low, high = chosen["train_size"].min(), chosen["train_size"].max()
        if quantity == "R":
            at, top = np.array([high / 4, high]), chosen["R"].min() * 1.1
            ax.plot([at[0], at[1], at[0], at[0]], [top, top / 4, top / 4, top], color=style.GREY, lw=1)
            ax.annotate(
                "$P^{-1}$", (at[0], top / 2.2), xytext=(-4, 0), textcoords="offset points", ha="right", color=style.GREY
            )
        ax.set(xscale="log", yscale="log", xlim=(low / 1.3, high * 1.3), xlabel="training images P",
               title=label(dataset).replace("\n", " "))  # fmt: skip
    axes[0, 0].set_ylabel(f"${quantity}_f$" + r"$(\delta = 1)$")
    legend(fig, [*seen.values(), *style.key("init", marker="")], 4)
    return fig


def _networks(ax: Axes, table: pd.DataFrame, quantity: str, *, each: pd.DataFrame | None = None) -> None:
    """A symbol a network, black-rimmed if others trained it; B's line for R. each: the single seeds, drawn as bars."""
    for line in table.to_dict("records"):
        text, colour, marker = look(line["architecture"])
        rim = style.OTHERS if line["recipe"] == "published" else {}
        ax.plot(line[quantity], line["error"], marker, color=colour, ms=7, label=text, **rim)
        if each is not None:
            own = each[(each[tables.NETWORK] == [line[name] for name in tables.NETWORK]).all(axis=1)]
            ax.hlines(line["error"], own[quantity].min(), own[quantity].max(), color=colour)
            ax.vlines(line[quantity], own["error"].min(), own["error"].max(), color=colour)
    x = np.array([table[quantity].min() / 1.5, table[quantity].max() * 1.5])
    if quantity == "R":
        ax.plot(x, 0.2 * np.sqrt(x), ls=style.PAPER, color=style.GREY, label=r"paper: $0.2\,R_f^{1/2}$")
    ax.set(xscale="log", yscale="log", xlabel=f"${quantity}_f$", ylabel="test error ε", xlim=x)


def _others(table: pd.DataFrame) -> list:
    """The handle that explains the rim, where there are networks that others trained."""
    if not (len(table) and table["recipe"].eq("published").any()):
        return []
    return [Line2D([], [], marker="o", ls="", color=style.GREY, label="trained by others", **style.OTHERS)]


def _law(ax: Axes, table: pd.DataFrame, quantity: str, **look: Any) -> None:
    """The power law through the points; none for fewer than `FEWEST`, or where their correlation may be zero."""
    if len(table) < FEWEST or np.ptp(np.log(table[quantity])) < 1e-9:
        return
    low, high = tables.interval(table[quantity], table["error"])
    if low * high > 0:
        ends = np.array([table[quantity].min(), table[quantity].max()])
        slope, constant = np.polyfit(np.log(table[quantity]), np.log(table["error"]), 1)
        ax.plot(ends, np.exp(constant) * ends**slope, lw=1, **look)


def _statistics(table: pd.DataFrame, quantity: str, between: str = ", ", *, fit: bool = True) -> str:
    """How many networks, their correlation with its interval and, for R, the `fit`; nothing more of few (`FEWEST`)."""
    parts = [f"{len(table)} networks"]
    if len(table) >= FEWEST:
        low, high = tables.interval(table[quantity], table["error"])
        parts.append(f"correlation {tables.correlation(table[quantity], table['error']):.2f} [{low:.2f}, {high:.2f}]")
        if quantity == "R" and fit:
            found = tables.law(table["error"], table["R"])
            parts += [f"slope {found.slope:.2f}", f"prefactor at slope ½: {found.prefactor:.2f}"]
    return between.join(parts).replace("-", "−")


@drawn
def error_against(
    rows: pd.DataFrame,
    quantity: str = "R",
    *,
    datasets: Sequence[str] | None = None,
    names: bool = True,
    bars: bool = False,
    **probe: Any,
) -> Figure:
    """B Fig. 5 (R), 15 and 16 (D, G), 19 (bars over seeds): test error against a sensitivity.

    One point a network, seeds averaged; black-rimmed: trained by others. For R the power law fitted to the networks
    trained here, its correlation with a bootstrap interval (also with those of others), and B's line ε = 0.2 √R.
    datasets: default CIFAR-10 or what there is; **probe: options of `zoo_tables.outputs`.
    """
    table = tables.compared(rows, datasets, **probe)
    fig, ax = style.figure(height=4.8)
    if table.empty:
        nothing(ax)
        return fig
    each = tables.compared(rows, datasets, each_seed=True, **probe) if bars else None
    _networks(ax, table, quantity, each=each)
    here = table[table["recipe"] != "published"]
    mixed = 0 < len(here) < len(table)
    _law(ax, here if mixed else table, quantity, color=style.BLACK, label="fit, trained here" if mixed else "fit")
    title = _statistics(here if mixed else table, quantity)
    if mixed:
        title = "\n".join([
            "Trained here: " + title.replace(", slope", ",\nslope"),
            "with those of others: " + _statistics(table, quantity, fit=False),
        ])  # fmt: skip
    ax.set_title(title, fontsize=10, loc="left")
    legend(fig, ax.get_legend_handles_labels()[0] + _others(table), 3)
    if names:
        twice = table.duplicated(["dataset", "architecture", "width"], keep=False)
        written = [
            net(line["architecture"], line["width"]) + (f", {line['epochs']} epochs" if again else "")
            for line, again in zip(table.to_dict("records"), twice, strict=True)
        ]
        name_points(ax, table[[quantity, "error"]].to_numpy(), written)
    return fig


@drawn
def error_row(rows: pd.DataFrame, *, quantities: str = "DGR", **probe: Any) -> Figure:
    """B Figs. 15 to 17 and A Fig. 1 centre in one row: error against D, G and R, one axis of errors.

    Below each axis the correlation of the logarithms over three groups of networks. Lines: power laws fitted to the
    convolutional networks trained here (black) and to all trained here (grey), where the interval of the correlation
    does not hold zero. **probe: options of `tables.outputs`.
    """
    table = tables.compared(rows, **probe)
    fig, axes = style.figure(1, len(quantities), height=4.0, squeeze=False, sharey=True)
    if table.empty:
        for ax in axes[0]:
            nothing(ax)
        return fig
    parts = tables.groups(table)
    here, alike = parts["without those of others"], parts["convolutional, trained here"]
    for ax, quantity in zip(axes[0], quantities, strict=True):
        _networks(ax, table, quantity)
        _law(ax, here, quantity, color=style.GREY, zorder=0, label="fit, trained here")
        _law(ax, alike, quantity, color=style.BLACK, zorder=0, label="fit, convolutional ones")
        lines = [f"${quantity}_f$"] + [
            f"{name} {len(part)}: {style.signed(tables.correlation(part[quantity], part['error']))}"
            for name, part in (("all", table), ("trained here", here), ("convolutional", alike))
            if len(part) >= FEWEST
        ]
        ax.set(xlabel="\n".join(lines), ylabel="")
        ax.xaxis.label.set_size(10)
    axes[0, 0].set_ylabel("test error ε")
    handles = [handle for ax in axes[0] for handle in ax.get_legend_handles_labels()[0]]
    legend(fig, handles + _others(table), 3)
    return fig


@drawn
def means_against_medians(rows: pd.DataFrame) -> Figure:
    """B Fig. 17: D, G and R of the networks on CIFAR-10, averaged over images, against their medians.

    On the diagonal the two agree; networks that rise together are in the same order, whichever statistic one takes.
    """
    both = tables.compared(rows).merge(
        tables.compared(rows, statistic="mean"), on=tables.NETWORK, suffixes=("", "_mean")
    )
    fig, axes = style.figure(1, 3, height=3.6)
    for ax, quantity in zip(axes, tables.QUANTITIES, strict=True):
        if both.empty:
            nothing(ax)
            continue
        across, up = both[quantity], both[f"{quantity}_mean"]
        for line in both.to_dict("records"):
            text, colour, marker = look(line["architecture"])
            rim = style.OTHERS if line["recipe"] == "published" else {}
            ax.plot(line[quantity], line[f"{quantity}_mean"], marker, color=colour, ms=7, label=text, **rim)
        ends = np.array([min(across.min(), up.min()) / 1.4, max(across.max(), up.max()) * 1.4])
        ax.plot(ends, ends, **style.GUIDE)
        rank = across.corr(up, method="spearman") if len(both) >= FEWEST else float("nan")
        known = f"\nrank correlation {rank:.2f}".replace("-", "−") if np.isfinite(rank) else ""
        ax.set(
            xscale="log",
            yscale="log",
            xlim=ends,
            ylim=ends,
            aspect="equal",
            xlabel=f"median{known}",
            title=f"${quantity}_f$",
        )
    axes[0].set_ylabel("mean over images")
    legend(fig, [handle for ax in axes for handle in ax.get_legend_handles_labels()[0]] + _others(both), 3)
    return fig


@drawn
def by_size(rows: pd.DataFrame) -> Figure:
    """R and the test error of the networks on CIFAR-10 against their width; a line an architecture, the rest points.

    Dashed: R of trained networks in the paper, 0.01 to 0.1. The networks of an architecture may also differ in epochs.
    """
    table = tables.compared(rows)
    fig, axes = style.figure(1, 2, height=3.7)
    if table.empty:
        nothing(axes[0])
        nothing(axes[1])
        return fig
    for ax, quantity, name in zip(axes, ("R", "error"), ("$R_f$", "test error ε"), strict=True):
        for architecture, line in table.sort_values(["width", "epochs"]).groupby("architecture", sort=False):
            text, colour, marker = look(architecture)
            line = line.drop_duplicates("width", keep="last")
            rim = style.OTHERS if (line["recipe"] == "published").all() else {}
            ax.plot(line["width"], line[quantity], marker=marker, color=colour, lw=1.2, label=text, **rim)
        ax.set(xscale="log", yscale="log", xlabel="width, of the paper's", ylabel=name)
        ax.set_xticks([1 / 8, 1 / 4, 1 / 2, 1], ["1/8", "1/4", "1/2", "1"])
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0].axhspan(0.01, 0.1, color=style.GREY, alpha=0.15, lw=0)
    legend(fig, axes[0].get_legend_handles_labels()[0] + _others(table), 3)
    return fig


@drawn
def error_panels(rows: pd.DataFrame, panels: Mapping) -> Figure:
    """B Figs. 17, 20, 21: test error against a sensitivity, a panel per choice of data sets and of probe.

    Args:
        panels: {title: options of `zoo_tables.compared`, and `quantity`}.
    """
    fig, axes = style.figure(1, len(panels), height=4.1, squeeze=False)
    everything = []
    for ax, (title, options) in zip(axes[0], panels.items(), strict=True):
        options = dict(options)
        quantity = options.pop("quantity", "R")
        table = tables.compared(rows, **options)
        ax.set_title(title)
        if table.empty:
            nothing(ax)
            continue
        _networks(ax, table, quantity)
        _law(ax, table, quantity, color=style.BLACK, label="fit")
        ax.set_xlabel(f"${quantity}_f$\n" + _statistics(table, quantity, "\n"), fontsize=10)
        ax.set_ylabel("")
        everything.append(table)
    axes[0, 0].set_ylabel("test error ε")
    handles = [handle for ax in axes.flat for handle in ax.get_legend_handles_labels()[0]]
    legend(fig, handles + [rim for table in everything for rim in _others(table)], 3)
    return fig


@drawn
def sensitivities_against_size(rows: pd.DataFrame, cuts: Sequence = (3, 5, 15), *, primitive: bool = False) -> Figure:
    """B Figs. 6 and 22: G, D and R against the number of training images, a panel a network and data set.

    Shades are cut-offs, c = 3 the darkest, with bars over the seeds.

    Args:
        primitive: Fully connected networks and LeNet, else the others.
    """
    found = {cut: tables.learning_sets(rows, cut=cut) for cut in cuts}
    found = {cut: table for cut, table in found.items() if len(table) or cut == cuts[0]}
    first, each = found[cuts[0]], tables.learning_sets(rows, cut=cuts[0], each_seed=True)
    names = ["architecture", "width", "dataset"]
    panels = [
        panel
        for panel in dict.fromkeys(first[names].itertuples(index=False, name=None))
        if panel[0].startswith(("fc", "lenet")) == primitive
    ]
    panels.sort(key=lambda panel: (panel[0], in_order(panel[2])))
    columns, lines = min(max(len(panels), 1), 3), -(-max(len(panels), 1) // 3)
    fig, axes = style.figure(lines, columns, height=2.5 * lines + 0.8, squeeze=False, sharey="row")
    if not panels:
        nothing(axes[0, 0])
    for ax in axes.flat[max(len(panels), 1) :]:
        ax.set_visible(False)
    for ax, (architecture, width, dataset) in zip(axes.flat, panels, strict=False):
        groups = same(each, dataset, architecture, width).groupby("train_size")
        for quantity, (colour, marker, _) in style.QUANTITIES.items():
            for shade, table in zip(style.graded(colour, len(found)), found.values(), strict=True):
                line = same(table, dataset, architecture, width)
                ax.plot(line["train_size"], line[quantity], color=shade, marker=marker, ms=4)
            low, high = groups[quantity].min(), groups[quantity].max()
            ax.vlines(low.index, low, high, color=colour, lw=4, alpha=0.4)
        name = label(dataset).replace("\n", " ")
        ax.set(xscale="log", yscale="log", xlabel="training images P")
        ax.set_title(f"{net(architecture, width)}\n{name}", fontsize=9.5)
    for ax in axes[:, 0]:
        ax.set_ylabel("$D_f$, $G_f$, $R_f$")
    handles = [
        Line2D([], [], color=colour, marker=marker, label=text) for colour, marker, text in style.QUANTITIES.values()
    ]
    handles += [
        Line2D([], [], color=shade, lw=3, label=f"c = {cut}")
        for shade, cut in zip(style.graded(style.BLACK, len(found)), found, strict=True)
    ]
    legend(fig, handles, 3)
    return fig


@drawn
def trajectories(rows: pd.DataFrame) -> Figure:
    """B Fig. 18: how a network moves in the plane of R and error as its training set grows, by data set.

    The large marks are the largest sets; the dotted line is ε = 0.2 √R.
    """
    table = tables.learning_sets(rows)
    datasets = sorted(dict.fromkeys(table["dataset"]), key=in_order)
    fig, axes = style.figure(1, max(len(datasets), 1), height=3.9, squeeze=False)
    if not datasets:
        nothing(axes[0, 0])
    for ax, dataset in zip(axes[0], datasets, strict=False):
        chosen = table[table["dataset"] == dataset]
        for (architecture, width), line in chosen.groupby(["architecture", "width"], sort=False):
            _, colour, marker = look(architecture)
            ax.plot(line["R"], line["error"], color=colour, marker=marker, label=net(architecture, width))
            ax.plot(*line[["R", "error"]].to_numpy()[-1], marker, color=colour, ms=10)
        x = np.array([chosen["R"].min() / 1.2, chosen["R"].max() * 1.2])
        ax.plot(x, 0.2 * np.sqrt(x), ls=style.PAPER, color=style.GREY, label=r"paper: $0.2\,R_f^{1/2}$")
        first, last = chosen["train_size"].min(), chosen["train_size"].max()
        name = label(dataset).replace("\n", " ")
        ax.set_title(f"{name}\nP = {first:,} to {last:,}", fontsize=10)
        ax.set(xscale="log", yscale="log", xlabel="$R_f$")
    axes[0, 0].set_ylabel("test error ε")
    legend(fig, [handle for ax in axes[0] for handle in ax.get_legend_handles_labels()[0]], 4)
    return fig


@drawn
def encodings(rows: pd.DataFrame) -> Figure:
    """R of networks trained on JPEGs: on original pixels against on the same pictures as JPEG (in no paper)."""
    table = tables.encodings(rows)
    table = table[(table["noise"] == 0) & (table["train_size"] == 0)]
    fig, ax = style.figure(height=5.2)
    if table.empty:
        nothing(ax)
        return fig
    for line in table.to_dict("records"):
        text, colour, marker = look(line["architecture"])
        ax.plot(line["R_lossless"], line["R_jpeg"], marker, color=colour, label=text, ms=7)
    ends = np.array(
        [table[["R_lossless", "R_jpeg"]].min().min() / 1.3, table[["R_lossless", "R_jpeg"]].max().max() * 1.3]
    )
    ax.plot(ends, ends, color=style.GREY, lw=1)
    ax.set(xscale="log", yscale="log", xlabel="$R_f$ on original pixels", ylabel="$R_f$ on the same pictures as JPEG",
           xlim=ends, ylim=ends, aspect="equal")  # fmt: skip
    legend(fig, ax.get_legend_handles_labels()[0], 3)
    return fig
