"""Paper C's normalised cosine distance against its definition, one pair at a time."""

import numpy as np
import pytest
import torch
from torch import nn

from relstab.probes.cosine import cosine_sensitivity


def inputs(count, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 2, 6, 6, generator=generator, dtype=torch.float64)
    moved = images + 0.3 * torch.randn(images.shape, generator=generator, dtype=torch.float64)
    return images.to(dtype), moved.to(dtype)


def network(dtype):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, 3)
        )
    return net.to(dtype)


def distance(u, v):
    return 1 - (u @ v) / np.sqrt((u @ u) * (v @ v))


def by_hand(clean, moved):
    clean, moved = (part.detach().double().flatten(1).numpy() for part in (clean, moved))
    count = len(clean)
    pairs = [distance(clean[i], clean[j]) for i in range(count) for j in range(i)]
    return np.mean([distance(clean[i], moved[i]) for i in range(count)]) / np.median(pairs)


def test_each_layer_matches_its_definition(dtype):
    images, moved = inputs(9, dtype)
    net = network(dtype)
    table = cosine_sensitivity(net, images, moved, layers="all")
    assert table.columns.tolist() == ["layer", "depth", "relative_depth", "sensitivity"]
    assert net.training
    net.eval()
    clean = images
    for row, layer in zip(table.itertuples(), net, strict=True):
        clean, moved = layer(clean), layer(moved)
        if row.layer == "1":  # the ReLU that follows overwrites it
            clean, moved = clean.clone(), moved.clone()
        assert row.sensitivity == pytest.approx(by_hand(clean, moved), rel=1e-4 if dtype == torch.float32 else 1e-12)


def test_batch_statistics_of_each_set():
    images, moved = inputs(9, torch.float64)
    table = cosine_sensitivity(network(torch.float64), images, 5 * moved + 1, layers=["1"], batch_statistics=True)
    net = network(torch.float64).train()
    assert table["sensitivity"].item() == pytest.approx(by_hand(net[:2](images), net[:2](5 * moved + 1)), rel=1e-9)


def test_scale_of_a_representation_does_not_matter(dtype):
    images, moved = inputs(9, dtype)
    first = cosine_sensitivity(nn.Flatten(), images, moved, layers="output")["sensitivity"].item()
    factors = torch.arange(1, 10, dtype=dtype).reshape(-1, 1, 1, 1)
    second = cosine_sensitivity(nn.Flatten(), images * factors, moved / factors, layers="output")
    assert second["sensitivity"].item() == pytest.approx(first, rel=1e-5)


def test_zero_vectors():
    images = torch.eye(4)
    images[3] = 0
    moved = images.clone()
    moved[0] = 0
    table = cosine_sensitivity(nn.Identity(), images, moved, layers="output")
    assert table["sensitivity"].item() == pytest.approx(1 / 4)  # one of four moved by 1; all pairs are 1 apart
    same = cosine_sensitivity(nn.Identity(), torch.ones(4, 3), torch.ones(4, 3), layers="output")
    assert same["sensitivity"].isna().all()


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_one_sentence():
    images, moved = inputs(5, torch.float32)
    for arguments, message in (
        ((images, moved[:4]), "deformed must have the shape"),
        ((images.int(), moved), "images must be a float tensor"),
        ((images, moved * torch.inf), "deformed must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            cosine_sensitivity(network(torch.float32), *arguments)
    with pytest.raises(ValueError, match="no module 'relu'"):
        cosine_sensitivity(network(torch.float32), images, moved, layers=["relu"])
