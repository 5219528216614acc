"""The zoo: its table of units, one unit from training to rows, and the tables and figures made of rows."""

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from relbook import registry, scales
from relbook.drawing import nets, style
from relbook.studies import datasets
from relbook.studies.zoo import figures
from relbook.studies.zoo import figures_by_layer as zoo_layers
from relbook.studies.zoo import probes as zoo_probes
from relbook.studies.zoo import study as zoo
from relbook.studies.zoo import tables as zoo_tables
from relstab import data, models, store
from relstab.store import records
from relstab.train import error_rate, recipes

SMALL = zoo.Network(
    scale="tiny", dataset="fashion-mini", architecture="vgg11_bn", width=0.0625, train_size=384, epochs=8,
    probes=40, shuffles=2, cuts=(3, 5), displacements=(0.5, 1.0, 2.0),
)  # fmt: skip
LENET = zoo.Network(scale="tiny", dataset="fashion-mini", architecture="lenet", train_size=256, epochs=4, probes=40)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Rows of two small networks, through the store, with its folder."""
    before = os.environ.get("RELSTAB_STORE")
    os.environ["RELSTAB_STORE"] = str(tmp_path_factory.mktemp("store"))
    yield store.get_or_run([SMALL, LENET])
    os.environ.pop("RELSTAB_STORE")
    if before is not None:
        os.environ["RELSTAB_STORE"] = before


# The table of units ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", scales.SCALES)
def test_every_unit_is_one_that_can_run(scale):
    units = zoo.configs(scale)
    assert len({records.settings_hash(unit) for unit in units}) == len(units)
    for unit in units:
        assert unit.scale == scale
        assert unit.architecture in models.names()
        assert unit.dataset in data.names()
        assert unit.cost_minutes > 0
        if unit.recipe == "published":
            assert unit.architecture in zoo.PUBLISHED_ERROR
        else:
            assert isinstance(unit.training(), recipes.Recipe)


def test_the_cheap_scales_are_cheap():
    assert sum(unit.cost_minutes for unit in zoo.configs("tiny")) < 3
    assert sum(unit.cost_minutes for unit in zoo.configs("laptop")) < 300


def test_a_block_is_a_product_and_steps_fix_the_epochs():
    block = {"dataset": "mnist", "train_size": [512, 1000], "seed": [0, 1], "steps": 40, "nets": (("lenet", 1),)}
    units = list(zoo.expand("tiny", block))
    assert [(unit.train_size, unit.seed, unit.epochs) for unit in units] == [
        (512, 0, 10),
        (512, 1, 10),
        (1000, 0, 5),
        (1000, 1, 5),
    ]


def test_a_misspelt_field_of_the_table_is_named():
    with pytest.raises(ValueError, match="unknown field widht"):
        list(zoo.expand("tiny", {"dataset": "mnist", "widht": 1, "nets": (("lenet", 1, 1),)}))


def test_recipe_names_reach_the_papers():
    unit = replace(LENET, recipe="b_code", epochs=250)
    assert unit.training() == recipes.paper("lenet", source="B", reading="code", augment=False)
    assert replace(unit, recipe="a_paper").training().decay == "matrices"


# One unit ----------------------------------------------------------------------------------------------


def test_rows_of_a_unit(stored):
    rows = stored[stored["architecture"] == "vgg11_bn"]
    assert len(rows) < 400
    training = rows[rows["kind"] == "training"].iloc[0]
    assert training["status"] == "ok"
    assert 0 < training["test_error"] < 0.95
    assert training["trained_epochs"] == 8
    sensitivity = rows[rows["kind"] == "sensitivity"]
    assert (sensitivity[["D", "G", "R"]] > 0).all(axis=None)
    assert np.allclose(sensitivity["R"], sensitivity["D"] / sensitivity["G"])
    profile = sensitivity[(sensitivity["stage"] == "trained") & (sensitivity["statistic"] == "mean")]
    assert profile.groupby("shuffle").size().to_dict() == {-1.0: 10, 0.0: 10, 1.0: 10}  # input, 8 ReLUs, output
    assert np.allclose(profile.loc[profile["layer"] == "input", "R"], 1, rtol=1e-5)  # same norm by construction
    sweep = sensitivity[(sensitivity["stage"] == "init") & (sensitivity["statistic"] == "component_median")]
    assert not sweep.duplicated(["displacement", "cut", "interpolation"]).any()
    assert len(sweep) == 3 * 2 * 2
    modes = rows[rows["kind"] == "modes"]
    assert modes["epoch"].min() == 0
    assert modes["epoch"].max() == 8
    assert sorted(modes["depth"].unique()) == list(range(1, 9))


def test_a_unit_gives_the_same_numbers_again_and_its_rows_can_be_stored():
    def numbers(unit):
        rows = unit.run()
        records.build(unit, "0" * 64, rows, {})
        return [{k: v for k, v in row.items() if "second" not in k} for row in rows]

    assert numbers(LENET) == numbers(LENET)
    assert numbers(LENET) != numbers(replace(LENET, seed=1))


def test_the_stored_weights_are_those_that_were_measured(stored):
    model = zoo.trained(LENET)
    split = data.load("fashion-mini").test
    found = stored.loc[(stored["kind"] == "training") & (stored["architecture"] == "lenet"), "test_error"].item()
    normalise = data.load("fashion-mini").normalise
    assert error_rate(model, split.images, split.labels, normalise=normalise) == found
    assert not model.training


def test_weights_of_a_unit_that_never_ran(stored):
    with pytest.raises(FileNotFoundError, match="run the unit first"):
        zoo.trained(replace(LENET, seed=17))


def test_a_diverged_network_is_counted_and_not_probed(monkeypatch):
    wild = recipes.Recipe(epochs=1, lr=1e30, schedule="constant")
    monkeypatch.setattr(zoo.Network, "training", lambda self: wild)
    rows = pd.DataFrame([vars(LENET) | row for row in LENET.run()])
    assert zoo_tables.failures(rows)["status"].tolist() == ["diverged"]
    assert set(rows.loc[rows["kind"] == "sensitivity", "stage"]) == {"init"}
    assert zoo_tables.measured(rows).empty
    assert zoo_tables.networks(rows).empty


def test_noisy_units_are_tested_and_probed_on_noisy_images():
    unit = replace(LENET, noise=30.0)
    images = data.load("fashion-mini").test.images[:40]
    clean = unit.normalise(images)
    noise = zoo_probes.noisy(unit, clean) - clean
    assert noise.flatten(1).norm(dim=1).mean().item() == pytest.approx(30, rel=0.02)
    assert zoo_probes.noisy(LENET, clean) is clean


# Two encodings of the same pictures --------------------------------------------------------------------


def copies(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return data.Split(images, torch.arange(count) % 5)


def test_each_picture_finds_its_lossy_copy():
    originals = copies(50)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    lossy = (originals.images.int() + torch.randint(-9, 10, originals.images.shape)).clamp(0, 255).to(torch.uint8)
    shuffled = data.Split(lossy[order], originals.labels[order])
    found = datasets.same_pictures(originals.take(range(20)), shuffled)
    assert torch.equal(found.images, lossy[:20])


def test_sets_that_do_not_match_are_refused():
    originals = copies(10)
    with pytest.raises(ValueError, match="same nearest lossy copy"):
        datasets.same_pictures(originals.take([0, 0, 1]), originals)


@pytest.mark.data
def test_the_jpeg_set_holds_the_lossless_test_images():
    try:
        originals, encoded = (data.load("cifar10-lossless").test, data.load("cifar10-jpeg", download=False).test)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    found = datasets.same_pictures(originals, encoded)
    change = (found.images.float() - originals.images.float()).square().mean().sqrt()
    assert 1 < change < 12  # grey levels; another picture of the same class is at about 60 or more


@pytest.mark.data
def test_networks_of_others_reach_their_published_error(monkeypatch):
    unit = zoo.Network(
        scale="tiny", dataset="cifar10-lossless", architecture="cifar_resnet20", recipe="published", probes=60
    )
    try:
        model = zoo.trained(unit)
        images = data.load("cifar10-lossless").test
    except FileNotFoundError as error:
        pytest.skip(str(error))
    part = images.take(range(400))
    found = error_rate(model, unit.normalise(part.images), part.labels)
    assert found == pytest.approx(0.0827, abs=0.045)  # three standard errors of 400 images


# Tables ------------------------------------------------------------------------------------------------


def test_the_law_is_recovered_with_its_correlation_and_interval():
    generator = np.random.default_rng(0)
    R = np.exp(generator.uniform(-4, 1, 40))
    found = zoo_tables.law(0.2 * np.sqrt(R) * np.exp(0.1 * generator.standard_normal(40)), R)
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found.prefactor == pytest.approx(0.2, rel=0.05)
    assert 0.9 < found.low < found.correlation < found.high < 1
    assert zoo_tables.interval(R, 0.2 * np.sqrt(R)) == pytest.approx((1, 1))


def test_a_correlation_of_two_points_is_no_number():
    assert np.isnan(zoo_tables.correlation(np.array([1, 2]), np.array([3, 4])))
    assert np.isnan(zoo_tables.correlation(np.array([1, 1, 1]), np.array([3, 4, 5])))


def test_averages_are_geometric_quantity_by_quantity():
    table = pd.DataFrame({"net": ["a", "a"], "D": [1.0, 4.0], "G": [1.0, 1.0], "R": [1.0, 9.0]})
    assert zoo_tables.geometric(table, ["net"])[["D", "G", "R", "n"]].to_numpy()[0] == pytest.approx([2, 1, 3, 2])


def test_profiles_average_shuffles_and_have_every_layer(stored):
    table = zoo_tables.profiles(stored)
    vgg = table[table["architecture"] == "vgg11_bn"]
    assert vgg.groupby("stage").size().to_dict() == {"init": 10, "shuffled": 10, "trained": 10}
    assert set(vgg.loc[vgg["stage"] == "shuffled", "n"]) == {2}


def test_growth_starts_at_one(stored):
    table = zoo_tables.growth(stored)
    assert (table.loc[table["epoch"] == 0, "growth"] == 1).all()
    assert sorted(table["eigenvalue"].unique()) == [0, 1, 2, 3, 4, 6]
    assert set(table["architecture"]) == {"vgg11_bn"}


def test_published_errors_stand_for_networks_of_others(stored):
    rows = stored[stored["architecture"] == "lenet"].copy()
    rows["published_error"] = np.where(rows["kind"] == "training", 0.0827, np.nan)
    assert zoo_tables.networks(rows)["error"].tolist() == [0.0827]


# Figures -----------------------------------------------------------------------------------------------

FROM_ROWS = [
    figures.displacement_sweep,
    lambda rows: figures.dots(rows, ["lenet", "vgg11_bn"]),
    figures.learning_curve,
    figures.error_against,
    lambda rows: figures.error_against(rows, "D"),
    figures.error_row,
    figures.by_size,
    figures.sensitivities_against_size,
    figures.trajectories,
    lambda rows: figures.error_panels(rows, {"c = 3": {}}),
    figures.encodings,
    figures.means_against_medians,
    zoo_layers.depth_profiles,
    zoo_layers.shuffled_profiles,
    zoo_layers.noise_correlations,
    zoo_layers.noise_scatter,
    zoo_layers.mode_growth,
]


@pytest.mark.parametrize("draw", FROM_ROWS)
def test_every_figure_draws_what_there_is_and_says_when_there_is_nothing(stored, draw, tmp_path):
    full = draw(stored)
    full.savefig(tmp_path / "figure.png")
    assert full.get_figwidth() <= 7
    sizes = [text.get_fontsize() for ax in full.axes for text in [*ax.texts, ax.title]]
    assert all(size >= 9 for size in sizes)
    other = stored[(stored["architecture"] == "lenet") & (stored["stage"] != "trained")]
    draw(other).savefig(tmp_path / "empty.png")


def test_error_against_R_plots_the_measured_points(stored):
    ax = figures.error_against(stored).axes[0]
    line = zoo_tables.compared(stored).iloc[0]
    points = [curve.get_xydata()[0].tolist() for curve in ax.lines if len(curve.get_xydata()) == 1]
    assert points == [pytest.approx([line["R"], line["error"]])]


def test_pooling_is_computed():
    texts = [text.get_text() for ax in zoo_layers.pooling().axes for text in ax.texts]
    assert {"2.5", "3.5", "3"} <= set(texts)  # means of the 2 x 2 windows
    assert any("5 and 3,\nmean 4" in text for text in texts) and any("3 and 5,\nmean 4" in text for text in texts)


@pytest.mark.parametrize(("low", "high"), [(0.85, 2.1), (0.02, 30), (0.29, 0.61), (1e-5, 1)])
def test_logarithmic_axes_have_a_few_numbers(low, high):
    @nets.drawn
    def draw():
        fig, axes = style.figure(1, 4)
        for ax in axes:
            ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        return fig

    ax = draw().axes[0]
    for axis, fewest in ((ax.xaxis, 2), (ax.yaxis, 3)):
        inside = [value for value in axis.get_majorticklocs() if low <= value <= high]
        assert fewest <= len(inside) <= 8


def test_names_for_people():
    assert nets.label("resnet101") == "ResNet101"
    assert nets.net("vgg13_bn", 1.0) == "VGG13bn"
    assert nets.net("vgg13_bn", 0.5) != nets.net("vgg13_bn", 0.25)
    assert nets.look("cifar_resnet20") == nets.look("resnet18")


def test_causes_compare_networks_that_differ_in_nothing_else():
    table = zoo_tables.causes(registry.shown("zoo", "laptop"))
    assert (table["pairs"] >= 1).all()
    assert (table["smallest"] <= table["median"]).all()
    assert (table["median"] <= table["largest"]).all()
    assert zoo_tables._pairs(
        pd.DataFrame({"architecture": ["a", "a", "b"], "width": [0.5, 1.0, 1.0], "R": [0.4, 0.1, 9.0]}), "width"
    ).tolist() == pytest.approx([0.25])


def test_the_sign_of_D_depends_on_the_group():
    """The finding that dissolves a contradiction: over unlike groups D falls with the error, inside one it grows."""
    table = zoo_tables.signs(registry.shown("zoo", "laptop"))
    assert table.loc["all networks", "D"] < 0 < table.loc["convolutional, trained here", "D"]
    assert table.loc["all networks", "networks"] > table.loc["convolutional, trained here", "networks"] >= 6
