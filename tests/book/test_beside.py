"""What a notebook computes is drawn beside what is published, in figures of every kind, and says so."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from relbook import page, registry
from relbook.drawing import beside, style, vector
from relstab.store import Rows


def grey(fig):
    """Labels and points of the marks that were drawn beside."""
    return [
        (line.get_label(), line.get_xydata().tolist())
        for ax in fig.axes
        for line in ax.lines
        if str(line.get_label()).endswith("here")
    ]


def pair(draw, first, second):
    figs = Figure(), Figure()
    for fig, value in zip(figs, (first, second), strict=True):
        draw(fig, value)
    return figs[0], beside.beside(*figs, "here")


def scatter(fig, table):
    ax = fig.subplots()
    for name, R, error in table:
        ax.plot(R, error, "o", color=style.BLUE, label=name)
    ax.plot([0.1, 1], [0.1, 0.3], "--", color=style.GREY)  # a law
    ax.axhline(1, color=style.RED)
    ax.set(xscale="log", yscale="log", title=f"{len(table)} networks, correlation 0.9", xlabel="R")
    fig.legend(loc="outside lower center")


def test_points_go_over_and_guides_do_not():
    fig, count = pair(scatter, [("LeNet", 0.3, 0.2), ("VGG", 0.1, 0.1)], [("LeNet", 0.02, 0.5)])
    assert (count, grey(fig)) == (1, [("_LeNet, here", [[0.02, 0.5]])])
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["LeNet", "VGG", "here"]
    assert fig.axes[0].get_xlim()[0] < 0.02  # they are inside the frame


def profiles(fig, networks):
    for ax, (name, values) in zip(fig.subplots(1, len(networks), squeeze=False).flat, networks.items(), strict=True):
        ax.plot(range(3), values, color=style.GREEN)
        ax.set_title(name)


def test_a_panel_finds_that_of_the_same_network_whatever_its_width_and_place():
    published = {"LeNet": [1, 2, 3], "VGG11bn ×1/4\nMNIST": [1, 1, 1]}
    fig, count = pair(profiles, published, {"VGG11bn ×1/16, MNIST": [1, 0.5, 0.2], "ResNet10": [9, 9, 9]})
    assert count == 1
    assert [len(ax.lines) for ax in fig.axes] == [1, 2]
    assert fig.axes[1].lines[1].get_ydata().tolist() == [1, 0.5, 0.2]


def test_a_panel_with_one_scale_on_both_axes_keeps_it():
    def against(fig, table):
        ax = fig.subplots()
        ax.plot(*np.transpose(table), "o", color=style.BLUE)
        ax.set(xscale="log", yscale="log", xlim=(0.1, 1), ylim=(0.1, 1))

    fig, _ = pair(against, [(0.2, 0.3)], [(0.5, 4.0)])
    assert fig.axes[0].get_xlim() == fig.axes[0].get_ylim() and fig.axes[0].get_ylim()[1] > 4


def bars(fig, heights):
    ax = fig.subplots()
    ax.bar(range(len(heights)), list(heights.values()))
    ax.set_xticks(range(len(heights)), list(heights))


def test_a_panel_below_is_of_the_network_that_the_top_of_its_column_names():
    published, computed = Figure(), Figure()
    for fig, nets, value in (
        (published, ("LeNet", "VGG11 ×1/4", "VGG11bn ×1/4"), 0.4),
        (computed, ("LeNet", "VGG11bn"), 0.7),
    ):
        axes = fig.subplots(2, len(nets))
        for column, net in zip(axes.T, nets, strict=True):
            column[0].set_title(net)
            for row, ax in enumerate(column):
                ax.plot([1], [value + row], "o", color="#0072B2")
    assert beside.beside(published, computed, "computed here") == 4
    drawn = [[line.get_ydata().tolist() for line in ax.lines] for ax in published.axes]
    assert drawn == [[[0.4], [0.7]], [[0.4]], [[0.4], [0.7]], [[1.4], [1.7]], [[1.4]], [[1.4], [1.7]]]


def test_marks_stand_above_their_name():
    fig, count = pair(
        bars, {"MNIST": 1.0, "Fashion-\nMNIST": 2.0}, {"Fashion-\nMNIST\n(3,000 images)": 3.0, "other": 9.0}
    )
    assert count == 1
    assert grey(fig)[0][1] == [[1.0, 3.0]]


def test_of_several_widths_the_same_one_is_found():
    published = {"VGG11bn\n×1/8": 1.0, "VGG11bn\n×1/4": 2.0}
    assert grey(pair(bars, published, {"VGG11bn\n×1/4": 3.0})[0])[0][1] == [[1.0, 3.0]]
    assert grey(pair(bars, published, {"VGG11bn\n×1/8": 3.0})[0])[0][1] == [[0.0, 3.0]]
    assert grey(pair(bars, published, {"VGG11bn\n×1/16": 3.0})[0])[0][1] == [[0.0, 3.0]]


def test_what_is_the_same_in_both_is_drawn_once():
    fig, count = pair(profiles, {"exact": [1, 2, 3]}, {"exact": [1, 2, 3]})
    assert count == 0
    assert not fig.legends


def test_pictures_of_pixels_have_nothing_beside_them():
    assert pair(lambda fig, value: fig.subplots().imshow(np.full((2, 2), value)), 1, 2)[1] == 0


def test_the_legend_stays_inside_the_figure():
    figs = Figure(figsize=(4, 3)), Figure()
    for fig, R in zip(figs, (1, 2), strict=True):
        for k in range(4):
            fig.subplots().plot([R], [k + R], "o", label=f"a network with a name {k}")
    figs[0].legend(loc="outside lower center", ncols=2)
    assert beside.beside(*figs, "what this page computed itself, at scale tiny") == 4
    legend = figs[0].legends[0]
    assert legend.get_window_extent().width <= figs[0].bbox.width
    assert len(legend.get_texts()) == 5


def test_the_legend_of_error_bars_keeps_its_symbols():
    figs = Figure(), Figure()
    for fig, R in zip(figs, (1.0, 2.0), strict=True):
        ax = fig.subplots()
        ax.errorbar([1, 2], [R, R], 0.1, marker="D", color=style.BLUE, label="lazy")
        fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center")
    assert beside.beside(*figs, "computed here") == 1
    figs[0].canvas.draw()
    legend = figs[0].legends[0]
    drawn = [part for part in legend.findobj(Line2D) if part.get_marker() == "D"]
    assert len(drawn) == 1 and [text.get_text() for text in legend.get_texts()] == ["lazy", "computed here"]


@pytest.fixture
def shelves(monkeypatch):
    """tiny has R = 2, laptop R = 1; what is larger is empty."""

    def load(configs):
        values = {"tiny": [2.0], "laptop": [1.0]}.get(configs[0].scale, [])
        return Rows({"R": values, "scale": configs[0].scale}).of("zoo", "", units=1, missing=1 - len(values))

    monkeypatch.setattr(registry, "_load", lambda units, state: load(units))


def draw(rows):
    fig = Figure()
    fig.subplots().plot(rows["R"], rows["R"], "o", color=style.BLUE, label="R")
    return fig


@pytest.fixture
def seen(monkeypatch):
    """The tables of numbers of the figures that `page.picture` shows."""
    found = []
    plain = page._saved
    monkeypatch.setattr(page, "_saved", lambda fig, *a, **k: found.append(vector.plotted(fig)) or plain(fig, *a, **k))
    return found


def zoo(*architectures):
    rows = Rows({"architecture": architectures}).assign(dataset="cifar10-jpeg", R=1.0, scale="laptop")
    return rows.of("zoo", "laptop", units=9)


def test_a_table_of_no_study_is_drawn_as_it_is():
    table = pd.DataFrame({"R": [1.0, 2.0]})
    assert registry.computed(table) is None
    assert page.picture(draw, table, show="both").stated == ""


def test_the_caption_counts_what_is_drawn_and_names_the_encoding():
    rows = zoo("lenet", "lenet", "vgg11", "alexnet")
    whole = page.picture(draw, rows, show="published").stated
    assert whole == "Rows of the study zoo: 3 networks on CIFAR-10 (JPEG copies), scale laptop."
    assert "images" not in page.stated(rows.assign(probes=float("nan")))
    part = page.picture(draw, rows, show="published", of=lambda rows: rows[rows.architecture.eq("lenet")]).stated
    assert part == whole.replace("3 networks", "1 network")
    both = page.picture(
        lambda one, two: draw(one), rows, zoo("vgg11"), show="published", of=lambda one, two: (one[:1], two)
    )
    assert both.stated == f"{part} {part}"


def test_the_caption_counts_the_seeds_of_ensembles_by_setting():
    """Units hold two members each: of the first size there are four seeds, of the second two."""
    members = {"train": [64, 64, 64, 64, 128, 128], "seed": [1, 1, 3, 3, 1, 1], "member": [1, 2, 3, 4, 1, 2]}
    rows = Rows(members).assign(members=2).of("stripe", "laptop", units=3)
    assert page.stated(rows) == "Rows of the study stripe: 2 settings of 2 to 4 seeds, scale laptop."
    assert page.stated(rows[:4]) == "Rows of the study stripe: 1 setting of 4 seeds, scale laptop."


@pytest.mark.parametrize(("mine", "where"), [("fashion-mini", ", on 3,000 images of Fashion-MNIST."), ("mnist", ".")])
def test_the_caption_names_other_pictures_than_the_published_ones(mine, where, monkeypatch):
    values = {"tiny": ([2.0], mine), "laptop": ([1.0], "mnist")}

    def load(units, state):
        R, dataset = values.get(units[0].scale, ([], ""))
        return Rows({"R": R}).assign(dataset=dataset).of("zoo", "", units=1, missing=1 - len(R))

    monkeypatch.setattr(registry, "_load", load)
    shown = page.picture(draw, registry.shown("zoo", "tiny"), show="both")
    assert shown.stated.endswith(f"Small and grey: computed by this page itself, at scale tiny{where}")


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize(("show", "points"), [("published", [1.0]), ("computed", [2.0]), ("both", [1.0, 2.0])])
def test_one_argument_chooses(show, points, seen):
    shown = page.picture(draw, registry.shown("zoo", "tiny"), show=show)
    assert seen[0]["x"].tolist() == points
    assert ("Small and grey" in shown.stated) == (show == "both")
    assert ("scale tiny" in shown.stated) == (show != "published")
    assert seen[0]["series"].tolist()[-1] == ("R, computed here (tiny)" if show == "both" else "R")


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize("show", page.SHOWS)
def test_at_the_scale_of_the_published_rows_there_is_one_kind(show, seen):
    assert registry.computed(registry.shown("zoo", "laptop")) is None
    page.picture(draw, registry.shown("zoo", "laptop"), show=show)
    assert seen[0]["x"].tolist() == [1.0]


def test_another_word_gets_a_sentence():
    with pytest.raises(ValueError, match=r"^show is 'all'; it must be one of published, computed, both$"):
        page.picture(Figure(), show="all")
