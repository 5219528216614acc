"""The study `encoding`: its pairs, one unit from training to rows, its tables and the measures of its claims."""

import math
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relbook import ledger, page, registry, scales
from relbook.studies.encoding import claims, figures, study, tables
from relbook.studies.encoding.copies import ENCODINGS, loaded
from relbook.studies.encoding.study import Encoded
from relstab import data, models
from relstab.data.splits import Split
from relstab.train import TrainingSet

SMALL = Encoded(
    scale="tiny", dataset="fashion-mini", architecture="lenet", width=1.0, epochs=1, train_size=256, probes=30
)


@pytest.fixture(scope="module")
def pair():
    """The rows of an original and of its copy."""
    return [pd.DataFrame(replace(SMALL, dataset=name).run()) for name in ("fashion-mini", "fashion-mini-jpeg75")]


# Pairs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", scales.SCALES)
def test_every_network_has_a_twin_on_originals(scale):
    units = set(study.configs(scale))
    for unit in units:
        assert unit.architecture in models.names() and unit.original in data.names() and unit.cost_minutes > 0
        assert replace(unit, dataset=unit.original) in units
        assert unit.original not in ENCODINGS
    assert {tables.encoding(unit.dataset) for unit in units} <= {tables.LOSSLESS, *tables.NAMES}


def test_what_twins_share_is_all_but_the_images():
    assert {field.name for field in fields(Encoded)} == {*tables.TWIN, "scale", "dataset", "recipe", "probes"}


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.booleans(), st.integers(0, 50))
def test_twins_see_the_same_images_in_the_same_order_with_the_same_crops(seed, augment, epoch):
    """Copies twice as bright as their originals (and black borders) give inputs that are twice as bright."""
    images = torch.randint(1, 120, (40, 3, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    originals, copies = (Split(factor * images, torch.arange(40)) for factor in (1, 2))
    unit = replace(SMALL, architecture="vgg11_bn", seed=seed, augment=augment)
    sets = [
        TrainingSet(split, unit.training(), lambda x: x.float(), torch.device("cpu")) for split in (originals, copies)
    ]
    for (one, labels), (two, others) in zip(*(s.epoch(epoch, seed) for s in sets), strict=True):
        assert torch.equal(labels, others)
        assert torch.equal(2 * one, two)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000))
def test_twins_start_from_the_same_weights(seed):
    one, two = (replace(SMALL, dataset=name, seed=seed).build() for name in ("fashion-mini", "fashion-mini-jpeg75"))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_twins_are_alike_before_training_and_not_after(pair):
    for stage, alike in (("init", True), ("trained", False)):
        one, two = (rows[rows["stage"] == stage].drop(columns=["status"]) for rows in pair)
        assert one.equals(two) == alike


def test_subsets_are_the_same_images():
    one, two = (
        data.random_subset(loaded(name).train, 50, seed=3).labels for name in ("fashion-mini", "fashion-mini-jpeg75")
    )
    assert torch.equal(one, two)


# One unit ----------------------------------------------------------------------------------------------


def test_a_unit_measures_what_its_docstring_says(pair):
    for rows in pair:
        training = rows[rows["kind"] == "training"].iloc[0]
        assert training["status"] == "ok" and all(0 < training[name] < 1 for name in tables.ERRORS)
        probed = rows[rows["kind"] == "sensitivity"]
        assert set(probed["stage"]) == {"init", "trained"}
        assert set(probed.loc[probed["statistic"] == "component_median", "layer"]) == {"output"}
        parts = [name for name in rows if name.startswith("G_")]
        assert parts == [f"G_grey_{band}" for band in range(4)]
        assert (probed.loc[probed["statistic"] == "mean", parts] > 0).all(axis=None)
    assert pair[0]["test_error"].iloc[0] == pair[0]["test_error_own"].iloc[0]
    assert pair[1]["train_error"].iloc[0] != pair[0]["train_error"].iloc[0]


