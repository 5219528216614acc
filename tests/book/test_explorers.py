"""The explorers: every frame is in the page, says what it shows in words,
and follows controls linked in the browser.
"""

import base64
import functools
import io
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

pytest.importorskip("ipywidgets")

import ipywidgets as widgets

from relbook import explorers
from relbook.drawing.pictures import chart, clothing, portrait
from relbook.explorers import controls, modes
from relstab import diffeo, theory

UNIT = {"width": 1.0, "train_size": 0, "noise": 0.0, "augment": False, "recipe": "one_cycle", "epochs": 4, "seed": 0}


def inside(widget):
    """The widget and everything inside it, in order."""
    return [widget, *(inner for child in getattr(widget, "children", ()) for inner in inside(child))]


def frames(widget):
    """The HTML of the frames, in order."""
    return [model.value for model in inside(widget) if 'class="frame"' in str(getattr(model, "value", ""))]


def shown(widget):
    """The HTML of the frame that the chosen indices lead to."""
    if isinstance(widget, widgets.Stack):
        return shown(widget.children[widget.selected_index])
    return "".join(map(shown, getattr(widget, "children", ()))) or str(getattr(widget, "value", ""))


def visible(widget):
    """The controls that can be seen."""
    if isinstance(widget, widgets.Stack):
        return visible(widget.children[widget.selected_index])
    own = [widget] if isinstance(widget, widgets.Dropdown | widgets.SelectionSlider) else []
    return own + [found for child in getattr(widget, "children", ()) for found in visible(child)]


def control(widget, label):
    """All controls with that label."""
    return [model for model in inside(widget) if getattr(model, "description", None) == label]


@pytest.fixture
def links(monkeypatch):
    """The links that were made; since no browser is there, moving a control moves what is linked to it."""
    made = []

    def link(source, target):
        made.append((source, target))
        source[0].observe(lambda change: setattr(*target, change["new"]), names=source[1])

    monkeypatch.setattr(widgets, "jslink", link)
    return made


def zoo_rows():
    """Two networks on MNIST, one of them on Fashion-MNIST, too, and a fully connected one,
    with numbers that tell all apart.
    """
    rows = []
    for dataset, architecture in (
        ("mnist", "lenet"),
        ("mnist", "vgg11_bn"),
        ("fashion-mnist", "vgg11_bn"),
        ("mnist", "fc_l2"),
    ):
        unit = UNIT | {"dataset": dataset, "architecture": architecture}
        rows.append(unit | {"kind": "training", "status": "ok", "train_loss": 0.1})
        for stage, shuffle, factor in (("trained", -1, 0.5), ("init", -1, 0.9), ("trained", 0, 0.7)):
            for depth in range(4):
                values = {"D": 0.499 * factor**depth, "G": 0.5, "R": factor**depth * (1 + 0.1 * len(architecture))}
                rows.append(unit | values | {
                    "kind": "sensitivity", "stage": stage, "shuffle": shuffle, "images": dataset, "statistic": "mean",
                    "displacement": 1.0, "cut": 3, "layer": f"l{depth}", "depth": depth, "relative_depth": depth / 3,
                })  # fmt: skip
        for epoch in (0, 1, 4) if architecture == "vgg11_bn" else ():
            for depth in (1, 2):
                gammas = {f"gamma_{value}": 2.0 * (1 + epoch) ** (depth - value / 3) for value in (0, 1, 2, 3, 4, 6)}
                rows.append(unit | gammas | {"kind": "modes", "epoch": epoch, "layer": f"c{depth}", "depth": depth})
    return pd.DataFrame(rows)


def built(name):
    if name == "diffusion":
        return explorers.diffusion(filter_sizes=(2, 3), layers=3)
    if name == "temperature_and_cut":
        pictures = {"portrait": portrait(80), "chart": chart(80), "boot": clothing(0)}
        return explorers.temperature_and_cut(pictures, cuts=(2, 10), displacements=(0, 3, 12))
    return getattr(explorers, name)(zoo_rows())


unlinked = functools.cache(built)


# The front page's explorer is a script of its own, tested in test_bend_or_noise.py.
@pytest.mark.parametrize("name", [name for name in explorers.__all__ if name != "bend_or_noise"])
class TestEveryExplorer:
    def test_every_stack_follows_a_control(self, name, links):
        stacks = [model for model in inside(built(name)) if isinstance(model, widgets.Stack)]
        assert {trait for _, (_, trait) in links} == {"selected_index"}
        assert {id(stack) for stack in stacks} == {id(target) for _, (target, _) in links}
        for (source, trait), (stack, _) in links:
            assert trait == "index"
            assert source.index == stack.selected_index
            assert len(source.options) == len(stack.children)

    def test_every_control_changes_what_is_shown(self, name, links):
        whole = built(name)
        for model in reversed(visible(whole)):  # the lists of another one's item first
            before = shown(whole)
            model.index = (model.index + 1) % len(model.options)
            assert shown(whole) != before, model.description

    def test_frames_say_what_they_show(self, name):
        found = frames(unlinked(name))
        assert len(set(found)) > 3
        for frame in found:
            said = re.search(
                r'<img alt="[^"]{20,}"|role="img" aria-label="[^"]{40,}"|<caption>[^<]{20,}</caption>', frame
            )
            assert said, frame[:200]

    def test_controls_are_named(self, name):
        for model in inside(unlinked(name)):
            if isinstance(model, widgets.Dropdown | widgets.SelectionSlider | widgets.Checkbox):
                assert model.description
                assert model.tooltip == model.description  # else the page shows "null"


