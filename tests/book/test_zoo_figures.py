"""Every figure of the zoo plots the numbers it is about: made-up networks whose D, G,
R and errors are all different.
"""

import math

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from relbook.drawing import style
from relbook.studies.zoo import figures, figures_by_layer

UNIT = {"dataset": "fashion-mini", "width": 1.0, "train_size": 0, "noise": 0.0, "augment": False,
        "recipe": "one_cycle", "epochs": 10, "seed": 0, "shuffles": 0}  # fmt: skip
CUTS, DELTAS = (3, 5, 15), (0.25, 1.0, 3.0)
FULL, DASHED = "-", "--"  # as matplotlib names the styles of trained networks and of the others
INITIAL, MEAN = 10.0, 1.5  # R at initialisation, and by means, over that of a trained network by medians


def network(architecture, R, G, error, *, layers=4, **fields):
    """Rows of a network: R grows as cut/3 and as δ, along the depth it falls as 1/(1 + depth); D = R G."""
    unit = UNIT | {"architecture": architecture} | fields
    probe = unit | {"kind": "sensitivity", "images": fields.get("images", unit["dataset"]), "interpolation": "bilinear",
                    "shuffle": -1, "layer": "output", "depth": layers, "relative_depth": 1.0}  # fmt: skip

    def line(value, **at):
        return probe | at | {"R": value, "G": G, "D": value * G}

    rows = [unit | {"kind": "training", "status": "ok", "test_error": error, "train_loss": 0.1}]
    for stage, factor in (("init", INITIAL), ("trained", 1.0)):
        for depth in range(layers):
            at = {"stage": stage, "statistic": "mean", "cut": 3, "displacement": 1.0, "layer": f"layer{depth}",
                  "depth": depth, "relative_depth": depth / layers}  # fmt: skip
            rows.append(line(R * factor * MEAN * (layers + 1) / (1 + depth), **at))
            if stage == "trained":
                rows += [line(R * MEAN * by, **at | {"shuffle": shuffle}) for shuffle, by in ((0, 2.0), (1, 8.0))]
        for cut in CUTS:
            for delta in DELTAS:
                rows += [
                    line(
                        R * factor * by * cut / 3 * delta, stage=stage, statistic=statistic, cut=cut, displacement=delta
                    )
                    for statistic, by in (("component_median", 1.0), ("mean", MEAN))
                ]
    for epoch in (0, 1, 4):
        gammas = {f"gamma_{mode}": 5.0 * (1 + epoch) ** (2 - mode / 3) for mode in (0, 1, 2, 3, 4, 6)}
        rows.append(unit | {"kind": "modes", "epoch": epoch, "layer": "c1", "depth": 1, **gammas})
    return rows


def frame(*networks):
    return pd.DataFrame([row for rows in networks for row in rows])


def curves(ax):
    """The points of each line of a panel that has one, guides (grey) left out: {(colour, dashes): [(x, y)]}."""
    found = {}
    for line in ax.lines:
        colour = to_hex(line.get_color())
        if colour != to_hex(style.GREY):
            points = [tuple(map(float, point)) for point in line.get_xydata()]
            found.setdefault((colour, line.get_linestyle()), []).append(points)
    return found


def ys(ax, dashes, colour=None):
    """The heights of the one line with these dashes (and of this colour)."""
    ((points,),) = [lines for (own, ls), lines in curves(ax).items() if ls == dashes and colour in (None, own)]
    return [y for _, y in points]


@pytest.fixture
def learning():
    """One network on three set sizes: R falls as 1/P, G does not, the error is 0.3 √R."""
    sizes = (256, 1024, 4096)
    return frame(*(network("vgg11", 256 / P, 2.0, 0.3 * math.sqrt(256 / P), train_size=P) for P in sizes))


def test_the_sweep_draws_R_at_each_displacement_by_cut_and_stage():
    ax = figures.displacement_sweep(frame(network("vgg11", 0.2, 3.0, 0.1))).axes[0]
    found = curves(ax)
    for cut in CUTS:
        colour = to_hex(figures.CUT_COLOURS[cut])
        for dashes, factor in ((FULL, 1), (DASHED, INITIAL)):
            expected = [(delta, 0.2 * factor * cut / 3 * delta) for delta in DELTAS]
            ((*points,),) = found[colour, dashes]
            assert points == [pytest.approx(point) for point in expected]


