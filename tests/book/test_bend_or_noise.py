"""Bend or noise: the study's rows, the explorer made of them,
and that its script computes what the package computes.
"""

import importlib
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
import torch

from relbook import explorers, registry, scales
from relbook.drawing.pictures import portrait
from relbook.studies.bend_or_noise import study
from relstab import diffeo

module = importlib.import_module("relbook.explorers.bend_or_noise")  # the package's attribute is the function


def rows():
    """Three networks whose D tells network, stage, δ and c apart."""
    found = []
    for index, name in enumerate(module.NAMES):
        for place, stage in enumerate(("init", "trained")):
            for displacement in (0.5, 1.0):
                for cut in (2, 3):
                    D = (index + 1) * 0.1 + place * 0.01 + displacement * 0.001 + cut * 0.0001
                    found.append({"kind": "sensitivity", "architecture": name, "stage": stage, "cut": cut,
                                  "displacement": displacement, "D": D, "G": 0.5, "R": 2 * D})  # fmt: skip
    return pd.DataFrame(found)


def embedded(display):
    """The data that the page carries."""
    text = display.bundle["text/html"]
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[1])


@pytest.mark.parametrize("scale", scales.SCALES)
def test_units_are_three_networks_with_the_same_grid(scale):
    units = study.configs(scale)
    assert len({(unit.displacements, unit.cuts, unit.probes) for unit in units}) == 1
    if scale != "tiny":
        assert [unit.architecture for unit in units] == list(module.NAMES)


def test_a_unit_gives_every_pair_before_and_after_training():
    (unit,) = study.configs("tiny")
    table = pd.DataFrame(unit.run())
    found = table[table["kind"] == "sensitivity"]
    assert sorted(found["stage"]) == ["init", "trained"]
    assert (found["images_probed"] == unit.probes).all()
    assert found["D"].div(found["G"]).to_numpy() == pytest.approx(found["R"].to_numpy())
    assert found["R"].nunique() == 2
    assert table["test_error"].dropna().between(0, 1).all()


def test_published_rows_fill_the_grid():
    table = registry.shown("bend_or_noise", "laptop")
    found = table[table["kind"] == "sensitivity"]
    counts = found.groupby(["architecture", "stage"])[["D", "G", "R"]].count()
    assert (counts == 35).all(axis=None)
    assert len(counts) == 6


def test_tables_lead_to_the_row_of_a_network():
    data = embedded(explorers.bend_or_noise(rows(), [portrait(32)]))
    assert data["displacements"] == [0.5, 1.0]
    assert data["cuts"] == [2, 3]
    assert data["networks"][1]["D"]["trained"][0][1] == pytest.approx(0.2108, abs=5e-4)
    assert data["networks"][2]["R"]["init"][1][0] == pytest.approx(2 * 0.3012, abs=5e-4)
    assert data["temperatures"] == [diffeo.temperature(1.0, cut, 32) for cut in (2, 3)]


def test_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match="none of the networks"):
        explorers.bend_or_noise(rows().query("architecture == 'other'"), [portrait(32)])
    with pytest.raises(ValueError, match=r"start is \(7, 3\)"):
        explorers.bend_or_noise(rows(), [portrait(32)], start=(7, 3))


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed here")
@pytest.mark.parametrize(("displacement", "cut", "size"), [(1.0, 3, 32), (4.0, 12, 32), (3.0, 5, 40)])
def test_the_script_warps_as_the_package_does(displacement, cut, size):
    image = portrait(size).double()
    coefficients = torch.tensor(module.coefficients(cut, 2, seed=0), dtype=torch.float64)[1:]
    T = diffeo.temperature(displacement, cut, 32)
    field = diffeo.displacement_field(coefficients, T, size)
    bent = diffeo.warp(image[None], field)[0]
    given = {"C": coefficients[0].tolist(), "T": T, "n": size, "image": image.flatten(1).tolist()}
    program = f"""
      const {{ field, warp, noisy, norm, combine }} = require({json.dumps(str(module.SCRIPT))});
      const given = JSON.parse(require("fs").readFileSync(0));
      const {{ tau, folds }} = field(given.C, given.T, given.n), bent = warp(given.image, tau, given.n);
      const size = norm(combine(bent, given.image, -1)), noise = noisy(given.image, size, 3);
      const lists = (parts) => parts.map((part) => [...part]);
      console.log(JSON.stringify({{ tau: lists(tau), folds: folds.some(Boolean), bent: lists(bent), size,
        eta: lists(combine(noise, given.image, -1)) }}));"""
    done = subprocess.run(["node", "-e", program], input=json.dumps(given), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert torch.tensor(found["tau"]).reshape(2, size, size) == pytest.approx(field[0].numpy(), abs=1e-5)
    assert torch.tensor(found["bent"]).reshape(3, size, size) == pytest.approx(bent.numpy(), abs=1e-5)
    assert found["size"] == pytest.approx((bent - image).norm().item(), rel=1e-6)
    assert found["folds"] is not diffeo.is_bijective(field).item()
    eta = torch.tensor(found["eta"])
    assert eta.norm().item() == pytest.approx(found["size"], rel=1e-5)
    assert abs(eta.mean().item()) < 4 * eta.std().item() / eta.numel() ** 0.5  # white: no mean,
    assert (eta.std(1) / eta.std() - 1).abs().max() < 0.1  # the same size in every channel,
    assert torch.corrcoef(eta).fill_diagonal_(0).abs().max() < 0.1  # each on its own
