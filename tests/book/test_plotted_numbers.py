"""What the figures of the papers plot: x and y of every curve against a made-up table whose numbers are all different.

Swapping x and y, or one quantity for another, turns a test red. Figures of the zoo, of the scale-detection tasks and of
public repositories have such tests in files of their own.
"""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex

from relbook.drawing import style
from relbook.studies.augmentation import figures as augmentation
from relbook.studies.diffeomorphisms import figures as deformations
from relbook.studies.lazy_images import figures as lazy
from relbook.studies.omissions import figures as omissions
from relbook.studies.ruderman import figures as ruderman
from relbook.studies.sphere import figures as sphere
from relbook.studies.stripe import figures as stripe
from relbook.studies.zoo import figures as zoo
from relstab import diffeo
from relstab.models.conv8 import DOWNSAMPLINGS


def curve(ax, label=None, **look):
    """The one line of a panel with this label and these properties, as a list of points."""
    found = [
        line
        for line in ax.lines
        if (label is None or line.get_label() == label)
        and all(getattr(line, f"get_{name}")() == value for name, value in look.items())
    ]
    assert len(found) == 1, [line.get_label() for line in ax.lines]
    return [tuple(map(float, point)) for point in found[0].get_xydata()]


def near(points):
    return [pytest.approx(point) for point in points]


def single(ax):
    """The lone points of a panel."""
    return sorted(tuple(map(float, line.get_xydata()[0])) for line in ax.lines if len(line.get_xydata()) == 1)


# The ensemble (B Figs. 1, 2; A Fig. 1 left) ----------------------------------------------------------------

CRITICAL = {2: 4e-2, 3: 2e-2, 5: 4e-3, 20: 2e-4}


def test_the_phase_diagram_has_temperatures_upward_and_marks_where_networks_are_measured():
    rows = pd.DataFrame(
        [
            {"rule": rule, "quantile": quantile, "cut": cut, "critical_temperature": T * factor * other}
            for cut, T in CRITICAL.items()
            for quantile, factor in ((0.05, 0.5), (0.5, 1.0), (0.95, 3.0))
            for rule, other in (("code", 1.0), ("paper", 9.0))
        ]
    )
    fig = deformations.phase_diagram(rows, torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)))
    ax, *pictures = fig.axes
    assert curve(ax, "half of the draws fold") == near(CRITICAL.items())
    one, half = (dict(curve(ax, label)) for label in ("$\\delta = 1$", "$\\delta = \\frac{1}{2}$"))
    for cut in CRITICAL:
        assert diffeo.displacement(one[cut], cut, 64, exact=True) == pytest.approx(1)
        assert diffeo.displacement(half[cut], cut, 64, exact=True) == pytest.approx(0.5)
    for cut in (3, 5, 15):
        assert curve(ax, f"measured, c = {cut}") == near([(cut, 4 / (math.pi * 32**2 * math.log(cut)))])
    assert len(pictures) == 8
    letters = {text.get_text(): text.get_position() for text in ax.texts if len(text.get_text()) == 1}
    assert letters["a"] == pytest.approx((3, 0.012 * 2e-2)) and letters["h"] == pytest.approx((20, 20 * 2e-4))


def test_both_perturbations_lie_on_one_sphere():
    image = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
    sphere, x, bent, _ = deformations.noise_and_deformation(image, displacement=2.0, seed=1).axes
    moved, noise, bends, axis = deformations.on_sphere(image, displacement=2.0, seed=1)
    expected = diffeo.deform(image[None], displacement=2.0, cut=3, generator=torch.Generator().manual_seed(1))[0]
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    assert noise.norm().item() == pytest.approx((moved - image).norm().item(), rel=1e-5)
    assert axis[2] == pytest.approx(1, abs=0.05)
    assert (np.linalg.norm(bends, axis=0) < 1).all()
    assert np.abs(bends[2]).max() < 0.1  # nearly orthogonal to the noise
    np.testing.assert_allclose(bends[:, 0], bends[:, -1], atol=1e-4)  # one turn
    loop = next(line for line in sphere.lines if len(line.get_xydata()) == bends.shape[1])
    assert loop.get_xdata().max() - loop.get_xdata().min() > 0.5
    shown = [ax.images[0].get_array() for ax in (x, bent)]
    np.testing.assert_allclose(shown[0], image[0], atol=1e-6)
    np.testing.assert_allclose(shown[1], moved[0].clamp(0, 1), atol=1e-6)


