"""Lazy and feature training on images: the predictor α (f - f₀), its exact limit, and claims that can fail."""

import copy
import dataclasses
import math

import pandas as pd
import pytest
import torch

from relbook import papers, scales
from relbook.studies.lazy_images import claims, figures, pixels
from relbook.studies.lazy_images import study as lazy_images
from relbook.studies.lazy_images.networks import Centred, Predictor
from relstab import models
from relstab.store import records

IMAGES, CLASSES = 24, 3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(dtype=torch.float64, layers=2):
    net = models.build(
        f"fc_l{layers}", in_channels=1, num_classes=CLASSES, image_size=8, width=0.5, generator=generator()
    )
    return net.to(dtype)


def task(dtype=torch.float64):
    images = torch.randn(2 * IMAGES, 1, 8, 8, generator=generator(1), dtype=dtype)
    return images[:IMAGES], torch.arange(IMAGES) % CLASSES, images[IMAGES:]


def trained(alpha, dtype=torch.float64, layers=2, stop=0.1):
    images, labels, _ = task(dtype)
    predictor = Predictor(small(dtype, layers), alpha)
    return predictor, lazy_images.descend(predictor, images, labels, step=32.0, limit=2000, stop=stop)


# the predictor


@pytest.mark.parametrize("alpha", [0.03, 1.0, 1e5, math.inf])
def test_it_is_zero_at_its_start_whatever_alpha(dtype, alpha):
    images = task(dtype)[0]
    out = Predictor(small(dtype), alpha)(images)
    assert out.dtype == dtype and out.shape == (IMAGES, CLASSES)
    assert out.abs().max() == 0


def test_all_alpha_start_from_the_same_function_and_leave_it_alone():
    net, (images, _, _) = small(), task()
    before = net(images)
    for alpha in (0.03, 1e5):
        predictor = Predictor(net, alpha)
        assert torch.equal(predictor.start(images), before)
        for move in predictor.moves:
            move.data.add_(1.0)
        assert torch.equal(predictor.start(images), before)
    assert torch.equal(net(images), before)


def test_it_is_the_scaled_difference_of_two_networks():
    predictor, (images, _, _) = Predictor(small(), 2.0), task()
    moved = small()
    for move, weight in zip(predictor.moves, moved.parameters(), strict=True):
        move.data.normal_(generator=generator(2))
        weight.data.add_(move.data / 2.0)
    assert torch.allclose(predictor(images), 2.0 * (moved(images) - small()(images)))
    assert torch.equal(predictor(images), predictor(images, predictor.start(images)))


@pytest.mark.parametrize("layers", [2, 4])
def test_the_limit_is_the_derivative_of_the_network(layers):
    limit, near = Predictor(small(layers=layers), math.inf), Predictor(small(layers=layers), 1e7)
    images = task()[0]
    for a, b in zip(limit.moves, near.moves, strict=True):
        a.data.normal_(generator=generator(3))
        b.data.copy_(a.data)
    assert torch.allclose(limit(images), near(images), rtol=1e-4, atol=1e-5)
    doubled = limit(images) * 2
    for a in limit.moves:
        a.data.mul_(2)
    assert torch.allclose(limit(images), doubled)


def test_descent_on_the_moves_is_descent_with_the_loss_over_alpha_squared():
    images, labels, _ = task()
    for alpha in (0.1, 10.0):
        predictor, net = Predictor(small(), alpha), small()
        loss = torch.nn.functional.cross_entropy(predictor(images), labels)
        slopes = torch.autograd.grad(loss, list(predictor.moves))
        base = net(images).detach()
        torch.nn.functional.cross_entropy(alpha * (net(images) - base), labels).backward()
        for slope, weight in zip(slopes, net.parameters(), strict=True):
            assert torch.allclose(slope / alpha, weight.grad / alpha**2)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan])
def test_alpha_must_be_positive(alpha):
    with pytest.raises(ValueError, match=r"alpha is .*; it must be positive"):
        Predictor(small(), alpha)


