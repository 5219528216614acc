"""The zoo at the output of its networks: B Figs. 3 to 6, 12, 13, 15 to 22; and what JPEG does.

Every function takes the rows of the study `zoo` at one scale (`relbook.registry.rows("zoo", scale)`) and draws
what is there; networks that diverged or collapsed are left out (`zoo_tables.failures` lists them).
"""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from relbook.drawing import style
from relbook.drawing.nets import drawn, in_order, label, legend, look, name_points, net, nothing, outer, same
from relbook.studies.zoo import tables

CUT_COLOURS = {3: style.BLUE, 5: style.ORANGE, 15: style.GREEN}
DASHES = ("-", "--", ":")  # of the cut-offs, where the colour is that of a quantity
FEWEST = 5  # networks for a correlation


@drawn
def displacement_sweep(rows, *, columns=2):
    """B Fig. 3, left: R against the displacement δ, at initialisation (dashed) and trained, per cut-off.

    A panel per network that was probed at several δ; squares: Gaussian instead of bilinear interpolation.
    """
    table = tables.measured(rows)
    table = table[
        (table["layer"] == "output") & (table["shuffle"] == -1) & (table["statistic"] == "component_median")
    ]
    by = ["dataset", "architecture", "width", "stage", "cut", "interpolation", "displacement"]
    table = tables.geometric(tables.on_full_set(table), by)
    many = table.groupby(["dataset", "architecture", "width"])["displacement"].transform("nunique") > 2
    panels = list(table[many].groupby(["dataset", "architecture", "width"], sort=False))
    lines = -(-max(len(panels), 1) // columns)
    fig, axes = style.figure(lines, columns, height=3.0 * lines, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(panels) :]:
        nothing(ax, "") if panels else nothing(ax)
    for ax, ((_, architecture, width), panel) in zip(axes.flat, panels, strict=False):
        for (cut, stage, interpolation), line in panel.groupby(["cut", "stage", "interpolation"]):
            line = line.sort_values("displacement")
            ax.plot(line["displacement"], line["R"], color=CUT_COLOURS.get(cut, style.PURPLE),
                    ls=style.TRAINED if stage == "trained" else style.INITIAL,
                    marker="o" if interpolation == "bilinear" else "s", ms=4,
                    mfc="white" if interpolation == "gaussian" else None)  # fmt: skip
        ax.axhline(1, color=style.GREY, lw=0.8, ls=":")
        ax.axvline(1, color=style.GREY, lw=0.8, ls=":")
        ax.set(xscale="log", yscale="log", title=net(architecture, width))
    outer(axes, "displacement δ (pixels)", "$R_f$")
    handles = [Line2D([], [], color=colour, label=f"c = {cut}") for cut, colour in CUT_COLOURS.items()]
    handles += [Line2D([], [], color="k", ls=style.TRAINED, label="trained"),
                Line2D([], [], color="k", ls=style.INITIAL, label="initialisation"),
                Line2D([], [], color="k", marker="o", ls="", label="bilinear"),
                Line2D([], [], color="k", marker="s", mfc="white", ls="", label="Gaussian")]  # fmt: skip
    legend(fig, handles, 4)
    return fig


@drawn
def dots(rows, architectures, imagenet=None, *, paper=None):
    """B Fig. 3 centre and Fig. 4 top: R(δ = 1) per data set, initialised (hollow) and trained (filled).

    Args:
        architectures: names, a panel each; of several widths the largest is shown.
        paper: the range of R that the paper states for trained networks, shaded.
        imagenet: rows of the study `imagenet`, for a panel of networks that others trained on ImageNet.
    """
    others = imagenet is not None and len(imagenet) > 0
    fig, axes = style.figure(
        1 + others, len(architectures), height=3.4 + 2.3 * others, squeeze=False, sharey=True
    )
    for ax, architecture in zip(axes[0], architectures, strict=False):
        found = {}
        for (position, stage), table in _dot_tables(rows, tuple(CUT_COLOURS)):
            table = table[table["architecture"] == architecture]
            table = table[table["width"] == table.groupby("dataset")["width"].transform("max")]
            found[position, stage] = tables.geometric(table, ["dataset"]).set_index("dataset")["R"]
        _dot_panel(ax, found, label(architecture), paper)
    if others:
        for ax in axes[1]:
            ax.remove()
        ax = fig.add_subplot(axes[1, 0].get_gridspec()[1, :], sharey=axes[0, 0])
        cuts = sorted(int(cut) for cut in imagenet["cut"].dropna().unique())
        found = {key: table.set_index("architecture")["R"] for key, table in _dot_tables(imagenet, cuts)}
        _dot_panel(ax, found, "ImageNet, networks trained by others", paper)
        ax.set_ylabel(r"$R_f(\delta = 1)$")
    axes[0, 0].set_ylabel(r"$R_f(\delta = 1)$")
    texts = [f"c = {cut}" for cut in CUT_COLOURS]
    if others:
        texts = [
            a if cut == int(a[4:]) else f"{a} (ImageNet: {cut})" for a, cut in zip(texts, cuts, strict=False)
        ]
    handles = [Line2D([], [], color=colour, marker="o", ls="", label=text)
               for colour, text in zip(CUT_COLOURS.values(), texts, strict=False)]  # fmt: skip
    handles += [Line2D([], [], color=style.GREY, marker="o", mfc="white", ls="", label="at initialisation"),
                Line2D([], [], color=style.GREY, marker="o", ls="", label="trained")]  # fmt: skip
    if paper is not None:
        handles.append(Line2D([], [], color=style.GREY, alpha=0.3, lw=8, label="trained, in the paper"))
    legend(fig, handles, 3)
    return fig


def _dot_tables(rows, cuts):
    """((position of the cut-off, stage), its networks at the output), full sets only."""
    for position, cut in enumerate(cuts):
        for stage in ("init", "trained"):
            yield (
                (position, stage),
                tables.on_full_set(tables.without_controls(tables.outputs(rows, stage=stage, cut=cut))),
            )


def _dot_panel(ax, found, title, paper=None):
    """Dots of R by name, hollow before training; found: (position of the cut-off, stage) -> R by name.

    Args:
        paper: the range that it states, shaded.
    """
    names = sorted(dict.fromkeys(name for values in found.values() for name in values.index), key=in_order)
    if not names:
        nothing(ax)
        return
    colours = list(CUT_COLOURS.values())
    for (position, stage), values in found.items():
        first, colour = stage == "init", colours[position % len(colours)]
        place = [names.index(name) + 0.25 * (position - 1) for name in values.index]
        ax.plot(place, values, "o", color=colour, mfc="white" if first else colour, ms=6, ls="")
    ax.axhline(1, color=style.GREY, lw=0.8)
    if paper is not None:
        ax.axhspan(*paper, color=style.GREY, alpha=0.15, lw=0)
    ax.set(yscale="log", title=title, xlim=(-0.6, len(names) - 0.4))
    written = [label(name).replace("Fashion-M", "Fashion-\nM") for name in names]
    ax.set_xticks(range(len(names)), written, fontsize=10)


@drawn
def learning_curve(rows, quantity="R"):
    """B Figs. 3 right, 4 bottom and 13: R (or D, G) against the number P of training images.

    Dashed: initialisation. A panel per data set. The triangle's hypotenuse has slope -1, the law of the
    stripe model (B Sec. 6).
    """
    table, start = tables.learning_sets(rows), tables.learning_sets(rows, stage="init")
    datasets = list(dict.fromkeys(table["dataset"]))
    fig, axes = style.figure(1, max(len(datasets), 1), height=3.4, squeeze=False, sharey=True)
    if not datasets:
        nothing(axes[0, 0])
    seen = {}
    for ax, dataset in zip(axes[0], datasets, strict=False):
        chosen = table[table["dataset"] == dataset]
        for (architecture, width), line in chosen.groupby(["architecture", "width"], sort=False):
            _, colour, marker = look(architecture)
            name = net(architecture, width)
            seen[name] = ax.plot(line["train_size"], line[quantity], color=colour, marker=marker, label=name)[
                0
            ]
            first = start[
                (start["dataset"] == dataset)
                & (start["architecture"] == architecture)
                & (start["width"] == width)
            ]
            ax.plot(first["train_size"], first[quantity], color=colour, ls=style.INITIAL, lw=1)
        low, high = chosen["train_size"].min(), chosen["train_size"].max()
        if quantity == "R":
            at, top = np.array([high / 4, high]), chosen["R"].min() * 1.1
            ax.plot([at[0], at[1], at[0], at[0]], [top, top / 4, top / 4, top], color=style.GREY, lw=1)
            ax.annotate("$P^{-1}$", (at[0], top / 2.2), xytext=(-4, 0), textcoords="offset points",
                        ha="right", color=style.GREY)  # fmt: skip
        ax.set(xscale="log", yscale="log", xlim=(low / 1.3, high * 1.3), xlabel="training images P",
               title=label(dataset).replace("\n", " "))  # fmt: skip
    axes[0, 0].set_ylabel(f"${quantity}_f$" + r"$(\delta = 1)$")
    handles = [*seen.values(), Line2D([], [], color=style.GREY, ls=style.INITIAL, label="initialisation")]
    legend(fig, handles, 4)
    return fig


def _error_panel(ax, table, quantity="R", *, each=None, narrow=False):
    """Error against a sensitivity, a point a network; for R the fit and B's line. each: the single seeds.

    Fewer than `FEWEST` networks get no fit and no correlation, whose bootstrap interval would be an illusion.
    """
    between, also = ("\n", "\n") if narrow else (", ", "; ")
    if table.empty:
        nothing(ax)
        return
    for line in table.to_dict("records"):
        text, colour, marker = look(line["architecture"])
        published = line["recipe"] == "published"
        ax.plot(line[quantity], line["error"], marker, color=colour, ms=7, label=text,
                mfc="white" if published else colour)  # fmt: skip
        if each is not None:
            own = each[(each[tables.NETWORK] == [line[name] for name in tables.NETWORK]).all(axis=1)]
            ax.hlines(line["error"], own[quantity].min(), own[quantity].max(), color=colour)
            ax.vlines(line[quantity], own["error"].min(), own["error"].max(), color=colour)
    x = np.array([table[quantity].min() / 1.5, table[quantity].max() * 1.5])
    text = f"{len(table)} networks"
    if len(table) >= FEWEST:
        low, high = tables.interval(table[quantity], table["error"])
        value = tables.correlation(table[quantity], table["error"])
        text += f"{between}correlation {value:.2f} [{low:.2f}, {high:.2f}]"
    if quantity == "R":
        ax.plot(x, 0.2 * np.sqrt(x), "--", color=style.GREY, label=r"paper: $0.2\,\sqrt{R_f}$")
    if quantity == "R" and len(table) >= FEWEST:
        found = tables.law(table["error"], table["R"])
        middle = np.exp(np.log(table["R"]).mean()), np.exp(np.log(table["error"]).mean())
        ax.plot(x, middle[1] * (x / middle[0]) ** found.slope, "-", color=style.BLACK, lw=1, label="fit")
        text += f"\nfit: slope {found.slope:.2f}{also}prefactor at slope ½: {found.prefactor:.2f}"
    ax.set_title(text, fontsize=10, loc="left")
    ax.set(xscale="log", yscale="log", xlabel=rf"${quantity}_f$", ylabel="test error ε", xlim=x)


@drawn
def error_against(rows, quantity="R", *, datasets=None, names=True, bars=False, **probe):
    """B Fig. 5 (R), 15 and 16 (D, G), 19 (bars over seeds): test error against a sensitivity.

    One point a network, seeds averaged; filled: trained here, hollow: trained by others. For R the fitted
    power law, its correlation with a bootstrap interval, and B's line ε = 0.2 √R. datasets: default CIFAR-10
    or what there is; **probe: options of `zoo_tables.outputs`.
    """
    table = tables.compared(rows, datasets, **probe)
    fig, ax = style.figure(height=4.8)
    each = tables.compared(rows, datasets, each_seed=True, **probe) if bars else None
    _error_panel(ax, table, quantity, each=each)
    legend(fig, ax.get_legend_handles_labels()[0], 3)
    if names and len(table):
        twice = table.duplicated(["dataset", "architecture", "width"], keep=False)
        written = [
            net(line["architecture"], line["width"]) + (f", {line['epochs']} epochs" if again else "")
            for line, again in zip(table.to_dict("records"), twice, strict=True)
        ]
        name_points(ax, table[[quantity, "error"]].to_numpy(), written)
    return fig


@drawn
def families(rows):
    """A Fig. 1 centre by families: error against D, G and R, a colour for fully connected, convolutional and others' nets.

    One point an architecture (widest, then longest trained), means over images; lines: log-log fits of the convolutional
    networks trained here (full) and of all trained here (dashed).
    """
    table = tables.on_full_set(tables.without_controls(tables.networks(rows, statistic="mean")))
    table = table[table["dataset"].isin(tables.main_datasets(rows))]
    table = tables.geometric(tables.largest(table), tables.NETWORK)
    others, connected = table["recipe"].eq("published"), table["architecture"].str.startswith("fc_")
    groups = (("convolutional", ~others & ~connected, style.BLUE, "o"), ("fully connected", connected, style.ORANGE, "s"),
              ("trained by others", others, style.GREY, "D"))  # fmt: skip
    fig, axes = style.figure(1, 3, height=3.2, sharey=True)
    for ax, quantity in zip(axes, tables.QUANTITIES, strict=True):
        for _, chosen, colour, marker in groups:
            ax.plot(table.loc[chosen, quantity], table.loc[chosen, "error"], marker, color=colour, ms=6,
                    mfc="white" if marker == "D" else colour)  # fmt: skip
        for chosen, dash in ((~others & ~connected, "-"), (~others, "--")):
            part = table[chosen]
            if len(part) >= FEWEST:
                x = np.log(part[quantity].to_numpy())
                at = np.array([x.min(), x.max()])
                ax.plot(
                    np.exp(at),
                    np.exp(np.polyval(np.polyfit(x, np.log(part["error"]), 1), at)),
                    dash,
                    color="k",
                    lw=1,
                )
        ax.set(xscale="log", yscale="log", xlabel=f"${quantity}_f$")
    axes[0].set_ylabel("test error")
    handles = [Line2D([], [], color=colour, marker=marker, ls="", mfc="white" if marker == "D" else colour, label=label_)
               for label_, _, colour, marker in groups]  # fmt: skip
    handles += [
        Line2D([], [], color="k", ls="-", label="fit, convolutional"),
        Line2D([], [], color="k", ls="--", label="fit, trained here"),
    ]
    legend(fig, handles, 3)
    return fig


@drawn
def error_row(rows, *, quantities="DGR", **probe):
    """B Figs. 15 to 17 and A Fig. 1 centre in one row: error against D, G and R, one axis of errors.

    Below each title the correlation of the logarithms: over all networks, and over the homogeneous group, the
    convolutional networks trained here (filled), to which the thin line is fitted. **probe: options of `tables.outputs`.
    """
    table = tables.compared(rows, **probe)
    fig, axes = style.figure(1, len(quantities), height=4.0, squeeze=False, sharey=True)
    own = tables.groups(table)["convolutional, trained here"] if len(table) else table
    for ax, quantity in zip(axes[0], quantities, strict=True):
        _error_panel(ax, table, quantity, narrow=True)
        ax.set_ylabel("")
        lines = [f"${quantity}_f$"]
        for name, part in {f"all {len(table)}": table, f"{len(own)} of one kind": own}.items():
            if len(part) >= FEWEST:
                lines.append(f"{name}: {tables.correlation(part[quantity], part['error']):+.2f}")
        if len(own) >= FEWEST:
            x, y = np.log(own[quantity].to_numpy()), np.log(own["error"].to_numpy())
            ends = np.array([x.min(), x.max()])
            ax.plot(
                np.exp(ends),
                np.exp(np.polyval(np.polyfit(x, y, 1), ends)),
                color=style.GREY,
                lw=1.2,
                zorder=0,
            )
        ax.set_title("\n".join(lines), fontsize=9.5, loc="left")
    axes[0, 0].set_ylabel("test error ε")
    legend(fig, axes[0, -1].get_legend_handles_labels()[0], 4)
    return fig


@drawn
def by_size(rows):
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
            hollow = (line["recipe"] == "published").all()
            ax.plot(line["width"], line[quantity], marker=marker, color=colour, lw=1.2, label=text,
                    mfc="white" if hollow else colour)  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel="width, of the paper's", ylabel=name)
        ax.set_xticks([1 / 8, 1 / 4, 1 / 2, 1], ["1/8", "1/4", "1/2", "1"])
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0].axhspan(0.01, 0.1, color=style.GREY, alpha=0.15, lw=0)
    legend(fig, axes[0].get_legend_handles_labels()[0], 4)
    return fig