def test_the_arrows_are_the_field():
    image = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
    arrows = deformations.example(image, displacement=2.0, arrows=4, seed=1).axes[1].collections[0]
    draw = diffeo.sample_coefficients(1, 3, generator=torch.Generator().manual_seed(1))
    dx, dy = diffeo.displacement_field(draw, diffeo.temperature(2.0, 3, 32), 32)[0][:, 4::8, 4::8].numpy()
    np.testing.assert_allclose(np.reshape(arrows.U, (4, 4)), dx, rtol=1e-5)
    np.testing.assert_allclose(np.reshape(arrows.V, (4, 4)), -dy, rtol=1e-5)  # rows of a picture go down


# Zoo (B Figs. 3 centre, 4 top) -----------------------------------------------------------------------------


def zoo_rows():
    """Two networks of one architecture by data set and width; every R, G and error another number."""
    rows = []
    for k, (dataset, width, epochs) in enumerate(
        (("mnist", 1.0, 9), ("fashion-mnist", 1.0, 9), ("mnist", 0.5, 9)), start=1
    ):
        unit = {
            "dataset": dataset,
            "architecture": "vgg11",
            "width": width,
            "train_size": 0,
            "noise": 0.0,
            "augment": False,
            "recipe": "one_cycle",
            "epochs": epochs,
            "seed": 0,
        }
        rows.append(unit | {"kind": "training", "status": "ok", "test_error": 0.01 * k, "train_loss": 0.1})
        for stage, by in (("init", 10.0), ("trained", 1.0)):
            for cut in (3, 5, 15):
                probe = {
                    "kind": "sensitivity",
                    "images": dataset,
                    "interpolation": "bilinear",
                    "shuffle": -1,
                    "depth": 4,
                    "layer": "output",
                    "relative_depth": 1.0,
                    "statistic": "component_median",
                    "displacement": 1.0,
                }
                R, G = 0.1 * k * by * cut, 7.0 * k
                rows.append(unit | probe | {"stage": stage, "cut": cut, "R": R, "G": G, "D": R * G})
    return pd.DataFrame(rows)


def test_dots_are_R_by_data_set_before_and_after():
    ax = zoo.dots(zoo_rows(), ["vgg11"]).axes[0]
    for position, (cut, colour) in enumerate(zoo.CUT_COLOURS.items()):
        for face, by in ((colour, 1.0), ("white", 10.0)):
            points = curve(ax, color=colour, markerfacecolor=face)
            places = [0.25 * (position - 1), 1 + 0.25 * (position - 1)]  # of the widest network: MNIST, Fashion-MNIST
            assert points == near(zip(places, [0.1 * by * cut, 0.2 * by * cut], strict=True))


def test_sizes_are_widths_against_R_and_error():
    R, error = zoo.by_size(zoo_rows().query("dataset == 'mnist'")).axes
    assert curve(R) == near([(0.5, 0.9), (1.0, 0.3)])
    assert curve(error) == near([(0.5, 0.03), (1.0, 0.01)])


# Augmentation ----------------------------------------------------------------------------------------------


