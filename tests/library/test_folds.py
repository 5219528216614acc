"""How often draws of the ensemble fold, against measured tables (binomial errors)."""

import math

import pytest
import torch

from relstab import diffeo


def share_folded(count, cut, temperature, size, *, rule="code"):
    """The share of `count` draws that fold, a few at a time to stay in the cache."""
    generator, folded = torch.Generator().manual_seed(0), 0
    for _ in range(count // 20):
        coefficients = diffeo.sample_coefficients(20, cut, rule=rule, generator=generator)
        folded += (~diffeo.is_bijective(diffeo.displacement_field(coefficients, temperature, size))).sum().item()
    return folded / count


def binomial_margin(share, count, expected, expected_count=200):
    """3.5 standard errors of the difference of two measured shares."""
    pooled = (count * share + expected_count * expected + 1) / (count + expected_count + 2)  # never 0 or 1
    return 3.5 * math.sqrt(pooled * (1 - pooled) * (1 / expected_count + 1 / count))


@pytest.mark.parametrize(
    ("cut", "probabilities"),
    [(2, (0.57, 0.13, 0.04, 0.72)), (3, (0.36, 0.06, 0.00, 0.82)), (5, (0.28, 0.02, 0.00, 1.00)),
     (10, (0.14, 0.00, 0.00, 1.00)), (15, (0.07, 0.00, 0.00, 1.00)), (30, (0.03, 0.00, 0.00, 1.00))],
)  # fmt: skip
def test_fold_probabilities(cut, probabilities):
    """The measured table for T₂, T₂/2, T₂/4 and 8/(π³c²), 200 draws there."""
    high = diffeo.temperature_range(cut, 32)[1]
    size, count = max(65, 6 * cut + 1), 200
    temperatures = (high, high / 2, high / 4, 8 / (math.pi**3 * cut**2))
    for T, expected in zip(temperatures, probabilities, strict=True):
        share = share_folded(count, cut, T, size)
        assert share == pytest.approx(expected, abs=binomial_margin(share, count, expected))


@pytest.mark.parametrize(
    ("size", "cut", "delta", "expected"),
    [(32, 3, 1, 0.0), (32, 5, 1, 0.0), (32, 15, 1, 0.93), (32, 3, 2, 0.01), (32, 5, 2, 0.23),
     (224, 3, 1, 0.0), (224, 10, 1, 0.0), (224, 30, 1, 0.0)],
)  # fmt: skip
def test_fold_probability_at_given_displacements(size, cut, delta, expected):
    count = 400 if size == 32 else 100
    share = share_folded(count, cut, diffeo.temperature(delta, cut, size), size)
    assert share == pytest.approx(expected, abs=binomial_margin(share, count, expected))


@pytest.mark.parametrize(("cut", "half"), [(2, 0.49), (3, 0.264), (5, 0.218), (10, 0.201), (15, 0.206), (20, 0.207)])
def test_half_of_the_fields_fold(cut, half):
    """Measured T½ c² ln c for the paper's rule, 400 draws."""
    T = half / (cut**2 * math.log(cut))
    share = share_folded(400, cut, T, max(65, 6 * cut + 1), rule="paper")
    assert share == pytest.approx(0.5, abs=binomial_margin(share, 400, 0.5, 400))
