"""The maximum-entropy ensemble against closed forms and a slow loop (folds: test_folds.py)."""

import math

import numpy as np
import pytest
import torch

from relstab import diffeo

RMS = "cut, modes, strict_modes, centre, strict_centre, image, norm, leading_norm"
TABLE = [  # at nominal δ = 1 and large n; the image's rms and the norm n²‖∇τ‖² are for rule "code"
    (3, 6, 4, 1.274, 1.077, 0.843, 34.3, 40.4),
    (5, 19, 15, 1.148, 1.093, 0.862, 74.2, 76.7),
    (10, 77, 69, 1.097, 1.088, 0.879, 210, 214),
    (15, 172, 162, 1.079, 1.071, 0.889, 399, 410),
    (30, 703, 675, 1.061, 1.060, 0.908, 1299, 1306),
]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def fields(count, cut, temperature, size, *, seed=0, dtype=torch.float32, rule="code"):
    coefficients = diffeo.sample_coefficients(count, cut, rule=rule, generator=seeded(seed)).to(dtype)
    return diffeo.displacement_field(coefficients, temperature, size)


def inverse_squares(cut, rule):
    i = torch.arange(1, cut + 1, dtype=torch.float64)
    return diffeo.kept_modes(cut, rule=rule) / (i[:, None] ** 2 + i**2)


# Closed forms


@pytest.mark.parametrize(RMS, TABLE)
def test_the_table_of_exact_displacements(cut, modes, strict_modes, centre, strict_centre, image, norm, leading_norm):
    size = 64
    T = diffeo.temperature(1.0, cut, size)
    assert diffeo.kept_modes(cut).sum() == modes
    assert diffeo.kept_modes(cut, rule="paper").sum() == strict_modes
    assert diffeo.displacement(T, cut, size, exact=True) == pytest.approx(centre, abs=6e-4)
    assert diffeo.displacement(T, cut, size, exact=True, rule="paper") == pytest.approx(strict_centre, abs=6e-4)
    assert math.sqrt(T * size**2 / 2 * inverse_squares(cut, "code").sum()) == pytest.approx(image, abs=6e-4)
    assert math.pi**2 / 2 * T * size**2 * modes == pytest.approx(norm, rel=3e-3)
    assert math.pi**3 / 8 * cut**2 * T * size**2 == pytest.approx(leading_norm, rel=3e-3)


def test_numbers_of_numpy_are_numbers(unchecked):
    """1e100, the bound of a displacement, is no float32: comparing with it warned."""
    assert diffeo.temperature(np.float32(1), np.int64(3), 32) == pytest.approx(diffeo.temperature(1, 3, 32))


def test_temperature_of_one_pixel_on_cifar():
    assert diffeo.temperature(1.0, 3, 32) == pytest.approx(1.1318e-3, rel=1e-4)


@pytest.mark.parametrize("size", [32, (20, 224)])
@pytest.mark.parametrize("cut", [2, 3, 15])
@pytest.mark.parametrize("delta", [0.13, 0.5, 1.0, 4.8])
def test_temperature_and_displacement_are_inverse(delta, cut, size):
    T = diffeo.temperature(delta, cut, size)
    assert diffeo.displacement(T, cut, size) == pytest.approx(delta, rel=1e-12)
    assert diffeo.temperature(diffeo.displacement(T, cut, size), cut, size) == pytest.approx(T, rel=1e-12)


@pytest.mark.parametrize(
    ("size", "cut", "at_high"),
    [(32, 3, 3.40), (32, 5, 2.04), (32, 15, 0.68), (224, 3, 23.8), (224, 10, 7.1), (224, 30, 2.4)],
)
def test_temperature_range(size, cut, at_high):
    low, high = diffeo.temperature_range(cut, size)
    assert low == pytest.approx(1 / (math.pi * size**2 * math.log(cut)), rel=1e-12)
    assert high == pytest.approx(4 / (math.pi**3 * cut**2 * math.log(cut)), rel=1e-12)
    assert diffeo.displacement(low, cut, size) == pytest.approx(0.5, rel=1e-12)
    assert diffeo.displacement(high, cut, size) == pytest.approx(at_high, abs=0.06 if size == 224 else 0.006)


def test_high_and_low_temperature_nearly_meet_at_cut_15_on_cifar():
    low, high = diffeo.temperature_range(15, 32)
    assert high / low == pytest.approx(1.8, abs=0.05)