def test_deformations_in_training_are_across_and_paths_go_from_R_to_error():
    rows = pd.DataFrame(
        [
            {
                "dataset": "mnist",
                "architecture": "vgg11",
                "width": 1.0,
                "augment": augment,
                "displacement": delta,
                "seed": 0,
                "status": "ok",
                "R": 2.0 - delta + augment,
                "D": 20.0 - delta + augment,
                "G": 1.0,
                "R_fine": 1.0,
                "test_error": 0.1 + 0.01 * delta + 0.2 * augment,
            }
            for augment in (False, True)
            for delta in (0.0, 1.0)
        ]
    )
    for ax, column in zip(augmentation.against_displacement(rows).axes, ("R", "D", "test_error"), strict=True):
        for augment, fill in ((False, "full"), (True, "left")):
            expected = rows.loc[rows["augment"] == augment, ["displacement", column]].to_numpy()
            assert curve(ax, fillstyle=fill) == near(map(tuple, expected))
    ax = augmentation.error_against_stability(rows).axes[0]
    assert curve(ax, fillstyle="full") == near([(2.0, 0.1), (1.0, 0.11)])
    assert curve(ax, fillstyle="left") == near([(3.0, 0.3), (2.0, 0.31)])


# The stripe model (B Fig. 7) -------------------------------------------------------------------------------


@pytest.fixture
def stripes():
    """R = 256/P and Λ = √P/4 after training, one and one before, for two members."""
    rule = {"optimiser": "gd", "alpha": 1e-4}
    stop = stripe.stripe.RULE["stop"]
    return pd.DataFrame(
        [
            rule | {"train": P, "member": member, "stop": at, "R": R * (1 + member), "Lambda": Lambda}
            for P in (256, 512, 1024, 2048)
            for member in (0, 1)
            for at, R, Lambda in ((1.0, 1.0, 1.0), (stop, 256 / P, P**0.5 / 4))
        ]
    )


def test_stripes_have_sizes_across_and_exponents(stripes):
    _, right = stripe.relative_stability(stripes).axes
    mean = [(P, 2**0.5 * 256 / P) for P in (256, 512, 1024, 2048)]
    assert curve(right, r"after: exponent $-1.00 \pm 0.00$") == near(mean)
    assert curve(right, "exponent $-1$ (paper)") == near(mean)
    assert sorted(curve(right, "before training")) == near(sorted((P, 1.0 + m) for P, _ in mean for m in (0, 1)))
    left, ratio = stripe.alignment(stripes).axes
    assert curve(left, r"exponent $0.50 \pm 0.00$") == near([(P, P**0.5 / 4) for P, _ in mean])
    chosen = stripes.assign(law=stripe.stripe.isotropic_relation(stripes.Lambda))
    drawn = curve(ratio, r"gradient descent, $\alpha = 10^{-4}$")
    assert sorted(drawn) == near(sorted(zip(chosen.Lambda, chosen.R / chosen.law, strict=True)))


def test_rules_are_exponents_by_quantity(stripes):
    R, Lambda = stripe.rules(stripes).axes
    assert [container.lines[0].get_ydata().tolist() for container in R.containers] == [pytest.approx([-1])]
    assert [container.lines[0].get_ydata().tolist() for container in Lambda.containers] == [pytest.approx([0.5])]
    assert (curve(R, "paper")[0][1], curve(Lambda, "paper")[0][1]) == (-1, 0.5)


# Filters by layer (C Figs. 3 to 7) -------------------------------------------------------------------------


def ruderman_rows():
    rows, order = [], {name: k for k, name in enumerate(DOWNSAMPLINGS, start=1)}
    for name, k in order.items():
        for task, (labels, decay, more) in enumerate(
            (("real", 1e-4, {}), ("real", 0.0, {}), ("random", 0.0, {}), ("real", 0.0, {"strength": 2.0}),
             ("real", 0.0, {"strength": 4.0}), ("real", 0.0, {"sigma": 1.0}), ("real", 0.0, {"sigma": 2.0})), start=1
        ):  # fmt: skip
            unit = {"architecture": f"conv8_{name}", "seed": 0, "labels": labels, "weight_decay": decay, "status": "ok",
                    "strength": math.nan, "sigma": math.nan} | more  # fmt: skip
            rows.append(unit | {"kind": "training", "train_error": 0.0, "test_error": 0.1})
            for stage, by in (("init", 100.0), ("trained", 1.0)):
                value = by * (100 * task + 10 * k)
                rows += [
                    unit | {"kind": "cosine", "stage": stage, "depth": d, "sensitivity": value + d} for d in range(14)
                ]
                if not more.get("sigma"):
                    rows += [
                        unit | {"kind": "filters", "stage": stage, "depth": d, "size": 3, "tv": value + 0.1 * d}
                        for d in range(1, 9)
                    ]
    frame = pd.DataFrame(rows)
    blurred = frame["sigma"].notna()
    return frame[~blurred | (frame["stage"] == "init") | (frame["kind"] == "training")], order


