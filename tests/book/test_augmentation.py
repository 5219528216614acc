"""Diffeomorphisms as augmentation: in the training loop, in the study `augmentation`, in its tables and figures."""

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from relbook import page, registry, scales
from relbook.drawing.pictures import clothing
from relbook.studies.augmentation import figures, study, tables
from relbook.studies.zoo import study as zoo
from relstab import diffeo, train
from relstab.random import seeded
from relstab.store import origin
from relstab.train import TrainingSet, fit, recipes
from relstab.train import augment as augmentation
from relstab.train.recipes import Recipe

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
RECIPE = Recipe(epochs=2, lr=0.05, batch_size=16, crop=2, flip=True, noise=1.0)
MOVED = replace(RECIPE, displacement=1.5, cut=4)


def unit(images):
    return images.float() / 255 - 0.5


def split(count=40, size=12):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 1, size, size), generator=generator, dtype=torch.uint8)
    return SimpleNamespace(images=images, labels=torch.arange(count) % 2)


def linear():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(144, 2))


def epoch(recipe, number=0, device="cpu", data=None):
    data = TrainingSet(data or split(), recipe, unit, torch.device(device))
    return [(inputs.cpu(), labels.cpu()) for inputs, labels in data.epoch(number, 7)]


# In the training loop ----------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_deformations_disturb_neither_order_nor_crops_nor_noise(device):
    quiet = {"noise": 0.0}
    order = train.batches(40, 16, seeded(7, "epoch", 0))
    temperature = diffeo.temperature(1.5, 4, 12)
    drawn = diffeo.sample_coefficients(40, 4, generator=seeded(7, "diffeo", 0))
    noisy, moved = epoch(RECIPE, device=device), epoch(MOVED, device=device)
    plain, still = (epoch(replace(RECIPE, **quiet), device=device), epoch(replace(MOVED, **quiet), device=device))
    for indices, a, b, c, d in zip(order, noisy, moved, plain, still, strict=True):
        assert torch.equal(a[1], b[1]) and torch.equal(a[1], split().labels[indices])
        field = diffeo.displacement_field(drawn[indices], temperature, 12)
        assert torch.allclose(d[0], diffeo.warp(c[0], field), atol=1e-5)
        assert torch.allclose(b[0] - d[0], a[0] - c[0], atol=1e-5)  # the same noise on top


def test_without_displacement_nothing_is_drawn(monkeypatch):
    one, two = linear(), linear()
    fit(one, split(), RECIPE, normalise=unit, seed=3)
    monkeypatch.setattr("relstab.train.data.deformations", lambda *a, **k: pytest.fail("drew deformations"))
    fit(two, split(), replace(RECIPE, cut=9), normalise=unit, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_an_images_field_depends_on_epoch_and_image_alone():
    still = replace(MOVED, crop=0, flip=False, noise=0.0)
    data = split()
    data.labels = torch.arange(40)  # to know an image again

    def by_image(recipe, number):
        parts = epoch(recipe, number, data=data)
        images, labels = (torch.cat(part) for part in zip(*parts, strict=True))
        return images[labels.argsort()]

    first = by_image(still, 0)
    assert torch.equal(first, by_image(still, 0))
    assert torch.allclose(first, by_image(replace(still, batch_size=7), 0), atol=1e-6)
    assert not torch.allclose(first, by_image(still, 1), atol=0.1)


def test_the_field_has_the_displacement_asked_for():
    modes = augmentation.deformations(20000, 2.0, 3, (29, 29), generator=seeded(0))
    field = diffeo.displacement_field(modes, 1.0, 29)
    rms = field[:, :, 14, 14].square().sum(1).mean().sqrt().item()
    exact = diffeo.displacement(diffeo.temperature(2.0, 3, 29), 3, 29, exact=True)
    assert rms == pytest.approx(exact, rel=0.02)


def test_deformed_keeps_the_type(dtype):
    images = torch.rand(3, 2, 8, 8, dtype=dtype)
    modes = augmentation.deformations(3, 1.0, 3, (8, 8), generator=seeded(0))
    assert augmentation.deformed(images, modes).dtype == dtype


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"displacement": -1.0}, "displacement is -1.0; it must not be negative"),
        ({"displacement": math.nan}, "displacement is nan"),
        ({"cut": 1}, "cut is 1; it must be an integer, 2 or more"),
        ({"cut": 2.5}, "cut is 2.5"),
    ],
)
def test_a_bad_deformation_is_refused(change, message, unchecked):
    with pytest.raises(ValueError, match=message):
        replace(RECIPE, **change)