def test_centred_networks_take_the_mean_off_and_are_probed_inside():
    images = task()[0]
    centred = Centred(small(), images.mean(0))
    assert torch.equal(centred(images), small()(images - images.mean(0)))
    assert Predictor(centred, 1.0).probe_points == ("net.net.relu1",)
    assert Predictor(centred, math.inf).probe_points == ()


# training


@pytest.mark.parametrize("layers", [2, 4])
def test_lazy_training_gives_the_predictions_of_the_linearised_network(layers):
    """The oracle: far from the training set the two agree, and feature training does not."""
    test = task()[2]
    limit, fit = trained(math.inf, layers=layers)
    assert fit["status"] == "reached"
    exact = limit(test)

    def distance(alpha):
        predictor, fit = trained(alpha, layers=layers)
        assert fit["status"] == "reached"
        return ((predictor(test) - exact).norm() / exact.norm()).item()

    assert distance(1e7) < 1e-3
    assert distance(0.03) > 0.1


def test_the_linearised_network_solves_kernel_regression():
    """Trained on the square loss until it fits, it is the tangent kernel's interpolant at any width."""
    images, labels, test = task()
    limit = Predictor(small(), math.inf)
    target = torch.nn.functional.one_hot(labels, CLASSES).double().flatten()

    def features(points):  # rows: derivative of each output by the moves
        out = limit(points).flatten()
        slopes = [torch.autograd.grad(value, list(limit.moves), retain_graph=True) for value in out]
        return torch.stack([torch.cat([slope.flatten() for slope in row]) for row in slopes])

    rows = features(images)
    kernel = rows @ rows.T
    weights = torch.linalg.solve(kernel, target)
    flat = rows.T @ weights
    sizes = [move.numel() for move in limit.moves]
    for move, part in zip(limit.moves, flat.split(sizes), strict=True):
        move.data.copy_(part.view_as(move))
    assert torch.allclose(limit(images).flatten(), target, atol=1e-8)
    assert torch.allclose(limit(test).flatten(), features(test) @ rows.T @ weights, atol=1e-8)


@pytest.mark.parametrize("alpha", [0.03, 1.0, 1e5, math.inf])
def test_every_regime_reaches_the_stop(dtype, alpha):
    predictor, fit = trained(alpha, dtype, layers=4)
    images, labels, _ = task(dtype)
    loss = torch.nn.functional.cross_entropy(predictor(images), labels).item()
    assert fit["status"] == "reached" and loss <= 0.1 and loss == pytest.approx(fit["train_loss"])
    assert (predictor.weight_change() < 1e-3) == (alpha >= 1e5)


def test_the_limit_of_steps_is_kept_and_said():
    predictor, images = Predictor(small(), 1.0), task()
    fit = lazy_images.descend(predictor, images[0], images[1], step=32.0, limit=3)
    assert (fit["status"], fit["steps"]) == ("limit", 3)


def test_a_step_that_is_much_too_long_is_taken_back():
    predictor, (images, labels, _) = Predictor(small(), 1.0), task()
    fit = lazy_images.descend(predictor, images, labels, step=1e12, limit=1)
    assert fit["train_loss"] == pytest.approx(math.log(CLASSES))
    assert all(move.abs().max() == 0 for move in predictor.moves)
    assert lazy_images.descend(predictor, images, labels, step=1e12, limit=2000)["status"] == "reached"


def test_the_kernel_turns_with_features_and_not_without():
    test = task()[2]
    turns = {alpha: trained(alpha)[0].kernel_change(test, generator=generator()) for alpha in (0.03, 1e7)}
    assert turns[0.03] > 0.01 > 1e-6 > turns[1e7] >= 0
    grown = Predictor(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3).double()), 1.0)
    for move in grown.moves:
        move.data.fill_(5.0)  # a linear model's kernel never changes
    assert grown.kernel_change(test, generator=generator()) == pytest.approx(0.0, abs=1e-12)