def test_pictures_are_the_deformed_ones():
    image = clothing(0)
    found = frames(explorers.temperature_and_cut({"boot": image}, cuts=(3,), displacements=(0, 10), seed=5))
    assert len(found) == 2
    draw = diffeo.sample_coefficients(1, 3, generator=torch.Generator().manual_seed(5))
    temperature = (2.8 / diffeo.displacement(1.0, 3, 28, exact=True)) ** 2
    wanted = diffeo.warp(image[None], diffeo.displacement_field(draw, temperature, 28))[0, 0]
    for frame, expected in zip(found, (image[0], wanted), strict=True):
        data = base64.b64decode(re.search(r"base64,([^\"]+)", frame)[1])
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
        assert np.abs(pixels / 255 - expected.numpy()).max() < 0.5 / 255 + 1e-6
    assert f"T = {temperature:.2g}, δ = 2.8 of 28 pixels" in found[1]


def test_the_noise_beside_has_the_norm_of_the_change():
    image = torch.full((1, 28, 28), 0.5)
    image[0, 10:18, 10:18] = 0.7
    frame = frames(explorers.temperature_and_cut({"square": image}, cuts=(3,), displacements=(10,), seed=5))[0]
    moved, noisy = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L")) / 255 - image[0].numpy()
        for data in re.findall(r"base64,([^\"]+)", frame)
    )
    assert np.linalg.norm(noisy) == pytest.approx(np.linalg.norm(moved), rel=0.05)  # 8 bits
    assert abs((noisy * moved).sum()) < 0.2 * np.linalg.norm(moved) ** 2  # white: not along the change


def test_explorers_open_on_the_case_of_their_text():
    whole = explorers.temperature_and_cut({"test chart": chart(32), "boot": clothing(0)})
    assert "test chart, deformed. c = 2, " in shown(whole)
    rows = pd.concat([zoo_rows(), zoo_rows().replace({"mnist": "cifar10-jpeg"}).assign(augment=True)])
    assert "VGG11bn, CIFAR-10 (JPEG), epoch 4" in shown(explorers.mode_growth(rows))


def test_sensitivities_stand_under_the_profiles():
    found = frames(explorers.diffusion(filter_sizes=(3,), layers=3, sites=81))
    for stride, task, scale, frame in ((1, 1, 20, found[2]), (3, 2, 9, found[6])):
        exact = theory.homogeneous_sensitivities(3, 3, stride, 81, task, scale)
        for name in "DGR":
            (line,) = re.findall(rf'<th scope="row">{name}</th>(.*?)</tr>', frame)
            cells = re.findall(r"<td( class=.now.)?>([^<]*)</td>", line)
            assert [text for _, text in cells] == [f"{value:.2g}" for value in exact[name]], name
            assert [bool(mark) for mark, _ in cells] == [False, True, False]
        assert f"task {task}, ξ = {scale}" in frame


def test_folds_are_said():
    found = frames(explorers.temperature_and_cut({"chart": chart(64)}, cuts=(2, 20), displacements=(0, 6, 12.5)))
    assert ["folds" in frame for frame in found] == [False, False, False, False, True, True]


def test_pages_stay_light():
    pictures = {"chart": chart(128), "portrait": portrait(128), "boot": clothing(0)}
    found = frames(explorers.temperature_and_cut(pictures, cuts=(3, 20), displacements=(3.1, 12.5)))
    assert (
        np.mean([len(frame) for frame in found]) * 3 * 5 * 7 < 1_100_000
    )  # as many as there are by default, most of them lighter
    assert sum(map(len, frames(explorers.diffusion()))) < 200_000
    assert max(map(len, frames(explorers.depth_profiles(zoo_rows())))) < 4_000
    assert max(map(len, frames(explorers.mode_growth(zoo_rows())))) < 3_000


def test_diffusion_frames():
    found = frames(built("diffusion"))
    assert len(found) == 2 * 2 * 4 == len(set(found))
    assert "A<sub>3</sub> = 1.41 pixels" in found[11]  # F = 3, stride 1: sqrt(3 * 8 / 12)
    assert "A<sub>3</sub> = 27 pixels" in found[15]


