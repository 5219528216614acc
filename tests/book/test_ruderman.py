"""The study of paper C: what a unit trains on, matched twins, rows, tables, claims and figures."""

import dataclasses
import math

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from relbook import papers, registry, scales
from relbook.studies.ruderman import figures, tables
from relbook.studies.ruderman import study as ruderman
from relstab import data
from relstab.diffeo import thin_plate
from relstab.models.conv8 import DOWNSAMPLINGS

SMALL = ruderman.Network("tiny", "fashion-mini", "conv8_max", 0.0625, 1, train_size=200, augment=False)
TEMPLATES = ruderman.Templates("tiny", "fashion-mini", "conv8_average", 0.0625, 1, strength=2.0, classes=5, per_class=8)


def of(rows, kind):
    return pd.DataFrame([row for row in rows if row["kind"] == kind])


@pytest.fixture(scope="module")
def rows():
    return SMALL.run()


def test_every_layer_is_measured_in_every_way_before_and_after(rows):
    assert [row["kind"] for row in rows].count("training") == 1
    for stage in ("init", "trained"):
        for kind in ("cosine", "relative"):
            depths = of(rows, kind).loc[lambda table, stage=stage: table["stage"] == stage, "depth"]
            assert depths.tolist() == list(range(14)), "the image, C's twelve layers, the logits"
        filters = of(rows, "filters").loc[lambda table, stage=stage: table["stage"] == stage]
        assert filters["depth"].tolist() == [1, 2, 4, 5, 7, 8, 10, 11] and set(filters["size"]) == {3}
    assert of(rows, "relative")["R"].notna().all() and of(rows, "cosine")["sensitivity"].gt(0).all()


def test_the_image_itself_is_measured_as_by_hand(rows):
    images = SMALL.normalise(SMALL.probes(128)).flatten(1).double()
    moved = thin_plate.deform(SMALL.probes(128), points=3, maximum=2.0, generator=ruderman.seeded("thin plate"))
    moved = SMALL.normalise(moved).flatten(1).double()
    distance = 1 - torch.cosine_similarity(images, moved)
    pairs = 1 - torch.cosine_similarity(images[:, None], images[None], dim=2)
    expected = distance.mean() / pairs[torch.triu(torch.ones(128, 128), 1) > 0].quantile(0.5)
    measured = of(rows, "cosine").query("depth == 0")["sensitivity"]
    assert measured.tolist() == pytest.approx([expected.item()] * 2, rel=1e-4)


def test_a_run_repeats_bitwise(rows):
    def numbers(rows):
        return pd.DataFrame(rows).drop(columns=["seconds"])

    pd.testing.assert_frame_equal(numbers(SMALL.run()), numbers(rows))


def test_strided_convolutions_are_rows_of_size_two():
    net = dataclasses.replace(SMALL, architecture="conv8_strided_relu")
    filters = of(net.run(), "filters")
    assert filters[filters["size"] == 2]["depth"].tolist() == [3, 6, 9, 12] * 2
    assert filters[filters["size"] == 2]["gamma_0"].isna().all()


def test_twins_share_everything_but_the_labels():
    random = dataclasses.replace(SMALL, labels="random")
    (real_train, real_test), (random_train, random_test) = SMALL.splits(), random.splits()
    assert torch.equal(real_train.images, random_train.images)
    assert torch.equal(real_test.labels, random_test.labels), "the test labels are the true ones"
    agree = (real_train.labels == random_train.labels).double().mean()
    assert 0.02 < agree < 0.2
    assert random_train.labels.bincount(minlength=10).min() > 5
    again = random.splits()[0].labels
    other = dataclasses.replace(random, seed=1).splits()[0].labels
    assert torch.equal(again, random_train.labels) and not torch.equal(other, again)
    assert random.recipe() == SMALL.recipe()


