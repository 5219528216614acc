"""Seed ensembles of the simple CNNs: layers, steps, stop rule, resuming, probing, and the kinds of seeds."""

import dataclasses
from math import sqrt

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from relbook.studies.scale_detection import networks as simple_cnn
from relbook.studies.scale_detection import study, tables
from relbook.studies.scale_detection import training as ensembles
from relbook.studies.scale_detection.networks import Architecture
from relbook.studies.scale_detection.sensitivity import sensitivities
from relbook.studies.scale_detection.tasks import line_task
from relstab import theory


def reference(ensemble, member, images):
    """The representations of one member by conv1d, circular padding F/2 - 1 left and F/2 right for even F."""
    K, F, stride = (getattr(ensemble.architecture, n) for n in ("layers", "filter_size", "stride"))
    z, stack = images, []
    for k in range(K):
        C = z.shape[1]
        weight = ensemble.filters[k][member].unflatten(-1, (F, C)).transpose(1, 2)
        left = (F - 1) // 2
        padded = z if stride > 1 else functional.pad(z, (left, F - 1 - left), mode="circular")
        z = functional.conv1d(padded, weight, stride=stride) / sqrt(C * F) + ensemble.biases[k][member]
        z = sqrt(F) * z.relu()
        stack.append(z)
    readout = ensemble.readout[member, 0] @ stack[-1].mean(-1).T / ensemble.architecture.width
    return stack, readout + ensemble.offset[member]


@pytest.mark.parametrize("shape", [(3, 5, 3, 1), (3, 4, 2, 2), (2, 4, 4, 1), (2, 6, 3, 3)])
def test_layers_are_convolutions(shape, dtype):
    ensemble = simple_cnn.initialise(Architecture(*shape), [3, 4]).to(dtype)
    images = torch.randn(2, 6, 1, 36 if shape[3] == 3 else 32, dtype=dtype)
    found, outputs = simple_cnn.representations(ensemble, images), simple_cnn.outputs(ensemble, images)
    for member in range(2):
        stack, output = reference(ensemble, member, images[member])
        for layer, expected in zip(found, stack, strict=True):
            torch.testing.assert_close(layer[member].transpose(0, 1), expected)
        torch.testing.assert_close(outputs[member], output)


def test_members_do_not_depend_on_their_company():
    pair = simple_cnn.initialise(Architecture(2, 4, 3), [7, 8])
    alone = simple_cnn.initialise(Architecture(2, 4, 3), [8])
    for p, q in zip(pair.take([1]).parameters, alone.parameters, strict=True):
        assert torch.equal(p, q)


def test_homogeneous_network_computes_the_theory(dtype):
    ensemble = simple_cnn.homogeneous(Architecture(4, 3, 3)).to(dtype)
    image = torch.zeros(1, 1, 32, dtype=dtype)
    image[0, 0, [5, 11]] = 1
    for k, layer in enumerate(simple_cnn.representations(ensemble, image)):
        expected = torch.tensor(tables.profiles(image[0, 0].double().numpy(), 4, 3, 1)[k + 1]) * 3 ** (k + 1)
        torch.testing.assert_close(layer[0, :, 0], expected.to(dtype).expand(3, -1))


def test_step_is_gradient_descent_with_the_mean_field_rate(dtype):
    ensemble = simple_cnn.initialise(Architecture(2, 5, 3), [0, 1]).to(dtype)
    images, labels = torch.randn(2, 8, 1, 16, dtype=dtype), torch.tensor([1, -1] * 8).reshape(2, 8)
    before = ensemble.take([0, 1])
    leaves = [p.clone().requires_grad_() for p in before.parameters]
    twin = before.with_parameters(leaves)
    ridge = 0.3 * sum(w.square().sum() for w in twin.filters) / (5 * 2)
    losses = torch.stack([(1 - labels[m] * reference(twin, m, images[m])[1]).clamp(min=0) for m in range(2)])
    gradients = torch.autograd.grad(losses.mean(1).sum() + ridge, leaves)
    found = simple_cnn.step(ensemble, images, labels, learning_rate=0.02, ridge=0.3)
    torch.testing.assert_close(found, losses.detach())
    for p, q, g in zip(ensemble.parameters, leaves, gradients, strict=True):
        torch.testing.assert_close(p.detach(), (q - 0.02 * 5 * g).detach())


