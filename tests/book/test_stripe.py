"""The stripe model: data, hand-written gradients, stops, fits, and claims that can fail."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from relbook import papers, scales
from relbook.studies import one_hidden, toys
from relbook.studies.stripe import claims, figures
from relbook.studies.stripe import study as stripe
from relstab.store import records
from relstab.train import checkpoints


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


SMALL = {"scale": "tiny", "seed": 1, "members": 2, "train": 256, "width": 32, "optimiser": "gd",
         "alpha": 1e-3, "learning_rate": 0.5, "batch": 0, "stops": (0.5, 0.2), "limit": 1500}  # fmt: skip


# data


def test_classes_are_balanced_and_depend_on_one_coordinate():
    normal = torch.distributions.Normal(0.0, 1.0)
    low, high = (normal.cdf(torch.tensor(plane, dtype=torch.float64)).item() for plane in toys.INTERFACES)
    assert high - low == pytest.approx(0.5, abs=1e-6)
    x, y = toys.stripe(20000, 5, generator=generator())
    assert abs(y.mean().item()) < 4 / math.sqrt(20000)
    assert torch.equal(y > 0, (x[:, 0] > -0.3) & (x[:, 0] < 1.18549))
    assert (x[:, 1:] * y[:, None]).mean(0).abs().max() < 4.5 / math.sqrt(20000)


@pytest.mark.parametrize(("points", "dimension", "message"), [(0, 3, "points is 0"), (5, 1, "dimension is 1")])
def test_bad_sizes_are_one_clear_sentence(points, dimension, message):
    for make in (toys.stripe, toys.sphere):
        with pytest.raises(ValueError, match=message):
            make(points, dimension, generator=generator())


def test_noise_has_the_norm_asked_for_and_no_direction(dtype):
    noise = toys.on_sphere(torch.zeros(5000, 4, dtype=dtype), 0.3, generator=generator())
    assert noise.dtype == dtype
    assert torch.allclose(noise.norm(dim=1), torch.full((5000,), 0.3, dtype=dtype))
    assert noise.mean(0).abs().max() < 5 * 0.3 / math.sqrt(4 * 5000)


# network


def test_gradient_equals_autograd():
    net = one_hidden.initialise(4, 20, [0, 1, 2], dtype=torch.float64)
    x = torch.randn(3, 11, 4, generator=generator(), dtype=torch.float64)
    slope = torch.randn(3, 11, generator=generator(1), dtype=torch.float64)
    ours = one_hidden.gradient(net, x, net.hidden(x), slope)
    weights, readout = net.weights.clone().requires_grad_(), net.readout.clone().requires_grad_()
    output = (torch.relu(x @ weights.mT) * readout.unsqueeze(1)).mean(-1)
    theirs = torch.autograd.grad((output * slope).sum() * 20, (weights, readout))
    assert torch.allclose(ours.weights, theirs[0])
    assert torch.allclose(ours.readout, theirs[1])
    assert torch.allclose(net(x), output)


def test_members_do_not_depend_on_their_company(dtype):
    alone, together = (one_hidden.initialise(5, 8, seeds, dtype=dtype) for seeds in ([7], [3, 7]))
    assert torch.equal(alone.weights[0], together.weights[1])
    assert alone.weights.dtype == dtype
    x = torch.randn(6, 5, generator=generator(), dtype=dtype)
    assert torch.allclose(alone(x)[0], together(x)[1])


def test_lift_is_the_ntk_scaling_with_biases():
    x = torch.randn(3, 9, generator=generator())
    weight, bias = torch.randn(2, 9, generator=generator(1)), torch.tensor([0.3, -0.2])
    both = torch.cat([weight, bias[:, None]], 1)
    assert torch.allclose(one_hidden.lift(x) @ both.T, x @ weight.T / 3 + bias, atol=1e-6)


# measurement


def neuron(parallel, orthogonal):
    """One neuron, w_par = parallel and w_perp of rms `orthogonal` per direction."""
    net = one_hidden.initialise(stripe.DIMENSION + 1, 1, [5])
    rest = net.weights[..., 1:-1]
    rest *= orthogonal * math.sqrt(stripe.DIMENSION - 1) / rest.norm(dim=-1, keepdim=True)
    net.weights[..., 0] = parallel
    return net


def probes():
    return stripe._Probes.draw([1], torch.device("cpu"))


@pytest.mark.parametrize("Lambda", [1.0, 5.0, 30.0])
def test_alignment_and_its_relation_to_relative_stability(Lambda):
    row = probes().measure(neuron(Lambda, 1.0), None)[0]
    assert row["Lambda"] == pytest.approx(Lambda, rel=1e-4)
    assert row["R"] == pytest.approx(stripe.isotropic_relation(Lambda), rel=0.15)


def test_a_function_of_the_informative_coordinate_ignores_the_rest():
    row = probes().measure(neuron(1.0, 0.0), None)[0]
    assert row["R"] < 1e-10
    assert row["Lambda"] == math.inf


def test_the_error_is_that_of_the_sign():
    net = neuron(1.0, 0.0)
    net.weights[..., -1] = 100.0  # always active: f = x_par / sqrt(d) + 100 > 0, wrong on half of the points
    assert probes().measure(net, None)[0]["test_error"] == pytest.approx(0.5, abs=0.04)


# the study


@pytest.fixture(scope="module")
def rows():
    return pd.DataFrame(stripe.Stripe(**SMALL).run())


def test_stops_are_met_in_order(rows):
    assert rows.groupby("stop").size().to_dict() == {1.0: 2, 0.5: 2, 0.2: 2}
    trained = rows[rows.stop < 1]
    assert (trained.violated <= trained.stop).all()
    assert (trained.pivot(index="member", columns="stop", values="steps").diff(axis=1).iloc[:, 1] < 0).all()
    first, last = (rows[rows.stop == stop] for stop in (1.0, 0.2))
    assert first.R.between(0.8, 1.2).all()
    assert last.R.max() < 0.5
    assert last.Lambda.min() > 2


def test_a_run_is_reproducible_and_members_are_alone(rows):
    again = pd.DataFrame(stripe.Stripe(**SMALL | {"members": 1, "seed": 2}).run())
    mine = rows[rows.member == 2].reset_index(drop=True)
    assert again.steps.tolist() == mine.steps.tolist()
    assert again.Lambda.to_numpy() == pytest.approx(mine.Lambda.to_numpy(), rel=1e-3)


@pytest.mark.parametrize(
    "change", [{"optimiser": "sgd", "batch": 16}, {"optimiser": "adam", "learning_rate": 0.05, "alpha": 0.1}]
)
def test_other_optimisers_fit_too(change):
    found = pd.DataFrame(stripe.Stripe(**SMALL | change).run())
    assert set(found.stop) == {1.0, 0.5, 0.2}


def test_a_stop_that_is_not_reached_has_no_row():
    found = stripe.Stripe(**SMALL | {"limit": 3}).run()
    assert {row["stop"] for row in found} == {1.0}


def made_up(power, sizes=(512, 1024, 2048, 4096), members=4, stops=(1.0, 0.3, 0.0), error=lambda size: 100 / size):
    lines = [
        {"optimiser": "gd", "alpha": 1e-4, "stop": stop, "train": size, "member": m,
         "R": (1 + 0.01 * m) * size**power, "Lambda": size ** (-power / 2), "test_error": error(size)}
        for stop in stops for size in sizes for m in range(members)
    ]  # fmt: skip
    return pd.DataFrame(lines)


def test_slope_finds_a_power_law_and_drops_sizes_with_absent_members():
    rows = made_up(-1.0)
    assert stripe.slope(rows) == pytest.approx((-1.0, 0.0), abs=1e-9)
    assert stripe.slope(rows, "Lambda")[0] == pytest.approx(0.5)
    late = (rows.stop == 0.0) & (rows.train == 4096) & (rows.member == 2)
    rows.loc[late, "R"] = np.nan
    assert stripe.complete(rows[~late], stop=0.0).index.tolist() == [512, 1024, 2048]
    assert math.isnan(stripe.slope(rows[rows.train == 512])[0])
    assert set(stripe.exponents(rows).stop) == {0.3, 0.0}


def test_the_exponent_is_the_mean_of_the_members_own():
    """Three members with exponents -1, -2 and -0.6; nothing of another stop, α, optimiser or incomplete size enters."""
    exponents = {1: -1.0, 2: -2.0, 3: -0.6}
    one = {"optimiser": "gd", "alpha": 1e-4}
    rows = pd.DataFrame(
        [
            one | {"stop": stop, "train": P, "member": m, "R": 5 * m * P ** (s * k), "Lambda": P ** (-s / 4 * k)}
            for m, s in exponents.items()
            for P in (512, 1024, 2048, 4096)
            for stop, k in ((1.0, 9.0), (0.3, 1.0), (0.0, 0.5))
        ]
    )
    rows["R"] = rows["R"].mask(rows["train"].eq(4096) & rows["stop"].eq(0.3), 1e3)  # one member never got there
    rows = rows[~(rows["train"].eq(4096) & rows["stop"].eq(0.3) & rows["member"].eq(2))]
    others = [rows.assign(R=rows["train"] ** 3.0, **other) for other in ({"optimiser": "sgd"}, {"alpha": 1e-2})]
    rows = pd.concat([*others, rows])
    found = claims.exponent(rows, seed=0)
    assert found.estimate == pytest.approx(-1.2) and found.units == ("seed 1", "seed 2", "seed 3") and found.enough
    assert (found.low, found.high) == (pytest.approx(-2), pytest.approx(-0.6))
    assert claims.exponent(rows, quantity="Lambda", seed=0).estimate == pytest.approx(0.3)
    assert claims.exponent(rows, stop=0.0, seed=0).estimate == pytest.approx(-0.6)
    assert not claims.exponent(rows[rows["member"].ne(2)], seed=0).enough
    assert claims.exponent(rows[rows["train"].eq(512)], seed=0).n == 0
    never = rows[~(rows["member"].eq(2) & rows["stop"].eq(0.3))]  # a member that got there at no size
    assert claims.exponent(never, seed=0).n == 0 and claims.exponent(never, stop=0.0, seed=0).n == 3
    few = claims.exponent(rows[rows["train"].le(1024)], seed=0)
    assert few.estimate == pytest.approx(-1.2) and few.units == ("P = 512", "P = 1024") and not few.enough


def test_errors_follow_R_where_none_is_one_point():
    """Errors of 0.16 R, but 0 where R is 1/640, which counts as one of 4,000 points: so the logs are on a line."""
    R = [1.0, 0.1, 0.01, 1 / 640]
    one = {"optimiser": "gd", "alpha": 1e-4, "stop": 0.3, "member": 4}
    rows = pd.DataFrame(
        [one | {"train": 2**k, "R": r, "test_error": 0.16 * r * (r > 0.005)} for k, r in enumerate(R)]
        + [one | {"stop": 0.0, "train": 2**k, "R": r, "test_error": 1e-3 / r} for k, r in enumerate(R)]
    )
    found = claims.performance(rows, stop=0.3, seed=0)
    assert found.estimate == pytest.approx(1)
    assert found.units == ("P = 1, seed 4", "P = 2, seed 4", "P = 4, seed 4", "P = 8, seed 4")
    assert claims.performance(rows, stop=0.0, seed=0).estimate == pytest.approx(-1)
    bent = rows.iloc[:3].assign(test_error=[0.1, 0.3, 0.1])  # logs 0, -1, -2 and 0, 1, 0: no correlation
    found = claims.performance(bent, stop=0.3, seed=0)
    assert (found.low, found.estimate, found.high) == pytest.approx((0, 0, 0), abs=1e-12)  # of all three or left out


def judged(rows):
    chosen = [claim for claim in papers.ledger() if claim.studies == ("stripe",)]
    return papers.evaluate(chosen, scale="laptop", rows={"stripe": rows}).set_index("id")


@pytest.mark.parametrize(("power", "verdicts"), [(-1.0, {"holds"}), (-0.3, {"fails"}), (-2.5, {"fails"})])
def test_claims_follow_from_the_rows(power, verdicts):
    slopes = judged(made_up(power)).loc[["b-7-slope", "b-7-slope-to-the-end", "b-7-alignment"], "verdict"]
    assert set(slopes) == verdicts
    unrelated = judged(made_up(-1.0, error=lambda size: size / 1e4))
    assert unrelated.loc["b-7-performance-to-the-end", "verdict"] == "fails"


def test_two_sizes_make_no_law():
    line = judged(made_up(-1.0, sizes=(512, 1024))).loc["b-7-slope"]
    assert (line["verdict"], line["n"], line["reason"]) == ("undecided", 2, "2 sizes entered; it takes 3 to decide")


def test_rows_without_the_rule_cannot_be_judged():
    assert set(judged(made_up(-1.0).assign(optimiser="sgd")).verdict) == {"not tested"}


def test_every_scale_has_the_declared_rule_first():
    for scale in scales.SCALES:
        units = stripe.configs(scale)
        assert (units[0].optimiser, units[0].alpha) == ("gd", stripe.RULE["alpha"])
        assert all(stripe.RULE["stop"] in unit.stops and unit.cost_minutes > 0 for unit in units)
        assert all((unit.batch > 0) == (unit.optimiser == "sgd") for unit in units)
        assert len({records.key(unit) for unit in units}) == len(units)


def test_figures_draw_with_few_and_with_many_protocols(rows):
    one = made_up(-1.0)
    several = pd.concat([one, one.assign(optimiser="adam"), one.assign(alpha=1e-6)])
    for table in (one, several):
        for figure in (figures.relative_stability, figures.alignment, figures.rules):
            figure(table).canvas.draw()


class Killed(Exception):
    pass


def die_at(number, monkeypatch):
    """Let a checkpoint be written at every step, and the process die after the `number`-th."""
    written, save = [], checkpoints.save

    def counted(state, path):
        save(state, path)
        written.append(path)
        if len(written) == number:
            raise Killed

    monkeypatch.setattr(checkpoints, "save", counted)
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)


@pytest.mark.parametrize(("optimiser", "batch"), [("gd", 0), ("sgd", 64), ("adam", 0)])
def test_a_killed_run_goes_on_to_the_same_rows(tmp_path, monkeypatch, optimiser, batch):
    unit = stripe.Stripe(**SMALL | {"optimiser": optimiser, "batch": batch, "limit": 60, "learning_rate": 0.2})
    whole = unit.run()
    die_at(9, monkeypatch)
    with pytest.raises(Killed):
        unit.run(workspace=tmp_path)
    assert checkpoints.Regularly(tmp_path, records.fields(unit)).state["step"] > 0
    assert unit.run(workspace=tmp_path) == whole
