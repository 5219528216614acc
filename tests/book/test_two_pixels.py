"""The two constructed solutions for two pixels (slides): exact sums against Monte-Carlo and the numbers of the
slides.
"""

import inspect

import numpy as np
import pytest
import torch

from relbook.studies.scale_detection.tasks import line_task
from relbook.studies.two_pixels import solutions as two_pixels


def test_two_pixels_share_D_and_differ_in_G():
    table = two_pixels.two_pixel_sensitivities().set_index("solution")
    assert table.D.tolist() == pytest.approx([0.0640, 0.0640], abs=1e-4)
    assert two_pixels.two_pixel_sensitivities(stay=False).D[0] == pytest.approx(0.0919, abs=1e-4)
    assert table.G.tolist() == pytest.approx([4.5, 18.1], rel=0.02)
    assert table.R.tolist() == pytest.approx([0.0142, 0.0035], rel=0.03)


def test_two_pixel_noise_against_monte_carlo(dtype):
    task = line_task(1, 32, 7)
    clean = task.images(value=1.0, dtype=dtype).squeeze(1)
    table = two_pixels.two_pixel_sensitivities().set_index("solution")
    noise = torch.randn(100, *clean.shape, generator=torch.Generator().manual_seed(0), dtype=dtype) * (1 / 12) ** 0.5
    f = two_pixels.output(clean, 7)
    for solution in two_pixels.SOLUTIONS:
        changed = two_pixels.output((clean + noise).flatten(0, 1), 7, solution).reshape(100, -1) - f
        found = changed.square().mean() / (2 * f.var(correction=0))
        assert found.item() == pytest.approx(table.G[solution], rel=0.02)


def test_a_displacement_has_the_norm_of_the_noise():
    """Each of two pixels moves with probability 2/3 and then changes two sites by one: 8/3, unless they touch."""
    task = line_task(1, 32, 7)
    clean = task.images(value=1.0)
    moves = two_pixels.translations(task, stay=True)
    change = sum(share * (task.images(places, value=1.0) - clean).square().sum((1, 2)) for share, places in moves)
    apart = (task.positions[:, 1, 0] - task.positions[:, 0, 0]).abs()
    far = apart.minimum(32 - apart) > 2
    assert 0 < far.sum() < len(far)
    for function in (two_pixels.two_pixel_sensitivities, two_pixels.layer_sensitivities):
        power = inspect.signature(function).parameters["noise_power"].default
        assert change[far].tolist() == pytest.approx([power] * int(far.sum()))
        assert (change[~far] - power).abs().min() > 0.1


def test_two_pixel_output_is_a_ramp():
    images = torch.zeros(16, 32)
    for d in range(1, 17):
        images[d - 1, [3, 3 + d]] = 1
    for solution in two_pixels.SOLUTIONS:
        assert two_pixels.output(images, 7, solution).tolist() == [max(0, 7 - d) for d in range(1, 17)]


def test_two_pixel_grid_is_fine_enough(monkeypatch):
    coarse = two_pixels.two_pixel_sensitivities().G
    for cached in (two_pixels._law, two_pixels._answer, two_pixels._mean_answer, two_pixels._joint_answer):
        cached.cache_clear()
    monkeypatch.setattr(two_pixels, "STEP", 1 / 800)
    np.testing.assert_allclose(coarse, two_pixels.two_pixel_sensitivities().G, rtol=2e-5)
    for cached in (two_pixels._law, two_pixels._answer, two_pixels._mean_answer, two_pixels._joint_answer):
        cached.cache_clear()


@pytest.mark.parametrize(("call", "words"), [({"xi": 6}, "xi is 6"), ({"length": 14}, "length is 14")])
def test_two_pixel_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        two_pixels.two_pixel_sensitivities(**call)
    with pytest.raises(ValueError, match="solution is 'middle'"):
        two_pixels.output(torch.zeros(1, 32), 7, "middle")
