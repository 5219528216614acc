"""Deep networks on scale detection: pictures, one unit from training to rows, tables, figures and claims."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from relbook import papers, scales
from relbook.studies.scale_detection_2d import figures, study, tables
from relstab import models, store
from relstab.store import records

SMALL = study.Network(scale="tiny", architecture="lenet", width=1.0, epochs=3, train=64, test=40, probes=20)


@pytest.fixture(scope="module")
def rows():
    """Rows of a small VGG and a LeNet, as the store gives them."""
    vgg = replace(SMALL, architecture="vgg11_bn", width=0.0625, epochs=10, train=256, shuffles=2)
    frame = pd.DataFrame([vars(unit) | row for unit in (vgg, SMALL) for row in unit.run()])
    frame.attrs["scale"] = "tiny"
    return frame


@pytest.mark.parametrize("scale", scales.SCALES)
def test_every_unit_is_one_that_can_run(scale):
    units = study.configs(scale)
    assert len({records.settings_hash(unit) for unit in units}) == len(units)
    assert {unit.architecture for unit in units} <= set(models.names())
    assert all(unit.scale == scale and unit.cost_minutes > 0 for unit in units)
    assert len({unit.architecture for unit in units}) >= (tables.ENOUGH if scale == "tiny" else 8)


def test_pictures_are_pairs_of_pixels_labelled_by_their_distance():
    train, test, (clean, deformed, noisy) = study.pictures(SMALL)
    for split, count in ((train, 64), (test, 40)):
        assert split.images.shape == (count, 1, 32, 32)
        assert split.labels.double().mean() == 0.5
        for image, label in zip(split.images, split.labels, strict=True):
            first, second = image[0].nonzero()
            distance = float((first - second).double().norm())
            assert distance < 13 if label else distance >= 15
    assert len(set(map(str, train.images.nonzero().tolist()))) > 64  # not one picture many times
    assert not {bytes(i.numpy()) for i in train.images} & {bytes(i.numpy()) for i in test.images}
    assert torch.allclose((noisy - clean).flatten(1).norm(dim=1), (deformed - clean).flatten(1).norm(dim=1))
    assert torch.allclose(deformed.sum((1, 2, 3)), clean.sum((1, 2, 3)))
    assert (deformed != clean).any()
    assert torch.equal(clean, torch.stack([test.images[i] for i in (0, 20, 1, 21)] + list(clean[4:])))


def test_networks_of_one_seed_see_the_same_pictures():
    first, second = (study.pictures(replace(SMALL, architecture=name)) for name in ("lenet", "fc_l2"))
    assert torch.equal(first[0].images, second[0].images)
    assert torch.equal(first[2][2], second[2][2])
    assert not torch.equal(first[0].images, study.pictures(replace(SMALL, seed=1))[0].images)


def test_rows_of_a_unit(rows):
    vgg = rows[rows["architecture"] == "vgg11_bn"]
    training = vgg[vgg["kind"] == "training"].iloc[0]
    assert 0 <= training["test_error"] < 0.45
    table = vgg[(vgg["kind"] == "sensitivity") & (vgg["statistic"] == "mean")]
    assert table.groupby(["stage", "shuffle"]).size().tolist() == [10, 10, 10, 10]  # input, 8 ReLUs, output
    assert np.allclose(table.loc[table["layer"] == "input", "R"], 1, rtol=1e-5)
    assert sorted(vgg.loc[vgg["kind"] == "modes", "depth"].unique()) == list(range(1, 9))
    assert set(rows.loc[rows["architecture"] == "lenet", "kind"]) == {"training", "sensitivity"}


def test_a_killed_unit_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("relstab.train.loop.CHECKPOINT_SECONDS", 0.0)

    def numbers(unit, **options):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in unit.run(**options)]

    class Killed(Exception):
        pass

    def kill(line):
        if line.startswith("epoch 2/"):
            raise Killed

    with pytest.raises(Killed):
        SMALL.run(workspace=tmp_path, progress=kill)
    epochs = []
    resumed = numbers(SMALL, workspace=tmp_path, progress=epochs.append)
    assert len(epochs) == 1
    assert resumed == numbers(SMALL)
    records.build(SMALL, "0" * 64, resumed, {})


def test_stored_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path))
    first = store.get_or_run([SMALL])
    monkeypatch.setattr(study.Network, "run", None)
    pd.testing.assert_frame_equal(store.get_or_run([SMALL]), first)


def _made(errors, values):
    """Training and output rows of several networks with given errors, D = R and G = 1 / R."""
    lines = []
    for (name, width), error, value in zip(errors, errors.values(), values, strict=True):
        unit = {"architecture": name, "width": width, "epochs": 1, "seed": 0, "test": 100, "status": "ok"}
        lines.append(unit | {"kind": "training", "test_error": error})
        for stage, statistic in (("trained", "mean"), ("init", "mean"), ("trained", "median")):
            lines.append(unit | {"kind": "sensitivity", "stage": stage, "statistic": statistic, "shuffle": -1,
                                 "layer": "output", "depth": 1, "relative_depth": 1.0, "D": value, "G": 1 / value,
                                 "R": value})  # fmt: skip
    return pd.DataFrame(lines)


def test_one_point_an_architecture_at_the_common_width_and_a_floor_for_no_errors():
    errors = {("fc_l2", 1): 0.5, ("fc_l4", 1): 0.4, ("lenet", 1): 0.1, ("vgg11_bn", 0.25): 0.0,
              ("vgg11_bn", 0.5): 0.3, ("vgg13_bn", 0.25): 0.01, ("resnet10", 0.25): 0.02}  # fmt: skip
    table = tables.compared(_made(errors, [0.5, 0.4, 0.1, 0.005, 9.0, 0.01, 0.02]))
    assert len(table) == 6
    assert set(table.loc[table["architecture"] == "vgg11_bn", "width"]) == {0.25}
    assert table["error"].min() == pytest.approx(0.005)  # half a picture of 100
    made = _made(errors, [0.5, 0.4, 0.1, 0.005, 9.0, 0.01, 0.02])
    assert tables.error_correlation(made, "R") == pytest.approx(1)
    assert tables.error_correlation(made, "G") == pytest.approx(-1)
    assert tables.compared(made[made["architecture"] != "lenet"]).empty


def test_a_collapsed_network_is_listed_and_left_out():
    made = _made({("fc_l2", 1): 0.5, ("vgg11", 0.25): 0.5}, [1.0, 2.0])
    made.loc[made["architecture"] == "vgg11", "status"] = "collapsed"
    made["train_loss"] = 1.0
    assert tables.failures(made)["architecture"].tolist() == ["vgg11"]
    assert set(tables.measured(made)["architecture"]) == {"fc_l2"}


def test_shuffling_compares_layer_by_layer(rows):
    ratios = tables.shuffling(rows)
    assert ratios["depth"].tolist() == list(range(1, 10))
    assert np.allclose(
        ratios.loc[0, ["D", "G", "R"]].astype(float), 1
    )  # one input channel: nothing to shuffle
    assert tables.shuffling(rows[rows["architecture"] == "lenet"]).empty


def test_the_error_is_drawn_against_D_G_and_R():
    errors = {("fc_l2", 1): 0.5, ("fc_l4", 1): 0.4, ("lenet", 1): 0.1, ("vgg11_bn", 0.25): 0.2, ("vgg13_bn", 0.25): 0.05,
              ("resnet10", 0.25): 0.02}  # fmt: skip
    values = list(errors.values())
    axes = figures.error_scatter(_made(errors, values)).axes
    for ax, across in zip(axes, (values, [1 / value for value in values], values), strict=True):
        points = sorted(tuple(line.get_xydata()[0]) for line in ax.lines)
        assert points == [pytest.approx(point) for point in sorted(zip(across, errors.values(), strict=True))]
    assert [ax.get_xlabel().split()[-1] for ax in axes] == ["1.00", "-1.00", "1.00"]


def test_profiles_and_shuffling_are_those_of_the_tables(rows):
    profile = tables.main_profile(rows, "vgg11_bn", "trained")
    profile = profile[profile["depth"] > 0]
    ratios = tables.shuffling(rows)
    for figure, table in (
        (figures.depth_profiles(rows), profile),
        (figures.shuffling_by_width(rows), ratios),
    ):
        for ax, quantity in zip(figure.axes, "DGR", strict=True):
            expected = table[["relative_depth", quantity]].astype(float).to_numpy()
            drawn = [line.get_xydata() for line in ax.lines if len(line.get_xydata()) == len(expected)]
            assert any(np.allclose(points, expected) for points in drawn), quantity


def test_modes_are_drawn_by_layer(rows):
    table = tables.growth(rows, "vgg11_bn")
    for ax, (_, layer) in zip(figures.mode_growth(rows).axes, table.groupby("depth"), strict=False):
        drawn = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
        for eigenvalue, line in layer.groupby("eigenvalue"):
            assert drawn[f"λ = {eigenvalue}"] == pytest.approx(line["growth"].tolist())


@pytest.mark.parametrize("name", ["error_scatter", "depth_profiles", "shuffling_by_width", "mode_growth"])
def test_where_nothing_is_to_be_shown_nothing_is_drawn(rows, name):
    figure = getattr(figures, name)(rows[rows["architecture"] == "lenet"])
    assert not any(ax.lines for ax in figure.axes) and any(ax.texts for ax in figure.axes)


def test_every_claim_can_be_judged(rows):
    chosen = [claim for claim in papers.ledger() if claim.studies == ("scale_detection_2d",)]
    verdicts = papers.evaluate(chosen, scale="tiny", rows={"scale_detection_2d": rows}).set_index("id")[
        "verdict"
    ]
    assert verdicts["a-6-convolutional-R"] == "not tested"  # two networks
    profiles = verdicts[["a-7-R-falls", "a-7-G-rises", "a-7-first-part", "a-7-shuffled-D"]]
    assert set(profiles) == {"undecided"}  # one seed
    assert verdicts["a-4-row-2-layers-3-4"] == "undecided"


def test_filters_are_taken_at_each_seeds_own_end(rows):
    """Seeds stop at different epochs; the common ones alone would end too early."""
    from relbook.studies.scale_detection_2d import claims

    later = rows[rows["kind"] == "modes"].assign(seed=1)
    gammas = [name for name in later if name.startswith("gamma_")]
    later.loc[later["epoch"] > 0, "epoch"] += 7
    end = later["epoch"] == later["epoch"].max()
    later.loc[end, gammas] = 1.0
    later.loc[end, "gamma_0"] = 50.0
    other = rows[rows["kind"] != "modes"].assign(seed=1)
    both = pd.concat([rows, other, later])
    growth = claims._growth(both)
    assert set(growth) == {"vgg11_bn, seed 0", "vgg11_bn, seed 1"}
    assert not np.allclose(growth["vgg11_bn, seed 0"], growth["vgg11_bn, seed 1"])