def test_the_kernels_turn_and_the_weights_change_as_defined():
    """Image by image: gradients relative to their mean, the cosine of the two matrices."""
    predictor, test = trained(0.03)[0], task()[2][:6]
    direction = torch.randn(CLASSES, generator=generator()).to(test)
    grams = []
    for net in (predictor.net, predictor.start):
        net = copy.deepcopy(net).requires_grad_(True)
        if len(grams) == 0:
            net.load_state_dict(predictor.weights(), strict=False)
        slopes = [torch.autograd.grad(net(image[None])[0] @ direction, list(net.parameters())) for image in test]
        rows = torch.stack([torch.cat([part.flatten() for part in slope]) for slope in slopes])
        rows = rows - rows.mean(0)
        grams.append(rows @ rows.T)
    expected = 1 - (grams[0] * grams[1]).sum() / (grams[0].norm() * grams[1].norm())
    found = predictor.kernel_change(test, generator=generator())
    assert found == pytest.approx(expected.item(), rel=1e-6)
    assert found > 1e-3
    now, before = (
        torch.cat([w.flatten() for w in weights.values()])
        for weights in (predictor.weights(), dict(predictor.start.named_parameters()))
    )
    assert predictor.weight_change() == pytest.approx(((now - before).norm() / before.norm()).item())


# the study


@pytest.fixture(scope="module")
def rows():
    frames = []
    for network, alpha in [(n, a) for n in ("fc_l2", "fc_l4") for a in (lazy_images.LAZY, 1.0, 0.03, None)]:
        for train in (50, 100):
            unit = lazy_images.LazyImages(
                scale="tiny", dataset="fashion-mini", network=network, width=0.5, train=train, alpha=alpha,
                seed=1, probes=100, limit=1500,
            )  # fmt: skip
            frames.append(pd.DataFrame(unit.run()).assign(**records.fields(unit)))
    return pd.concat([frame.astype({"alpha": float}) for frame in frames], ignore_index=True)


def test_networks_have_one_row_each_and_share_their_start(rows):
    found = lazy_images.networks(rows)
    assert len(found) == 16 and set(found.alpha) == {0.03, 1.0, 1e5, math.inf}
    assert (found.status == "reached").all() and found[["D", "G", "R", "R_init"]].notna().all().all()
    assert (found.groupby(["network", "train"]).R_init.nunique() == 1).all()
    assert found.weight_change[found.alpha == 1e5].max() < 1e-3 < 0.3 < found.weight_change[found.alpha == 0.03].min()
    layers = rows[(rows.stage == "trained") & (rows.network == "fc_l4") & (rows.alpha == 1.0) & (rows.train == 50)]
    assert layers.layer.tolist() == ["input", "relu1", "relu2", "relu3", "output"]


def judge(rows, scale="tiny"):
    chosen = [claim for claim in papers.ledger() if claim.studies == ("lazy_images",)]
    return papers.evaluate(chosen, scale=scale, rows={"lazy_images": rows}).set_index("id")


def test_large_alpha_is_the_exact_limit_on_images(rows):
    """The networks called lazy here are: weights that hardly move,
    R and errors of the network linearised at its start.
    """
    found = lazy_images.networks(rows)
    assert found.loc[found.alpha == lazy_images.LAZY, "weight_change"].max() < 0.05
    for quantity in ("test_error", "R"):
        gap = lazy_images.ratios(rows, quantity, lazy_images.LAZY, lazy_images.LIMIT)
        assert len(gap) == 4 and gap.abs().max() < 0.05


def test_claims_change_when_the_regimes_are_exchanged(rows):
    normal = judge(rows).estimate
    swapped = judge(rows.assign(alpha=rows.alpha.replace({0.03: 1e5, 1e5: 0.03}))).estimate
    for name in ("stability-one", "stability-three"):
        name = f"d-lazy-images-{name}"
        assert swapped[name] == pytest.approx(1 / normal[name]) and (normal[name] > 1) != (swapped[name] > 1)


def test_networks_that_did_not_reach_the_stop_are_named_and_not_used(rows):
    stuck = rows.assign(status=rows.status.where(rows.alpha != 0.03, rows.status.replace("reached", "limit")))
    assert len(lazy_images.unfinished(rows)) == 0
    assert set(lazy_images.unfinished(stuck).alpha) == {0.03} and len(lazy_images.unfinished(stuck)) == 4
    assert len(lazy_images.both_regimes(stuck)) == 0 < len(lazy_images.both_regimes(rows))
    assert judge(stuck).verdict["d-lazy-images-stability-one"] == "not tested"
    assert set(judge(rows.iloc[:0]).verdict) == {"not tested"}