def test_exact_displacement_approaches_the_nominal_law_with_sierpinskis_constant():
    """δ² = (π/4) n² T (ln c + K/2π), K = 2.58498, for the paper's rule."""
    for cut, tolerance in ((100, 0.02), (1000, 2e-3)):
        ratio = diffeo.displacement(1.0, cut, 2, exact=True, rule="paper") ** 2 / (math.pi * 2**2 / 4)
        assert ratio - math.log(cut) == pytest.approx(2.58498 / (2 * math.pi), abs=tolerance)


@pytest.mark.parametrize(
    ("cut", "rule", "ratio"), [(3, "code", 1.62), (3, "paper", 1.16), (15, "paper", 1.15), (100, "paper", 1.09)]
)
def test_exact_over_nominal_square(cut, rule, ratio):
    exact = diffeo.displacement(1.0, cut, 32, exact=True, rule=rule)
    assert (exact / diffeo.displacement(1.0, cut, 32)) ** 2 == pytest.approx(ratio, abs=6e-3)


@pytest.mark.parametrize(("cut", "ratio"), [(3, 0.566), (5, 0.764), (15, 0.917), (30, 0.955), (100, 0.987)])
def test_number_of_modes_against_the_area_of_the_quadrant(cut, ratio):
    count = diffeo.kept_modes(cut, rule="paper").sum().item()
    assert count / (math.pi * cut**2 / 4) == pytest.approx(ratio, abs=6e-4)


def test_exact_variance_on_the_pixel_grid():
    """Pixel 16 of 32 is at 16/31, not at the centre: 0.696 n² T per component instead of 0.7."""
    modes = torch.eye(9, dtype=torch.float64).reshape(9, 1, 3, 3).expand(9, 2, 3, 3)
    field = diffeo.displacement_field(modes * inverse_squares(3, "code").sqrt(), 1.0, 32)
    assert (field[:, 0, 16, 16] ** 2).sum().item() / 32**2 == pytest.approx(0.696, abs=6e-4)


# The ensemble


@pytest.mark.parametrize("rule", ["code", "paper"])
@pytest.mark.parametrize("cut", [3, 15])
def test_sampled_displacements_have_the_exact_rms(cut, rule):
    size, count = 33, 3000  # an odd grid has a pixel at its centre
    T = diffeo.temperature(1.0, cut, size)
    square = fields(count, cut, T, size, rule=rule).square().sum(1)
    exact = diffeo.displacement(T, cut, size, exact=True, rule=rule) ** 2
    assert square[:, 16, 16].mean().item() == pytest.approx(exact, rel=3 / math.sqrt(count))
    interior = square.sum((1, 2)) / (size - 1) ** 2  # the trapezoidal rule: exact for these sines
    expected = T * size**2 / 2 * inverse_squares(cut, rule).sum().item()
    error = interior.std().item() / math.sqrt(count)
    assert interior.mean().item() == pytest.approx(expected, abs=3.5 * error)


@pytest.mark.parametrize("cut", [3, 5])
def test_sampled_gradient_norm(cut):
    """‖∇τ‖² = (π²/2) T N(c), per unit of n²; differences at 129 points lose 0.1 %."""
    size, count = 129, 200
    field = fields(count, cut, 1.0, size) / size
    square = sum(((field.diff(dim=d) * (size - 1)) ** 2).sum((1, 2, 3)) / (size - 1) ** 2 for d in (-1, -2))
    expected = math.pi**2 / 2 * diffeo.kept_modes(cut).sum().item()
    assert square.mean().item() == pytest.approx(expected, abs=3.5 * square.std().item() / math.sqrt(count))


def test_coefficients_are_normal_of_variance_one_over_r_squared_and_independent():
    draws = diffeo.sample_coefficients(20_000, 4, generator=seeded()).double()
    kept = diffeo.kept_modes(4)
    assert (draws[:, :, ~kept] == 0).all()
    normal = draws[:, :, kept] * (1 / inverse_squares(4, "code")[kept]).sqrt()
    flat = normal.flatten(1)
    covariance = flat.T @ flat / len(flat)
    assert (covariance - torch.eye(len(covariance))).abs().max() < 5 * math.sqrt(2 / len(flat))
    assert flat.mean(0).abs().max() < 4 / math.sqrt(len(flat))
    assert (flat**4).mean().item() == pytest.approx(3, abs=0.05)


