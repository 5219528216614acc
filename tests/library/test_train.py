"""Recipes, augmentation, the training loop, its checkpoints, and what it says when training fails."""

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from relbook.studies.scale_detection_2d.study import scale_detection
from relstab import models
from relstab.data import Dataset, Split
from relstab.random import seeded
from relstab.train import TrainingSet, batches, checkpoints, error_rate, fit, gaussian
from relstab.train.augment import Draws, crop_and_flip, draw, windows
from relstab.train.loop import Observer, loss_and_errors, make_optimizer, snapshot_steps, train_epoch
from relstab.train.recipes import Recipe, learning_rate, one_cycle, paper

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


def halves(count=96, size=8, seed=0):
    """A task a linear net learns: which half of a noisy image is bright."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(120, (count, 1, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 2
    for image, label in zip(images, labels, strict=True):
        image[..., : size // 2] += 120 * label.to(torch.uint8)
    return SimpleNamespace(images=images, labels=labels)


def unit(images):
    return images.float() / 255 - 0.5


def small(seed=0, outputs=2):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, outputs),
        )


RECIPE = Recipe(epochs=4, lr=0.05, batch_size=16, crop=1, flip=False)


def train(model=None, recipe=RECIPE, split=None, **options):
    model = model or small()
    return model, fit(model, split or halves(), recipe, normalise=unit, seed=3, **options)


def weights(model):
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


# Recipes -----------------------------------------------------------------------------------------------


def test_the_codes_cosine_climbs_again_and_the_papers_does_not():
    code, text = paper("resnet18", reading="code"), paper("resnet18", reading="paper")
    assert learning_rate(code, 200) == pytest.approx(0, abs=1e-12)
    assert learning_rate(code, 249) == pytest.approx(0.0141, abs=5e-5)  # definitions.md 2.11
    assert learning_rate(text, 249) == pytest.approx(0.1 * (1 - 249 / 250) ** 2 * 2.467, rel=1e-2)
    assert learning_rate(code, 3.7) == learning_rate(code, 3.0)  # stepped once an epoch


def test_recipes_of_the_papers():
    assert paper("vgg11", source="B").decay == "all"
    assert paper("vgg11", source="A").decay == "matrices"
    fc = paper("fc_l4")
    assert (fc.optimizer, fc.lr, fc.schedule, fc.weight_decay) == ("adam", 0.1, "constant", 0.0)
    assert paper("lenet", augment=False).crop == 0
    assert one_cycle("vgg11_bn").lr == 0.1
    assert one_cycle("alexnet").lr == one_cycle("vgg11").lr == one_cycle("lenet").lr == 0.02
    assert scale_detection("vgg11_bn").loss == "hinge"
    rates = [scale_detection(name).lr for name in ("vgg11_bn", "lenet", "vgg11", "alexnet", "fc_l4")]
    assert rates == [0.05, 0.05, 0.01, 0.01, 0.1]
    assert scale_detection("lenet", reading="paper").horizon == 1.0


@pytest.mark.parametrize(
    ("change", "word"),
    [({"optimizer": "lion"}, "optimizer"), ({"epochs": 0}, "epochs"), ({"lr": float("nan")}, "lr"),
     ({"decay": "some"}, "decay"), ({"noise": -1.0}, "noise")],
)  # fmt: skip
def test_a_bad_recipe_is_refused(change, word):
    with pytest.raises(ValueError, match=word):
        replace(RECIPE, **change)


def test_weight_decay_reaches_the_parameters_the_recipe_names():
    def decays(decay):
        optimizer = make_optimizer(small(), replace(RECIPE, decay=decay), torch.device("cpu"))
        return [(p.ndim, group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]]

    every, matrices = decays("all"), decays("matrices")
    assert all(decay == 5e-4 for _, decay in every)
    assert all((decay == 5e-4) == (rank != 1) for rank, decay in matrices)
    assert {rank for rank, _ in matrices} == {1, 2, 4}


# Augmentation ------------------------------------------------------------------------------------------


def test_crop_and_flip_against_slicing_image_by_image():
    images = torch.randint(256, (20, 3, 7, 9), dtype=torch.uint8)
    draws = draw(20, padding=2, flip=True, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(20)
    fast = crop_and_flip(windows(images, 2), order, draws)
    padded = torch.nn.functional.pad(images, (2,) * 4)
    for position, index in enumerate(order.tolist()):
        row, column = draws.rows[index], draws.columns[index]
        slow = padded[index, :, row : row + 7, column : column + 9]
        assert torch.equal(fast[position], slow.flip(-1) if draws.mirrored[index] else slow)


def test_the_middle_window_is_the_image():
    images = torch.rand(3, 1, 6, 6)
    middle = torch.full((3,), 4)
    still = Draws(middle, middle, torch.zeros(3, dtype=torch.bool))
    assert torch.equal(crop_and_flip(windows(images, 4), torch.arange(3), still), images)


def test_draws_are_uniform_and_flips_can_be_turned_off():
    draws = draw(20000, padding=1, flip=True, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(torch.bincount(draws.rows) / 20000, torch.full((3,), 1 / 3), atol=0.02)
    assert abs(draws.mirrored.double().mean() - 0.5) < 0.02
    assert not draw(50, padding=1, flip=False, generator=torch.Generator()).mirrored.any()


# The loop ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_a_learnable_task_is_learned(device):
    model, result = train(recipe=replace(RECIPE, epochs=8), device=device)
    assert result.status == "ok"
    assert [row["epoch"] for row in result.history] == list(range(1, 9))
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    test = halves(seed=1)
    assert error_rate(model, test.images, test.labels, normalise=unit) < 0.1
    assert result.images_per_second > 0
    assert result.seconds > 0
    assert not model.training


def test_one_plain_epoch_equals_sgd_written_out():
    recipe = Recipe(epochs=1, lr=0.1, batch_size=10, momentum=0.9, weight_decay=1e-3, schedule="constant")
    split, model, other = halves(25), small(), small()
    fit(model, split, recipe, normalise=unit, seed=5)
    order = batches(25, 10, seeded(5, "epoch", 0))
    assert sorted(torch.cat(order).tolist()) == list(range(25))
    assert list(map(len, order)) == [10, 10, 5]
    velocity = [torch.zeros_like(p) for p in other.parameters()]
    other.train()
    for indices in order:
        loss = nn.functional.cross_entropy(other(unit(split.images[indices])), split.labels[indices])
        gradients = torch.autograd.grad(loss, list(other.parameters()))
        with torch.no_grad():
            for p, v, g in zip(other.parameters(), velocity, gradients, strict=True):
                v.mul_(0.9).add_(g + 1e-3 * p)
                p.sub_(0.1 * v)
    assert torch.allclose(weights(model), weights(other), atol=1e-6)


def test_the_same_seed_gives_the_same_weights_and_leaves_global_randomness_alone():
    state = torch.get_rng_state()
    one, _ = train(recipe=replace(RECIPE, noise=1.0))
    two, _ = train(recipe=replace(RECIPE, noise=1.0))
    assert torch.equal(weights(one), weights(two))
    assert torch.equal(torch.get_rng_state(), state)
    other = small()
    fit(other, halves(), replace(RECIPE, noise=1.0), normalise=unit, seed=4)
    assert not torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("change", [{"channels_last": True}, {"precision": "bfloat16"}])
def test_memory_format_and_precision_change_little(change):
    recipe = replace(RECIPE, epochs=1, lr=0.01)
    plain, changed = train(recipe=recipe)[0], train(recipe=replace(recipe, **change))[0]
    atol = 2e-2 if "precision" in change else 1e-3  # rounding in float32, grown by six steps of training
    assert torch.allclose(weights(plain), weights(changed), atol=atol)
    assert next(changed.parameters()).dtype == torch.float32


def test_noise_has_the_total_norm_asked_for_and_is_fresh_every_epoch(dtype):
    noise = gaussian(torch.zeros(200, 3, 16, 16, dtype=dtype), 30.0, seeded(0))
    assert noise.dtype == dtype
    assert noise.flatten(1).norm(dim=1).mean().item() == pytest.approx(30, rel=0.01)
    data = TrainingSet(halves(16), replace(RECIPE, crop=0, noise=1.0), unit, torch.device("cpu"))
    first, again, second = (torch.cat([x for x, _ in data.epoch(epoch, 0)]) for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first.sort(0).values, second.sort(0).values)


def test_hinge_loss_and_its_zero(dtype):
    outputs = torch.tensor([[2.0], [0.5], [-3.0], [1.0]], dtype=dtype)
    loss, errors = loss_and_errors(outputs, torch.tensor([1, 1, 0, 0]), "hinge")
    assert loss.item() == pytest.approx((0 + 0.5 + 0 + 2) / 4)
    assert errors.item() == 1
    recipe = Recipe(
        epochs=200, lr=0.2, batch_size=16, loss="hinge", weight_decay=0.0, schedule="constant", stop_at_zero_loss=True
    )
    model, result = train(small(outputs=1), recipe)
    assert result.history[-1]["loss"] == 0
    assert len(result.history) < 200
    split = halves()
    assert error_rate(model, split.images, split.labels, normalise=unit) < 0.05


def test_a_last_batch_of_one_is_left_out_but_a_set_of_one_is_not():
    assert list(map(len, batches(33, 16, seeded(0)))) == [16, 16]
    assert list(map(len, batches(1, 16, seeded(0)))) == [1]
    assert train(split=halves(33))[1].status == "ok"


def test_snapshots_are_log_spaced_and_stamped_with_the_time():
    assert snapshot_steps(391, 250, 30)[:2] == [0, 39]
    assert snapshot_steps(391, 250, 30)[-1] == 391 * 250
    assert snapshot_steps(1, 2, 12) == [0, 1, 2]
    _, result = train(snapshots=lambda model: [{"norm": model[0].weight.norm().item()}], snapshot_count=4)
    assert [row["epoch"] for row in result.snapshots] == pytest.approx([0, 1 / 6, 2 / 6, 7 / 6, 4])
    assert result.snapshots[0]["norm"] == pytest.approx(small()[0].weight.norm().item())


def test_progress_tells_the_time_left():
    lines = []
    train(progress=lines.append)
    assert len(lines) == 4
    assert lines[0].startswith("epoch 1/4, loss ")
    assert lines[-1].endswith("0 s left")


# Failures ---------------------------------------------------------------------------------------------


def test_divergence_is_a_status_and_ends_the_run():
    split = halves()
    recipe = replace(RECIPE, epochs=50, lr=1e30, schedule="constant")
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 2))
    result = fit(model, split, recipe, normalise=unit, seed=0)
    assert result.status == "diverged"
    assert len(result.history) < 50


def test_collapse_is_a_status():
    model = small()
    nn.init.zeros_(model[-1].weight)
    model[-1].bias.data = torch.tensor([5.0, -5.0])
    assert train(model, replace(RECIPE, lr=1e-12))[1].status == "collapsed"


def test_images_sorted_by_class_are_no_collapse():
    split = halves(4000)
    order = split.labels.argsort()
    split.images, split.labels = split.images[order], split.labels[order]
    assert train(recipe=replace(RECIPE, epochs=1, batch_size=100), split=split)[1].status == "ok"


def test_empty_sets_are_refused():
    with pytest.raises(ValueError, match="split is empty"):
        train(split=halves(0))
    with pytest.raises(ValueError, match="images is empty"):
        error_rate(small(), torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("label", [-1, -100])
def test_images_without_a_label_are_refused(label, unchecked):
    """cross_entropy passes -100 over in silence, and -1 is the package's own word for no label."""
    split = halves(40)
    split.labels[3] = label
    with pytest.raises(ValueError, match=f"split has the label {label}; training needs"):
        train(split=split)
    with pytest.raises(ValueError, match=f"the smallest {label}; an error rate needs"):
        error_rate(small(), split.images, split.labels, normalise=unit)
    with pytest.raises(ValueError, match=r"labels are 1, .* for each of the 40 images"):
        error_rate(small(), split.images, split.labels[:1], normalise=unit)


