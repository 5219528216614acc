"""relbook.studies.encoding.spectrum: the parts of a noise, by frequency and colour, are orthogonal and add up to it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relbook.studies.encoding import spectrum


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(3, 33), st.integers(3, 33), st.sampled_from([1, 3]))
def test_parts_add_up_and_are_orthogonal(seed, height, width, channels):
    noise = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    parts = list(spectrum.split(noise).values())
    assert len(parts) == 4 * (1 if channels == 1 else 2)
    assert torch.allclose(sum(parts), noise, atol=1e-12)
    gram = torch.stack([part.flatten() for part in parts])
    gram = gram @ gram.T
    assert torch.allclose(gram, torch.diag(gram.diag()), atol=1e-9 * noise.square().sum().item())


def test_each_wave_is_in_its_band():
    x = torch.arange(32, dtype=torch.float64)
    for cycles, band in ((0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (7, 2), (8, 3), (16, 3)):
        wave = torch.cos(2 * math.pi * cycles * x / 32).expand(1, 1, 32, 32)
        norms = [part.norm().item() for part in spectrum.bands(wave)]
        assert norms[band] == pytest.approx(wave.norm().item()) and sum(norms) == pytest.approx(norms[band])


def test_grey_is_alike_in_all_channels_and_colour_sums_to_zero():
    parts = spectrum.split(torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    for name, part in parts.items():
        if name.startswith("grey"):
            assert torch.allclose(part[:, 0], part[:, 2], atol=1e-6)
        else:
            assert part.sum(1).abs().max() < 1e-5


def test_most_of_white_noise_is_fine():
    noise = torch.randn(400, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    shares = [part.square().sum().item() / noise.square().sum().item() for part in spectrum.bands(noise)]
    radius = spectrum.frequencies(32, 32)
    counts = [
        ((radius >= low) & (radius < high)).sum().item() / 1024
        for low, high in ((0, 1 / 16), (1 / 16, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 1))
    ]
    assert shares == pytest.approx(counts, rel=0.05) and counts[3] > 0.8 and sum(counts) == 1


@pytest.mark.parametrize("edges", [(0.2, 0.1), (0.0, 0.1), (0.1, 0.1)])
def test_edges_must_rise(edges):
    with pytest.raises(ValueError, match="it must rise, from above 0"):
        spectrum.bands(torch.zeros(4, 4), edges)
