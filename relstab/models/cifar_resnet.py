"""The CIFAR ResNets of He et al. (2016), 20, 32, 44 and 56 layers: not used by papers A and B, but trained
and published by somebody else, so they test B's law on networks nobody of B trained.

A 3x3 stem of 16 channels, three stages of (layers - 2)/6 basic blocks with 16, 32, 64 channels, strides 1,
2, 2. Shortcuts have no parameters: where the size changes they keep every second pixel and add channels of
zeros, half before and half after. Key names are those of the published state dicts of
akamaster/pytorch_resnet_cifar10.

>>> from relstab import models
>>> sum(p.numel() for p in models.build("cifar_resnet20").parameters())
269722
"""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from relstab.models.common import scaled
from relstab.vision import models


class PaddedShortcut(nn.Module):
    """Every second pixel both ways, and `extra` channels of zeros: floor(extra/2) before, the rest after."""

    def __init__(self, extra: int):
        super().__init__()
        self.extra = extra

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch more half_h half_w"]:
        """The shortcut's value."""
        before = self.extra // 2
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, self.extra - before))


def cifar_resnet(layers: int, *, in_channels: int, num_classes: int, width: float | int, image_size: int) -> nn.Module:
    """CIFAR ResNet of 6n + 2 `layers`; any image size. Probed after the stem's ReLU and after each block."""
    count = (layers - 2) // 6
    inputs = scaled(16, width)
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(in_channels, inputs, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(inputs), relu=nn.ReLU()
    )
    points = ["relu"]
    block = models.resnet.BasicBlock
    for stage in (1, 2, 3):
        channels = scaled(16 * 2 ** (stage - 1), width)
        shortcut = PaddedShortcut(channels - inputs) if stage > 1 else None
        first = block(inputs, channels, min(stage, 2), shortcut)
        parts[f"layer{stage}"] = nn.Sequential(first, *(block(channels, channels) for _ in range(count - 1)))
        points += [f"layer{stage}.{index}" for index in range(count)]
        inputs = channels
    parts["avgpool"] = nn.AdaptiveAvgPool2d(1)
    parts["flatten"] = nn.Flatten()
    parts["linear"] = nn.Linear(inputs, num_classes)
    model = nn.Sequential(parts)
    model.probe_points = tuple(points)
    return model