# ---- made-up tables of known ratios

RATIOS = {
    ("fc_l2", 256): (2.0, 2.0, 8.0),
    ("fc_l2", 1024): (16.0,),
    ("fc_l4", 256): (0.5,),
    ("fc_l4", 1024): (3.0, 3.0),
}


def made_up():
    """R of F at the output: 1 lazily, `RATIOS` with features, before training a tenth of it; D, errors: squares."""
    lines = []
    for (network, train), found in RATIOS.items():
        for seed, ratio in enumerate(found, 1):
            for alpha, R in ((0.03, ratio), (1.0, 77.0), (1e5, 1.0), (math.nan, 55.0)):
                unit = {"dataset": "x", "network": network, "width": 1.0, "train": train, "seed": seed, "alpha": alpha}
                lines.append(unit | {"kind": "training", "status": "reached", "test_error": 0.01 * R**2})
                for stage, layer, value in (("trained", "output", R), ("init", "output", ratio / 10),
                                            ("trained", "relu1", 99.0), ("init", "input", 99.0)):  # fmt: skip
                    number = {"stage": stage, "layer": layer, "R": value, "D": value**2, "G": value}
                    lines.append(unit | {"kind": "sensitivity"} | number)
    return pd.DataFrame(lines)


def test_pairs_are_averaged_over_sizes_and_seeds_or_size_by_size():
    rows = made_up()
    found = claims.ratio(rows, network="fc_l2", seed=0)
    assert found.estimate == pytest.approx(2 ** (9 / 4))  # 2, 2, 8 and 16
    assert found.units == (*(f"fc_l2, P = 256, seed {seed}" for seed in (1, 2, 3)), "fc_l2, P = 1024, seed 1")
    assert (found.low, found.high) == (
        pytest.approx(2 ** (6 / 3)),
        pytest.approx(2 ** (10 / 3)),
    )  # 16, and two of three
    assert claims.ratio(rows, seed=0).estimate == pytest.approx((2**8 * 9) ** (1 / 7))
    assert claims.ratio(rows, network="fc_l2", every_size=True, seed=0).estimate == pytest.approx(2 ** (5 / 3))
    assert claims.ratio(rows, network="fc_l2", quantity="D", seed=0).estimate == pytest.approx(2 ** (9 / 2))
    assert claims.ratio(rows, network="fc_l2", quantity="test_error", seed=0).estimate == pytest.approx(2 ** (9 / 2))
    assert claims.ratio(rows, network="fc_l2", over="start", seed=0).estimate == pytest.approx(10)
    two = pd.concat(
        [rows, rows.assign(dataset="y", R=rows["R"] * rows["alpha"].eq(0.03).map({True: 1 / 64, False: 1}))]
    )
    assert claims.ratio(two, network="fc_l2", every_size=True, seed=0).estimate == pytest.approx(2 ** (5 / 3 - 6))
    every = claims.ratio(rows, every_size=True, seed=0)
    assert (every.low, every.estimate, every.high) == pytest.approx((0.5, 0.5, 0.5)) and every.n == 7


def test_the_other_network_of_one_that_did_not_reach_the_stop_goes_as_well():
    rows = made_up()
    stuck = rows["network"].eq("fc_l2") & rows["train"].eq(1024) & rows["alpha"].eq(1e5) & rows["kind"].eq("training")
    found = claims.ratio(rows.assign(status=rows["status"].mask(stuck, "limit")), network="fc_l2", seed=0)
    assert found.estimate == pytest.approx(2 ** (5 / 3)) and found.n == 3
    assert claims.ratio(rows[rows["alpha"].ne(1e5)], seed=0).n == 0