@pytest.mark.parametrize(("quantity", "factor"), [("R", 1), ("D", 2), ("G", 0)])
def test_learning_curves_are_the_quantity_asked_for(learning, quantity, factor):
    ax = figures.learning_curve(learning, quantity).axes[0]
    expected = [factor, factor / 4, factor / 16] if factor else [2.0] * 3
    start = INITIAL if factor else 1
    assert ys(ax, FULL) == pytest.approx(expected)
    assert ys(ax, DASHED) == pytest.approx([start * value for value in expected])
    ((points,),) = [lines for (_, dashes), lines in curves(ax).items() if dashes == FULL]
    assert [x for x, _ in points] == [256, 1024, 4096]


def test_sensitivities_against_size_have_the_colours_of_D_G_and_R(learning):
    ax = figures.sensitivities_against_size(learning, cuts=(3,)).axes[0]
    for quantity, values in {"D": [2, 0.5, 0.125], "G": [2, 2, 2], "R": [1, 0.25, 0.0625]}.items():
        assert ys(ax, "-", to_hex(style.QUANTITIES[quantity][0])) == pytest.approx(values), quantity


def test_trajectories_go_from_R_to_error(learning):
    ax = figures.trajectories(learning).axes[0]
    path = max((points for lines in curves(ax).values() for points in lines), key=len)
    assert path == [pytest.approx((R, 0.3 * math.sqrt(R))) for R in (1, 1 / 4, 1 / 16)]


@pytest.mark.parametrize(("quantity", "across"), [("R", 0.2), ("D", 0.6), ("G", 3.0)])
def test_error_against_a_sensitivity_is_upright(quantity, across):
    rows = frame(network("vgg11", 0.2, 3.0, 0.1))
    single = figures.error_against(rows, quantity).axes[0]
    panel = figures.error_panels(rows, {"one": {"quantity": quantity}}).axes[0]
    for ax in (single, panel):
        points = [points[0] for lines in curves(ax).values() for points in lines if len(points) == 1]
        assert points == [pytest.approx((across, 0.1))]


def test_a_row_of_sensitivities_fits_each_group_by_itself():
    """Errors follow D among convolutional networks; dense ones are out of line, and others' networks in no fit."""
    own = [("vgg11", 0.2), ("vgg13", 0.3), ("vgg16", 0.4), ("alexnet", 0.5), ("lenet", 0.8), ("resnet18", 0.1)]
    rows = frame(
        *(network(name, R, 2.0, 0.3 * R**0.7) for name, R in own),
        network("fc_l2", 0.05, 2.0, 0.9),
        network("cifar_resnet20", 0.01, 2.0, 0.9, recipe="published"),
    )
    axes = figures.error_row(rows, statistic="mean").axes
    for ax, factor in ((axes[0], 2 * MEAN), (axes[2], MEAN)):
        points = {points[0] for lines in curves(ax).values() for points in lines if len(points) == 1}
        grey = {tuple(line.get_xydata()[0]) for line in ax.lines if len(line.get_xydata()) == 1}  # LeNet is grey
        expected = [(factor * R, 0.3 * R**0.7) for _, R in own] + [(factor * 0.05, 0.9), (factor * 0.01, 0.9)]
        assert sorted(points | grey) == [pytest.approx(point) for point in sorted(expected)]
        ((fit,),) = [lines for (colour, dash), lines in curves(ax).items() if dash == FULL and colour == "#000000"]
        assert fit == [pytest.approx((factor * R, 0.3 * R**0.7)) for R in (0.1, 0.8)]
        assert "convolutional 6: +1.00" in ax.get_xlabel() and "all 8" in ax.get_xlabel()
    assert not [line for line in axes[1].lines if line.get_linestyle() == FULL and len(line.get_xydata()) > 1]
    rims = [line.get_markeredgecolor() for line in axes[0].lines if line.get_marker() == "P"]
    assert sorted(to_hex(rim) for rim in rims) == sorted(["#000000", to_hex(style.BLUE)])