@pytest.mark.parametrize("scale", scales.SCALES)
def test_every_random_network_of_the_table_has_a_twin(scale):
    units = [unit for unit in ruderman.configs(scale) if isinstance(unit, ruderman.Network)]
    random = [unit for unit in units if unit.labels == "random"]
    assert random and {dataclasses.replace(unit, labels="real") for unit in random} <= set(units)
    assert all(not unit.augment and unit.weight_decay == 0 for unit in random)


def test_real_networks_of_the_larger_scales_are_all_five_kinds():
    for scale in scales.SCALES[1:]:
        units = [unit for unit in ruderman.configs(scale) if isinstance(unit, ruderman.Network)]
        for task in ("real", "random"):
            seeds = {unit.seed for unit in units if unit.labels == task}
            kinds = {(unit.architecture, unit.seed) for unit in units if unit.labels == task}
            assert kinds == {(f"conv8_{name}", seed) for name in DOWNSAMPLINGS for seed in seeds} and len(seeds) > 1


def test_unknown_labels(unchecked):
    with pytest.raises(ValueError, match="labels is 'wrong'; it must be one of real, random"):
        dataclasses.replace(SMALL, labels="wrong").splits()


def test_templates_are_copies_of_the_same_pictures():
    train, test = TEMPLATES.splits()
    pictures = TEMPLATES.pictures()
    assert len(train) == 40 and len(test) == 40
    still = dataclasses.replace(TEMPLATES, strength=0.0)
    for split in still.splits():
        assert torch.equal(split.images, pictures[split.labels])
    assert not torch.equal(train.images, test.images)
    near = (train.images - pictures[train.labels]).square().sum()
    far = (train.images - pictures[(train.labels + 1) % 5]).square().sum()
    assert near < far / 2


def test_templates_run():
    found = {row["kind"] for row in TEMPLATES.run()}
    assert found == {"training", "cosine", "relative", "filters"}


def test_smoothed_networks_at_zero_are_the_untrained_ones():
    unit = ruderman.Smoothed("tiny", "fashion-mini", "conv8_max", 0.0625, (0.0, 1.0))
    frame = of(unit.run(), "cosine")
    untrained = of(SMALL.run(), "cosine").query("stage == 'init'")["sensitivity"]
    assert frame[frame["sigma"] == 0]["sensitivity"].tolist() == pytest.approx(untrained.tolist(), rel=1e-3)
    assert set(frame["sigma"]) == {0.0, 1.0}


# --- tables and claims on rows with known answers ------------------------------------------------


def network(architecture, seed, sensitivities, tv, *, labels="real", weight_decay=5e-4, status="ok", **more):
    """Rows of one network: last-layer sensitivities and filter roughness, (untrained, trained)."""
    shared = {
        "architecture": f"conv8_{architecture}",
        "seed": seed,
        "labels": labels,
        "weight_decay": weight_decay,
        **more,
    }
    rows = [
        {**shared, "kind": "training", "status": status, "train_error": 0.0, "test_error": 0.1, "trained_epochs": 3}
    ]
    for stage, value, rough in zip(("init", "trained"), sensitivities, tv, strict=True):
        rows += [
            {**shared, "kind": "cosine", "stage": stage, "depth": depth, "sensitivity": value} for depth in range(14)
        ]
        rows += [
            {**shared, "kind": "filters", "stage": stage, "depth": depth, "size": 3, "tv": rough, "tv_pooled": rough}
            for depth in (1, 2, 4, 5, 7, 8, 10, 11)
        ]
        rows.append({**shared, "kind": "filters", "stage": stage, "depth": 3, "size": 2, "tv": 9.0, "tv_pooled": 9.0})
    return rows


