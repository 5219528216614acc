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
    return pd.DataFrame([vars(unit) | row for unit in (vgg, SMALL) for row in unit.run()])


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
    assert np.allclose(ratios.loc[0, ["D", "G", "R"]].astype(float), 1)  # one input channel: nothing to shuffle
    assert tables.shuffling(rows[rows["architecture"] == "lenet"]).empty


def test_the_error_is_drawn_against_D_G_and_R():
    errors = {
        ("fc_l2", 1): 0.5,
        ("fc_l4", 1): 0.4,
        ("lenet", 1): 0.1,
        ("vgg11_bn", 0.25): 0.2,
        ("vgg13_bn", 0.25): 0.05,
        ("resnet10", 0.25): 0.02,
    }
    values = list(errors.values())
    axes = figures.error_scatter(_made(errors, values)).axes
    for ax, across in zip(axes, (values, [1 / value for value in values], values), strict=True):
        points = sorted(tuple(line.get_xydata()[0]) for line in ax.lines)
        convolutional = list(zip(across, errors.values(), strict=True))[2:]
        assert points == [pytest.approx(point) for point in sorted(convolutional)]
    assert [ax.get_xlabel().split("\n")[1:] for ax in axes] == [
        [f"all 6: {sign}1.00", f"without FC: {sign}1.00"] for sign in "+−+"
    ]
    dense = (0.5 * 0.4) ** 0.5
    for ax, value in zip(axes, (dense, 1 / dense, dense), strict=True):
        assert [text.get_text() for text in ax.texts if text.get_text()] == [f"2 FC at {value:.2g},\nerror 0.45"]


