"""Effective receptive fields against the exact finite sums for stride 1 and stride F."""

import math

import pytest
import torch
from torch import nn

from relstab import models
from relstab.probes.receptive_field import effective_receptive_field, homogeneous


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("convolution", [nn.Conv1d, nn.Conv2d])
def test_stride_one_is_a_random_walk(convolution, size):
    layers = [convolution(2 if k else 1, 2, size, padding=size // 2) for k in range(5)]
    shape = (1, 61) if convolution is nn.Conv1d else (1, 61, 61)
    table = effective_receptive_field(nn.Sequential(*layers), shape)
    expected = [math.sqrt(k * (size**2 - 1) / 12) for k in range(1, 6)]
    assert table["deviation"].tolist() == pytest.approx(expected, rel=1e-9)
    assert table["depth"].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [2, 3])
def test_stride_equal_to_filter_size_tiles(size):
    layers = [nn.Conv1d(1, 1, size, stride=size) for _ in range(4)]
    table = effective_receptive_field(nn.Sequential(*layers), (1, size**4))
    assert table["extent"].tolist() == pytest.approx([size**k for k in range(1, 5)])
    widths = [math.sqrt((size ** (2 * k) - 1) / 12) for k in range(1, 5)]  # of a uniform distribution
    assert table["deviation"].tolist() == pytest.approx(widths)


def test_a_real_network_widens_and_is_left_alone():
    network = models.build("vgg11_bn", width=0.125, image_size=32)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    table = effective_receptive_field(network, (3, 32, 32), layers="blocks")
    assert table["layer"].tolist()[0] == "input"
    assert table["extent"][0] == 1
    assert table["deviation"][3] > 3
    assert (table["deviation"].diff().dropna() > -1e-9).all()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.is_grad_enabled()
    residual = effective_receptive_field(models.build("resnet10", width=0.125), (3, 64, 64), layers="blocks")
    assert (residual["deviation"].diff().dropna() > -1e-9).all()


def test_max_pooling_becomes_average():
    network = homogeneous(nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AdaptiveMaxPool1d(2), nn.BatchNorm2d(3)))
    assert [type(layer) for layer in network] == [nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.Identity]
    assert (network[0].kernel_size, network[0].stride, network[0].padding) == (3, 2, 1)
    with pytest.raises(ValueError, match="dilation 2"):
        homogeneous(nn.Sequential(nn.MaxPool2d(2, dilation=2)))


def test_layers_that_the_input_does_not_reach_are_nan():
    class Deaf(nn.Module):
        def forward(self, x):
            return torch.ones_like(x)

    assert effective_receptive_field(nn.Sequential(Deaf()), (1, 9))["extent"].isna().all()


def test_bad_shape_is_one_sentence():
    with pytest.raises(ValueError, match=r"shape must be \(channel, length\) or"):
        effective_receptive_field(nn.Flatten(), (32,))
    with pytest.raises(ValueError, match="layers: none of 'output' returns"):
        effective_receptive_field(nn.Flatten(), (1, 32), layers="output")