def made(**changes):
    """Five downsamplings, two seeds, real, matched and random; spreads .2 -> .02, .04 and .08."""
    rows = []
    for seed in (0, 1):
        for step, name in zip((3, 2, 1, 4, 5), DOWNSAMPLINGS, strict=True):
            rows += network(name, seed, (0.1 * step, 0.1 + 0.01 * step), (1.87, 1.7 + 0.001 * step))
            twin = {"weight_decay": 0.0}
            rows += network(name, seed, (0.1 * step, 0.1 + 0.02 * step), (1.87, 1.7 + 0.01 * step), **twin)
            rows += network(
                name,
                seed,
                (0.1 * step, 0.2 + 0.04 * step + 0.001 * seed),
                (1.87, 1.7 + 0.03 * step),
                labels="random",
                **twin,
            )
    return pd.DataFrame(rows)


def measured(name, rows):
    return papers.by_id(name)[0].measured({"ruderman": rows}).estimate


def test_spreads_and_claims_of_made_rows():
    rows = made()
    deviation = math.sqrt(2.5)  # of 1, 2, 3, 4, 5
    assert tables.spread(rows, "real", "init") == pytest.approx(0.1 * deviation)
    assert measured("c-3-convergence", rows) == pytest.approx(0.1)
    assert measured("c-3-pooling-helps-at-start", rows) == pytest.approx(1.5)
    assert measured("c-3-early-layers", rows) == pytest.approx(0.13 / 0.3)
    assert measured("c-3-throughout", rows) == pytest.approx(0.1)
    assert measured("c-3-errors", rows) == 1
    assert measured("c-6-random-stability", rows) == pytest.approx(1, abs=1e-3)
    assert measured("c-7-no-convergence", rows) == pytest.approx(2)
    assert measured("c-6-random-labels", rows) == pytest.approx(3)
    assert measured("c-7-seeds", rows) == pytest.approx(0.001 / math.sqrt(2) / (0.04 * deviation))
    assert measured("c-6-smoother", rows) == pytest.approx(0.17 - 0.003)
    assert measured("c-6-every-network", rows) == 1
    assert measured("c-6-similar", rows) == pytest.approx(1.705 / 1.701)
    assert 3 not in tables.smoothness(rows, "real", "trained").columns, "strided filters are 2 x 2"


def test_errors_are_the_largest_over_the_smallest_with_real_labels():
    rows = made()
    training, real = rows["kind"].eq("training"), rows["labels"].eq("real") & rows["weight_decay"].gt(0)
    rows.loc[training & real & rows["architecture"].eq("conv8_max"), "test_error"] = 0.12
    rows.loc[training & ~real & rows["architecture"].eq("conv8_average"), "test_error"] = 0.9
    assert measured("c-3-errors", rows) == pytest.approx(1.2)


def test_stability_with_and_without_pooling_changes_up_or_down():
    """Untrained 0.1 to 0.5 by downsampling, trained 0.11 to 0.15: the change of average and max pooling."""
    step = dict(zip(DOWNSAMPLINGS, (3, 2, 1, 4, 5), strict=True))
    factors = [0.1 * step[name] / (0.1 + 0.01 * step[name]) for name in ("average", "max")]
    expected = math.exp(sum(abs(math.log(factor)) for factor in factors) / 2)
    (claim,) = papers.by_id("c-3-with-pooling")
    found = claim.measured({"ruderman": made()})
    assert found.n == 4 and found.estimate == pytest.approx(expected)


def test_a_missing_downsampling_is_not_judged():
    rows = made()
    rows = rows[rows.architecture != "conv8_strided"]
    for name in ("c-3-convergence", "c-7-no-convergence", "c-6-random-labels"):
        assert math.isnan(measured(name, rows))


def test_two_seeds_of_a_downsampling_say_nothing_about_seeds():
    (claim,) = papers.by_id("c-7-seeds")
    found = claim.measured({"ruderman": made()})
    assert not found.enough and found.n == 2 and found.what == "seeds of a downsampling"


def test_trained_networks_fit_random_labels_in_the_made_rows():
    """A prerequisite of C Fig. 7; of the published networks it is the training error in `tables.errors`."""
    assert tables.errors(made()).set_index("task").loc["random", "train_error"].max() == 0