def test_profiles_and_shuffling_are_those_of_the_tables(rows):
    profile = tables.main_profile(rows, "vgg11_bn", "trained")
    ratios = tables.shuffling(rows)
    drawn = figures.depth_profiles(rows)
    first = drawn.axes[:: len(drawn.axes) // 3]
    assert first[0].get_title().startswith("VGG11bn")
    for panels, table in ((first, profile), (figures.shuffling_by_width(rows).axes, ratios)):
        for ax, quantity in zip(panels, "DGR", strict=True):
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
    verdicts = papers.evaluate(chosen, scale="tiny", rows={"scale_detection_2d": rows}).set_index("id")["verdict"]
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


SIX = {("fc_l2", 1): 0.5, ("fc_l4", 1): 0.4, ("lenet", 1): 0.1, ("vgg11_bn", 0.25): 0.02, ("vgg13_bn", 0.25): 0.01,
       ("resnet10", 0.25): 0.04}  # fmt: skip


def test_R_is_compared_with_the_better_of_D_and_G():
    """log R = log error for all; D is turned into noise of zero correlation, G = D / R."""
    from relbook.studies.scale_detection_2d import claims

    made = _made(SIX, list(SIX.values()))
    assert claims.margin(made, families="all", seed=0).estimate == pytest.approx(0, abs=1e-9)  # D = R
    free = made.assign(D=1.0 + made["architecture"].isin(["fc_l2", "vgg13_bn"]), G=1.0 + made["R"] % 0.03)
    found = claims.margin(free, families="all", seed=0)
    assert 0 < found.estimate < 1 and found.n == 6
    assert claims.margin(free, seed=0).n == 4


def test_errors_are_compared_architecture_by_architecture():
    from relbook.studies.scale_detection_2d import claims

    made = _made(SIX, list(SIX.values()))
    unit = {
        "dataset": "cifar10-jpeg",
        "width": 1.0,
        "train_size": 0,
        "noise": 0.0,
        "augment": True,
        "recipe": "one_cycle",
        "epochs": 10,
        "seed": 0,
        "kind": "sensitivity",
        "images": "cifar10-lossless",
        "layer": "output",
        "shuffle": -1,
        "stage": "trained",
        "statistic": "component_median",
        "displacement": 1.0,
        "cut": 3,
        "interpolation": "bilinear",
        "D": 1.0,
        "G": 1.0,
        "R": 1.0,
        "status": "ok",
    }

    def zoo(errors):
        return pd.DataFrame([unit | {"architecture": name} | more for (name, _), error in errors.items()
                             for more in ({}, {"kind": "training", "test_error": error})])  # fmt: skip

    for errors, order in (
        (SIX, 1),
        (dict(zip(SIX, sorted(SIX.values()), strict=True)), None),
        ({name: 1 / error for name, error in SIX.items()}, -1),
    ):
        found = claims.order_of_errors({"scale_detection_2d": made, "zoo": zoo(errors)}, seed=0)
        expected = order if order is not None else pd.Series(errors).corr(pd.Series(SIX), method="spearman")
        assert found.estimate == pytest.approx(expected) and found.n == 6
    turned = zoo({name: error**-2.0 for name, error in SIX.items()})
    digits = turned.assign(dataset="mnist", images="mnist", augment=False)
    published = turned.assign(dataset="cifar10-lossless", recipe="published", augment=False, width=2.0)
    for more in (digits, published):  # networks on other data, and those of others, say nothing here
        found = claims.order_of_errors({"scale_detection_2d": made, "zoo": pd.concat([zoo(SIX), more])}, seed=0)
        assert found.estimate == pytest.approx(1) and found.n == 6


def profile_of(seed, R, growth=None):
    """Rows of a VGG11bn: R_k (and D_k) at layers 0, 1, ... and the growth of the constant mode."""
    unit = {"architecture": "vgg11_bn", "width": 0.25, "epochs": 9, "seed": seed, "status": "ok", "test": 100}
    rows = [unit | {"kind": "training", "test_error": 0.1}]
    for depth, value in enumerate(R):
        probe = {"kind": "sensitivity", "stage": "trained", "statistic": "mean", "shuffle": -1, "layer": f"l{depth}"}
        place = {"depth": depth, "relative_depth": depth / (len(R) - 1)}
        rows.append(unit | probe | place | {"D": value, "G": 1.0, "R": value})
    for epoch in (0, 9) if growth else ():
        for depth, value in enumerate(growth, start=1):
            gammas = {f"gamma_{mode}": 1.0 if mode or not epoch else value for mode in (0, 1, 2, 3, 4, 6)}
            rows.append(unit | {"kind": "modes", "epoch": epoch, "layer": f"l{depth}", "depth": depth, **gammas})
    return rows


def test_ranks_with_depth_leave_the_picture_out():
    from relbook.studies.scale_detection_2d import claims

    rows = pd.DataFrame([row for seed in (0, 1) for row in profile_of(seed, (0.1, 1.0, 0.5, 0.25))])
    found = claims.rank_with_depth(rows, quantity="D", seed=0)
    assert found.estimate == pytest.approx(-1) and found.units == ("vgg11_bn, seed 0", "vgg11_bn, seed 1")


def test_profiles_are_of_one_architecture_stage_and_statistic():
    """R of VGG11bn falls by 8 from layer 1 to the last; shuffled it moves by 2 in each layer; nothing else enters."""
    from relbook.studies.scale_detection_2d import claims

    rows = pd.DataFrame([row for seed in (0, 1, 2) for row in profile_of(seed, (9.0, 8, 4, 1))])
    probes = rows[rows["kind"] == "sensitivity"]
    factor = probes["depth"].map({0: 1.0, 1: 2.0, 2: 0.5, 3: 2.0})
    shuffled = probes.assign(shuffle=0, R=probes["R"] * factor)
    turned = probes.assign(R=1 / probes["R"], G=probes["depth"] + 1.0)
    decoys = [turned.assign(**{name: value}) for name, value in (("stage", "init"), ("statistic", "component_median"))]
    other = rows.assign(architecture="alexnet", R=99.0 ** rows["depth"].fillna(0))
    made = pd.concat([rows, shuffled, *decoys, other])
    assert claims.last_over_first(made, quantity="R", seed=0).estimate == pytest.approx(1 / 8)
    assert claims.last_over_first(made, quantity="G", seed=0).estimate == pytest.approx(1)
    assert claims.early_share(made, seed=0).estimate == pytest.approx(np.log(8 / np.sqrt(32)) / np.log(8))
    found = claims.shuffled(made, quantity="R", seed=0)
    assert found.estimate == pytest.approx(2) and found.n == 3


@pytest.mark.parametrize(("growth", "rank"), [((1, 2, 4, 8), 1.0), ((8, 8, 4, 2), -1.0)])
def test_low_modes_grow_where_R_falls(growth, rank):
    """R falls by factors 2, 4, 8 at layers 2, 3 and 4."""
    from relbook.studies.scale_detection_2d import claims

    rows = pd.DataFrame([row for seed in (0, 1, 2) for row in profile_of(seed, (9.0, 64, 32, 8, 1), growth)])
    found = claims.growth_where_R_falls(rows, seed=0)
    assert found.estimate == pytest.approx(rank) and found.n == 3


def test_growth_is_over_the_other_modes_of_the_same_architecture():
    """The constant mode grows fourfold, one pair of others threefold: 4 over (2·3 + 1 + 2 + 2 + 1)/8."""
    from relbook.studies.scale_detection_2d import claims

    rows = pd.DataFrame([row for seed in (0, 1, 2) for row in profile_of(seed, (9.0, 8, 4, 1), (4.0, 4.0, 4.0))])
    rows.loc[rows["kind"].eq("modes") & rows["epoch"].eq(9) & rows["gamma_0"].gt(1), "gamma_1"] = 3.0
    other = rows.assign(architecture="alexnet", gamma_0=rows["gamma_0"] ** 3)
    wide = rows[rows["seed"].eq(0)].assign(width=1.0, gamma_0=99.0 * rows["gamma_0"])
    found = claims.low_modes(pd.concat([rows, other, wide]), layers=[1, 3], seed=0)
    assert found.estimate == pytest.approx(4 / 1.5) and found.n == 3


def test_how_bright_a_pixel_is_matters_where_there_are_biases():
    """A network without biases is homogeneous: D, G and R are those of pictures of any brightness. LeNet has biases."""
    import relstab

    pictures = study.pictures(SMALL)[1].images[:8]

    def R(model, brightness):
        found = relstab.sensitivity(
            model, brightness * pictures, layers="output", generator=torch.Generator().manual_seed(0)
        )
        return float(found["R"].iloc[-1])

    start = torch.Generator().manual_seed(0)
    model = models.build("lenet", in_channels=1, num_classes=1, image_size=32, generator=start).eval()
    dim, bright = (R(model, value) for value in (0.01, 1.0))
    assert abs(dim / bright - 1) > 0.01
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    dim, bright = (R(model, value) for value in (0.01, 1.0))
    assert dim == pytest.approx(bright, rel=1e-3)