def test_parts_of_the_noise_have_the_norm_of_the_whole():
    """At the input G is ‖η‖² / Δ, whatever the noise."""
    rows = pd.DataFrame(SMALL.measure(SMALL.build(), "init"))
    line = rows[(rows["statistic"] == "mean") & (rows["layer"] == "input")].iloc[0]
    for band in range(4):
        assert line[f"G_grey_{band}"] == pytest.approx(line["G"], rel=1e-4)


def test_other_data_are_other_digests():
    digests = {replace(SMALL, dataset=name).data_digest() for name in ("fashion-mini", "fashion-mini-jpeg75")}
    assert len(digests) == 2


# Tables and claims -------------------------------------------------------------------------------------


COPIES = "cifar10-8k-jpeg75"
QUANTITIES = ("D", "G", "R", "G_grey_0", "G_grey_3")


def made_up(factors, *, seeds=(0, 1, 2), augment=(True, False), early=1.0):
    """Rows of LeNets: at the output the copies' numbers are the originals' times `factors`; by encoding,
    by quantity.
    """
    lines = []
    for dataset in ("cifar10-lossless-8k", *factors):
        for seed in seeds:
            for augmented in augment:
                unit = {"dataset": dataset, "architecture": "lenet", "width": 1.0, "epochs": 60, "train_size": 0,
                        "augment": augmented, "precision": "bfloat16", "seed": seed}  # fmt: skip
                change = factors.get(dataset, {})
                errors = {name: 0.4 * change.get(name, 1.0) for name in tables.ERRORS}
                lines.append({**unit, "kind": "training", "status": "ok", **errors})
                for layer, depth, power in (("input", 0, 0), ("relu1", 1, early), ("output", 5, 1)):
                    values = {
                        name: (1 + seed) * change.get(name, 1.0) ** power
                        for name in ("D", "G", "R", "G_grey_0", "G_grey_3")
                    }
                    lines += [
                        {
                            **unit,
                            "kind": "sensitivity",
                            "stage": "trained",
                            "statistic": statistic,
                            "layer": layer,
                            "depth": depth,
                            "relative_depth": depth / 5,
                            **values,
                        }
                        for statistic in ("mean", "component_median")
                    ]
    return pd.DataFrame(lines)


def test_a_factor_is_that_of_the_pairs():
    rows = made_up({COPIES: {"R": 1.5, "G": 0.6}, "cifar10-8k-jpeg75-444": {"R": 3.0}})
    found = tables.factor(rows)
    assert (found.estimate, found.n) == (pytest.approx(1.5), 6) and found.low == pytest.approx(found.high)
    assert tables.factor(rows, "G").estimate == pytest.approx(0.6)
    assert tables.factor(rows, "D").estimate == pytest.approx(1.0)
    assert tables.factor(rows, copies="75-444", baseline="75").estimate == pytest.approx(2.0)
    assert tables.factor(rows, copies="95").n == 0 and not tables.factor(rows, copies="95").enough
    table = tables.factors(rows, ["R"])
    assert table[["copies", "pairs"]].to_numpy().tolist() == [["75", 6], ["75-444", 6]]


def test_only_whole_pairs_enter():
    rows = made_up({COPIES: {"R": 1.5}})
    chosen = (rows["dataset"] == COPIES) & (rows["seed"] == 2) & rows["augment"]
    assert tables.factor(rows[~chosen]).n == 5
    collapsed = rows.copy()
    collapsed.loc[chosen & (rows["kind"] == "training"), "status"] = "collapsed"
    assert tables.factor(collapsed).n == 5
    other = rows.copy()
    other.loc[chosen, "precision"] = "float32"
    assert tables.factor(other).n == 5
    assert tables.factor(rows.iloc[:0]).n == 0


def test_the_interval_spans_pairs_that_differ():
    rows = made_up({COPIES: {"R": 1.2}}, augment=(True,))
    more = made_up({COPIES: {"R": 1.8}}, augment=(False,))
    found = tables.factor(pd.concat([rows, more]))
    assert found.estimate == pytest.approx(math.sqrt(1.2 * 1.8))
    assert 1.2 <= found.low < found.estimate < found.high <= 1.8
    assert "a factor of 1.47 (95 % interval 1." in tables.in_words(found)


