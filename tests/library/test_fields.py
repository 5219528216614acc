"""Warping, folds and inverses of displacement fields, against loops, closed forms and the dense Gaussian."""

import math

import pytest
import torch

from relstab import diffeo
from relstab.diffeo.fields import GAUSSIAN_WIDTH, invert, is_bijective, move_points, warp


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sampled(count, cut, displacement, size, dtype=torch.float32, seed=0):
    coefficients = diffeo.sample_coefficients(count, cut, generator=seeded(seed)).to(dtype)
    return diffeo.displacement_field(coefficients, diffeo.temperature(displacement, cut, size), size)


def constant(dx, dy, shape, dtype=torch.float32):
    return torch.tensor([dx, dy], dtype=dtype)[None, :, None, None].expand(1, 2, *shape).contiguous()


def sources(field):
    """Source columns and rows in the field's own precision, clamped to the image."""
    height, width = field.shape[-2:]
    x = (torch.arange(width) - field[:, 0]).clamp(0, width - 1)
    y = (torch.arange(height)[:, None] - field[:, 1]).clamp(0, height - 1)
    return x, y


def dense_gaussian(images, field):
    """The authors' definition: weights over all pixels of the image, renormalised for every output pixel."""
    height, width = images.shape[-2:]
    x, y = sources(field)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    square = (x.flatten(1)[..., None] - columns.flatten()) ** 2 + (y.flatten(1)[..., None] - rows.flatten()) ** 2
    weights = (-square / (2 * GAUSSIAN_WIDTH**2)).exp()
    weights = weights / weights.sum(-1, keepdim=True)
    return (images.flatten(2) @ weights.mT).reshape(images.shape)


# Warp


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (5, 9), (1, 7), (2, 3), (224, 100)])
def test_a_zero_field_gives_the_image_back(size, dtype):
    images = torch.rand(2, 3, *size, generator=seeded(), dtype=dtype)
    zero = torch.zeros(2, 2, *size, dtype=dtype)
    assert torch.equal(warp(images, zero), images)
    assert torch.equal(warp(images, zero, "nearest"), images)


@pytest.mark.parametrize("shift", [(2, 0), (0, -3), (-1, 4)])
def test_integer_translations_are_exact(shift, dtype):
    """out(y, x) = in(y − dy, x − dx), with the border's colours beyond the frame."""
    dx, dy = shift
    images = torch.rand(1, 2, 32, 24, generator=seeded(), dtype=dtype)
    rows = (torch.arange(32) - dy).clamp(0, 31)
    columns = (torch.arange(24) - dx).clamp(0, 23)
    expected = images[:, :, rows][..., columns]
    field = constant(dx, dy, (32, 24), dtype)
    assert torch.equal(warp(images, field, "nearest"), expected)
    assert torch.equal(warp(images, field), expected)


def test_a_linear_ramp_is_reproduced(dtype):
    """Bilinear interpolation is exact on ramps; the Gaussian too at whole pixels, by symmetry."""
    y, x = torch.meshgrid(torch.arange(20, dtype=dtype), torch.arange(30, dtype=dtype), indexing="ij")
    images = torch.stack((x, y, 2 * x - y))[None]
    field = sampled(1, 4, 1.5, (20, 30), dtype)
    sx, sy = sources(field)
    expected = torch.stack((sx, sy, 2 * sx - sy), 1)
    assert (warp(images, field) - expected).abs().max() < (2e-5 if dtype == torch.float32 else 1e-12)
    shifted = warp(images, constant(1.0, 0.0, (20, 30), dtype), "gaussian")
    assert torch.allclose(shifted[..., 4:-4, 4:-4], images[..., 4:-4, 3:-5], atol=2e-5)


def test_the_gradient_flows_to_the_field():
    ramp = torch.arange(9.0, dtype=torch.float64).expand(1, 1, 9, 9).contiguous()
    for interpolation in ("bilinear", "gaussian"):
        field = constant(0.3, 0.0, (9, 9), torch.float64).requires_grad_()
        warp(ramp, field, interpolation)[0, 0, 4, 4].backward()
        assert field.grad[0, 0, 4, 4].item() == pytest.approx(-1, abs=0.1)  # the colour follows −∂x of the image
        assert field.grad.abs().sum().item() == pytest.approx(-field.grad[0, 0, 4, 4].item())