def first_layers():
    """Seed by seed: likeness of neighbours, feature (lazy); share of pixels, feature (lazy)."""
    known = {1: ((0.5, 0.1), (0.2, 0.8)), 2: ((0.9, 0.2), (0.1, 0.1)), 3: ((0.3, 0.3), (0.2, 0.05))}
    lines = []
    for seed, (alike, shares) in known.items():
        for train in (256, 1024):
            wrong = 10.0 * seed * (train == 1024)
            for regime, like, share in zip(
                ("feature", "lazy", "before training"), (*alike, 5.0), (*shares, 9.0), strict=True
            ):
                unit = {"train": train, "seed": seed, "regime": regime}
                lines.append(unit | {"kind": "share", "value": share + wrong})
                lines += [
                    unit | {"kind": "likeness", "distance": d, "value": value + wrong}
                    for d, value in ((0, 1.0), (1, like), (2, -like))
                ]
                lines.append(unit | {"kind": "power", "row": 0, "column": 1, "value": 3.0})
    return pd.DataFrame(lines)


def test_first_layers_are_compared_seed_by_seed():
    found = claims.likeness(first_layers(), seed=0)  # 0.4, 0.7 and 0
    assert found.estimate == pytest.approx(1.1 / 3) and found.enough
    assert (found.low, found.high) == (pytest.approx(0), pytest.approx(0.7))
    assert found.units == ("P = 256, seed 1", "P = 256, seed 2", "P = 256, seed 3")
    found = claims.pixels_used(first_layers(), seed=0)  # 1/4, 1 and 4
    assert found.estimate == pytest.approx(1) and found.n == 3
    assert (found.low, found.high) == (pytest.approx(0.25), pytest.approx(4))
    two = first_layers().query("seed < 3")
    assert claims.pixels_used(two, seed=0).estimate == pytest.approx(0.5)
    assert not claims.pixels_used(two, seed=0).enough
    for measure in (claims.likeness, claims.pixels_used):
        assert measure(first_layers().query("train == 1024"), seed=0).n == 0


def test_a_unit_gives_the_same_rows_again():
    unit = dataclasses.replace(lazy_images.configs("tiny")[0], width=0.25, train=30, probes=20)
    assert pd.DataFrame(unit.run()).equals(pd.DataFrame(unit.run()))


def test_too_many_images_is_one_clear_sentence():
    unit = lazy_images.LazyImages("tiny", "fashion-mini", "fc_l2", 0.25, 10**6, 1.0, 1, 20, 10)
    with pytest.raises(ValueError, match="size is 1000000; it must be between"):
        unit.run()


def test_feature_training_gathers_weights_on_pixels_and_makes_neighbours_alike():
    unit = lazy_images.FirstLayers("tiny", "fashion-mini", width=1.0, train=60, seed=1, limit=2000)
    found = pd.DataFrame([records.fields(unit) | row for row in unit.run()])
    shares, alike = pixels.means(found, "share"), pixels.means(found, "likeness")
    assert abs(shares["lazy"] - shares["before training"]) < 1e-3 < shares["lazy"] - shares["feature"] - 0.2
    assert abs(alike["before training"]) < 0.02 and abs(alike["lazy"] - alike["before training"]) < 1e-3
    assert alike["feature"] > 0.4
    assert found[found.kind.eq("power")].groupby("regime").value.mean().tolist() == pytest.approx([1, 1, 1], abs=1e-4)
    fig = figures.pixels(found)
    assert [ax.get_title() for ax in fig.axes] == ["before training", "lazy", "feature", "likeness of weights"]
    assert fig.axes[2].get_xlabel() == f"share {shares['feature']:.2f}"


def test_figures_draw(rows):
    for figure in (figures.against_size, figures.against_alpha, figures.layers):
        figure(rows).canvas.draw()


def test_every_scale_covers_the_claims():
    for scale in scales.SCALES:
        units = lazy_images.configs(scale)
        assert len(set(units)) == len(units) and all(unit.cost_minutes > 0 for unit in units)
        for network in ("fc_l2", "fc_l4"):
            alphas = {unit.alpha for unit in units if unit.network == network}
            assert {lazy_images.LAZY, lazy_images.FEATURE, None} <= alphas