def test_measures_on_a_made_up_table():
    rows = made_up({COPIES: {"R": 1.5, "G": 0.25, "G_grey_0": 0.9, "G_grey_3": 0.45}}, early=0.5)
    assert claims.factor(rows, quantity="R", seed=0).estimate == pytest.approx(1.5)
    assert claims.against_low_frequency(rows, seed=0).estimate == pytest.approx(0.5)
    assert claims.early_share(rows, seed=0).estimate == pytest.approx(0.5)
    for measure in (claims.against_low_frequency, claims.early_share):
        assert measure(rows, seed=0).n == 6
        assert np.isnan(measure(rows[rows["dataset"] != COPIES], seed=0).estimate)


def two_unlike_pairs():
    """Two pairs with other factors, and with what a measure must not take: other stages, statistics and layers."""
    changes = {0: {"R": 2.0, "G": math.exp(-1), "G_grey_0": 0.9, "G_grey_3": 0.45},
               1: {"R": 8.0, "G": math.exp(-3), "G_grey_0": 1.6, "G_grey_3": 0.2}}  # fmt: skip
    pairs = [
        made_up({COPIES: change}, seeds=(seed,), augment=(True,), early=early)
        for (seed, change), early in zip(changes.items(), (0.5, 0.2), strict=True)
    ]
    rows = pd.concat(pairs, ignore_index=True)
    copies = rows["dataset"].eq(COPIES)
    for column, factor in (("R", 3.0), ("G", 5.0), ("G_grey_3", 0.1)):
        rows[column] = rows[column].mask(copies & rows["statistic"].eq("component_median"), factor * rows[column])
    before = rows[rows["kind"].eq("sensitivity")].assign(stage="init")
    before = before.assign(**{name: before[name].mask(copies, 1e3) for name in QUANTITIES})
    relu1 = rows[rows["layer"].eq("relu1")]
    around = [
        relu1.assign(layer=layer, depth=depth, relative_depth=depth / 5, G=relu1["G"].mask(copies, 1e-4))
        for layer, depth in (("conv1", 0.5), ("relu2", 2))
    ]
    return pd.concat([rows, before, *around], ignore_index=True)


def test_measures_keep_layers_stages_and_statistics_apart():
    rows = two_unlike_pairs()
    found = claims.factor(rows, quantity="R", seed=0)
    assert found.estimate == pytest.approx(4) and found.n == 2  # geometric mean of 2 and 8
    assert (found.low, found.high) == (pytest.approx(2), pytest.approx(8))
    assert claims.factor(rows, quantity="R", statistic="component_median", seed=0).estimate == pytest.approx(12)
    found = claims.against_low_frequency(rows, seed=0)  # 1/2 and 1/8
    assert found.estimate == pytest.approx(1 / 4)
    assert found.units == tuple(f"lenet x1, with augmentation, seed {seed}" for seed in (0, 1))
    found = claims.early_share(rows, seed=0)  # -0.5 and -0.6 of -1 and -3: a quotient of means, no mean of quotients
    assert found.estimate == pytest.approx(1.1 / 4) and found.units == claims.against_low_frequency(rows, seed=0).units
    assert (found.low, found.high) == (pytest.approx(0.6 / 3), pytest.approx(0.5 / 1))
    third = rows.assign(relative_depth=rows["relative_depth"].mask(rows["layer"].eq("relu1"), 1 / 3))
    assert claims.early_share(third, seed=0).estimate == pytest.approx(1.1 / 4)  # the first third has its end
    late = rows.assign(relative_depth=rows["relative_depth"].mask(rows["depth"].between(0.5, 1), 0.4))
    assert claims.early_share(late, seed=0).n == 0


def test_pairs_without_a_logarithm_are_left_out():
    rows = two_unlike_pairs()
    for value in (0.0, math.inf, math.nan):
        second = rows["dataset"].eq(COPIES) & rows["seed"].eq(1) & rows["layer"].eq("output")
        found = tables.factor(rows.assign(R=rows["R"].mask(second, value)))
        assert found.n == 1 and found.estimate == pytest.approx(2)


