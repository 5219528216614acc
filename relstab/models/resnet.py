"""ResNet18, 34, 50 and 101 for small images, as in papers A and B, and a ResNet10 (one block a stage) for
tests.

torchvision's blocks and key names; against the ImageNet net the stem is a 3x3 convolution of stride 1 and
there is no max-pooling. Four stages of 64, 128, 256, 512 channels, strides 1, 2, 2, 2, global average, one
linear layer.

>>> import torch
>>> from relstab import models
>>> models.build("resnet10", width=0.1)(torch.zeros(1, 3, 32, 32)).shape
torch.Size([1, 10])
"""

from collections import OrderedDict

from torch import nn

from relstab.models.common import scaled
from relstab.vision import models

_BASIC, _BOTTLENECK = models.resnet.BasicBlock, models.resnet.Bottleneck
_BLOCKS = {
    10: (_BASIC, (1, 1, 1, 1)),
    18: (_BASIC, (2, 2, 2, 2)),
    34: (_BASIC, (3, 4, 6, 3)),
    50: (_BOTTLENECK, (3, 4, 6, 3)),
    101: (_BOTTLENECK, (3, 4, 23, 3)),
}


def _stage(block: type, inputs: int, channels: int, count: int, stride: int) -> nn.Sequential:
    """`count` residual blocks; the first one changes size and channels, its shortcut by a 1x1 convolution."""
    outputs = channels * block.expansion
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    first = block(inputs, channels, stride, shortcut)
    return nn.Sequential(first, *(block(outputs, channels) for _ in range(count - 1)))


def resnet(layers: int, *, in_channels: int, num_classes: int, width: float | int, image_size: int) -> nn.Module:
    """ResNet of `layers` (10, 18, 34, 50, 101) weight layers; any image size.

    Probed after the ReLU of the stem and at the output of each residual block, where the sum has passed its
    ReLU.
    """
    block, counts = _BLOCKS[layers]
    inputs = scaled(64, width)
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(in_channels, inputs, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(inputs), relu=nn.ReLU()
    )
    points = ["relu"]
    for stage, count in enumerate(counts, start=1):
        channels = scaled(64 * 2 ** (stage - 1), width)
        parts[f"layer{stage}"] = _stage(block, inputs, channels, count, stride=1 if stage == 1 else 2)
        points += [f"layer{stage}.{index}" for index in range(count)]
        inputs = channels * block.expansion
    parts["avgpool"] = nn.AdaptiveAvgPool2d(1)
    parts["flatten"] = nn.Flatten()
    parts["fc"] = nn.Linear(inputs, num_classes)
    model = nn.Sequential(parts)
    model.probe_points = tuple(points)
    return model
