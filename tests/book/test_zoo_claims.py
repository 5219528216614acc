"""The claims on the zoo, on made-up networks whose numbers are known exactly."""

import math

import numpy as np
import pandas as pd
import pytest

from relbook import claims
from relbook.studies.zoo import tables

UNIT = {"dataset": "cifar10-jpeg", "width": 1.0, "train_size": 0, "noise": 0.0, "augment": True,
        "recipe": "one_cycle", "epochs": 10, "seed": 0, "shuffles": 0}  # fmt: skip
OTHERS = {"dataset": "cifar10-lossless", "augment": False, "recipe": "published"}


def network(architecture, R, *, error=None, G=1.0, profile=(), growth=(), **fields):
    """Rows of a network with D = R G: at the output for every statistic and cut, and its training."""
    unit = UNIT | {"architecture": architecture} | fields
    error = 0.2 * math.sqrt(R) if error is None else error
    images = tables.ON_TRUE_PIXELS.get(unit["dataset"], unit["dataset"])
    probe = unit | {"kind": "sensitivity", "images": images, "displacement": 1.0, "interpolation": "bilinear"}
    rows = [unit | {"kind": "training", "status": "ok", "test_error": error, "train_loss": 0.1}]
    for stage, statistic, cut in [(s, t, c) for s in ("init", "trained") for t in ("component_median", "mean")
                                  for c in (3, 5, 15)]:  # fmt: skip
        rows.append(probe | {"stage": stage, "shuffle": -1, "statistic": statistic, "cut": cut, "layer": "output",
                             "depth": 4, "relative_depth": 1.0, "R": R, "D": R * G, "G": G})  # fmt: skip
    for shuffle, values in enumerate(profile, start=-1):
        for depth, value in enumerate(values):
            rows.append(probe | {"stage": "trained", "shuffle": shuffle, "statistic": "mean", "cut": 3, "R": value,
                                 "D": value, "G": 1.0, "layer": f"layer{depth}", "depth": depth,
                                 "relative_depth": depth / len(values)})  # fmt: skip
    for epoch, factor in enumerate((1.0, *growth)):
        for depth in range(1, 6):
            gammas = {f"gamma_{value}": 1.0 if value else factor for value in (0, 1, 2, 3, 4, 6)}
            rows.append(
                unit | {"kind": "modes", "epoch": epoch, "layer": f"c{depth}", "depth": depth, **gammas}
            )
    return rows


def frame(*networks):
    return pd.DataFrame([row for rows in networks for row in rows])


def measured(name, rows):
    return next(claim for claim in claims.ledger() if claim.id == name).measure(rows)


@pytest.fixture
def lawful():
    """Five networks on ε = 0.2 √R, with D constant, so that G = D / R and its correlation is -1."""
    nets = zip(("fc_l2", "lenet", "vgg11_bn", "resnet18"), (4.0, 1.0, 0.3, 0.1), strict=True)
    others = network("cifar_resnet20", 0.05, G=1 / 0.05, **OTHERS)
    return frame(*(network(name, R, G=1 / R) for name, R in nets), others)


def test_law_of_networks_that_obey_it(lawful):
    expected = {"b-5-correlation": 1, "b-5-exponent": 0.5, "b-5-prefactor": 0.2, "b-5-law": 1, "b-5-others": 1,
                "b-16-G-sign": -1, "b-16-G-alone": 0, "b-17-means": 1, "b-21-cut": 1, "a-1-centre-G": -1,
                "a-1-centre-correlation": 1, "a-1-centre-learned": 1}  # fmt: skip
    for name, value in expected.items():
        assert measured(name, lawful) == pytest.approx(value, abs=1e-9), name


def test_others_are_judged_by_their_own_errors(lawful):
    worse = lawful.copy()
    chosen = (worse["recipe"] == "published") & (worse["kind"] == "training")
    worse.loc[chosen, "test_error"] *= 3
    assert measured("b-5-others", worse) == pytest.approx(3)
    assert measured("b-5-law", worse) == pytest.approx(1)  # the typical network