def test_stability_and_smoothness_are_by_layer_task_and_stage():
    rows, order = ruderman_rows()
    panels = [*ruderman.stability(rows).axes, *ruderman.labels(rows).axes]
    for ax, (task, by) in zip(panels, ((1, 100), (1, 1), (2, 1), (3, 1)), strict=True):
        for name, k in order.items():
            assert curve(ax, ruderman.LOOKS[name][0]) == near((d, by * (100 * task + 10 * k) + d) for d in range(13))
    for task, ax in enumerate(ruderman.smoothness(rows).axes, start=1):
        for name, k in order.items():
            expected = near((d, 100 * task + 10 * k + 0.1 * d) for d in range(1, 9))
            assert curve(ax, ruderman.LOOKS[name][0]) == expected


def test_smoothing_and_strengths_are_their_own_tasks():
    rows, order = ruderman_rows()
    for ax, name in zip(ruderman.smoothing(rows).axes, DOWNSAMPLINGS, strict=False):
        for task, sigma in ((6, 1), (7, 2)):
            assert curve(ax, f"σ = {sigma}") == near((d, 100 * (100 * task + 10 * order[name]) + d) for d in range(13))
    ax, middle = ruderman.strengths(rows).axes[0], 10 * np.mean(list(order.values()))
    for task, strength in ((4, 2), (5, 4)):
        assert curve(ax, f"C = {strength}") == near((d, 100 * task + middle + 0.1 * d) for d in range(1, 9))
    light, dark = (next(line for line in ax.lines if line.get_label() == f"C = {c}").get_color() for c in (2, 4))
    assert (to_hex(dark), to_hex(light)) == tuple(style.graded(style.NAVY, 2))


# Lazy and feature training (D) -----------------------------------------------------------------------------


def test_lazy_networks_by_size_and_by_alpha(monkeypatch):
    columns = ("R", "D", "G", "test_error", "weight_change", "kernel_change")
    table = pd.DataFrame(
        [
            {"network": name, "train": P, "alpha": alpha, "status": "reached", "R_init": 5.0 * n}
            | {column: (k + 1) * 10.0**n * P * (1 + a) for k, column in enumerate(columns)}
            for n, name in enumerate(("fc_l2", "fc_l4"), start=1)
            for P in (16, 64)
            for a, alpha in enumerate((lazy.lazy_images.FEATURE, lazy.lazy_images.LAZY))
        ]
    )
    monkeypatch.setattr(lazy.lazy_images, "networks", lambda rows: table)
    axes = np.reshape(lazy.against_size(pd.DataFrame()).axes, (2, 2))
    for n, column in enumerate(axes.T, start=1):
        for ax, factor in zip(column, (1, 4), strict=True):  # R, test error
            lines = {container.get_label(): container.lines[0].get_xydata().tolist() for container in ax.containers}
            for a, regime in enumerate((lazy.lazy_images.FEATURE, lazy.lazy_images.LAZY)):
                expected = [[P, factor * 10.0**n * P * (1 + a)] for P in (16, 64)]
                assert lines[lazy.REGIMES[regime][0]] == near(expected)
        assert column[0].containers[-1].lines[0].get_ydata().tolist() == pytest.approx([5 * n] * 2)
    for ax, (k, column) in zip(lazy.against_alpha(pd.DataFrame()).axes, enumerate(columns), strict=True):
        expected = [
            [alpha, (k + 1) * 10 * 16 * (1 + a)]
            for a, alpha in enumerate((lazy.lazy_images.FEATURE, lazy.lazy_images.LAZY))
        ]
        assert ax.containers[0].lines[0].get_xydata().tolist() == near(expected), column


