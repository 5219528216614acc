"""The explorers: every frame is in the page, and the sliders are linked in the browser."""

import re

import pytest

pytest.importorskip("ipywidgets")

from relstab import explorers


def models(widget):
    """The widget and everything inside it, in order."""
    return [widget, *(inner for child in getattr(widget, "children", ()) for inner in models(child))]


@pytest.fixture
def diffusion():
    return models(explorers.diffusion(filter_sizes=(2, 3), layers=3))


def frames(found):
    return [model.value for model in found if "<svg" in str(getattr(model, "value", ""))]


def test_one_frame_for_each_filter_stride_and_depth(diffusion):
    found = frames(diffusion)
    assert len(found) == 2 * 2 * 4 == len(set(found))
    assert len("".join(frames(models(explorers.diffusion())))) < 200_000  # the page must stay light
    assert len(frames(models(explorers.diffusion()))) <= 40


def test_frames_say_what_they_show(diffusion):
    for frame in frames(diffusion):
        assert re.search(r'role="img" aria-label="[^"]{40,}"', frame)
    assert "A<sub>3</sub> = 1.41 pixels" in frames(diffusion)[11]  # F = 3, stride 1: sqrt(3 * 8 / 12)
    assert "A<sub>3</sub> = 27 pixels" in frames(diffusion)[15]


def test_every_stack_follows_a_slider(diffusion, monkeypatch):
    import ipywidgets as widgets

    linked = []
    monkeypatch.setattr(widgets, "jslink", lambda source, target: linked.append((source, target)))
    found = models(explorers.diffusion(filter_sizes=(2, 3), layers=3))
    stacks = [model for model in found if isinstance(model, widgets.Stack)]
    assert len(stacks) == 1 + 2 + 4
    assert [target for _, target in linked] == [(stack, "selected_index") for stack in stacks]
    for (slider, trait), (stack, _) in linked:
        assert trait == "value" and (slider.min, slider.max) == (0, len(stack.children) - 1)
        assert slider.value == stack.selected_index