@drawn
def error_panels(rows, panels):
    """B Figs. 17, 20, 21: test error against a sensitivity, a panel per choice of data sets and of probe.

    Args:
        panels: {title: options of `zoo_tables.compared`, and `quantity`}.
    """
    columns = min(len(panels), 2)
    lines = -(-len(panels) // columns)
    fig, axes = style.figure(lines, columns, height=3.8 * lines + 0.6, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    for ax, (title, options) in zip(axes.flat, panels.items(), strict=False):
        options = dict(options)
        quantity = options.pop("quantity", "R")
        _error_panel(ax, tables.compared(rows, **options), quantity, narrow=True)
        ax.set_title(f"{title}\n{ax.get_title(loc='left')}", fontsize=9.5, loc="left")
    legend(fig, [handle for ax in axes.flat for handle in ax.get_legend_handles_labels()[0]], 4)
    return fig


@drawn
def sensitivities_against_size(rows, cuts=(3, 5, 15), *, bars=False):
    """B Fig. 6: G, D and R against the number of training images, by architecture (rows) and data set.

    Args:
        bars: the range over seeds, for B Fig. 22.
    """
    found = {cut: tables.learning_sets(rows, cut=cut) for cut in cuts}
    found = {cut: table for cut, table in found.items() if len(table) or cut == cuts[0]}
    first = found[cuts[0]]
    datasets = list(dict.fromkeys(first["dataset"]))
    nets = list(dict.fromkeys(zip(first["architecture"], first["width"], strict=True)))
    fig, axes = style.figure(max(len(nets), 1), max(len(datasets), 1), height=2.3 * max(len(nets), 1) + 0.5,
                             squeeze=False, sharex="col", sharey="row")  # fmt: skip
    between = ", " if len(datasets) == 1 else "\n"
    if not nets:
        nothing(axes[0, 0])
    seeds = tables.learning_sets(rows, cut=cuts[0], each_seed=True)
    for row, (architecture, width) in zip(axes, nets, strict=False):
        for ax, dataset in zip(row, datasets, strict=True):
            if same(first, dataset, architecture, width).empty:
                nothing(ax, "not trained")
                continue
            for table, dashes in zip(found.values(), DASHES, strict=False):
                line = same(table, dataset, architecture, width)
                for quantity, (colour, marker, _) in style.QUANTITIES.items():
                    ax.plot(line["train_size"], line[quantity], color=colour, marker=marker, ls=dashes, ms=4)
            groups = same(seeds, dataset, architecture, width).groupby("train_size")
            for quantity, (colour, *_) in style.QUANTITIES.items() if bars else ():
                low, high = groups[quantity].min(), groups[quantity].max()
                ax.vlines(low.index, low, high, color=colour, lw=4, alpha=0.4)
            name = label(dataset).replace("\n", " ")
            ax.set(xscale="log", yscale="log", title=f"{net(architecture, width)}{between}{name}")
            ax.title.set_fontsize(9.5)
    outer(axes, "training images P", "$D_f$, $G_f$, $R_f$")
    handles = [
        Line2D([], [], color=colour, marker=marker, label=text)
        for colour, marker, text in style.QUANTITIES.values()
    ]
    lines = zip(found, DASHES, strict=False)
    handles += [Line2D([], [], color="k", ls=dashes, label=f"c = {cut}") for cut, dashes in lines]
    legend(fig, handles, 3)
    return fig


@drawn
def trajectories(rows):
    """B Fig. 18: how a network moves in the plane of R and error as its training set grows, by data set.

    The large marks are the largest sets; the dotted line is ε = 0.2 √R.
    """
    table = tables.learning_sets(rows)
    datasets = list(dict.fromkeys(table["dataset"]))
    fig, axes = style.figure(1, max(len(datasets), 1), height=3.9, squeeze=False)
    if not datasets:
        nothing(axes[0, 0])
    for ax, dataset in zip(axes[0], datasets, strict=False):
        chosen = table[table["dataset"] == dataset]
        for (architecture, width), line in chosen.groupby(["architecture", "width"], sort=False):
            _, colour, marker = look(architecture)
            ax.plot(line["R"], line["error"], color=colour, marker=marker, label=net(architecture, width))
            ax.plot(*line[["R", "error"]].to_numpy()[-1], marker, color=colour, ms=10, mec="black")
        x = np.array([chosen["R"].min() / 1.2, chosen["R"].max() * 1.2])
        ax.plot(x, 0.2 * np.sqrt(x), ":", color=style.GREY, label=r"$0.2\,\sqrt{R_f}$")
        first, last = chosen["train_size"].min(), chosen["train_size"].max()
        name = label(dataset).replace("\n", " ")
        ax.set_title(f"{name}\nP = {first:,} to {last:,}", fontsize=10)
        ax.set(xscale="log", yscale="log", xlabel="$R_f$")
    axes[0, 0].set_ylabel("test error ε")
    legend(fig, [handle for ax in axes[0] for handle in ax.get_legend_handles_labels()[0]], 4)
    return fig


@drawn
def augmentation(rows):
    """B Fig. 12: R of the same networks trained with and without random crops and flips."""
    table = tables.networks(rows)
    table = table[(table["train_size"] == 0) & (table["noise"] == 0) & (table["recipe"] != "published")]
    table = tables.geometric(table, ["dataset", "architecture", "width", "epochs", "augment"])
    table = table[table.groupby(["dataset", "architecture", "width", "epochs"])["n"].transform("size") == 2]
    fig, ax = style.figure(height=3.0)
    if table.empty:
        nothing(ax)
        return fig
    names = []
    for line in table.to_dict("records"):
        name, augmented = net(line["architecture"], line["width"]), bool(line["augment"])
        names += [] if name in names else [name]
        left = names.index(name) + (0 if augmented else -0.35)
        ax.bar(left, line["R"], width=0.33, align="edge", edgecolor="white",
               color=style.BLUE if augmented else style.ORANGE, hatch=None if augmented else "////",
               label="crops and flips" if augmented else "no augmentation")  # fmt: skip
        ax.annotate(f"ε = {line['error']:.3f}", (left + 0.165, line["R"]), xytext=(0, 3), fontsize=9,
                    textcoords="offset points", ha="center")  # fmt: skip
    ax.set_xticks(range(len(names)), names)
    ax.set(ylabel="$R_f$", xlim=(-1, len(names)), ylim=(0, 1.2 * table["R"].max()))
    legend(fig, ax.get_legend_handles_labels()[0], 2)
    return fig


@drawn
def encodings(rows):
    """R of networks trained on JPEGs: on true pixels against on the same pictures as JPEG (in no paper)."""
    table = tables.encodings(rows)
    table = table[(table["noise"] == 0) & (table["train_size"] == 0)]
    fig, ax = style.figure(height=3.8)
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
    ax.set(
        xscale="log", yscale="log", xlabel="$R_f$ on true pixels", ylabel="$R_f$ on the same pictures as JPEG"
    )
    legend(fig, ax.get_legend_handles_labels()[0], 3)
    return fig