def test_every_claim_judges_made_up_rows():
    copies = {"R": 1.5, "G": 0.7, "G_grey_0": 1.0, "G_grey_3": 0.5}
    rows = made_up({COPIES: copies, "cifar10-8k-jpeg75-444": copies, "cifar10-8k-jpeg75-luminance": copies,
                    "cifar10-8k-jpeg75-chrominance": {}, "cifar10-8k-jpeg95": {}})  # fmt: skip
    ours = [claim for claim in ledger.claims() if claim.folder == "encoding"]
    assert len(ours) == 12
    assert {claim.judge({"encoding": rows}, "laptop")["verdict"] for claim in ours} == {"holds"}
    wrong = {"G": 0.99, "R": 2.5, "D": 2.0, "test_error": 2.0, "G_grey_0": 0.5, "G_grey_3": 0.5}
    same = made_up({name: wrong for name in ENCODINGS if "8k" in name}, early=-1.0)
    verdicts = {claim.id: claim.judge({"encoding": same}, "laptop")["verdict"] for claim in ours}
    assert {id_ for id_, verdict in verdicts.items() if verdict != "fails"} == {"o-encoding-444"}


def test_the_caveat_says_the_factor():
    assert "has not been measured" in tables.caveat(pd.DataFrame())
    text = tables.caveat(made_up({COPIES: {"R": 1.5}}))
    assert "multiplies R by a factor of 1.50 (95 % interval 1.50 to 1.50, 6 pairs of networks)" in text


def test_the_page_says_the_numbers_of_the_rows():
    rows = made_up({COPIES: {"R": 1.5, "G": 0.6, "test_error": 1.1}, "cifar10-8k-jpeg95": {"R": 1.1}})
    table = tables.table(rows)
    assert table["trained on copies of"].tolist() == ["quality 75, 4:2:0", "quality 95, 4:2:0"]
    assert table["R"].tolist() == ["1.50 (1.50–1.50)", "1.10 (1.10–1.10)"] and table["pairs"].tolist() == [6, 6]
    text = tables.summary(rows)
    assert (
        "multiplies $R_f$ by **a factor of 1.50" in text
        and "$G_f$ by 0.60 (0.60 to 0.60) and the test error by 1.10" in text
    )
    assert "decide nothing" not in text and "decide nothing" in tables.summary(rows[rows["seed"] == 0])
    assert tables.table(pd.DataFrame()).empty and "No pair" in tables.summary(pd.DataFrame())


def test_a_page_can_say_it(monkeypatch):
    rows = made_up({COPIES: {"R": 1.5, "G": 0.5}})
    monkeypatch.setattr(registry, "shown", lambda study, scale: rows)
    assert "multiplies G by a factor of 0.50" in page.caveat("G")._repr_mimebundle_()["text/markdown"]


# Figures -----------------------------------------------------------------------------------------------


def test_figures_draw_the_tables():
    rows = made_up({COPIES: {"R": 1.5, "G": 0.6, "G_grey_3": 0.5}, "cifar10-8k-jpeg95": {"R": 1.1}})
    rows = rows.assign(G_grey_1=rows["G_grey_0"], G_grey_2=rows["G_grey_0"])
    panels = figures.factors(rows).axes
    assert [ax.get_title() for ax in panels] == list(figures.PANELS.values())
    drawn = [line.get_ydata()[0] for line in panels[3].lines if line.get_marker() == "v"]
    assert drawn == pytest.approx([1.5] * 6 + [1.1] * 6)
    assert [text.get_text() for text in panels[0].get_xticklabels()] == ["75", "95"]
    early = figures.by_depth(rows).axes
    assert early[1].lines[0].get_ydata() == pytest.approx([1.0, 0.6, 0.6])
    (grey,) = figures.by_frequency(rows).axes
    assert grey.lines[-2].get_ydata() == pytest.approx([1.0, 1.0, 1.0, 0.5])


@pytest.mark.parametrize("draw", [figures.factors, figures.by_depth, figures.by_frequency])
def test_figures_say_that_there_is_nothing(draw):
    for rows in (pd.DataFrame(), made_up({})):
        assert any("no networks" in text.get_text() for text in draw(rows).axes[0].texts)