def test_seeds_are_one_network(lawful):
    twice = frame(network("lenet", 1.0), network("lenet", 4.0, seed=1))
    assert len(tables.compared(twice)) == 1
    assert len(tables.compared(twice, each_seed=True)) == 2
    assert tables.compared(twice)["R"].item() == pytest.approx(2.0)


def test_failed_noisy_and_unaugmented_networks_are_not_compared(lawful):
    fail = network("vgg16", 9.0)
    fail[0]["status"] = "collapsed"
    more = [
        row
        for rows in (fail, network("lenet", 9.0, noise=10.0), network("lenet", 9.0, augment=False))
        for row in rows
    ]
    assert len(tables.compared(pd.concat([lawful, pd.DataFrame(more)]))) == 5


def test_growing_training_sets():
    def curve(name, R, G):
        sizes = (512, 2048, 8192)
        return [row for P, r, g in zip(sizes, R, G, strict=True)
                for row in network(name, r, G=g, train_size=P, epochs=10000 // P)]  # fmt: skip

    rows = frame(curve("resnet10", (1, 0.5, 0.2), (1, 1.5, 2)), curve("lenet", (1, 1, 1), (1, 2, 3)))
    assert measured("b-6-noise", rows) == pytest.approx(2)
    assert measured("b-6-relative", rows) == pytest.approx(0.2)
    assert measured("b-6-diffeomorphisms", rows) == pytest.approx(
        0.5
    )  # D falls from 1 to 0.4, and grows to 3
    assert measured("b-18-together", rows) == pytest.approx(1)


def test_noise_up_to_thirty_is_judged():
    nets = [network(name, R, G=1 / R, noise=noise, error=0.2 * math.sqrt(R) if noise < 50 else 0.5 / R)
            for noise in (0.0, 10.0, 100.0) for name, R in (("fc_l2", 4.0), ("lenet", 1.0), ("vgg11_bn", 0.3))]  # fmt: skip
    rows = frame(*nets)
    assert measured("a-1-right-R", rows) == pytest.approx(1)
    assert measured("a-1-right-G", rows) == pytest.approx(-1)
    assert set(tables.noise_networks(rows)["noise"]) == {0, 10, 100}


def test_profiles_and_shuffles():
    trained = np.array([1.0, 0.8, 0.6, 0.4])
    rows = frame(network("vgg11_bn", 0.1, shuffles=2, profile=(trained, trained * (1, 1, 1, 4), trained)))
    assert measured("a-3-falls", rows) == pytest.approx(-1)
    assert measured("a-3-first-half", rows) == pytest.approx(1)
    assert measured("a-3-last-third", rows) == pytest.approx(2)  # geometric mean over two shuffles
    assert measured("a-3-depart", rows) == pytest.approx(2)


def test_growth_of_the_constant_mode():
    rows = frame(
        network("vgg11_bn", 0.1, growth=(2.0, 5.0)), network("vgg11_bn", 0.1, width=0.5, growth=(9.0, 9.0))
    )
    assert measured("a-4-row-1-layers-2-4", rows) == pytest.approx(5)
    assert measured("a-4-row-1-layer-5", rows) == pytest.approx(5)


@pytest.mark.parametrize(
    "claim", [c for c in claims.ledger() if c.study == "zoo"], ids=lambda claim: claim.id
)
def test_rows_without_what_a_claim_is_about_give_no_number(claim):
    rows = frame(network("alexnet", 1.0, dataset="elsewhere", noise=5.0))
    assert math.isnan(claim.measure(rows))


def test_exact_claims_of_pooling_hold():
    for name in ("a-2-spatial", "a-2-channel"):
        claim = next(claim for claim in claims.ledger() if claim.id == name)
        assert claim.judge(None, "tiny")["verdict"] == "holds"