def test_a_run_without_deformations_is_not_resumed_with_them(tmp_path):
    path = tmp_path / "run.pt"
    short = replace(RECIPE, schedule="constant")
    fit(linear(), split(), short, normalise=unit, seed=3, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another run"):
        fit(linear(), split(), replace(short, displacement=1.0), normalise=unit, seed=3, checkpoint=path)


def test_the_units_of_the_zoo_are_what_they_were():
    assert "displacement" not in {field.name for field in fields(zoo.Network)}
    assert recipes.one_cycle("lenet").displacement == 0


# The study ---------------------------------------------------------------------------------------------

SHORT = study.Augmented("tiny", "fashion-mini", "fc_l2", 1.0, epochs=1, train_size=256, probes=40)


def test_a_unit_gives_one_row_and_twins_start_alike():
    (plain,), (moved,) = SHORT.run(), replace(SHORT, displacement=2.0).run()
    for name in ("D_init", "G_init", "R_init"):
        assert plain[name] == moved[name]
    assert plain["R"] != moved["R"]
    assert {"test_error", "D", "G", "R", "D_fine", "R_fine", "status"} <= set(plain)
    assert SHORT.run() == [plain | {"seconds": pytest.approx(plain["seconds"], abs=60)}]


def test_a_diverged_network_has_no_sensitivities(monkeypatch):
    broken = train.Fit([{"epoch": 1, "loss": math.nan, "error": 0.9}], "diverged", 1.0, 1.0, [])
    monkeypatch.setattr(study, "fit", lambda *a, **k: broken)
    (row,) = SHORT.run()
    assert row["status"] == "diverged" and "R" not in row and "test_error" not in row


@pytest.mark.parametrize("scale", scales.SCALES)
def test_every_network_with_deformations_has_a_twin_without(scale):
    units = registry.configs("augmentation", scale)
    assert {replace(u, displacement=0.0) for u in units} <= set(units)
    assert {replace(u, augment=not u.augment) for u in units} <= set(units)
    for u in units:
        high = diffeo.temperature_range(u.cut, 28)[1]
        assert u.displacement < diffeo.displacement(high, u.cut, 28)
        assert u.recipe().displacement == u.displacement and bool(u.recipe().crop) == u.augment
        assert u.cost_minutes > 0


def test_sharing_is_one_for_one_image_and_the_batch_for_equal_ones():
    model, image = linear(), torch.rand(1, 1, 12, 12, generator=seeded(1))
    labels = torch.ones(1, dtype=torch.int64)
    options = {"draws": 120, "displacement": 0.5}
    alone = study.sharing(model, image, labels, generator=seeded(0), **options)
    assert alone == pytest.approx(1, rel=0.3)
    same = study.sharing(model, image.expand(8, -1, -1, -1), labels.expand(8), generator=seeded(0), **options)
    assert same == pytest.approx(8, rel=0.3)


# Tables and figures ------------------------------------------------------------------------------------


def row(**changes):
    line = {"dataset": "fashion-mini", "architecture": "lenet", "width": 1.0, "augment": False, "displacement": 0.0,
            "seed": 0, "status": "ok", "test_error": 0.2, "D": 0.1, "G": 0.1, "R": 1.0, "R_fine": 1.0}  # fmt: skip
    return line | changes


@pytest.fixture
def rows():
    return pd.DataFrame([
        row(), row(displacement=1.0, R=0.5, test_error=0.1), row(seed=1, R=4.0), row(seed=1, displacement=1.0, R=8.0),
        row(augment=True), row(augment=True, displacement=1.0, status="diverged", R=math.nan),
    ])  # fmt: skip


def test_effects_are_geometric_means_over_pairs(rows):
    (line,) = tables.effects(rows).to_dict("records")
    assert (line["displacement"], line["augment"], line["seeds"]) == (1.0, False, 2)
    assert line["R"] == pytest.approx(1.0)  # 1/2 and 2
    assert line["test_error"] == pytest.approx(0.5**0.5)
    assert tables.means(rows).iloc[0]["R"] == pytest.approx(2.0)


def test_a_network_without_its_twin_is_in_no_pair(rows):
    assert tables.effects(rows[rows["displacement"].gt(0)]).empty


def test_fallen_counts(rows):
    found = tables.fallen(tables.effects(rows))
    assert found.loc["test_error", "falls in"] == "1 of 1" and found.loc["R", "falls in"] == "0 of 1"


def test_folding_grows_with_both_and_agrees_with_the_range():
    table = tables.folding((0.5, 2.0, 4.0), (3, 10), 28, draws=200, generator=seeded(0))
    assert table.loc[3].is_monotonic_increasing and (table.loc[10] >= table.loc[3]).all()
    assert table.loc[3, 0.5] == 0 and table.loc[10, 4.0] == 1


@pytest.mark.parametrize("name", ["against_displacement", "error_against_stability"])
def test_figures_draw_rows_and_nothing(name, rows):
    for some in (rows, pd.concat([rows, rows.assign(dataset="cifar10-jpeg")]), rows[:0], pd.DataFrame()):
        assert isinstance(getattr(figures, name)(some), Figure)


def test_folded_draws_have_a_frame():
    fig = figures.draws(clothing(0), ((0.5, 3), (4.0, 10)), count=3)
    frames = [all(spine.get_visible() for spine in ax.spines.values()) for ax in fig.axes]
    assert frames == [False] * 4 + [False, True, True, True]


def test_the_benchmarks_table_is_that_of_its_file(monkeypatch):
    text = page.benchmark("diffeo").bundle["text/plain"]
    assert "kornia RandomElasticTransform" in text and "512 x 3 x 32 x 32" in text and "processor" in text
    record = origin.PACKAGE.parent / "benchmarks/results/diffeo.json"
    odd = {**json.loads(record.read_text()), "machine": {"processor": "<script>"}}
    monkeypatch.setattr(Path, "read_text", lambda _path: json.dumps(odd))
    assert "&lt;script&gt;" in page.benchmark("diffeo").bundle["text/html"]
    with pytest.raises(FileNotFoundError, match="benchmark is 'nothing'"):
        page.benchmark("nothing")


def test_pairs_with_and_without_crops_are_drawn_by_seed():
    """R of each pair at its network's place: full without, halved with;
    deformed networks and single ones are in no pair.
    """
    unit = {"dataset": "cifar10-jpeg", "architecture": "lenet", "width": 1.0, "status": "ok", "displacement": 0.0}
    rows = pd.DataFrame(
        [
            unit | {"augment": augment, "seed": seed, "R": R}
            for augment, seed, R in ((False, 0, 4.0), (True, 0, 2.0), (False, 1, 8.0), (True, 1, 3.0), (True, 2, 9.0))
        ]
        + [unit | {"augment": False, "seed": 0, "R": 0.1, "displacement": 2.0}]
    )
    other = pd.DataFrame(
        [
            {**unit, "architecture": "vgg11_bn", "width": 0.25, "augment": augment, "seed": 0, "R": R}
            for augment, R in ((False, 1.2), (True, 0.6))
        ]
    )
    ax = figures.with_and_without(rows, other).axes[0]
    points = {
        (round(line.get_xdata()[0]), line.get_ydata()[0], line.get_fillstyle())
        for line in ax.lines
        if len(line.get_xdata()) == 1
    }
    assert points == {(0, 4.0, "full"), (0, 2.0, "left"), (0, 8.0, "full"), (0, 3.0, "left"),
                      (1, 1.2, "full"), (1, 0.6, "left")}  # fmt: skip
    assert [label.get_text() for label in ax.get_xticklabels()] == ["LeNet", "VGG11bn\n×1/4"]
    assert not figures.with_and_without(rows[:0]).axes[0].lines