def test_profiles_start_with_the_network_asked_for(links):
    whole = explorers.depth_profiles(zoo_rows())
    assert "R by layer, VGG11bn, MNIST" in shown(whole)
    (dataset,), (quantity,) = control(whole, "data set"), control(whole, "quantity")
    dataset.value, quantity.value = "Fashion-MNIST", "D, diffeomorphisms"
    assert "D by layer, VGG11bn, Fashion-MNIST" in shown(whole)
    assert "trained: 0.5, 0.25, 0.12" in shown(whole)
    assert "at initialisation: 0.5, 0.45," in shown(whole)
    assert len(frames(whole)) == 3 * 4


def test_profile_heights_are_logarithmic_and_inside(links):
    whole = explorers.depth_profiles(zoo_rows())
    for frame in frames(whole):
        for curve in re.findall(r'<path d="M(\d+ [\d.]+L[^"]+)" fill="none" stroke="#', frame):
            points = np.array([place.split() for place in curve.split("L")], float)
            if len(points) == 4:  # not a key
                assert ((points[:, 0] >= 46) & (points[:, 0] <= 352)).all()
                assert ((points[:, 1] > 10) & (points[:, 1] < 214)).all()
                assert np.diff(points[:, 1], 2) == pytest.approx(0, abs=0.21)  # geometric: a straight line


def test_a_switch_hides_what_has_its_name():
    whole = explorers.depth_profiles(zoo_rows())
    switches = [model for model in inside(whole) if isinstance(model, widgets.Checkbox)]
    assert [switch._dom_classes for switch in switches] == [
        (f"switch-{name}",) for name in ("trained", "init", "shuffled")
    ]
    css = next(model.value for model in inside(whole) if "<style>" in str(getattr(model, "value", "")))
    for name in ("trained", "init", "shuffled"):
        assert f".explorer:has(.switch-{name} input:not(:checked)) .frame .{name} {{ display: none; }}" in css
        assert f'<g class="{name}">' in shown(whole)
        assert f'<span class="{name}">' in shown(whole)


def test_fully_connected_networks_have_no_channels_to_shuffle(links):
    whole = explorers.depth_profiles(zoo_rows(), first="fc_l2")
    assert "FC-L2" in shown(whole)
    assert "shuffled" not in shown(whole).split("<style>")[0]


def test_growth_of_modes(links):
    whole = explorers.mode_growth(zoo_rows())
    (time,), (network,) = control(whole, "time"), control(whole, "network")
    assert list(network.options) == ["VGG11bn, MNIST", "VGG11bn, Fashion-MNIST"]
    cells = re.findall(r'<td class="g(-?\d)">([\d.]+)</td>', shown(whole))
    growth = [5 ** (depth - value / 3) for depth in (1, 2) for value in (0, 1, 2, 3, 4, 6)]
    assert [text for _, text in cells] == [f"{value:.2g}" for value in growth]
    assert [int(shade) for shade, _ in cells] == [min(4, round(np.log2(value))) for value in growth]
    time.index = 0
    assert "epoch 0 of 4" in shown(whole)
    assert set(re.findall(r'<td class="(g-?\d)">1</td>', shown(whole))) == {"g0"}


def test_shades_get_darker_away_from_no_change_and_their_numbers_can_be_read():
    def luminance(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        return sum(
            w * (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4)
            for w, p in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
        )

    light = {level: luminance(colour) for level, colour in modes.SHADES.items()}
    assert all(light[level] > light[level + 1] for level in range(modes.FURTHEST))
    assert all(light[-level] > light[-level - 1] for level in range(modes.FURTHEST))
    for level, value in light.items():
        contrast = 1.05 / (value + 0.05) if level in modes.LIGHT_TEXT else (value + 0.05) / 0.05
        assert contrast > 4.5, level


@pytest.mark.parametrize("name", ["depth_profiles", "mode_growth"])
def test_rows_without_what_is_shown_are_refused(name):
    rows = zoo_rows()
    lacking = rows[rows["kind"] == ("modes" if name == "depth_profiles" else "training")]
    lacking = pd.concat([lacking, rows[rows["kind"] == "training"]])
    with pytest.raises(ValueError, match="rows hold no"):
        getattr(explorers, name)(lacking)


def test_stacks_in_stacks(links):
    one, two = controls.slider("one", "ab"), controls.choice("two", "xyz", 2)
    whole = controls.follow((one, two), lambda row, column: f"{'ab'[row]}{'xyz'[column]}")
    assert shown(whole) == '<div class="frame">az</div>'
    one.index, two.index = 1, 0
    assert shown(whole) == '<div class="frame">bx</div>'


def test_pictures_that_come_with_the_package():
    assert clothing(0).shape == (1, 28, 28)
    assert chart(100)[0, 3, 3] < chart(100)[0, 96, 96]  # the dark corner is above and left
    for size in (2, 100, 192):
        assert chart(size).shape == (1, size, size)
        assert 0 <= chart(size).min() <= chart(size).max() <= 1
    with pytest.raises(ValueError, match="size is 1"):
        chart(1)
    with pytest.raises(ValueError, match="index is 1000"):
        clothing(1000)