def test_outputs_that_are_not_numbers_are_wrong():
    """argmax of NaN is 0, a class like any other."""
    model, split = small(), halves(40)
    torch.nn.init.constant_(model[-1].weight, float("nan"))
    assert error_rate(model, split.images, torch.zeros(40, dtype=torch.int64), normalise=unit) == 1.0


def test_error_rate_does_not_depend_on_the_batch_size_and_restores_the_mode():
    model, split = small().train(), halves(50)
    rates = {error_rate(model, split.images, split.labels, normalise=unit, batch_size=size) for size in (1, 7, 500)}
    assert len(rates) == 1
    assert model.training


# Checkpoints -------------------------------------------------------------------------------------------


def observed(model):
    return [{"norm": model[0].weight.norm().item()}]


def test_a_resumed_run_is_bitwise_the_uninterrupted_one(tmp_path):
    recipe = replace(RECIPE, noise=0.5, lr=0.2)
    held_out = halves(40, seed=9)
    whole, expected = train(recipe=recipe, validation=held_out, snapshots=observed)

    def stop(line):
        if line.startswith("epoch 2/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe=recipe, validation=held_out, snapshots=observed, checkpoint=tmp_path / "c.pt", progress=stop)
    resumed, result = train(small(7), recipe, validation=held_out, snapshots=observed, checkpoint=tmp_path / "c.pt")
    assert torch.equal(weights(whole), weights(resumed))
    assert result.snapshots == expected.snapshots
    timeless = [[{k: v for k, v in row.items() if k != "seconds"} for row in fit.history] for fit in (expected, result)]
    assert timeless[0] == timeless[1]


def test_a_finished_run_is_not_trained_again(tmp_path):
    whole, _ = train(checkpoint=tmp_path / "c.pt")
    lines = []
    again, result = train(small(7), checkpoint=tmp_path / "c.pt", progress=lines.append)
    assert lines == []
    assert len(result.history) == 4
    assert torch.equal(weights(whole), weights(again))


KILLED = """
import sys, pathlib, torch
sys.path.insert(0, {tests!r})
from test_train import train, RECIPE
from dataclasses import replace
import relstab.train.loop
relstab.train.loop.CHECKPOINT_SECONDS = 0.0
train(recipe=replace(RECIPE, epochs=150), checkpoint=pathlib.Path({path!r}))
"""


def test_short_epochs_are_not_all_written(tmp_path, monkeypatch):
    """The first, the last, and those in between that are late enough."""
    written = []
    monkeypatch.setattr(checkpoints, "save", lambda state, path: written.append(len(state["history"])))
    monkeypatch.setattr("relstab.train.loop.CHECKPOINT_SECONDS", 1e6)
    train(checkpoint=tmp_path / "c.pt")
    monkeypatch.setattr("relstab.train.loop.CHECKPOINT_SECONDS", 0.0)
    train(checkpoint=tmp_path / "c.pt")
    assert written == [1, 4, 1, 2, 3, 4]


def test_a_run_killed_at_any_moment_resumes_bitwise(tmp_path):
    """SIGKILL in a subprocess, anywhere in a step or in a write."""
    path, recipe = tmp_path / "c.pt", replace(RECIPE, epochs=150)
    code = KILLED.format(tests=os.path.dirname(__file__), path=str(path))
    process = subprocess.Popen([sys.executable, "-c", code])  # with as many threads as here: the sums are the same
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.15)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = len(torch.load(checkpoints._content(path), weights_only=True)["history"])
    assert 0 < done < 150
    resumed, result = train(small(7), recipe, checkpoint=path)
    whole, _ = train(recipe=recipe)
    assert len(result.history) == 150
    assert torch.equal(weights(whole), weights(resumed))
    assert [file.name for file in tmp_path.iterdir()] == ["c.pt"]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("name", ["alexnet", "efficientnet_b0"])
