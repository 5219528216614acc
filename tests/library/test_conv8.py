"""The networks of paper C against hand-written references: counts, downsamplings, the initial law."""

import itertools

import pytest
import torch
from torch.nn import functional

from relstab import models
from relstab.models.conv8 import DOWNSAMPLINGS, Subsample
from relstab.probes.filters import total_variation


def built(name, **options):
    return models.build(f"conv8_{name}", generator=torch.Generator().manual_seed(0), **options)


def images(size, channels=3, dtype=torch.float32):
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("name", DOWNSAMPLINGS)
def test_number_of_parameters(name):
    channels = [3, 32, 64, 128, 256]
    pairs = list(itertools.pairwise(channels))
    expected = sum(9 * (a * b + b * b) + 4 * b for a, b in pairs) + 256 * 10 + 10
    if name.startswith("strided"):
        expected += sum(4 * b * b + (2 * b if name == "strided_relu" else 0) for _, b in pairs)
    assert sum(parameter.numel() for parameter in built(name).parameters()) == expected


def by_hand(model, x, down):
    """The forward pass in evaluation mode, from the parameters alone."""
    for number in range(1, 5):
        block = model.get_submodule(f"block{number}")
        for part in (block.conv1, block.conv2):
            x = normalised(part[1], functional.conv2d(x, part[0].weight, padding=1)).relu()
        x = down(block.down, x)
    return functional.linear(x.mean((2, 3)), model.classifier.weight, model.classifier.bias)


def normalised(norm, x):
    return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


DOWN = {
    "subsample": lambda part, x: x[:, :, ::2, ::2],
    "max": lambda part, x: x.unfold(2, 2, 2).unfold(3, 2, 2).amax((-2, -1)),
    "average": lambda part, x: x.unfold(2, 2, 2).unfold(3, 2, 2).mean((-2, -1)),
    "strided": lambda part, x: functional.conv2d(x, part.weight, stride=2),
    "strided_relu": lambda part, x: normalised(part[1], functional.conv2d(x, part[0].weight, stride=2)).relu(),
}


@pytest.mark.parametrize("name", DOWNSAMPLINGS)
def test_forward_is_the_papers_network(name):
    model = built(name, width=0.2).double()
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # leave the identity, or it could be missing unseen
            for values in (module.running_mean, module.running_var, module.weight, module.bias):
                values.data += torch.rand(values.shape, generator=generator, dtype=torch.float64)
    x = images(32, dtype=torch.float64)
    torch.testing.assert_close(model.eval()(x), by_hand(model, x, DOWN[name]))


@pytest.mark.parametrize("name", DOWNSAMPLINGS)
def test_odd_sizes_lose_their_last_row_alike(name):
    """28 pixels become 14, 7, 3, 1."""
    model = built(name, width=0.2, in_channels=1).eval()
    shapes = []
    for number in range(1, 5):
        block = model.get_submodule(f"block{number}")
        block.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape[-1]))
    model(images(28, channels=1))
    assert shapes == [14, 7, 3, 1]


def test_subsample_keeps_the_top_left_pixel():
    x = torch.arange(15.0).reshape(1, 1, 3, 5)
    assert Subsample()(x).tolist() == [[[[0.0, 2.0]]]]


def test_initial_law():
    """Zero mean, nothing beyond 2/sqrt(n_in), the truncated normal's variance .774/n_in, no bias."""
    model = built("strided_relu")
    for module in (model.block4.conv2[0], model.block4.down[0], model.block3.conv1[0]):
        weight = module.weight.detach() * module.weight[0].numel() ** 0.5
        assert 1.99 < weight.abs().max() <= 2
        assert weight.var().item() == pytest.approx(0.7737, rel=0.02)
        assert abs(weight.mean().item()) < 5 * weight.numel() ** -0.5
        assert module.bias is None
    head = model.classifier
    assert head.bias.eq(0).all() and head.weight.abs().max() <= 2 * 256**-0.5


def test_total_variation_at_the_start_is_the_papers():
    """C quotes 1.87, which is the mean over single filters; the formula as written gives 1.857."""
    weight = built("max").block4.conv2[0].weight
    assert total_variation(weight) == pytest.approx(1.871, abs=0.005)
    assert total_variation(weight, "pooled") == pytest.approx(1.857, abs=0.005)
