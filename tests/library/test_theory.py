"""Exact theory of homogeneous networks against direct convolution, Monte-Carlo and the papers' numbers."""

import itertools

import numpy as np
import pytest
import torch

from relbook.studies.scale_detection import tables
from relbook.studies.scale_detection.tasks import line_task, rectified_noise, translations
from relstab import theory


def matrix(layers, filter_size, stride, length):
    """M_k by applying the layers to every unit vector, window by window."""
    columns = []
    for pixel in range(length):
        x = np.zeros(length)
        x[pixel] = 1
        for _ in range(layers):
            if stride == 1:
                reach = range(-(filter_size // 2), filter_size - filter_size // 2)
                x = np.array([sum(x[(a + j) % len(x)] for j in reach) / filter_size for a in range(len(x))])
            else:
                x = x.reshape(-1, filter_size).mean(1)
        columns.append(x)
    return np.stack(columns, 1)


def brute(layers, filter_size, stride, length, task, xi, half, *, constrained=False, assign=False, clip=False,
          rectified=True, balanced=False):  # fmt: skip
    """D, G by listing every pair and move; `assign` and `clip` are the authors' rendering and borders."""
    pairs, near = [], []
    for i, j in itertools.combinations(range(length), 2):
        d = min(j - i, length - j + i)
        if task == 1 and xi - half <= d < xi + half:
            continue
        pairs.append((i, j))
        near.append(d < xi if task == 1 else i // xi == j // xi)
    near = np.array(near)
    weight = np.where(near, 0.5 / near.sum(), 0.5 / (~near).sum()) if balanced else np.full(len(near), 1 / len(near))

    def go(pixel, step):
        target = min(max(pixel + step, 0), length - 1) if clip else (pixel + step) % length
        return pixel if constrained and (target // xi != pixel // xi or abs(target - pixel) > 1) else target

    def draw(positions):
        images = np.zeros((len(positions), length))
        for image, pixels in zip(images, positions, strict=True):
            for pixel in pixels:
                image[pixel] = 1 if assign else image[pixel] + 1
        return images

    clean = draw(pairs)
    changes = [draw([(go(i, s), go(j, t)) for i, j in pairs]) - clean for s, t in itertools.product((1, -1), repeat=2)]
    variance = np.mean([weight @ (c**2).sum(1) for c in changes]) / length
    out = []
    for k in range(1, layers + 1):
        M = matrix(k, filter_size, stride, length)
        f = clean @ M.T
        spread = 2 * (weight @ (f**2).sum(1) - ((weight @ f) ** 2).sum())
        moved = np.mean([weight @ ((c @ M.T) ** 2).sum(1) for c in changes])
        white, flat = np.trace(M @ M.T), (M.sum(1) ** 2).sum()
        noise = (0.5 - 0.5 / np.pi) * white + flat / (2 * np.pi) if rectified else white
        out.append((moved / spread, variance * noise / spread))
    return np.array(out).T


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ((4, 3, 1, 32, 1, 11, 4), {}),
        ((3, 4, 1, 24, 1, 7, 2), {"balanced": True}),
        ((3, 5, 1, 20, 2, 5, 0), {"rectified": False}),
        ((4, 2, 2, 32, 2, 8, 0), {"moves": "constrained"}),
        ((2, 3, 3, 27, 2, 9, 0), {"balanced": True}),
        ((2, 2, 1, 16, 2, 4, 0), {"moves": "constrained", "balanced": True}),
    ],
)
def test_exact_values_are_those_of_direct_convolution(network, options):
    table = theory.homogeneous_sensitivities(*network, **options)
    *known, gap = network
    plain = {name: value for name, value in options.items() if name != "moves"}
    D, G = brute(*known, gap / 2, constrained="moves" in options, **plain)
    np.testing.assert_allclose(table.D, D, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(table.G, G, rtol=1e-10)
    np.testing.assert_allclose(table.R, table.D / table.G, rtol=1e-12)


def test_monte_carlo_agrees_to_a_few_percent():
    task = line_task(1, 32, 11, gap=4)
    clean = task.images().squeeze(1).double()
    table = theory.homogeneous_sensitivities(6, 3, 1, 32, 1, 11, gap=4)
    ways = list(translations(task))
    power = sum(p * (task.images(x).squeeze(1) - clean).square().mean() for p, x in ways).item()
    generator = torch.Generator().manual_seed(1)
    noise = rectified_noise(20 * len(task), (32,), power, generator=generator).squeeze(1).double()
    for row in table.itertuples():
        M = torch.tensor(matrix(row.k, 3, 1, 32)).T
        spread = 2 * (clean @ M).var(0, correction=0).sum()
        moved = sum(p * ((task.images(x).squeeze(1) - clean) @ M).square().sum(1).mean() for p, x in ways)
        assert (moved / spread).item() == pytest.approx(row.D, rel=1e-5)
        assert ((noise @ M).square().sum(1).mean() / spread).item() == pytest.approx(row.G, rel=0.03)


def slopes(table, first=1, last=None):
    part = table[(table.k >= first) & (table.k <= (last or table.k.max()))]
    return [np.polyfit(np.log(part.A), np.log(part[q]), 1)[0] for q in ("D", "G", "R")]


REFERENCE = {  # measured with the authors' perturbations on sampled inputs: good to a few percent
    "k": [1, 2, 3, 4, 6, 8, 10, 12],
    "D": [0.367, 0.180, 0.123, 0.0965, 0.0687, 0.0541, 0.0451, 0.0390],
    "G": [0.83, 1.06, 1.23, 1.38, 1.64, 1.89, 2.12, 2.35],
    "D authors": [0.351, 0.176, 0.124, 0.0995, 0.0741, 0.0609, 0.0529, 0.0477],
}


def test_reference_table_of_task_1():
    table = theory.homogeneous_sensitivities(12, 3, 1, 32, 1, 11, gap=4).set_index("k").loc[REFERENCE["k"]]
    np.testing.assert_allclose(table.D, REFERENCE["D"], rtol=0.02)
    D, G = brute(12, 3, 1, 32, 1, 11, 2, assign=True, clip=True)
    kept = np.array(REFERENCE["k"]) - 1
    np.testing.assert_allclose(D[kept], REFERENCE["D authors"], rtol=0.07)
    np.testing.assert_allclose(G[kept], REFERENCE["G"], rtol=0.025)  # their noise is matched to assigned pixels


def test_reference_table_of_task_2():
    table = theory.homogeneous_sensitivities(7, 2, 2, 128, 2, 32, moves="constrained")
    even = theory.homogeneous_sensitivities(4, 2, 2, 128, 2, 32, moves="constrained", balanced=True)
    np.testing.assert_allclose(even.D, [0.488, 0.222, 0.0939, 0.0306], rtol=0.04)  # their inputs were balanced
    assert table.D[4:6].tolist() == [0.0, 0.0]  # no move leaves a block of size xi
    np.testing.assert_allclose(table.G[:6], [0.656, 0.988, 1.69, 3.24, 7.15, 21.0], rtol=0.03)
    assert table.loc[6, ["D", "G", "R"]].isna().all()  # one pixel is left, the same for every input


@pytest.mark.parametrize(
    ("network", "window", "expected", "within"),
    [
        ((6, 3, 1, 32, 1, 11, 4), (1, 6), (-1.75, 0.86, -2.60), 0.025),
        ((6, 3, 1, 32, 1, 11, 4), (2, 6), (-1.60, 0.92, -2.52), 0.03),
        ((12, 3, 1, 128, 1, 44, 16), (1, 12), (-1.85, 0.76, -2.61), 0.005),
        ((6, 5, 1, 32, 1, 11, 4), (1, 6), (-2.09, 1.23, -3.3), 0.03),
        ((6, 2, 1, 32, 1, 11, 4), (1, 6), (-1.29, 0.61, -1.90), 0.006),
        ((4, 2, 2, 128, 2, 32), (1, 4), (-1.002, 0.71, -1.71), 0.005),
        ((8, 2, 2, 1024, 2, 512), (1, 8), (-0.95, 0.92, -1.87), 0.006),
        ((3, 3, 3, 243, 2, 81), (1, 3), (-0.98, 0.81, -1.79), 0.005),
    ],
)
def test_finite_size_slopes(network, window, expected, within):
    # classes weighted alike; the L = 32 numbers come from a balanced subset of the pairs, hence the slack
    found = slopes(theory.homogeneous_sensitivities(*network, balanced=True), *window)
    np.testing.assert_allclose(found, expected, atol=within)


def test_constrained_moves_change_the_slope_of_task_2():
    table = theory.homogeneous_sensitivities(4, 2, 2, 128, 2, 32, moves="constrained", balanced=True)
    np.testing.assert_allclose(slopes(table), (-1.30, 0.71, -2.01), atol=0.005)
    table = theory.homogeneous_sensitivities(3, 3, 3, 243, 2, 81, moves="constrained", balanced=True)
    np.testing.assert_allclose(slopes(table), (-1.15, 0.81, -1.96), atol=0.007)


def test_exponents_are_reached_on_a_large_ring():
    table = theory.homogeneous_sensitivities(398, 3, 1, 1024, 1, 352, 128, balanced=True)
    sparse = table[table.k.isin(np.geomspace(25, 398, 13).astype(int))]
    np.testing.assert_allclose(slopes(sparse), (-1.95, 0.96, -2.91), atol=0.01)


@pytest.mark.parametrize("network", [(4, 2, 2, 128, 2, 32), (398, 3, 1, 1024, 1, 352, 128)])
def test_unrectified_noise_does_not_pile_up(network):
    table = theory.homogeneous_sensitivities(*network, rectified=False, balanced=True)
    assert abs(slopes(table, 25 if len(table) > 25 else 1)[1]) < 0.05


def test_deep_layers_neither_overflow_nor_cancel():
    table = theory.homogeneous_sensitivities(300, 3, 1, 32, 1, 11, gap=4)
    # only the longest wave is left: D tends to a constant and G grows like one over what is left of it
    assert table.D.iloc[-1] == pytest.approx(table.D.iloc[-2], rel=1e-4)
    gain = (np.sin(3 * np.pi / 32) / (3 * np.sin(np.pi / 32))) ** 2
    assert table.G.iloc[-1] / table.G.iloc[-2] == pytest.approx(1 / gain, rel=1e-4)


def test_filters_as_long_as_the_ring_leave_nothing():
    for length in (16, 15, 21):
        assert theory.homogeneous_sensitivities(2, length, 1, length, 1, 4).D.isna().all()


def test_receptive_field_is_the_spread_of_the_response():
    for filter_size in range(2, 10):
        sites, law = theory.walk(40, filter_size)
        assert law.sum() == pytest.approx(1, abs=1e-12)
        mean = sites @ law
        assert mean == pytest.approx(-40 * theory.drift(filter_size), abs=1e-10)
        spread = ((sites - mean) ** 2 @ law) ** 0.5
        assert spread == pytest.approx(theory.effective_receptive_field(40, filter_size)[-1].item(), abs=1e-12 * 40)
    assert theory.effective_receptive_field(5, 3, stride=3).tolist() == [3, 9, 27, 81, 243]


@pytest.mark.parametrize(("filter_size", "ratio", "worst", "corrected"), [
    (2, 1.33, 0.98, 0.0063), (3, 0.67, 0.230, 0.0047), (4, 1.20, 0.39, 0.0043),
    (5, 1.07, 0.028, 0.0041), (7, 1.29, 0.115, 0.0039), (9, 1.42, 0.158, 0.0039),
])  # fmt: skip
def test_proposition_a1_errs(filter_size, ratio, worst, corrected):
    exact, printed = (theory.diffusion_constant(filter_size, version=v) for v in ("exact", "paper"))
    assert 2 * exact == pytest.approx((filter_size**2 - 1) / 12, abs=1e-12)
    assert printed / exact == pytest.approx(ratio, abs=0.005)
    sites, law = theory.walk(40, filter_size)
    for version, expected in (("paper", worst), ("exact", corrected)):
        off = np.abs(law - theory.gaussian(sites, 40, filter_size, version=version)).max() / law.max()
        assert off == pytest.approx(expected, rel=0.03)


def test_walk_and_ring_agree():
    for filter_size in (2, 3, 4, 5):
        sites, law = theory.walk(3, filter_size)
        ring = np.linalg.matrix_power(matrix(1, filter_size, 1, 32), 3)[:, 0]
        np.testing.assert_allclose(ring[sites.astype(int) % 32], law, atol=1e-14)
        np.testing.assert_allclose(theory.kernel(filter_size, 32), matrix(1, filter_size, 1, 32)[:, 0], atol=1e-15)


def test_profiles_are_the_powers_of_the_layer():
    image = np.zeros(32)
    image[[5, 11]] = 1
    for stride, size in ((1, 5), (2, 2)):
        for k, profile in enumerate(tables.profiles(image, 5, size, stride)):
            expected = matrix(k, size, stride, 32) @ image * (size**k if stride > 1 else 1)
            np.testing.assert_allclose(profile, expected, atol=1e-14)


def test_asymptotes_and_local_exponents():
    table = theory.homogeneous_sensitivities(6, 3, 1, 64, 1, 20, 8)
    lines = theory.asymptotes(table, 1, anchor=2)
    assert lines.D[2] == table.D[2]
    np.testing.assert_allclose(theory.local_exponents(lines)[["D", "G", "R"]], np.tile([-2.0, 1.0, -3.0], (5, 1)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"stride": 2}, "stride is 2"),
        ({"moves": "wild"}, "moves is 'wild'"),
        ({"moves": "constrained"}, "moves is 'constrained' in task 1"),
        ({"task": 3}, "task is 3"),
        ({"xi": 40, "balanced": True}, "xi is 40"),
        ({"stride": 3}, "layers is 2"),
        ({"filter_size": 1}, "filter_size is 1"),
        ({"filter_size": 33}, "filter_size is 33"),
        ({"layers": 0}, "layers is 0"),
        ({"task": 2}, "xi is 11 and gap is 4"),
    ],
)
def test_bad_input_is_named(call, words, unchecked):
    good = {"layers": 2, "filter_size": 3, "stride": 1, "length": 32, "task": 1, "xi": 11, "gap": 4}
    with pytest.raises(ValueError, match=words):
        theory.homogeneous_sensitivities(**good | call)