def test_components_are_independent():
    field = fields(4000, 5, diffeo.temperature(1.0, 5, 33), 33)
    x, y = field[:, 0, 16, 16], field[:, 1, 16, 16]
    assert torch.corrcoef(torch.stack((x, y)))[0, 1].abs() < 3.5 / math.sqrt(4000)


def test_no_direction_is_preferred():
    field = fields(4000, 3, diffeo.temperature(1.0, 3, 33), 33)[:, :, 16, 16]
    assert (field.mean(0).abs() < 3.5 * field.std(0) / math.sqrt(4000)).all()


# Coefficients: one τ everywhere


@pytest.mark.parametrize("cut", [2, 3, 4, 5, 15])
def test_first_images_do_not_depend_on_the_batch(cut):
    many = diffeo.sample_coefficients(13, cut, generator=seeded())
    for batch in (1, 2, 7):
        assert torch.equal(diffeo.sample_coefficients(batch, cut, generator=seeded()), many[:batch])


@pytest.mark.parametrize("cut", [2, 3, 15])
def test_drawing_in_chunks_equals_drawing_at_once(cut):
    generator = seeded()
    chunks = [diffeo.sample_coefficients(n, cut, generator=generator) for n in (7, 1, 5)]
    assert torch.equal(torch.cat(chunks), diffeo.sample_coefficients(13, cut, generator=seeded()))


def test_the_numbers_of_seed_zero():
    """Guards published results: another stream of random numbers would change every one of them."""
    first = diffeo.sample_coefficients(2, 3, generator=seeded())[:, 0, 0]
    expected = torch.tensor([[-0.7961, -0.5154, -0.0792], [-0.4339, 0.0141, -0.1558]])
    assert torch.allclose(first, expected, atol=1e-4)


