"""Laplacian modes and total variation of filters: eigenvectors, sums, and the values of untrained filters."""

import pytest
import torch

from relstab.probes.filters import grouped, laplacian_modes, projections, total_variation


def grid_laplacian(size):
    """Degree minus adjacency of the grid with four neighbours and free borders, by its definition."""
    matrix = torch.zeros(size, size, size, size, dtype=torch.float64)
    for y in range(size):
        for x in range(size):
            for i, j in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if 0 <= i < size and 0 <= j < size:
                    matrix[y, x, y, x] += 1
                    matrix[y, x, i, j] -= 1
    return matrix.reshape(size**2, size**2)


def gaussian(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def truncated(*shape):
    weight = torch.empty(shape, dtype=torch.float64)
    return torch.nn.init.trunc_normal_(weight, a=-2, b=2, generator=torch.Generator().manual_seed(0))


def test_spectrum_of_3x3():
    assert laplacian_modes(3)[1].round(decimals=9).tolist() == [0, 1, 1, 2, 3, 3, 4, 4, 6]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_modes_diagonalise_the_grid_laplacian(size):
    modes, eigenvalues = laplacian_modes(size)
    basis = modes.reshape(size**2, size**2)
    torch.testing.assert_close(basis @ basis.T, torch.eye(size**2, dtype=torch.float64))
    torch.testing.assert_close(basis @ grid_laplacian(size) @ basis.T, torch.diag(eigenvalues))
    assert (eigenvalues.diff() > -1e-12).all()


def test_projections_add_up_to_the_mean_squared_norm(dtype):
    weight = gaussian(6, 5, 3, 3, dtype=dtype)
    gamma = projections(weight)
    assert gamma.dtype == torch.float64
    assert gamma.sum().item() == pytest.approx(weight.square().sum((2, 3)).mean().item(), rel=1e-6)
    modes, _ = laplacian_modes(3)
    by_hand = [(weight * mode).sum((2, 3)).square().mean().item() for mode in modes]
    assert gamma.tolist() == pytest.approx(by_hand, rel=1e-6)


def test_grouped_does_not_depend_on_the_eigensolver():
    weight = gaussian(6, 5, 3, 3)
    eigenvalues, ours = grouped(projections(weight))
    _, vectors = torch.linalg.eigh(grid_laplacian(3))
    gamma = (weight.flatten(2) @ vectors).square().mean((0, 1))
    theirs = [gamma[members].mean() for members in ([0], [1, 2], [3], [4, 5], [6, 7], [8])]
    assert eigenvalues.tolist() == [0, 1, 2, 3, 4, 6]
    torch.testing.assert_close(ours, torch.stack(theirs))
    stacked = torch.stack([projections(weight), projections(2 * weight)])
    torch.testing.assert_close(grouped(stacked)[1], torch.stack([ours, 4 * ours]))


def test_grouped_keeps_its_type(dtype):
    assert grouped(torch.ones(2, 25, dtype=dtype))[1].dtype == dtype


def test_total_variation_of_untrained_filters():
    # Expected by definition: 12 neighbours · E|w₁ − w₂| / (9 E|w|).
    assert total_variation(gaussian(400, 200, 3, 3), "pooled") == pytest.approx(12 * 2**0.5 / 9, abs=0.003)
    uniform = torch.rand(400, 200, 3, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    assert total_variation(uniform, "pooled") == pytest.approx(16 / 9, abs=0.003)
    assert total_variation(truncated(400, 200, 3, 3), "pooled") == pytest.approx(1.857, abs=0.005)
    assert total_variation(truncated(400, 200, 3, 3)) == pytest.approx(1.871, abs=0.005)


def test_total_variation_by_hand(dtype):
    weight = torch.tensor([[[[1.0, -1.0], [0.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]]], dtype=dtype)
    assert total_variation(weight) == (2 + 3 + 1 + 4) / 5  # the zero filter is left out
    assert total_variation(weight, "pooled") == (2 + 3 + 1 + 4) / 5
    both = torch.cat([weight, torch.ones_like(weight)])
    assert total_variation(both) == pytest.approx(2 / 3)
    assert total_variation(both, "pooled") == pytest.approx(10 / 13)
    assert total_variation(torch.zeros(1, 1, 3, 3)) != total_variation(torch.zeros(1, 1, 3, 3))  # NaN


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: laplacian_modes(0), "size must be a positive integer, not 0"),
        (lambda: projections(torch.ones(2, 2, 3, 2)), r"weight must have the shape \[output, input, F, F\]"),
        (lambda: projections(torch.ones(2, 2)), "weight must have the shape"),
        (lambda: total_variation(torch.ones(2, 2, 3, 3), "mean"), "reading must be 'slices' or 'pooled'"),
        (lambda: grouped(torch.ones(8)), "gamma must have a square number of modes on its last axis, not 8"),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
