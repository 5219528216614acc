"""The studies `trajectories` and `widths`: when networks are measured, one unit, the tables,
the measures of the claims.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from relbook import ledger, scales
from relbook.studies.trajectories import claims, figures, study, tables
from relbook.studies.trajectories.study import Trajectory
from relbook.studies.widths import claims as widths_claims
from relbook.studies.widths import study as widths
from relstab import data, models
from relstab.random import seeded
from relstab.train import error_rate, fit, recipes

SMALL = Trajectory(
    scale="tiny",
    dataset="fashion-mini",
    architecture="vgg11_bn",
    width=0.0625,
    epochs=4,
    train_size=256,
    probes=20,
    recipe="step",
)


@pytest.fixture(scope="module")
def rows():
    return pd.DataFrame(SMALL.run())


@pytest.mark.parametrize("scale", scales.SCALES)
def test_every_unit_is_one_that_can_run(scale):
    for unit in (*study.configs(scale), *widths.configs(scale)):
        assert unit.architecture in models.names() and unit.dataset in data.names()
        assert unit.cost_minutes > 0 and isinstance(unit.training(), recipes.Recipe)
        assert scale not in ("tiny", "laptop") or unit.cost_minutes < 60
        when = study.times(unit)
        assert when == sorted(set(when)) and when[0] == 0 and when[-1] == unit.epochs
        assert scale == "tiny" or len(when) >= 12


def test_widths_differ_in_width_alone():
    for scale in scales.SCALES:
        assert len({replace(unit, width=1.0, seed=0) for unit in widths.configs(scale)}) == 1


def test_a_unit_measures_itself_on_the_way(rows):
    named = rows.assign(**{name: getattr(SMALL, name) for name in tables.UNIT})
    assert named["status"].iloc[0] == "collapsed" and tables.points(named).empty  # after eight steps
    points = tables.points(named.assign(status=named["status"].replace("collapsed", "ok")))
    assert points["epoch"].tolist() == [0, 0.5, 1.0, 2.0, 2.5, 3.0, 3.5, 4.0]  # 2 steps an epoch
    assert points["rate"].round(6).tolist() == [0.1] * 4 + [0.01] * 2 + [0.001] * 2
    assert points[tables.MEASURED].notna().all(axis=None) and (points[["D", "G", "R"]] > 0).all(axis=None)
    assert points["R"].to_numpy() == pytest.approx((points["D"] / points["G"]).to_numpy())


def test_looking_at_a_network_does_not_change_it(rows):
    """The same training without probes ends with the same weights, in training mode on the way."""
    dataset = data.load("fashion-mini")
    train = data.random_subset(dataset.train, 256, seed=0)
    model = models.build("vgg11_bn", in_channels=1, width=0.0625, image_size=28, generator=seeded(0, "weights"))
    fit(model, train, SMALL.training(), normalise=dataset.normalise, seed=0)
    error = error_rate(model, dataset.test.images, dataset.test.labels, normalise=dataset.normalise)
    assert error == rows["test_error"].iloc[-1]
    from relstab.train.checkpoints import weights_digest

    assert weights_digest(model) == rows["weights"].iloc[0]


def test_an_interrupted_unit_goes_on(rows, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def kill(line):
        if line.startswith("epoch 2"):
            raise Killed

    monkeypatch.setattr("relstab.train.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Killed):
        SMALL.run(workspace=tmp_path, progress=kill)
    again = pd.DataFrame(SMALL.run(workspace=tmp_path))
    assert again.drop(columns="seconds").equals(rows.drop(columns="seconds"))


def test_a_fresh_network_takes_the_statistics_of_the_images():
    model = models.build("vgg11_bn", width=0.0625, generator=torch.Generator().manual_seed(0))
    assert study.fresh(model)
    model.train()(torch.rand(4, 3, 32, 32))
    assert not study.fresh(model)


def test_an_unknown_recipe_is_one_sentence():
    with pytest.raises(ValueError, match="recipe is 'a_code'; it must be one of one_cycle, step"):
        replace(SMALL, recipe="a_code").training()


# Tables and claims -------------------------------------------------------------------------------------


def made_up(count=6, *, R=(1.0, 0.5, 0.25, 0.25, 0.2), error=(0.9, 0.9, 0.6, 0.4, 0.4),
            train=(0.9, 0.5, 0.09, 0.05, 0.0), G=(1.0, 1.0, 0.5, 0.6, 0.75), width=0.25):  # fmt: skip
    """Rows of `count` seeds of a network at the epochs 0, 1, 2, 4, 8; the step size is divided by ten after 4."""
    lines = []
    for seed in range(count):
        unit = {
            "dataset": "cifar10-lossless-8k",
            "architecture": "vgg11_bn",
            "width": width,
            "epochs": 8,
            "train_size": 0,
            "augment": False,
            "recipe": "step",
            "precision": "bfloat16",
            "seed": seed,
        }
        lines.append({**unit, "kind": "training", "status": "ok"})
        for at, epoch in enumerate((0, 1, 2, 4, 8)):
            values = {"test_error": error[at], "train_error": train[at], "rate": 0.1 if epoch <= 4 else 0.01}
            values |= dict.fromkeys(("R", "R_median"), R[at]) | dict.fromkeys(("G", "G_median", "D", "D_median"), G[at])
            lines.append({**unit, "kind": "point", "epoch": epoch, **values})
    return pd.DataFrame(lines)


def test_measures_on_a_made_up_table():
    rows = made_up()
    first = np.log(1 / 0.2) / 2 / np.log(2)  # log R halves each epoch up to the second
    second = 1 + np.log(0.9 / np.sqrt(0.9 * 0.4)) / np.log(0.9 / 0.6)
    found = claims.half_way(rows, first="R_median", second="test_error", seed=0)
    assert (found.estimate, found.n) == (pytest.approx(first / second), 6)
    found = claims.end_over(rows, quantity="G_median", start="fitted", seed=0)
    assert (found.estimate, found.n) == (pytest.approx(1.5), 6)
    found = claims.end_over(rows, quantity="R_median", start="annealing", seed=0)
    assert (found.estimate, found.n) == (pytest.approx(0.8), 6)
    later = np.log(np.array([[0.5, 0.25, 0.25, 0.2], [0.9, 0.6, 0.4, 0.4]]))
    assert claims.along(rows, seed=0).estimate == pytest.approx(np.corrcoef(later)[0, 1])


def test_networks_that_never_fit_do_not_enter():
    rows = pd.concat([made_up(2), made_up(4, train=(0.9, 0.8, 0.7, 0.6, 0.05)).assign(augment=True)])
    assert claims.end_over(rows, quantity="G_median", start="fitted", seed=0).n == 2
    collapsed = rows.assign(status=rows["status"].replace("ok", "collapsed"))
    assert np.isnan(claims.along(collapsed, seed=0).estimate) and tables.points(pd.DataFrame()).empty


def test_the_exponent_of_the_width():
    rows = pd.concat(
        [
            made_up(2, width=w, R=(1, 1, 1, 1, 0.3 * w**0.2), error=(0.9, 0.9, 0.9, 0.9, 0.4 * w**-0.1))
            for w in (0.125, 0.25, 0.5)
        ]
    )
    found = widths_claims.growth(rows, quantity="R_median", seed=0)
    assert (found.estimate, found.n) == (pytest.approx(0.2), 6)
    assert widths_claims.growth(rows, quantity="test_error", seed=0).estimate == pytest.approx(-0.1)
    assert np.isnan(widths_claims.growth(rows[rows["kind"] == "none"], quantity="R", seed=0).estimate)


def test_widths_in_words_say_what_was_found():
    rows = pd.concat(
        [
            made_up(2, width=w, R=(1, 1, 1, 1, 0.4 * w), error=(0.9, 0.9, 0.9, 0.9, e))
            for w, e in ((0.25, 0.5), (1, 0.3))
        ]
    )
    told = SimpleNamespace(number="-0.37", word="holds")
    text = tables.widths_in_words(rows).format(error=told, R=told)
    assert (
        "From width 0.25 to 1 of the paper's the test error goes from 0.500 to 0.300 and $R_f$ from 0.1 to 0.4" in text
    )
    assert "(geometric means, 4 networks)" in text and "errs less holds" in text
    assert "has been trained yet" in tables.widths_in_words(rows.iloc[:0]).format(error=told, R=told)


def test_a_fall_is_from_the_first_point_to_the_last():
    """R ends above its start, below all points between; G ends below it, and has half of its fall at the first step."""
    rows = made_up(3, R=(0.5, 1.0, 1.0, 1.0, 0.6), G=(1.0, 0.2, 0.2, 0.2, 0.1), error=(0.9, 0.9, 0.9, 0.4, 0.4))
    shares = {q: claims.falls_first(rows, first=q, second="test_error", seed=0) for q in ("R_median", "G_median")}
    assert (shares["R_median"].estimate, shares["G_median"].estimate) == (0, 1)
    assert shares["G_median"].n == 3 and 0.4 < shares["G_median"].low < 0.5


def test_every_claim_can_hold_and_fail():
    good = made_up(16, R=(1.0, 0.2, 0.2, 0.2, 0.1), error=(0.9, 0.9, 0.6, 0.6, 0.3), G=(1, 0.2, 0.2, 0.2, 0.3))
    bad = made_up(R=(1.0, 1.0, 1.0, 0.1, 0.2), error=(0.9, 0.3, 0.3, 0.4, 0.3), G=(0.1, 1, 1, 0.5, 0.4))
    wide = [
        made_up(6, width=w, R=(1, 1, 1, 1, 0.3 * w**a), error=(0.9, 0.9, 0.9, 0.9, 0.4 * w**b))
        for a, b in ((0.2, -0.1), (-0.2, 0.1))
        for w in (0.125, 0.25)
    ]
    rows = {"trajectories": (good, bad), "widths": (pd.concat(wide[:2]), pd.concat(wide[2:]))}
    ours = [claim for claim in ledger.claims() if claim.folder in rows and not claim.retired]
    assert len(ours) == 7
    for claim in ours:
        verdicts = [claim.judge({claim.folder: table}, "laptop")["verdict"] for table in rows[claim.folder]]
        assert verdicts == ["holds", "fails"], claim.id


# Figures -----------------------------------------------------------------------------------------------


def test_figures_draw_the_points():
    rows = pd.concat([made_up(2), made_up(2).assign(augment=True)])
    panels = figures.along(rows).axes
    assert [ax.get_ylabel() for ax in panels] == list(figures.QUANTITIES.values())
    assert panels[2].lines[0].get_ydata().tolist() == [0.5, 0.25, 0.25, 0.2] and len(panels[2].lines) == 2
    path = figures.plane(rows).axes[0].lines
    assert path[0].get_ydata().tolist() == [0.9, 0.6, 0.4, 0.4] and path[0].get_xdata()[-1] == 0.2
    wide = pd.concat([made_up(2, width=w, R=(1, 1, 1, 1, w)) for w in (0.25, 0.5)])
    drawn = figures.by_width(wide)
    assert drawn.axes[1].lines[1].get_ydata() == pytest.approx([0.25, 0.5])
    assert [text.get_text() for text in drawn.axes[1].get_xticklabels()] == ["1/4", "1/2"]


@pytest.mark.parametrize("draw", [figures.along, figures.plane, figures.by_width])
def test_figures_say_that_there_is_nothing(draw):
    assert any("no networks" in text.get_text() for text in draw(pd.DataFrame()).axes[0].texts)


def test_a_rise_of_R_is_no_fall_however_early():
    epochs, error = [0.0, 1.0, 2.0, 4.0], [0.9, 0.9, 0.5, 0.3]
    falling, rising, late = [1.0, 0.3, 0.2, 0.2], [1.0, 4.0, 4.0, 4.0], [1.0, 1.0, 1.0, 0.2]
    lines = []
    for seed, R in enumerate((falling, rising, late, falling)):
        unit = dict.fromkeys(tables.UNIT, 0) | {
            "architecture": "lenet",
            "recipe": "step",
            "augment": False,
            "seed": seed,
        }
        lines.append({**unit, "kind": "training", "status": "ok"})
        for values in zip(epochs, error, R, strict=True):
            point = dict(zip(("epoch", "test_error", "R_median"), values, strict=True))
            lines.append({**unit, **dict.fromkeys(tables.MEASURED, 1.0), "kind": "point", **point})
    rows = pd.DataFrame(lines)
    found = claims.falls_first(rows, first="R_median", second="test_error", seed=0)
    assert found.estimate == 0.5 and len(found.units) == 4


def test_the_text_follows_the_rows():
    """Architectures are those with rows; what is declared and has none is said to be missing."""
    some = made_up(2)
    both = tables.kinds_in_words(some, ["vgg11_bn", "cifar_resnet20", "cifar_resnet20"])
    assert "one kind of network is" in both and "(VGG11bn); a residual one (ResNet20) is declared" in both
    all_there = tables.kinds_in_words(pd.concat([some, some.assign(architecture="cifar_resnet20")]), ["vgg11_bn"])
    assert all_there.startswith("So two kinds of network are") and all_there.endswith("residual one (ResNet20).")
