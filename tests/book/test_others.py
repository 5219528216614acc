"""Networks of public repositories: rebuilding, the study's rows, its tables, and the measures of its claims."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from relbook import ledger
from relbook import registry as studies
from relbook.drawing import style
from relbook.studies.others import claims as measures
from relbook.studies.others import figures, networks, study, tables
from relstab import data
from relstab.probes.sensitivity import sensitivity
from relstab.random import seeded
from relstab.store import records
from relstab.train import error_rate

NETWORKS = study.entries("laptop")


def lossless_there():
    return any((place / "cifar10-lossless-6k.npz").is_file() for place in data.user_folders())


def weights_there():
    return any((place / "others" / "weights").is_dir() for place in data.user_folders())


# Rebuilding -----------------------------------------------------------------------------------------------------------


def test_a_chain_computes_what_its_layers_say():
    layers = [["conv", 3, 4, 3, 2, 1, 1, True], ["bn2", 4, 1e-3], ["leaky", 0.1], ["maxpool", 2, 2, 0], ["flatten"],
              ["linear", 4 * 64, 5, False]]  # fmt: skip
    model = networks.build({"kind": "seq", "layers": layers}, seed=1)
    state = {key: torch.rand_like(value.float()) for key, value in model.state_dict().items() if "num" not in key}
    state["1.num_batches_tracked"] = torch.tensor(0)
    networks.fill(model, state)
    x = torch.rand(2, 3, 32, 32)
    y = functional.conv2d(x, state["0.weight"], state["0.bias"], stride=2, padding=1)
    y = functional.batch_norm(
        y, state["1.running_mean"], state["1.running_var"], state["1.weight"], state["1.bias"], eps=1e-3
    )
    y = functional.max_pool2d(functional.leaky_relu(y, 0.1), 2).flatten(1) @ state["5.weight"].T
    torch.testing.assert_close(model(x), y)


def test_a_residual_network_of_one_block_adds_its_padded_shortcut():
    model = networks.build({"kind": "CifarResNet", "n": 1, "widths": [4, 8]})
    block = model.layer2[0]
    x = torch.rand(2, 4, 8, 8)
    main = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
    padded = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
    torch.testing.assert_close(block(x), torch.relu(main + padded))


def test_a_dense_block_appends_its_channels():
    block = networks.build({"kind": "DenseNetJason", "config": [1], "growth": 4, "init": 6}).features.denseblock1.block[
        0
    ]
    x = torch.rand(2, 6, 8, 8)
    y = block(x)
    assert y.shape[1] == 10
    torch.testing.assert_close(y[:, :6], x)


def test_a_mean_picture_is_taken_off_after_scaling():
    model = networks.build({"kind": "CaffeNet", "which": "quick"}, seed=3)
    x, mean = torch.rand(2, 3, 32, 32), torch.rand(3, 32, 32)
    model.mean.copy_(mean)
    shifted = model(x)
    model.mean.zero_()
    torch.testing.assert_close(shifted, model(x - mean / 255), rtol=1e-4, atol=1e-4)


def test_the_names_of_keras_lead_to_the_same_tensors():
    model = networks.build({"kind": "KerasResNetV1", "n": 2}, seed=5)
    back = {here: there for there, here in model.source_names.items()}

    def source(key):
        module, _, leaf = key.rpartition(".")
        return f"{back.get(module, module)}.{leaf}".lstrip(".")

    state = {source(key): value + 1 for key, value in model.state_dict().items()}
    assert {"convs.12.weight", "bns.12.running_var", "shorts.1.bias", "fc.weight", "mean"} <= set(state)
    other = networks.fill(networks.build({"kind": "KerasResNetV1", "n": 2}, seed=6), state)
    for key, value in other.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[key] + 1)


@pytest.mark.parametrize("kind", [kind for kind in networks.KINDS if kind != "seq"])
def test_every_kind_of_the_table_gives_logits_image_by_image(kind):
    spec = next(entry["spec"] for entry in NETWORKS.values() if entry["spec"]["kind"] == kind)
    model = networks.build(spec, seed=2)
    x = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        together, alone = model(x), model(x[1:2])
    assert together.shape == (3, 10)
    torch.testing.assert_close(together[1:2], alone, rtol=1e-3, atol=1e-4)
    table = sensitivity(model, x, batch_statistics=True, generator=seeded(0))
    assert len(table) > 3  # blocks or activations are found


def test_all_descriptions_have_the_parameters_that_the_table_counts():
    for name, entry in NETWORKS.items():
        model = networks.build(entry["spec"])
        assert sum(parameter.numel() for parameter in model.parameters()) == entry["parameters"], name
        channels = 1 if entry["dataset"] == "mnist" else 3
        assert len(networks.norm(entry["norm"], channels)[0]) == channels


def test_building_leaves_the_random_state_alone_and_follows_its_seed():
    spec = NETWORKS["ashu_vit"]["spec"]
    before = torch.get_rng_state()
    one, two, three = (networks.build(spec, seed=seed).pos_embed for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one, two) and not torch.equal(one, three)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: networks.build({"kind": "GoogLeNet"}), "kind is 'GoogLeNet'; it must be one of seq, "),
        (lambda: networks.build({"kind": "seq", "layers": [["dropout"]]}), "layers holds 'dropout'"),
        (lambda: networks.norm("zero", 3), "norm is 'zero'; it must be one of 01, "),
        (lambda: networks.build({"kind": "CaffeNet", "which": "full"}), "only the 'quick' network"),
        (lambda: networks.build({"kind": "Bn3ResNet", "mode": "y"}), "mode is 'y'"),
    ],
)
def test_what_cannot_be_built_is_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


# The study ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows():
    found = {}
    for unit in study.configs("tiny"):
        record = records.build(unit, records.key(unit), unit.run(), {})
        found[records.settings_hash(unit)] = record
    lines = [{**record["config"], **records.thaw(row)} for record in found.values() for row in record["rows"]]
    return pd.DataFrame(lines)


def test_two_networks_made_on_the_spot_give_every_kind_of_row(rows):
    assert set(rows["kind"]) == {"network", "sensitivity", "profile", "sweep", "shuffled", "matched", "matched_profile"}
    found = tables.found(rows)
    assert found["family"].tolist() == ["convolutional", "convolutional, batch norm"]
    assert (found["test_error"] < 0.65).all() and (found["refused"] == "").all()
    table = tables.networks(rows, dataset="fashion-mini")
    assert len(table) == 2
    assert (table["R_low"] < table["R"]).all() and (table["R"] < table["R_high"]).all()
    assert table["R"].iloc[1] < table["R_init"].iloc[1] / 3  # training lowers R, with batch norm


def test_one_draw_is_what_sensitivity_measures(rows):
    unit = study.configs("tiny")[0]
    model = networks.fill(networks.build(unit.entry["spec"]), study.tensors(unit))
    images = unit.inputs(model, study.image_sets(unit.dataset)["test"], 60)
    found = study.summaries([study.responses(model, images, displacement=1.0, cut=3)], resamples=20)
    for statistic, numbers in found.items():
        table = sensitivity(model, images, layers="output", statistic=statistic, generator=seeded("probe"))
        for name in ("D", "G", "R"):
            assert numbers[name] == pytest.approx(float(table[name].iloc[0]), rel=1e-4)


def test_draws_are_pooled_and_tighten_the_interval():
    generator = np.random.default_rng(0)
    clean = generator.normal(size=(200, 3))
    draws = [
        np.stack([clean, clean + generator.normal(size=(200, 3)), clean + 2 * generator.normal(size=(200, 3))])
        for _ in range(8)
    ]
    one, all_ = (study.summaries(draws[:count], resamples=300)["mean"] for count in (1, 8))
    assert all_["R"] == pytest.approx(0.25, abs=0.02)
    assert all_["R_low"] < 0.25 < all_["R_high"]
    assert all_["R_high"] - all_["R_low"] < 0.6 * (one["R_high"] - one["R_low"])


def test_re_estimated_statistics_are_those_of_the_images():
    model = networks.build({"kind": "seq", "layers": [["bn2", 3, 1e-5], ["gap"], ["flatten"]]})
    images = torch.randn(300, 3, 8, 8) * 3 + 2
    norm = study.with_statistics_of(model, images)[0]
    torch.testing.assert_close(norm.running_mean, images.mean((0, 2, 3)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(norm.running_var, images.var((0, 2, 3)), atol=0.05, rtol=0.02)
    assert not norm.training and torch.equal(model[0].running_var, torch.ones(3))


def test_missing_weights_are_named_with_their_source(monkeypatch, tmp_path):
    monkeypatch.setenv("RELSTAB_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "require", lambda name, download: None)
    unit = next(unit for unit in study.configs("laptop") if unit.name == "elanury_cifar10_model")
    with pytest.raises(FileNotFoundError, match=r"there is no others/weights in .*; networks\.json of the study names"):
        unit.require()
    (tmp_path / "others" / "weights").mkdir(parents=True)
    with pytest.raises(
        FileNotFoundError, match=r"cifar10_model\.pth of the public repository ElanurY/.* at commit 29b4"
    ):
        unit.require()
    study.configs("tiny")[0].require()


def test_other_tensors_are_refused(monkeypatch, tmp_path):
    unit = next(unit for unit in study.configs("laptop") if unit.name == "dango_f_models_mlp")
    file = tmp_path / "others" / "weights" / f"{unit.name}.pt"
    file.parent.mkdir(parents=True)
    torch.save(networks.build(unit.entry["spec"]).state_dict(), file)
    monkeypatch.setenv("RELSTAB_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="is not the network of the table: its digest is"):
        study.tensors(unit)


def test_units_come_once_with_the_fields_of_other_studies():
    units = studies.configs("others", "laptop")
    assert len({unit.name for unit in units}) == len(units) // 2 == 116
    assert {unit.recipe for unit in units} == {"published"}
    assert sum(unit.cost_minutes for unit in units) < 240
    for kind in (study.Network, study.Matched):
        costs = [unit.cost_minutes for unit in units if type(unit) is kind]
        assert len(costs) == 116 and costs == sorted(costs)


@pytest.mark.data
@pytest.mark.skipif(not (lossless_there() and weights_there()), reason="needs the weights and CIFAR-10 in RELSTAB_DATA")
@pytest.mark.parametrize("name", ["akamaster_resnet20", "oval_sgd_8px"])
def test_networks_reach_the_error_that_their_source_states(name):
    unit = next(unit for unit in study.configs("laptop") if unit.name == name)
    model = networks.fill(networks.build(unit.entry["spec"]), study.tensors(unit))
    test = data.load("cifar10-lossless").test
    error = error_rate(model, test.images, test.labels, normalise=unit.normalise)
    assert abs(error - unit.entry["published_error"]) < tables.STATED_WITHIN


# Tables and claims ----------------------------------------------------------------------------------------------------


def made_up(lines):
    """Rows of networks: dicts of name, repository, error, train, R and, if wanted, G, R_init, G_init, robust, ..."""
    rows = []
    for line in lines:
        line = {
            "repository": line["name"],
            "dataset": "cifar10-lossless",
            "architecture": "c8k3 fc10",
            "robust": False,
            "stated": math.nan,
            "G": 1.0,
            "R_init": 1.0,
            "G_init": 1.0,
            "shuffled": 2 * line["R"],
            "gaussian": line["R"],
            "matched": 2 * line["R"],
            "matched_init": 1.0,
            **line,
        }
        base = {"name": line["name"], "dataset": line["dataset"], "architecture": line["architecture"]}
        rows.append({**base, "kind": "network", "repository": line["repository"], "robust": line["robust"],
                     "test_error": line["error"], "train_error": line["train"], "published_error": line["stated"],
                     "error_jpeg": line["error"], "parameters": 10})  # fmt: skip
        common = {**base, "images": line["dataset"], "cut": 3, "layer": "output", "shuffle": -1}
        for statistic in ("mean", "component_median"):
            for stage, end in (("trained", ""), ("init", "_init")):
                R, G = line[f"R{end}"], line[f"G{end}"]
                rows.append(
                    {
                        **common,
                        "kind": "sensitivity",
                        "stage": stage,
                        "statistic": statistic,
                        "displacement": 1.0,
                        "interpolation": "bilinear",
                        "D": R * G,
                        "G": G,
                        "R": R,
                        "R_low": R / 2,
                        "R_high": 2 * R,
                    }
                )
                rows.append({**rows[-1], "kind": "matched", "R": line[f"matched{end}"]})
            for kind, R in (("bilinear", line["R"]), ("gaussian", line["gaussian"])):
                for displacement in (1.0, 2.0):
                    rows.append({**common, "kind": "sweep", "stage": "trained", "statistic": statistic, "R": R, "D": R,
                                 "G": 1.0, "displacement": displacement, "interpolation": kind})  # fmt: skip
        rows.append({**common, "kind": "shuffled", "stage": "trained", "statistic": "mean", "batch_norm": "recorded",
                     "R": line["shuffled"], "D": 1.0, "G": 1.0})  # fmt: skip
    return pd.DataFrame(rows)


def collection(count=12, *, exponent=0.5, prefactor=0.2, train=0.01, prefix="fit", **more):
    Rs = np.geomspace(0.1, 4, count)
    return [
        {"name": f"{prefix}{k}", "R": R, "error": prefactor * R**exponent, "train": train, **more}
        for k, R in enumerate(Rs)
    ]


def loose(count=12):
    """Networks that do not fit: errors that have nothing to do with R."""
    Rs = np.geomspace(0.1, 4, count)
    return [{"name": f"loose{k}", "R": R, "error": 0.4 + 0.1 * (-1) ** k, "train": 0.35} for k, R in enumerate(Rs)]


def measured(id_, rows, **changes):
    claim = next(claim for claim in ledger.claims() if claim.id == id_)
    return claim.measured({"others": rows})


def test_networks_are_refused_by_their_error_and_counted():
    lines = [
        {"name": "good", "error": 0.3, "train": 0.1, "R": 1.0},
        {"name": "bad", "error": 0.66, "train": 0.1, "R": 1.0},
        {"name": "digits", "error": 0.21, "train": 0.1, "R": 1.0, "dataset": "mnist"},
        {"name": "other", "error": 0.3, "train": 0.1, "R": 1.0, "stated": 0.26},
        {"name": "near", "error": 0.3, "train": 0.1, "R": 1.0, "stated": 0.275},
    ]
    rows = made_up(lines)
    assert tables.networks(rows)["name"].tolist() == ["good", "near"]
    assert tables.refusals(rows)["networks"].tolist() == [5, 2, 2, 1]


def test_a_perfect_law_is_found_among_the_fitted_and_not_among_the_rest():
    rows = made_up(collection() + loose())
    found = measured("o-others-fitted", rows)
    assert found.estimate == pytest.approx(1) and set(found.units) == {f"fit{k}" for k in range(12)}
    assert measured("b-others-exponent", rows).estimate == pytest.approx(0.5)
    assert measured("b-others-prefactor", rows).estimate == pytest.approx(0.2)
    other = measured("o-others-not-fitted", rows)
    assert abs(other.estimate) < 0.2 and set(other.units) == {f"loose{k}" for k in range(12)}
    difference = measured("o-others-difference", rows)
    assert difference.estimate == pytest.approx(1 - other.estimate)
    assert difference.low > 0 and len(difference.units) == 24
    assert len(measured("b-others-correlation", rows).units) == 24
    assert measured("o-others-scatter", rows).estimate > 10


def test_networks_of_one_repository_share_one_weight():
    many = [{"name": f"fork{k}", "repository": "course", "R": 1.0, "error": 0.6, "train": 0.01} for k in range(50)]
    rows = made_up(collection() + many)
    found = measured("b-others-prefactor", rows)
    assert found.groups == 13
    assert found.estimate == pytest.approx(np.exp((12 * np.log(0.2) + np.log(0.6)) / 13))


def test_robust_networks_enter_only_where_the_population_says_so():
    robust = [
        {"name": f"robust{k}", "R": 3 * (0.3 / 0.2) ** 2, "error": 0.3, "train": 0.01, "robust": True} for k in range(6)
    ]
    rows = made_up(collection() + robust)
    for claim in ledger.claims():
        if claim.folder == "others" and "robust" not in claim.population:  # which names them where they enter
            assert not any(unit.startswith("robust") for unit in claim.measured({"others": rows}).units), claim.id
    found = measured("o-others-robust", rows)
    assert found.estimate == pytest.approx(3) and found.enough
    assert not measured("o-others-robust", made_up(collection() + robust[:5])).enough


def test_networks_below_the_law_are_counted_by_repository():
    """Seven on the law; one errs three times less than 0.2 √R, one a little less, and a robust one twice less."""
    lines = [
        *collection(7),
        {"name": "low", "error": 0.04, "train": 0.01, "R": 0.36},
        {"name": "near", "error": 0.09, "train": 0.01, "R": 0.25},
        {"name": "robust", "error": 0.1, "train": 0.01, "R": 1.0, "robust": True},
    ]
    found = measured("b-others-bound", made_up(lines))
    assert found.estimate == pytest.approx(0.2) and found.n == 10
    assert measured("b-others-bound", made_up(lines[:8])).estimate == pytest.approx(1 / 8)


def test_correlations_at_other_cuts_and_displacements():
    """At c = 3 the law is perfect; at c = 5 and at δ = 2 R is turned over, or nearly nothing is left of it."""
    rows = made_up(collection(8))
    wide = rows[rows["kind"].eq("sensitivity") & rows["stage"].eq("trained")]
    rows = pd.concat([rows, wide.assign(cut=5, R=1 / wide["R"])], ignore_index=True)
    assert measured("b-others-every-cut", rows).estimate == pytest.approx(-1)
    assert measures.weakest_correlation(rows, cuts=[3], seed=0).estimate == pytest.approx(1)
    assert measured("b-others-displacement", rows).estimate == pytest.approx(1)
    at_two = rows["kind"].eq("sweep") & rows["displacement"].eq(2)
    rows.loc[at_two, "R"] = 1 / rows["R"]
    found = measured("b-others-displacement", rows)
    assert found.estimate == pytest.approx(-1) and found.n == 8
    assert measures.displaced_correlation(rows, displacement=1.0, seed=0).estimate == pytest.approx(1)


def test_R_is_compared_with_D_and_G_among_the_fitted():
    """D = 1 throughout says nothing, G = 1/R says all; R before training is the same for all but one."""
    lines = [line | {"G": (1 + k % 2) / line["R"]} for k, line in enumerate(collection(8))]
    lines[0]["R_init"] = 2.0
    rows = made_up(lines + loose())
    both, G = (measures.margin(rows, over=over, seed=0) for over in ("DG", "G"))
    D = measured("b-others-D-weaker", rows)
    assert 0 < both.estimate == pytest.approx(min(D.estimate, G.estimate)) and D.n == 8
    assert D.estimate > measured("b-others-G-weaker", rows).estimate == pytest.approx(G.estimate)
    assert measured("a-others-R-best", rows).estimate == pytest.approx(both.estimate)
    assert abs(measured("a-others-not-at-init", rows).estimate) < 0.7


def test_outputs_of_families():
    """Two residual networks, at 0.1 and 0.4, and a connected one; before training 1 and 4."""
    lines = [{"name": f"res{k}", "architecture": "CifarResNet n=3", "R": 0.1 * 4**k, "R_init": 4.0**k, "error": 0.1,
              "train": 0.01 + 0.5 * k} for k in (0, 1)]  # fmt: skip
    rows = made_up(
        [*lines, {"name": "fc", "architecture": "fc10", "R": 9.0, "error": 0.3, "train": 0.01}, *collection(3)]
    )
    chosen = {"families": ["residual"], "seed": 0}
    assert math.isnan(measures.output(rows, **chosen).estimate), "two networks are too few for anything"
    more = made_up([*lines, *({**line, "name": f"again{k}"} for k, line in enumerate(lines))])
    assert measures.output(more, **chosen).estimate == pytest.approx(0.2)
    assert measures.output(more, stage="init", **chosen).estimate == pytest.approx(2)
    assert math.isnan(measures.output(more, group="fitted", **chosen).estimate)


def test_two_variables_are_told_apart():
    generator = np.random.default_rng(1)
    D, G = np.exp(generator.normal(size=(2, 20)))
    lines = [
        {"name": f"n{k}", "R": d / g, "G": g, "error": 0.2 * d**0.3 * g**-0.1, "train": 0.01}
        for k, (d, g) in enumerate(zip(D, G, strict=True))
    ]
    rows = made_up(lines)
    numbers = {name: measured(f"o-others-two-{name}", rows).estimate for name in ("D", "G", "ratio")}
    assert numbers == pytest.approx({"D": 0.3, "G": -0.1, "ratio": 0.2}, abs=1e-6)
    assert measured("a-others-D", rows).estimate > 0 > measured("a-others-G", rows).estimate


def test_the_gap_is_test_less_training_error():
    lines = [
        {"name": f"n{k}", "R": R, "train": 0.05 * k, "error": 0.05 * k + 0.1 * R}
        for k, R in enumerate(np.geomspace(0.1, 2, 8))
    ]
    rows = made_up(lines)
    table = tables.natural(rows)
    error = float(np.corrcoef(np.log(table["R"]), np.log(table["test_error"]))[0, 1])
    assert measured("o-others-gap", rows).estimate == pytest.approx(1)
    assert measured("o-others-gap-better", rows).estimate == pytest.approx(1 - error)


def test_gains_and_shares_are_counted_network_by_network():
    gained = collection(prefix="fit", G=2.0, G_init=1.0)
    lost = [{**line, "G": 0.5, "R_init": 0.01} for line in loose()]
    rows = made_up(gained + lost)
    assert measured("a-others-gain", rows).estimate == 1
    assert measured("o-others-gain", rows).estimate == pytest.approx(4)
    falls = [line["R"] < 1 for line in gained] + [False] * len(lost)
    assert measured("b-others-training-lowers-R", rows).estimate == pytest.approx(np.mean(falls))


def test_shuffles_interpolations_and_resnets_are_read_from_their_rows():
    lines = collection(8, shuffled=0.01) + [
        {**line, "name": f"up{k}", "shuffled": 99.0} for k, line in enumerate(collection(8))
    ]
    lines = [{**line, "gaussian": line["R"] / 1.5} for line in lines]
    lines += [{**line, "name": f"fc{k}", "architecture": "fc10"} for k, line in enumerate(collection(8))]
    rows = made_up(lines)
    assert measured("a-others-shuffling", rows).estimate == pytest.approx(0.5)
    assert measured("b-others-interpolation", rows).estimate == pytest.approx(1.5 ** (16 / 24))
    resnets = [
        {**line, "name": f"res{k}", "architecture": "CifarResNet n=3", "error": 1.3 * line["error"]}
        for k, line in enumerate(collection(4))
    ]
    found = measured("b-others-resnets", made_up(lines + resnets))
    assert found.estimate == pytest.approx(1.3) and len(found.units) == 4


def wavy(size, **more):
    """Twelve networks about the law, off it by a factor that is orthogonal to one and to log R: up, down, down, up."""
    lines = collection(**more)
    turns = (1, -1, -1, 1) * 3
    return [{**line, "error": line["error"] * math.exp(size * turn)} for line, turn in zip(lines, turns, strict=True)]


def test_the_scatter_is_that_about_the_groups_own_line():
    """Root mean squares of 0.1 and 0.3; networks between the groups, however wild, belong to neither."""
    between = [{"name": f"mid{k}", "R": 10.0**k, "error": 0.05 + 0.1 * (k % 2), "train": 0.15} for k in range(5)]
    rows = made_up(wavy(0.1) + wavy(0.3, prefix="loose", train=0.35) + between)
    found = measured("o-others-scatter", rows)
    assert found.estimate == pytest.approx(3) and len(found.units) == 24
    assert not any(unit.startswith("mid") for unit in measured("o-others-difference", rows).units)
    assert len(measured("b-others-correlation", rows).units) == 29


def test_a_gain_is_over_the_start():
    """G of the fitted goes from 4 to 2, of the others from 2 to 4: a quarter."""
    lines = collection(G=2.0, G_init=4.0) + [{**line, "G": 4.0, "G_init": 2.0} for line in loose()]
    assert measured("o-others-gain", made_up(lines)).estimate == pytest.approx(1 / 4)
    assert measured("a-others-gain", made_up(lines)).estimate == 0


def test_shuffles_are_of_natural_convolutional_networks_with_statistics_estimated_again():
    """Three of four rise; as recorded all fall. Robust, fully connected and MNIST networks fall and do not enter."""
    four = [{"name": f"net{k}", "R": 1.0, "error": 0.2, "train": 0.01, "shuffled": 2.0 if k else 0.5} for k in range(4)]
    others = [{"architecture": "fc10"}, {"robust": True}, {"dataset": "mnist", "error": 0.1}]
    out = [four[0] | {"name": f"out{k}"} | more for k, more in enumerate(others)]
    rows = made_up(four + out)
    again = rows[rows["kind"] == "shuffled"].assign(batch_norm="re-estimated")
    recorded = rows.assign(R=rows["R"].mask(rows["kind"] == "shuffled", 0.1))
    found = measured("a-others-shuffling", pd.concat([recorded, again]))
    assert found.estimate == pytest.approx(3 / 4) and len(found.units) == 4


def test_matched_noise_is_read_from_its_own_rows():
    lines = [{**line, "matched": 3 * line["R"], "matched_init": 0.7} for line in collection()]
    rows = made_up(lines)
    assert measured("o-matched-factor", rows).estimate == pytest.approx(3)
    assert measured("o-matched-law", rows).estimate == pytest.approx(0)
    assert measured("o-matched-start", rows).estimate == pytest.approx(0.7)
    assert measured("o-matched-below-one", rows).estimate == np.mean([3 * line["R"] < 1 for line in lines])
    unrelated = [{**line, "matched": 1 + 0.5 * (-1) ** k} for k, line in enumerate(lines)]
    assert measured("o-matched-law", made_up(unrelated)).estimate < -0.5
    assert math.isnan(measured("o-matched-factor", rows[rows["kind"] != "matched"]).estimate)


def test_matched_noise_has_the_deformations_of_the_white_one(rows):
    one = rows[(rows["stage"] == "trained") & (rows["statistic"] == "mean") & (rows["cut"] == 3)]
    one = one[(one["layer"] == "output") & (one["images"] == one["dataset"])].set_index("name")
    white, matched = (one[one["kind"] == kind] for kind in ("sensitivity", "matched"))
    assert np.allclose(white["D"], matched["D"], rtol=1e-6) and (white["G"] != matched["G"]).all()


def test_mnist_is_a_population_of_its_own():
    digits = [{**line, "dataset": "mnist", "error": line["error"] / 10} for line in collection(prefix="digit")]
    rows = made_up(collection() + digits)
    assert all(unit.startswith("digit") for unit in measured("b-others-mnist", rows).units)
    assert not any(unit.startswith("digit") for unit in measured("b-others-correlation", rows).units)


@pytest.mark.parametrize(
    "claim", [claim for claim in ledger.claims() if claim.folder == "others"], ids=lambda claim: claim.id
)
def test_a_claim_says_nothing_without_rows_and_little_of_few_networks(claim):
    assert math.isnan(claim.measured({"others": pd.DataFrame()}).estimate)
    few = made_up(collection(3))
    found = claim.measured({"others": few})
    assert math.isnan(found.estimate) or not found.enough or claim.id == "b-others-resnets"
    assert claim.judge({"others": few}, "laptop")["verdict"] in ("not tested", "undecided")
    assert hasattr(measures, claim.measure)


# Figures --------------------------------------------------------------------------------------------------------------


def drawn_points(ax):
    """{(x, y)} of the symbols of a panel."""
    return {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in ax.lines if len(line.get_xdata()) == 1}


def zoo_of_families():
    shapes = ["CifarResNet n=3", "DenseNetEric", "c8k3 bn fc10", "c8k3 fc10", "AshuViT", "fc10"]
    lines = [
        {**line, "name": f"{line['name']}-{k}", "architecture": shape, "R_init": 2.0}
        for k, shape in enumerate(shapes)
        for line in collection(3) + loose(3)
    ]
    lines.append({"name": "hard", "R": 9.0, "error": 0.4, "train": 0.4, "robust": True})
    lines.append({"name": "refused", "R": 9.0, "error": 0.7, "train": 0.7})
    return made_up(lines)


def test_every_network_that_is_not_refused_is_a_point():
    rows = zoo_of_families()
    table = tables.networks(rows)
    assert len(table) == 37
    ax = figures.error(rows).axes[0]
    assert drawn_points(ax) == set(zip(table["R"], table["test_error"], strict=True))
    rings = [line for line in ax.lines if len(line.get_xdata()) == 1 and line.get_markersize() == style.RING["ms"]]
    assert [float(line.get_xdata()[0]) for line in rings] == [9.0]
    fitted, other = (figures._colour(error) for error in (0.01, 0.35))
    shown = [line for line in ax.lines if len(line.get_xdata()) == 1 and line not in rings]
    assert {line.get_color() for line in shown} == {fitted, other, figures._colour(0.4)}
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert labels[:2] == [r"$0.2\,\sqrt{R_f}$, Petrini 2021", "fitted networks, exponent 0.50"]
    assert labels[2:] == [*tables.FAMILIES, "robust"]


def test_profiles_are_drawn_by_family_with_their_median():
    """Two chains whose R falls as 1/4 and as 1/16 of the depth, a dense network, and one that is refused."""
    lines = [
        {"name": "a", "R": 1.0, "error": 0.1, "train": 0.01},
        {"name": "b", "R": 1.0, "error": 0.2, "train": 0.3},
        {"name": "c", "R": 1.0, "error": 0.3, "train": 0.3, "architecture": "fc10"},
        {"name": "bad", "R": 1.0, "error": 0.9, "train": 0.9},
    ]
    profiles = [
        {
            "name": name,
            "kind": "profile",
            "dataset": "cifar10-lossless",
            "architecture": shape,
            "stage": stage,
            "layer": f"l{k}",
            "depth": k,
            "relative_depth": k / 2,
            "D": 1.0,
            "G": 1.0,
            "R": by * base ** -(k / 2),
        }
        for name, base, shape in (
            ("a", 4.0, "c8k3 fc10"),
            ("b", 16.0, "c8k3 fc10"),
            ("c", 9.0, "fc10"),
            ("bad", 3.0, "fc10"),
        )
        for stage, by in (("trained", 1.0), ("init", 5.0))
        for k in range(3)
    ]
    fig = figures.depth_profiles(pd.concat([made_up(lines), pd.DataFrame(profiles)], ignore_index=True), depths=(0, 1))
    chains, dense = fig.axes[:2]
    assert [ax.get_title() for ax in (chains, dense)] == ["convolutional: 2", "fully connected: 1"]
    thin = [
        line.get_ydata().tolist() for line in chains.lines if line.get_linewidth() == 0.8 and len(line.get_xdata()) == 3
    ]
    assert thin == [pytest.approx([1, 0.5, 0.25]), pytest.approx([1, 0.25, 1 / 16])]
    thick = {line.get_linestyle(): line.get_ydata().tolist() for line in chains.lines if line.get_marker() == "o"}
    assert thick == {"-": pytest.approx([1, 1 / 8]), "--": pytest.approx([5, 5 / 8])}  # between 1/4 and 1/16
    assert len(dense.lines) == 4  # the refused one is none of them
    assert any("no networks" in text.get_text() for text in figures.depth_profiles(pd.DataFrame()).axes[0].texts)


def test_the_three_sensitivities_share_the_axis_of_the_error():
    rows = zoo_of_families()
    table = tables.networks(rows, statistic="mean")
    axes = figures.sensitivities(rows).axes[:3]
    for ax, quantity in zip(axes, "DGR", strict=True):
        assert drawn_points(ax) == set(zip(table[quantity], table["test_error"], strict=True))
        assert ax.get_ylim() == axes[0].get_ylim()


def test_the_sweep_shows_medians_of_both_groups_and_interpolations():
    rows = made_up([{**line, "gaussian": line["R"] / 2} for line in collection(5) + loose(5)])
    medians = {
        group: choose(tables.natural(rows))["R"].median()
        for group, choose in (("fit", tables.fitted), ("loose", tables.not_fitted))
    }
    for ax, median in zip(figures.against_displacement(rows).axes, medians.values(), strict=True):
        thick = [line for line in ax.lines if line.get_marker() in ("o", "s")]
        assert [line.get_ydata()[0] for line in thick] == pytest.approx([median, median / 2])
        assert "5 networks" in ax.get_title()


def test_a_perfect_fit_by_two_variables_lies_on_the_diagonal():
    generator = np.random.default_rng(1)
    D, G = np.exp(generator.normal(size=(2, 12)) / 3)
    lines = [
        {"name": f"n{k}", "R": d / g, "G": g, "error": 0.2 * d**0.3 * g**-0.1, "train": 0.01}
        for k, (d, g) in enumerate(zip(D, G, strict=True))
    ]
    left, right = figures.two_variables(made_up(lines)).axes[:2]
    assert all(x == pytest.approx(y) for x, y in drawn_points(right))
    assert not all(x == pytest.approx(y, rel=1e-3) for x, y in drawn_points(left))
    assert right.get_title() == r"$\varepsilon \propto D_f^{0.30}\,G_f^{-0.10}$"


def test_changes_are_ratios_to_initialisation_and_of_shuffles():
    rows = made_up(collection(4, R_init=2.0, G=3.0, G_init=1.0))
    R = tables.networks(rows)["R"]
    for ax, ratios in zip(figures.changes(rows).axes, (3 * R / 2, 0 * R + 3, R / 2, 0 * R + 2), strict=True):
        shown = [float(line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"]
        assert shown == pytest.approx(ratios.tolist())


@pytest.mark.parametrize("name", ["error", "sensitivities", "against_displacement", "two_variables", "changes"])
def test_figures_without_networks_say_so(name):
    empty = pd.DataFrame({"kind": [], "name": []})
    fig = getattr(figures, name)(empty)
    assert all(not ax.axison for ax in fig.axes)


def test_the_page_shows_every_claim_once():
    assert sorted(measures.IDS) == sorted(claim.id for claim in ledger.claims() if claim.folder == "others")


def test_the_whole_table_names_sources_and_the_page_counts_families():
    name = "elanury_cifar10_model"
    rows = made_up([*collection(4), {"name": name, "R": 1.0, "error": 0.9, "train": 0.9}])
    table = tables.everything(rows, NETWORKS).set_index("name")
    assert table.loc[name, "commit"] == NETWORKS[name]["commit"] and table.loc[name, "refused"] == tables.REASONS[0]
    assert table.loc["fit0", "R"] == pytest.approx(0.1) and table.loc["fit0", "R_mean_init"] == 1
    assert tables.by_family(rows).iloc[0].tolist()[:4] == ["convolutional", 4, 4, 4]
    assert len(tables.everything(pd.DataFrame(), NETWORKS)) == 0


def test_outliers_are_the_networks_farthest_from_the_line():
    rows = made_up([*collection(8), {"name": "far", "R": 0.1, "error": 0.6, "train": 0.5}])
    found = tables.outliers(rows, 1)
    assert found["factor"].iloc[0] == pytest.approx(0.6 / (0.2 * 0.1**0.5))


def test_factors_of_training_are_geometric_means_with_one_weight_a_repository():
    forks = [
        {"name": f"fork{k}", "repository": "course", "R": 1.0, "G": 4.0, "error": 0.3, "train": 0.01} for k in range(2)
    ]
    rows = made_up([*forks, {"name": "own", "R": 1.0, "G": 1.0, "error": 0.3, "train": 0.01}, *loose(3)])
    found = tables.factors(rows).set_index("networks with a training error")
    assert found["repositories"].tolist() == [2, 3]
    assert found.loc["below 0.1", "G"] == pytest.approx(2)
    assert found.loc["of 0.2 and more", "G"] == pytest.approx(1)


def test_matched_noise_is_drawn_against_white_noise_and_the_error():
    lines = [{**line, "matched": 3 * line["R"]} for line in collection(5)]
    left, centre, _ = figures.matched(made_up(lines)).axes[:3]
    assert {(round(x, 9), round(y, 9)) for x, y in drawn_points(left)} == {
        (round(line["R"], 9), round(3 * line["R"], 9)) for line in lines
    }
    assert {(round(x, 9), round(y, 9)) for x, y in drawn_points(centre)} == {
        (round(3 * line["R"], 9), round(line["error"], 9)) for line in lines
    }
