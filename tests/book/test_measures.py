"""The networks of the zoo under all measures: against each probe by hand, and tables with known answers."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from relbook.studies.measures import figures, tables
from relbook.studies.measures import study as measures
from relbook.studies.zoo import study as zoo
from relstab import store
from relstab.diffeo import thin_plate
from relstab.probes.cosine import cosine_sensitivity
from relstab.probes.filters import projections, total_variation
from relstab.probes.sensitivity import sensitivity
from relstab.random import seeded


@pytest.fixture
def store_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path))


def test_every_unit_is_one_network_trained_on_all_images():
    for scale in ("tiny", "laptop"):
        units = measures.configs(scale)
        networks = [unit.network() for unit in units]
        assert len(set(units)) == len(units) and len(set(networks)) == len(networks)
        assert all(network.train_size == 0 and network.noise == 0 for network in networks)
        assert {network for network in zoo.configs(scale) if not network.train_size and not network.noise} >= set(
            networks
        )


def test_a_unit_trains_the_network_that_is_not_there(store_folder, monkeypatch):
    trained = []
    run = zoo.Network.run
    monkeypatch.setattr(zoo, "configs", lambda scale: [SHORT])
    monkeypatch.setattr(zoo.Network, "run", lambda unit, **options: trained.append(unit) or run(unit, **options))
    unit = measures.configs("tiny")[0]
    with pytest.raises(FileNotFoundError):
        zoo.trained(SHORT)
    (row,) = unit.run(workspace=store.working())
    assert trained == [SHORT]
    (again,) = unit.run()
    assert trained == [SHORT] and again == pytest.approx(row, nan_ok=True)


SHORT = zoo.Network("tiny", "fashion-mini", "vgg11_bn", 0.0625, epochs=1, probes=40)


@pytest.mark.filterwarnings("ignore::relstab.probes.sensitivity.FoldingWarning")
def test_the_row_is_what_the_probes_say(store_folder, monkeypatch):
    monkeypatch.setattr(zoo, "configs", lambda scale: [SHORT])
    (row,) = measures.configs("tiny")[0].run(workspace=store.working())
    model = zoo.trained(SHORT)
    images = SHORT.normalise(zoo.loaded("fashion-mini").test.images[:40])
    direct = sensitivity(model, images, layers="output", generator=seeded("probe")).iloc[0]
    assert [row[name] for name in "DGR"] == pytest.approx([direct[name] for name in "DGR"], rel=1e-4)
    bent = thin_plate.deform(images, generator=seeded("thin plate"))
    cosine = cosine_sensitivity(model, images, bent, layers="blocks")["sensitivity"].tolist()
    assert [row["cosine"], row["cosine_output"]] == pytest.approx(cosine[-2:], rel=1e-3)
    layers = [part for part in model.parameters() if part.ndim == 4]
    assert row["tv"] == pytest.approx(np.mean([total_variation(layer) for layer in layers]))
    shares = [float(power[0] / power.sum()) for power in map(projections, layers)]
    assert row["low"] == pytest.approx(np.mean(shares))
    assert row["low_init"] == pytest.approx(1 / 9, abs=0.03)
    assert 0 < row["error"] < 1
    gaussian = sensitivity(model, images, layers="output", displacement=4, interpolation="gaussian",
                           statistic="component_median", generator=seeded("probe"))  # fmt: skip
    assert row["R4_gaussian"] == pytest.approx(gaussian["R"].item(), rel=1e-4)
    assert len({row[name] for name in ("R4", "R4_gaussian", "R4_blurred")}) == 3


def test_no_small_filters_no_smoothness():
    assert all(math.isnan(value) for value in measures.smoothness(torch.nn.Linear(4, 2)).values())


def conv8(task, R, error, seed=0):
    shared = {
        "architecture": "conv8_max",
        "width": 0.5,
        "dataset": "cifar10-jpeg",
        "seed": seed,
        "stage": "trained",
        "labels": "random" if task == "random" else "real",
        "weight_decay": 5e-4 if task == "real" else 0.0,
    }
    gammas = {"gamma_0": 2.0, "gamma_1": 1.0, "gamma_2": 1.0, "gamma_3": 1.0, "gamma_4": 1.0, "gamma_6": 0.0}
    return [
        {**shared, "kind": "training", "status": "ok", "test_error": error},
        {**shared, "kind": "cosine", "depth": 12, "sensitivity": 0.2},
        {**shared, "kind": "cosine", "depth": 13, "sensitivity": 0.1},
        {**shared, "kind": "relative", "depth": 13, "D": R, "G": 1.0, "R": R},
        {**shared, "kind": "filters", "depth": 1, "size": 3, "tv": 1.5, **gammas},
        {**shared, "kind": "filters", "depth": 2, "size": 3, "tv": 1.7, **gammas},
        {**shared, "kind": "filters", "depth": 3, "size": 2, "tv": 9.0},
    ]


@pytest.fixture
def table():
    zoo_rows = pd.DataFrame(
        [
            {
                "architecture": name,
                "width": 1.0,
                "dataset": "cifar10-jpeg",
                "seed": 0,
                "error": error,
                "D": 0.1,
                "G": 1.0,
                "R": R,
                "cosine": 1 - error,
                "cosine_output": 0.1,
                "tv": 1.6,
                "low": 0.2,
                "D_spline": 0.1,
                "cosine_maxent": 0.1,
            }
            for name, error, R in (("vgg11_bn", 0.1, 0.3), ("lenet", 0.3, 0.9), ("fc_l2", 0.5, 4.0))
        ]
    )
    rows = pd.DataFrame(conv8("real", 0.5, 0.2) + conv8("matched", 1.0, 0.4) + conv8("random", 3.0, 0.9))
    return tables.networks(zoo_rows, rows)


def test_one_table_of_all_networks(table):
    assert table[["group", "task"]].agg("-".join, axis=1).tolist() == ["zoo-real"] * 3 + [
        "conv8-real",
        "conv8-matched",
        "conv8-random",
    ]
    line = table[table.task == "real"].iloc[-1]
    assert [line[name] for name in ("R", "cosine", "cosine_output", "tv", "error")] == [0.5, 0.2, 0.1, 1.6, 0.2]
    assert line["low"] == pytest.approx(2 / 9), "two of nine: pairs of modes count twice"


def test_ranks_are_of_networks_with_true_labels(table):
    chosen = tables.on_true_labels(table)
    assert len(chosen) == 4
    matrix = tables.ranks(chosen)
    assert matrix.loc["error", "R"] == pytest.approx(1)
    assert matrix.loc["error", "cosine"] == pytest.approx(-0.4)


def test_interpolation_ratios():
    rows = pd.DataFrame(
        {
            "dataset": ["cifar10-jpeg", "cifar10-jpeg", "mnist"],
            "R2": [1.0, 4.0, 9.0],
            "R2_gaussian": [0.5, 2.0, 1.0],
            "R2_blurred": [0.5, 1.0, 1.0],
            "R4": [1.0, 1.0, 1.0],
            "R4_gaussian": [1.0, 4.0, 1.0],
            "R4_blurred": [1.0, 1.0, 1.0],
        }
    )
    ratios = tables.interpolation_ratios(rows)
    assert ratios.loc[(2, "sharp images")].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert ratios.loc[(2, "blurred images")].tolist() == pytest.approx([2**0.5, 1, 2])
    assert ratios.loc[(4, "sharp images")].tolist() == pytest.approx([2, 1, 4])
    assert tables.interpolation_ratios(rows[rows.dataset == "mnist"]).loc[(4, "sharp images"), "mean"] == 1


def test_twins(table):
    (line,) = tables.twins(table).to_dict("records")
    assert line["R"] == 3 and line["cosine"] == 1 and line["low"] == 1


def test_no_rows():
    empty = tables.networks(pd.DataFrame(), pd.DataFrame())
    assert empty.empty and tables.on_true_labels(empty).empty


def marks(ax):
    """The single points of a panel."""
    return sorted(tuple(line.get_xydata()[0]) for line in ax.lines if len(line.get_xydata()) == 1)


def test_every_measure_is_drawn_against_the_error(table):
    axes = figures.against_error(table).axes
    for ax, measure in zip(axes, ("D", "G", "R", "cosine", "tv", "low"), strict=False):
        known = table.dropna(subset=[measure, "error"])
        assert marks(ax) == sorted(zip(known[measure], known["error"], strict=True)), measure
    assert axes[2].get_title() == f"rank correlation {tables.ranks(table).loc['error', 'R']:+.2f}"


def test_rank_correlations_are_written_in_their_cells(table):
    chosen = tables.on_true_labels(table)
    matrix = tables.ranks(chosen)
    ax = figures.rank_correlations(chosen).axes[0]
    written = {text.get_position(): text.get_text() for text in ax.texts}
    names = list(matrix)
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            value = matrix.loc[row, column]
            assert written[j, i] == (f"{value:+.2f}".replace("-", "−") if value == value else "–")


def test_random_over_real_draws_the_ratios_of_twins(table):
    ax = figures.random_over_real(table).axes[0]
    (line,) = tables.twins(table).to_dict("records")
    heights = next(list(drawn.get_ydata()) for drawn in ax.lines if len(drawn.get_xydata()) == len(tables.MEASURES))
    assert heights == pytest.approx([line[name] for name in tables.MEASURES], nan_ok=True)
    real = figures.random_over_real(table[table.task == "real"]).axes[0]
    assert "no network with a twin" in real.texts[0].get_text()


def test_agreement_draws_each_exchange_and_nothing_without_rows():
    rows = pd.DataFrame([{"architecture": "vgg11", "D": 0.1, "D_spline": 0.2, "cosine_output": 0.3}])
    deformations, distances = figures.agreement(rows).axes
    assert (marks(deformations), marks(distances)) == ([(0.1, 0.2)], [(0.2, 0.3)])
    assert not any(ax.lines for ax in figures.agreement(pd.DataFrame()).axes)