def test_bars_of_the_largest_cut_span_the_seeds(learning):
    second = learning.assign(seed=1, R=learning["R"] * 4, D=learning["D"] * 4)
    ax = figures.sensitivities_against_size(pd.concat([learning, second])).axes[0]
    assert ys(ax, "-", to_hex(style.QUANTITIES["R"][0])) == pytest.approx([2, 0.5, 0.125])
    ends = {tuple(sorted(segment[:, 1])) for bars in ax.collections for segment in bars.get_segments()}
    assert any(low == pytest.approx(1) and high == pytest.approx(4) for low, high in ends)
    with_shades = {to_hex(line.get_color()) for line in ax.lines}
    assert set(style.graded(style.QUANTITIES["G"][0], 3)) <= with_shades
    assert not figures.sensitivities_against_size(learning, primitive=True).axes[0].lines


def test_the_printed_law_is_that_of_the_points():
    values = {"fc_l2": 4.0, "fc_l4": 1.0, "vgg13": 0.3, "vgg11": 0.1, "alexnet": 0.02, "vgg16": 0.5}
    nets = [network(name, R, 1.0, 0.15 * R**0.4) for name, R in values.items()]
    prefactor = math.exp(sum(math.log(0.15 * R ** (0.4 - 0.5)) for R in values.values()) / 6)
    known = "6 networks, correlation 1.00 [1.00, 1.00]", f"slope 0.40, prefactor at slope ½: {prefactor:.2f}"
    title = figures.error_against(frame(*nets)).axes[0].get_title(loc="left")
    assert title == ", ".join(known)
    few = figures.error_against(frame(*nets[:-1])).axes[0]
    assert few.get_title(loc="left") == "5 networks"
    assert all(line.get_label() != "fit" for line in few.lines)

    others = network("cifar_resnet20", 0.01, 1.0, 0.9, recipe="published")  # far off the law, and in no fit
    mixed = figures.error_against(frame(*nets, others)).axes[0]
    assert mixed.get_title(loc="left").startswith(
        "Trained here: " + ",\n".join(known) + "\nwith those of others: 7 networks"
    )
    (fit,) = [line for line in mixed.lines if line.get_label() == "fit, trained here"]
    assert fit.get_xydata()[:, 1] == pytest.approx([0.15 * R**0.4 for R in (0.02, 4.0)])


def test_means_stand_above_medians():
    nets = {"vgg11": 0.2, "vgg13": 0.3, "alexnet": 0.5, "lenet": 0.8, "resnet18": 0.1, "fc_l2": 3.0}
    rows = frame(*(network(name, R, 2.0 + R, 0.1) for name, R in nets.items()))
    axes = figures.means_against_medians(rows).axes
    for ax, factor in ((axes[0], MEAN), (axes[1], 1.0), (axes[2], MEAN)):
        points = [line.get_xydata()[0] for line in ax.lines if len(line.get_xydata()) == 1]
        assert len(points) == 6
        assert [y / x for x, y in points] == pytest.approx([factor] * 6)
        assert "rank correlation 1.00" in ax.get_xlabel()


def test_encodings_set_true_pixels_against_jpegs():
    kept = network("vgg11", 0.2, 3.0, 0.1, dataset="cifar10-jpeg", images="cifar10-lossless")
    packed = network("vgg11", 0.4, 3.0, 0.1, dataset="cifar10-jpeg", images="cifar10-jpeg")[1:]
    ax = figures.encodings(frame(kept, packed)).axes[0]
    points = [points[0] for lines in curves(ax).values() for points in lines if len(points) == 1]
    assert points == [pytest.approx((0.2 * MEAN, 0.4 * MEAN))]


@pytest.mark.parametrize(("quantity", "factor"), [("R", 1), ("D", 3)])
def test_depth_profiles_are_the_layers_of_each_kind_of_network(quantity, factor):
    rows = frame(network("vgg11", 0.2, 3.0, 0.1), network("resnet18", 0.7, 3.0, 0.1))
    early, modern = figures_by_layer.depth_profiles(rows, quantity=quantity).axes[:2]
    for ax, R in ((early, 0.2), (modern, 0.7)):
        by_layer = [factor * R * MEAN * 5 / (1 + depth) for depth in range(5)]
        assert ys(ax, FULL) == pytest.approx(by_layer)
        assert ys(ax, DASHED) == pytest.approx([INITIAL * value for value in by_layer])
        ((points,),) = [lines for (_, dashes), lines in curves(ax).items() if dashes == FULL]
        assert [x for x, _ in points] == [0, 0.25, 0.5, 0.75, 1]


