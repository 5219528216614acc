"""Thin-plate splines against scipy, their defining properties, and the draws and deformations made of them."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator

from relstab import diffeo
from relstab.diffeo import thin_plate

SIZES = [(2, 8), (3, 32), (5, 224), (4, (20, 31))]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(batch, points=3, maximum=2.0, *, seed=0, dtype=torch.float32):
    return thin_plate.sample_displacements(batch, points, maximum, generator=seeded(seed)).to(dtype)


def pixels(size):
    height, width = size if isinstance(size, tuple) else (size, size)
    return np.stack(np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height)), -1).reshape(-1, 2)


# The operator


def test_control_points_are_in_x_y_order():
    control = thin_plate.control_points(3)
    assert control.dtype == torch.float64
    assert control[1].tolist() == [0.5, 0.0]
    assert control[3].tolist() == [0.0, 0.5]
    assert control[-1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("points", "size"), SIZES)
def test_operator_against_scipy(points, size):
    values = np.random.default_rng(0).normal(size=(points * points, 4))
    control = thin_plate.control_points(points).numpy()
    spline = RBFInterpolator(control, values, kernel="thin_plate_spline", degree=1)
    ours = thin_plate.operator(points, size).numpy() @ values
    np.testing.assert_allclose(ours, spline(pixels(size)), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("points", "size"), [(3, 33), (5, 25), (4, (22, 31))])
def test_operator_interpolates_at_control_points(points, size):
    """Sizes for which every control point is a pixel."""
    height, width = size if isinstance(size, tuple) else (size, size)
    rows, columns = (torch.linspace(0, n - 1, points).round().long() for n in (height, width))
    at = (rows[:, None] * width + columns).flatten()
    torch.testing.assert_close(thin_plate.operator(points, size)[at], torch.eye(points**2).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("points", "size"), SIZES)
def test_affine_fields_are_reproduced(points, size):
    def affine(x):
        return 0.3 - 1.7 * x[:, 0] + 0.9 * x[:, 1]

    values = affine(thin_plate.control_points(points))
    expected = affine(torch.from_numpy(pixels(size)))
    torch.testing.assert_close(thin_plate.operator(points, size) @ values, expected, rtol=0, atol=1e-12)


def test_operator_cannot_be_spoiled_through_its_result():
    first = thin_plate.operator(3, 8)
    first.zero_()
    assert thin_plate.operator(3, 8).sum() == pytest.approx(64)


# Draws


def test_draws_do_not_depend_on_the_size_of_the_batch():
    many = draw(512)
    for batch in (1, 7, 100):
        assert torch.equal(draw(batch), many[:batch])
    generator = seeded()
    parts = [thin_plate.sample_displacements(n, 3, 2.0, generator=generator) for n in (7, 5)]
    assert torch.equal(torch.cat(parts), many[:12])


def test_draws_are_uniform_and_independent():
    values = draw(20_000, maximum=3.0).flatten(1).double()
    assert values.abs().max() <= 3.0
    assert values.max() > 2.99
    assert values.min() < -2.99
    covariance = values.T @ values / len(values)
    torch.testing.assert_close(covariance, 3.0 * torch.eye(18).double(), rtol=0, atol=0.1)  # m²/3, 4.7 σ


def test_no_generator_means_a_fresh_one():
    before = torch.random.get_rng_state()
    assert not torch.equal(*(thin_plate.sample_displacements(2, 3, 2.0) for _ in range(2)))
    assert torch.equal(torch.random.get_rng_state(), before)


# Fields


def test_field_has_the_values_at_the_control_points(dtype):
    drawn = draw(4, 5, dtype=dtype)
    field = thin_plate.displacement_field(drawn, 33)
    assert field.dtype == dtype
    torch.testing.assert_close(field[:, :, ::8, ::8], drawn, rtol=0, atol=1e-5)


def test_channel_zero_moves_along_x():
    """One pixel to the right everywhere: as `relstab.diffeo.warp`, whose golden test fixes the direction."""
    drawn = torch.zeros(1, 2, 3, 3)
    drawn[:, 0] = 1.0
    images = torch.rand(1, 1, 6, 9, generator=seeded())
    moved = diffeo.warp(images, thin_plate.displacement_field(drawn, (6, 9)))
    torch.testing.assert_close(moved[..., 1:], images[..., :-1], rtol=0, atol=1e-5)


def test_field_in_half_precision_is_computed_in_single():
    drawn = draw(2).half()
    field = thin_plate.displacement_field(drawn, 16)
    assert field.dtype == torch.float32
    torch.testing.assert_close(field, thin_plate.displacement_field(drawn.float(), 16))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_field_and_images_on_cuda(dtype):
    drawn = draw(3, dtype=dtype)
    there = thin_plate.displacement_field(drawn.cuda(), 32)
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), thin_plate.displacement_field(drawn, 32), rtol=1e-5, atol=1e-5)
    images = torch.rand(3, 3, 32, 32, dtype=dtype)
    on_gpu = thin_plate.deform(images.cuda(), generator=seeded()).cpu()
    torch.testing.assert_close(on_gpu, thin_plate.deform(images, generator=seeded()), rtol=1e-4, atol=1e-4)


# Deformations


@pytest.mark.parametrize("size", [(28, 28), (20, 31)])
def test_deform_is_draw_field_warp(size, dtype):
    images = torch.rand(5, 3, *size, dtype=dtype, generator=seeded(1))
    field = thin_plate.displacement_field(draw(5, 4, 1.5, dtype=dtype), size)
    ours = thin_plate.deform(images, points=4, maximum=1.5, generator=seeded())
    assert torch.equal(ours, diffeo.warp(images, field))
    assert ours.dtype == dtype


def test_every_image_gets_a_field_of_its_own():
    images = torch.rand(1, 1, 16, 16, generator=seeded()).expand(3, -1, -1, -1)
    a, b, c = thin_plate.deform(images, generator=seeded())
    assert not torch.equal(a, b)
    assert not torch.equal(b, c)


def test_maximum_zero_is_the_identity(dtype):
    images = torch.rand(2, 1, 17, 28, dtype=dtype, generator=seeded())
    assert torch.equal(thin_plate.deform(images, maximum=0.0), images)


def test_no_deformation_of_the_paper_folds():
    for size, setting in ((32, thin_plate.PAPER["cifar10"]), (224, thin_plate.PAPER["imagenet"])):
        drawn = thin_plate.sample_displacements(100, **setting, generator=seeded())
        assert diffeo.is_bijective(thin_plate.displacement_field(drawn, size)).all()


# Bad input


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: thin_plate.control_points(1), "points is 1; it must be an integer, 2 or more"),
        (lambda: thin_plate.operator(2.5, 8), "points is 2.5"),
        (lambda: thin_plate.operator(3, 1), "size is 1; it must be an integer or"),
        (lambda: thin_plate.operator(3, (8, 1)), r"size is \(8, 1\)"),
        (lambda: thin_plate.sample_displacements(0, 3, 1.0), "batch is 0; it must be an integer, 1 or more"),
        (lambda: thin_plate.sample_displacements(1, 3, -1.0), "maximum is -1.0; it must be a finite number"),
        (lambda: thin_plate.sample_displacements(1, 3, math.nan), "maximum is nan"),
        (lambda: thin_plate.sample_displacements(1, 3, math.inf), "maximum is inf"),
        (lambda: thin_plate.displacement_field(torch.zeros(1, 2, 3, 4), 8), r"shape \[1, 2, 3, 4\]"),
        (lambda: thin_plate.displacement_field(torch.zeros(1, 3, 3, 3), 8), r"floats \[batch, 2, points"),
        (lambda: thin_plate.displacement_field(torch.zeros(1, 2, 3, 3).long(), 8), "torch.int64"),
        (lambda: thin_plate.displacement_field(torch.zeros(1, 2, 1, 1), 8), "points is 1"),
        (lambda: thin_plate.deform(torch.zeros(3, 8, 8)), r"images have shape \[3, 8, 8\]"),
        (lambda: thin_plate.deform(torch.zeros(1, 1, 8, 8).byte()), "images are torch.uint8"),
        (lambda: thin_plate.deform(torch.full((1, 1, 8, 8), math.nan)), "images holds NaN"),
        (lambda: thin_plate.deform(torch.zeros(1, 1, 8, 8), maximum=-2), "maximum is -2"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_generator_elsewhere_is_refused():
    with pytest.raises(ValueError, match="generator is on cuda"):
        thin_plate.sample_displacements(1, 3, 1.0, generator=torch.Generator("cuda"))