@pytest.mark.parametrize("size", [(16, 16), (7, 12), (2, 3)])
@pytest.mark.parametrize("displacement", [0.3, 1.0, 6.0])
def test_the_windowed_gaussian_equals_the_dense_one(size, displacement, dtype):
    images = torch.rand(4, 3, *size, generator=seeded(), dtype=dtype)
    field = sampled(4, 5, displacement, size, dtype, seed=1)
    assert (warp(images, field, "gaussian") - dense_gaussian(images, field)).abs().max() <= 1e-6


def test_a_gaussian_at_a_zero_field_blurs_by_17_percent():
    images = torch.rand(32, 1, 32, 32, generator=seeded())
    blurred = warp(images, torch.zeros(32, 2, 32, 32), "gaussian")
    assert ((blurred - images).norm() / images.norm()).item() == pytest.approx(0.17, abs=5e-3)


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian", "nearest"])
def test_chunks_do_not_show(interpolation, monkeypatch):
    images, field = torch.rand(7, 1, 8, 8, generator=seeded()), sampled(7, 3, 1.0, 8)
    whole = warp(images, field, interpolation)
    monkeypatch.setattr("relstab.diffeo.fields._CPU_CHUNK", 3 * 64)
    assert torch.equal(warp(images, field, interpolation), whole)


def test_nearest_rounds_halves_to_even():
    image = torch.arange(6.0).expand(1, 1, 6, 6)
    out = warp(image, constant(0.5, 0.0, (6, 6)), "nearest")[0, 0, 0]
    assert out.tolist() == [0, 0, 2, 2, 4, 4]  # sources −½, ½, 1½, 2½, 3½, 4½
    down = warp(image.mT, constant(0.0, 0.5, (6, 6)), "nearest")[0, 0, :, 0]
    assert down.tolist() == out.tolist()


@pytest.mark.parametrize("kind", [torch.int64, torch.uint8, torch.bool, torch.float16])
def test_label_maps_move_by_the_nearest_pixel(kind):
    labels = torch.randint(2, (3, 1, 16, 16), generator=seeded())
    field = sampled(3, 3, 2.0, 16)
    moved = warp(labels.to(kind), field, "nearest")
    assert moved.dtype == kind
    assert torch.equal(moved.long(), warp(labels.float(), field, "nearest").long())


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(half, interpolation):
    images = torch.rand(2, 3, 32, 32, generator=seeded()).to(half)
    field = sampled(2, 3, 1.0, 32)
    out = warp(images, field, interpolation)
    assert out.dtype == half
    assert torch.equal(out, warp(images.float(), field, interpolation).to(half))


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian", "nearest"])
def test_images_and_fields_may_differ_in_precision(interpolation):
    images, field = torch.rand(2, 1, 16, 16, generator=seeded()), sampled(2, 3, 1.0, 16)
    expected = warp(images, field, interpolation)
    for tau in (field.double(), field.half()):
        out = warp(images, tau, interpolation)
        assert out.dtype == torch.float32
        assert (out - expected).abs().median() < 1e-3


def test_memory_layout_does_not_matter():
    images, field = torch.rand(4, 3, 16, 16, generator=seeded()), sampled(4, 3, 1.0, 16)
    assert torch.equal(warp(images.to(memory_format=torch.channels_last), field), warp(images, field))


# Folds


def analytic_fold(coefficients, temperature, size, points):
    """Whether the Jacobian of the sine series itself vanishes on a lattice of [0, 1]²."""
    k = math.pi * torch.arange(1, coefficients.shape[-1] + 1, dtype=torch.float64)
    angle = torch.linspace(0, 1, points, dtype=torch.float64)[:, None] * k
    sine, slope = angle.sin(), k * angle.cos()
    c = coefficients.double().mT * (math.sqrt(temperature) * size / (size - 1))
    dx, dy = sine @ c @ slope.T, slope @ c @ sine.T
    jacobian = (1 - dx[:, 0]) * (1 - dy[:, 1]) - dy[:, 0] * dx[:, 1]
    return (jacobian <= 0).flatten(1).any(1)


@pytest.mark.parametrize(
    ("cut", "size", "least"), [(2, 32, 0.98), (3, 32, 0.98), (5, 32, 0.97), (10, 64, 0.95), (15, 32, 0.75)]
)
def test_folds_agree_with_the_analytic_jacobian(cut, size, least):
    """Around T₂, where between a few and most of the fields fold: exact at the pixels, nearly in between."""
    for factor in (0.5, 1.0, 1.5):
        T = factor * diffeo.temperature_range(cut, size)[1]
        coefficients = diffeo.sample_coefficients(200, cut, generator=seeded(2))
        found = ~is_bijective(diffeo.displacement_field(coefficients, T, size))
        assert (found == analytic_fold(coefficients, T, size, size)).double().mean() >= 0.99
        continuum = analytic_fold(coefficients, T, size, 8 * cut + 1)
        assert (found == continuum).double().mean() >= least