def test_shuffled_profiles_are_geometric_means_over_shuffles():
    rows = frame(network("vgg11", 0.2, 3.0, 0.1, shuffles=2))
    ax = figures_by_layer.shuffled_profiles(rows, "DG").axes[0]
    D, G = (to_hex(style.QUANTITIES[quantity][0]) for quantity in "DG")
    assert ys(ax, DASHED, D) == pytest.approx([3 * 0.2 * MEAN * 4.0] * 4)  # √(2 · 8)
    assert ys(ax, FULL, D) == pytest.approx([3 * 0.2 * MEAN * 5 / (1 + depth) for depth in range(5)])
    assert ys(ax, DASHED, G) == pytest.approx([3.0] * 4)


@pytest.fixture
def noisy():
    """At no noise the error follows D, at noise 30 it follows 1/D; G is R's inverse up to D."""
    names = ("fc_l2", "fc_l4", "vgg11", "resnet18")
    table = [(name, 2.0**k, 3.0**k * 4.0**-k) for k, name in enumerate(names)]
    return frame(
        *(network(name, R, G, R * G / 100, noise=0.0) for name, R, G in table),
        *(network(name, R, G, 0.01 / (R * G), noise=30.0) for name, R, G in table),
    )


def test_noise_correlations_are_those_of_each_level(noisy):
    ax = figures_by_layer.noise_correlations(noisy).axes[0]
    colour = to_hex(style.QUANTITIES["D"][0])
    values = [points for lines in [curves(ax)[colour, "-"]] for points in lines if len({x for x, _ in points}) == 2]
    assert [y for _, y in values[0]] == pytest.approx([1, -1])


def test_intervals_of_few_networks_are_not_drawn(noisy):
    def bars(rows):
        ends = [line.get_xdata() for line in figures_by_layer.noise_correlations(rows).axes[0].lines]
        return sum(len(x) == 2 and x[0] == x[1] for x in ends)

    more = [
        network(name, 0.3, 2.0 + k, 0.2, noise=level)
        for k, name in enumerate(("lenet", "alexnet"))
        for level in (0.0, 30.0)
    ]
    assert bars(pd.concat([noisy, frame(*more)])) - bars(noisy) == 6  # three quantities at two levels


def test_each_level_of_noise_has_its_picture_above_it(noisy):
    import torch

    image = torch.full((3, 8, 8), 0.5)
    pictures = figures_by_layer.noisy_pictures(noisy, image, torch.tensor([0.01] * 3), generator=torch.Generator())
    assert (pictures[0] == 0.5).all()
    assert ((pictures[1] - 0.5) ** 2).sum() ** 0.5 == pytest.approx(0.3, rel=1e-4)  # norm 30, in units of 0.01
    ax = figures_by_layer.noise_correlations(noisy, pictures).axes[0]
    places = [small.get_position().x0 + small.get_position().width / 2 for small in ax.child_axes]
    ticks = ax.transData.transform([(x, 0) for x in ax.get_xticks()])
    assert places == pytest.approx(list(ax.figure.transFigure.inverted().transform(ticks)[:, 0]), abs=0.02)


def test_noise_scatter_has_D_G_R_across_and_the_error_upward(noisy):
    axes = figures_by_layer.noise_scatter(noisy).axes[:6]
    errors = [1.5**k * MEAN / 100 / MEAN for k in range(4)]
    across = {
        "D": [MEAN * 1.5**k for k in range(4)],
        "G": [0.75**k for k in range(4)],
        "R": [MEAN * 2.0**k for k in range(4)],
    }
    for ax, (quantity, xs) in zip(axes[:3], across.items(), strict=True):
        points = sorted(point for lines in curves(ax).values() for points in lines for point in points)
        assert points == [pytest.approx(point) for point in sorted(zip(xs, errors, strict=True))], quantity
    assert [ax.get_title() for ax in axes[::3]] == ["noise 0, $D_f$: 1.00", "noise 30, $D_f$: −1.00"]


def test_mode_growth_is_by_eigenvalue():
    ax = figures_by_layer.mode_growth(frame(network("vgg11_bn", 0.2, 3.0, 0.1))).axes[0]
    found = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    for mode in (0, 1, 2, 3, 4, 6):
        expected = [[epoch, (1 + epoch) ** (2 - mode / 3)] for epoch in (1, 4)]
        assert found[f"λ = {mode}"] == [pytest.approx(point) for point in expected]
