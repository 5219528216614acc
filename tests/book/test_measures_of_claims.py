"""Measures of claims on made-up tables whose answer is known: theory, small sums, and studies with few columns.

Those of the zoo, scale detection in two dimensions, paper C and public repositories are tested beside their rows.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from relbook import papers
from relbook.studies.augmentation import claims as augmentation
from relbook.studies.diffeomorphisms import claims as fields
from relbook.studies.measures import claims as interpolations
from relbook.studies.omissions import claims as omissions
from relbook.studies.ruderman import claims as ruderman
from relbook.studies.scale_detection import claims as line
from relbook.studies.scale_detection import study
from relbook.studies.two_pixels import claims as two_pixels


def test_every_measure_is_tested_on_numbers_that_are_known():
    """A test names each function that measures, or a claim that it measures."""
    text = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    untested = {}
    for claim in papers.ledger():
        if claim.measure:
            name = f"{claim.folder}.{claim.measure}"
            named = f".{claim.measure}(" in text or f'"{claim.id}"' in text
            untested[name] = untested.get(name, True) and not named
    assert [name for name, bare in untested.items() if bare] == []


# ---- scale detection on a line: three seeds whose D is the exact one times 0.5, 1 and 3

SEEDS = {1: 0.5, 2: 1.0, 3: 3.0}


@pytest.fixture(scope="module")
def ensembles():
    unit = study.PAPER[1] | {"task": 1, "moves": "free", "width": 8, "status": "ok", "steps": 1, "output_std": 1.0}
    exact = study.exact(pd.DataFrame([unit]))
    lines = []
    for member, factor in SEEDS.items():
        for stage, more in (("trained", 1.0), ("init", 10.0)):
            for one in exact.to_dict("records"):
                D, G = one["D"] * factor * more, one["G"]
                lines.append(
                    unit
                    | {
                        "k": one["k"],
                        "A": one["A"],
                        "member": member,
                        "stage": stage,
                        "D": D,
                        "G": G,
                        "R": D / G,
                        "D_mean_channel": 2 * D,
                        "G_mean_channel": G * one["k"],
                        "alignment": 1 / (one["k"] + member),
                        "test_error": 0.1 * (member == 3),
                    }
                )
    wrong = [one | {"moves": "constrained", "D": 99.0} for one in lines]
    narrow = [one | {"width": 4, "D": 99.0} for one in lines]
    return pd.DataFrame([*lines, *wrong, *narrow])


def test_trained_over_exact_is_the_seed_in_the_middle(ensembles):
    found = line.over_exact(ensembles, task=1, quantity="D", layers=[1, 5], seed=0)
    assert found.estimate == pytest.approx(1) and found.units == ("seed 1", "seed 2", "seed 3")
    assert (found.low, found.high) == (pytest.approx(0.5), pytest.approx(3))
    assert line.over_exact(ensembles, task=1, quantity="G", layers=[1, 5], seed=0).high == pytest.approx(1)
    assert line.over_exact(ensembles, task=2, quantity="D", layers=[1, 5], seed=0).n == 0
    layers = study.deviations(line._widest(ensembles, 1)).query("member == 1")
    bent = ensembles.assign(D=ensembles["D"].mask(ensembles["k"] == 4, 4 * ensembles["D"]))
    assert line.over_exact(bent, task=1, quantity="D", layers=[1, 5], seed=0).estimate == pytest.approx(4)
    assert line.over_exact(bent, task=1, quantity="D", layers=[1, 3], seed=0).estimate == pytest.approx(1)
    assert len(layers) == study.PAPER[1]["layers"]


def test_exponents_are_fitted_seed_by_seed(ensembles):
    power = ensembles.assign(D=ensembles["A"] ** -2.0 * ensembles["member"], G=ensembles["A"])
    assert line.fitted_exponent(power, task=1, quantity="D", seed=0).estimate == pytest.approx(-2)
    assert line.fitted_exponent(power, task=1, quantity="G", seed=0).estimate == pytest.approx(1)
    before = power.assign(D=power["D"].mask(power["stage"] == "init", 1.0))
    assert line.fitted_exponent(before, task=1, quantity="D", stage="init", seed=0).estimate == pytest.approx(0)
    first, last = study.SLOPES[1]
    outside = power.assign(D=power["D"].mask(~power["k"].between(first, last), 7.0))
    assert line.fitted_exponent(outside, task=1, quantity="D", seed=0).estimate == pytest.approx(-2)


def test_training_lowers_D_of_a_layer_tenfold(ensembles):
    assert line.after_over_before(ensembles, task=1, layer=6, seed=0).estimate == pytest.approx(0.1)
    assert line.after_over_before(ensembles, task=1, layer=6, quantity="G", seed=0).estimate == pytest.approx(1)


def test_a_layer_and_a_stage_are_not_taken_for_another(ensembles):
    """Before training D of layer 6 is doubled, and the mean channel wrong: only one of it shows in each."""
    init = ensembles["stage"].eq("init")
    doubled = ensembles.assign(D=ensembles["D"].mask(init & ensembles["k"].eq(6), 2 * ensembles["D"]))
    assert line.after_over_before(doubled, task=1, layer=6, seed=0).estimate == pytest.approx(0.05)
    assert line.after_over_before(doubled, task=1, layer=5, seed=0).estimate == pytest.approx(0.1)
    wrong = ensembles.assign(D_mean_channel=ensembles["D_mean_channel"].mask(init, 999.0))
    options = {"task": 1, "quantity": "D", "layers": [1, 5], "seed": 0}
    assert line.mean_channel(wrong, **options).estimate == pytest.approx(2)


def test_the_mean_channel_is_compared_where_it_is_farthest(ensembles):
    assert line.mean_channel(ensembles, task=1, quantity="D", layers=[1, 5], seed=0).estimate == pytest.approx(2)
    assert line.mean_channel(ensembles, task=1, quantity="G", layers=[1, 5], seed=0).estimate == pytest.approx(5)
    assert line.mean_channel(ensembles, task=1, quantity="G", layers=[1, 3], seed=0).estimate == pytest.approx(3)


def test_the_smallest_layer_and_the_share_without_error(ensembles):
    found = line.smallest(ensembles, task=1, column="alignment", layers=[1, 5], seed=0)
    assert found.estimate == pytest.approx(1 / 7) and found.n == 3  # 1 / (5 + 2)
    assert line.without_error(ensembles, task=1, seed=0).estimate == pytest.approx(2 / 3)
    assert line.without_error(ensembles, task=1, at_most=0.1, seed=0).estimate == 1


def test_one_seed_in_three_is_homogeneous(ensembles):
    assert line.homogeneous(ensembles, task=1, seed=0).estimate == pytest.approx(1 / 3)


# ---- exact sums


def test_exponents_of_the_theory():
    """Free pixels pooled without overlap: D of a sum over s sites falls as 1/s; the window is what is fitted."""
    network, options = [2, 2, 128, 2, 32, 0], {"moves": "free"}
    whole = line.exponent(quantity="D", layers=5, network=network, window=[1, 4], **options)
    part = line.exponent(quantity="D", layers=5, network=network, window=[2, 4], **options)
    assert whole.n == 4 and part.n == 3 and whole.estimate != part.estimate
    assert whole.estimate == pytest.approx(-1, abs=0.1)
    R, G = (line.exponent(quantity=q, layers=5, network=network, window=[1, 4], **options).estimate for q in "RG")
    assert pytest.approx(whole.estimate - G) == R


def test_laws_of_the_walk():
    assert line.diffusion().estimate == pytest.approx(0.5)
    assert line.norm_exponent(window=[1, 2]).estimate == pytest.approx(math.log2((1 + 4 + 9 + 4 + 1) / 81 * 3))
    assert line.norm_exponent(window=[200, 400]).estimate == pytest.approx(-0.5, abs=1e-3)
    assert line.norm_exponent(window=[200, 400], gradient=True).estimate == pytest.approx(-1.5, abs=3e-3)
    assert line.variance(sizes=[2]).estimate == pytest.approx(0.25 / (2 * 4 / 24))
    found = line.variance(sizes=[2, 3])  # 1/4 of the step, over (8 - 12 + 12 - 4)/24 / 2; (2/3) over 8/72 ...
    assert found.n == 2 and found.estimate == max(
        (line.variance(sizes=[s]).estimate for s in (2, 3)), key=lambda x: abs(math.log(x))
    )


def test_the_walk_goes_half_a_site_a_layer_where_filters_are_even():
    """Filters of two sites: the pixel stays or moves by one, each with probability 1/2; minus the mean step."""
    assert line.drift().estimate == pytest.approx(-1 / 2) and line.drift().n is None


def test_a_ramp_and_the_layer_that_sees_it():
    assert two_pixels.off_the_ramp().n is None and two_pixels.off_the_ramp(scales=[3, 5]).n == 2
    assert two_pixels.off_the_ramp(scales=[3, 5]).estimate == pytest.approx(0, abs=1e-12)
    for scale, size, layer in ((7, 3, 3), (8, 3, 4), (7, 5, 2), (3, 3, 1)):
        assert two_pixels.layer_that_sees(scale=scale, filter_size=size).estimate == layer


def test_a_wrong_solution_is_off_the_ramp(monkeypatch):
    monkeypatch.setattr(two_pixels, "output", lambda images, xi, solution: images.sum(1))
    assert two_pixels.off_the_ramp().estimate > 1


def test_first_layers_are_compared(monkeypatch):
    """Three pixels are summed at once, or one seen: 0.6996 over 0.2507 (Monte-Carlo in `test_two_pixels`)."""
    assert two_pixels.first_layers().estimate == pytest.approx(2.791, abs=1e-3)
    table = pd.DataFrame(
        {"layer": ["first", "windows"] * 2, "solution": ["low", "low", "high", "high"], "D": [2.0, 5, 1, 9]}
    )
    monkeypatch.setattr(two_pixels, "layer_sensitivities", lambda: table)
    assert two_pixels.first_layers().estimate == 0.5


def test_smoothness_of_layers_scatters_as_one_over_the_root():
    first, larger = (omissions.scatter_of_layer(filters=n).estimate for n in (96, 9600))
    assert first / larger == pytest.approx(10)
    assert 0.3 < first * math.sqrt(96) < 0.37


def test_gradients_of_paper_C_are_the_larger_of_two_settings():
    found = ruderman.gradient()
    assert set(found.units) == {"cifar10", "imagenet"} and 0 < found.estimate < 1


# ---- deformations


def test_the_gradient_norm_of_all_modes_is_that_of_each():
    """One mode: (π²/4)(1 + 1) C², C² = T/2, two components; so 1 x 1 modes have the ratio one as well."""
    found = fields.norm_without_cut(size=1, draws=4000, seed=0)
    assert found.low < 1 < found.high and found.n == 4000
    assert not fields.norm_without_cut(size=2, draws=20, seed=0).enough


def test_components_that_depend_on_each_other_are_found(monkeypatch):
    assert fields.dependence(cut=3, draws=4000, seed=0).estimate < 0.1
    drawn = fields.diffeo.displacement_field

    def tied(*arguments):
        field = drawn(*arguments)
        return field[:, [0, 0]]

    monkeypatch.setattr(fields.diffeo, "displacement_field", tied)
    assert fields.dependence(cut=3, draws=4000, seed=0).estimate == pytest.approx(1)


def test_the_centre_moves_by_the_sum_over_kept_modes():
    """c = 3 of the code: (1,1), (1,2), (2,1), (2,2), ..., of which only odd-odd modes move the centre."""
    code, paper = (fields.centre(rule=rule).estimate for rule in ("code", "paper"))
    assert code > paper > 1
    assert fields.centre(rule="code", cut=30).estimate == pytest.approx(1, abs=0.25)


def test_the_centre_moves_with_the_modes_of_odd_numbers():
    """n² T = 4/(π ln 3) times the sum of 2/(i² + j²) over odd modes: (1, 1) of the text; (1, 3), (3, 1) of the code."""
    first, third = 2 / (1 + 1), 2 * 2 / (1 + 9)
    assert fields.centre(rule="paper").estimate == pytest.approx(math.sqrt(4 / math.pi / math.log(3) * first))
    assert fields.centre(rule="code").estimate == pytest.approx(math.sqrt(4 / math.pi / math.log(3) * (first + third)))


def test_the_growth_with_the_logarithm_of_the_cut_off(monkeypatch):
    assert fields.log_slope().estimate == pytest.approx(math.pi / 4, rel=0.01)
    asked = []

    def displacement(temperature, cut, size, *, exact):
        asked.append((cut, exact))
        return size * math.sqrt(temperature * (7 + 3 * math.log(cut)))

    monkeypatch.setattr(fields.diffeo, "displacement", displacement)
    assert fields.log_slope().estimate == pytest.approx(3) and asked == [(100, True), (400, True)]


def folds(scale=1.0):
    return pd.DataFrame([{"rule": rule, "cut": c, "quantile": q, "samples": 100, "norm2": 2.0,
                          "critical_temperature": q * 2 * scale**c / (c**2 * math.log(c))}
                         for rule in ("paper", "code") for c in (3, 5, 10, 20) for q in (0.25, 0.5, 0.75)])  # fmt: skip


def test_a_boundary_of_the_stated_form_has_no_spread():
    assert fields.fold_spread(folds()).estimate == pytest.approx(1)
    found = fields.fold_spread(folds(1.1))
    assert found.estimate == pytest.approx(1.1**15) and found.units == ("c = 5", "c = 10", "c = 20")


def test_a_row_of_another_rule_or_cut_off_is_not_taken():
    """Of the text at c = 3 the norm is twice (π³/8) c²; other rules, cut-offs and quantiles have other numbers."""
    rows = folds().assign(norm2=1.0)
    half = rows["quantile"].eq(0.5) & rows["cut"].eq(3)
    rows["norm2"] = rows["norm2"].mask(half & rows["rule"].eq("paper"), 2 * math.pi**3 / 8 * 9)
    rows["norm2"] = rows["norm2"].mask(half & rows["rule"].eq("code"), 3 * math.pi**3 / 8 * 9)
    assert fields.gradient_norm(rows, rule="paper", cut=3).estimate == pytest.approx(2)
    assert fields.gradient_norm(rows, rule="code", cut=3).estimate == pytest.approx(3)
    assert fields.gradient_norm(rows, rule="paper", cut=4).n == 0
    other = folds()
    other["critical_temperature"] *= np.where(other["rule"].eq("code") & other["cut"].eq(5), 9.0, 1.0)
    assert fields.fold_spread(other).estimate == pytest.approx(1)
    wide = folds()
    wide["critical_temperature"] *= wide["cut"].map({3: 7.0, 5: 1.0, 10: 4.0, 20: 2.0})
    more = wide[wide["cut"].eq(20)].assign(cut=21, critical_temperature=9.0)
    assert fields.fold_spread(pd.concat([wide, more])).estimate == pytest.approx(4)


def test_points_that_fold_are_those_of_the_backward_map(monkeypatch):
    """s - τ(s) with linear τ on all points: stretched past itself along one axis, along both, sheared, turned."""
    y, x = (torch.arange(64.0) - 31.5).reshape(1, 64, 1), (torch.arange(64.0) - 31.5).reshape(1, 1, 64)
    zero = torch.zeros(1, 64, 64)
    linear = [(2 * x + zero, zero), (2 * x + zero, 2 * y + zero), (2 * y + zero, 2 * x + zero),
              (2 * y + zero, -2 * x + zero), (-2 * x + zero, zero), (zero, 2 * y + zero), (x + zero, zero),
              (x / 2 + y / 2, x - y)]  # fmt: skip
    moved = torch.stack([torch.cat(pair) for pair in linear])
    temperatures = []

    def field(coefficients, temperature, size):
        temperatures.append((temperature, size))
        return moved

    monkeypatch.setattr(fields.diffeo, "displacement_field", field)
    assert fields._folded_points(torch.zeros(1, 2, 3, 3), 3).tolist() == [
        1,
        0,
        1,
        0,
        0,
        1,
        1,
        0,
    ]  # determinants -1, 1, -3, 5, 3, -1, 0, 1/2
    assert temperatures == [(pytest.approx(8 / math.pi**3 / 9), 64)]
    half = torch.where(x < 0, x * 0, 2 * x) + zero  # 32 columns are flat; at the edge the slope is a half of 2
    monkeypatch.setattr(fields.diffeo, "displacement_field", lambda *_: torch.stack([torch.cat([half, zero])]))
    assert fields._folded_points(torch.zeros(1, 2, 3, 3), 3).item() == pytest.approx(0.5, abs=1 / 32)


def test_the_worst_cut_off_counts_with_the_scatter_of_its_draws(monkeypatch):
    """Shares 0 and 0.4 by turns at c = 5, none at c = 3: mean 0.2, deviation 0.2 √(n/(n - 1)) of n = 300 draws."""

    def folded(coefficients, cut):
        assert coefficients.shape[-2:] == (cut, cut) and len(coefficients) <= 250
        assert coefficients.ne(0).any((0, 1)).equal(fields.diffeo.kept_modes(cut, rule="paper"))
        drawn.append(coefficients.sum().item())
        return np.resize([0.0, 0.4], len(coefficients)) * (cut == 5)

    drawn = []
    monkeypatch.setattr(fields, "_folded_points", folded)
    for cuts in ([3, 5], [5, 3]):
        found = fields.local_folds(cuts=cuts, draws=300, seed=0)
        assert found.estimate == pytest.approx(0.2) and found.n == 300 and found.enough
        assert found.high - 0.2 == pytest.approx(1.96 * 0.2 / math.sqrt(299)) == pytest.approx(0.2 - found.low)
    assert not fields.local_folds(cuts=[5], draws=99, seed=0).enough
    assert fields.local_folds(cuts=[5], draws=100, seed=0).enough
    del drawn[:]
    for seed in (1, 1, 2):
        assert fields.local_folds(cuts=[3], draws=100, seed=seed).low == 0
    assert drawn[0] == drawn[1] != drawn[2]


def test_squares_that_depend_on_each_other_are_found(monkeypatch):
    """|u| = |v| with signs of their own: no correlation of the components, full correlation of the squares."""
    drawn = fields.diffeo.displacement_field

    def tied(*arguments):
        field = drawn(*arguments)
        signs = torch.randint(0, 2, (len(field), 1, 1), generator=torch.Generator().manual_seed(1)) * 2 - 1
        return torch.stack([field[:, 0], signs * field[:, 0]], 1)

    monkeypatch.setattr(fields.diffeo, "displacement_field", tied)
    assert fields.dependence(cut=3, draws=4000, seed=0).estimate == pytest.approx(1)
    assert fields.dependence(cut=3, draws=4000, seed=0).n == 4000

    def opposite(*arguments):
        field = drawn(*arguments)
        return torch.stack([field[:, 0], -field[:, 0]], 1)

    monkeypatch.setattr(fields.diffeo, "displacement_field", opposite)
    assert fields.dependence(cut=3, draws=400, seed=0).estimate == pytest.approx(1)


def test_the_gradient_norm_of_four_modes_is_that_of_each_weighted_alike():
    """n = 2: (π²/4)(i² + j²) over i² + j², four modes and two components; their mean over (π²/2) n² is one."""
    found = fields.norm_without_cut(size=2, draws=4000, seed=0)
    assert found.estimate == pytest.approx(1, abs=0.03) and found.low < 1 < found.high
    assert found.high - found.low < 0.04 and fields.norm_without_cut(size=1, draws=30, seed=0).enough


def test_norms_and_points_that_fold():
    assert fields.unit_norm(cut=30).estimate == pytest.approx(fields.squared_norm(8 / math.pi**3 / 900, 30))
    few, many = (fields.local_folds(cuts=cuts, draws=100, seed=1) for cuts in ([3], [3, 6]))
    assert few.n == 100 and many.estimate >= few.estimate and few.low <= few.estimate <= few.high


def test_noise_that_is_as_far_as_the_deformation_has_R_one():
    assert fields.same_norm(images=4).estimate == pytest.approx(1, abs=1e-5)


# ---- networks with few columns


def test_interpolations_of_the_widest_networks():
    """R with Gaussian over bilinear is 2 and 8, and 1 on other data; what is narrower or unusual stays out."""
    base = {"dataset": "cifar10-jpeg", "width": 1.0, "epochs": 10, "recipe": "one_cycle", "augment": True}
    base |= {"R2": 0.5, "R4": 0.5, "R4_gaussian": 0.5}
    plain, published = {"dataset": "mnist", "augment": False}, {"dataset": "cifar10-lossless", "recipe": "published"}
    rows = pd.DataFrame([base | one for one in (
        {"architecture": "a", "R2_gaussian": 0.5}, {"architecture": "a", "R2_gaussian": 2.0},
        {"architecture": "b", "R2_gaussian": 4.0}, {"architecture": "b", "R2_gaussian": 99.0, "width": 0.5},
        {"architecture": "c", "R2_gaussian": 99.0, "augment": False},
        {"architecture": "d", "R2_gaussian": 0.5, **plain},
        {"architecture": "e", "R2_gaussian": 99.0, "dataset": "mnist"},
        {"architecture": "f", "R2_gaussian": 0.5, "augment": False, **published})])  # fmt: skip
    found = interpolations.interpolation(rows, displacement=2, seed=0)
    assert set(found.units) == {
        "a ×1 on cifar10-jpeg",
        "b ×1 on cifar10-jpeg",
        "d ×1 on mnist",
        "f ×1 on cifar10-lossless",
    }
    assert found.estimate == pytest.approx((2 * 8) ** (1 / 4))
    assert interpolations.interpolation(rows, displacement=4, seed=0).estimate == pytest.approx(1)


def test_crops_and_flips_are_compared_twin_by_twin():
    """R with over without them: 2 and 1/2 for the two seeds of one kind, 4 for another; one without a twin."""
    base = {"status": "ok", "dataset": "d", "width": 1.0, "displacement": 0.0}
    lines = [("a", 0, 2.0, 1.0), ("a", 1, 1.0, 2.0), ("b", 0, 4.0, 1.0)]
    rows = [
        base | {"architecture": name, "seed": s, "augment": kind, "R": R}
        for name, s, *both in lines
        for kind, R in zip((True, False), both, strict=True)
    ]
    rows.append(base | {"architecture": "c", "seed": 0, "augment": True, "R": 99.0})
    rows.append(base | {"architecture": "b", "seed": 1, "augment": True, "R": 99.0, "status": "diverged"})
    found = augmentation.crops_and_flips(pd.DataFrame(rows), seed=0)
    assert found.estimate == pytest.approx(2) and found.n == 2  # geometric mean of 1 and 4
    assert augmentation.crops_and_flips(pd.DataFrame(rows), inside=3, seed=0).estimate == 0.5
    rows += [
        base | {"architecture": "d", "seed": 0, "augment": kind, "R": 2.0 if kind else 1.0} for kind in (True, False)
    ]
    assert augmentation.crops_and_flips(pd.DataFrame(rows), inside=3, seed=0).estimate == pytest.approx(2 / 3)
    assert augmentation.crops_and_flips(pd.DataFrame(rows), inside=1.5, seed=0).estimate == pytest.approx(1 / 3)
    assert np.isfinite(found.high)


def test_deformed_images_are_compared_with_the_same_network_on_plain_ones():
    """The error with δ = 1 is 3 times, with δ = 2 it is 1/2 of that without, seeds averaged in the logarithm."""
    base = {"status": "ok", "dataset": "d", "width": 1.0, "augment": False, "architecture": "a", "R": 1.0}
    errors = {(0.0, 0): 0.1, (1.0, 0): 0.9, (2.0, 0): 0.05, (0.0, 1): 0.2, (1.0, 1): 0.2, (2.0, 1): 0.1}
    rows = [base | {"displacement": d, "seed": s, "test_error": error} for (d, s), error in errors.items()]
    rows.append(base | {"displacement": 1.0, "seed": 0, "test_error": 0.9, "augment": True})  # without a twin
    found = augmentation.deformations(pd.DataFrame(rows), quantity="test_error", seed=0)
    assert found.estimate == pytest.approx(math.sqrt(3 / 2))
    assert found.units == ("a on d, plain, δ = 1", "a on d, plain, δ = 2")
    assert augmentation.deformations(pd.DataFrame(rows), quantity="R", seed=0).estimate == pytest.approx(1)