def test_no_generator_means_a_fresh_one_and_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    first, second = (diffeo.sample_coefficients(2, 3) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_same_deformation_on_cuda():
    images = torch.rand(5, 3, 32, 32, generator=seeded(1))
    for interpolation in ("bilinear", "gaussian"):
        here = diffeo.deform(images, interpolation=interpolation, generator=seeded())
        there = diffeo.deform(images.cuda(), interpolation=interpolation, generator=seeded())
        assert there.is_cuda
        assert torch.allclose(here, there.cpu(), atol=1e-5)


# Field


def test_field_is_the_sum_of_sines(dtype):
    height, width, cut, T = 7, 11, 3, 2e-3
    coefficients = diffeo.sample_coefficients(2, cut, generator=seeded()).to(dtype)
    field = diffeo.displacement_field(coefficients, T, (height, width))
    expected = np.zeros((2, 2, height, width))
    for b, a, q, p in np.ndindex(expected.shape):
        for i in range(1, cut + 1):
            for j in range(1, cut + 1):
                sines = math.sin(i * math.pi * p / (width - 1)) * math.sin(j * math.pi * q / (height - 1))
                pixels = (width, height)[a]
                expected[b, a, q, p] += math.sqrt(T) * pixels * coefficients[b, a, i - 1, j - 1].item() * sines
    assert field.dtype == dtype
    assert np.abs(field.numpy() - expected).max() < (1e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("cut", [2, 3, 15])
def test_the_border_never_moves(cut, dtype):
    field = fields(20, cut, 0.01, (32, 17), dtype=dtype)
    for edge in (field[..., 0, :], field[..., -1, :], field[..., 0], field[..., -1]):
        assert (edge == 0).all()


def test_one_deformation_at_two_resolutions():
    coarse, fine = (fields(3, 5, 1e-3, n, dtype=torch.float64) / n for n in (33, 65))
    assert torch.allclose(fine[..., ::2, ::2], coarse, atol=1e-14)


def test_temperature_scales_the_field_image_by_image():
    coefficients = diffeo.sample_coefficients(3, 4, generator=seeded())
    temperatures = torch.tensor([0.0, 1e-3, 4e-3])
    together = diffeo.displacement_field(coefficients, temperatures, 16)
    for b, temperature in enumerate(temperatures.tolist()):
        alone = diffeo.displacement_field(coefficients[b : b + 1], temperature, 16)
        assert torch.allclose(together[b], alone[0], atol=1e-6)


def test_autocast_does_not_round_the_field():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = fields(3, 5, 1e-3, 32)
    assert torch.equal(rounded, fields(3, 5, 1e-3, 32))


# Deform


def by_hand(images, coefficients, temperature):
    """One pixel at a time in float64: sines, source, clamp, four neighbours."""
    images, coefficients = images.double().numpy(), coefficients.double().numpy()
    batch, _, height, width = images.shape
    cut, out = coefficients.shape[-1], np.empty_like(images)
    for b, q, p in np.ndindex(batch, height, width):
        move = np.zeros(2)
        for i, j in np.ndindex(cut, cut):
            wave = math.sin((i + 1) * math.pi * p / (width - 1)) * math.sin((j + 1) * math.pi * q / (height - 1))
            move += coefficients[b, :, i, j] * wave
        move *= math.sqrt(temperature) * np.array([width, height])
        x, y = min(max(p - move[0], 0), width - 1), min(max(q - move[1], 0), height - 1)
        left, top = math.floor(x), math.floor(y)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        u, v = x - left, y - top
        image = images[b]
        out[b, :, q, p] = (1 - v) * ((1 - u) * image[:, top, left] + u * image[:, top, right]) + v * (
            (1 - u) * image[:, bottom, left] + u * image[:, bottom, right]
        )
    return out


@pytest.mark.parametrize(("size", "cut", "temperature"), [((32, 32), 3, 1.13e-3), ((9, 21), 4, 0.02)])
def test_deform_equals_a_slow_loop(size, cut, temperature, dtype):
    images = torch.rand(2, 3, *size, generator=seeded(1), dtype=torch.float64).to(dtype)
    deformed = diffeo.deform(images, temperature=temperature, cut=cut, generator=seeded())
    coefficients = diffeo.sample_coefficients(2, cut, generator=seeded())
    error = np.abs(deformed.numpy() - by_hand(images, coefficients, temperature)).max()
    assert deformed.dtype == dtype
    assert error < (1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian", "nearest"])
def test_batch_equals_loop_and_chunk_equals_whole(interpolation, dtype):
    images = torch.rand(9, 2, 12, 16, generator=seeded(1), dtype=dtype)
    whole = diffeo.deform(images, displacement=1.5, interpolation=interpolation, generator=seeded())
    for sizes in ([4, 5], [1] * 9):
        generator = seeded()
        chunks = [
            diffeo.deform(chunk, displacement=1.5, interpolation=interpolation, generator=generator)
            for chunk in images.split(sizes)
        ]
        assert torch.allclose(torch.cat(chunks), whole, atol=2e-6)


@pytest.mark.parametrize("amplitude", [{"displacement": 0}, {"displacement": 0.0}, {"temperature": 0.0}])
@pytest.mark.parametrize("size", [(32, 32), (28, 28), (37, 53)])
def test_zero_amplitude_is_the_identity(amplitude, size, dtype):
    images = torch.rand(3, 2, *size, generator=seeded(1), dtype=dtype)
    assert torch.equal(diffeo.deform(images, **amplitude), images)
    assert torch.equal(diffeo.deform(images, interpolation="nearest", **amplitude), images)


def test_displacement_and_its_temperature_are_the_same():
    images = torch.rand(3, 1, 20, 30, generator=seeded(1))
    T = diffeo.temperature(0.8, 4, (20, 30))
    by_displacement = diffeo.deform(images, displacement=0.8, cut=4, generator=seeded())
    by_temperature = diffeo.deform(images, temperature=T, cut=4, generator=seeded())
    assert torch.allclose(by_displacement, by_temperature, atol=1e-6)


def test_every_precision_sees_the_same_deformation():
    images = torch.rand(3, 1, 32, 32, generator=seeded(1), dtype=torch.float64)
    exact = diffeo.deform(images, generator=seeded())
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 1e-2)):
        deformed = diffeo.deform(images.to(dtype), generator=seeded())
        assert deformed.dtype == dtype
        assert (deformed.double() - exact).abs().max() < tolerance


@pytest.mark.parametrize(("cut", "share"), [(3, 0), (5, 0), (15, 4e-3)])
def test_sources_beyond_the_frame_are_rare(cut, share):
    field = fields(300, cut, diffeo.temperature(1.0, cut, 32), 32)
    x, y = torch.arange(32) - field[:, 0], torch.arange(32)[:, None] - field[:, 1]
    assert ((x < 0) | (x > 31) | (y < 0) | (y > 31)).double().mean() <= share


def test_images_are_left_as_they_were():
    images = torch.rand(3, 1, 8, 8)
    before = images.clone()
    diffeo.deform(images)
    assert torch.equal(images, before)


# Bad input


IMAGES = torch.rand(2, 1, 8, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: diffeo.temperature(1.0, 1, 32), "cut is 1; it must be an integer, 2 or more"),
        (lambda: diffeo.temperature(1.0, 2.5, 32), "cut is 2.5"),
        (lambda: diffeo.temperature(0.0, 3, 32), "displacement is 0.0; it must be a positive"),
        (lambda: diffeo.temperature(math.nan, 3, 32), "displacement is nan"),
        (lambda: diffeo.temperature(1.0, 3, 0), "size is 0"),
        (lambda: diffeo.temperature(1.0, 3, (32, -1)), "size is "),
        (lambda: diffeo.displacement(-1e-3, 3, 32), "temperature is -0.001; it must be a positive"),
        (lambda: diffeo.displacement(1e-3, 3, 32, exact=True, rule="text"), "rule is 'text'; it must be"),
        (lambda: diffeo.displacement(1e-3, 0, 32, exact=True), "cut is 0"),
        (lambda: diffeo.temperature_range(1, 32), "cut is 1"),
        (lambda: diffeo.temperature_range(3, 31.5), "size is 31.5"),
        (lambda: diffeo.sample_coefficients(0, 3), "batch is 0"),
        (lambda: diffeo.sample_coefficients(4, 1), "cut is 1"),
        (lambda: diffeo.sample_coefficients(4, True), "cut is True"),
        (lambda: diffeo.sample_coefficients(4, 3, rule=None), "rule is None"),
        (lambda: diffeo.displacement_field(torch.zeros(2, 3, 3), 1e-3, 32), "coefficients have shape"),
        (lambda: diffeo.displacement_field(torch.zeros(2, 2, 3, 4), 1e-3, 32), "coefficients have shape"),
        (lambda: diffeo.displacement_field(torch.zeros(2, 2, 3, 3), -1e-3, 32), "temperature is -0.001"),
        (lambda: diffeo.displacement_field(torch.zeros(2, 2, 3, 3), torch.ones(3), 32), "temperature has"),
        (lambda: diffeo.displacement_field(torch.zeros(2, 2, 3, 3), 1e-3, 1), "size is 1"),
        (lambda: diffeo.deform(IMAGES[0]), "images have shape"),
        (lambda: diffeo.deform(IMAGES.byte()), "images are torch.uint8"),
        (lambda: diffeo.deform(IMAGES.numpy()), "images must be a tensor with values .*, not ndarray"),
        (lambda: diffeo.deform(IMAGES.to("meta")), "not one on the meta device"),
        (lambda: diffeo.deform(IMAGES.to(torch.float8_e5m2)), "images are torch.float8_e5m2"),
        (lambda: diffeo.deform(IMAGES.to(torch.complex64)), "images are torch.complex64"),
        (lambda: diffeo.deform(IMAGES, displacement="1"), "displacement is 1; it must be a positive number"),
        (lambda: diffeo.deform(IMAGES, displacement=[1]), r"displacement is \[1\]; it must be a positive number"),
        (lambda: diffeo.deform(IMAGES, displacement=math.nan), "displacement is nan"),
        (lambda: diffeo.deform(IMAGES, generator=0), "generator must be a torch.Generator, not 0"),
        (lambda: diffeo.sample_coefficients(2, 3, generator=0), "generator must be a torch.Generator, not 0"),
        (lambda: diffeo.thin_plate.deform([1]), "images must be a tensor with values .*, not list"),
        (lambda: diffeo.deform(IMAGES * math.nan), "images holds? NaN"),
        (lambda: diffeo.deform(IMAGES, displacement=-1.0), "displacement is -1.0"),
        (lambda: diffeo.deform(IMAGES, temperature=-1.0), "temperature is -1"),
        (lambda: diffeo.deform(IMAGES, displacement=2.0, temperature=1e-3), "both displacement"),
        (lambda: diffeo.deform(IMAGES, cut=1), "cut is 1"),
        (lambda: diffeo.deform(IMAGES, interpolation="cubic"), "interpolation is 'cubic'; it must be one of"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, message, unchecked):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_displacement_and_temperature_are_never_both_taken(unchecked):
    one = float(str(1))  # equal to the default, but given
    with pytest.raises(ValueError, match="both displacement"):
        diffeo.deform(IMAGES, displacement=one, temperature=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_generator_is_refused():
    with pytest.raises(ValueError, match="generator is on cuda"):
        diffeo.sample_coefficients(2, 3, generator=torch.Generator("cuda"))


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'defrom'"):
        diffeo.defrom  # noqa: B018