def test_dropout_follows_from_the_seed_also_when_resumed(tmp_path, name):
    """Twice in one process, killed after the first epoch and resumed: the same weights, bit for bit."""
    images = torch.randint(256, (24, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    split = SimpleNamespace(images=images, labels=torch.arange(24) % 10)
    recipe = replace(RECIPE, epochs=2, batch_size=12)

    def network():
        return models.build(name, width=0.1, generator=torch.Generator().manual_seed(0))

    def stop(line):
        raise Interrupted

    state = torch.get_rng_state()
    whole, _ = train(network(), recipe, split)
    again, _ = train(network(), recipe, split)
    assert torch.equal(state, torch.get_rng_state())
    other = network()
    fit(other, split, recipe, normalise=unit, seed=1)
    with pytest.raises(Interrupted):
        train(network(), recipe, split, checkpoint=tmp_path / "c.pt", progress=stop)
    torch.rand(7)  # whatever the next process has drawn
    resumed, _ = train(network(), recipe, split, checkpoint=tmp_path / "c.pt")
    assert torch.equal(weights(whole), weights(again))
    assert torch.equal(weights(whole), weights(resumed))
    assert not torch.equal(weights(whole), weights(other))


def test_a_flipped_bit_in_a_checkpoint_is_noticed(tmp_path):
    path = tmp_path / "c.pt"
    train(checkpoint=path)
    whole = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for position in torch.randint(8 * len(whole), (60,), generator=generator).tolist():
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="damaged"):
            assert checkpoints.load(path, {}) is None
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="another run"):
        checkpoints.load(path, {"seed": 77})


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None])
def test_a_damaged_checkpoint_is_said_and_the_run_starts_again(tmp_path, damage):
    path = tmp_path / "c.pt"
    whole, _ = train(checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    with pytest.warns(UserWarning, match="damaged"):
        again, _ = train(checkpoint=path)
    assert torch.equal(weights(whole), weights(again))


def test_a_checkpoint_of_another_run_is_refused_and_kept(tmp_path):
    path = tmp_path / "c.pt"
    train(checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="another run"):
        train(recipe=replace(RECIPE, lr=0.3), checkpoint=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("model", [None, {"0.weight": torch.ones(3)}])
def test_a_whole_checkpoint_that_does_not_fit_is_refused(tmp_path, model):
    path = tmp_path / "c.pt"
    train(checkpoint=path)
    state = torch.load(io.BytesIO(path.read_bytes().partition(b"\n")[2]), weights_only=True)
    checkpoints.save({key: value for key, value in {**state, "model": model}.items() if value is not None}, path)
    with pytest.raises(
        ValueError, match=r"checkpoint .* does not fit this network \((KeyError|RuntimeError)\); move it away"
    ):
        train(checkpoint=path)


def test_a_failed_write_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    checkpoints.save({"identity": {}, "value": 1}, path)

    def torn(state, file):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(OSError, match="no space"):
        checkpoints.save({"identity": {}, "value": 2}, path)
    assert checkpoints.load(path, {})["value"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["c.pt"]


def test_recipes_travel_through_json():
    import json

    assert Recipe(**json.loads(json.dumps(asdict(one_cycle("lenet"))))) == one_cycle("lenet")


class Waits(TorchDispatchMode):
    """Counts what makes a GPU wait: reading a number from the device, and copying one made in Python to it."""

    STOPS = ("aten::_local_scalar_dense", "aten::lift_fresh", "aten::is_nonzero")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.name().split(".")[0] in self.STOPS:
            self.found.append(function.name())
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("displacement", [0.0, 1.0])
def test_nothing_in_a_step_waits_for_the_device(displacement):
    """Counted on the CPU: an epoch of many batches has as many stops as an epoch of few."""
    counts = []
    for count in (32, 128):
        data = Dataset(
            "made up", *[Split(halves(count).images, halves(count).labels)] * 2, ("a", "b"), (0.5,), (0.25,), "", "", ""
        )
        model, recipe = small(), replace(RECIPE, epochs=1, flip=True, noise=1.0, displacement=displacement)
        fit(model, data.train, recipe, normalise=data.normalise, seed=0)  # constants are made once
        set_up = TrainingSet(data.train, recipe, data.normalise, torch.device("cpu"))
        optimizer = make_optimizer(model, recipe, torch.device("cpu"))
        with Waits() as waits:
            train_epoch(model, set_up, optimizer, 0, seed=0, observer=Observer(None, model, []))
        counts.append(len(waits.found))
    assert counts[0] == counts[1] <= 8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
def test_compiled_training_learns_as_well():
    _, result = train(recipe=replace(RECIPE, epochs=8), device="cuda", compile=True)
    assert result.history[-1]["loss"] < result.history[0]["loss"]


def test_every_network_of_a_queue_is_compiled(monkeypatch):
    """The limit of recompilations is shared by all networks of a process: past it they would run uncompiled."""
    graphs, counts, compile_ = [], [], torch.compile

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", lambda model, mode: compile_(model, backend=backend))
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 2)
    for _ in range(4):
        before = len(graphs)
        train(recipe=replace(RECIPE, epochs=1), compile=True)
        counts.append(len(graphs) - before)
    torch.compiler.reset()
    assert counts[0] > 0 and len(set(counts)) == 1, counts


def test_snapshots_at_chosen_times():
    recipe = replace(RECIPE, epochs=2, batch_size=24)
    _, result = train(recipe=recipe, snapshots=lambda net: [{"training": net.training}], snapshot_epochs=(0, 0.5, 2))
    assert [row["epoch"] for row in result.snapshots] == [0, 0.5, 2]
    assert [row["training"] for row in result.snapshots] == [True] * 3
