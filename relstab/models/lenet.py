"""LeNet of papers A and B: two 5x5 convolutions (6 and 16 channels, no padding) and layers of 120 and 84
units, with ReLU and 2x2 max-pooling.

A 32-pixel image leaves 16 maps of 5x5 pixels, a 28-pixel one (which is not padded here) 4x4.

>>> import torch
>>> from relstab import models
>>> models.build("lenet").probe_points
('relu1', 'relu2', 'relu3', 'relu4')
"""

from collections import OrderedDict

from torch import nn

from relstab.models.common import scaled

SMALLEST = 16  # pixels: two valid 5x5 convolutions and two poolings leave one


def lenet(*, in_channels: int, num_classes: int, width: float | int, image_size: int) -> nn.Module:
    """LeNet for square images of at least 16 pixels. Probed after each ReLU (before the pooling).

    Raises ValueError for smaller images.
    """
    if image_size < SMALLEST:
        raise ValueError(f"image_size: {image_size} is too small for lenet, which needs at least {SMALLEST} pixels.")
    first, second, third, fourth = (scaled(channels, width) for channels in (6, 16, 120, 84))
    side = ((image_size - 4) // 2 - 4) // 2
    model = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, first, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(first, second, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            linear1=nn.Linear(second * side**2, third),
            relu3=nn.ReLU(),
            linear2=nn.Linear(third, fourth),
            relu4=nn.ReLU(),
            output=nn.Linear(fourth, num_classes),
        )
    )
    model.probe_points = ("relu1", "relu2", "relu3", "relu4")
    return model