def test_a_single_wave_folds_at_its_analytic_amplitude(dtype):
    """dx = a sin(πx/(w−1)) sin(…) has its largest slope aπ/(w−1) at the frame."""
    coefficients = torch.zeros(2, 2, 2, 2, dtype=dtype)
    coefficients[0, 0, 0, 0], coefficients[1, 0, 0, 0] = 0.99, 1.01
    field = diffeo.displacement_field(coefficients, (30 / (31 * math.pi)) ** 2, (15, 31))
    assert is_bijective(field).tolist() == [True, False]


def test_a_batch_is_judged_field_by_field():
    inside = sampled(40, 5, 2.0, 32)
    mixed = torch.cat((inside, inside + 0.5))  # a translation folds nothing, but moves the frame
    verdicts = is_bijective(mixed)
    assert torch.equal(verdicts, torch.cat([is_bijective(one[None]) for one in mixed]))
    assert 0 < verdicts[:40].sum() < 40
    assert (verdicts[:40] == verdicts[40:]).double().mean() > 0.95


def test_folds_made_by_hand():
    field = torch.full((5, 2, 6, 6), 0.25)  # a moving frame: bilinear between pixels
    field[1] += torch.rand(2, 6, 6, generator=seeded()) * 0.2
    field[2, 0, 2, 2] -= 0.99  # pixel 2 appears just before its neighbour
    field[3, 0, 2, 2] -= 1.01  # ... and after it: they change places
    field[4, 1, 5, 0] += 1.5  # a corner passes its neighbour
    assert is_bijective(field).tolist() == [True, True, True, False, False]
    assert is_bijective(torch.zeros(2, 2, 2, 2)).tolist() == [True, True]


def test_rotations_do_not_fold_and_mirrors_do():
    y, x = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(9.0) - 4, indexing="ij")
    for angle in (0.3, 2.0, 3.1):
        rotated = torch.stack((x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)))
        assert is_bijective((torch.stack((x, y)) - rotated)[None]).item()
    assert not is_bijective((torch.stack((x, y)) - torch.stack((-x, y)))[None]).item()


def test_small_fields_are_bijective_and_large_ones_are_not():
    assert is_bijective(sampled(50, 3, 0.1, 32)).all()
    assert not is_bijective(sampled(50, 3, 40.0, 32)).any()


# Points and inverses


def test_points_move_where_the_image_moves(dtype):
    """A bright blob and its centre, followed by warp and by move_points."""
    field = sampled(6, 3, 2.0, 64, dtype)
    start = torch.tensor([[20.0, 30.0], [41.0, 25.0]], dtype=dtype).expand(6, -1, -1)
    y, x = torch.meshgrid(torch.arange(64, dtype=dtype), torch.arange(64, dtype=dtype), indexing="ij")
    place = start[..., None, None]
    blobs = (-((x - place[:, :, 0]) ** 2 + (y - place[:, :, 1]) ** 2) / 8).exp()
    seen = warp(blobs, field)
    weight = seen / seen.sum((-1, -2), keepdim=True)
    centre = torch.stack(((weight * x).sum((-1, -2)), (weight * y).sum((-1, -2))), -1)
    moved = move_points(start, field)
    assert moved.dtype == dtype
    assert (moved - centre).norm(dim=-1).max() < 0.25  # the blob of 2 pixels is itself deformed
    assert (moved - start).norm(dim=-1).max() > 1


@pytest.mark.parametrize(("cut", "size"), [(3, 32), (5, 32), (15, 32), (10, (64, 96))])
def test_points_return_to_where_they_came_from(cut, size):
    """The definition, p − τ(p) = q, at every bijective field up to T₂."""
    height, width = size if isinstance(size, tuple) else (size, size)
    T = diffeo.temperature_range(cut, size)[1]
    field = diffeo.displacement_field(diffeo.sample_coefficients(60, cut, generator=seeded()).double(), T, size)
    field = field[is_bijective(field)]
    points = torch.rand(len(field), 50, 2, generator=seeded(1), dtype=torch.float64)
    points = points * torch.tensor([width - 1, height - 1])
    moved = move_points(points, field)
    grid = moved / ((torch.tensor([width, height]) - 1) / 2) - 1
    at = torch.nn.functional.grid_sample(field, grid[:, None], padding_mode="border", align_corners=True)[:, :, 0].mT
    assert (moved - at - points).abs().max() < 2e-3