def test_a_collapsed_network_is_left_out_and_counted():
    bad = network("max", 2, (9.0, 9.0), (9.0, 9.0), status="collapsed")
    rows = pd.concat([made(), pd.DataFrame(bad)], ignore_index=True)
    assert tables.failed(rows) == 1
    assert tables.profiles(rows, "real", "trained").loc["max", 12] == pytest.approx(0.12)


def test_strengths():
    rows = [
        row | {"strength": c}
        for c, tv in ((1.0, 1.8), (2.0, 1.75), (3.0, 1.6), (4.0, 1.2))
        for row in network("max", 0, (0.5, 0.4), (1.87, tv))
    ]
    frame = pd.DataFrame(rows)
    assert measured("c-5-strength", frame) == pytest.approx(-1)
    assert measured("c-5-every-layer", frame) == 1
    rougher = frame.assign(tv=frame["tv"].mask(frame["depth"].eq(8) & frame["stage"].eq("trained"), 1.9))
    assert measured("c-5-every-layer", rougher) == pytest.approx(7 / 8)
    assert tables.profiles(frame, "real", "trained").empty, "templates are a task of their own"


def test_smoothing():
    def blurred(values):
        lines = zip((0.0, 1.0, 2.0), values, strict=True)
        return pd.DataFrame([
            {"kind": "cosine", "architecture": f"conv8_{name}", "seed": 0, "stage": "init", "sigma": s, "depth": d,
             "sensitivity": v}
            for s, v in lines for d in range(14) for name in DOWNSAMPLINGS
        ])  # fmt: skip

    assert measured("c-4-smooth-filters", blurred((0.8, 0.4, 0.3))) == pytest.approx(0.75)
    assert measured("c-4-smooth-filters", blurred((0.8, 0.4, 0.5))) == pytest.approx(1.25)


def test_no_rows_no_number():
    chosen = [claim for claim in papers.ledger() if claim.studies == ("ruderman",)]
    assert all(math.isnan(claim.measured({"ruderman": pd.DataFrame()}).estimate) for claim in chosen)


def test_unknown_task():
    with pytest.raises(ValueError, match="task is 'other'; it must be one of real, matched"):
        tables.chosen(made(), "other", "cosine")


FIGURES = ("stability", "labels", "smoothing", "strengths", "smoothness")


@pytest.mark.parametrize("name", FIGURES)
def test_figures_draw_with_all_rows_and_with_none(name):
    for rows in (made(), pd.DataFrame()):
        assert isinstance(getattr(figures, name)(rows), Figure)


def test_lines_of_the_figure_are_the_means():
    trained = figures.stability(made()).axes[1]
    line = next(line for line in trained.lines if line.get_label() == "max")
    assert line.get_ydata() == pytest.approx([0.12] * 13)


def test_the_study_is_known():
    assert "ruderman" in registry.names() and data.digest("fashion-mini") in SMALL.data_digest()


@pytest.mark.parametrize(("power", "expected"), [(1.0, 1.0), (-1.0, -1.0)])
def test_euclidean_distances_are_compared_layer_by_layer(power, expected):
    """D_k a power of the cosine sensitivity; the image, layer 0, and the logits are left out."""
    rows = made()
    rows.loc[rows["kind"] == "cosine", "sensitivity"] *= 1 + rows["depth"]
    cosine = rows[(rows["kind"] == "cosine") & (rows["stage"] == "trained")]
    other = cosine.assign(kind="relative", D=cosine["sensitivity"] ** power)
    other.loc[other["depth"].isin([0, 13]), "D"] = 99.0
    assert measured("c-3-euclidean", pd.concat([rows, other])) == pytest.approx(expected)
    assert math.isnan(measured("c-3-euclidean", rows))


def test_filters_get_rougher_or_smoother_with_depth():
    rows = made()
    trained = (rows["kind"] == "filters") & (rows["stage"] == "trained")
    for sign in (1, -1):
        rows.loc[trained, "tv"] = 1 + sign * 0.01 * rows["depth"]
        assert measured("c-6-rank", rows) == pytest.approx(sign)
