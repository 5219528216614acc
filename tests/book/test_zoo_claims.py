"""The claims on the zoo, on made-up networks whose numbers are known exactly."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from relbook import ledger, papers
from relbook.studies.zoo import claims, tables

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
    for stage, statistic, cut in [
        (s, t, c) for s in ("init", "trained") for t in ("component_median", "mean") for c in (3, 5, 15)
    ]:
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
            rows.append(unit | {"kind": "modes", "epoch": epoch, "layer": f"c{depth}", "depth": depth, **gammas})
    return rows


def frame(*networks):
    return pd.DataFrame([row for rows in networks for row in rows])


def measured(name, rows):
    """What the claim called `name` measures on made-up rows."""
    return papers.by_id(name)[0].measured({"zoo": rows})


def estimate(name, rows):
    return measured(name, rows).estimate


NETS = {"fc_l2": 4.0, "fc_l4": 3.0, "lenet": 1.0, "alexnet": 0.8, "vgg11_bn": 0.3, "resnet18": 0.1}


@pytest.fixture
def lawful():
    """Six networks on ε = 0.2 √R with D = 1, so that log G = - log R; and one that others trained, off the law."""
    others = network("cifar_resnet20", 0.05, G=1 / 0.05, error=0.5, **OTHERS)
    return frame(*(network(name, R, G=1 / R) for name, R in NETS.items()), others)


def test_law_of_networks_that_obey_it(lawful):
    expected = {
        "b-5-R": 1,
        "b-5-slope": 0.5,
        "b-5-two-tenths": 0.2,
        "b-5-typical-factor": 1,
        "a-1-centre-R": 1,
        "a-1-centre-G-all": -1,
        "b-16-G-weaker": 0,
        "b-21-every-cut": 1,
        "a-1-centre-not-at-init": 1,
    }
    for name, value in expected.items():
        found = measured(name, lawful)
        assert found.estimate == pytest.approx(value, abs=1e-9), name
        assert found.n == 6 and "cifar_resnet20" not in str(found.units), name


def test_networks_trained_on_originals_are_a_population_of_their_own(lawful):
    found = measured("a-1-noise-gained-original", lawful)
    assert found.units == ("cifar_resnet20 on cifar10-lossless",) and not found.enough
    assert measured("b-17-order", lawful).n == 7


def test_an_architecture_counts_once(lawful):
    """The widest, of those the longest trained, seeds averaged in the logarithm."""
    more = frame(network("lenet", 9.0, width=0.5), network("lenet", 8.0, epochs=5), network("lenet", 4.0, seed=1))
    rows = pd.concat([lawful, more])
    assert measured("b-5-R", rows).n == 6
    nets = claims.points(rows).set_index("architecture")
    assert nets.loc["lenet", "R"] == pytest.approx(2.0)


def test_controls_of_a_noise_sweep_and_failed_networks_enter_nothing(lawful):
    """Controls at noise 0, trained more shortly; noisy, unaugmented and collapsed networks."""
    fail = network("vgg16", 9.0)
    fail[0]["status"] = "collapsed"
    sweep = [network("vgg11_bn", 9.0, epochs=5, width=2.0, noise=noise) for noise in (0.0, 10.0)]
    rows = pd.concat([lawful, frame(fail, *sweep, network("lenet", 9.0, augment=False))])
    before, after = measured("b-5-R", lawful), measured("b-5-R", rows)
    assert after.units == before.units and after.estimate == before.estimate
    assert len(tables.compared(rows)) == 7


def test_a_sweep_whose_architecture_has_no_other_network_stays():
    sweep = [network("lenet", 1.0, noise=noise) for noise in (0.0, 10.0)]
    assert len(tables.compared(frame(*sweep))) == 1


def test_both_exponents_of_a_law_of_two_variables():
    """ε = D^1.1 G^-0.7, D and G not on one line."""
    nets = [(name, D, G) for name, D, G in zip(NETS, (1, 2, 4, 1, 2, 4), (1, 8, 2, 4, 1, 3), strict=True)]
    rows = frame(*(network(name, D / G, G=G, error=D**1.1 * G**-0.7) for name, D, G in nets))
    assert estimate("o-1-two-variables-D", rows) == pytest.approx(1.1)
    assert estimate("o-1-two-variables-G", rows) == pytest.approx(-0.7)
    assert measured("a-1-centre-D-convolutional", rows).n == 4


def test_growing_training_sets():
    def curve(name, R, G):
        sizes = (512, 2048, 8192)
        return [
            row
            for P, r, g in zip(sizes, R, G, strict=True)
            for row in network(name, r, G=g, train_size=P, epochs=10000 // P)
        ]

    rows = frame(curve("resnet10", (1, 0.5, 0.25), (1, 1.5, 2)), curve("lenet", (1, 1, 1), (1, 2, 3)))
    assert estimate("b-6-G-every-step", rows) == 1 and measured("b-6-G-every-step", rows).n == 1
    assert estimate("b-6-R-falls", rows) == 1
    assert estimate("b-6-D-either", rows) == 0  # D falls from 1 to 0.5
    assert estimate("b-18-together", rows) == pytest.approx(1)
    assert estimate("b-3-one-over-P", rows) == pytest.approx(-0.5)
    assert estimate("b-3-threshold", rows) == pytest.approx(0.5)
    assert measured("b-6-noise-and-stability", rows).n == 2


def test_noise_up_to_thirty_is_judged():
    nets = [
        network(name, R, G=1 / R, noise=noise, error=0.2 * math.sqrt(R) if noise < 50 else 0.5 / R)
        for noise in (0.0, 10.0, 30.0, 100.0)
        for name, R in NETS.items()
    ]
    rows = frame(*nets)
    assert estimate("a-1-right-R", rows) == pytest.approx(1)
    assert estimate("a-1-right-G", rows) == pytest.approx(-1)
    assert estimate("a-10-large-noise", rows) == pytest.approx(-1)
    assert measured("a-1-right-R", rows).n == 6


def test_profiles_and_shuffles_are_judged_network_by_network():
    """Two networks that shuffling moves by a factor of three, up and down:
    a signed mean would say that nothing moves.
    """
    trained = np.array([1.0, 0.8, 0.4, 0.2])
    up, down = (1, 3, 3, 3), (1, 1 / 3, 1 / 3, 1 / 3)
    rows = frame(
        *(
            network(name, 0.1, shuffles=1, profile=(trained, trained * factors))
            for name, factors in (("vgg11_bn", up), ("resnet18", down))
        )
    )
    assert estimate("a-3-overlap", rows) == 0
    assert estimate("a-3-late", rows) == 0.5
    assert estimate("a-3-R-falls", rows) == pytest.approx(-1)
    assert estimate("a-3-every-layer", rows) == 1
    assert estimate("b-14-each-network", rows) == 1


def test_the_image_is_no_layer():
    """R rises from the image to the first layer and falls from then on."""
    rows = frame(network("vgg11_bn", 0.2, shuffles=1, profile=(np.array([0.1, 2.0, 1.0, 0.5]),)))
    assert estimate("a-3-D-falls", rows) == pytest.approx(-1)


def test_growth_of_the_constant_mode():
    rows = frame(network("vgg11_bn", 0.1, growth=(2.0, 5.0)), network("vgg11_bn", 0.1, width=0.5, growth=(9.0, 9.0)))
    found = measured("a-4-row-1-layers-2-4", rows)
    assert found.estimate == pytest.approx(5) and found.n == 1 and not found.enough
    more = pd.concat([rows, *(frame(network("vgg11_bn", 0.1, growth=(2.0, 5.0), seed=s)) for s in (1, 2))])
    assert measured("a-4-row-1-layers-2-4", more).enough


def test_shuffling_parts_late_or_early():
    """Layers at a quarter, a half and three quarters of the depth; only the second network parts late."""
    trained = np.array([1.0, 1.0, 0.5, 0.25])
    factors = {"vgg11_bn": (1, 3, 3, 2), "resnet18": (1, 1.1, 1.1, 4)}
    rows = frame(*(network(name, 0.125, shuffles=1, profile=(trained, trained * f)) for name, f in factors.items()))
    rows = rows[rows["layer"] != "output"]
    assert claims.share_parting(rows, seed=0).estimate == 0.5
    (up,) = (frame(network("vgg11_bn", 0.1, shuffles=1, profile=(trained, trained * (1, 2, 0.5, 2)))),)
    moved = {"layers": [1, 2, 3], "families": ["vgg11_bn"], "seed": 0}
    assert claims.moved_layers(up, **moved).estimate == pytest.approx(2)
    assert claims.moved_layers(up, **moved | {"layers": [4]}).n == 0
    assert claims.moved_layers(up, **moved | {"families": ["lenet"]}).n == 0


def test_what_is_left_of_the_fall_when_channels_are_shuffled():
    """From layer 1 to the last R falls by 4, with shuffled channels by 2: half of it in the logarithm."""
    trained, shuffled = np.array([9.0, 1.0, 0.5, 0.25]), np.array([9.0, 1.0, 0.7, 0.5])
    rows = frame(network("vgg11_bn", 0.25, shuffles=1, profile=(trained, shuffled)))
    rows = rows[rows["layer"] != "output"]
    assert claims.pooled_in_space(rows, seed=0).estimate == pytest.approx(0.5)


def test_outputs_are_averaged_in_the_logarithm(lawful):
    """R of FC-L2 and FC-L4 is 4 and 3; before training a third of it."""
    lawful.loc[lawful["stage"].eq("init"), "R"] /= 3
    connected = {"families": ["fc_l"], "seed": 0}
    assert claims.output(lawful, **connected).estimate == pytest.approx(math.sqrt(12))
    assert claims.output(lawful, stage="init", **connected).estimate == pytest.approx(math.sqrt(12) / 3)
    assert claims.output(lawful, over_init=True, **connected).estimate == pytest.approx(3)
    assert claims.output(lawful, quantity="G", **connected).estimate == pytest.approx(1 / math.sqrt(12))
    assert claims.output(lawful, networks="original", seed=0).n == 1


def probed_at(rows, displacement, factor=1.0, interpolation="bilinear"):
    """The trained outputs as if probed elsewhere, with R times a factor (an array: a factor a network)."""
    table = rows[rows["layer"].eq("output") & rows["stage"].eq("trained")]
    names = list(dict.fromkeys(table["architecture"]))
    factors = dict(zip(names, np.broadcast_to(factor, len(names)), strict=True))
    return table.assign(
        displacement=displacement, interpolation=interpolation, R=table["R"] * table["architecture"].map(factors)
    )


def test_small_displacements_compare_interpolations(lawful):
    rows = pd.concat(
        [lawful, probed_at(lawful, 0.125), probed_at(lawful, 0.125, 0.3, "gaussian"), probed_at(lawful, 0.5)]
    )
    found = claims.small_displacement(rows, seed=0)
    assert found.estimate == pytest.approx(0.3) and found.n == 6
    assert claims.small_displacement(lawful, seed=0).n == 0


def test_larger_displacements_are_correlated_at_the_first_one(lawful):
    turned = np.array([NETS.get(n, 1.0) ** -2 for n in dict.fromkeys(lawful["architecture"])])
    rows = pd.concat([lawful, probed_at(lawful, 2.0, turned), probed_at(lawful, 4.0)])
    assert claims.larger_displacement(rows, seed=0).estimate == pytest.approx(-1)
    assert claims.larger_displacement(lawful, seed=0).n == 0


def test_seeds_of_an_architecture_over_data_sets():
    """1, 2, 4 on one set and 8 on another: geometric means 2 and 8, over sets 4."""
    values = {"cifar10-jpeg": (1, 2, 4), "mnist": (8, 8, 8)}
    rows = frame(*(network("lenet", R, dataset=data, augment=data != "mnist", seed=s)
                   for data, Rs in values.items() for s, R in enumerate(Rs)))  # fmt: skip
    found = claims.seeds_of(rows, architecture="lenet", networks=["ours", "mnist"], seed=0)
    assert found.estimate == pytest.approx(4) and found.n == 6 and found.enough
    two = claims.seeds_of(rows[rows["seed"] < 2], architecture="lenet", networks=["ours", "mnist"], seed=0)
    assert two.n == 4 and not two.enough


def test_seeds_scatter_less_than_architectures():
    rows = frame(*(network(name, R, seed=s) for name, Rs in (("lenet", (1, 4)), ("alexnet", (16, 64)))
                   for s, R in enumerate(Rs)), network("vgg11", 999.0))  # fmt: skip
    found = claims.scatter_of_seeds(rows, seed=0)
    assert found.estimate == pytest.approx(0.5) and found.n == 2  # ln 4 / ln 16


def test_layers_that_are_flat_at_initialisation():
    rows = frame(network("vgg11_bn", 1.0, shuffles=1, profile=((9.0, 1.1, 0.9, 3.0),)))
    rows.loc[rows["layer"].ne("output") & rows["stage"].eq("trained"), "stage"] = "init"
    assert claims.flat_layers(rows, factor=1.5, seed=0).estimate == pytest.approx(3 / 4)  # the output as well
    assert claims.flat_layers(rows, factor=4, seed=0).estimate == 1


def test_the_gain_of_stability_by_thirds():
    even, late = (9.0, 8.0, 4.0, 2.0), (9.0, 8.0, 8.0, 8.0)
    rows = [network("vgg11_bn", 1.0, shuffles=1, profile=(values,)) for values in (even, late)]
    assert claims.spread_of_gain(frame(rows[0]), seed=0).estimate == pytest.approx(1 / 3)
    assert claims.spread_of_gain(frame(rows[1]), seed=0).estimate == pytest.approx(1)


def test_depth_is_compared_with_R():
    """R gives the error exactly; so does the depth in the second table, and in the first all are alike."""
    rows = frame(*(network(name, 4.0**i, shuffles=1, profile=((1.0, 1.0),)) for i, name in enumerate(NETS)))
    assert claims.depth_margin(rows, seed=0).estimate == pytest.approx(1)
    depth = {name: 4 * 2**i for i, name in enumerate(NETS)}
    deeper = rows.assign(depth=rows["depth"].mask(rows["layer"].eq("output"), rows["architecture"].map(depth)))
    assert claims.depth_margin(deeper, seed=0).estimate == pytest.approx(0, abs=1e-9)


def test_populations_of_the_main_claims():
    """Of networks of every kind only these enter; a change here is a change of what is claimed."""
    noisy = [network("vgg11_bn", 0.2, noise=n, epochs=5) for n in (0.0, 10.0)]
    rows = frame(
        network("lenet", 1.0),
        network("lenet", 1.0, seed=1),
        network("lenet", 1.0, width=0.5),
        network("fc_l4", 3.0),
        network("vgg11_bn", 0.2, shuffles=1, profile=((1.0, 0.5), (1.0, 0.6))),
        *noisy,
        network("vgg11_bn", 0.2, train_size=512),
        network("vgg11_bn", 0.1, train_size=2048),
        network("alexnet", 0.5, augment=False),
        network("lenet", 1.5, dataset="mnist", augment=False),
        network("resnet10", 0.4, dataset="fashion-mnist", augment=False),
        network("cifar_resnet20", 0.1, shuffles=1, profile=((1.0, 0.5), (1.0, 0.6)), **OTHERS),
    )
    here = ("fc_l4 on cifar10-jpeg", "lenet on cifar10-jpeg", "vgg11_bn on cifar10-jpeg")
    theirs, curve = "cifar_resnet20 on cifar10-lossless", ("vgg11_bn on cifar10-jpeg",)
    golden = {
        "b-5-R": here, "b-5-slope": here, "a-1-centre-R": here, "a-1-centre-G-all": here, "b-15-D-weaker": here,
        "b-21-every-cut": here,
        "a-1-centre-D-convolutional": here[1:], "a-1-noise-gained": here, "a-1-noise-gained-original": (theirs,),
        "b-17-order": (*here, theirs, "lenet on mnist", "resnet10 on fashion-mnist"), "b-20-mnist": ("lenet on mnist",),
        "b-3-lowered": (here[2], theirs, "resnet10 on fashion-mnist"), "a-3-overlap": (theirs, here[2]),
        "b-6-G-every-step": curve, "b-18-together": curve, "b-19-scatter": (), "a-1-right-R": (),
    }  # fmt: skip
    found = {}
    for id_ in golden:
        found[id_] = tuple(sorted(measured(id_, rows).units))
    assert found == {id_: tuple(sorted(units)) for id_, units in golden.items()}


# A mutant of a measure changes its number, or how many networks it is taken over.
MUTANTS = {
    "sign": ("a-1-centre-G-all", {"quantity": "R"}),
    "statistic": ("b-5-slope", {"field": "prefactor"}),
    "population": ("b-5-R", {"networks": "everywhere"}),
    "family": ("a-1-centre-R", {"families": "convolutional"}),
    "stage": ("a-1-noise-gained", {"quantity": "R"}),
    "window": ("a-1-built-up", {"early": 0.9}),
    "bound": ("b-14-each-network", {"at_most": -2}),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_of_a_measure_changes_the_number_or_its_population(lawful, mutant):
    name, change = MUTANTS[mutant]
    generator = np.random.default_rng(0)
    profiles = {n: (R ** np.linspace(0.1, 0.9, 4) * generator.uniform(0.7, 1.3, 4),) for n, R in NETS.items()}
    deep = frame(*(network(n, R, G=1 / R, shuffles=1, profile=profiles[n]) for n, R in NETS.items()))
    deep = pd.concat([deep, lawful[lawful["recipe"] == "published"]])
    training = deep["stage"].eq("init")
    deep.loc[training, "R"] /= 2  # training doubles R and leaves G
    (claim,) = papers.by_id(name)
    mutated = dataclasses.replace(claim, arguments=dict(claim.arguments) | change)
    before, after = (one.measured({"zoo": deep}) for one in (claim, mutated))
    assert (before.estimate, before.n) != (after.estimate, after.n)


@pytest.mark.parametrize("claim", [c for c in papers.ledger() if c.studies == ("zoo",)], ids=lambda claim: claim.id)
def test_rows_without_what_a_claim_is_about_give_no_number(claim):
    rows = frame(network("alexnet", 1.0, dataset="elsewhere", noise=5.0))
    assert claim.judge({"zoo": rows}, "laptop")["verdict"] in ("not tested", "undecided")


def test_the_check_of_pooling_holds():
    (claim,) = papers.by_id("a-2-drawn")
    assert claim.judge({}, "tiny")["verdict"] == ledger.Verdict.HOLDS


def test_a_mean_over_turned_filters_stays_when_the_picture_is_turned():
    """A Fig. 2, channel pooling: a fact of mathematics."""
    filters, pictures = np.random.default_rng(0).normal(size=(2, 1000, 3, 3))
    turns = np.stack([np.rot90(filters, k, axes=(1, 2)) for k in range(4)])

    def pooled(pictures):
        return np.maximum((turns * pictures).sum((2, 3)), 0).mean(0)

    assert pooled(np.rot90(pictures, axes=(1, 2))) == pytest.approx(pooled(pictures))


# ---- known answers that a turned sign, another window or another population would miss


def with_start(rows, **factors):
    """The rows with `quantity` at initialisation times a factor for each architecture."""
    init = rows["stage"].eq("init")
    for quantity, by_name in factors.items():
        rows.loc[init, quantity] *= rows.loc[init, "architecture"].map(by_name)
    return rows


def test_a_share_grows_and_is_not_the_share_that_falls(lawful):
    """G before training is above that after it in two networks of six."""
    rows = with_start(lawful, G={name: 2.0 if name in ("lenet", "alexnet") else 0.5 for name in NETS})
    found = measured("a-1-noise-gained", rows)
    assert found.estimate == pytest.approx(4 / 6) and found.n == 6
    assert found.low < 0.31 and found.high > 0.9  # Wilson's of four in six


@pytest.mark.parametrize("best", ["D", "G"])
def test_the_margin_is_over_the_better_of_the_others(best):
    """The error is one of D and G; the other says nothing."""
    one, other = np.array([1.0, 2, 3, 4, 5, 6]), np.array([3.0, 1, 4, 1, 5, 2])
    D, G = (one, other) if best == "D" else (other, 1 / one)
    rows = frame(*(network(n, d / g, G=g, error=e) for n, d, g, e in zip(NETS, D, G, one / 10, strict=True)))
    expected = np.corrcoef(np.log(D / G), np.log(one))[0, 1] - 1
    assert expected < -0.1
    assert estimate("a-1-centre-R-best", rows) == pytest.approx(expected)


def test_the_weakest_cut_is_found_among_networks_probed_at_all(lawful):
    """R at c = 5 is turned; AlexNet lacks c = 15 and ResNet18 c = 3."""
    name, cut = lawful["architecture"], lawful["cut"]
    turned = lawful["layer"].eq("output") & cut.eq(5)
    lawful.loc[turned, "R"] = lawful.loc[turned, "R"] ** -1.0
    rows = lawful[~(name.eq("alexnet") & cut.eq(15)) & ~(name.eq("resnet18") & cut.eq(3))]
    found = measured("b-21-every-cut", rows)
    assert found.estimate == pytest.approx(-1) and found.n == 4


def test_the_worst_level_of_noise_counts_and_only_networks_of_all_levels():
    errors = {
        10.0: dict(zip(NETS, (6, 5, 4, 3, 2, 1), strict=True)),
        30.0: dict(zip(NETS, (5, 6, 3, 4, 2, 1), strict=True)),
    }
    nets = [
        network(name, R, G=1 / R, noise=noise, error=by_name[name] / 10)
        for noise, by_name in errors.items()
        for name, R in NETS.items()
    ]
    rows = frame(*nets, network("vgg16", 50.0, noise=10.0))
    R, error = np.log(list(NETS.values())), np.log(list(errors[30.0].values()))
    found = measured("a-1-right-R", rows)
    assert found.n == 6 and found.estimate == pytest.approx(np.corrcoef(R, error)[0, 1])
    assert estimate("a-1-right-G", rows) == pytest.approx(-found.estimate)


def profiled(profiles, **more):
    """Networks with profiles of R and nothing at the output: {name: (trained, shuffled, ...)}."""
    rows = frame(*(network(name, 0.5, shuffles=1, profile=p, **more) for name, p in profiles.items()))
    return rows[rows["layer"] != "output"]


def test_two_of_three_rise_with_depth_before_training():
    up, down = (9, 1, 2, 3), (9, 3, 2, 1)
    rows = profiled({"vgg11_bn": (up,), "resnet18": (up,), "lenet": (down,)})
    rows["stage"] = rows["stage"].replace("trained", "init")
    assert estimate("a-3-D-not-before", rows) == pytest.approx(2 / 3)
    assert claims.rank_with_depth(rows, quantity="D", at_most=0, stage="init", seed=0).estimate == pytest.approx(1 / 3)
    assert claims.rank_with_depth(rows, quantity="D", seed=0).n == 0  # nothing is trained


def test_steps_down_are_those_of_the_trained_network():
    """From layer 1 on: 1 down to 0.8, up to 0.9, down to 0.4; with channels shuffled up all the way."""
    rows = profiled({"vgg11_bn": ((0.1, 1.0, 0.8, 0.9, 0.4), (0.1, 0.2, 0.3, 0.4, 0.5))})
    assert estimate("a-3-every-layer", rows) == pytest.approx(2 / 3)


def test_what_is_built_up_is_the_correlation_at_the_output():
    """log R at a quarter of the depth is turned: 1 - (-1)."""
    rows = frame(*(network(n, R, shuffles=1, profile=((1.0, 1 / R, 1.0, 1.0),)) for n, R in NETS.items()))
    found = measured("a-1-built-up", rows)
    assert found.estimate == pytest.approx(2) and found.n == 6


def test_overlap_is_of_the_first_half_and_late_of_the_last_third():
    """Layers at 1/4, 1/2 and 3/4. Early effects in one network of three, late ones in two."""
    trained = np.array([1.0, 0.9, 0.5, 0.25])
    factors = {"vgg11_bn": (1, 1.1, 1 / 1.2, 9), "resnet18": (1, 1.3, 1.3, 2), "lenet": (1, 3, 3, 1)}
    rows = profiled({name: (trained, trained * f) for name, f in factors.items()})
    assert estimate("a-3-overlap", rows) == pytest.approx(2 / 3)
    assert estimate("a-3-late", rows) == pytest.approx(2 / 3)
    assert estimate("a-3-parting", rows) == pytest.approx(2 / 3)
    half = rows.assign(R=rows["R"].mask(rows["depth"].eq(2) & rows["shuffle"].ge(0), 9.0))  # at half the depth
    assert estimate("a-3-overlap", half) == 0 and estimate("a-3-late", half) == pytest.approx(2 / 3)


def test_layers_and_ends_of_profiles():
    """Only the named layers move by 2; what is left of a fall that neither begins nor ends at one."""
    trained = np.array([9.0, 8.0, 4.0, 2.0])
    rows = profiled({"vgg11_bn": (trained, trained * (1, 5, 2, 2))})
    moved = {"layers": [2, 3], "families": ["vgg11_bn"], "seed": 0}
    assert claims.moved_layers(rows, **moved).estimate == pytest.approx(2)
    left = math.log(40 / 4) / math.log(8 / 2)
    assert claims.pooled_in_space(rows, seed=0).estimate == pytest.approx(left)
    thirds = frame(network("vgg11_bn", 2.0, shuffles=1, profile=((9.0, 8.0, 6.0, 3.0),)))  # 8, 6, 3, 2: ln 2 of ln 4
    assert claims.spread_of_gain(thirds, seed=0).estimate == pytest.approx(1 / 2)


def test_other_modes_count_by_their_number():
    """The constant mode grows fivefold, one pair of others threefold: 5 over (2·3 + 1 + 2 + 2 + 1)/8."""
    rows = frame(network("vgg11_bn", 0.1, growth=(5.0,)))
    rows.loc[rows["epoch"].eq(1) & rows["kind"].eq("modes"), "gamma_1"] = 3.0
    assert estimate("a-4-row-1-layers-2-4", rows) == pytest.approx(5 / 1.5)


def along(architecture, R, G, dataset="cifar10-jpeg"):
    """A network trained on 512, 2,048 and 8,192 images."""
    sizes = zip((512, 2048, 8192), R, G, strict=True)
    unit = {"dataset": dataset, "augment": dataset == "cifar10-jpeg"}
    return [row for P, r, g in sizes for row in network(architecture, r, G=g, train_size=P, epochs=10000 // P, **unit)]


def test_curves_are_compared_at_their_ends_and_on_the_data_asked_for():
    """R dips and rises again: from the smallest to the largest P it falls in two of three."""
    rows = frame(
        along("resnet10", (1, 0.2, 0.5), (1, 1, 4)),
        along("vgg11_bn", (1, 0.2, 0.25), (1, 9, 16)),
        along("vgg13_bn", (0.5, 0.2, 1.0), (1, 1, 1)),
        along("resnet10", (1, 0.2, 4.0), (1, 1, 1), dataset="mnist"),
    )
    falling = {"quantity": "R", "rising": False, "seed": 0}
    assert claims.share_of_curves(rows, **falling).estimate == pytest.approx(2 / 4)
    assert claims.share_of_curves(rows, families=["vgg11_bn"], **falling).estimate == 1
    steps = claims.share_of_steps(rows, quantity="R", rising=False, seed=0)  # each falls at first and rises then
    assert steps.n == 4 and steps.estimate == pytest.approx(1 / 2)
    assert claims.share_of_steps(rows, quantity="G", rising=True, seed=0).estimate == pytest.approx((1 / 2 + 1) / 4)
    here = claims.change_along(rows, quantity="R", datasets=["cifar10-jpeg"], seed=0)
    assert here.n == 3 and here.estimate == pytest.approx((0.5 * 0.25 * 2) ** (1 / 3))
    late = claims.change_along(rows, quantity="R", datasets=["cifar10-jpeg"], at_least=2048, seed=0)
    assert late.estimate == pytest.approx((2.5 * 1.25 * 5) ** (1 / 3))
    assert claims.change_along(rows, quantity="R", datasets=["mnist"], up_to=2048, seed=0).estimate == pytest.approx(
        0.2
    )


def test_small_R_and_a_fast_growing_G():
    """R at the end 0.25, 0.5, 1, 2; exponents of G 1/2, 1, 0, -1/2 by ranks: -0.8."""
    ends = {"vgg11_bn": (0.25, 0.5), "resnet10": (0.5, 1.0), "lenet": (1.0, 0.0), "alexnet": (2.0, -0.5)}
    rows = frame(*(along(n, (9.0, 9.0, R), [(P / 512) ** a for P in (512, 2048, 8192)]) for n, (R, a) in ends.items()))
    found = measured("b-6-noise-and-stability", rows)
    assert found.n == 4 and found.estimate == pytest.approx(-0.8)


def test_published_networks_on_other_sets_are_not_ours():
    rows = frame(
        network("lenet", 1.5, dataset="mnist", augment=False),
        network("alexnet", 9.0, dataset="mnist", augment=False, recipe="published"),
    )
    assert measured("b-20-mnist", rows).units == ("lenet on mnist",)
