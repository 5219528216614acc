"""The spherical model: rotations, the exact lazy limit, both regimes, and claims that can fail."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from relbook import papers, scales
from relbook.studies import one_hidden, toys
from relbook.studies.sphere import claims, figures, ntk
from relbook.studies.sphere import study as sphere
from relstab.store import records
from relstab.train import checkpoints


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# data


def test_points_lie_on_the_sphere_and_nowhere_in_particular():
    x = toys.sphere(20000, 4, generator=generator())
    assert torch.allclose(x.norm(dim=1), torch.ones(20000, dtype=torch.float64))
    assert (x.T @ x / 20000 - torch.eye(4) / 4).abs().max() < 0.01


@pytest.mark.parametrize("angle", [0.0, 0.1, math.pi / 2, 2.5])
def test_rotations_keep_the_norm_and_turn_by_the_angle(dtype, angle):
    x = 3 * toys.sphere(500, 5, generator=generator()).to(dtype)
    turned = toys.rotate(x, angle, generator=generator(1))
    assert turned.dtype == dtype
    cosine = (x * turned).sum(1) / 9
    assert torch.allclose(cosine, torch.full_like(cosine, math.cos(angle)), atol=1e-5)
    assert torch.allclose(turned.norm(dim=1), torch.full_like(cosine, 3.0), atol=1e-5)


def test_nothing_turns_to_nothing():
    x = torch.cat([torch.zeros(1, 5), torch.ones(1, 5)])
    assert toys.rotate(x, 0.5, generator=generator())[0].tolist() == [0] * 5


# the exact lazy limit


def test_kernel_is_the_limit_of_wide_networks():
    x = toys.sphere(6, 3, generator=generator())
    net = one_hidden.initialise(3, 200_000, [0], dtype=torch.float64)
    hidden = net.hidden(x)[0]
    active = (hidden > 0).double() * net.readout[0]
    empirical = (hidden @ hidden.T + (active @ active.T) * (x @ x.T)) / 200_000
    assert torch.allclose(empirical, ntk.kernel(x, x), atol=0.02)
    assert torch.allclose(ntk.kernel(x, x).diagonal(), torch.ones(6, dtype=torch.float64), atol=1e-7)


def test_kernel_at_right_and_flat_angles():
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    others = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    assert ntk.kernel(x, others).flatten().tolist() == pytest.approx([1 / (2 * math.pi), 0.0])


def test_regression_interpolates_and_keeps_the_symmetry_of_the_points():
    turn = torch.arange(8, dtype=torch.float64) * math.pi / 4
    x = torch.stack([turn.cos(), turn.sin()], 1)
    half = turn + math.pi / 8
    between = torch.stack([half.cos(), half.sin()], 1)
    ones = torch.ones(8, dtype=torch.float64)
    assert torch.allclose(ntk.regression(x, ones, x), ones)
    assert ntk.regression(x, ones, between).std() < 1e-10


def test_lazy_networks_converge_to_kernel_regression():
    x, test, _ = sphere._points([1], 3, 12)
    start = one_hidden.initialise(3, 5_000, [1], dtype=torch.float64)
    net, fit = sphere.descend(start, x, alpha=1000.0, limit=6000)
    assert fit["train_mse"][0] < sphere.FITTED
    exact = ntk.regression(x, torch.ones(1, 12, dtype=torch.float64), test)
    assert (
        (1000 * (net(test) - start(test)) - exact).square().mean().sqrt() / (exact - 1).square().mean().sqrt()
    ) < 0.2


# regimes


def test_members_stop_alone_and_do_not_disturb_each_other():
    x = sphere._points([1, 2], 3, 8)[0]
    start = one_hidden.initialise(3, 50, [1, 2], dtype=torch.float64)
    both, fit = sphere.descend(start, x, alpha=1.0, limit=3000)
    assert fit["steps"][0] != fit["steps"][1]
    for m in range(2):
        single = one_hidden.OneHidden(start.weights[m : m + 1], start.readout[m : m + 1])
        alone, one = sphere.descend(single, x[m : m + 1], alpha=1.0, limit=3000)
        assert one["steps"][0] == fit["steps"][m]
        assert torch.allclose(alone.weights[0], both.weights[m])


def test_the_limit_ends_training():
    x = sphere._points([1], 3, 8)[0]
    start = one_hidden.initialise(3, 50, [1], dtype=torch.float64)
    fit = sphere.descend(start, x, alpha=100.0, limit=5)[1]
    assert fit["steps"] == [5]
    assert fit["train_mse"][0] > sphere.FITTED


def test_concentration_of_one_direction_and_of_an_isotropic_net():
    one = one_hidden.OneHidden(torch.ones(1, 5, 3, dtype=torch.float64), torch.ones(1, 5, dtype=torch.float64))
    assert sphere.concentration(one).item() == pytest.approx(1.0)
    wide = one_hidden.initialise(3, 3000, [0], dtype=torch.float64)
    assert sphere.concentration(wide).item() == pytest.approx((1 - math.exp(-40)) / 40, abs=0.002)


@pytest.fixture(scope="module")
def rows():
    both = {"scale": "tiny", "seed": 1, "alphas": (100.0, 0.03), "limit": 8000}
    units = [sphere.Sphere(members=2, dimension=3, train=p, width=150, **both) for p in (16, 32)]
    units.append(sphere.Neurons(train=8, width=100, **both))
    frames = []
    for unit in units:
        fields = {name: value for name, value in records.fields(unit).items() if name != "alphas"}
        frames.append(pd.DataFrame(unit.run()).assign(**fields))
    return pd.concat(frames, ignore_index=True)


def test_both_regimes_of_the_slides(rows):
    part = sphere.measures(rows)
    assert set(part.alpha) == {0.03, 100.0, math.inf}
    assert part.train_mse.max() <= sphere.FITTED
    moved = part.groupby("alpha").weight_change
    assert moved.max()[100.0] < 0.05
    assert moved.min()[0.03] > 2
    table = judged(rows, "tiny")
    assert abs(table.loc["d-sphere-lazy-preserves", "estimate"] - 1) < 0.05
    assert table.loc["d-lazy-rotations", "estimate"] > 1.5


def judged(rows, scale):
    chosen = [claim for claim in papers.ledger() if claim.studies == ("sphere",)]
    return papers.evaluate(chosen, scale=scale, rows={"sphere": rows}).set_index("id")


def test_claims_change_when_the_regimes_are_exchanged(rows):
    swapped = judged(rows.assign(alpha=rows.alpha.replace({0.03: 100.0, 100.0: 0.03})), "laptop")
    assert swapped.loc["d-lazy-five-dimensions", "verdict"] == "not tested"
    assert abs(swapped.loc["d-sphere-lazy-preserves", "estimate"] - 1) > 0.05
    assert swapped.loc["d-sphere-feature-breaks", "estimate"] < 1 and swapped.loc["d-lazy-rotations", "estimate"] < 1


def test_claims_without_measurements_are_not_tested(rows):
    pictures = rows[rows.sign.notna()].drop(columns=["test_mse", "S", "concentration", "weight_change"])
    assert set(judged(pictures, "laptop").verdict) == {"not tested"}


# ---- a made-up table: three seeds, feature over lazy by dimension and size, times a factor of the seed

OVER = {(2, 16): 6.0, (3, 8): 1.5, (3, 16): 4.0, (3, 32): 3.0, (5, 32): 2.0}
OF_SEED = {1: 0.25, 2: 1.0, 3: 4.0}


def made_up():
    lines = []
    for (dimension, train), ratio in OVER.items():
        for member, factor in OF_SEED.items():
            for alpha, S, mse in (
                (0.03, 7 * ratio * factor, 5.0),
                (1.0, 1e-9, 1e9),
                (100.0, 7.0, 0.5),
                (math.inf, 1e9, 1.0),
            ):
                unit = {"dimension": dimension, "train": train, "member": member, "alpha": alpha}
                lines.append(unit | {"S": S, "test_mse": mse, "concentration": 0.2})
    picture = {"dimension": 2, "train": 16, "alpha": 0.03, "sign": 1, "u": 0.0, "v": 1.0}
    return pd.DataFrame([*lines, picture])


def test_the_smallest_ratio_is_over_the_sizes_asked_for():
    rows = made_up()
    found = claims.ratio(rows, quantity="S", dimension=3, sizes=[16, 32], seed=0)
    assert found.estimate == pytest.approx(3) and found.units == ("seed 1", "seed 2", "seed 3") and found.enough
    assert (found.low, found.high) == (pytest.approx(0.75), pytest.approx(12))
    assert claims.ratio(rows, quantity="S", dimension=3, seed=0).estimate == pytest.approx(1.5)
    assert claims.ratio(rows, quantity="S", sizes=[16], seed=0).estimate == pytest.approx(4)
    assert claims.ratio(rows, quantity="S", seed=0).estimate == pytest.approx(1.5)
    assert claims.ratio(rows, quantity="test_mse", seed=0).estimate == pytest.approx(10)
    assert claims.ratio(rows, quantity="S", dimension=5, sizes=[16, 32], seed=0).n == 0
    two = claims.ratio(rows[rows["member"].ne(3)], quantity="S", dimension=3, sizes=[16, 32], seed=0)
    assert two.estimate == pytest.approx(1.5) and two.n == 2 and not two.enough
    lacks = rows[~(rows["member"].eq(3) & rows["train"].eq(32) & rows["alpha"].eq(0.03))]
    assert claims.ratio(lacks, quantity="S", dimension=3, sizes=[16, 32], seed=0).n == 0
    assert claims.ratio(rows[rows["alpha"].ne(100.0)], quantity="S", seed=0).n == 0
    both = rows[rows["alpha"].isin([0.03, 100.0])]
    assert claims.ratio(both, quantity="S", seed=0).estimate == pytest.approx(1.5)
    assert claims.ratio(rows.drop(columns="test_mse"), quantity="S", seed=0).n == 0


def test_the_concentration_farthest_from_the_start_is_found_on_either_side():
    """Seed by seed 0.2 before; after lazy training 0.16 in one network, 0.24 in another: 0.8 is farther than 1.2."""
    rows = made_up()
    assert claims.kept(rows, seed=0).estimate == pytest.approx(1)
    lazy = rows["alpha"].eq(100.0)
    one, two = (
        lazy & rows["dimension"].eq(d) & rows["train"].eq(p) & rows["member"].eq(m)
        for d, p, m in ((3, 16, 2), (5, 32, 3))
    )
    moved = rows.assign(concentration=rows["concentration"].mask(one, 0.16).mask(two, 0.24))
    found = claims.kept(moved, seed=0)
    assert found.estimate == pytest.approx(0.8) and found.n == 3
    assert (found.low, found.high) == (pytest.approx(0.8), pytest.approx(1.2))
    moved = moved.assign(concentration=moved["concentration"].mask(two, 0.4))
    assert claims.kept(moved, seed=0).estimate == pytest.approx(2)
    every = lazy & rows["train"].eq(8)
    found = claims.kept(rows.assign(concentration=rows["concentration"].mask(every, 0.16)), seed=0)
    assert (found.low, found.high) == pytest.approx((0.8, 0.8))  # of one size in every seed, so in every resample


def test_pictures_hold_every_neuron_before_and_after(rows):
    picture = rows[rows.sign.notna()]
    assert picture.groupby("alpha").size().to_dict() == {0.0: 108, 0.03: 100, 100.0: 100}
    points = picture[picture.sign == 0]
    assert np.hypot(points.u, points.v).to_numpy() == pytest.approx(1.0)


def test_figures_draw(rows):
    for figure in (figures.neurons, figures.concentration, figures.lazy_and_feature):
        figure(rows).canvas.draw()


def test_every_scale_covers_the_claims():
    for scale in scales.SCALES:
        units = sphere.configs(scale)
        sizes = {(unit.dimension, unit.train) for unit in units if isinstance(unit, sphere.Sphere)}
        needed = {(3, 16), (3, 32)} | ({(5, 16), (5, 32)} if scale != "tiny" else set())
        assert needed <= sizes
        assert all({sphere.LAZY, sphere.FEATURE} <= set(unit.alphas) for unit in units)


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_rows(tmp_path, monkeypatch):
    """It dies in the descent at the second α; the first is not descended again."""
    unit = sphere.Sphere(scale="tiny", seed=1, members=2, dimension=3, train=8, width=50, alphas=(100.0, 1.0), limit=40)
    whole = unit.run()
    written, save = [], checkpoints.save

    def counted(state, path):
        save(state, path)
        written.append(path)
        if len(written) == 60:
            raise Killed

    monkeypatch.setattr(checkpoints, "save", counted)
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    with pytest.raises(Killed):
        unit.run(workspace=tmp_path)
    assert [path.parent.name for path in dict.fromkeys(written)] == ["alpha-100", "alpha-1"]
    assert pd.DataFrame(unit.run(workspace=tmp_path)).equals(pd.DataFrame(whole))
    assert len(written) < 60 + 41 + 5