def test_the_sphere_has_points_across_and_one_line_a_regime(monkeypatch):
    table = pd.DataFrame(
        [
            {
                "dimension": d,
                "train": P,
                "member": member,
                "alpha": alpha,
                "test_mse": 3.0 * P * d * a,
                "S": 7.0 * P * d * a,
                "concentration": 2.0 * a,
            }
            for d in (3, 5)
            for P in (16, 32)
            for member in (0, 1)
            for a, alpha in ((2.0, 0.03), (4.0, 100.0), (1.0, math.inf))
        ]
    )
    monkeypatch.setattr(sphere.sphere, "measures", lambda rows: table)
    axes = np.reshape(sphere.lazy_and_feature(pd.DataFrame()).axes, (2, 2))
    for line, factor in zip(axes, (3, 7), strict=True):
        for ax, d in zip(line, (3, 5), strict=True):
            lines = {container.get_label(): container.lines[0].get_xydata().tolist() for container in ax.containers}
            for a, alpha in ((2, 0.03), (4, 100.0), (1, math.inf)):
                assert lines[sphere.REGIMES[alpha][0]] == near([[P, factor * P * d * a] for P in (16, 32)])
    for ax in sphere.concentration(pd.DataFrame()).axes:
        heights = [container.lines[0].get_ydata().tolist() for container in ax.containers]
        assert heights == [pytest.approx([2, 2]), pytest.approx([4, 4])]


# What the papers leave out ---------------------------------------------------------------------------------


def test_omissions_plot_their_tables():
    table = pd.DataFrame({"cut": [2, 10], "code": [1.3, 1.1], "paper": [0.7, 1.05], "with constant": [0.8, 0.9]})
    left, right = omissions.modes(table, 3).axes
    for name, label in (
        ("code", "exact, modes of the code"),
        ("paper", "exact, modes of the text"),
        ("with constant", "Eq. 3 with its constant"),
    ):
        assert curve(right, label) == near(zip(table["cut"], table[name], strict=True))
    assert sorted(curve(left, "code only")) == [(1, 3), (3, 1)]
    assert len(curve(left, "text and code")) == 4
    medians = pd.DataFrame({"mean": [0.5, 2.0], "median": [0.4, 1.0], "component_median": [0.3, 2.4]})
    ax = omissions.medians(medians).axes[0]
    assert curve(ax, "median of squared norms") == near([(0.5, 0.8), (2.0, 0.5)])
    assert curve(ax, "sum of medians of components (code)") == near([(0.5, 0.6), (2.0, 1.2)])
    rates = omissions.learning_rates({"text": [0.1, 0.05, 0.0], "code": [0.1, 0.0, 0.02]}).axes[0]
    assert curve(rates, "code") == near([(0, 0.1), (1, 0.0), (2, 0.02)])
    rough = pd.DataFrame({"slices": [1.9, 1.8], "pooled": [1.7, 1.6]}, index=["normal", "uniform"])
    ax = omissions.baseline(rough, 1.87).axes[0]
    assert curve(ax, "mean over single filters") == near([(1.9, 1), (1.8, 0)])
    assert curve(ax, "ratio of sums, the formula") == near([(1.7, 1), (1.6, 0)])


def test_the_table_of_a_figure_holds_its_error_bars():
    from matplotlib.figure import Figure

    from relbook.drawing import vector

    fig = Figure()
    ax = fig.subplots()
    ax.errorbar([1.0], [5.0], yerr=[[2.0], [3.0]], fmt="o")
    ax.hlines(7.0, 2.0, 4.0)
    table = vector.plotted(fig)
    upright, level = table[table["kind"] == "interval"].to_dict("records")
    assert (upright["x"], upright["low"], upright["high"]) == (1, 3, 8)
    assert (level["y"], level["low"], level["high"]) == (7, 2, 4)