def training(seeds, recipe, **options):
    """A toy: is the pixel in the left half? A few hundred steps of it take a second."""
    torch_seed = torch.Generator().manual_seed(0)
    sites = torch.randint(16, (16,), generator=torch_seed)
    images = functional.one_hot(sites, 16).float().mul(3).reshape(16, 1, 16)
    images += 0.5 * functional.one_hot((sites + 1) % 16, 16).reshape(16, 1, 16) * (sites < 8).reshape(-1, 1, 1)
    labels = torch.where(sites < 8, 1, -1)
    data = (images.expand(len(seeds), -1, -1, -1), labels.expand(len(seeds), -1))
    ensemble = simple_cnn.initialise(Architecture(2, 8, 3), seeds)
    return ensembles.fit(ensemble, data, data, recipe, seeds=seeds, **options)


RECIPE = ensembles.Recipe(learning_rate=0.05, ridge=0.05, clocks=0.5, limit=1.0, every=20)  # a clock is 400 steps


def test_stop_rule():
    assert RECIPE.clock(2) == pytest.approx(400)
    for member in training([0, 1, 2], RECIPE).members:
        assert 200 <= member["steps"] <= 400
        if member["status"] == "stopped":
            assert member["train_hinge"] == member["validation_error"] == 0
        else:
            assert member["steps"] == 400
    patient = ensembles.Recipe(learning_rate=0.05, ridge=0.05, clocks=0.1, limit=1.0, every=20, interpolations=5)
    for member in training([0, 1, 2], patient).members:
        if member["status"] == "stopped":
            assert member["steps"] >= 5 * member["interpolation"] > 0


def test_members_train_alike_in_any_company():
    together, alone = training([0, 1, 2], RECIPE), training([1], RECIPE)
    assert together.members[1]["steps"] == alone.members[0]["steps"]
    for p, q in zip(together.ensemble.take([1]).parameters, alone.ensemble.parameters, strict=True):
        torch.testing.assert_close(p, q.detach(), rtol=1e-3, atol=1e-4)


def test_killed_runs_resume_where_they_were(tmp_path):
    whole = training([0, 1], RECIPE)

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training([0, 1], RECIPE, checkpoint=tmp_path / "run.pt", save_every=100, progress=stop)
    assert (tmp_path / "run.pt").exists()
    lines = []
    resumed = training([0, 1], RECIPE, checkpoint=tmp_path / "run.pt", save_every=100, progress=lines.append)
    assert not lines[0].startswith("step 100 ")
    assert resumed.members == whole.members
    for p, q in zip(resumed.ensemble.parameters, whole.ensemble.parameters, strict=True):
        assert torch.equal(p, q)
    with pytest.raises(ValueError, match="other seeds"):
        training([0, 2], RECIPE, checkpoint=tmp_path / "run.pt")