def test_inverse_undoes_the_deformation():
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    smooth = torch.stack((torch.sin(x / 7), torch.cos(y / 5)))[None].expand(4, -1, -1, -1)
    field = sampled(4, 3, 3.0, (48, 64))
    inverse = invert(field)
    assert (warp(smooth, field) - smooth).abs().max() > 0.2
    assert (warp(warp(smooth, field), inverse) - smooth).abs().max() < 0.02
    assert (warp(warp(smooth, inverse), field) - smooth).abs().max() < 0.02
    for edge in (inverse[..., 0, :], inverse[..., -1, :], inverse[..., 0], inverse[..., -1]):
        assert edge.abs().max() < 1e-3


def test_a_translation_is_inverted():
    field = constant(1.5, -2.0, (8, 8), torch.float64)
    points = torch.tensor([[[3.0, 4.0]]], dtype=torch.float64)
    assert torch.allclose(move_points(points, field), points + torch.tensor([1.5, -2.0]), atol=2e-3)
    assert torch.allclose(invert(field), -field, atol=2e-3)


# Bad input

IMAGES, FIELD = torch.rand(2, 1, 8, 8), torch.zeros(2, 2, 8, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: warp(IMAGES[0], FIELD), "images have shape"),
        (lambda: warp(IMAGES[:0], FIELD[:0]), r"images have shape \[0, 1, 8, 8\]"),
        (lambda: warp(IMAGES.int(), FIELD), "images are torch.int32"),
        (lambda: warp(IMAGES.index_fill(0, torch.tensor(1), math.nan), FIELD), "images holds? NaN"),
        (lambda: warp(IMAGES.index_fill(0, torch.tensor(1), math.inf), FIELD), "images holds? NaN or infinite"),
        (lambda: warp(IMAGES, FIELD * math.nan), "field holds NaN"),
        (lambda: warp(IMAGES, FIELD, "linear"), "interpolation is 'linear'"),
        (lambda: warp(IMAGES, FIELD, None), "interpolation is None"),
        (lambda: warp(IMAGES, FIELD[:1]), r"field has shape \[1, 2, 8, 8\]"),
        (lambda: warp(IMAGES, FIELD[..., :7]), r"field has shape \[2, 2, 8, 7\]"),
        (lambda: warp(IMAGES, FIELD[:, :1]), "field is torch.float32 of shape"),
        (lambda: warp(IMAGES, FIELD.int()), "field is torch.int32"),
        (lambda: warp(IMAGES, FIELD.to("meta")), "field must be a tensor with values .*, not one on the meta"),
        (lambda: warp(IMAGES, FIELD.numpy()), "field must be a tensor with values .*, not ndarray"),
        (lambda: warp(IMAGES.numpy(), FIELD), "images must be a tensor with values .*, not ndarray"),
        (lambda: warp(IMAGES.to_sparse(), FIELD), "not one of layout torch.sparse_coo"),
        (lambda: warp(IMAGES.to(torch.float8_e4m3fn), FIELD), "images are torch.float8_e4m3fn"),
        (lambda: is_bijective([[0.0]]), "field must be a tensor with values .*, not list"),
        (lambda: is_bijective(FIELD[0]), "field is torch.float32 of shape"),
        (lambda: is_bijective(FIELD[..., :1]), "field is 8 x 1 pixels"),
        (lambda: is_bijective(FIELD + math.nan), "field holds NaN"),
        (lambda: move_points(torch.zeros(2, 2), FIELD), "points have shape"),
        (lambda: move_points(torch.zeros(3, 5, 2), FIELD), "points have shape"),
        (
            lambda: move_points(torch.zeros(2, 1, 2, dtype=torch.long), FIELD),
            "points are torch.int64; floats are needed",
        ),
        (lambda: move_points(torch.full((2, 1, 2), math.nan), FIELD), "points holds? NaN"),
        (lambda: invert(FIELD[0]), "field is torch.float32 of shape"),
        (lambda: invert(torch.rand(1, 2, 8, 8, generator=seeded()) * 40 - 20), "field folds"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, message, unchecked):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_huge_values_are_not_taken_for_infinite_ones():
    images = torch.full((1, 1, 8, 8), 3e38)
    assert torch.equal(warp(images, FIELD[:1], "nearest"), images)