@pytest.mark.parametrize(("stride", "boundary", "moves"), [(1, "periodic", "free"), (2, "block", "constrained")])
def test_probe_of_the_homogeneous_network_is_the_exact_theory(stride, boundary, moves, dtype):
    if stride == 1:
        task, layers, size, known = line_task(1, 32, 11, 4), 6, 3, (32, 1, 11, 4)
    else:
        task, layers, size, known = line_task(2, 32, 8), 3, 2, (32, 2, 8)
    ensemble = simple_cnn.homogeneous(Architecture(layers, 2, size, stride)).to(dtype)
    if dtype == torch.float64:  # the images are float32: only the precision of the sums changes
        ensemble = ensemble.to(torch.float32)
    found = pd.DataFrame(sensitivities(ensemble, task, boundary=boundary, draws=40, seed=0, chunk=100))
    exact = theory.homogeneous_sensitivities(layers, size, stride, *known, moves=moves)
    np.testing.assert_allclose(found.D, exact.D, rtol=2e-5, atol=1e-7)
    np.testing.assert_allclose(found.G, exact.G, rtol=0.03)
    np.testing.assert_allclose(found.D_mean_channel, found.D, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.G_mean_channel, found.G, rtol=1e-5)
    np.testing.assert_allclose(found[["alignment", "flatness"]], 1, rtol=1e-6)
    np.testing.assert_allclose(found.peak, 1 / size, rtol=1e-6)


def test_probe_does_not_depend_on_chunks():
    ensemble = simple_cnn.initialise(Architecture(2, 4, 3), [0, 1])
    task = line_task(1, 16, 5, 2)
    parts, whole = (pd.DataFrame(sensitivities(ensemble, task, draws=1, seed=3, chunk=c)) for c in (17, 500))
    pd.testing.assert_frame_equal(parts, whole, rtol=1e-5)


def test_probe_of_a_constant_network_is_nan():
    ensemble = simple_cnn.homogeneous(Architecture(2, 4, 3))
    dead = ensemble.with_parameters([torch.zeros_like(p) if p.ndim == 3 else p for p in ensemble.parameters])
    rows = pd.DataFrame(sensitivities(dead, line_task(1, 16, 5, 2), draws=1, seed=0))
    assert rows[["D", "G", "R"]].isna().all(axis=None)


def test_study_rows_and_kinds():
    unit = dataclasses.replace(study.configs("tiny")[0], width=4, layers=3, members=2, clocks=0.02, limit=0.02, draws=1)
    rows = pd.DataFrame([dataclasses.asdict(unit) | row for row in unit.run()])
    assert len(rows) == 2 * 2 * 3
    assert set(rows.stage) == {"init", "trained"}
    assert rows[rows.stage == "init"].steps.eq(0).all()
    exact = study.exact(rows).set_index("k")
    rows["output_std"] = 1.0
    trained = rows[rows.stage == "trained"].copy()
    kinds = {}
    for name, change in {"homogeneous": 1.2, "other": 1.3}.items():
        for quantity in ("D", "G"):
            trained[quantity] = trained.k.map(exact[quantity]) * (change if quantity == "D" else 1)
        kinds[name] = study.classify(trained).kind.unique().tolist()
    assert kinds == {"homogeneous": ["homogeneous"], "other": ["other"]}
    assert study.classify(trained.assign(output_std=1e-4)).kind.unique().tolist() == ["collapsed"]
    assert study.classify(trained.assign(D=float("nan"))).kind.unique().tolist() == ["other"]


def test_every_scale_has_units():
    for scale in ("tiny", "laptop", "gpu", "paper"):
        units = study.configs(scale)
        assert {unit.task for unit in units} == {1, 2}
        assert all(unit.cost_minutes > 0 for unit in units)
        networks = {(unit.task, unit.width, unit.seed + m) for unit in units for m in range(unit.members)}
        assert len(networks) == sum(unit.members for unit in units)


def test_bad_input_is_named(unchecked):
    with pytest.raises(ValueError, match="stride is 2"):
        Architecture(2, 4, 3, 2)
    with pytest.raises(ValueError, match="images are 12 sites long"):
        simple_cnn.outputs(simple_cnn.initialise(Architecture(3, 4, 2, 2), [0]), torch.zeros(1, 1, 12))
    with pytest.raises(ValueError, match="batch is 7"):
        training([0], ensembles.Recipe(0.1, 0.1, 1, 1, batch=7))
    with pytest.raises(ValueError, match="scale is 'huge'"):
        study.configs("huge")
